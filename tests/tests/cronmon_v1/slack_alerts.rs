//! §2, what is posted to Slack, and when.

use serde_json::{Value, json};

use crate::server::{Server, Tenant, text};
use cronmon_tests::slack::{Slack, TOKEN};

crate::chapter!(
    a_late_job_is_told_while_it_runs,
    a_failed_job_is_told_with_its_output,
    a_failed_job_without_output_is_told_without,
    a_job_that_is_late_and_failed_is_told_twice_late_first,
    every_job_that_is_late_or_failed_is_told,
    a_job_that_ends_well_in_time_is_not_told,
    each_associated_config_is_told,
    a_monitor_without_configs_tells_nobody,
    ours_what_came_before_a_config_was_attached_is_not_told,
    what_was_told_is_not_told_again,
    each_monitor_is_told_by_its_name_of_that_time,
    ours_a_recovery_is_told_unless_it_is_not_wanted,
    ours_a_default_config_hears_of_monitors_without_one,
);

struct World {
    monitor: String,
    key: String,
    channel: String,
}

/// A monitor that leads to a channel of its own.
async fn world(tenant: &Tenant<'_>, name: &str, expected: i64) -> World {
    let (monitor, channel) = (tenant.monitor(name, expected, 0).await, Slack::channel());
    // The original tells no recoveries; who wants it so says so.
    let config = tenant.slack(&channel, &json!({ "on_recovered": false })).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    World { monitor, key: tenant.key().await.key, channel }
}

async fn heard(server: &Server, channel: &str, count: usize) -> Vec<Value> {
    server.until(&format!("message {count}"), || server.slack.heard(channel).len() >= count).await;
    server.slack.heard(channel).into_iter().map(|posted| posted.message).collect()
}

fn section(kind: &str, text: &str) -> Value {
    json!({ "type": "section", "text": { "type": kind, "text": text } })
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": text } })
}

async fn a_late_job_is_told_while_it_runs(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 0).await;
    let job = server.started(&key, &monitor).await;
    let message = heard(server, &channel, 1).await.remove(0);
    let sentence = "§2 late";
    assert_eq!(message["channel"], *channel, "{sentence}");
    assert_eq!(message["text"], "Late 'nightly' job", "{sentence}");
    let blocks = message["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 3, "{sentence}: {message}");
    assert_eq!(blocks[0], header("Late 'nightly' job"), "{sentence}");
    assert_eq!(blocks[1]["text"]["type"], "plain_text", "{sentence}");
    let said = text(&blocks[1]["text"], "text");
    let start = tenant.read_job(&monitor, &job).await["start_time"].as_str().unwrap()[..19].to_owned();
    assert!(
        said.starts_with("The job started at ")
            && said.contains(", and was expected to finish by ")
            && said.ends_with(" at the latest, but it hasn't reported that it's finished yet."),
        "{sentence}: {said}"
    );
    assert!(
        said.replace(' ', "T").contains(&start),
        "{sentence}: it says when the job started, {start}: {said}"
    );
    let ids = format!("Monitor ID: `{monitor}`\nJob ID: `{job}`");
    assert_eq!(blocks[2], section("mrkdwn", &ids), "{sentence}");
    let posted = &server.slack.heard(&channel)[0];
    assert_eq!(posted.method, "POST", "POST chat.postMessage");
    assert_eq!(posted.path, "/api/chat.postMessage", "POST chat.postMessage");
    assert_eq!(posted.authorization, format!("Bearer {TOKEN}"), "`Authorization: Bearer <token>`");
    assert!(posted.content_type.starts_with("application/json"), "JSON: {}", posted.content_type);
}

async fn a_failed_job_is_told_with_its_output(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
    let body = json!({ "succeeded": false, "output": "disk full" });
    let job = server.finished(&key, &monitor, &body).await;
    let message = heard(server, &channel, 1).await.remove(0);
    let sentence = "§2 failed";
    assert_eq!(
        (&message["channel"], &message["text"]),
        (&json!(channel), &json!("Failed 'nightly' job")),
        "{sentence}"
    );
    let blocks = message["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 4, "{sentence}: {message}");
    assert_eq!(blocks[0], header("Failed 'nightly' job"), "{sentence}");
    let said = text(&blocks[1]["text"], "text");
    let end = &text(&job, "end_time")[..19];
    assert!(said.starts_with("Job failed at ") && said.ends_with('.'), "{sentence}: {said}");
    assert!(said.replace(' ', "T").contains(end), "{sentence}: it says when it failed, {end}: {said}");
    assert_eq!(blocks[1]["text"]["type"], "plain_text", "{sentence}");
    assert_eq!(blocks[2], section("mrkdwn", "Job output: `disk full`"), "{sentence}");
    let ids = format!("Monitor ID: `{monitor}`\nJob ID: `{}`", text(&job, "job_id"));
    assert_eq!(blocks[3], section("mrkdwn", &ids), "{sentence}");
}

async fn a_failed_job_without_output_is_told_without(server: &Server) {
    let tenant = server.tenant().await;
    for output in [Value::Null, json!("")] {
        let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
        server.finished(&key, &monitor, &json!({ "succeeded": false, "output": output })).await;
        let message = heard(server, &channel, 1).await.remove(0);
        let blocks = message["blocks"].as_array().unwrap();
        let sentence = "§2 failed: 'Job output' only if there is output";
        assert_eq!(blocks.len(), 3, "{sentence}: {message}");
        assert!(!message.to_string().contains("Job output"), "{sentence}: {message}");
    }
}

async fn a_job_that_is_late_and_failed_is_told_twice_late_first(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 0).await;
    server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    heard(server, &channel, 2).await;
    server.wait_for_nothing().await;
    let sentence = "'late alert first, then error alert'";
    assert_eq!(server.slack.texts_in(&channel), ["Late 'nightly' job", "Failed 'nightly' job"], "{sentence}");
}

async fn every_job_that_is_late_or_failed_is_told(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
    for _ in 0..3 {
        server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    }
    heard(server, &channel, 3).await;
    let late = world(&tenant, "hourly", 0).await;
    for _ in 0..3 {
        server.started(&late.key, &late.monitor).await;
    }
    heard(server, &late.channel, 3).await;
    server.wait_for_nothing().await;
    let sentence = "'job by job': an alert of each job";
    assert_eq!(server.slack.texts_in(&channel), ["Failed 'nightly' job"; 3], "{sentence}");
    assert_eq!(server.slack.texts_in(&late.channel), ["Late 'hourly' job"; 3], "{sentence}");
}

async fn a_job_that_ends_well_in_time_is_not_told(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
    server.finished(&key, &monitor, &json!({ "succeeded": true, "output": "fine" })).await;
    server.started(&key, &monitor).await;
    server.wait_for_nothing().await;
    assert_eq!(server.slack.texts_in(&channel), Vec::<String>::new(), "neither late nor failed");
}

async fn each_associated_config_is_told(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
    let mut channels = vec![channel];
    for _ in 0..2 {
        channels.push(Slack::channel());
        let config = tenant.slack(channels.last().unwrap(), &json!({ "on_recovered": false })).await;
        tenant.attach(&monitor, &[&config]).await.no_content("one more");
    }
    server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    for channel in &channels {
        heard(server, channel, 1).await;
    }
    server.wait_for_nothing().await;
    for channel in &channels {
        assert_eq!(
            server.slack.texts_in(channel),
            ["Failed 'nightly' job"],
            "'each to EVERY associated config'"
        );
    }
}

async fn a_monitor_without_configs_tells_nobody(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "heard", 3_600).await;
    let alone = tenant.monitor("alone", 3_600, 0).await;
    server.finished(&key, &alone, &json!({ "succeeded": false })).await;
    server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    heard(server, &channel, 1).await;
    server.wait_for_nothing().await;
    assert_eq!(server.slack.texts_in(&channel), ["Failed 'heard' job"], "only associated configs are told");
}

/// The original finds such jobs in each tick, for ever, and tells them whenever somebody is there to hear.
async fn ours_what_came_before_a_config_was_attached_is_not_told(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("nightly", 3_600, 0).await, tenant.key().await.key);
    let old = server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    server.wait_for_nothing().await;
    let channel = Slack::channel();
    let config = tenant.slack(&channel, &json!({ "on_recovered": false })).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    let new = server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    let message = heard(server, &channel, 1).await.remove(0).to_string();
    assert!(message.contains(text(&new, "job_id")), "what comes then is told: {message}");
    server.wait_for_nothing().await;
    let heard = server.slack.heard(&channel);
    assert!(
        heard.iter().all(|posted| !posted.message.to_string().contains(text(&old, "job_id"))),
        "old news"
    );
}

async fn what_was_told_is_not_told_again(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 0).await;
    let job = server.started(&key, &monitor).await;
    heard(server, &channel, 1).await;
    for _ in 0..3 {
        tenant.read_job(&monitor, &job).await;
        server.wait_for_nothing().await;
    }
    assert_eq!(server.slack.texts_in(&channel), ["Late 'nightly' job"], "a late job is told once");
    server.finish(&key, &monitor, &job, &json!({ "succeeded": true })).await.data("it ends");
    server.wait_for_nothing().await;
    assert_eq!(
        server.slack.texts_in(&channel),
        ["Late 'nightly' job"],
        "a late job is told once, also when it ends"
    );
}

async fn each_monitor_is_told_by_its_name_of_that_time(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "before", 3_600).await;
    let job = server.started(&key, &monitor).await;
    let body = json!({ "name": "after", "expected_duration": 3_600, "grace_duration": 0 });
    tenant.patch(&format!("/monitors/{monitor}"), &body).await.data("it is renamed");
    server.finish(&key, &monitor, &job, &json!({ "succeeded": false })).await.data("it fails");
    assert_eq!(heard(server, &channel, 1).await[0]["text"], "Failed 'after' job", "NAME");
}

async fn ours_a_recovery_is_told_unless_it_is_not_wanted(server: &Server) {
    let tenant = server.tenant().await;
    let World { monitor, key, channel } = world(&tenant, "nightly", 3_600).await;
    let wanting = Slack::channel();
    // `on_recovered` defaults to true.
    let config = tenant.slack(&wanting, &json!({})).await;
    tenant.attach(&monitor, &[&config]).await.no_content("one that wants to hear of it");
    server.finished(&key, &monitor, &json!({ "succeeded": false })).await;
    heard(server, &channel, 1).await;
    heard(server, &wanting, 1).await;
    server.finished(&key, &monitor, &json!({ "succeeded": true })).await;
    let messages = heard(server, &wanting, 2).await;
    assert!(text(&messages[1], "text").contains("nightly"), "a recovery names the monitor: {}", messages[1]);
    server.wait_for_nothing().await;
    assert_eq!(
        server.slack.texts_in(&channel),
        ["Failed 'nightly' job"],
        "`on_recovered` false: as the original"
    );
}

/// The original has no such thing: false unless it is said.
async fn ours_a_default_config_hears_of_monitors_without_one(server: &Server) {
    let tenant = server.tenant().await;
    let (by_default, not) = (Slack::channel(), Slack::channel());
    tenant.slack(&by_default, &json!({ "default": true })).await;
    tenant.slack(&not, &json!({})).await;
    let (monitor, key) = (tenant.monitor("alone", 3_600, 0).await, tenant.key().await);
    server.finished(&key.key, &monitor, &json!({ "succeeded": false })).await;
    heard(server, &by_default, 1).await;
    server.wait_for_nothing().await;
    assert_eq!(server.slack.texts_in(&by_default), ["Failed 'alone' job"]);
    assert_eq!(server.slack.texts_in(&not), Vec::<String>::new(), "`default` is false unless it is said");
}
