//! Pings: the hot path. One folder a dialect, which turns a request into a signal and its outcome into
//! that vendor's reply.

pub mod healthchecks;

use axum::Router;
use database::Pool;
use http_common::Clock;

#[derive(Clone)]
pub struct App {
    pub pool: Pool,
    pub clock: Clock,
}

/// Every path that pings, whatever host serves it.
pub fn router(app: App) -> Router {
    healthchecks::router().with_state(app)
}
