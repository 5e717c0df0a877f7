//! What a body leaves out is decided by the door it comes through.

use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{NEVER_PINGED, NOBODY};

/// Checks what differs from run to run, and takes it out.
fn without_what_is_random(cronmon: &CronMon, mut monitor: Value) -> Value {
    let fields = monitor.as_object_mut().unwrap();
    let monitor_id: Uuid = fields.remove("monitor_id").unwrap().as_str().unwrap().parse().unwrap();
    let ping_url = fields.remove("ping_url").unwrap();
    let ping_url = ping_url.as_str().unwrap();
    let ping_id = ping_url.strip_prefix(&format!("{}/ping/", cronmon.url)).unwrap();
    assert_eq!(ping_id, ping_id.parse::<Uuid>().unwrap().to_string());
    assert_ne!(ping_id, monitor_id.to_string());
    let line = fields.remove("crontab_line").unwrap();
    assert_eq!(line.as_str().unwrap().matches(ping_url).count(), 2, "{line}");
    monitor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_schedule_suffice() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon
        .create(json!({ "name": "backup", "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Riga" } }))
        .await;
    assert_eq!(
        without_what_is_random(&cronmon, monitor),
        json!({
            "name": "backup",
            "slug": "backup",
            "tags": [],
            "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Riga" },
            "expected_duration": null,
            "grace_duration": 3600,
            "start_grace_duration": null,
            "early_duration": null,
            "failure_threshold": 1,
            "recovery_threshold": 1,
            "alert_on": "first",
            "min_interval_duration": null,
            "min_duration": null,
            "status": "new",
            "running": false,
            "armed": false,
            "paused_at": null,
            "resumes_at": null,
            "snooze_ends_at": null,
            "quiet_ends_at": null,
            "resume_on_ping": false,
            "keywords": null,
            "created_at": "2026-11-22T12:00:00Z",
            "next_expected_at": null,
            "due_at": null,
            "last_started_job": null,
            "last_finished_job": null,
            "jobs": [],
            "warnings": [
                NOBODY,
                NEVER_PINGED,
            ],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_the_original_makes_a_monitor_of_the_original() {
    let cronmon = CronMon::start().await;
    let monitor =
        cronmon.create(json!({ "name": "backup", "expected_duration": 1800, "grace_duration": 600 })).await;
    assert_eq!(
        without_what_is_random(&cronmon, monitor),
        json!({
            "name": "backup",
            "slug": "backup",
            "tags": [],
            "schedule": null,
            "expected_duration": 1800,
            "grace_duration": 600,
            "start_grace_duration": null,
            "early_duration": null,
            "failure_threshold": 1,
            "recovery_threshold": 1,
            "alert_on": "every",
            "min_interval_duration": null,
            "min_duration": null,
            "status": "new",
            "running": false,
            "armed": false,
            "paused_at": null,
            "resumes_at": null,
            "snooze_ends_at": null,
            "quiet_ends_at": null,
            "resume_on_ping": false,
            "keywords": null,
            "created_at": "2026-11-22T12:00:00Z",
            "next_expected_at": null,
            "due_at": null,
            "last_started_job": null,
            "last_finished_job": null,
            "jobs": [],
            "warnings": [
                "no schedule: a job that stops running goes unnoticed",
                NOBODY,
                NEVER_PINGED,
            ],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_may_be_given() {
    let cronmon = CronMon::start().await;
    let given = json!({
        "name": "\u{fc}\u{1f980} \"quoted\" <b>", "schedule": { "every": 31_622_400 }, "expected_duration": 0,
        "grace_duration": 31_622_400, "start_grace_duration": 0, "early_duration": 31_622_400,
        "failure_threshold": 1000, "recovery_threshold": 2, "alert_on": "every", "armed": true,
        "slug": "a-slug_of_its-own", "tags": ["prod", "\u{fc}\u{1f980}"], "resume_on_ping": true,
        "keywords": { "fail": ["error", "\u{fc}\u{1f980}"], "success": ["done"], "start": ["begin"] },
    });
    let monitor = cronmon.create(given.clone()).await;
    for (field, value) in given.as_object().unwrap() {
        assert_eq!(&monitor[field], value, "{field}");
    }
    assert_eq!(cronmon.read(&monitor).await, monitor);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_means_the_default() {
    let cronmon = CronMon::start().await;
    let mut plain = cronmon.create(json!({ "name": "a", "schedule": { "every": 6000 } })).await;
    let mut with_nulls = cronmon
        .create(json!({
            "name": "a", "schedule": { "every": 6000 }, "expected_duration": null, "grace_duration": null,
            "start_grace_duration": null, "early_duration": null, "failure_threshold": null,
            "recovery_threshold": null, "alert_on": null, "armed": null, "slug": null, "tags": null,
            "resume_on_ping": null, "keywords": null,
        }))
        .await;
    assert_eq!(with_nulls["grace_duration"], 600);
    assert_eq!((&plain["slug"], &with_nulls["slug"]), (&json!("a"), &json!("a-2")));
    with_nulls["slug"] = json!("a");
    for monitor in [&mut plain, &mut with_nulls] {
        *monitor = without_what_is_random(&cronmon, monitor.take());
    }
    assert_eq!(with_nulls, plain);
    let utc =
        cronmon.create(json!({ "name": "a", "schedule": { "cron": "@daily", "timezone": null } })).await;
    assert_eq!(utc["schedule"], json!({ "cron": "@daily", "timezone": "UTC" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_is_a_tenth_of_the_gap_between_a_minute_and_an_hour() {
    let cronmon = CronMon::start().await;
    for (schedule, expected_duration, grace) in [
        (json!({ "every": 1 }), json!(null), 60),
        (json!({ "every": 609 }), json!(null), 60),
        (json!({ "every": 610 }), json!(null), 61),
        (json!({ "every": 3600 }), json!(null), 360),
        (json!({ "every": 3600 }), json!(100_000), 360),
        (json!({ "every": 35_990 }), json!(null), 3599),
        (json!({ "every": 36_000 }), json!(null), 3600),
        (json!({ "every": 31_622_400 }), json!(null), 3600),
        (json!({ "cron": "* * * * *" }), json!(null), 60),
        (json!({ "cron": "*/20 * * * *" }), json!(null), 120),
        (json!({ "cron": "0 * * * *" }), json!(null), 360),
        (json!({ "cron": "0 9,10 * * *" }), json!(null), 360),
        (json!({ "cron": "0 3 * * *" }), json!(null), 3600),
        (json!({ "cron": "0 0 29 2 *" }), json!(null), 3600),
        (json!(null), json!(null), 60),
        (json!(null), json!(7200), 720),
        (json!(null), json!(86_400), 3600),
    ] {
        let monitor = cronmon
            .create(json!({ "name": "a", "schedule": schedule, "expected_duration": expected_duration }))
            .await;
        assert_eq!(monitor["grace_duration"], grace, "{schedule} {expected_duration}");
        assert_eq!(monitor["expected_duration"], expected_duration, "{schedule}");
        assert_eq!(monitor["alert_on"], "first", "{schedule}");
    }
    let monitor =
        cronmon.create(json!({ "name": "a", "schedule": { "every": 60 }, "grace_duration": 0 })).await;
    assert_eq!(monitor["grace_duration"], 0, "one that is given stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn armed_expects_the_next_slot_at_once() {
    let cronmon = CronMon::start().await;
    for (schedule, slot, due) in [
        (json!({ "every": 300 }), json!("2026-11-22T12:05:00Z"), json!("2026-11-22T12:06:00Z")),
        (
            json!({ "cron": "0 3 * * *", "timezone": "Europe/Riga" }),
            json!("2026-11-23T01:00:00Z"),
            json!("2026-11-23T02:00:00Z"),
        ),
        (json!(null), json!(null), json!(null)),
    ] {
        let monitor = cronmon.create(json!({ "name": "a", "schedule": schedule, "armed": true })).await;
        assert_eq!(monitor["armed"], true, "{schedule}");
        assert_eq!(monitor["status"], "new", "{schedule}");
        assert_eq!(monitor["next_expected_at"], slot, "{schedule}");
        assert_eq!(monitor["due_at"], due, "{schedule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_need_not_differ_and_may_be_long_or_empty() {
    let cronmon = CronMon::start().await;
    for name in [String::new(), "a".into(), "a".into(), "x".repeat(4_096), "\u{1f980}".repeat(4_096)] {
        let monitor = cronmon.create(json!({ "name": name, "schedule": null })).await;
        assert_eq!(monitor["name"], name);
    }
    let list = cronmon.call(Method::GET, "/monitors", None).await;
    assert_eq!(list.body["paging"], json!({ "total": 5, "next_cursor": null }));
}
