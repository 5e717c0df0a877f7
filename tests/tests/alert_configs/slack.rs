//! Alert configs that lead to Slack: created, shown, changed.

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use cronmon_tests::slack::{CHANNEL, MASK, TOKEN};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{change, id, read};

fn slack(channel: &str, token: &str) -> Value {
    json!({ "slack": { "channel": channel, "token": token } })
}

async fn created(cronmon: &CronMon, r#type: Value) -> Value {
    let body = json!({ "name": "ops", "active": true, "on_late": true, "on_error": true, "type": r#type });
    let answer = cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.to_string().contains("TellNobody"), "{}", answer.body);
    answer.body["data"].clone()
}

/// What is kept: type, url, channel and token.
async fn kept(cronmon: &CronMon, config: &Value) -> [Option<String>; 4] {
    let id: Uuid = id(config).parse().unwrap();
    let statement =
        "select type, url, slack_channel, slack_token from alert_config where alert_config_id = $1";
    let row = cronmon.pool.get().await.unwrap().query_one(statement, &[&id]).await.unwrap();
    [row.get(0), row.get(1), row.get(2), row.get(3)]
}

fn in_slack(channel: &str, token: &str) -> [Option<String>; 4] {
    [Some("slack".to_owned()), None, Some(channel.to_owned()), Some(token.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn its_token_is_shown_to_nobody() {
    let cronmon = CronMon::start().await;
    let config = created(&cronmon, slack(CHANNEL, TOKEN)).await;
    assert_eq!(config["type"], slack(CHANNEL, MASK));
    assert_eq!(config["warnings"], json!([]));
    assert_eq!(kept(&cronmon, &config).await, in_slack(CHANNEL, TOKEN));
    assert_eq!(read(&cronmon, &config).await, config);
    let list = cronmon.call(Method::GET, "/alert-configs", None).await.body;
    assert_eq!(list["data"][0]["type"], "slack");
    assert!(!list.to_string().contains("TellNobody"), "{list}");

    let short = created(&cronmon, slack("#ops", "xoxb-123456789a")).await;
    assert_eq!(short["type"], slack("#ops", "************"));
    assert_eq!(kept(&cronmon, &short).await, in_slack("#ops", "xoxb-123456789a"));
    let kept_short = change(&cronmon, &short, json!({ "type": slack("#b", "************") })).await;
    assert_eq!(kept(&cronmon, &kept_short).await, in_slack("#b", "xoxb-123456789a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_channel_and_token_are_taken_and_an_unknown_field_is_named() {
    let cronmon = CronMon::start().await;
    let (channel, token) = ("\u{1f980}".repeat(256), "~".repeat(512));
    let config = created(&cronmon, slack(&channel, &token)).await;
    assert_eq!(config["type"]["slack"]["token"], "************~~~~");
    assert_eq!(kept(&cronmon, &config).await, in_slack(&channel, &token));

    let more = json!({ "slack": { "channel": CHANNEL, "token": TOKEN, "team": "T1" } });
    let config = created(&cronmon, more).await;
    assert_eq!(config["warnings"], json!(["unknown field 'team' of slack was ignored"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mask_of_its_token_keeps_it() {
    let cronmon = CronMon::start().await;
    let config = created(&cronmon, slack(CHANNEL, TOKEN)).await;
    let moved = change(&cronmon, &config, json!({ "type": slack("#other", MASK) })).await;
    assert_eq!(moved["type"], slack("#other", MASK));
    assert_eq!(kept(&cronmon, &config).await, in_slack("#other", TOKEN));

    let another = "xoxb-another-token-4444";
    let changed = change(&cronmon, &config, json!({ "type": slack(CHANNEL, another) })).await;
    assert_eq!(changed["type"], slack(CHANNEL, "************4444"));
    assert_eq!(kept(&cronmon, &config).await, in_slack(CHANNEL, another));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mask_of_another_token_is_refused() {
    let cronmon = CronMon::start().await;
    let config = created(&cronmon, slack(CHANNEL, TOKEN)).await;
    let hook = created(&cronmon, json!({ "webhook": { "url": "https://example.com/" } })).await;
    let before = contents(&cronmon.pool).await;
    let why = "type: the token is the mask of another token; give the token itself";
    let refused = async |method: Method, path: &str, token: &str| {
        let body = json!({ "name": "ops", "type": slack(CHANNEL, token) });
        let answer = cronmon.call(method.clone(), path, Some(&body)).await;
        let told = &answer.body["error"]["description"];
        assert_eq!((answer.status.as_u16(), told), (422, &json!(why)), "{method} {path} {token}");
    };
    for token in ["************Thi5", "************", "*", "*************This", "***********This"] {
        refused(Method::PATCH, &format!("/alert-configs/{}", id(&config)), token).await;
        refused(Method::POST, "/alert-configs", token).await;
    }
    refused(Method::POST, "/alert-configs", MASK).await;
    refused(Method::PATCH, &format!("/alert-configs/{}", id(&hook)), MASK).await;
    assert_eq!(contents(&cronmon.pool).await, before);

    // Of an alert config that is not there, or another tenant's, nothing is said but that.
    let body = json!({ "name": "ops", "type": slack(CHANNEL, MASK) });
    let unknown = format!("/alert-configs/{}", Uuid::new_v4());
    assert_eq!(cronmon.call(Method::PATCH, &unknown, Some(&body)).await.status, 404);
    let theirs = format!("/alert-configs/{}", id(&config));
    assert_eq!(cronmon.call_as("globex", Method::PATCH, &theirs, Some(&body)).await.status, 404);
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_becomes_slack_and_slack_a_webhook() {
    let cronmon = CronMon::start().await;
    let webhook = json!({ "webhook": { "url": "https://example.com/hook" } });
    let config = created(&cronmon, webhook.clone()).await;
    let changed = change(&cronmon, &config, json!({ "type": slack(CHANNEL, TOKEN) })).await;
    assert_eq!(changed["type"], slack(CHANNEL, MASK));
    assert_eq!(kept(&cronmon, &config).await, in_slack(CHANNEL, TOKEN));
    let back = change(&cronmon, &config, json!({ "type": webhook })).await;
    assert_eq!(back["type"], webhook);
    let url = Some("https://example.com/hook".to_owned());
    assert_eq!(kept(&cronmon, &config).await, [Some("webhook".to_owned()), url, None, None]);
}
