//! The late-check function: one tick for each event, be it of the schedule or of the wake queue.

use std::io::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cronmon_late_check::replay::{Seen, replay_batch, until};
use cronmon_late_check::{old_history, replay, tick};
use database::due::{Behind, behind, clock, left_deliveries};
use database::spool::watch;
use database::{DatabaseError, Pool};
use lambda::LambdaEvent;
use lambda::queues::{Acknowledged, DeliveryQueue};
use lambda::spool_queue::SpoolQueue;
use serde_json::{Value, json};

/// What is kept of a run's time for looking after what is left: the longest batch and hand-over, and some more.
const TIME_TO_END: Duration = Duration::from_secs(25);

/// Connections for what is applied side by side; all but one are only opened when the spool has something.
const CONNECTIONS: usize = 4;

/// Of the deliveries that nobody took, how many one tick hands over again at most.
const MOST_LEFT: i64 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let spool = SpoolQueue::from_env()?;
    let hold = replay::hold(lambda::setting("SPOOL_HOLD_SECONDS").as_deref())?;
    let metrics_stack = lambda::setting("METRICS_STACK");
    let pool = lambda::connect_database(CONNECTIONS).await?;
    lambda::run(move |event: LambdaEvent<Value>| {
        let (pool, deliveries, metrics_stack) = (pool.clone(), deliveries.clone(), metrics_stack.clone());
        let spool = spool.clone();
        // A wake looks at one second; the schedule's event looks after everything.
        let is_wake = event.payload.get("Records").is_some();
        async move {
            let end = Instant::now() + lambda::time_left(&event).saturating_sub(TIME_TO_END);
            let ticked = tick_after_the_spool(&pool, &spool, hold, &deliveries, end).await;
            // Whatever became of the tick, what it left has to be looked after, and told.
            let looked_after =
                if is_wake { Ok(()) } else { look_after(&pool, &deliveries, metrics_stack, end).await };
            ticked.and(looked_after).inspect_err(|e| tracing::error!("the tick did not end: {e}"))?;
            Ok(Acknowledged::default())
        }
    })
    .await
}

/// Applies what is in the spool, then judges what that leaves due. When the database was slow in between, pings
/// may have been spooled meanwhile: then it begins again.
async fn tick_after_the_spool(
    pool: &Pool,
    spool: &SpoolQueue,
    hold: Duration,
    deliveries: &DeliveryQueue,
    end: Instant,
) -> Result<(), DatabaseError> {
    loop {
        let seen = empty(pool, spool, deliveries, end).await?;
        let ticked = tick(pool, until(seen, hold), Some(end), |ids| deliveries.hand_over(ids)).await?;
        if !ticked.too_late {
            return Ok(());
        }
        if Instant::now() > end {
            tracing::error!("what is due was not judged: the database or the spool is too slow");
            return Ok(());
        }
    }
}

/// How often an empty answer of a queue that counts messages is not believed, and the pause before the next look.
/// What another receiver has is not to be had, and may be for longer.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Applies what is in the spool for as long as the database takes it, and writes down what is left.
async fn empty(
    pool: &Pool,
    spool: &SpoolQueue,
    deliveries: &DeliveryQueue,
    end: Instant,
) -> Result<Seen, DatabaseError> {
    let (mut had_some, mut looks) = (false, 0);
    loop {
        let looked_at = clock(pool).await?;
        let batch = match spool.receive().await {
            Ok(batch) => batch,
            // Who can't look must not say that it is empty.
            Err(why) => {
                tracing::error!("the spool can't be read: {why}");
                return some_is_left(pool, looked_at).await;
            }
        };
        if batch.is_empty() {
            let waiting = spool.waiting().await.unwrap_or(1);
            if waiting == 0 {
                let watched = watch(pool, looked_at, 0, had_some).await?;
                return Ok(Seen { looked_at, watched });
            }
            looks += 1;
            if looks == LOOKS {
                return some_is_left(pool, looked_at).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            continue;
        }
        had_some = true;
        let replayed = replay_batch(pool, batch, None, CONNECTIONS).await;
        let handed_over = deliveries.hand_over(replayed.new_deliveries);
        tokio::join!(spool.forget(replayed.done), spool.put_back(replayed.left), handed_over);
        if let Some(e) = &replayed.failed {
            tracing::error!("pings wait in the spool: {e}");
        }
        if replayed.failed.is_some() || Instant::now() > end {
            return some_is_left(pool, looked_at).await;
        }
    }
}

async fn some_is_left(pool: &Pool, looked_at: DateTime<Utc>) -> Result<Seen, DatabaseError> {
    let watched = watch(pool, looked_at, 1, true).await?;
    // A queue that takes long to answer is no sign of a slow database.
    Ok(Seen { looked_at: clock(pool).await?, watched })
}

/// Hands over again what nobody took, deletes old history, and writes down how far the work is behind.
async fn look_after(
    pool: &Pool,
    deliveries: &DeliveryQueue,
    metrics_stack: Option<String>,
    end: Instant,
) -> Result<(), DatabaseError> {
    let left = left_deliveries(pool, None, MOST_LEFT).await?;
    if !left.is_empty() {
        tracing::info!(count = left.len(), "deliveries are handed over again");
        deliveries.hand_over(left).await;
    }
    if let Err(e) = old_history::delete(pool, None, end).await {
        tracing::error!("old history was not deleted: {e}");
    }
    if let Some(stack) = metrics_stack {
        write_metrics(&stack, behind(pool, None).await?);
    }
    Ok(())
}

/// A line in CloudWatch's embedded metric format, from which it makes what the alarms of the template watch.
fn write_metrics(stack: &str, behind: Behind) {
    // CloudWatch wants to know when the line was written; nothing is judged by it.
    #[allow(clippy::disallowed_methods)]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let line = json!({
        "_aws": {
            "Timestamp": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            "CloudWatchMetrics": [{
                "Namespace": "CronMon",
                "Dimensions": [["Stack"]],
                "Metrics": [
                    { "Name": "JudgingBehind", "Unit": "Seconds" },
                    { "Name": "DeliveryBehind", "Unit": "Seconds" },
                ],
            }],
        },
        "Stack": stack,
        "JudgingBehind": behind.judging.num_seconds(),
        "DeliveryBehind": behind.delivery.num_seconds(),
    });
    drop(writeln!(std::io::stdout(), "{line}"));
}
