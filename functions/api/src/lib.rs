//! Management over HTTP: monitors, their jobs and pings, alert configs, maintenance windows, keys, retention.
//!
//! Every path is listed here, but those by which jobs are started and finished: the ping function answers them. Each
//! use case is one file with its types, its SQL and its handler.

mod alert_configs;
mod answers;
pub mod auth;
mod crontab_import;
mod cursor;
mod docs;
mod health;
mod keys;
mod maintenance_windows;
mod monitors;
mod page;
mod ping_keys;
mod preflight;
mod requests;
mod retention;
mod schedules;
mod simulate;
mod turns;

use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use database::Pool;
use destinations::Senders;
use http_common::Clock;
use http_common::answers::with_headers;

use answers::ApiError;
use auth::Verifier;
pub use keys::opens::tenant_of_key;

#[derive(Clone)]
pub struct App {
    pub pool: Pool,
    pub clock: Clock,
    pub verifier: std::sync::Arc<Verifier>,
    pub public_url: PublicUrl,
    /// For tests of alert configs.
    pub senders: Senders,
}

/// Where jobs find the ping function.
#[derive(Debug, Clone)]
pub enum PublicUrl {
    /// The setting `PUBLIC_URL`, without a slash at its end.
    Fixed(String),
    /// Wherever the caller found us; only on one machine, for a caller chooses the Host header.
    FromHost,
}

/// Every path of management, whatever host serves it. Unknown paths are answered here too.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        // The original answers with and without a slash at the end.
        router = router.route(&format!("{path}/"), methods.clone()).route(path, methods);
    }
    router
        .fallback(async || ApiError::no_such_path())
        .method_not_allowed_fallback(async || ApiError::wrong_method())
        .layer(from_fn(preflight::preflight))
        .layer(from_fn(requests::read_body))
        .layer(map_response(with_headers))
        .with_state(app)
}

/// What the API answers while the database can't be reached. Why is for the log.
pub async fn unavailable(why: &str) -> Response {
    with_headers(ApiError::unavailable(&why).into_response()).await
}

/// Every path of this function, as `docs/openapi.yaml` must have them.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    use {alert_configs as configs, maintenance_windows as windows};
    vec![
        ("/api/v1/health", get(health::health)),
        ("/api/v1/health/ready", get(health::ready)),
        ("/api/v1/docs/openapi.yaml", get(docs::openapi)),
        ("/api/v1/monitors", get(monitors::list::list).post(monitors::create::create)),
        (
            "/api/v1/monitors/{monitor_id}",
            get(monitors::read::read).patch(monitors::change::change).delete(monitors::delete::delete),
        ),
        ("/api/v1/monitors/{monitor_id}/jobs", get(monitors::jobs::list)),
        ("/api/v1/monitors/{monitor_id}/jobs/{job_id}", get(monitors::jobs::read)),
        ("/api/v1/monitors/{monitor_id}/pings", get(monitors::pings::list)),
        ("/api/v1/monitors/{monitor_id}/pings/{signal_id}", get(monitors::pings::read)),
        ("/api/v1/monitors/{monitor_id}/explain", get(monitors::explain::explain)),
        ("/api/v1/monitors/{monitor_id}/simulate", get(simulate::history::simulate)),
        ("/api/v1/monitors/{monitor_id}/ping-url", post(monitors::replace_ping_url::replace_ping_url)),
        ("/api/v1/monitors/{monitor_id}/pause", post(monitors::pause::pause)),
        ("/api/v1/monitors/{monitor_id}/resume", post(monitors::resume::resume)),
        ("/api/v1/monitors/{monitor_id}/snooze", post(monitors::snooze::snooze)),
        (
            "/api/v1/monitors/{monitor_id}/alert-configs",
            get(configs::of_monitor::list).post(configs::of_monitor::attach),
        ),
        (
            "/api/v1/monitors/{monitor_id}/alert-configs/{alert_config_id}",
            axum::routing::delete(configs::of_monitor::detach),
        ),
        ("/api/v1/alert-configs", get(configs::list::list).post(configs::create::create)),
        (
            "/api/v1/alert-configs/{alert_config_id}",
            get(configs::read::read).patch(configs::change::change).delete(configs::delete::delete),
        ),
        ("/api/v1/alert-configs/{alert_config_id}/test", post(configs::send_test::send_test)),
        ("/api/v1/maintenance-windows", get(windows::list::list).post(windows::create::create)),
        (
            "/api/v1/maintenance-windows/{window_id}",
            get(windows::read::read).patch(windows::change::change).delete(windows::delete::delete),
        ),
        ("/api/v1/keys", get(keys::list::list).post(keys::create::create)),
        ("/api/v1/keys/{api_key_id}", axum::routing::delete(keys::delete::delete)),
        ("/api/v1/ping-keys", get(ping_keys::list::list).post(ping_keys::create::create)),
        ("/api/v1/ping-keys/{ping_key_id}", axum::routing::delete(ping_keys::delete::delete)),
        ("/api/v1/schedules/preview", get(schedules::preview::preview)),
        ("/api/v1/simulate", post(simulate::given::simulate)),
        (requests::TAKES_TEXT, post(crontab_import::import)),
        ("/api/v1/retention", get(retention::read::read).patch(retention::change::change)),
    ]
}
