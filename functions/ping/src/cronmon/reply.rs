//! What is answered to a request that does not count. Codes and reasons are the original's.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_common::answers::error;
use uuid::Uuid;

/// What was sent may be long; what is said about it is for people. In characters.
const LONGEST_DESCRIPTION: usize = 1_000;

/// Seconds, when nobody could record it.
const RETRY_WHEN_LOST: i32 = 5;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The header is missing.
    NoKey,
    /// No key is this one, or it has expired.
    InvalidKey,
    WrongScope,
    BadId,
    Malformed(String),
    BadField(String),
    /// The limit, in bytes.
    TooLarge(usize),
    Incomplete,
    NoMonitor(Uuid),
    NoJob(Uuid, Uuid),
    Finished(Uuid),
    /// The database does not take it.
    Refused,
    /// Again after so many seconds.
    RateLimited(i32),
    NoSuchPath,
    WrongMethod,
    Unavailable,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (status, reason, description, retry_after): (_, _, String, _) = match self {
            Self::NoKey => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                "The request requires user authentication.".into(),
                None,
            ),
            Self::InvalidKey => {
                (StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized: Invalid API key".into(), None)
            }
            Self::WrongScope => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                "This API key has the scope 'read'; to start and finish jobs takes 'ping' or 'manage'."
                    .into(),
                None,
            ),
            Self::BadId => (
                UNPROCESSABLE,
                "Unprocessable Entity",
                "The path holds an id that is not a UUID.".into(),
                None,
            ),
            Self::Malformed(why) => {
                (StatusCode::BAD_REQUEST, "Bad Request", format!("The body is not JSON: {why}"), None)
            }
            Self::BadField(why) => {
                (UNPROCESSABLE, "Unprocessable Entity", format!("The body can't be used: {why}"), None)
            }
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Payload Too Large",
                format!("The body is larger than {limit} bytes."),
                None,
            ),
            Self::Incomplete => {
                (StatusCode::REQUEST_TIMEOUT, "Request Timeout", "The body did not arrive.".into(), None)
            }
            Self::NoMonitor(id) => (
                StatusCode::NOT_FOUND,
                "Monitor Not Found",
                format!("Failed to find monitor with id '{id}'"),
                None,
            ),
            Self::NoJob(job, monitor) => (
                StatusCode::NOT_FOUND,
                "Job Not Found",
                format!("Failed to find job with id '{job}' in Monitor('{monitor}')"),
                None,
            ),
            Self::Finished(job) => (
                StatusCode::BAD_REQUEST,
                "Job Already Finished",
                format!("Job('{job}') is already finished"),
                None,
            ),
            Self::Refused => {
                (UNPROCESSABLE, "Unprocessable Entity", "It holds what can't be recorded.".into(), None)
            }
            Self::RateLimited(seconds) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too Many Requests",
                "This monitor was pinged too often in the last minute; nothing was recorded.".into(),
                Some(seconds.max(1)),
            ),
            Self::NoSuchPath => (
                StatusCode::NOT_FOUND,
                "Not Found",
                "The requested resource could not be found.".into(),
                None,
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                "This path does not answer this method.".into(),
                None,
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Service Unavailable",
                "It was not recorded; try again in some seconds.".into(),
                Some(RETRY_WHEN_LOST),
            ),
        };
        let short: String = description.chars().take(LONGEST_DESCRIPTION).collect();
        error(status, reason, &short, retry_after)
    }
}

const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
