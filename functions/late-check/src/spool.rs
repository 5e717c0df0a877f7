//! The spool's queue is emptied, as far as the database takes it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cronmon_late_check::replay::{Seen, replay_batch};
use database::due::clock;
use database::spool::{tells_of_trouble, watch};
use database::{DatabaseError, Pool};
use lambda::queues::DeliveryQueue;
use lambda::spool_queue::SpoolQueue;

/// How often an empty answer of a queue that counts messages is not believed, and the pause before the next look.
/// What another receiver has is not to be had, and may be for longer.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

pub(crate) struct LookedInto {
    pub(crate) seen: Seen,
    /// Whether it could be read.
    pub(crate) is_read: bool,
}

/// Applies what is in the spool for as long as the database takes it, and writes down what is left.
pub(crate) async fn empty(
    pool: &Pool,
    spool: &SpoolQueue,
    deliveries: &DeliveryQueue,
    at_once: usize,
    end: Instant,
) -> Result<LookedInto, DatabaseError> {
    let (mut in_trouble, mut looks) = (false, 0);
    loop {
        let looked_at = clock(pool).await?;
        let batch = match spool.receive().await {
            Ok(batch) => batch,
            // Who can't look must not say that it is empty.
            Err(why) => {
                tracing::error!("the spool can't be read: {why}");
                return some_is_left(pool, looked_at, false).await;
            }
        };
        if batch.is_empty() {
            let waiting = spool.waiting().await.unwrap_or(1);
            if waiting == 0 {
                let watched = watch(pool, looked_at, 0, in_trouble).await?;
                return Ok(LookedInto { seen: Seen { looked_at, watched }, is_read: true });
            }
            looks += 1;
            if looks == LOOKS {
                return some_is_left(pool, looked_at, true).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            continue;
        }
        in_trouble |= batch.iter().any(|waiting| tells_of_trouble(&waiting.text));
        let replayed = replay_batch(pool, batch, None, at_once).await;
        let handed_over = deliveries.hand_over(replayed.new_deliveries);
        tokio::join!(spool.forget(replayed.done), spool.put_back(replayed.left), handed_over);
        if let Some(e) = &replayed.failed {
            tracing::error!("pings wait in the spool: {e}");
        }
        if replayed.failed.is_some() || Instant::now() > end {
            // What that is nobody has seen.
            return some_is_left(pool, looked_at, true).await;
        }
    }
}

async fn some_is_left(
    pool: &Pool,
    looked_at: DateTime<Utc>,
    is_read: bool,
) -> Result<LookedInto, DatabaseError> {
    let watched = watch(pool, looked_at, 1, true).await?;
    // A queue that takes long to answer is no sign of a slow database.
    Ok(LookedInto { seen: Seen { looked_at: clock(pool).await?, watched }, is_read })
}
