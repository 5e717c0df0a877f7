//! What a person at the shell does, over HTTP and in real time.

use std::time::Instant;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::cronmon::http_client;
use crate::webhook::Heard;

pub struct Person {
    pub http: Client,
    token: String,
}

impl Person {
    #[must_use]
    pub fn new(token: String) -> Self {
        Self { http: http_client(), token }
    }

    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url).header("authorization", format!("Bearer {}", self.token))
    }

    pub async fn post(&self, url: &str, body: &Value) -> Value {
        let response = self.request(Method::POST, url).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        answer["data"].clone()
    }

    pub async fn listens_at(&self, cronmon: &str, hook: &str) {
        let config = json!({ "name": "hook", "default": true, "type": { "webhook": { "url": hook } } });
        self.post(&format!("{cronmon}/api/v1/alert-configs"), &config).await;
    }

    /// Of scope ping.
    pub async fn makes_a_key(&self, cronmon: &str) -> String {
        let key = self.post(&format!("{cronmon}/api/v1/keys"), &json!({ "name": "key" })).await;
        key["key"].as_str().unwrap().to_owned()
    }

    /// Answers with the path of its pings.
    pub async fn creates(&self, cronmon: &str, body: Value) -> String {
        let monitor = self.post(&format!("{cronmon}/api/v1/monitors"), &body).await;
        monitor["ping_url"].as_str().unwrap().strip_prefix(cronmon).unwrap().to_owned()
    }

    pub async fn pings(&self, url: &str) -> Instant {
        let response = self.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), "OK");
        Instant::now()
    }
}

/// The messages about the monitor of this name.
#[must_use]
pub fn about<'a>(heard: &'a [Heard], name: &str) -> Vec<&'a Heard> {
    heard.iter().filter(|heard| heard.message["monitor"]["name"] == name).collect()
}
