//! Warnings: runs that come too often or end too fast.

use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use serde_json::{Value, json};

use super::{change, heard_by, monitor_id, ping};

async fn watched(cronmon: &CronMon, alert_on: &str) -> Value {
    cronmon
        .create(json!({
            "name": "a", "schedule": null, "alert_on": alert_on, "min_interval_duration": 60, "min_duration": 10,
        }))
        .await
}

async fn ping_after(cronmon: &CronMon, monitor: &Value, seconds: i64, rest: &str) {
    cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(seconds));
    ping(cronmon, monitor, rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_is_delivered_with_its_run_and_nothing_recovers_from_it() {
    let cronmon = CronMon::start().await;
    let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = watched(&cronmon, "first").await;
    ping(&cronmon, &monitor, "/start").await;
    ping_after(&cronmon, &monitor, 20, "").await;
    assert!(receiver.heard().is_empty());
    ping_after(&cronmon, &monitor, 39, "/start").await;
    let often = cronmon.read(&monitor).await["jobs"][0].clone();
    ping_after(&cronmon, &monitor, 9, "").await;
    let fast = cronmon.read(&monitor).await["jobs"][0].clone();
    assert_eq!(often["job_id"], fast["job_id"]);

    let without_ids = |mut message: Value| {
        let fields = message.as_object_mut().unwrap();
        assert!(fields.remove("id").is_some() && fields.remove("incident_id").is_some());
        message
    };
    let heard: Vec<Value> = receiver.heard().into_iter().map(|heard| without_ids(heard.message)).collect();
    let of = json!({ "monitor_id": monitor_id(&monitor), "name": "a" });
    assert_eq!(
        heard,
        [
            json!({
                "type": "warning", "cause": "too_often", "at": "2026-11-22T12:00:59Z", "monitor": of, "job": often,
                "reason": "began at 12:00:59, 59 s after the run before; at least 1 min should lie between",
            }),
            json!({
                "type": "warning", "cause": "too_fast", "at": "2026-11-22T12:01:08Z", "monitor": of, "job": fast,
                "reason": "succeeded at 12:01:08, 9 s after its start; a run should take at least 10 s",
            }),
        ]
    );
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["status"], "up", "a warning is about one run, and changes no status");

    // Slower and rarer again: nothing is said of that.
    ping_after(&cronmon, &monitor, 100, "/start").await;
    ping_after(&cronmon, &monitor, 10, "").await;
    assert_eq!(receiver.heard().len(), 2);
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 2);
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor where incident_id is not null").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_warns_of_the_first_in_a_row_and_every_of_each() {
    for (alert_on, told) in [("first", [1, 1, 1, 2]), ("every", [1, 2, 2, 3])] {
        let cronmon = CronMon::start().await;
        let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
        let monitor = watched(&cronmon, alert_on).await;
        ping(&cronmon, &monitor, "").await;
        // Too soon twice, in good time, too soon again.
        for (seconds, told) in [59, 1, 60, 59].into_iter().zip(told) {
            ping_after(&cronmon, &monitor, seconds, "").await;
            let warned = receiver.types_about("a");
            assert_eq!(warned, vec!["warning"; told], "{alert_on} after {seconds} s");
        }
    }
    for (alert_on, told) in [("first", [1, 1, 1, 2]), ("every", [1, 2, 2, 3])] {
        let cronmon = CronMon::start().await;
        let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
        let monitor = watched(&cronmon, alert_on).await;
        for (seconds, told) in [9, 0, 10, 9].into_iter().zip(told) {
            ping_after(&cronmon, &monitor, 100, "/start").await;
            ping_after(&cronmon, &monitor, seconds, "").await;
            let warned = receiver.types_about("a");
            assert_eq!(warned, vec!["warning"; told], "{alert_on} after {seconds} s");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_is_not_too_fast_but_may_come_too_soon() {
    let cronmon = CronMon::start().await;
    let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = watched(&cronmon, "first").await;
    ping(&cronmon, &monitor, "/start").await;
    ping_after(&cronmon, &monitor, 1, "/fail").await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
    ping_after(&cronmon, &monitor, 1, "/fail").await;
    assert_eq!(receiver.types_about("a"), ["failed", "warning"]);
    ping_after(&cronmon, &monitor, 60, "").await;
    assert_eq!(receiver.types_about("a"), ["failed", "warning", "recovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_warnings_hears_none() {
    let cronmon = CronMon::start().await;
    let (hears, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let (silent, config) = heard_by(&cronmon, json!({ "default": true, "on_warning": false })).await;
    let monitor = watched(&cronmon, "every").await;
    ping(&cronmon, &monitor, "").await;
    ping_after(&cronmon, &monitor, 1, "").await;
    assert_eq!((hears.heard().len(), silent.heard().len()), (1, 0));
    ping_after(&cronmon, &monitor, 60, "/fail").await;
    assert_eq!(silent.types_about("a"), ["failed"]);
    change(&cronmon, &config, json!({ "on_warning": true })).await;
    ping_after(&cronmon, &monitor, 1, "").await;
    assert_eq!(silent.types_about("a"), ["failed", "warning", "recovered"]);
}
