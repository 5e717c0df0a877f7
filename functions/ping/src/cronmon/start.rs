//! `POST /api/v1/monitors/{monitor_id}/jobs/start`: a job of the monitor begins.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::SignalKind;
use http_common::answers::json;
use http_common::body;
use serde_json::json;

use super::{Asked, Counted, Said, answer};
use crate::App;

/// What is read of a body that nobody looks at: a connection is only good for more once it is read.
const BODY_LIMIT: usize = 0;

pub(super) async fn start(State(app): State<App>, request: Request) -> Response {
    let (mut parts, request_body) = request.into_parts();
    let Asked { key_hash, ids: [monitor_id] } = match Asked::read(&mut parts).await {
        Ok(asked) => asked,
        Err(reply) => return reply.into_response(),
    };
    drop(body::read(request_body, BODY_LIMIT).await);
    let said = Said { monitor_id, key_hash, kind: SignalKind::Start, job_id: None, output: None };
    answer(app, &parts, said, |counted| {
        let job_id = match counted {
            Counted::Job(job) => job.job_id,
            // It will be the job's once the database has it; in a pause there is none.
            Counted::Kept { signal_id, .. } => signal_id,
        };
        json(StatusCode::OK, &json!({ "data": { "job_id": job_id } }))
    })
    .await
}
