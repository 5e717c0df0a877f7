//! CronMon as Lambda functions: the built binaries, each in AWS's emulator of the runtime interface; moto as
//! SQS; and of the gateway and the triggers as much as a test needs.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use database::Pool;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::cronmon::http_client;
use crate::databases::{new_database, pool};
use crate::proxy::{Proxy, port_of};
use crate::tokens::Issuer;

pub const REGION: &str = "eu-central-1";

/// Whether functions can be run here; says so where they can't.
#[must_use]
pub fn can_run() -> bool {
    let can = std::env::var("CRONMON_RIE_BIN").is_ok();
    if !can {
        println!("skipped: the emulator of Lambda's runtime interface does not run on this machine");
    }
    can
}

/// Settings of a function, by name.
pub type Settings = BTreeMap<String, String>;

/// One function with one environment, which begins with the first invocation.
pub struct Function {
    http: Client,
    url: String,
    emulator: Child,
    /// One invocation at a time, as in an environment of Lambda.
    busy: tokio::sync::Mutex<()>,
    log: Arc<Mutex<String>>,
}

impl Function {
    pub async fn start(name: &str, settings: &Settings) -> Self {
        let emulator = std::env::var("CRONMON_RIE_BIN").unwrap();
        let functions =
            std::env::var("CRONMON_FUNCTIONS").expect("CRONMON_FUNCTIONS is missing: run `make test`");
        let (port, runtime_port) = (free_port(), free_port());
        let mut emulator = Command::new(emulator)
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{runtime_port}")])
            .arg(format!("{functions}/{name}"))
            .env_clear()
            .envs(settings)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "60")
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<String>>::default();
        keep(emulator.stdout.take().unwrap(), log.clone());
        keep(emulator.stderr.take().unwrap(), log.clone());
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        let this = Self { http: http_client(), url, emulator, busy: tokio::sync::Mutex::default(), log };
        let end = Instant::now() + Duration::from_secs(30);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < end, "the emulator does not listen: {}", this.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        this
    }

    /// What the function answers.
    pub async fn invoke(&self, event: &Value) -> Value {
        let answer = self.try_invoke(event).await;
        assert!(answer.get("errorType").is_none(), "{answer}\n{}", self.log());
        answer
    }

    /// What it answers, or the error that Lambda reports.
    pub async fn try_invoke(&self, event: &Value) -> Value {
        let _busy = self.busy.lock().await;
        self.send(event).await
    }

    /// The same from the gateway, which has the request when this takes it: Lambda has an environment at once.
    async fn receive(&self, mut event: Value) -> Value {
        let _busy = self.busy.lock().await;
        event["requestContext"]["timeEpoch"] = json!(crate::chaos::now().timestamp_millis());
        self.send(&event).await
    }

    async fn send(&self, event: &Value) -> Value {
        let response = self.http.post(&self.url).body(event.to_string()).send().await.unwrap();
        let text = response.text().await.unwrap();
        if text.is_empty() {
            // The emulator's way to say that the function ended while it started.
            return json!({ "errorType": "Runtime.ExitError" });
        }
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}\n{}", self.log()))
    }

    fn is_busy(&self) -> bool {
        self.busy.try_lock().is_err()
    }

    /// The function's own process, once it was invoked.
    #[must_use]
    pub fn process(&self) -> Option<String> {
        let emulator = self.emulator.id()?;
        let tasks = std::fs::read_dir(format!("/proc/{emulator}/task")).ok()?;
        tasks.filter_map(Result::ok).find_map(|task| {
            let children = std::fs::read_to_string(task.path().join("children")).ok()?;
            children.split_whitespace().next().map(ToOwned::to_owned)
        })
    }

    /// Sends a signal such as `STOP` to the function's process.
    pub async fn signal(&self, signal: &str) {
        let process = self.process().expect("it was not invoked yet");
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &process]).status().await.unwrap().success()
        );
    }

    /// Everything that it and the emulator wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // The emulator is killed with us, but not what it started.
        if let Some(process) = self.process() {
            drop(std::process::Command::new("kill").args(["-KILL", &process]).status());
        }
    }
}

fn keep(from: impl AsyncRead + Unpin + Send + 'static, log: Arc<Mutex<String>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// A port that nobody has, and that no outgoing connection is given before the emulator takes it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run at once begin at different places.
    let begin = u16::try_from(std::process::id() % 500).unwrap() * 20;
    loop {
        let port = 10_000 + (begin + NEXT.fetch_add(1, Ordering::SeqCst)) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A sample event of `events/`.
#[must_use]
pub fn sample(name: &str) -> String {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A queue of moto.
#[derive(Clone)]
pub struct Queue {
    http: Client,
    moto: String,
    pub url: String,
}

impl Queue {
    pub async fn new() -> Self {
        Self::create(&format!("deliveries-{}", Uuid::new_v4().simple()), json!({})).await
    }

    /// A queue that keeps the order, as the template's spool.
    pub async fn fifo() -> Self {
        let attributes = json!({
            "FifoQueue": "true", "ContentBasedDeduplication": "false",
            "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
        });
        Self::create(&format!("spool-{}.fifo", Uuid::new_v4().simple()), attributes).await
    }

    async fn create(name: &str, attributes: Value) -> Self {
        let moto = std::env::var("CRONMON_MOTO_URL").expect("CRONMON_MOTO_URL is missing: run `make test`");
        let mut queue = Self { http: http_client(), moto, url: String::new() };
        let made = queue.call("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        made["QueueUrl"].as_str().unwrap().clone_into(&mut queue.url);
        queue
    }

    /// Puts a message into it; a group, if it is one that keeps the order.
    pub async fn put(&self, body: &str, group: Option<&str>) {
        let mut message = json!({ "QueueUrl": self.url, "MessageBody": body });
        if let Some(group) = group {
            message["MessageGroupId"] = json!(group);
            message["MessageDeduplicationId"] = json!(Uuid::new_v4().to_string());
        }
        self.call("SendMessage", message).await;
    }

    /// How many messages it has, those under way and those that are delayed among them.
    pub async fn count(&self) -> i64 {
        let wanted = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let answer =
            self.call("GetQueueAttributes", json!({ "QueueUrl": self.url, "AttributeNames": wanted })).await;
        let number = |name| answer["Attributes"][name].as_str().unwrap().parse::<i64>().unwrap();
        wanted.iter().map(|name| number(*name)).sum()
    }

    /// Where every service of moto answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.moto
    }

    /// Takes up to ten messages, as a trigger does, for the event of a function.
    pub async fn take(&self) -> Vec<Value> {
        let received = self
            .call(
                "ReceiveMessage",
                json!({ "QueueUrl": self.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0 }),
            )
            .await;
        received["Messages"].as_array().cloned().unwrap_or_default()
    }

    pub async fn delete(&self, message: &Value) {
        let handle = &message["ReceiptHandle"];
        self.call("DeleteMessage", json!({ "QueueUrl": self.url, "ReceiptHandle": handle })).await;
    }

    async fn call(&self, action: &str, body: Value) -> Value {
        aws(&self.http, &self.moto, "sqs", &format!("AmazonSQS.{action}"), body).await
    }
}

/// One call of an AWS service at moto, which believes any signature.
pub async fn aws(http: &Client, moto: &str, service: &str, target: &str, body: Value) -> Value {
    let credential = format!("AWS4-HMAC-SHA256 Credential=test/20261122/{REGION}/{service}/aws4_request");
    let response = http
        .post(moto)
        .header("authorization", credential)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{target}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The event of a queue's trigger.
#[must_use]
pub fn queue_event(messages: &[Value]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"], "attributes": {}, "messageAttributes": {},
                "eventSource": "aws:sqs", "awsRegion": REGION,
                "eventSourceARN": format!("arn:aws:sqs:{REGION}:123456789012:deliveries"),
            })
        })
        .collect();
    json!({ "Records": records })
}

/// The functions that a deployment has, a gateway in front of them, and a queue between them.
pub struct Stack {
    /// Of the gateway.
    pub url: String,
    pub database_url: String,
    pub pool: Pool,
    pub issuer: Issuer,
    pub queue: Queue,
    /// Where ping puts what the database does not take.
    pub spool: Queue,
    /// By which late-check wakes itself.
    pub wakes: Queue,
    /// The way of the canary pings to the gateway.
    pub canary_way: Proxy,
    pub functions: Arc<Functions>,
}

pub struct Functions {
    pub api: Function,
    pub ping: Function,
    /// More environments of ping, for tests that ping a lot.
    pub more_pings: Vec<Function>,
    pub late_check: Function,
    pub notify: Function,
}

impl Functions {
    /// An environment of ping that has nothing to do, if there is one.
    fn free_ping(&self) -> &Function {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let all: Vec<&Function> = [&self.ping].into_iter().chain(&self.more_pings).collect();
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let free = (0..all.len()).map(|i| all[(next + i) % all.len()]).find(|function| !function.is_busy());
        free.unwrap_or(all[next % all.len()])
    }
}

impl Stack {
    pub async fn start() -> Self {
        Self::with(&Settings::new()).await
    }

    /// A stack whose functions have these settings over their usual ones.
    pub async fn with(settings: &Settings) -> Self {
        Self::on(new_database().await, settings, 1).await
    }

    /// The same on a database with the schema, and with so many environments of ping.
    pub async fn on(database_url: String, settings: &Settings, pings: usize) -> Self {
        Self::build(database_url, settings, pings, false).await
    }

    /// One whose late-check sends canary pings through the gateway, as it does on AWS; the others' count what comes
    /// from tests alone.
    pub async fn with_canary(database_url: String, settings: &Settings) -> Self {
        Self::build(database_url, settings, 1, true).await
    }

    async fn build(database_url: String, settings: &Settings, pings: usize, canary: bool) -> Self {
        let issuer = Issuer::new();
        let (queue, spool, wakes) = (Queue::new().await, Queue::fifo().await, Queue::new().await);
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", gateway.local_addr().unwrap());
        let mut all: Settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("DELIVERY_QUEUE_URL", &queue.url),
            ("SPOOL_QUEUE_URL", &spool.url),
            ("WAKE_QUEUE_URL", &wakes.url),
            ("AWS_ENDPOINT_URL", queue.endpoint()),
            ("PUBLIC_URL", &url),
            ("KEYCLOAK_CERTS_URL", &issuer.certs_url()),
            ("ALLOWED_NETWORKS", "127.0.0.0/8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.extend(settings.clone());
        let mut more_pings = Vec::new();
        for _ in 1..pings {
            more_pings.push(Function::start("ping", &all).await);
        }
        let mut of_late_check = all.clone();
        let canary_way = Proxy::before(port_of(&url)).await;
        of_late_check.remove("PUBLIC_URL");
        if canary {
            of_late_check.insert("PUBLIC_URL".to_owned(), canary_way.in_front_of(&url));
        }
        let functions = Arc::new(Functions {
            api: Function::start("api", &all).await,
            ping: Function::start("ping", &all).await,
            more_pings,
            late_check: Function::start("late-check", &of_late_check).await,
            notify: Function::start("notify", &all).await,
        });
        let app = Router::new().fallback(through_the_gateway).with_state(functions.clone());
        tokio::spawn(async move { axum::serve(gateway, app).await });
        Self {
            pool: pool(&database_url, 2),
            url,
            database_url,
            issuer,
            queue,
            spool,
            wakes,
            canary_way,
            functions,
        }
    }

    /// What EventBridge does every minute.
    pub async fn tick(&self) {
        let event = serde_json::from_str(&sample("late-check-schedule")).unwrap();
        self.functions.late_check.invoke(&event).await;
    }

    /// What the trigger of the delivery queue does, until the queue is empty; each message so many times.
    pub async fn deliver(&self, times: usize) {
        loop {
            let messages = self.queue.take().await;
            if messages.is_empty() {
                return;
            }
            for _ in 0..times {
                let answer = self.functions.notify.invoke(&queue_event(&messages)).await;
                assert_eq!(answer, json!({ "batchItemFailures": [] }));
            }
            for message in &messages {
                self.queue.delete(message).await;
            }
        }
    }

    /// What the trigger of the wake queue does, once; answers with how many wakes came.
    pub async fn wake(&self) -> usize {
        let messages = self.wakes.take().await;
        if messages.is_empty() {
            return 0;
        }
        let answer = self.functions.late_check.invoke(&queue_event(&messages)).await;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        for message in &messages {
            self.wakes.delete(message).await;
        }
        messages.len()
    }

    /// Plays EventBridge and the trigger in the background for as long as the handle is not aborted. Time runs
    /// faster for EventBridge: a tick each half second.
    #[must_use]
    pub fn play(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let stack = self.clone();
        tokio::spawn(async move {
            loop {
                stack.tick().await;
                stack.deliver(1).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }
}

/// As the template has it: pings, and what is posted below the jobs of a monitor, to ping; everything else to api.
async fn through_the_gateway(State(functions): State<Arc<Functions>>, request: Request) -> Response<Body> {
    let parts: Vec<&str> = request.uri().path().split('/').collect();
    let is_ping = match (request.method().as_str(), &parts[..]) {
        (_, ["", "ping", rest, ..]) => !rest.is_empty(),
        ("POST", ["", "api", "v1", "monitors", _, "jobs", rest, ..]) => !rest.is_empty(),
        _ => false,
    };
    let event = http_event(request).await;
    // An invocation goes on when its client is gone.
    let invoked = tokio::spawn(async move {
        let function = if is_ping { functions.free_ping() } else { &functions.api };
        function.receive(event).await
    });
    let answer = invoked.await.unwrap();
    if answer.get("errorType").is_some() {
        return Response::builder()
            .status(StatusCode::BAD_GATEWAY)
            .body(Body::from(answer.to_string()))
            .unwrap();
    }
    let mut response = Response::builder().status(answer["statusCode"].as_u64().unwrap() as u16);
    for (name, value) in answer["headers"].as_object().unwrap() {
        response = response.header(name, value.as_str().unwrap());
    }
    let body = answer["body"].as_str().unwrap();
    let body = if answer["isBase64Encoded"] == true { BASE64.decode(body).unwrap() } else { body.into() };
    response.body(Body::from(body)).unwrap()
}

/// Payload 2.0.
async fn http_event(request: Request) -> Value {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let headers: BTreeMap<&str, &str> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
        .collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(), "headers": headers,
        "requestContext": {
            "accountId": "123456789012", "stage": "$default",
            "http": { "method": parts.method.as_str(), "path": parts.uri.path(), "sourceIp": "203.0.113.7" },
        },
        "body": (!body.is_empty()).then(|| BASE64.encode(&body)), "isBase64Encoded": !body.is_empty(),
    })
}
