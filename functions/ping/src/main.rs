//! The ping function: the router of all dialects, behind the HTTP API and the Function URL.

use std::sync::Arc;

use lambda::queues::DeliveryQueue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let pool = lambda::connect_database(1).await?;
    // The only clock of the process, for when the gateway's is not told.
    #[allow(clippy::disallowed_methods)]
    let clock: http_common::Clock = Arc::new(chrono::Utc::now);
    let router = cronmon_ping::router(cronmon_ping::App {
        pool,
        clock: clock.clone(),
        in_flight: cronmon_ping::InFlight::default(),
    });
    lambda::http::serve(router, clock, Some(deliveries)).await
}
