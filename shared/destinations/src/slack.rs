//! Posts a message to a channel by Slack's Web API, `chat.postMessage`.
//!
//! The token is the right to post as its owner's bot. It stands in one header of the request and nowhere else.

mod payload;
mod text;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use crate::answer::{Answer, Verdict, not_answered, plain, read_some, retry_after};
use crate::client::{Clients, LIMITS, Limits, Reach};
use crate::message::Message;

/// How much of an answer is read, in bytes: Slack repeats the message in it.
const READ_BYTES: usize = 256 * 1024;

/// How much of a refusal is shown, in characters, and of the error that it names.
const SHOWN_CHARS: usize = 300;
const SHOWN_CHARS_OF_ERROR: usize = 100;

/// The client for Slack. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Slack(Arc<Inner>);

struct Inner {
    post_message: Url,
    clients: Clients,
}

impl Slack {
    /// A client that waits 5 s for a connection and 10 s in all.
    ///
    /// # Errors
    /// The HTTP client can't be built; says why.
    pub(crate) fn new(api_url: &Url) -> Result<Self, String> {
        Self::with_limits(api_url, LIMITS)
    }

    fn with_limits(api_url: &Url, limits: Limits) -> Result<Self, String> {
        let mut post_message = api_url.clone();
        post_message.set_path(&format!("{}/chat.postMessage", api_url.path().trim_end_matches('/')));
        Ok(Self(Arc::new(Inner { post_message, clients: Clients::new(Reach::Anywhere, limits)? })))
    }

    /// Posts a message once. Answers within 10 s.
    pub(crate) async fn post(&self, channel: &str, token: &str, message: &Message) -> Answer {
        let Inner { post_message, clients } = &*self.0;
        let client = match clients.for_url(post_message) {
            Ok(client) => client,
            Err(why) => return Answer::failed(said_of(&why), Verdict::Transient),
        };
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Answer::failed(said_of("the token can't be sent"), Verdict::Permanent);
        };
        bearer.set_sensitive(true);
        let sent = client
            .post(post_message.clone())
            .header(AUTHORIZATION, bearer)
            // Slack warns of a charset that is not named.
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(payload::payload(channel, message).to_string())
            .send()
            .await;
        match sent {
            Ok(response) => answered(response, token).await,
            Err(error) => {
                let answer = not_answered(&error, clients.limits);
                // The URL is the operator's: nothing about it is the fault of who owns the alert config.
                let why = answer.error.unwrap_or_default();
                Answer::failed(said_of(&why), Verdict::Transient)
            }
        }
    }
}

fn said_of(what: &str) -> String {
    format!("Slack API error: {what}")
}

/// `{"ok": true, ...}` or `{"ok": false, "error": "channel_not_found", ...}`, both with the status 200.
#[derive(Deserialize)]
struct Said {
    ok: bool,
    error: Option<String>,
}

async fn answered(response: Response, token: &str) -> Answer {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let body = read_some(response, READ_BYTES).await;
    let said = serde_json::from_slice::<Said>(&body).ok();
    let error = match &said {
        Some(Said { ok: true, .. }) if status.is_success() => return Answer::delivered(status),
        Some(Said { ok: false, error: Some(error) }) => error.clone(),
        _ if status.is_success() => "it answered, but not as Slack does".to_owned(),
        _ => format!("answered {}", status.as_u16()),
    };
    let shown = plain(&without(token, &String::from_utf8_lossy(&body)), SHOWN_CHARS);
    Answer {
        status: Some(status.as_u16()),
        error: Some(said_of(&plain(&without(token, &error), SHOWN_CHARS_OF_ERROR))),
        body: (!shown.is_empty()).then_some(shown),
        retry_after,
        verdict: verdict(status, &error),
    }
}

/// Which refusals won't pass before the alert config, or what it leads to in Slack, is changed. By the list of errors
/// at <https://docs.slack.dev/reference/methods/chat.postMessage>. All others may pass: too many messages (429
/// `ratelimited`, which has `Retry-After` as
/// <https://docs.slack.dev/apis/web-api/rate-limits> says; `rate_limited`, `message_limit_exceeded`), faults of Slack's
/// (`internal_error`, `fatal_error`, `service_unavailable`, `request_timeout`), a workspace that is being moved
/// (`team_added_to_org`, `org_login_required`), and whatever is not listed there: an alert is not lost for a reason that
/// nobody knows, it is tried for a day.
const PERMANENT: [&str; 37] = [
    // The channel.
    "channel_not_found",
    "channel_type_not_supported",
    "not_in_channel",
    "is_archived",
    "messages_tab_disabled",
    "restricted_action",
    "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel",
    "restricted_action_non_threadable_channel",
    "team_not_found",
    // The token, and what it may do.
    "access_denied",
    "accesslimited",
    "account_inactive",
    "as_user_not_supported",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "invalid_auth",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "team_access_not_granted",
    "token_expired",
    "token_revoked",
    "two_factor_setup_required",
    // The message: the next one may be taken, this one never.
    "invalid_arg_name",
    "invalid_arguments",
    "invalid_array_arg",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_charset",
    "invalid_post_type",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    // The method.
    "deprecated_endpoint",
    "method_deprecated",
];

fn verdict(status: StatusCode, error: &str) -> Verdict {
    if status != StatusCode::TOO_MANY_REQUESTS && PERMANENT.contains(&error) {
        Verdict::Permanent
    } else {
        Verdict::Transient
    }
}

/// A server may repeat what it was sent, as it stands or inside JSON.
fn without(token: &str, text: &str) -> String {
    if token.is_empty() {
        return text.to_owned();
    }
    let in_json = token.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace(token, "…").replace(&in_json, "…")
}

#[cfg(test)]
mod tests;
