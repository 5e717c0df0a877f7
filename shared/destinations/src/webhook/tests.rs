//! Against real HTTP on this machine.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::answer::{SHOWN_CHARS, without_secrets};

const BODY: &[u8] = b"{\"alert\":1}";

#[derive(Clone, Copy)]
enum Then {
    Close,
    /// Keep the connection open and send nothing more.
    Hang,
    /// Keep it open and send a letter now and then.
    Drip,
}

struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Into<String>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, heard) = (answer.into(), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(BODY) && connection.read_buf(&mut request).await.unwrap() > 0 {}
                heard.lock().unwrap().push(String::from_utf8(request).unwrap());
                connection.write_all(answer.as_bytes()).await.unwrap();
                tokio::spawn(async move {
                    match then {
                        Then::Close => {}
                        Then::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
                        Then::Drip => {
                            while connection.write_all(b"x").await.is_ok() {
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn webhooks(allowed: &str) -> Webhooks {
    Webhooks::new(allowed.parse().unwrap()).unwrap()
}

fn impatient() -> Webhooks {
    let limits = Limits { connect: Duration::from_millis(250), total: Duration::from_millis(250) };
    Webhooks::with_limits("127.0.0.0/8".parse().unwrap(), limits).unwrap()
}

async fn post(webhooks: &Webhooks, url: &str) -> Answer {
    webhooks.post(url, Uuid::nil(), BODY.to_vec()).await
}

/// The answer to one post to a server that answers this and closes.
async fn answer_to(answer: impl Into<String>) -> Answer {
    let server = Server::start(answer, Then::Close).await;
    post(&webhooks("127.0.0.0/8"), &server.url("/hooks/topsecret?key=opensesame")).await
}

fn error(answer: &Answer) -> &str {
    answer.error.as_deref().unwrap()
}

fn assert_not_permitted(answer: &Answer, url: &str) {
    assert_eq!(answer.verdict, Verdict::Permanent, "{url}: {answer:?}");
    assert_eq!(error(answer), "address not permitted: it is neither public nor in ALLOWED_NETWORKS", "{url}");
}

#[tokio::test]
async fn an_alert_arrives_with_its_headers() {
    let server = Server::start("HTTP/1.1 204 No Content\r\n\r\n", Then::Close).await;
    let id = Uuid::from_u128(7);
    let answer = webhooks("127.0.0.0/8").post(&server.url("/hook?a=b"), id, BODY.to_vec()).await;
    assert_eq!(answer, Answer::delivered(reqwest::StatusCode::NO_CONTENT));

    let requests = server.requests();
    let request = requests[0].to_lowercase();
    assert!(request.starts_with("post /hook?a=b http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\ncontent-type: application/json\r\n"), "{request}");
    assert!(request.contains("\r\nwebhook-id: 00000000-0000-0000-0000-000000000007\r\n"), "{request}");
    assert!(
        request.contains(concat!("\r\nuser-agent: cronmon/", env!("CARGO_PKG_VERSION"), "\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn a_name_and_password_in_the_url_are_sent_as_basic_auth() {
    let server = Server::start("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let url = format!("http://me:secret@127.0.0.1:{}/", server.port);
    assert_eq!(post(&webhooks("127.0.0.0/8"), &url).await.verdict, Verdict::Delivered);
    assert!(server.requests()[0].contains("Basic bWU6c2VjcmV0"));
}

#[tokio::test]
async fn a_status_decides_whether_to_try_again() {
    let expected = [
        (200, Verdict::Delivered),
        (202, Verdict::Delivered),
        (304, Verdict::Transient),
        (400, Verdict::Permanent),
        (401, Verdict::Permanent),
        (403, Verdict::Permanent),
        (404, Verdict::Transient),
        (408, Verdict::Transient),
        (409, Verdict::Transient),
        (410, Verdict::Permanent),
        (422, Verdict::Permanent),
        (425, Verdict::Transient),
        (429, Verdict::Transient),
        (500, Verdict::Transient),
        (503, Verdict::Transient),
        (999, Verdict::Transient),
    ];
    for (status, verdict) in expected {
        let answer = answer_to(format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.verdict), (Some(status), verdict));
        assert_eq!(answer.error.is_none(), verdict == Verdict::Delivered);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let location = target.url("/");
    let answer = answer_to(format!("HTTP/1.1 307 Go\r\nlocation: {location}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.verdict), (Some(307), Verdict::Transient));
    assert_eq!(error(&answer), "answered 307: redirects are not followed");
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn an_error_shows_the_start_of_the_answer_as_plain_text() {
    let long = "a".repeat(5_000);
    let answer =
        answer_to(format!("HTTP/1.1 503 No\r\n\r\n\x1b[31mtry\r\n\t later\0\u{202e}\u{7f} {long}")).await;
    assert_eq!(error(&answer), format!("answered 503: [31mtry later {}", "a".repeat(SHOWN_CHARS - 14)));

    let answer = answer_to("HTTP/1.1 503 No\r\n\r\n \r\n").await;
    assert_eq!(error(&answer), "answered 503");
}

#[tokio::test]
async fn an_error_does_not_repeat_the_secrets_of_the_url() {
    let answer =
        answer_to("HTTP/1.1 404 No\r\n\r\nCannot POST /hooks/topsecret?key=opensesame, nor /hooks/topsecret")
            .await;
    assert_eq!(error(&answer), "answered 404: Cannot POST …?…, nor …");

    let url = Url::parse("https://u:pass@h/s/T012345678901/x?key=K012345678901").unwrap();
    let text = without_secrets("T012345678901 of s is not K012345678901, pass".into(), &url);
    assert_eq!(text, "… of s is not …, …");
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_date() {
    let asked = async |headers: &str| {
        answer_to(format!("HTTP/1.1 429 Slow\r\n{headers}\r\n\r\n"))
            .await
            .retry_after
            .map(|after| after.as_secs())
    };
    assert_eq!(asked("retry-after: 120").await, Some(120));
    assert_eq!(asked("retry-after: 9999999").await, Some(9_999_999));
    let (date, later) = ("Sun, 01 Mar 2026 10:00:00 GMT", "Sun, 01 Mar 2026 10:02:00 GMT");
    assert_eq!(asked(&format!("date: {date}\r\nretry-after: {later}")).await, Some(120));
    assert_eq!(asked(&format!("date: {later}\r\nretry-after: {date}")).await, None);
    assert_eq!(asked(&format!("retry-after: {later}")).await, None);
    assert_eq!(asked("retry-after: -5").await, None);
    assert_eq!(asked("retry-after: soon").await, None);
    assert_eq!(asked("x: y").await, None);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let server = Server::start("", Then::Hang).await;
    let answer = post(&impatient(), &server.url("/")).await;
    assert_eq!(answer, Answer::failed("no answer within 0.25 s", Verdict::Transient));
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_and_shown() {
    let server = Server::start("HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n", Then::Drip).await;
    let began = Instant::now();
    let answer = post(&impatient(), &server.url("/")).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.verdict, Verdict::Transient);
    assert!(error(&answer).starts_with("answered 500: x"), "{answer:?}");
}

#[tokio::test]
async fn a_2xx_counts_before_its_body_has_come() {
    let server = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", Then::Hang).await;
    let began = Instant::now();
    assert_eq!(post(&webhooks("127.0.0.0/8"), &server.url("/")).await.verdict, Verdict::Delivered);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_body_without_end_is_read_to_its_limit_only() {
    let endless = format!("HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n{}", "y".repeat(50_000));
    let server = Server::start(endless, Then::Hang).await;
    let began = Instant::now();
    let answer = post(&webhooks("127.0.0.0/8"), &server.url("/")).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(error(&answer), format!("answered 500: {}", "y".repeat(SHOWN_CHARS)));
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = post(&webhooks("127.0.0.0/8"), &format!("http://{free}/topsecret")).await;
    assert_eq!(answer, Answer::failed("connection refused", Verdict::Transient));
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_tried_again() {
    for text in ["", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let answer = answer_to(text).await;
        assert_eq!(answer, Answer::failed("connection closed without a usable answer", Verdict::Transient));
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_tried_again() {
    let server = Server::start("HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close).await;
    let answer = post(&impatient(), &server.url("/").replace("http:", "https:")).await;
    // What it says depends on whether the machine has root certificates.
    assert_eq!((answer.status, answer.verdict), (None, Verdict::Transient), "{answer:?}");
}

#[tokio::test]
async fn an_address_that_is_not_public_needs_an_allowed_network() {
    let server = Server::start("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let port = server.port;
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://127.0.0.1.:{port}/"),
        format!("http://%31%32%37.0.0.1:{port}/"),
        format!("http://１２７.0.0.1:{port}/"),
        format!("http://user:pass@127.0.0.1:{port}/"),
        format!("http://1.1.1.1@127.0.0.1:{port}/"),
        format!("http:\\\\127.0.0.1:{port}\\"),
        // These go by the resolver.
        format!("http://localhost:{port}/"),
        format!("http://LOCALHOST:{port}/"),
    ] {
        assert_not_permitted(&post(&webhooks("10.0.0.0/8"), &url).await, &url);
        assert!(server.requests().is_empty(), "{url}");
    }

    let allowed = webhooks("127.0.0.0/8");
    for host in ["127.0.0.1", "2130706433", "localhost"] {
        let answer = post(&allowed, &format!("http://{host}:{port}/")).await;
        assert_eq!(answer.verdict, Verdict::Delivered, "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn other_private_literals_are_refused() {
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::]/",
        "http://0/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "https://10.0.0.1/",
    ] {
        assert_not_permitted(&post(&webhooks(""), url).await, url);
    }
}

#[tokio::test]
async fn an_unusable_url_is_permanent() {
    for url in ["", "hook", "http://", "ftp://1.1.1.1/", "file:///etc/passwd", "http://[fe80::1%25eth0]/"] {
        let answer = post(&webhooks(""), url).await;
        assert_eq!((answer.status, answer.verdict), (None, Verdict::Permanent), "{url}: {answer:?}");
    }
    let too_long = format!("http://127.0.0.1/{}", "a".repeat(70_000));
    let answer = post(&webhooks("127.0.0.0/8"), &too_long).await;
    assert_eq!(answer, Answer::failed("not a usable URL", Verdict::Permanent));
}

#[tokio::test]
async fn a_host_name_that_is_not_found_is_tried_again() {
    // RFC 6761 keeps .invalid from ever being found.
    let answer = post(&webhooks(""), "http://cronmon.invalid/topsecret").await;
    assert_eq!(answer, Answer::failed("host name not found", Verdict::Transient));
}
