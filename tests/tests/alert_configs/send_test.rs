//! A test of an alert config: sent at once, and kept nowhere.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use cronmon_tests::contents::contents;
use cronmon_tests::cronmon::Answer;
use cronmon_tests::slack::{CHANNEL, Slack, TOKEN};
use cronmon_tests::{CronMon, Receiver};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{config_of, id};

async fn try_out(cronmon: &CronMon, config: &Value) -> Answer {
    cronmon.call(Method::POST, &format!("/alert-configs/{}/test", id(config)), None).await
}

fn arrived(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &json!("")));
}

fn failed(answer: &Answer, description: &str) {
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (502, &json!({ "error": { "code": 502, "reason": "Notify Error", "description": description } }))
    );
}

async fn in_slack(cronmon: &CronMon, channel: &str, active: bool) -> Value {
    let r#type = json!({ "slack": { "channel": channel, "token": TOKEN } });
    let body = json!({ "name": "on <call>", "active": active, "type": r#type });
    let answer = cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_slack_it_says_who_asked_though_the_alert_config_is_off() {
    let slack = Slack::start().await;
    let cronmon = CronMon::start_with_slack(&slack.api_url).await;
    let config = in_slack(&cronmon, CHANNEL, false).await;
    let kept = async || {
        let mut contents = contents(&cronmon.pool).await;
        contents.remove("alert_config");
        contents
    };
    let before = kept().await;

    let claims =
        json!({ "aud": "cron-mon", "tenant": "acme", "exp": 4_000_000_000_u64, "name": "Ann <a@b.example>" });
    let url = format!("{}/api/v1/alert-configs/{}/test/", cronmon.url, id(&config));
    let authorization = format!("Bearer {}", cronmon.issuer.sign(&claims));
    let response = cronmon.http.post(url).header("authorization", authorization).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (204, String::new()));
    // Without a name the tenant has to do.
    arrived(&try_out(&cronmon, &config).await);

    let post = |caller: &str| {
        let id = format!("`alert_config_id: {}`", id(&config));
        json!({ "channel": CHANNEL, "text": "Test 'on &lt;call&gt;' alert", "blocks": [
            { "type": "section", "text": { "type": "plain_text", "text": format!("Test alert triggered by '{caller}'") } },
            { "type": "section", "text": { "type": "mrkdwn", "text": id } },
        ] })
    };
    assert_eq!(slack.posts(), [post("Ann &lt;a@b.example&gt;"), post("acme")]);
    assert_eq!(kept().await, before, "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_webhook_it_has_every_field_of_an_alert() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    let config = config_of(&cronmon, "acme", &receiver.url, json!({ "active": false })).await;
    arrived(&try_out(&cronmon, &config).await);
    arrived(&try_out(&cronmon, &config).await);
    let heard = receiver.heard();
    let mut ids = std::collections::BTreeSet::new();
    for heard in &heard {
        let mut message = heard.message.clone();
        for field in ["id", "incident_id"] {
            let id = message.as_object_mut().unwrap().remove(field).unwrap();
            ids.insert(id.as_str().unwrap().parse::<Uuid>().unwrap());
        }
        ids.insert(heard.webhook_id.parse().unwrap());
        assert_eq!(
            message,
            json!({
                "type": "test", "cause": "test", "at": "2026-11-22T12:00:00Z", "monitor": null, "job": null,
                "reason": "Test alert triggered by 'acme'",
            })
        );
    }
    assert_eq!((heard.len(), ids.len()), (2, 6), "no two of them share an id");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_502_and_says_why() {
    let slack = Slack::start().await;
    let cronmon = CronMon::start_with_slack(&slack.api_url).await;
    let gone = in_slack(&cronmon, "#gone", true).await;
    let body = r#"{"error":"channel_not_found","ok":false}"#;
    failed(
        &try_out(&cronmon, &gone).await,
        &format!("Failed to notify: Slack API error: channel_not_found\nBody: '{body}'"),
    );
    slack.limit("#gone", 1);
    let answer = try_out(&cronmon, &gone).await;
    let body = r#"{"error":"ratelimited","ok":false}"#;
    failed(&answer, &format!("Failed to notify: Slack API error: ratelimited\nBody: '{body}'"));
    // One that repeats what it was sent.
    let echo = json!({ "ok": false, "error": format!("who is {TOKEN}?"), "x": "y".repeat(1_000) });
    slack.answer("#gone", 200, echo, Duration::ZERO);
    let answer = try_out(&cronmon, &gone).await;
    let told = answer.body["error"]["description"].as_str().unwrap();
    assert!(told.starts_with("Failed to notify: Slack API error: who is …?\nBody: '{"), "{told}");
    assert!(told.chars().count() < 400 && !told.contains("TellNobody"), "{told}");

    let receiver = Receiver::start().await;
    let hook = config_of(&cronmon, "acme", &receiver.url, json!({})).await;
    receiver.answer_with(StatusCode::GONE);
    failed(&try_out(&cronmon, &hook).await, "Failed to notify: answered 410");
    let private = config_of(&cronmon, "acme", "http://169.254.169.254/", json!({})).await;
    failed(
        &try_out(&cronmon, &private).await,
        "Failed to notify: address not permitted: it is neither public nor in ALLOWED_NETWORKS",
    );
    let closed = config_of(&cronmon, "acme", "http://127.0.0.1:1/", json!({})).await;
    failed(&try_out(&cronmon, &closed).await, "Failed to notify: connection refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there_or_another_tenants_is_not_found_and_nothing_is_sent() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    let config = config_of(&cronmon, "acme", &receiver.url, json!({})).await;
    let path = format!("/alert-configs/{}/test", id(&config));
    assert_eq!(cronmon.call_as("globex", Method::POST, &path, None).await.status, 404);
    let unknown = Uuid::new_v4();
    let answer = cronmon.call(Method::POST, &format!("/alert-configs/{unknown}/test"), None).await;
    let description = format!("Failed to find alert configuration with id '{unknown}'");
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["description"]), (404, &json!(description)));
    assert_eq!(cronmon.call(Method::GET, &path, None).await.status, 405);
    assert!(receiver.heard().is_empty());
}

/// Twelve at once are more than there are connections to the database.
#[tokio::test(flavor = "multi_thread")]
async fn of_tests_that_hang_a_tenant_has_few_and_they_hold_no_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cronmon = CronMon::start().await;
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let config = config_of(&cronmon, "acme", &url, json!({})).await;
    let began = Instant::now();
    let all = join_all((0..12).map(|_| try_out(&cronmon, &config)));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        let answer = cronmon.call(Method::GET, "/alert-configs", None).await;
        assert_eq!(answer.status, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    };
    let (answers, ()) = tokio::join!(all, meanwhile);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..11], [429; 11]);
    assert_eq!(statuses[11], 502);
    let told = answers.iter().find(|answer| answer.status == 502).unwrap();
    failed(told, "Failed to notify: no answer within 10 s");
    let told = answers.iter().find(|answer| answer.status == 429).unwrap();
    let why = "A test of it, or 2 of others, are on their way; wait for their end.";
    assert_eq!(told.body["error"]["description"], why);
    // Then the next one may go, and each tenant has its own.
    let receiver = Receiver::start().await;
    for tenant in ["acme", "globex"] {
        let config = config_of(&cronmon, tenant, &receiver.url, json!({})).await;
        let path = format!("/alert-configs/{}/test", id(&config));
        arrived(&cronmon.call_as(tenant, Method::POST, &path, None).await);
    }
}
