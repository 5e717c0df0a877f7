//! The api function: management behind the HTTP API.

use std::sync::Arc;

use cronmon_api::auth::{Settings, Verifier};
use cronmon_api::{App, PublicUrl, router};
use destinations::Senders;
use http_common::source::TrustedProxies;
use lambda::queues::DeliveryQueue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let deliveries = DeliveryQueue::from_env()?;
    let verifier = Arc::new(Verifier::new(Settings::from_env(lambda::setting)?)?);
    // Never the Host header: a caller chooses it.
    let public_url = PublicUrl::Fixed(lambda::required("PUBLIC_URL")?.trim_end_matches('/').to_owned());
    let senders = Senders::new(destinations::Settings::from_env(lambda::setting)?)?;
    let pool = lambda::connect_database(2).await?;
    // The only clock of the process.
    #[allow(clippy::disallowed_methods)]
    let clock: http_common::Clock = Arc::new(chrono::Utc::now);
    let router = router(App { pool, clock: clock.clone(), verifier, public_url, senders });
    lambda::http::serve(router, clock, TrustedProxies::default(), deliveries).await
}
