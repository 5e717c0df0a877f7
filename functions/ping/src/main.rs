//! The ping function: the router of all dialects, behind the HTTP API and the Function URL.

use std::sync::Arc;
use std::time::Instant;

use cronmon_ping::{App, Breaker, Freezes, InFlight, limit_per_minute, router};
use lambda::queues::DeliveryQueue;
use lambda::spool_queue::SpoolQueue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let spool = SpoolQueue::from_env()?;
    let most_per_minute = limit_per_minute(lambda::setting("PING_LIMIT_PER_MINUTE").as_deref())?;
    let proxies = lambda::setting("TRUSTED_PROXIES").unwrap_or_default().parse()?;
    let (pool, is_connected) = lambda::connect_database_unverified(1).await?;
    let breaker = Breaker::default();
    if !is_connected {
        // Whoever waits for the first answer has waited for that connection already.
        breaker.failed(Instant::now());
    }
    // The only clock of the process, for when the gateway's is not told.
    #[allow(clippy::disallowed_methods)]
    let clock: http_common::Clock = Arc::new(chrono::Utc::now);
    let router = router(App {
        pool,
        clock: clock.clone(),
        in_flight: InFlight::default(),
        spool: Some(Arc::new(spool)),
        breaker,
        most_per_minute: Some(most_per_minute),
        freezes: Some(Freezes::default()),
    });
    lambda::http::serve(router, clock, proxies, deliveries).await
}
