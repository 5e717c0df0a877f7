//! A change: the original's fields are required, ours keep their value when absent and are cleared by null.

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{at, path};

async fn change(cronmon: &CronMon, monitor: &Value, body: Value) -> Value {
    let answer = cronmon.call(Method::PATCH, &path(monitor), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(cronmon.read(monitor).await, answer.body["data"]);
    answer.body["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_ours_has_is_kept_when_absent_and_cleared_by_null() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon
        .create(json!({
            "name": "a", "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Riga" },
            "expected_duration": 60, "grace_duration": 61, "start_grace_duration": 62, "early_duration": 63,
            "failure_threshold": 2, "recovery_threshold": 3, "alert_on": "every", "armed": true,
            "slug": "c", "tags": ["prod", "db"], "resume_on_ping": true, "keywords": { "fail": ["error"] },
            "min_interval_duration": 64, "min_duration": 65,
        }))
        .await;

    let mut expected = monitor.clone();
    expected["name"] = json!("b");
    expected["expected_duration"] = json!(70);
    expected["grace_duration"] = json!(71);
    assert_eq!(expected["due_at"], "2026-11-23T01:02:02Z");
    expected["due_at"] = json!("2026-11-23T01:02:12Z");
    let body = json!({ "name": "b", "expected_duration": 70, "grace_duration": 71 });
    assert_eq!(change(&cronmon, &monitor, body).await, expected);

    let changed = change(
        &cronmon,
        &monitor,
        json!({
            "name": "b", "expected_duration": null, "grace_duration": 71, "schedule": null,
            "start_grace_duration": null, "early_duration": null, "failure_threshold": null,
            "recovery_threshold": null, "min_interval_duration": 0, "min_duration": null, "slug": null, "tags": null, "resume_on_ping": null, "keywords": null,
        }),
    )
    .await;
    for (field, value) in [
        ("schedule", json!(null)),
        ("expected_duration", json!(null)),
        ("grace_duration", json!(71)),
        ("start_grace_duration", json!(null)),
        ("early_duration", json!(null)),
        ("min_interval_duration", json!(null)),
        ("min_duration", json!(null)),
        ("failure_threshold", json!(1)),
        ("recovery_threshold", json!(1)),
        ("alert_on", json!("every")),
        ("next_expected_at", json!(null)),
        ("due_at", json!(null)),
        ("slug", json!("c")),
        ("tags", json!([])),
        ("resume_on_ping", json!(false)),
        ("keywords", json!(null)),
        ("monitor_id", monitor["monitor_id"].clone()),
        ("ping_url", monitor["ping_url"].clone()),
        ("created_at", monitor["created_at"].clone()),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }

    let changed = change(
        &cronmon,
        &monitor,
        json!({
            "name": "c", "expected_duration": 1, "grace_duration": 2, "schedule": { "every": 3 },
            "start_grace_duration": 4, "early_duration": 5, "failure_threshold": 6, "recovery_threshold": 7,
            "alert_on": "first", "slug": "d", "tags": ["eu"], "resume_on_ping": true,
            "keywords": { "success": ["done"], "fail": [] }, "min_interval_duration": 8, "min_duration": 9,
        }),
    )
    .await;
    for (field, value) in [
        ("name", json!("c")),
        ("expected_duration", json!(1)),
        ("grace_duration", json!(2)),
        ("schedule", json!({ "every": 3 })),
        ("start_grace_duration", json!(4)),
        ("early_duration", json!(5)),
        ("min_interval_duration", json!(8)),
        ("min_duration", json!(9)),
        ("failure_threshold", json!(6)),
        ("recovery_threshold", json!(7)),
        ("alert_on", json!("first")),
        ("slug", json!("d")),
        ("tags", json!(["eu"])),
        ("resume_on_ping", json!(true)),
        ("keywords", json!({ "fail": null, "success": ["done"], "start": null })),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_of_the_original_is_required() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    let before = contents(&cronmon.pool).await;
    let whole = json!({ "name": "b", "expected_duration": 1, "grace_duration": 2, "alert_on": "every" });
    for field in ["name", "expected_duration", "grace_duration"] {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(field);
        let answer = cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await;
        assert_eq!(answer.status, 422, "{field}");
        let description = format!("{field}: the field is missing");
        assert_eq!(
            answer.body,
            json!({ "error": { "code": 422, "reason": "Unprocessable Entity", "description": description } })
        );
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_expects_the_next_slot_of_the_new_schedule_and_leaves_open_jobs_alone() {
    let cronmon = CronMon::start().await;
    let monitor =
        cronmon.create(json!({ "name": "a", "schedule": { "every": 300 }, "expected_duration": 600 })).await;
    cronmon.ping(&monitor, "/start").await;
    let running = cronmon.read(&monitor).await;
    assert_eq!(running["next_expected_at"], "2026-11-22T12:05:00Z");
    assert_eq!(running["jobs"][0]["due_at"], "2026-11-22T12:11:00Z");

    cronmon.set_clock(at("2026-11-22T12:01:00Z"));
    let body = json!({
        "name": "a", "expected_duration": 10, "grace_duration": 10,
        "schedule": { "cron": "30 * * * *", "timezone": "UTC" },
    });
    let changed = change(&cronmon, &monitor, body).await;
    assert_eq!(changed["next_expected_at"], "2026-11-22T12:30:00Z");
    assert_eq!(changed["jobs"][0]["due_at"], "2026-11-22T12:11:00Z");
    assert_eq!(changed["due_at"], "2026-11-22T12:11:00Z");
    assert_eq!(changed["running"], true);
    assert_eq!(changed["status"], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn armed_counts_at_creation_only() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 300 } })).await;
    let body = json!({ "name": "a", "expected_duration": 1, "grace_duration": 2, "armed": true });
    let answer = cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["data"]["armed"], false);
    let warnings = answer.body["data"]["warnings"].to_string();
    assert!(warnings.contains("armed was ignored: it counts when a monitor is created"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_monitor_is_gone_with_everything_that_was_about_it() {
    let cronmon = CronMon::start().await;
    cronmon.hear_everything_at("http://127.0.0.1:1/").await;
    let kept = cronmon.create(json!({ "name": "kept", "schedule": { "cron": "@daily" } })).await;
    cronmon.ping(&kept, "/1").await;
    let before = contents(&cronmon.pool).await;

    let monitor = cronmon.create(json!({ "name": "gone", "schedule": { "cron": "@daily" } })).await;
    cronmon.ping(&monitor, "/start").await;
    cronmon.ping(&monitor, "/1").await;
    let configs = cronmon.call(Method::GET, "/alert-configs", None).await.body;
    let ids = json!({ "alert_config_ids": [configs["data"][0]["alert_config_id"]] });
    let attached = format!("{}/alert-configs", path(&monitor));
    assert_eq!(cronmon.call(Method::POST, &attached, Some(&ids)).await.status, 204);

    let deleted = cronmon.call(Method::DELETE, &path(&monitor), None).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (204, json!("")));
    assert_eq!(contents(&cronmon.pool).await, before, "nothing else was touched");

    let id = monitor["monitor_id"].as_str().unwrap();
    let not_found = json!({ "error": {
        "code": 404, "reason": "Monitor Not Found", "description": format!("Failed to find monitor with id '{id}'"),
    } });
    let body = json!({ "name": "b", "expected_duration": 1, "grace_duration": 2 });
    for (method, path, body) in [
        (Method::GET, path(&monitor), None),
        (Method::PATCH, path(&monitor), Some(&body)),
        (Method::DELETE, path(&monitor), None),
        (Method::GET, format!("{}/jobs", path(&monitor)), None),
        (Method::GET, format!("{}/jobs/{}", path(&monitor), Uuid::new_v4()), None),
        (Method::GET, format!("{}/pings", path(&monitor)), None),
        (Method::GET, format!("{}/pings/{}", path(&monitor), Uuid::new_v4()), None),
        (Method::POST, format!("{}/ping-url", path(&monitor)), None),
        (Method::GET, attached.clone(), None),
        (Method::POST, attached, Some(&ids)),
    ] {
        let answer = cronmon.call(method.clone(), &path, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (404, &not_found), "{method} {path}");
    }
    let reply = cronmon.http.get(monitor["ping_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap()), (404, "not found".to_owned()));
    let list = cronmon.call(Method::GET, "/monitors", None).await.body;
    assert_eq!(list["paging"]["total"], 1);
    assert_eq!(list["data"][0]["name"], "kept");
}
