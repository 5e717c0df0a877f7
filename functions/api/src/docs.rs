//! The document of this API, as it was when this was built.

use axum::body::Body;
use axum::response::Response;

const OPENAPI: &str = include_str!("../../../docs/openapi.yaml");

/// Without a content type, as the original answers.
pub(crate) async fn openapi() -> Response {
    Response::new(Body::from(OPENAPI))
}
