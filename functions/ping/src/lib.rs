//! Pings: the hot path. One folder a dialect, which turns a request into a signal and its outcome into
//! that vendor's reply.

mod breaker;
mod cronmon;
mod freezes;
pub mod healthchecks;
mod in_flight;
mod record;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use database::Pool;
use database::spool::Spool;
use http_common::Clock;
use tower::ServiceExt as _;

pub use breaker::Breaker;
pub use freezes::Freezes;
pub use in_flight::InFlight;

#[derive(Clone)]
pub struct App {
    pub pool: Pool,
    pub clock: Clock,
    /// Shared with who judges lateness in the same process.
    pub in_flight: InFlight,
    /// Where pings go while the database is away; without one they are refused then.
    pub spool: Option<Arc<dyn Spool>>,
    pub breaker: Breaker,
    /// How many pings of one monitor are recorded in a minute; `None`: any number.
    pub most_per_minute: Option<i32>,
    /// In a process that may be frozen between requests, as an environment of Lambda is.
    pub freezes: Option<Freezes>,
}

/// Every path that pings, whatever host serves it. Unknown paths are answered here too.
pub fn router(app: App) -> Router {
    healthchecks::router().merge(cronmon::router()).with_state(app)
}

/// Pings and management on one host: each request goes where the gateway of `template.yaml` would send it.
pub fn beside(pings: Router, management: Router) -> Router {
    Router::new().fallback(async move |request: Request| {
        let path = request.uri().path();
        let is_ping = path.starts_with("/ping/") || cronmon::is_ours(request.method(), path);
        let Ok(response) =
            if is_ping { pings.oneshot(request).await } else { management.oneshot(request).await };
        response
    })
}

/// The setting `PING_LIMIT_PER_MINUTE`: pings of one monitor, 300 when it is not given.
///
/// # Errors
/// It is not a number from 1 to 1,000,000,000.
pub fn limit_per_minute(given: Option<&str>) -> Result<i32, String> {
    let Some(text) = given else { return Ok(300) };
    match text.trim().parse() {
        Ok(limit @ 1..=1_000_000_000) => Ok(limit),
        _ => Err(format!("PING_LIMIT_PER_MINUTE must be a number from 1 to 1000000000, not '{text}'")),
    }
}
