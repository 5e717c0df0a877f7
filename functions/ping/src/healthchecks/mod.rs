//! The ping protocol of Healthchecks: `/ping/<ping id>` and its suffixes. `docs/protocols/` has it whole.

mod kept_body;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, USER_AGENT,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chrono::SubsecRound as _;
use database::signals::{Outcome, ReceivedSignal, apply_signal};
use domain::SignalKind;
use http_common::{NewDeliveries, ReceivedAt, SourceAddress, body};
use tokio::time::timeout;
use uuid::Uuid;

use crate::App;

/// Larger bodies are refused.
const BODY_LIMIT: usize = 2_500_000;

const USER_AGENT_CHARACTERS: usize = 200;

/// How long the database may take; clients commonly wait 10 s.
const TIME_LIMIT: Duration = Duration::from_secs(8);

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ping/{*rest}", any(ping))
}

async fn ping(State(app): State<App>, request: Request) -> Response {
    let (parts, request_body) = request.into_parts();
    let whole = body::read(request_body, BODY_LIMIT).await;
    match parts.method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT => {}
        Method::OPTIONS => return Reply::Preflight.into_response(),
        _ => return Reply::WrongMethod.into_response(),
    }
    let said = match read_url(parts.uri.path(), parts.uri.query()) {
        Ok(said) => said,
        Err(reply) => return reply.into_response(),
    };
    let whole = match whole {
        Ok(whole) => whole,
        Err(body::BodyError::TooLarge) => return Reply::TooLarge.into_response(),
        Err(body::BodyError::Incomplete) => return Reply::Incomplete.into_response(),
    };
    // Received is what has arrived whole: a body that takes its time must not be older than the verdicts
    // of meanwhile.
    let now = parts.extensions.get::<ReceivedAt>().map_or_else(|| (app.clock)(), |received| received.0);
    let _in_flight = app.in_flight.enter(now);
    let signal = ReceivedSignal {
        ping_id: said.ping_id,
        signal_id: signal_id(&parts.headers, said.ping_id),
        received_at: now.trunc_subsecs(6),
        kind: said.kind,
        rid: said.rid,
        exit_status: said.exit_status,
        source_address: parts.extensions.get::<SourceAddress>().map(|source| source.0),
        user_agent: user_agent(&parts),
        body: (!whole.is_empty()).then(|| kept_body::head_and_tail(&whole)),
    };
    match timeout(TIME_LIMIT, apply_signal(&app.pool, &signal)).await {
        Ok(Ok(applied)) => {
            let reply = match applied.outcome {
                Outcome::Applied | Outcome::Repeated => Reply::Ok,
                Outcome::UnknownMonitor => Reply::NotFound,
            };
            let mut response = reply.into_response();
            if !applied.new_deliveries.is_empty() {
                response.extensions_mut().insert(NewDeliveries(applied.new_deliveries));
            }
            response
        }
        Err(_) => {
            tracing::error!("a ping was not recorded: the database did not answer in time");
            Reply::Unavailable.into_response()
        }
        Ok(Err(e)) => {
            tracing::error!("a ping was not recorded: {e}");
            Reply::Unavailable.into_response()
        }
    }
}

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    ping_id: Uuid,
    kind: SignalKind,
    exit_status: Option<i16>,
    rid: Option<Uuid>,
}

fn read_url(path: &str, query: Option<&str>) -> Result<Said, Reply> {
    let rest = path.strip_prefix("/ping/").ok_or(Reply::NotFound)?;
    let (id, suffix) = rest.split_once('/').unwrap_or((rest, ""));
    let ping_id = canonical_uuid(id).filter(|_| !id.contains(char::is_uppercase)).ok_or(Reply::NotFound)?;
    let (kind, exit_status) = match suffix {
        "" => (SignalKind::Success, None),
        "start" => (SignalKind::Start, None),
        "fail" => (SignalKind::Fail, None),
        "log" => (SignalKind::Log, None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u8>() {
            Ok(0) => (SignalKind::Success, Some(0)),
            Ok(status) => (SignalKind::Fail, Some(status.into())),
            Err(_) => return Err(Reply::BadUrl),
        },
        _ => return Err(Reply::NotFound),
    };
    let mut rid = None;
    for pair in query.unwrap_or_default().split('&') {
        if let Some(value) = pair.strip_prefix("rid=") {
            rid = Some(canonical_uuid(value).ok_or(Reply::BadRid)?);
        }
    }
    Ok(Said { ping_id, kind, exit_status, rid })
}

/// Only the form with dashes; the parser would take others too.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A request that repeats the `Idempotency-Key` of an earlier one to the same monitor is that signal.
fn signal_id(headers: &HeaderMap, ping_id: Uuid) -> Uuid {
    match headers.get("idempotency-key").filter(|key| !key.is_empty()) {
        Some(key) => Uuid::new_v5(&ping_id, key.as_bytes()),
        None => Uuid::now_v7(),
    }
}

fn user_agent(parts: &Parts) -> Option<String> {
    let agent = parts.headers.get(USER_AGENT)?;
    Some(String::from_utf8_lossy(agent.as_bytes()).chars().take(USER_AGENT_CHARACTERS).collect())
}

/// What clients of this protocol expect to the byte.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Ok,
    Preflight,
    NotFound,
    BadUrl,
    BadRid,
    WrongMethod,
    Incomplete,
    TooLarge,
    Unavailable,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, OPTIONS");
        let (status, text) = match self {
            Self::Ok => (StatusCode::OK, "OK"),
            Self::Preflight => (StatusCode::OK, ""),
            Self::NotFound => (StatusCode::NOT_FOUND, "not found"),
            Self::BadUrl => (StatusCode::BAD_REQUEST, "invalid url format"),
            Self::BadRid => (StatusCode::BAD_REQUEST, "invalid uuid format"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "ping with GET, HEAD, POST or PUT"),
            Self::Incomplete => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is over 2500000 bytes"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "not recorded, try again"),
        };
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("max-age=0, no-cache, no-store, must-revalidate, private"),
        );
        match self {
            Self::Ok => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                headers.insert(HeaderName::from_static("ping-body-limit"), HeaderValue::from_static("10000"));
            }
            Self::Preflight => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
            }
            Self::WrongMethod => {
                headers.insert(ALLOW, METHODS);
            }
            Self::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0d5e3a1c-3f0b-4b5e-9a38-5d9d3f1f2a10";

    fn said(rest: &str, query: Option<&str>) -> Result<(SignalKind, Option<i16>, bool), Reply> {
        read_url(&format!("/ping/{ID}{rest}"), query).map(|s| (s.kind, s.exit_status, s.rid.is_some()))
    }

    #[test]
    fn each_suffix_is_a_signal() {
        assert_eq!(said("", None), Ok((SignalKind::Success, None, false)));
        assert_eq!(said("/", None), Ok((SignalKind::Success, None, false)));
        assert_eq!(said("/start", None), Ok((SignalKind::Start, None, false)));
        assert_eq!(said("/fail", None), Ok((SignalKind::Fail, None, false)));
        assert_eq!(said("/log", None), Ok((SignalKind::Log, None, false)));
        assert_eq!(said("/0", None), Ok((SignalKind::Success, Some(0), false)));
        assert_eq!(said("/007", None), Ok((SignalKind::Fail, Some(7), false)));
        assert_eq!(said("/255", None), Ok((SignalKind::Fail, Some(255), false)));
    }

    #[test]
    fn what_no_client_means_is_refused() {
        for over in ["/256", "/99999999999999999999"] {
            assert_eq!(said(over, None), Err(Reply::BadUrl), "{over}");
        }
        for unknown in ["/stop", "/-1", "/start/", "/1/2", "//", "/%00", "/1 "] {
            assert_eq!(said(unknown, None), Err(Reply::NotFound), "{unknown}");
        }
        for id in [&ID.to_uppercase(), &ID.replace('-', ""), &format!("{{{ID}}}"), "", "x"] {
            assert_eq!(read_url(&format!("/ping/{id}"), None), Err(Reply::NotFound), "{id}");
        }
    }

    #[test]
    fn a_malformed_rid_is_refused() {
        let rid = format!("rid={ID}");
        assert_eq!(said("/start", Some(&rid)), Ok((SignalKind::Start, None, true)));
        assert_eq!(said("", Some(&format!("a=1&{rid}"))), Ok((SignalKind::Success, None, true)));
        for query in ["rid=", "rid=1", "rid=%00", "rid=not-a-uuid", "x&rid=x"] {
            assert_eq!(said("", Some(query)), Err(Reply::BadRid), "{query}");
        }
    }
}
