//! CronMon in this process: the real routers on a real listener, a database of its own, a clock that the
//! test sets. Ticks and deliveries happen when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use database::Pool;
use database::due::Until;
use database::signals::{Address, ReceivedSignal};
use database::spool;
use destinations::Senders;
use domain::Signal;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::answers;
use crate::databases::{new_database, pool};
use crate::tokens::Issuer;

pub struct CronMon {
    pub url: String,
    pub database_url: String,
    pub pool: Pool,
    pub issuer: Issuer,
    pub http: Client,
    clock: Arc<AtomicI64>,
    senders: Senders,
    _running: Running,
}

/// The server and its connections to the database. They end with it, so that a test may start as many servers, one
/// after another, as it likes.
struct Running {
    server: JoinHandle<std::io::Result<()>>,
    pool: Pool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
        self.pool.close();
    }
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl CronMon {
    /// Pings are not limited: a test's clock stands still while it pings.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a limit of pings of one monitor in a minute.
    pub async fn start_with(most_per_minute: Option<i32>) -> Self {
        Self::start_on(&new_database().await, most_per_minute).await
    }

    /// The same on a database with the schema.
    pub async fn start_on(database_url: &str, most_per_minute: Option<i32>) -> Self {
        // Nobody is there: what is for Slack must not leave this machine.
        Self::build(database_url, most_per_minute, "http://127.0.0.1:1/api").await
    }

    /// With a Slack of the test's own.
    pub async fn start_with_slack(slack_api_url: &str) -> Self {
        Self::build(&new_database().await, None, slack_api_url).await
    }

    async fn build(database_url: &str, most_per_minute: Option<i32>, slack_api_url: &str) -> Self {
        let database_url = database_url.to_owned();
        let pool = pool(&database_url, 10);
        let issuer = Issuer::new();
        let clock = Arc::new(AtomicI64::new(0));
        let reads = clock.clone();
        let now: http_common::Clock =
            Arc::new(move || DateTime::from_timestamp_micros(reads.load(Ordering::SeqCst)).unwrap());
        let verifier = api::auth::Verifier::new(api::auth::Settings {
            certs_url: Some(issuer.certs_url()),
            require_audience: true,
            issuer: None,
        })
        .unwrap();
        let senders = senders(slack_api_url);
        let management = api::router(api::App {
            pool: pool.clone(),
            clock: now.clone(),
            verifier: Arc::new(verifier),
            public_url: api::PublicUrl::FromHost,
            senders: senders.clone(),
        });
        let pings = ping::router(ping::App {
            pool: pool.clone(),
            clock: now,
            in_flight: ping::InFlight::default(),
            spool: None,
            breaker: ping::Breaker::default(),
            most_per_minute,
            freezes: None,
        });
        let app = ping::beside(pings, management);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let cronmon = Self {
            url,
            database_url,
            _running: Running { server, pool: pool.clone() },
            pool,
            issuer,
            http: http_client(),
            clock,
            senders,
        };
        cronmon.set_clock("2026-11-22T12:00:00Z".parse().unwrap());
        cronmon
    }

    pub fn set_clock(&self, now: DateTime<Utc>) {
        self.clock.store(now.timestamp_micros(), Ordering::SeqCst);
    }

    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock.load(Ordering::SeqCst)).unwrap()
    }

    /// One tick at the clock's time.
    pub async fn tick(&self) {
        let until = Until { now: Some(self.now()), ..Until::default() };
        late_check::tick(&self.pool, until, None, |_| async {}).await.unwrap();
    }

    /// Delivers until nothing more is due at the clock's time.
    pub async fn deliver(&self) {
        while notify::deliver_due(&self.pool, &self.senders, self.now()).await.unwrap() > 0 {}
    }

    /// A request to the API as the tenant `acme`.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.call_as("acme", method, path, body).await
    }

    pub async fn call_as(&self, tenant: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.issuer.token(tenant));
        self.call_with(("authorization", &bearer), method, path, body).await
    }

    /// A request with an API key in place of a token.
    pub async fn call_by_key(&self, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.call_with(("x-api-key", key), method, path, body).await
    }

    /// A new API key of the tenant `acme`.
    pub async fn new_key(&self, scope: &str) -> String {
        let answer = self.call(Method::POST, "/keys", Some(&json!({ "name": scope, "scope": scope }))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"]["key"].as_str().unwrap().to_owned()
    }

    async fn call_with(
        &self,
        (header, value): (&str, &str),
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let path = format!("/api/v1{path}");
        let mut request =
            self.http.request(method.clone(), format!("{}{path}", self.url)).header(header, value);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let content_type =
            response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        answers::keep(&method, &path, status.as_u16(), &content_type.unwrap_or_default(), &text);
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    /// A monitor of the tenant `acme`, as the API shows it.
    pub async fn create(&self, body: Value) -> Value {
        let answer = self.call(Method::POST, "/monitors", Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"].clone()
    }

    /// The monitor as the API shows it now.
    pub async fn read(&self, monitor: &Value) -> Value {
        let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
        let answer = self.call(Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"].clone()
    }

    /// Every monitor of `acme` that has no alert config of its own is heard at this URL.
    pub async fn hear_everything_at(&self, url: &str) -> Value {
        let body = json!({ "name": "hook", "default": true, "type": { "webhook": { "url": url } } });
        let answer = self.call(Method::POST, "/alert-configs", Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"].clone()
    }

    /// A signal that waited in the spool since `received_at`.
    pub async fn replay(&self, monitor: &Value, signal: &Signal, received_at: DateTime<Utc>) {
        let ping_id = monitor["ping_url"].as_str().unwrap().rsplit('/').next().unwrap();
        let received = ReceivedSignal {
            address: Address::PingId(ping_id.parse().unwrap()),
            signal_id: Uuid::now_v7(),
            received_at,
            kind: signal.kind,
            rid: signal.rid,
            exit_status: signal.exit_status,
            source_address: None,
            user_agent: None,
            body: None,
            searched: None,
        };
        let text = spool::to_text(&received, spool::Why::Away).unwrap();
        let replayed = spool::replay(&self.pool, &text, Some(self.now())).await.unwrap();
        assert!(matches!(replayed, spool::Replayed::Applied(_)), "{replayed:?}");
    }

    /// It becomes known that no ping came through in this time.
    pub async fn was_blind(&self, from: DateTime<Utc>, until: DateTime<Utc>) {
        let statement =
            "insert into outage_span (span_id, kind, began_at, ended_at) values ($1, 'blind', $2, $3)";
        self.pool.get().await.unwrap().execute(statement, &[&Uuid::new_v4(), &from, &until]).await.unwrap();
    }

    /// Pings a monitor; `rest` is what follows its ping id.
    pub async fn ping(&self, monitor: &Value, rest: &str) {
        let url = format!("{}{rest}", monitor["ping_url"].as_str().unwrap());
        let response = self.http.post(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "OK");
    }
}

/// What sends to webhooks on this machine, and to a Slack.
///
/// # Panics
/// When it can't be built.
#[must_use]
pub fn senders(slack_api_url: &str) -> Senders {
    let allowed_networks = "127.0.0.0/8".parse().unwrap();
    let slack_api_url = slack_api_url.parse().unwrap();
    Senders::new(destinations::Settings { allowed_networks, slack_api_url }).unwrap()
}

/// A client for plain HTTP.
///
/// # Panics
/// When it can't be built.
#[must_use]
pub fn http_client() -> Client {
    // A client wants a TLS provider though it will never need one; the second call finds the first one's.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new()
}
