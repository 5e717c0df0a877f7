//! The original API's way to ping: who has an API key starts a job of a monitor, and finishes it.
//! `docs/protocols/cronmon-v1.md` has it whole.
//!
//! The checks come in the order of the original's: whether there is a key, the ids in the path, the body, and then what
//! only the database knows.

mod finish;
mod reply;
mod start;

use axum::extract::RawPathParams;
use axum::http::Method;
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use axum::{RequestPartsExt as _, Router};
use chrono::{DateTime, SubsecRound as _, Utc};
use database::jobs::Job;
use database::signals::{Address, Outcome, ReceivedSignal};
use domain::SignalKind;
use http_common::answers::with_headers;
use http_common::{NewDeliveries, ReceivedAt, SourceAddress};
use uuid::Uuid;

use crate::App;
use crate::record::{Recorded, record_in_a_task};
use crate::request::{searched, signal_id, user_agent};
use reply::Reply;

pub(crate) fn router() -> Router<App> {
    let mut router = Router::new();
    for (path, methods) in [
        ("/api/v1/monitors/{monitor_id}/jobs/start", post(start::start)),
        ("/api/v1/monitors/{monitor_id}/jobs/{job_id}/finish", post(finish::finish)),
        // What the api function answers, by other methods.
        (
            "/api/v1/monitors/{monitor_id}/jobs/{job_id}",
            any(async || ([(ALLOW, "GET,HEAD")], Reply::WrongMethod)),
        ),
    ] {
        router = router.route(&format!("{path}/"), methods.clone()).route(path, methods);
    }
    router
        .fallback(async || Reply::NoSuchPath)
        .method_not_allowed_fallback(async || Reply::WrongMethod)
        .layer(map_response(with_headers))
}

/// Whether a request of the management API is one of ours: the route of the ping function in `template.yaml`.
pub(crate) fn is_ours(method: &Method, path: &str) -> bool {
    let of_monitor = path.strip_prefix("/api/v1/monitors/").and_then(|rest| rest.split_once('/'));
    method == Method::POST
        && of_monitor.is_some_and(|(_, rest)| rest.strip_prefix("jobs/").is_some_and(|rest| !rest.is_empty()))
}

/// What both requests say, apart from their body.
struct Asked<const N: usize> {
    key_hash: [u8; 32],
    /// As they stand in the path.
    ids: [Uuid; N],
}

impl<const N: usize> Asked<N> {
    async fn read(parts: &mut Parts) -> Result<Self, Reply> {
        let key = parts.headers.get("x-api-key").ok_or(Reply::NoKey)?;
        // One that is no text is none of ours.
        let key_hash = domain::key::hash(key.to_str().unwrap_or_default());
        let params: RawPathParams = parts.extract().await.map_err(|_| Reply::BadId)?;
        let ids: Option<Vec<Uuid>> = params.iter().map(|(_, text)| Uuid::try_parse(text).ok()).collect();
        let ids = ids.and_then(|ids| ids.try_into().ok()).ok_or(Reply::BadId)?;
        Ok(Self { key_hash, ids })
    }
}

/// What a signal of a job says.
struct Said {
    monitor_id: Uuid,
    key_hash: [u8; 32],
    kind: SignalKind,
    /// The job that it ends; none of a start.
    job_id: Option<Uuid>,
    output: Option<String>,
}

/// What is answered when the signal counts, now or once the database has it.
enum Counted {
    Job(Job),
    /// No job is known of it: it waits in the spool, or the monitor is paused.
    Kept {
        signal_id: Uuid,
        received_at: DateTime<Utc>,
    },
}

/// Records the signal, and answers with what `shown` makes of it.
async fn answer(app: App, parts: &Parts, said: Said, shown: impl FnOnce(Counted) -> Response) -> Response {
    // Once everything has arrived, as for other pings.
    let now = now(&app, parts);
    let about = said.job_id.unwrap_or(said.monitor_id);
    let in_flight = app.in_flight.enter(now);
    let signal = ReceivedSignal {
        // Bound to the key: while the database is away nobody can tell whether that is one.
        signal_id: signal_id(&parts.headers, Uuid::new_v5(&about, &said.key_hash)),
        address: Address::Monitor { key_hash: said.key_hash, monitor_id: said.monitor_id },
        received_at: now,
        kind: said.kind,
        rid: said.job_id,
        exit_status: None,
        source_address: parts.extensions.get::<SourceAddress>().map(|source| source.0),
        user_agent: user_agent(&parts.headers),
        searched: said.output.as_ref().and_then(|output| searched(output.as_bytes())),
        body: said.output.map(String::into_bytes),
    };
    let signal_id = signal.signal_id;
    let applied = match record_in_a_task(app, signal, in_flight).await {
        Recorded::Applied(applied) => applied,
        Recorded::Spooled => return shown(Counted::Kept { signal_id, received_at: now }),
        Recorded::Refused => return Reply::Refused.into_response(),
        Recorded::Lost => return Reply::Unavailable.into_response(),
    };
    let mut response = match applied.outcome {
        Outcome::Applied | Outcome::Repeated | Outcome::Created => shown(match applied.job {
            Some(job) => Counted::Job(job),
            None => Counted::Kept { signal_id, received_at: now },
        }),
        Outcome::NoKey => Reply::InvalidKey.into_response(),
        Outcome::WrongScope => Reply::WrongScope.into_response(),
        Outcome::UnknownMonitor => Reply::NoMonitor(said.monitor_id).into_response(),
        Outcome::NoJob => Reply::NoJob(about, said.monitor_id).into_response(),
        Outcome::Finished => Reply::Finished(about).into_response(),
        Outcome::Limited { retry_after } => Reply::RateLimited(retry_after).into_response(),
        // Whoever records puts it into the spool.
        Outcome::Behind => Reply::Unavailable.into_response(),
    };
    // One that does not count lets fall due what was due before it, too.
    if !applied.new_deliveries.is_empty() {
        response.extensions_mut().insert(NewDeliveries(applied.new_deliveries));
    }
    response
}

fn now(app: &App, parts: &Parts) -> DateTime<Utc> {
    parts.extensions.get::<ReceivedAt>().map_or_else(|| (app.clock)(), |received| received.0).trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_below_the_jobs_of_a_monitor_are_ours() {
        for path in ["jobs/start", "jobs/start/", "jobs/x/finish", "jobs/x/finish/", "jobs/x"] {
            let path = format!("/api/v1/monitors/m/{path}");
            assert!(is_ours(&Method::POST, &path), "{path}");
            assert!(!is_ours(&Method::GET, &path), "{path}");
        }
        for path in ["monitors/m/jobs", "monitors/m/jobs/", "monitors/m/pause", "monitors", "monitors/jobs/x"]
        {
            assert!(!is_ours(&Method::POST, &format!("/api/v1/{path}")), "{path}");
        }
    }
}
