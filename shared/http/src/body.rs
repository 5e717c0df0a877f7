//! Reads a request's body up to a limit, before anything is answered: a client that is still sending when
//! the connection closes never sees the answer that says why.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

/// A body over its limit is read and dropped up to here, in bytes.
const DRAIN_LIMIT: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(25);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    /// The connection broke, or the body did not arrive in time.
    Incomplete,
}

/// Reads the whole body.
///
/// # Errors
/// [`BodyError::TooLarge`] over `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    tokio::time::timeout(TIME_LIMIT, collect(body, limit)).await.unwrap_or(Err(BodyError::Incomplete))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut collected = BytesMut::new();
    let mut received = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        let Some(data) = frame.data_ref() else { continue };
        received = received.saturating_add(data.len());
        if received > DRAIN_LIMIT {
            return Err(BodyError::TooLarge);
        }
        if received <= limit {
            collected.extend_from_slice(data);
        }
    }
    if received > limit { Err(BodyError::TooLarge) } else { Ok(collected.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_over_it_is_not() {
        assert_eq!(read(Body::from("12345"), 5).await, Ok(Bytes::from("12345")));
        assert_eq!(read(Body::from("123456"), 5).await, Err(BodyError::TooLarge));
    }
}
