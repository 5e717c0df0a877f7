//! `POST /api/v1/monitors/{monitor_id}/jobs/{job_id}/finish`: a job ends, well or not.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use database::jobs::Job;
use domain::SignalKind;
use http_common::answers::json;
use http_common::body::{self, BodyError};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::reply::Reply;
use super::{Asked, Counted, Said, answer};
use crate::App;

/// As for every JSON body of the API, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The body. Fields that are unknown are ignored, as the original does.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Finish {
    succeeded: bool,
    #[serde(default)]
    output: Option<String>,
}

pub(super) async fn finish(State(app): State<App>, request: Request) -> Response {
    let (mut parts, request_body) = request.into_parts();
    let Asked { key_hash, ids: [monitor_id, job_id] } = match Asked::read(&mut parts).await {
        Ok(asked) => asked,
        Err(reply) => return reply.into_response(),
    };
    let Finish { succeeded, output } = match body::read(request_body, BODY_LIMIT).await {
        Ok(bytes) => match parse(&bytes) {
            Ok(finish) => finish,
            Err(reply) => return reply.into_response(),
        },
        Err(BodyError::TooLarge) => return Reply::TooLarge(BODY_LIMIT).into_response(),
        Err(BodyError::Incomplete) => return Reply::Incomplete.into_response(),
    };
    let kind = if succeeded { SignalKind::Success } else { SignalKind::Fail };
    let said = Said { monitor_id, key_hash, kind, job_id: Some(job_id), output: output.clone() };
    answer(app, &parts, said, |counted| {
        let job = match counted {
            Counted::Job(job) => job,
            Counted::Kept { received_at, .. } => as_far_as_known(job_id, succeeded, received_at),
        };
        json(StatusCode::OK, &json!({ "data": Job { output, ..job } }))
    })
    .await
}

fn parse(bytes: &[u8]) -> Result<Finish, Reply> {
    // Serde would not look at the text of fields that are ignored,
    let text = str::from_utf8(bytes).map_err(|e| Reply::Malformed(e.to_string()))?;
    // and also take an array of the values.
    let is_array = text.trim_start().starts_with('[');
    match serde_json::from_str(text) {
        Ok(_) if is_array => Err(Reply::BadField("it is not an object".to_owned())),
        Ok(finish) => Ok(finish),
        Err(e) if e.is_data() => Err(Reply::BadField(e.to_string())),
        Err(e) => Err(Reply::Malformed(e.to_string())),
    }
}

/// The job while the database is away, or the monitor paused. When it began is in its id if it was started by the API; whether it is late
/// nobody can tell, and the answer says no.
fn as_far_as_known(job_id: Uuid, succeeded: bool, end: DateTime<Utc>) -> Job {
    let start = started_at(job_id).filter(|start| *start <= end);
    Job {
        job_id,
        start_time: start.unwrap_or(end).naive_utc(),
        end_time: Some(end.naive_utc()),
        duration: start.map(|start| (end - start).num_seconds()),
        in_progress: false,
        late: false,
        succeeded: Some(succeeded),
        output: None,
        output_truncated: false,
        abandoned: false,
        due_at: None,
        exit_status: None,
        rid: Some(job_id),
    }
}

/// To the millisecond, of an id of version 7.
fn started_at(job_id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = job_id.get_timestamp().filter(|_| job_id.get_version_num() == 7)?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_whether_it_succeeded_and_perhaps_the_output() {
        let read = |body: &str| parse(body.as_bytes()).map(|finish| (finish.succeeded, finish.output));
        assert_eq!(read(r#"{"succeeded":true}"#), Ok((true, None)));
        assert_eq!(read(r#" {"output":null,"succeeded":false,"more":[]} "#), Ok((false, None)));
        assert_eq!(read(r#"{"succeeded":true,"output":"a\u0000b"}"#), Ok((true, Some("a\0b".to_owned()))));
        for body in [
            r#"[true,"x"]"#,
            " [true]",
            "null",
            "1",
            "{}",
            r#"{"succeeded":1}"#,
            r#"{"succeeded":"true"}"#,
            r#"{"succeeded":null}"#,
            r#"{"succeeded":true,"succeeded":true}"#,
            r#"{"succeeded":true,"output":1}"#,
        ] {
            assert!(matches!(read(body), Err(Reply::BadField(_))), "{body}: {:?}", read(body));
        }
        for body in ["", "{", "{'succeeded':true}", r#"{"succeeded":true}x"#, "\u{1}"] {
            assert!(matches!(read(body), Err(Reply::Malformed(_))), "{body}: {:?}", read(body));
        }
        for body in
            [&b"{\"succeeded\":true,\"output\":\"\xff\"}"[..], b"{\"succeeded\":true,\"more\":\"\xff\"}"]
        {
            assert!(matches!(parse(body), Err(Reply::Malformed(_))), "{:?}", parse(body));
        }
    }

    #[test]
    fn the_id_of_a_job_tells_when_it_was_started() {
        let id = "01a20132-3f80-7c31-8f4e-0d0c8d1b2a11".parse().unwrap();
        assert_eq!(started_at(id).unwrap().to_rfc3339(), "2026-11-22T03:00:00+00:00");
        assert_eq!(started_at(Uuid::from_u128(4)), None);
        assert_eq!(started_at("01a20132-3f80-4c31-8f4e-0d0c8d1b2a11".parse().unwrap()), None);
        assert!(started_at("ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap()).is_some());
    }
}
