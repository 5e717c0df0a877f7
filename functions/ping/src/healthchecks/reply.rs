//! What clients of this protocol expect, to the byte.

use std::borrow::Cow;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, OPTIONS");

/// How long a client should wait that nobody could be found for, in seconds.
const RETRY_WHEN_LOST: u16 = 5;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Ok,
    Created,
    Preflight,
    NotFound,
    BadUrl,
    BadRid,
    /// A field of `create=1`; says which and why.
    BadField(String),
    /// The database does not take it.
    Refused,
    /// Again after so many seconds.
    RateLimited(i32),
    WrongMethod,
    /// What a preview of a link must not do.
    OnlyPost,
    Incomplete,
    TooLarge,
    Unavailable,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (status, text): (_, Cow<'static, str>) = match &self {
            Self::Ok => (StatusCode::OK, "OK".into()),
            Self::Created => (StatusCode::CREATED, "Created".into()),
            Self::Preflight => (StatusCode::OK, "".into()),
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".into()),
            Self::BadUrl => (StatusCode::BAD_REQUEST, "invalid url format".into()),
            Self::BadRid => (StatusCode::BAD_REQUEST, "invalid uuid format".into()),
            Self::BadField(why) => (StatusCode::BAD_REQUEST, why.clone().into()),
            Self::Refused => (StatusCode::BAD_REQUEST, "the ping holds what can't be recorded".into()),
            // Clients look for these two words.
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate limited".into()),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "ping with GET, HEAD, POST or PUT".into()),
            Self::OnlyPost => (StatusCode::METHOD_NOT_ALLOWED, "snooze with POST".into()),
            Self::Incomplete => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive".into()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is over 2500000 bytes".into()),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "not recorded, try again".into()),
        };
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("max-age=0, no-cache, no-store, must-revalidate, private"),
        );
        match self {
            Self::Ok | Self::Created => {
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
            Self::OnlyPost => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::RateLimited(seconds) => {
                headers.insert(RETRY_AFTER, seconds.max(1).into());
            }
            Self::Unavailable => {
                headers.insert(RETRY_AFTER, RETRY_WHEN_LOST.into());
            }
            _ => {}
        }
        response
    }
}
