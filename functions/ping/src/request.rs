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

/// Between the two ends of a long body.
pub(crate) const MARK: &[u8] = b"\n[...]\n";

/// Keywords are looked for in so much of both ends of a body, in bytes: the search takes time under the monitor's lock.
const SEARCHED_END: usize = 60_000;

/// Where keywords are looked for in a body; `None`: in all of it.
pub(crate) fn searched(body: &[u8]) -> Option<Vec<u8>> {
    (body.len() > 2 * SEARCHED_END).then(|| both_ends(body, SEARCHED_END))
}

/// So much of each end of a body that is longer than both.
pub(crate) fn both_ends(body: &[u8], length: usize) -> Vec<u8> {
    let (head, _) = body.split_at(length);
    let (_, tail) = body.split_at(body.len() - length);
    [head, MARK, tail].concat()
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(USER_AGENT)?;
    Some(String::from_utf8_lossy(agent.as_bytes()).chars().take(USER_AGENT_CHARACTERS).collect())
}
