//! A Slack that remembers what was posted to each channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) content_type: String,
    pub(crate) message: Value,
}

/// Status, body, and after what time.
type Instead = (StatusCode, Value, Duration);

#[derive(Clone)]
pub(crate) struct Slack {
    pub(crate) url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    answers: Arc<Mutex<HashMap<String, Instead>>>,
}

impl Slack {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let slack = Self { url, posted: Arc::default(), answers: Arc::default() };
        let app = Router::new().fallback(hear).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        slack
    }

    /// A channel that no other case has.
    pub(crate) fn channel() -> String {
        format!("C{}", &Uuid::new_v4().simple().to_string().to_uppercase()[..10])
    }

    /// What Slack answers of a channel from now on, after a while.
    pub(crate) fn answer(&self, channel: &str, status: u16, body: Value, after: Duration) {
        let status = StatusCode::from_u16(status).unwrap();
        self.answers.lock().unwrap().insert(channel.to_owned(), (status, body, after));
    }

    /// Slack knows no such channel.
    pub(crate) fn refuse(&self, channel: &str) {
        self.answer(channel, 200, json!({ "ok": false, "error": "channel_not_found" }), Duration::ZERO);
    }

    pub(crate) fn heard(&self, channel: &str) -> Vec<Posted> {
        let posted = self.posted.lock().unwrap();
        posted.iter().filter(|posted| posted.message["channel"] == channel).cloned().collect()
    }

    /// The `text` of everything posted to a channel.
    pub(crate) fn texts(&self, channel: &str) -> Vec<String> {
        self.heard(channel).iter().map(|posted| posted.message["text"].as_str().unwrap().to_owned()).collect()
    }
}

async fn hear(State(slack): State<Slack>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let header = |name: &str| match parts.headers.get(name) {
        Some(value) => value.to_str().unwrap().to_owned(),
        None => String::new(),
    };
    let (authorization, content_type) = (header("authorization"), header("content-type"));
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let message: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let channel = message["channel"].as_str().unwrap_or_default().to_owned();
    slack.posted.lock().unwrap().push(Posted { method, path, authorization, content_type, message });
    let answer = slack.answers.lock().unwrap().get(&channel).cloned();
    let (status, body, after) = answer.unwrap_or((StatusCode::OK, json!({ "ok": true }), Duration::ZERO));
    tokio::time::sleep(after).await;
    (status, body.to_string())
}
