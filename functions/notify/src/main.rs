//! The notify function: sends the deliveries that the messages of its queue name.

use std::time::{Duration, Instant};

use cronmon_notify::deliver_these;
use destinations::Senders;
use lambda::LambdaEvent;
use lambda::queues::{Acknowledged, DeliveryQueue, Hint, QueueEvent};

/// Connections for the sends of one run, which are settled as their answers come.
const CONNECTIONS: usize = 4;

/// What is kept of a run's time for handing over again what has to wait.
const TIME_TO_END: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let senders = Senders::new(destinations::Settings::from_env(lambda::setting)?)?;
    let pool = lambda::connect_database(CONNECTIONS).await?;
    lambda::run(move |event: LambdaEvent<QueueEvent>| {
        let (pool, senders, deliveries) = (pool.clone(), senders.clone(), deliveries.clone());
        async move {
            let end = Instant::now() + lambda::time_left(&event).saturating_sub(TIME_TO_END);
            let hints = event.payload.records.iter().filter_map(|record| {
                serde_json::from_str::<Hint>(&record.body)
                    .inspect_err(|e| tracing::error!("a message is not one of ours: {e}"))
                    .ok()
            });
            let ids = hints.flat_map(|hint| hint.delivery_ids).collect();
            deliveries.hand_over_later(deliver_these(&pool, &senders, ids, end).await).await;
            Ok(Acknowledged::default())
        }
    })
    .await
}
