//! Alert configs: what their owner decides about them, who hears of what, and what is sent.

mod association;
mod deliveries;
mod management;
mod messages;
mod send_test;
mod slack;
mod slack_messages;
mod warnings;
mod who_hears;

use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

fn id(config: &Value) -> &str {
    config["alert_config_id"].as_str().unwrap()
}

fn monitor_id(monitor: &Value) -> &str {
    monitor["monitor_id"].as_str().unwrap()
}

/// `a` with the fields of `b`.
fn with(mut a: Value, b: &Value) -> Value {
    a.as_object_mut().unwrap().append(&mut b.as_object().unwrap().clone());
    a
}

/// An alert config of a tenant that is heard at this URL.
async fn config_of(cronmon: &CronMon, tenant: &str, url: &str, switches: Value) -> Value {
    let body = with(json!({ "name": "hook", "type": { "webhook": { "url": url } } }), &switches);
    let answer = cronmon.call_as(tenant, Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

/// A webhook, and an alert config of `acme` that leads there.
async fn heard_by(cronmon: &CronMon, switches: Value) -> (Receiver, Value) {
    let receiver = Receiver::start().await;
    let config = config_of(cronmon, "acme", &receiver.url, switches).await;
    (receiver, config)
}

async fn attach(cronmon: &CronMon, monitor: &Value, configs: &[&Value]) {
    let ids: Vec<&str> = configs.iter().map(|config| id(config)).collect();
    let path = format!("/monitors/{}/alert-configs", monitor_id(monitor));
    let answer = cronmon.call(Method::POST, &path, Some(&json!({ "alert_config_ids": ids }))).await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, json!("")));
}

async fn read(cronmon: &CronMon, config: &Value) -> Value {
    let answer = cronmon.call(Method::GET, &format!("/alert-configs/{}", id(config)), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

/// Changes an alert config; what is not given is its name and its type as they were.
async fn change(cronmon: &CronMon, config: &Value, fields: Value) -> Value {
    let body = with(json!({ "name": config["name"], "type": config["type"] }), &fields);
    let answer = cronmon.call(Method::PATCH, &format!("/alert-configs/{}", id(config)), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

/// A monitor that is late a minute after a ping without another.
async fn every_minute(cronmon: &CronMon, name: &str) -> Value {
    let body = json!({ "name": name, "schedule": { "every": 60 }, "grace_duration": 0, "alert_on": "every" });
    cronmon.create(body).await
}

async fn seconds_later(cronmon: &CronMon, seconds: i64) {
    cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(seconds));
    cronmon.tick().await;
    cronmon.deliver().await;
}

/// Pings, and delivers what comes of it.
async fn ping(cronmon: &CronMon, monitor: &Value, suffix: &str) {
    cronmon.ping(monitor, suffix).await;
    cronmon.deliver().await;
}
