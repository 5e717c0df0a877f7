//! The limit of pings of one monitor in a minute: what counts, what does not, and what is told whom it holds up.

use chrono::Duration;
use cronmon_tests::contents::contents;
use cronmon_tests::ping_keys::{new_ping_key, slug_of};
use cronmon_tests::recorded::said;
use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: usize = 5;

async fn limited() -> (CronMon, Value) {
    let cronmon = CronMon::start_with(Some(5)).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    (cronmon, monitor)
}

fn ping_url(monitor: &Value, rest: &str) -> String {
    format!("{}{rest}", monitor["ping_url"].as_str().unwrap())
}

/// Answers with the status, what `Retry-After` says, and the body.
async fn send(cronmon: &CronMon, url: &str, key: Option<&str>) -> (u16, Option<i64>, String) {
    let mut request = cronmon.http.request(Method::POST, url);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let response = request.send().await.unwrap();
    let seconds = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    (response.status().as_u16(), seconds, response.text().await.unwrap())
}

async fn recorded(cronmon: &CronMon, url: &str) {
    assert_eq!(send(cronmon, url, None).await, (200, None, "OK".to_owned()), "{url}");
}

/// A ping that is not recorded; answers with what `Retry-After` says.
async fn refused(cronmon: &CronMon, url: &str) -> i64 {
    let before = contents(&cronmon.pool).await;
    let (status, seconds, body) = send(cronmon, url, None).await;
    assert_eq!((status, body.as_str()), (429, "rate limited"), "{url}");
    assert_eq!(contents(&cronmon.pool).await, before, "{url}");
    let seconds = seconds.unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    seconds
}

fn pass(cronmon: &CronMon, milliseconds: i64) {
    cronmon.set_clock(cronmon.now() + Duration::milliseconds(milliseconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_pings_in_a_minute_are_recorded_and_the_sixth_is_told_when_to_come_again() {
    let (cronmon, monitor) = limited().await;
    let url = ping_url(&monitor, "");
    for _ in 0..LIMIT {
        recorded(&cronmon, &url).await;
        pass(&cronmon, 4_100);
    }
    // 20.5 s of the minute are over.
    assert_eq!(refused(&cronmon, &url).await, 40);
    pass(&cronmon, 39_499);
    assert_eq!(refused(&cronmon, &url).await, 1);
    assert_eq!(said(&cronmon.pool).await.len(), LIMIT);
    pass(&cronmon, 1);
    for _ in 0..LIMIT {
        recorded(&cronmon, &url).await;
    }
    assert_eq!(refused(&cronmon, &url).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_as_long_as_it_was_told_is_recorded() {
    let (cronmon, monitor) = limited().await;
    let url = ping_url(&monitor, "");
    for past in [0, 1, 999, 1_000, 30_250, 59_999] {
        for _ in 0..LIMIT {
            recorded(&cronmon, &url).await;
        }
        pass(&cronmon, past);
        let seconds = refused(&cronmon, &url).await;
        pass(&cronmon, seconds * 1_000);
        recorded(&cronmon, &url).await;
        // On to a minute of its own.
        pass(&cronmon, 60_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_and_logs_are_counted_and_fails_are_neither_counted_nor_held_up() {
    let (cronmon, monitor) = limited().await;
    let key = new_ping_key(&cronmon.pool).await;
    let slug = slug_of(&cronmon.pool, &monitor).await;
    let by_slug = |rest: &str| format!("{}/ping/{key}/{slug}{rest}", cronmon.url);
    for rest in ["/fail", "/1", "/255", "/fail", "/1", "/255"] {
        recorded(&cronmon, &ping_url(&monitor, rest)).await;
    }
    for url in [
        ping_url(&monitor, "/start"),
        by_slug("/log"),
        by_slug("/0"),
        ping_url(&monitor, "/log"),
        by_slug(""),
    ] {
        recorded(&cronmon, &url).await;
    }
    for rest in ["", "/start", "/log", "/0"] {
        refused(&cronmon, &ping_url(&monitor, rest)).await;
        refused(&cronmon, &by_slug(rest)).await;
    }
    for url in [ping_url(&monitor, "/fail"), by_slug("/1")] {
        recorded(&cronmon, &url).await;
    }
    assert_eq!(said(&cronmon.pool).await.len(), 6 + LIMIT + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_alone_reach_the_limit_too() {
    let (cronmon, monitor) = limited().await;
    for _ in 0..LIMIT {
        recorded(&cronmon, &ping_url(&monitor, "/log")).await;
    }
    refused(&cronmon, &ping_url(&monitor, "/log")).await;
    refused(&cronmon, &ping_url(&monitor, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_fails_by_its_keyword_is_not_held_up_and_one_that_succeeds_by_it_is() {
    let (cronmon, monitor) = limited().await;
    let set = "update monitor set fail_keywords = '{disk full}', success_keywords = '{all well}'";
    cronmon.pool.get().await.unwrap().batch_execute(set).await.unwrap();
    let post = |rest: &str, body: &'static str| {
        let request = cronmon.http.post(ping_url(&monitor, rest)).body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    for _ in 0..LIMIT {
        recorded(&cronmon, &ping_url(&monitor, "")).await;
    }
    assert_eq!(post("", "disk full").await, 200);
    assert_eq!(post("/fail", "all well").await, 429);
    assert_eq!(said(&cronmon.pool).await.last().unwrap(), "fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_recorded_ping_counts_nothing_and_is_answered_at_the_limit_too() {
    let (cronmon, monitor) = limited().await;
    let url = ping_url(&monitor, "");
    let ok = (200, None, "OK".to_owned());
    for _ in 0..2 * LIMIT {
        assert_eq!(send(&cronmon, &url, Some("first")).await, ok);
    }
    for _ in 0..LIMIT - 1 {
        recorded(&cronmon, &url).await;
    }
    refused(&cronmon, &url).await;
    let before = contents(&cronmon.pool).await;
    assert_eq!(send(&cronmon, &url, Some("first")).await, ok);
    assert_eq!(contents(&cronmon.pool).await, before);
    // One that was held up was not recorded, and its key is still good.
    assert_eq!(send(&cronmon, &url, Some("late")).await.0, 429);
    pass(&cronmon, 60_000);
    assert_eq!(send(&cronmon, &url, Some("late")).await, ok);
    assert_eq!(said(&cronmon.pool).await.len(), LIMIT + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_monitor_has_a_limit_of_its_own() {
    let (cronmon, monitor) = limited().await;
    let other = cronmon.create(json!({ "name": "other", "schedule": null })).await;
    for _ in 0..LIMIT {
        recorded(&cronmon, &ping_url(&monitor, "")).await;
    }
    refused(&cronmon, &ping_url(&monitor, "")).await;
    for _ in 0..LIMIT {
        recorded(&cronmon, &ping_url(&other, "")).await;
    }
    refused(&cronmon, &ping_url(&other, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_pings_at_once_are_five_that_are_recorded() {
    let (cronmon, monitor) = limited().await;
    let url = ping_url(&monitor, "");
    let sent = futures_util::future::join_all((0..64).map(|_| send(&cronmon, &url, None))).await;
    assert_eq!(sent.iter().filter(|answer| answer.0 == 200).count(), LIMIT);
    assert_eq!(sent.iter().filter(|answer| answer.0 == 429).count(), 64 - LIMIT);
    assert_eq!(said(&cronmon.pool).await.len(), LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_is_held_up_answers_no_slot_and_lets_fall_due_what_is_due() {
    for the_tick_is_first in [true, false] {
        let cronmon = CronMon::start_with(Some(5)).await;
        let receiver = Receiver::start().await;
        cronmon.hear_everything_at(&receiver.url).await;
        let body = json!({ "name": "pulse", "schedule": { "every": 20 }, "grace_duration": 5 });
        let monitor = cronmon.create(body).await;
        let url = ping_url(&monitor, "");
        for _ in 0..LIMIT {
            recorded(&cronmon, &url).await;
        }
        let expected = cronmon.read(&monitor).await["next_expected_at"].clone();
        pass(&cronmon, 19_000);
        refused(&cronmon, &url).await;
        assert_eq!(cronmon.read(&monitor).await["next_expected_at"], expected);
        pass(&cronmon, 7_000);
        if the_tick_is_first {
            cronmon.tick().await;
            refused(&cronmon, &url).await;
        } else {
            assert_eq!(send(&cronmon, &url, None).await.0, 429);
        }
        cronmon.deliver().await;
        assert_eq!(receiver.types_about("pulse"), ["late"], "{the_tick_is_first}");
        assert_eq!(cronmon.read(&monitor).await["status"], "late");
        pass(&cronmon, 34_000);
        recorded(&cronmon, &url).await;
        cronmon.deliver().await;
        let types = receiver.types_about("pulse");
        assert_eq!(types.last().map(String::as_str), Some("recovered"), "{types:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ping_that_makes_its_monitor_is_the_first_that_counts() {
    let cronmon = CronMon::start_with(Some(5)).await;
    let key = new_ping_key(&cronmon.pool).await;
    let url = format!("{}/ping/{key}/new?create=1", cronmon.url);
    assert_eq!(send(&cronmon, &url, None).await, (201, None, "Created".to_owned()));
    for _ in 1..LIMIT {
        recorded(&cronmon, &url).await;
    }
    refused(&cronmon, &url).await;
}
