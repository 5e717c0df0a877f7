//! What became of an attempt, and whether to try again.
//!
//! What an error says is read by the owner of the alert config, who may paste it anywhere.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Url};
use rustls::CertificateError;

use crate::client::Limits;

/// How much of an answer's body is read, in bytes, and how much of that is shown, in characters.
const READ_BYTES: usize = 1_000;
pub(crate) const SHOWN_CHARS: usize = 200;

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What went wrong, for the owner of the alert config; `None` when delivered.
    pub error: Option<String>,
    /// The start of what Slack answered when it refused, for who asked for a test.
    pub body: Option<String>,
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

/// Why a host name leads nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unresolved {
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
    pub(crate) fn delivered(status: StatusCode) -> Self {
        let verdict = Verdict::Delivered;
        Self { status: Some(status.as_u16()), error: None, body: None, retry_after: None, verdict }
    }

    pub(crate) fn failed(error: impl Into<String>, verdict: Verdict) -> Self {
        Self { status: None, error: Some(error.into()), body: None, retry_after: None, verdict }
    }
}

pub(crate) async fn answered(response: Response, url: &Url) -> Answer {
    let status = response.status();
    let verdict = verdict(status);
    if verdict == Verdict::Delivered {
        return Answer::delivered(status);
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
    Answer { status: Some(status.as_u16()), error: Some(error), body: None, retry_after, verdict }
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
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
async fn excerpt(response: Response, url: &Url) -> String {
    let read = read_some(response, READ_BYTES).await;
    plain(&without_secrets(String::from_utf8_lossy(&read).into_owned(), url), SHOWN_CHARS)
}

/// At most so many bytes of an answer's body, or what of them has come when the time is over.
pub(crate) async fn read_some(mut response: Response, most: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < most
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read.extend(chunk.iter().take(most - read.len()));
    }
    read
}

/// Servers like to say what they were asked for ("Cannot POST /hooks/…"), and for a webhook that is the key.
pub(crate) fn without_secrets(mut text: String, url: &Url) -> String {
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

/// One line of so many characters without control characters, nor those that turn the direction of text around.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let visible = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words.join(" ").chars().filter(visible).take(most).collect()
}

pub(crate) fn not_answered(error: &reqwest::Error, limits: Limits) -> Answer {
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
