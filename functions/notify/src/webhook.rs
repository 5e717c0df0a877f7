//! Posts an alert to its owner's webhook.
//!
//! The URL and the name servers behind it belong to strangers, so the address is judged where the connection
//! is made: a literal here, a host name by the resolver that the client connects through. What an error says
//! is read by the owner of the alert config, who may paste it anywhere.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::DateTime;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use uuid::Uuid;

use crate::allowed_networks::AllowedNetworks;

const USER_AGENT: &str = concat!("CronMon/", env!("CARGO_PKG_VERSION"));

/// How long a connection waits for the next alert: shorter than servers wait, so that none is closed under a
/// request.
const KEPT_OPEN: Duration = Duration::from_secs(2);

/// How much of an answer's body is read, in bytes, and how much of that is shown, in characters.
const READ_BYTES: usize = 1_000;
const SHOWN_CHARS: usize = 200;

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What went wrong, for the owner of the alert config; `None` when delivered.
    pub error: Option<String>,
    /// How long the destination asked to wait, unbounded.
    pub retry_after: Option<Duration>,
    pub verdict: Verdict,
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// May pass: try again.
    Transient,
    /// Won't pass before the alert config is changed.
    Permanent,
}

/// The client for webhooks. Build it once; clones share its connections.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    allowed: Arc<AllowedNetworks>,
    limits: Limits,
    http: Client,
    // Built when first used: it reads root certificates, and a machine with http webhooks only may have none.
    https: OnceLock<Client>,
}

#[derive(Clone, Copy)]
struct Limits {
    connect: Duration,
    total: Duration,
}

impl Webhooks {
    /// A client that waits 5 s for a connection and 10 s in all.
    ///
    /// # Errors
    /// The HTTP client can't be built; says why.
    pub fn new(allowed: AllowedNetworks) -> Result<Self, String> {
        let limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(10) };
        Self::with_limits(allowed, limits)
    }

    fn with_limits(allowed: AllowedNetworks, limits: Limits) -> Result<Self, String> {
        let allowed = Arc::new(allowed);
        let http = client(without_roots()?, limits, &allowed)?;
        Ok(Self(Arc::new(Inner { allowed, limits, http, https: OnceLock::new() })))
    }

    /// Posts `body`, a JSON document, once. Answers within 10 s.
    pub async fn post(&self, url: &str, delivery_id: Uuid, body: Vec<u8>) -> Answer {
        let url = match self.usable(url) {
            Ok(url) => url,
            Err(error) => return Answer::failed(error, Verdict::Permanent),
        };
        let client = match self.client_for(&url) {
            Ok(client) => client,
            Err(error) => return Answer::failed(error, Verdict::Transient),
        };
        let sent = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", delivery_id.to_string())
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) => answered(response, &url).await,
            Err(error) => not_answered(&error, self.0.limits),
        }
    }

    /// The parsed URL, if a webhook may go there. A host name is for [`PermittedAddresses`] to judge.
    fn usable(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|_| "not a usable URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only http and https URLs are used".into());
        }
        // `Url` has turned every spelling of an address (2130706433, 0x7f.1, a last dot) into the usual one.
        let host = url.host_str().ok_or("the URL has no host")?;
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if !self.0.allowed.permits(ip) => Err(Unresolved::NotPermitted.to_string()),
            _ => Ok(url),
        }
    }

    fn client_for(&self, url: &Url) -> Result<&Client, String> {
        if url.scheme() == "http" {
            return Ok(&self.0.http);
        }
        if let Some(client) = self.0.https.get() {
            return Ok(client);
        }
        let client = client(with_platform_roots()?, self.0.limits, &self.0.allowed)?;
        Ok(self.0.https.get_or_init(|| client))
    }
}

fn client(tls: ClientConfig, limits: Limits, allowed: &Arc<AllowedNetworks>) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(PermittedAddresses(Arc::clone(allowed)))
        // A proxy resolves the name itself, and a redirect may lead to a literal: both get around `allowed`.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // The deliveries table says when to try again.
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .pool_idle_timeout(KEPT_OPEN)
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| format!("can't build the HTTP client: {error}"))
}

/// For http, where no certificate is looked at.
fn without_roots() -> Result<ClientConfig, String> {
    Ok(tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn with_platform_roots() -> Result<ClientConfig, String> {
    let config = tls()?
        .with_platform_verifier()
        .map_err(|_| "this server has no root certificates to check https with")?;
    Ok(config.with_no_client_auth())
}

fn tls() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("can't set up TLS: {error}"))
}

/// Resolves a host name to the addresses that a webhook may go to. The client connects to no others.
struct PermittedAddresses(Arc<AllowedNetworks>);

impl Resolve for PermittedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 stands for the URL's port.
            let found =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Unresolved::NotFound)?;
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(Unresolved::NotFound.into());
            }
            let permitted: Vec<SocketAddr> =
                found.into_iter().filter(|address| allowed.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Unresolved::NotPermitted.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Unresolved {
    NotFound,
    NotPermitted,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "host name not found",
            Self::NotPermitted => "address not permitted: it is neither public nor in ALLOWED_NETWORKS",
        })
    }
}

impl Error for Unresolved {}

impl Answer {
    fn failed(error: impl Into<String>, verdict: Verdict) -> Self {
        Self { status: None, error: Some(error.into()), retry_after: None, verdict }
    }
}

async fn answered(response: Response, url: &Url) -> Answer {
    let status = response.status();
    let verdict = verdict(status);
    if verdict == Verdict::Delivered {
        return Answer { status: Some(status.as_u16()), error: None, retry_after: None, verdict };
    }
    let retry_after = retry_after(response.headers());
    let error = if status.is_redirection() {
        format!("answered {}: redirects are not followed", status.as_u16())
    } else {
        match excerpt(response, url).await {
            text if text.is_empty() => format!("answered {}", status.as_u16()),
            text => format!("answered {}: {text}", status.as_u16()),
        }
    };
    Answer { status: Some(status.as_u16()), error: Some(error), retry_after, verdict }
}

fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Delivered,
        // 404 is also what a deploy in progress answers.
        404 | 408 | 409 | 425 | 429 => Verdict::Transient,
        400..=499 => Verdict::Permanent,
        _ => Verdict::Transient,
    }
}

/// Seconds, or a date, which is taken against the answer's own `Date`: the two clocks may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let asked = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(asked).ok()?;
    let from = DateTime::parse_from_rfc2822(text(header::DATE)?).ok()?;
    until.signed_duration_since(from).to_std().ok()
}

/// The start of the answer's body, or what of it has come when the time is over.
async fn excerpt(mut response: Response, url: &Url) -> String {
    let mut read = Vec::new();
    while read.len() < READ_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read.extend(chunk.iter().take(READ_BYTES - read.len()));
    }
    plain(&without_secrets(String::from_utf8_lossy(&read).into_owned(), url))
}

/// Servers like to say what they were asked for ("Cannot POST /hooks/…"), and for a webhook that is the key.
fn without_secrets(mut text: String, url: &Url) -> String {
    let path = url.path();
    let query = url.query().unwrap_or_default();
    let password = url.password().unwrap_or_default();
    let whole = [path, query, password].into_iter().filter(|whole| whole.len() > 3);
    // Short parts are words, and words make up the text that is to be shown.
    let parts = path.split('/').chain(query.split(['&', '='])).filter(|part| part.len() >= 12);
    for secret in whole.chain(parts) {
        text = text.replace(secret, "…");
    }
    text
}

/// One line without control characters, nor those that turn the direction of text around.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let visible = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words.join(" ").chars().filter(visible).take(SHOWN_CHARS).collect()
}

fn not_answered(error: &reqwest::Error, limits: Limits) -> Answer {
    if error.is_builder() {
        return Answer::failed("not a usable URL", Verdict::Permanent);
    }
    if let Some(reason) = find::<Unresolved>(error) {
        let verdict = match reason {
            Unresolved::NotFound => Verdict::Transient,
            Unresolved::NotPermitted => Verdict::Permanent,
        };
        return Answer::failed(reason.to_string(), verdict);
    }
    let text = match (error.is_timeout(), error.is_connect()) {
        (true, true) => format!("no connection within {} s", limits.connect.as_secs_f32()),
        (true, false) => format!("no answer within {} s", limits.total.as_secs_f32()),
        (false, connecting) => broken(error, connecting).into(),
    };
    Answer::failed(text, Verdict::Transient)
}

fn broken(error: &reqwest::Error, connecting: bool) -> &'static str {
    if let Some(tls) = find::<rustls::Error>(error) {
        return bad_tls(tls);
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused",
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => "host unreachable",
        _ if connecting => "connection failed",
        _ => "connection closed without a usable answer",
    }
}

fn bad_tls(error: &rustls::Error) -> &'static str {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};

    match error {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => "certificate expired",
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "certificate is for another name"
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => "certificate has an unknown issuer",
        rustls::Error::InvalidCertificate(_) => "certificate not valid",
        _ => "TLS connection failed",
    }
}

/// The first error of this type among the causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error names as its source that of the error it wraps, and skips the error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

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
        assert_eq!(
            error(answer),
            "address not permitted: it is neither public nor in ALLOWED_NETWORKS",
            "{url}"
        );
    }

    #[tokio::test]
    async fn an_alert_arrives_with_its_headers() {
        let server = Server::start("HTTP/1.1 204 No Content\r\n\r\n", Then::Close).await;
        let id = Uuid::from_u128(7);
        let answer = webhooks("127.0.0.0/8").post(&server.url("/hook?a=b"), id, BODY.to_vec()).await;
        let delivered =
            Answer { status: Some(204), error: None, retry_after: None, verdict: Verdict::Delivered };
        assert_eq!(answer, delivered);

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
        let answer = answer_to(
            "HTTP/1.1 404 No\r\n\r\nCannot POST /hooks/topsecret?key=opensesame, nor /hooks/topsecret",
        )
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
            assert_eq!(
                answer,
                Answer::failed("connection closed without a usable answer", Verdict::Transient)
            );
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
        for url in ["", "hook", "http://", "ftp://1.1.1.1/", "file:///etc/passwd", "http://[fe80::1%25eth0]/"]
        {
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
}
