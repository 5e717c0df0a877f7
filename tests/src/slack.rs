//! A Slack that knows one token and one channel, remembers what it was sent, and refuses what Slack refuses by
//! <https://docs.slack.dev/reference/methods/chat.postMessage>,
//! <https://docs.slack.dev/reference/block-kit/composition-objects/text-object> and
//! <https://docs.slack.dev/reference/block-kit/blocks/header-block>.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const TOKEN: &str = "xoxb-2222222222-3333333333-TellNobodyOfThis";
pub const MASK: &str = "************This";
pub const CHANNEL: &str = "C0123456789";

#[derive(Clone)]
pub struct Slack {
    /// What `SLACK_API_URL` should be.
    pub api_url: String,
    posts: Arc<Mutex<Vec<Value>>>,
    instead: Arc<Mutex<Option<Instead>>>,
}

/// Status, headers and body.
type Instead = (StatusCode, Vec<(&'static str, &'static str)>, Value);

impl Slack {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("http://{}/api", listener.local_addr().unwrap());
        let slack = Self { api_url, posts: Arc::default(), instead: Arc::default() };
        let app = Router::new().route("/api/chat.postMessage", post(post_message)).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        slack
    }

    /// Every message it was sent, in their order, taken or not.
    #[must_use]
    pub fn posts(&self) -> Vec<Value> {
        self.posts.lock().unwrap().clone()
    }

    /// The first line of each, which names its monitor.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.posts().iter().map(|post| post["text"].as_str().unwrap().to_owned()).collect()
    }

    /// What it answers from now on, whatever it is sent.
    pub fn answer_with(&self, status: StatusCode, headers: &[(&'static str, &'static str)], body: Value) {
        *self.instead.lock().unwrap() = Some((status, headers.to_vec(), body));
    }

    pub fn answer_as_always(&self) {
        *self.instead.lock().unwrap() = None;
    }
}

async fn post_message(State(slack): State<Slack>, request: Request) -> Response {
    let headers = request.headers().clone();
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let (authorization, content_type) = (header("authorization"), header("content-type"));
    let bytes = axum::body::to_bytes(request.into_body(), 1_000_000).await.unwrap();
    let message: Value = serde_json::from_slice(&bytes).unwrap();
    slack.posts.lock().unwrap().push(message.clone());
    if let Some((status, headers, body)) = slack.instead.lock().unwrap().clone() {
        let mut response = (status, body.to_string()).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        return response;
    }
    let answer = match refusal(authorization, content_type, &message) {
        Some(error) => json!({ "ok": false, "error": error }),
        None => json!({ "ok": true, "channel": CHANNEL, "ts": "1503435956.000247", "message": message }),
    };
    answer.to_string().into_response()
}

fn refusal(authorization: &str, content_type: &str, message: &Value) -> Option<&'static str> {
    let text = message["text"].as_str().unwrap_or_default();
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    if authorization.is_empty() {
        Some("not_authed")
    } else if authorization != format!("Bearer {TOKEN}") {
        Some("invalid_auth")
    } else if !content_type.starts_with("application/json") {
        Some("invalid_post_type")
    } else if message["channel"] != CHANNEL {
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
