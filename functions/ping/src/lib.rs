//! Pings: the hot path. One folder a dialect, which turns a request into a signal and its outcome into
//! that vendor's reply.

pub mod healthchecks;
mod in_flight;

use axum::Router;
use database::Pool;
use http_common::Clock;

pub use in_flight::InFlight;

#[derive(Clone)]
pub struct App {
    pub pool: Pool,
    pub clock: Clock,
    /// Shared with who judges lateness in the same process.
    pub in_flight: InFlight,
}

/// Every path that pings, whatever host serves it.
pub fn router(app: App) -> Router {
    healthchecks::router().with_state(app)
}
