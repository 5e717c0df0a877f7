//! The ping protocol of Healthchecks: `/ping/<ping id>`, `/ping/<ping key>/<slug>`, and their suffixes.
//! `docs/protocols/` has it whole.

mod create;
mod kept_body;
mod reply;
mod snooze;
mod url;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chrono::SubsecRound as _;
use database::signals::{Address, Outcome, ReceivedSignal};
use http_common::{NewDeliveries, ReceivedAt, SourceAddress, body};
use uuid::Uuid;

use crate::App;
use crate::record::{Recorded, record_in_a_task};
use crate::request::{signal_id, user_agent};
use kept_body::KeptBody;
use reply::Reply;

/// Larger bodies are refused.
const BODY_LIMIT: usize = 2_500_000;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ping/{*rest}", any(ping))
}

async fn ping(State(app): State<App>, request: Request) -> Response {
    let (parts, request_body) = request.into_parts();
    if let Some(read) = url::snooze(&parts.uri) {
        return snooze::snooze(app, &parts, request_body, read).await;
    }
    let whole = body::read(request_body, BODY_LIMIT).await;
    match parts.method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT => {}
        Method::OPTIONS => return Reply::Preflight.into_response(),
        _ => return Reply::WrongMethod.into_response(),
    }
    // Received is what has arrived whole: a body that takes its time must not be older than the verdicts
    // of meanwhile.
    let now = parts.extensions.get::<ReceivedAt>().map_or_else(|| (app.clock)(), |received| received.0);
    let now = now.trunc_subsecs(6);
    let in_flight = app.in_flight.enter(now);
    let said = match url::read(&parts.uri, now) {
        Ok(said) => said,
        Err(reply) => return reply.into_response(),
    };
    let KeptBody { kept, searched } = match whole {
        Ok(whole) => kept_body::keep(whole),
        Err(body::BodyError::TooLarge) => return Reply::TooLarge.into_response(),
        Err(body::BodyError::Incomplete) => return Reply::Incomplete.into_response(),
    };
    let address = said.monitor.address(now);
    let signal = ReceivedSignal {
        signal_id: signal_id(&parts.headers, monitor(&address)),
        address,
        received_at: now,
        kind: said.kind,
        rid: said.rid,
        exit_status: said.exit_status,
        source_address: parts.extensions.get::<SourceAddress>().map(|source| source.0),
        user_agent: user_agent(&parts.headers),
        body: kept,
        searched,
    };
    let applied = match record_in_a_task(app, signal, in_flight).await {
        Recorded::Applied(applied) => applied,
        Recorded::Spooled => return Reply::Ok.into_response(),
        Recorded::Refused => return Reply::Refused.into_response(),
        Recorded::Lost => return Reply::Unavailable.into_response(),
    };
    let reply = match applied.outcome {
        Outcome::Applied | Outcome::Repeated => Reply::Ok,
        Outcome::Created => Reply::Created,
        Outcome::UnknownMonitor
        | Outcome::NoKey
        | Outcome::WrongScope
        | Outcome::NoJob
        | Outcome::Finished => Reply::NotFound,
        // Whoever records puts it there.
        Outcome::Behind => Reply::Unavailable,
        Outcome::Limited { retry_after } => Reply::RateLimited(retry_after),
    };
    let mut response = reply.into_response();
    if !applied.new_deliveries.is_empty() {
        response.extensions_mut().insert(NewDeliveries(applied.new_deliveries));
    }
    response
}

/// What a repeated `Idempotency-Key` is about.
fn monitor(address: &Address) -> Uuid {
    match address {
        Address::PingId(ping_id) => *ping_id,
        Address::Slug { key_hash, slug, .. } => {
            Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_OID, key_hash), slug.as_bytes())
        }
        Address::Monitor { monitor_id, .. } => *monitor_id,
    }
}
