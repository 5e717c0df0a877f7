//! What every dialect reads from a request.

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use uuid::Uuid;

const USER_AGENT_CHARACTERS: usize = 200;

/// A request that repeats the `Idempotency-Key` of an earlier one about the same thing is that signal.
pub(crate) fn signal_id(headers: &HeaderMap, about: Uuid) -> Uuid {
    match headers.get("idempotency-key").filter(|key| !key.is_empty()) {
        Some(key) => Uuid::new_v5(&about, key.as_bytes()),
        None => Uuid::now_v7(),
    }
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(USER_AGENT)?;
    Some(String::from_utf8_lossy(agent.as_bytes()).chars().take(USER_AGENT_CHARACTERS).collect())
}
