//! A Slack that knows one token and every channel whose id begins with C, remembers what it was sent, and refuses what
//! Slack refuses by <https://docs.slack.dev/reference/methods/chat.postMessage>,
//! <https://docs.slack.dev/reference/block-kit/composition-objects/text-object> and
//! <https://docs.slack.dev/reference/block-kit/blocks/header-block>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

pub const TOKEN: &str = "xoxb-2222222222-3333333333-TellNobodyOfThis";
pub const MASK: &str = "************This";
pub const CHANNEL: &str = "C0123456789";

#[derive(Clone)]
pub struct Slack {
    /// What `SLACK_API_URL` should be.
    pub api_url: String,
    posts: Arc<Mutex<Vec<Posted>>>,
    instead: Arc<Mutex<HashMap<String, Instead>>>,
}

/// A request, taken or not.
#[derive(Debug, Clone)]
pub struct Posted {
    pub method: String,
    pub path: String,
    pub authorization: String,
    pub content_type: String,
    pub message: Value,
}

/// What a channel answers, whatever it is sent.
#[derive(Clone)]
struct Instead {
    status: StatusCode,
    retry_after: Option<u32>,
    body: Value,
    after: Duration,
}

impl Slack {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("http://{}/api", listener.local_addr().unwrap());
        let slack = Self { api_url, posts: Arc::default(), instead: Arc::default() };
        let app = Router::new().fallback(hear).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        slack
    }

    /// A channel that nobody else has.
    #[must_use]
    pub fn channel() -> String {
        format!("C{}", &Uuid::new_v4().simple().to_string().to_uppercase()[..10])
    }

    /// Every message it was sent, in their order.
    #[must_use]
    pub fn posts(&self) -> Vec<Value> {
        self.posts.lock().unwrap().iter().map(|posted| posted.message.clone()).collect()
    }

    /// The first line of each, which names its monitor.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.posts().iter().map(text_of).collect()
    }

    /// What it was sent for a channel.
    #[must_use]
    pub fn heard(&self, channel: &str) -> Vec<Posted> {
        let posts = self.posts.lock().unwrap();
        posts.iter().filter(|posted| posted.message["channel"] == channel).cloned().collect()
    }

    #[must_use]
    pub fn texts_in(&self, channel: &str) -> Vec<String> {
        self.heard(channel).iter().map(|posted| text_of(&posted.message)).collect()
    }

    /// What it answers of a channel from now on, and after what time.
    pub fn answer(&self, channel: &str, status: u16, body: Value, after: Duration) {
        let status = StatusCode::from_u16(status).unwrap();
        let instead = Instead { status, retry_after: None, body, after };
        self.instead.lock().unwrap().insert(channel.to_owned(), instead);
    }

    /// There was too much of a channel: it may come again in so many seconds.
    pub fn limit(&self, channel: &str, retry_after: u32) {
        let body = json!({ "ok": false, "error": "ratelimited" });
        let status = StatusCode::TOO_MANY_REQUESTS;
        let instead = Instead { status, retry_after: Some(retry_after), body, after: Duration::ZERO };
        self.instead.lock().unwrap().insert(channel.to_owned(), instead);
    }

    /// It knows no such channel.
    pub fn refuse(&self, channel: &str) {
        self.answer(channel, 200, json!({ "ok": false, "error": "channel_not_found" }), Duration::ZERO);
    }

    pub fn answer_as_always(&self, channel: &str) {
        self.instead.lock().unwrap().remove(channel);
    }
}

fn text_of(message: &Value) -> String {
    message["text"].as_str().unwrap().to_owned()
}

async fn hear(State(slack): State<Slack>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let posted = Posted {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        authorization: header("authorization"),
        content_type: header("content-type"),
        message: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let channel = posted.message["channel"].as_str().unwrap_or_default();
    let instead = slack.instead.lock().unwrap().get(channel).cloned();
    slack.posts.lock().unwrap().push(posted.clone());
    let Some(instead) = instead else {
        let answer = match refusal(&posted) {
            Some(error) => json!({ "ok": false, "error": error }),
            None => {
                let (channel, message) = (channel, &posted.message);
                json!({ "ok": true, "channel": channel, "ts": "1503435956.000247", "message": message })
            }
        };
        return answer.to_string().into_response();
    };
    tokio::time::sleep(instead.after).await;
    let mut response = (instead.status, instead.body.to_string()).into_response();
    if let Some(seconds) = instead.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn refusal(posted: &Posted) -> Option<&'static str> {
    let text = posted.message["text"].as_str().unwrap_or_default();
    let blocks = posted.message["blocks"].as_array().cloned().unwrap_or_default();
    if posted.method != "POST" || posted.path != "/api/chat.postMessage" {
        Some("unknown_method")
    } else if posted.authorization.is_empty() {
        Some("not_authed")
    } else if posted.authorization != format!("Bearer {TOKEN}") {
        Some("invalid_auth")
    } else if !posted.content_type.starts_with("application/json") {
        Some("invalid_post_type")
    } else if !posted.message["channel"].as_str().is_some_and(|channel| channel.starts_with('C')) {
        Some("channel_not_found")
    } else if text.is_empty() {
        Some("no_text")
    } else if text.encode_utf16().count() > 40_000 {
        Some("msg_too_long")
    } else if blocks.is_empty() || blocks.len() > 50 || !blocks.iter().all(is_valid) {
        Some("invalid_blocks")
    } else {
        None
    }
}

fn is_valid(block: &Value) -> bool {
    let (kind, text) = (&block["text"]["type"], block["text"]["text"].as_str().unwrap_or_default());
    let most = match block["type"].as_str() {
        Some("header") if kind == "plain_text" => 150,
        Some("section") if kind == "plain_text" || kind == "mrkdwn" => 3_000,
        _ => return false,
    };
    (1..=most).contains(&text.encode_utf16().count())
}
