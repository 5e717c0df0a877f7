//! A webhook that remembers what it heard.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct Heard {
    /// The header `webhook-id`.
    pub webhook_id: String,
    pub message: Value,
    pub at: Instant,
}

impl Heard {
    /// A field of the message that is text.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.message[field].as_str().unwrap_or_else(|| panic!("{field} in {}", self.message))
    }
}

impl Heard {
    /// `late missed: <reason>`, as [`crate::story::told`] says it of the model's alerts.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} {}: {}", self.text("type"), self.text("cause"), self.text("reason"))
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, heard: Arc::default(), answers: Arc::new(Mutex::new(StatusCode::OK)) };
        let app = Router::new().route("/hook", post(hear)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// Everything heard so far, in its order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The types of everything heard so far about the monitor of this name.
    #[must_use]
    pub fn types_about(&self, name: &str) -> Vec<String> {
        let about = |heard: &&Heard| heard.message["monitor"]["name"] == name;
        self.heard().iter().filter(about).map(|heard| heard.text("type").to_owned()).collect()
    }

    /// What it answers from now on.
    pub fn answer_with(&self, status: StatusCode) {
        *self.answers.lock().unwrap() = status;
    }

    /// Waits until so many messages were heard about the monitor of this name.
    pub async fn wait_for(&self, name: &str, count: usize, within: Duration) {
        let end = Instant::now() + within;
        while self.types_about(name).len() < count {
            assert!(Instant::now() < end, "heard only {:?} about {name}", self.types_about(name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn hear(State(receiver): State<Receiver>, request: Request) -> StatusCode {
    let webhook_id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
    let bytes = axum::body::to_bytes(request.into_body(), 1_000_000).await.unwrap();
    let message = serde_json::from_slice(&bytes).unwrap();
    receiver.heard.lock().unwrap().push(Heard { webhook_id, message, at: Instant::now() });
    *receiver.answers.lock().unwrap()
}
