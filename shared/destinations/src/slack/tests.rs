//! Against real HTTP on this machine.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::message::Test;

const TOKEN: &str = "xoxb-1234567890-\"quoted\"\\";

fn message() -> Message {
    Message::Test(Test {
        at: "2026-11-22T16:36:33Z".parse().unwrap(),
        alert_config_id: uuid::Uuid::nil(),
        name: "on-call".into(),
        caller: "Ann".into(),
    })
}

/// Takes one request, answers this, and gives the request away.
async fn server(answer: impl Into<String>) -> (Url, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap()).parse().unwrap();
    let (heard, request) = oneshot::channel();
    let answer = answer.into();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        // A message ends in the brackets of its blocks.
        while !read.ends_with(b"}") {
            assert!(connection.read_buf(&mut read).await.unwrap() > 0);
        }
        heard.send(String::from_utf8(read).unwrap()).unwrap();
        connection.write_all(answer.as_bytes()).await.unwrap();
    });
    (url, request)
}

async fn answer_to(status: &str, headers: &str, body: &str) -> Answer {
    let (url, _request) = server(format!("HTTP/1.1 {status} So\r\n{headers}\r\n{body}")).await;
    let answer = Slack::new(&url).unwrap().post("#ops", TOKEN, &message()).await;
    for told in [&answer.error, &answer.body].into_iter().flatten() {
        assert!(!told.contains("quoted") && !told.contains("1234567890"), "{told}");
    }
    answer
}

fn refused(error: &str) -> String {
    format!("{{\"ok\":false,\"error\":\"{error}\"}}")
}

#[tokio::test]
async fn a_message_is_one_post_with_the_token_in_its_header() {
    let (url, request) = server("HTTP/1.1 200 OK\r\n\r\n{\"ok\":true,\"ts\":\"1.2\"}").await;
    // With a slash at the end too.
    let url = format!("{url}/").parse().unwrap();
    let answer = Slack::new(&url).unwrap().post("#ops", TOKEN, &message()).await;
    assert_eq!(answer, Answer::delivered(StatusCode::OK));
    let request = request.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/chat.postMessage HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nauthorization: Bearer {TOKEN}\r\n")), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json; charset=utf-8\r\n"), "{head}");
    assert!(!body.contains("xoxb"), "{body}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["channel"], "#ops");
}

#[tokio::test]
async fn a_refusal_that_the_owner_must_mend_is_permanent_and_any_other_may_pass() {
    for error in [
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "invalid_auth",
        "token_revoked",
        "missing_scope",
    ] {
        let answer = answer_to("200", "", &refused(error)).await;
        assert_eq!(answer.verdict, Verdict::Permanent, "{error}");
        assert_eq!(answer.error, Some(format!("Slack API error: {error}")));
        assert_eq!(answer.body, Some(refused(error)));
        assert_eq!(answer.status, Some(200));
    }
    for error in [
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "org_login_required",
        "an_error_of_next_year",
    ] {
        let answer = answer_to("200", "", &refused(error)).await;
        assert_eq!(answer.verdict, Verdict::Transient, "{error}");
        assert_eq!(answer.error, Some(format!("Slack API error: {error}")));
    }
}

#[tokio::test]
async fn too_many_messages_are_sent_again_when_slack_says() {
    let answer = answer_to("429", "retry-after: 30\r\n", &refused("ratelimited")).await;
    assert_eq!((answer.verdict, answer.retry_after), (Verdict::Transient, Some(Duration::from_secs(30))));
    assert_eq!(answer.error.as_deref(), Some("Slack API error: ratelimited"));
    // Whatever it says besides.
    let answer = answer_to("429", "retry-after: 1\r\n", &refused("invalid_auth")).await;
    assert_eq!(answer.verdict, Verdict::Transient);
}

#[tokio::test]
async fn an_answer_that_is_not_slacks_may_pass_and_is_no_delivery() {
    for (status, body, error) in [
        ("200", "", "it answered, but not as Slack does"),
        ("200", "<html>ok</html>", "it answered, but not as Slack does"),
        ("200", "{\"ok\":\"true\"}", "it answered, but not as Slack does"),
        ("200", "{\"ok\":false}", "it answered, but not as Slack does"),
        ("500", "{\"ok\":true}", "answered 500"),
        ("502", "<html>bad</html>", "answered 502"),
        ("302", "", "answered 302"),
        ("404", "", "answered 404"),
    ] {
        let answer = answer_to(status, "location: http://127.0.0.1:1/\r\n", body).await;
        assert_eq!(answer.verdict, Verdict::Transient, "{status} {body}");
        assert_eq!(answer.error, Some(format!("Slack API error: {error}")), "{status} {body}");
    }
}

#[tokio::test]
async fn a_token_that_is_repeated_to_us_is_not_told_and_an_answer_is_cut() {
    let in_json = TOKEN.replace('\\', "\\\\").replace('"', "\\\"");
    let body = format!("{{\"ok\":false,\"error\":\"no {in_json}\",\"sent\":\"{in_json}\"}}");
    let answer = answer_to("200", "", &body).await;
    assert_eq!(answer.error.as_deref(), Some("Slack API error: no …"));
    assert_eq!(answer.body.as_deref(), Some("{\"ok\":false,\"error\":\"no …\",\"sent\":\"…\"}"));

    let long = format!("{{\"ok\":false,\"error\":\"{}\"}}", "e".repeat(5_000));
    let answer = answer_to("200", "", &long).await;
    assert_eq!(answer.error.unwrap(), format!("Slack API error: {}", "e".repeat(100)));
    assert_eq!(answer.body.unwrap().chars().count(), 300);
}

#[tokio::test]
async fn a_slack_that_is_not_there_may_come_back() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let slack = Slack::new(&format!("http://{free}/api").parse().unwrap()).unwrap();
    let answer = slack.post("#ops", TOKEN, &message()).await;
    assert_eq!(answer, Answer::failed("Slack API error: connection refused", Verdict::Transient));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", silent.local_addr().unwrap()).parse().unwrap();
    let limits = Limits { connect: Duration::from_millis(250), total: Duration::from_millis(250) };
    let began = Instant::now();
    let answer = Slack::with_limits(&url, limits).unwrap().post("#ops", TOKEN, &message()).await;
    assert_eq!(answer, Answer::failed("Slack API error: no answer within 0.25 s", Verdict::Transient));
    assert!(began.elapsed() < Duration::from_secs(5));
}
