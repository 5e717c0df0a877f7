//! The late-check function: one tick for each event, be it of the schedule or of the wake queue.

use std::io::Write as _;

use cronmon_late_check::tick;
use database::due::{Behind, behind, left_deliveries};
use database::{DatabaseError, Pool};
use lambda::LambdaEvent;
use lambda::queues::{Acknowledged, DeliveryQueue};
use serde_json::{Value, json};

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
            let behind = run(&pool, &deliveries, is_wake).await.inspect_err(|e| {
                tracing::error!("the tick did not end: {e}");
            })?;
            if let (Some(behind), Some(stack)) = (behind, metrics_stack) {
                write_metrics(&stack, behind);
            }
            Ok(Acknowledged::default())
        }
    })
    .await
}

async fn run(
    pool: &Pool,
    deliveries: &DeliveryQueue,
    is_wake: bool,
) -> Result<Option<Behind>, DatabaseError> {
    tick(pool, None, |ids| deliveries.hand_over(ids)).await?;
    if is_wake {
        return Ok(None);
    }
    let left = left_deliveries(pool, None, MOST_LEFT).await?;
    if !left.is_empty() {
        tracing::info!(count = left.len(), "deliveries are handed over again");
        deliveries.hand_over(left).await;
    }
    behind(pool, None).await.map(Some)
}

/// A line in CloudWatch's embedded metric format, from which it makes what the alarms of the template watch.
fn write_metrics(stack: &str, behind: Behind) {
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
