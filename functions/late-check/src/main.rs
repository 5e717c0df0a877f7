//! The late-check function: one tick for each event, be it of the schedule or of the wake queue.

use std::io::Write as _;
use std::time::{Duration, Instant};

use cronmon_late_check::tick;
use database::due::{Behind, behind, left_deliveries};
use database::{DatabaseError, Pool};
use lambda::LambdaEvent;
use lambda::queues::{Acknowledged, DeliveryQueue};
use serde_json::{Value, json};

/// What is kept of a run's time for looking after what is left: the longest batch and hand-over, and some more.
const TIME_TO_END: Duration = Duration::from_secs(25);

/// Of the deliveries that nobody took, how many one tick hands over again at most.
const MOST_LEFT: i64 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let metrics_stack = lambda::setting("METRICS_STACK");
    let pool = lambda::connect_database(1).await?;
    lambda::run(move |event: LambdaEvent<Value>| {
        let (pool, deliveries, metrics_stack) = (pool.clone(), deliveries.clone(), metrics_stack.clone());
        // A wake looks at one second; the schedule's event looks after everything.
        let is_wake = event.payload.get("Records").is_some();
        async move {
            let end = Instant::now() + lambda::time_left(&event).saturating_sub(TIME_TO_END);
            let ticked = tick(&pool, None, Some(end), |ids| deliveries.hand_over(ids)).await;
            // Whatever became of the tick, what it left has to be looked after, and told.
            let looked_after =
                if is_wake { Ok(()) } else { look_after(&pool, &deliveries, metrics_stack).await };
            ticked
                .map(drop)
                .and(looked_after)
                .inspect_err(|e| tracing::error!("the tick did not end: {e}"))?;
            Ok(Acknowledged::default())
        }
    })
    .await
}

/// Hands over again what nobody took, and writes down how far the work is behind.
async fn look_after(
    pool: &Pool,
    deliveries: &DeliveryQueue,
    metrics_stack: Option<String>,
) -> Result<(), DatabaseError> {
    let left = left_deliveries(pool, None, MOST_LEFT).await?;
    if !left.is_empty() {
        tracing::info!(count = left.len(), "deliveries are handed over again");
        deliveries.hand_over(left).await;
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
