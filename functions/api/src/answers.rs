//! What callers are told: `{"data": ...}`, or one shape of error.
//!
//! Codes and reasons are those of the original API. What the log is told is another message, given to
//! [`ApiError::internal`] and [`ApiError::unauthorized`].

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use database::DatabaseError;
use http_common::NewDeliveries;
use http_common::answers::{error, json};
use serde::Serialize;
use uuid::Uuid;

/// A successful answer with a body.
#[derive(Debug, Serialize)]
pub(crate) struct Data<T> {
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
    #[serde(skip)]
    new_deliveries: Vec<Uuid>,
}

#[derive(Debug, Serialize)]
struct Paging {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// Where the next page begins; `None` when this is the last.
    next_cursor: Option<String>,
}

impl<T> Data<T> {
    pub(crate) fn one(data: T) -> Self {
        Self { data, paging: None, new_deliveries: Vec::new() }
    }

    /// For whoever hands over the deliveries that the request made.
    pub(crate) fn handing_over(self, new_deliveries: Vec<Uuid>) -> Self {
        Self { new_deliveries, ..self }
    }
}

impl<T> Data<Vec<T>> {
    /// A list of which `total` exist, all of them or a part; `next_cursor` is where the next one begins.
    pub(crate) fn list(data: Vec<T>, total: i64, next_cursor: Option<String>) -> Self {
        let paging = Some(Paging { total: Some(total), next_cursor });
        Self { data, paging, new_deliveries: Vec::new() }
    }

    /// A part of a list that is too long to be counted.
    pub(crate) fn uncounted(data: Vec<T>, next_cursor: Option<String>) -> Self {
        let paging = Some(Paging { total: None, next_cursor });
        Self { data, paging, new_deliveries: Vec::new() }
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::OK, &self);
        if !self.new_deliveries.is_empty() {
            response.extensions_mut().insert(NewDeliveries(self.new_deliveries));
        }
        response
    }
}

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    reason: &'static str,
    description: String,
    /// Seconds.
    retry_after: Option<i32>,
}

/// When to try again, in seconds, while the database can't be reached.
const RETRY_AFTER: i32 = 5;

/// What was sent may be long; what is said about it is for people. In characters.
const LONGEST_DESCRIPTION: usize = 1_000;

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, description: impl Into<String>) -> Self {
        Self { status, reason, description: description.into(), retry_after: None }
    }

    /// The body is no JSON.
    pub(crate) fn malformed(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", description)
    }

    /// A field, or an id in the path, can't be used; the description names it.
    pub(crate) fn unprocessable(description: impl Into<String>) -> Self {
        let description: String = description.into().chars().take(LONGEST_DESCRIPTION).collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity", description)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let description = format!("The body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", description)
    }

    pub(crate) fn incomplete() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Request Timeout", "The body did not arrive.")
    }

    /// Why is for the log alone.
    pub(crate) fn unauthorized(why: &impl std::fmt::Display) -> Self {
        tracing::info!("refused: {why}");
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "The request requires user authentication.")
    }

    /// No key is this one, or it has expired.
    pub(crate) fn invalid_key() -> Self {
        tracing::info!("refused: no API key is this one, or it has expired");
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized: Invalid API key")
    }

    pub(crate) fn scope_too_small(scope: &str, needed: &str) -> Self {
        let description = format!("This API key has the scope '{scope}'; {needed}.");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", description)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found", "The requested resource could not be found.")
    }

    pub(crate) fn wrong_method() -> Self {
        let description = "This path does not answer this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", description)
    }

    pub(crate) fn no_monitor(monitor_id: Uuid) -> Self {
        let description = format!("Failed to find monitor with id '{monitor_id}'");
        Self::new(StatusCode::NOT_FOUND, "Monitor Not Found", description)
    }

    pub(crate) fn no_job(job_id: Uuid, monitor_id: Uuid) -> Self {
        let description = format!("Failed to find job with id '{job_id}' in Monitor('{monitor_id}')");
        Self::new(StatusCode::NOT_FOUND, "Job Not Found", description)
    }

    pub(crate) fn no_ping(signal_id: Uuid, monitor_id: Uuid) -> Self {
        let description = format!("Failed to find ping with id '{signal_id}' in Monitor('{monitor_id}')");
        Self::new(StatusCode::NOT_FOUND, "Ping Not Found", description)
    }

    pub(crate) fn no_api_key(api_key_id: Uuid) -> Self {
        let description = format!("Failed to find API key with id '{api_key_id}'");
        Self::new(StatusCode::NOT_FOUND, "API Key Not Found", description)
    }

    pub(crate) fn no_ping_key(ping_key_id: Uuid) -> Self {
        let description = format!("Failed to find ping key with id '{ping_key_id}'");
        Self::new(StatusCode::NOT_FOUND, "Ping Key Not Found", description)
    }

    pub(crate) fn no_window(window_id: Uuid) -> Self {
        let description = format!("Failed to find maintenance window with id '{window_id}'");
        Self::new(StatusCode::NOT_FOUND, "Maintenance Window Not Found", description)
    }

    pub(crate) fn slug_taken(slug: &str) -> Self {
        let description = format!("Another monitor has the slug '{slug}'");
        Self::new(StatusCode::CONFLICT, "Slug Taken", description)
    }

    /// `missing` holds at least one id, in the order of the request.
    pub(crate) fn no_alert_configs(missing: &[Uuid]) -> Self {
        let description = match missing {
            [one] => format!("Failed to find alert configuration with id '{one}'"),
            many => {
                let ids: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("Failed to find alert configurations with ids '[{}]'", ids.join(", "))
            }
        };
        Self::new(StatusCode::NOT_FOUND, "Alert Configuration Not Found", description)
    }

    /// The original answers 500 to an association that exists already or does not exist; its clients
    /// know it so.
    pub(crate) fn association(what: &str) -> Self {
        let description = format!("Failed to configure alert: {what}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Alert Configuration Error", description)
    }

    /// A test did not arrive; `why` is for the owner of the alert config.
    pub(crate) fn not_delivered(why: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "Notify Error", format!("Failed to notify: {why}"))
    }

    /// The database can't be reached.
    pub(crate) fn unavailable(why: &impl std::fmt::Display) -> Self {
        tracing::error!("{why}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            "The database can't be reached at the moment; try again in some seconds.",
        )
    }

    /// Nobody came to it in time.
    pub(crate) fn delayed(why: &impl std::fmt::Display) -> Self {
        tracing::error!("{why}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            "The database did not come to it in time, and nothing was changed; try again in some seconds.",
        )
    }

    /// Again after so many seconds.
    pub(crate) fn too_often(retry_after: i32, description: String) -> Self {
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", description);
        Self { retry_after: Some(retry_after), ..refused }
    }

    /// Others of its kind are before it.
    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            "Too many such requests are being worked on; try again in some seconds.",
        )
    }

    /// A fault of ours.
    pub(crate) fn internal(why: &impl std::fmt::Display) -> Self {
        tracing::error!("{why}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error",
            "The server encountered an internal error while processing this request.",
        )
    }
}

/// Rolled back for another's sake, no room, locked by somebody, no time left or told to end: classes of appendix A of
/// PostgreSQL's manual.
fn is_over_later(e: &tokio_postgres::Error) -> bool {
    e.code().is_some_and(|code| ["40", "53", "55", "57"].iter().any(|class| code.code().starts_with(class)))
}

impl From<DatabaseError> for ApiError {
    fn from(e: DatabaseError) -> Self {
        match &e {
            DatabaseError::Pool(_) => Self::unavailable(&e),
            DatabaseError::Statement(statement) if is_over_later(statement) => Self::delayed(&e),
            DatabaseError::Statement(_) | DatabaseError::Data(_) => Self::internal(&e),
        }
    }
}

impl From<tokio_postgres::Error> for ApiError {
    fn from(e: tokio_postgres::Error) -> Self {
        DatabaseError::from(e).into()
    }
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(e: deadpool_postgres::PoolError) -> Self {
        DatabaseError::from(e).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let unavailable = (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER);
        error(self.status, self.reason, &self.description, self.retry_after.or(unavailable))
    }
}

/// An instant as it stands in a sentence for callers, like those of the fields.
pub(crate) fn shown_instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
