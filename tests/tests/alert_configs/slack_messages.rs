//! What Slack is sent, and what becomes of what it does not take.

use std::time::Duration;

use chrono::TimeDelta;
use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use cronmon_tests::slack::{CHANNEL, MASK, Slack, TOKEN};
use reqwest::Method;
use serde_json::{Value, json};

use super::{change, every_minute, monitor_id, ping, read, seconds_later, with};

const OPEN: &str = "select count(*) from delivery where next_attempt_at is not null";

/// CronMon with a Slack that hears everything of `acme`.
async fn heard_in_slack() -> (CronMon, Slack, Value) {
    let slack = Slack::start().await;
    let cronmon = CronMon::start_with_slack(&slack.api_url).await;
    let r#type = json!({ "slack": { "channel": CHANNEL, "token": TOKEN } });
    let body = json!({ "name": "ops", "default": true, "type": r#type });
    let config = cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(config.status, 200, "{}", config.body);
    (cronmon, slack, config.body["data"].clone())
}

/// What is wrong with the alert config, which is told without the token.
async fn reason(cronmon: &CronMon, config: &Value) -> Value {
    let shown = read(cronmon, config).await;
    assert!(!shown.to_string().contains("TellNobody"), "{shown}");
    shown["broken"]["reason"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_run_its_failure_and_the_recovery() {
    let (cronmon, slack, _) = heard_in_slack().await;
    let name = "back<up> & `x`";
    let monitor = cronmon
        .create(json!({ "name": name, "schedule": null, "expected_duration": 60, "grace_duration": 30 }))
        .await;
    ping(&cronmon, &monitor, "/start").await;
    seconds_later(&cronmon, 100).await;
    let url = format!("{}/9", monitor["ping_url"].as_str().unwrap());
    let output = "`<!channel>` disk full";
    assert_eq!(cronmon.http.post(url).body(output).send().await.unwrap().status(), 200);
    cronmon.deliver().await;
    let failed = cronmon.read(&monitor).await["jobs"][0].clone();
    seconds_later(&cronmon, 20).await;
    ping(&cronmon, &monitor, "").await;
    let succeeded = cronmon.read(&monitor).await["jobs"][0].clone();

    let post = |what: &str, happened: &str, more: &[Value], job: &Value| {
        let title = format!("{what} 'back&lt;up&gt; &amp; `x`' job");
        let mut blocks = vec![
            json!({ "type": "header", "text": { "type": "plain_text", "text": title } }),
            json!({ "type": "section", "text": { "type": "plain_text", "text": happened } }),
        ];
        blocks.extend_from_slice(more);
        let ids =
            format!("Monitor ID: `{}`\nJob ID: `{}`", monitor_id(&monitor), job["job_id"].as_str().unwrap());
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": ids } }));
        json!({ "channel": CHANNEL, "text": title, "blocks": blocks })
    };
    let output = "Job output: `\u{2cb}&lt;!channel&gt;\u{2cb} disk full`";
    let output = json!({ "type": "section", "text": { "type": "mrkdwn", "text": output } });
    assert_eq!(
        slack.posts(),
        [
            post(
                "Late",
                "The job started at 2026-11-22 12:00:00 UTC, and was expected to finish by 2026-11-22 12:01:30 UTC \
                 at the latest, but it hasn't reported that it's finished yet.",
                &[],
                &failed
            ),
            post("Failed", "Job failed at 2026-11-22 12:01:40 UTC.", &[output], &failed),
            post(
                "Recovered",
                "succeeded at 12:02:00, 30 s after it was first late at 12:01:30",
                &[],
                &succeeded
            ),
        ]
    );
    assert_eq!(count(&cronmon.pool, OPEN).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_before_its_lateness_is_told_is_said_to_have_ended() {
    let (cronmon, slack, _) = heard_in_slack().await;
    let monitor = cronmon
        .create(json!({ "name": "a", "schedule": null, "expected_duration": 60, "grace_duration": 30 }))
        .await;
    ping(&cronmon, &monitor, "/start").await;
    cronmon.set_clock(cronmon.now() + TimeDelta::seconds(120));
    // The success lets the lateness fall due.
    ping(&cronmon, &monitor, "").await;
    let posts = slack.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(
        posts[0]["blocks"][1]["text"]["text"],
        "The job started at 2026-11-22 12:00:00 UTC, and was expected to finish by 2026-11-22 12:01:30 UTC at the \
         latest, but it reported only at 2026-11-22 12:02:00 UTC that it had finished."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_and_output_and_the_empty_name_arrive() {
    let (cronmon, slack, config) = heard_in_slack().await;
    for name in ["&".repeat(4_096), "\u{1f980}".repeat(4_096), String::new()] {
        let monitor = cronmon.create(json!({ "name": name, "schedule": null })).await;
        let url = format!("{}/fail", monitor["ping_url"].as_str().unwrap());
        let response = cronmon.http.post(url).body("<`".repeat(100_000)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        cronmon.deliver().await;
        assert_eq!(reason(&cronmon, &config).await, Value::Null);
    }
    assert_eq!(slack.posts().len(), 3);
    assert_eq!(slack.texts()[2], "Failed '' job");
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery where delivered_at is not null").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_names_its_monitor_alone() {
    let (cronmon, slack, _) = heard_in_slack().await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "").await;
    seconds_later(&cronmon, 61).await;
    let title = "Late 'a' job";
    let missed = "expected 12:01:00, nothing came by 12:01:00; last success 12:00:00";
    let ids = format!("Monitor ID: `{}`", monitor_id(&monitor));
    assert_eq!(
        slack.posts(),
        [json!({ "channel": CHANNEL, "text": title, "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": title } },
            { "type": "section", "text": { "type": "plain_text", "text": missed } },
            { "type": "section", "text": { "type": "mrkdwn", "text": ids } },
        ] })]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slack_refuses_for_good_breaks_the_alert_config_until_it_leads_elsewhere() {
    let (cronmon, slack, config) = heard_in_slack().await;
    let elsewhere = json!({ "slack": { "channel": "#gone", "token": MASK } });
    let config = change(&cronmon, &config, json!({ "type": elsewhere })).await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(reason(&cronmon, &config).await, "Slack API error: channel_not_found");
    assert_eq!(count(&cronmon.pool, OPEN).await, 0);
    seconds_later(&cronmon, 30).await;
    assert_eq!(slack.posts().len(), 1, "it is not tried again");

    let renamed = change(&cronmon, &config, json!({ "name": "b" })).await;
    assert_eq!(renamed["broken"]["reason"], "Slack API error: channel_not_found");
    let back = json!({ "slack": { "channel": CHANNEL, "token": MASK } });
    assert_eq!(change(&cronmon, &config, json!({ "type": back })).await["broken"], Value::Null);
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery where delivered_at is not null").await, 1);

    let wrong = json!({ "slack": { "channel": CHANNEL, "token": "xoxb-of-another-bot" } });
    let config = change(&cronmon, &config, with(json!({}), &json!({ "type": wrong }))).await;
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(reason(&cronmon, &config).await, "Slack API error: invalid_auth");
    let mended = json!({ "slack": { "channel": CHANNEL, "token": TOKEN } });
    assert_eq!(change(&cronmon, &config, json!({ "type": mended })).await["broken"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_comes_again_in_its_order_when_slack_says() {
    let (cronmon, slack, config) = heard_in_slack().await;
    let monitor = every_minute(&cronmon, "a").await;
    slack.limit(CHANNEL, 90);
    ping(&cronmon, &monitor, "/fail").await;
    ping(&cronmon, &monitor, "").await;
    assert_eq!(slack.texts(), ["Failed 'a' job"], "the recovery waits behind the failure");
    assert_eq!(reason(&cronmon, &config).await, Value::Null, "it may pass");

    let unknown = json!({ "ok": false, "error": "an_error_of_next_year" });
    slack.answer(CHANNEL, 200, unknown, Duration::ZERO);
    cronmon.set_clock(cronmon.now() + TimeDelta::seconds(89));
    cronmon.deliver().await;
    assert_eq!(slack.posts().len(), 1, "not before its time");
    cronmon.set_clock(cronmon.now() + TimeDelta::seconds(2));
    cronmon.deliver().await;
    assert_eq!(slack.posts().len(), 2);
    assert_eq!(count(&cronmon.pool, OPEN).await, 2, "an error that nobody knows may pass too");
    let errors = "select count(*) from delivery where last_error = 'Slack API error: an_error_of_next_year'";
    assert_eq!(count(&cronmon.pool, errors).await, 1);

    slack.answer_as_always(CHANNEL);
    cronmon.set_clock(cronmon.now() + TimeDelta::seconds(20));
    cronmon.deliver().await;
    assert_eq!(slack.texts()[2..], ["Failed 'a' job", "Recovered 'a' job"]);
    assert_eq!(count(&cronmon.pool, OPEN).await, 0);
}
