//! `cronmon seed`: every state is there, as the API shows it, and nobody was told.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};

use chrono::TimeDelta;
use cronmon_tests::contents::count;
use cronmon_tests::databases::new_database;
use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

async fn seed(database_url: &str, arguments: &[&str]) -> Output {
    let binary = std::env::var("CRONMON_BIN").expect("CRONMON_BIN is missing: run `make test`");
    Command::new(binary)
        .arg("seed")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

async fn seeded(cronmon: &CronMon, arguments: &[&str]) -> String {
    let output = seed(&cronmon.database_url, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cronmon.set_clock(cronmon_tests::chaos::now());
    String::from_utf8(output.stdout).unwrap()
}

/// What is seen at a glance: by name the status, whether it runs, is paused, or is quiet.
async fn glance(cronmon: &CronMon, tenant: &str) -> BTreeMap<String, (String, bool, bool, bool)> {
    let answer = cronmon.call_as(tenant, Method::GET, "/monitors", None).await;
    let monitors = answer.body["data"].as_array().unwrap();
    monitors
        .iter()
        .map(|monitor| {
            (
                monitor["name"].as_str().unwrap().to_owned(),
                (
                    monitor["status"].as_str().unwrap().to_owned(),
                    monitor["running"] == true,
                    monitor["paused_at"] != Value::Null,
                    monitor["quiet_ends_at"] != Value::Null,
                ),
            )
        })
        .collect()
}

fn expected() -> BTreeMap<String, (String, bool, bool, bool)> {
    [
        ("nightly backup", "up", false, false, false),
        ("hourly sync", "up", false, false, false),
        ("search index rebuild", "up", true, false, false),
        ("photo migration", "new", true, false, false),
        ("invoice mails", "late", false, false, false),
        ("video encoding", "late", true, false, false),
        ("weekly cleanup", "late", false, false, false),
        ("offsite copy", "failed", false, false, false),
        ("log scan", "failed", false, false, false),
        ("old importer", "paused", false, true, false),
        ("new server backup", "new", false, false, false),
        ("queue cleanup", "failed", false, false, true),
        ("warehouse load", "failed", false, false, true),
        ("certificate renewal", "up", false, false, false),
        ("cache warmup", "up", false, false, false),
        ("report by hand", "up", false, false, false),
    ]
    .into_iter()
    .map(|(name, status, running, paused, quiet)| {
        (name.to_owned(), (status.to_owned(), running, paused, quiet))
    })
    .collect()
}

#[tokio::test]
async fn every_state_is_there_and_stays_for_a_day() {
    let cronmon = CronMon::start().await;
    let said = seeded(&cronmon, &[]).await;
    let now = cronmon.now();
    let (mut seen, expected) = (glance(&cronmon, "dev").await, expected());
    assert_eq!(seen, expected, "{said}");
    for name in expected.keys() {
        assert!(said.contains(name), "{name}\n{said}");
    }
    // The nightly job is expected in between; it is no part of what is promised for a day.
    seen.remove("nightly backup");
    cronmon.set_clock(now + TimeDelta::hours(20));
    cronmon.tick().await;
    let mut later = glance(&cronmon, "dev").await;
    later.remove("nightly backup");
    assert_eq!(later, seen);
}

#[tokio::test]
async fn running_it_twice_gives_the_same_picture() {
    let cronmon = CronMon::start().await;
    seeded(&cronmon, &["acme"]).await;
    let first = glance(&cronmon, "acme").await;
    let pings = count(&cronmon.pool, "select count(*) from signal").await;
    assert!(pings > 2_800, "{pings} pings");
    seeded(&cronmon, &["acme"]).await;
    assert_eq!(glance(&cronmon, "acme").await, first);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, pings);
    assert_eq!(count(&cronmon.pool, "select count(*) from maintenance_window").await, 1);
}

#[tokio::test]
async fn it_can_be_explained_and_simulated_and_has_its_history() {
    let cronmon = CronMon::start().await;
    seeded(&cronmon, &["acme"]).await;
    let all = cronmon.call(Method::GET, "/monitors", None).await.body["data"].clone();
    let mut reasons = BTreeMap::new();
    for monitor in all.as_array().unwrap() {
        let id = monitor["monitor_id"].as_str().unwrap();
        for path in ["explain", "simulate?grace_duration=60", "pings?limit=100"] {
            let answer = cronmon.call(Method::GET, &format!("/monitors/{id}/{path}"), None).await;
            assert_eq!(answer.status, 200, "{path} {}", answer.body);
            if path == "explain" {
                reasons.insert(monitor["name"].as_str().unwrap(), answer.body["data"].to_string());
            }
        }
    }
    assert!(reasons["invoice mails"].contains("missed"), "{}", reasons["invoice mails"]);
    assert!(reasons["video encoding"].contains("overran"), "{}", reasons["video encoding"]);
    assert!(reasons["offsite copy"].contains("exit status 23"), "{}", reasons["offsite copy"]);
    let alerts =
        "select count(distinct type) from alert where type in ('late', 'failed', 'recovered', 'warning')";
    assert_eq!(count(&cronmon.pool, alerts).await, 4);
}

#[tokio::test]
async fn a_time_without_pings_does_not_spoil_the_picture() {
    let cronmon = CronMon::start().await;
    let now = cronmon_tests::chaos::now();
    cronmon.was_blind(now - TimeDelta::days(9), now - TimeDelta::minutes(1)).await;
    let before = "select count(*) from outage_span where kind = 'blind'";
    seeded(&cronmon, &["dev"]).await;
    assert_eq!(glance(&cronmon, "dev").await, expected());
    assert_eq!(count(&cronmon.pool, before).await, 1);
}

#[tokio::test]
async fn only_the_tenant_loses_what_it_had_and_nobody_is_told() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let other = cronmon.create(json!({ "name": "of another tenant" })).await;
    let hook = json!({ "name": "hook", "default": true, "type": { "webhook": { "url": receiver.url } } });
    for (path, body) in [
        ("/alert-configs", &hook),
        ("/monitors", &json!({ "name": "old" })),
        ("/ping-keys", &json!({ "name": "old" })),
    ] {
        let answer = cronmon.call_as("dev", Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    seeded(&cronmon, &[]).await;
    cronmon.tick().await;
    cronmon.deliver().await;

    assert_eq!(receiver.heard().len(), 0);
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 0);
    assert_eq!(cronmon.read(&other).await["name"], "of another tenant");
    assert_eq!(count(&cronmon.pool, "select count(*) from alert_config where tenant = 'acme'").await, 1);
    assert_eq!(count(&cronmon.pool, "select count(*) from alert_config where tenant = 'dev'").await, 0);
    assert_eq!(count(&cronmon.pool, "select count(*) from ping_key").await, 0);
    assert!(!glance(&cronmon, "dev").await.contains_key("old"));
}

#[tokio::test]
async fn on_another_machine_it_asks_for_a_yes() {
    let output = seed("postgres://nobody@db.example.com/x?sslmode=disable", &[]).await;
    assert!(!output.status.success());
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(why.contains("DATABASE_URL is on another machine: cronmon seed dev --yes"), "{why}");
    assert!(seed(&new_database().await, &["dev", "--yes"]).await.status.success());
}
