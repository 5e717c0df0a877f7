//! CronMon on one of its hosts, and a tenant who calls it.

use std::time::{Duration, Instant};

use cronmon_tests::answers;
use cronmon_tests::chaos::now;
use cronmon_tests::cronmon::http_client;
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::lambda::{Settings, Stack};
use cronmon_tests::process::Process;
use database::Pool;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::issuer::Issuer;
use cronmon_tests::slack::{Slack, TOKEN};

/// What the original puts on every answer.
pub(crate) const HEADERS: [(&str, &str); 7] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "DELETE, GET, OPTIONS, PATCH, POST"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-credentials", "true"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("permissions-policy", "interest-cohort=()"),
];

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) pool: Pool,
    pub(crate) issuer: Issuer,
    pub(crate) slack: Slack,
    http: Client,
    host: Host,
}

enum Host {
    OneMachine {
        /// It ends with this.
        _process: Process,
    },
    Lambda(Box<Stack>),
}

impl Server {
    pub(crate) async fn on_one_machine() -> Self {
        let (slack, issuer, database_url) =
            (Slack::start().await, Issuer::start().await, new_database().await);
        let settings = [("SLACK_API_URL", slack.api_url.as_str())];
        let process = Process::start_with(&database_url, &issuer.certs_url, None, &settings).await;
        let process = process.expect("cronmon ended before it listened");
        Self {
            url: process.url.clone(),
            pool: pool(&database_url, 2),
            issuer,
            slack,
            http: http_client(),
            host: Host::OneMachine { _process: process },
        }
    }

    pub(crate) async fn on_lambda() -> Self {
        let (slack, issuer) = (Slack::start().await, Issuer::start().await);
        let settings =
            [("SLACK_API_URL", slack.api_url.as_str()), ("KEYCLOAK_CERTS_URL", issuer.certs_url.as_str())];
        let settings: Settings =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let stack = Box::new(Stack::with(&settings).await);
        Self {
            url: stack.url.clone(),
            pool: stack.pool.clone(),
            issuer,
            slack,
            http: http_client(),
            host: Host::Lambda(stack),
        }
    }

    pub(crate) fn stack(&self) -> Option<&Stack> {
        match &self.host {
            Host::OneMachine { .. } => None,
            Host::Lambda(stack) => Some(stack),
        }
    }

    /// A tenant that nobody else has, and that has nothing.
    pub(crate) async fn tenant(&self) -> Tenant<'_> {
        let name = format!("tenant-{}", Uuid::new_v4().simple());
        let token = self.issuer.sign(&claims(&name));
        let tenant = Tenant { server: self, name, token };
        // On one machine each tenant begins with an inbox for its alerts.
        for config in tenant.get("/alert-configs").await.data("a list").as_array().unwrap() {
            let path = format!("/alert-configs/{}", text(config, "alert_config_id"));
            tenant.delete(&path).await.is(204, "the inbox goes");
        }
        tenant
    }

    /// One request; `path` is what follows `/api/v1`. Of each answer is checked what all have.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let is_head = method == Method::HEAD;
        let what = format!("{method} {path}");
        let mut request = self.http.request(method.clone(), format!("{}/api/v1{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        // What is refused here is refused on paths, too, that no document has.
        if status < 300 && method != Method::OPTIONS {
            let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap());
            answers::keep(&method, &format!("/api/v1{path}"), status, kind.unwrap_or_default(), &text);
        }
        let answer = Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone())),
            text,
            what,
        };
        for (name, value) in HEADERS {
            assert_eq!(answer.header(name), Some(value), "'Headers on every answer': {name} on {answer}");
        }
        assert_eq!(
            answer.header("transfer-encoding"),
            None,
            "'content-length always (never chunked)': {answer}"
        );
        if status != 204 && !is_head {
            let length = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
            assert_eq!(length, Some(answer.text.len()), "'content-length always': {answer}");
        }
        answer
    }

    /// `X-API-Key` and no token; the body is sent as it is.
    pub(crate) async fn with_key(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let body = (!body.is_empty()).then(|| body.as_bytes().to_vec());
        self.send(method, path, &[("x-api-key", key)], body).await
    }

    pub(crate) async fn start(&self, key: &str, monitor: &str) -> Answer {
        self.with_key(key, "POST", &format!("/monitors/{monitor}/jobs/start"), "").await
    }

    /// A job that is running.
    pub(crate) async fn started(&self, key: &str, monitor: &str) -> String {
        let answer = self.start(key, monitor).await;
        text(answer.data("a job starts"), "job_id").to_owned()
    }

    pub(crate) async fn finish(&self, key: &str, monitor: &str, job: &str, body: &Value) -> Answer {
        let path = format!("/monitors/{monitor}/jobs/{job}/finish");
        self.with_key(key, "POST", &path, &body.to_string()).await
    }

    /// A job that has run, as `finish` shows it.
    pub(crate) async fn finished(&self, key: &str, monitor: &str, body: &Value) -> Value {
        let job = self.started(key, monitor).await;
        self.finish(key, monitor, &job, body).await.data("a job is finished").clone()
    }

    /// Puts the database into a state that would take time to come about.
    pub(crate) async fn execute(&self, statement: &str) {
        self.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    }

    /// Lets judging and delivering go on, as the host does it, until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < end, "it never came: {what}");
            self.go_on().await;
        }
    }

    /// A little while of judging and delivering. On Lambda nothing happens without an event.
    pub(crate) async fn go_on(&self) {
        if let Host::Lambda(stack) = &self.host {
            stack.tick().await;
            stack.deliver(1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Time for what must not come: more than a tick of the one process, with its deliveries.
    pub(crate) async fn wait_for_nothing(&self) {
        let end = Instant::now() + Duration::from_millis(if self.stack().is_some() { 300 } else { 1_700 });
        while Instant::now() < end {
            self.go_on().await;
        }
    }
}

/// The claims that a token of the original has.
pub(crate) fn claims(tenant: &str) -> Value {
    let now = now().timestamp();
    json!({
        "acr": "1", "auth_time": now, "azp": "cron-mon", "name": "Test User", "tenant": tenant, "aud": ["cron-mon", "account"],
        "exp": now + 3_600, "iat": now, "iss": "https://keycloak/realms/cron-mon", "jti": Uuid::new_v4(), "sub": Uuid::new_v4(),
    })
}

pub(crate) struct Tenant<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
    pub(crate) token: String,
}

/// An API key, as its creation shows it.
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) id: String,
}

impl Tenant<'_> {
    /// The body is sent as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let body = body.map(|body| body.as_bytes().to_vec());
        let answer = self.server.send(method, path, &[("authorization", &authorization)], body).await;
        assert!(!answer.text.contains(&self.name), "'`tenant` is never in an answer': {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(&body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some(&body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// The id of a new monitor.
    pub(crate) async fn monitor(&self, name: &str, expected: i64, grace: i64) -> String {
        let body = json!({ "name": name, "expected_duration": expected, "grace_duration": grace });
        text(self.post("/monitors", &body).await.data("a monitor is made"), "monitor_id").to_owned()
    }

    /// A new key as the original makes it.
    pub(crate) async fn key(&self) -> Key {
        self.key_of(&json!({ "name": "a key" })).await
    }

    pub(crate) async fn key_of(&self, body: &Value) -> Key {
        let answer = self.post("/keys", body).await;
        let made = answer.data("a key is made");
        Key { key: text(made, "key").to_owned(), id: text(made, "api_key_id").to_owned() }
    }

    /// The id of a new alert config that leads to a channel of Slack.
    pub(crate) async fn slack(&self, channel: &str, switches: &Value) -> String {
        let mut body = slack_config("to Slack", channel);
        body.as_object_mut().unwrap().append(&mut switches.as_object().unwrap().clone());
        text(self.post("/alert-configs", &body).await.data("a config is made"), "alert_config_id").to_owned()
    }

    pub(crate) async fn attach(&self, monitor: &str, configs: &[&str]) -> Answer {
        let path = format!("/monitors/{monitor}/alert-configs");
        self.post(&path, &json!({ "alert_config_ids": configs })).await
    }

    pub(crate) async fn read_monitor(&self, monitor: &str) -> Value {
        self.get(&format!("/monitors/{monitor}")).await.data("a monitor is read").clone()
    }

    pub(crate) async fn read_job(&self, monitor: &str, job: &str) -> Value {
        self.get(&format!("/monitors/{monitor}/jobs/{job}")).await.data("a job is read").clone()
    }

    /// The key as the list shows it.
    pub(crate) async fn read_key(&self, key: &Key) -> Value {
        let keys = self.get("/keys").await;
        let keys = keys.data("keys are listed").as_array().unwrap();
        keys.iter().find(|shown| shown["api_key_id"] == *key.id).expect("the list has the key").clone()
    }
}

/// A body as the original takes it.
pub(crate) fn slack_config(name: &str, channel: &str) -> Value {
    json!({
        "name": name, "active": true, "on_late": true, "on_error": true,
        "type": { "slack": { "channel": channel, "token": TOKEN } },
    })
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// As JSON; the text when it is none.
    pub(crate) body: Value,
    what: String,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start: String = self.text.chars().take(600).collect();
        write!(f, "{} was answered {} {start}", self.what, self.status)
    }
}

/// Each takes the sentence that it checks.
impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, sentence: &str) -> &Self {
        assert_eq!(self.status, status, "{sentence}: {self}");
        self
    }

    /// A success without a word.
    #[track_caller]
    pub(crate) fn no_content(&self, sentence: &str) {
        assert_eq!((self.status, self.text.as_str()), (204, ""), "{sentence}: {self}");
    }

    /// What is in a success.
    #[track_caller]
    pub(crate) fn data(&self, sentence: &str) -> &Value {
        self.is(200, sentence);
        assert_eq!(self.header("content-type"), Some("application/json"), "{sentence}: {self}");
        self.body.get("data").unwrap_or_else(|| panic!("{sentence}: no data: {self}"))
    }

    /// An error in the original's words.
    #[track_caller]
    pub(crate) fn error(&self, code: u16, reason: &str, description: &str, sentence: &str) {
        let expected = json!({ "error": { "code": code, "reason": reason, "description": description } });
        assert_eq!((self.status, &self.body), (code, &expected), "{sentence}: {self}");
    }

    /// An error with the original's code and reason; the description, which is ours.
    #[track_caller]
    pub(crate) fn refused(&self, code: u16, reason: &str, sentence: &str) -> &str {
        self.is(code, sentence);
        assert_eq!(self.header("content-type"), Some("application/json"), "{sentence}: {self}");
        let error = self.body["error"].as_object().unwrap_or_else(|| panic!("{sentence}: {self}"));
        assert_eq!((&error["code"], &error["reason"]), (&json!(code), &json!(reason)), "{sentence}: {self}");
        assert_eq!(error.len(), 3, "{sentence}: {self}");
        let description = error["description"].as_str().unwrap();
        assert!(!description.is_empty(), "{sentence}: {self}");
        description
    }

    #[track_caller]
    pub(crate) fn unusable(&self, sentence: &str) -> &str {
        self.refused(422, "Unprocessable Entity", sentence)
    }

    /// What the original says to who brings no token, or one that is no good.
    #[track_caller]
    pub(crate) fn unauthenticated(&self, sentence: &str) {
        self.error(401, "Unauthorized", "The request requires user authentication.", sentence);
    }

    #[track_caller]
    pub(crate) fn bad_key(&self, sentence: &str) {
        self.error(401, "Unauthorized", "Unauthorized: Invalid API key", sentence);
    }

    #[track_caller]
    pub(crate) fn no_monitor(&self, id: &str, sentence: &str) {
        let description = format!("Failed to find monitor with id '{id}'");
        self.error(404, "Monitor Not Found", &description, sentence);
    }

    #[track_caller]
    pub(crate) fn no_job(&self, job: &str, monitor: &str, sentence: &str) {
        let description = format!("Failed to find job with id '{job}' in Monitor('{monitor}')");
        self.error(404, "Job Not Found", &description, sentence);
    }

    #[track_caller]
    pub(crate) fn no_config(&self, id: &str, sentence: &str) {
        let description = format!("Failed to find alert configuration with id '{id}'");
        self.error(404, "Alert Configuration Not Found", &description, sentence);
    }

    #[track_caller]
    pub(crate) fn no_key(&self, id: &str, sentence: &str) {
        let description = format!("Failed to find API key with id '{id}'");
        self.error(404, "API Key Not Found", &description, sentence);
    }
}

/// A field that is text.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

/// These fields have these values, whatever else there is.
#[track_caller]
pub(crate) fn has(value: &Value, fields: &Value, sentence: &str) {
    for (name, expected) in fields.as_object().unwrap() {
        let found = value.get(name).unwrap_or_else(|| panic!("{sentence}: no {name} in {value}"));
        assert_eq!(found, expected, "{sentence}: {name} of {value}");
    }
}

/// Every field of these names is there, be it null.
#[track_caller]
pub(crate) fn has_fields(value: &Value, names: &[&str], sentence: &str) {
    for name in names {
        assert!(value.get(name).is_some(), "{sentence}: no {name} in {value}");
    }
}

/// One field of each element.
pub(crate) fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
        .iter()
        .map(|item| text(item, field))
        .collect()
}

pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}
