//! Finds what is due. One run is a tick: it judges every monitor whose deadline has passed, the longest
//! due first, and writes down alerts and deliveries.

use chrono::{DateTime, Utc};
use database::due::{Judged, judge_due};
use database::{DatabaseError, Pool};

/// Batches in one tick at most: what is left is due again in the next one, and one tick can't go on for
/// ever beside it.
const MOST_BATCHES: usize = 1_000;

/// Judges everything that is due at `now`; `None` is Postgres' clock. Two ticks at once share the work.
///
/// # Errors
/// [`DatabaseError`]; what was judged before stays, the rest is due in the next tick.
pub async fn tick(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Judged, DatabaseError> {
    let mut total = Judged::default();
    for _ in 0..MOST_BATCHES {
        let batch = judge_due(pool, now).await?;
        total.monitors += batch.monitors;
        total.refilled += batch.refilled;
        total.more = batch.more;
        if !batch.more {
            break;
        }
    }
    Ok(total)
}
