//! A snooze by who may ping: beside the ping URLs, by POST alone.

use chrono::Duration;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::ping_keys::new_ping_key;
use cronmon_tests::{CronMon, Receiver};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

const SNOOZES: &str = "select count(*) from signal where kind = 'snooze'";

async fn send(cronmon: &CronMon, method: Method, url: &str) -> Response {
    cronmon.http.request(method, url).send().await.unwrap()
}

async fn post(cronmon: &CronMon, url: &str) -> (u16, String) {
    let response = send(cronmon, Method::POST, url).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

fn ok() -> (u16, String) {
    (200, "OK".to_owned())
}

fn url(monitor: &Value, minutes: &str) -> String {
    format!("{}/snooze/{minutes}", monitor["ping_url"].as_str().unwrap())
}

async fn pass(cronmon: &CronMon, seconds: i64) {
    cronmon.set_clock(cronmon.now() + Duration::seconds(seconds));
    cronmon.tick().await;
    cronmon.deliver().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_back_what_is_told_for_so_many_minutes() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let response = send(&cronmon, Method::POST, &url(&monitor, "2")).await;
    assert_eq!(response.status(), 200);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "max-age=0, no-cache, no-store, must-revalidate, private"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    assert_eq!(response.text().await.unwrap(), "OK");
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["snooze_ends_at"], "2026-11-22T12:02:00Z");
    assert_eq!(shown["status"], "new", "it is no ping");
    let path = format!("/monitors/{}/pings", monitor["monitor_id"].as_str().unwrap());
    let history = cronmon.call(Method::GET, &path, None).await.body;
    assert_eq!(history["data"][0]["kind"], "snooze");
    assert_eq!(history["data"][0]["ends_at"], "2026-11-22T12:02:00Z");

    cronmon.ping(&monitor, "/fail").await;
    pass(&cronmon, 120).await;
    assert!(receiver.heard().is_empty());
    pass(&cronmon, 1).await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_minutes_end_it_and_what_was_held_back_is_told() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    assert_eq!(post(&cronmon, &url(&monitor, "1440")).await, ok());
    assert_eq!(cronmon.read(&monitor).await["snooze_ends_at"], "2026-11-23T12:00:00Z");
    cronmon.ping(&monitor, "/fail").await;
    cronmon.deliver().await;
    assert!(receiver.heard().is_empty());
    assert_eq!(post(&cronmon, &url(&monitor, "0")).await, ok());
    assert_eq!(cronmon.read(&monitor).await["snooze_ends_at"], Value::Null);
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_is_told() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let monitor =
        cronmon.create(json!({ "name": "a", "schedule": { "every": 60 }, "grace_duration": 0 })).await;
    cronmon.ping(&monitor, "").await;
    cronmon.set_clock(cronmon.now() + Duration::seconds(61));
    assert_eq!(post(&cronmon, &url(&monitor, "60")).await, ok());
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("a"), ["late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_key_and_a_slug_name_the_monitor_too_and_create_none() {
    let cronmon = CronMon::start().await;
    let key = new_ping_key(&cronmon.pool).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    let by = |key: &str, rest: &str| format!("{}/ping/{key}/{rest}", cronmon.url);
    assert_eq!(post(&cronmon, &by(&key, "backup/snooze/5")).await, ok());
    assert_eq!(cronmon.read(&monitor).await["snooze_ends_at"], "2026-11-22T12:05:00Z");
    let before = contents(&cronmon.pool).await;
    let not_found = (404, "not found".to_owned());
    for unknown in [
        by(&key, "other/snooze/5"),
        by(&key, "other/snooze/5?create=1"),
        by("abcdefghij0123456789xy", "backup/snooze/5"),
        format!("{}/ping/{}/snooze/5", cronmon.url, Uuid::new_v4()),
    ] {
        assert_eq!(post(&cronmon, &unknown).await, not_found, "{unknown}");
    }
    // Another tenant has a monitor of that name, and the key does not open it.
    let theirs = json!({ "name": "theirs", "schedule": null });
    assert_eq!(cronmon.call_as("globex", Method::POST, "/monitors", Some(&theirs)).await.status, 200);
    assert_eq!(post(&cronmon, &by(&key, "theirs/snooze/5")).await, not_found);
    assert_eq!(count(&cronmon.pool, SNOOZES).await, 1);
    assert_eq!(contents(&cronmon.pool).await["signal"], before["signal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post_snoozes_for_the_preview_of_a_link_must_not() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let before = contents(&cronmon.pool).await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        for minutes in ["5", "x"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let response = send(&cronmon, method.clone(), &url(&monitor, minutes)).await;
            assert_eq!(response.status(), 405, "{method} {minutes}");
            assert_eq!(response.headers()["allow"], "POST", "{method} {minutes}");
            let text = if method == Method::HEAD { "" } else { "snooze with POST" };
            assert_eq!(response.text().await.unwrap(), text, "{method} {minutes}");
        }
    }
    let response = send(&cronmon, Method::OPTIONS, &url(&monitor, "5")).await;
    assert_eq!(response.status(), 200);
    for bad in ["-1", "1441", "x", "", "1.5", "5/", "99999999999"] {
        let refused = (400, "a snooze takes 0 to 1440 minutes".to_owned());
        assert_eq!(post(&cronmon, &url(&monitor, bad)).await, refused, "{bad}");
    }
    let without_minutes = url(&monitor, "");
    assert_eq!(post(&cronmon, without_minutes.trim_end_matches('/')).await.0, 404);
    let huge = cronmon.http.post(url(&monitor, "5")).body(vec![b'x'; 2_500_001]).send().await.unwrap();
    assert_eq!(huge.status(), 413);
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_as_a_ping_of_the_minute() {
    let cronmon = CronMon::start_with(Some(3)).await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.ping(&monitor, "").await;
    assert_eq!(post(&cronmon, &url(&monitor, "1")).await, ok());
    assert_eq!(post(&cronmon, &url(&monitor, "2")).await, ok());
    let before = contents(&cronmon.pool).await;
    cronmon.set_clock(cronmon.now() + Duration::milliseconds(12_500));
    let response = send(&cronmon, Method::POST, &url(&monitor, "3")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "48");
    assert_eq!(response.text().await.unwrap(), "rate limited");
    assert_eq!(contents(&cronmon.pool).await, before);
    cronmon.set_clock(cronmon.now() + Duration::seconds(48));
    assert_eq!(post(&cronmon, &url(&monitor, "4")).await, ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_is_told_to_come_again() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.pool.close();
    let response = send(&cronmon, Method::POST, &url(&monitor, "5")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.text().await.unwrap(), "not recorded, try again");
}
