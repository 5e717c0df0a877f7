//! Lists: their order and their totals.

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn monitors_come_by_their_newest_start_and_those_without_one_last() {
    let cronmon = CronMon::start().await;
    let mut monitors = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        monitors.push(cronmon.create(json!({ "name": name, "schedule": null })).await);
    }
    let names = async || {
        let list = cronmon.call(Method::GET, "/monitors", None).await.body;
        assert_eq!(list["paging"], json!({ "total": 5, "next_cursor": null }));
        let names: String = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|monitor| monitor["name"].as_str().unwrap())
            .collect();
        names
    };
    assert_eq!(names().await, "edcba");
    for (i, suffix, order) in [
        (1, "", "bedca"),
        (3, "/start", "dbeca"),
        (1, "/start", "bdeca"),
        // A log opens no job, and an end opens none of a job that runs.
        (0, "/log", "bdeca"),
        (3, "/0", "bdeca"),
        (0, "/fail", "abdec"),
    ] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        cronmon.ping(&monitors[i], suffix).await;
        assert_eq!(names().await, order, "{i} {suffix}");
    }
}

/// How long it is quiet is found another way in a list.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_how_long_it_is_quiet_as_reading_a_monitor_does() {
    let cronmon = CronMon::start().await;
    let post = async |path: &str, body: Value| {
        let answer = cronmon.call(Method::POST, path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body["data"].clone()
    };
    let mut monitors = Vec::new();
    for (name, tags) in [("none", vec![]), ("by tag", vec!["db"]), ("by id", vec![]), ("snoozed", vec!["db"])]
    {
        monitors.push(cronmon.create(json!({ "name": name, "schedule": null, "tags": tags })).await);
    }
    let id = |i: usize| monitors[i]["monitor_id"].as_str().unwrap();
    post(&format!("/monitors/{}/snooze", id(3)), json!({ "seconds": 5_000 })).await;
    for window in [
        json!({ "starts_at": "2026-11-22T11:00:00Z", "ends_at": "2026-11-22T13:00:00Z", "tags": ["db", "web"] }),
        json!({ "cron": "0 12 * * *", "duration": 7_200, "monitor_ids": [id(2)] }),
        json!({ "starts_at": "2026-11-22T10:00:00Z", "ends_at": "2026-11-22T12:00:01Z", "monitor_ids": [id(0)] }),
        json!({ "starts_at": "2026-11-22T12:30:00Z", "duration": 60, "tags": ["db"] }),
    ] {
        post("/maintenance-windows", window).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for minutes in [0, 29, 30, 31, 59, 60, 61, 84, 119, 120, 121] {
        cronmon.set_clock(
            "2026-11-22T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()
                + Duration::minutes(minutes),
        );
        let list = cronmon.call(Method::GET, "/monitors", None).await.body;
        for listed in list["data"].as_array().unwrap() {
            let read = cronmon.read(listed).await;
            for field in ["quiet_ends_at", "snooze_ends_at", "warnings", "due_at"] {
                assert_eq!(listed[field], read[field], "{field} of {} after {minutes} min", listed["name"]);
            }
            seen.insert(listed["quiet_ends_at"].to_string());
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_of_each_monitor_what_reading_it_shows_but_its_jobs() {
    let cronmon = CronMon::start().await;
    let mut monitors = Vec::new();
    for (i, suffixes) in [vec![], vec!["/start"], vec!["", "/start"], vec!["/1", ""]].into_iter().enumerate()
    {
        let body = json!({ "name": format!("{i}"), "schedule": { "every": 600 }, "grace_duration": i });
        let monitor = cronmon.create(body).await;
        for suffix in suffixes {
            cronmon.set_clock(cronmon.now() + Duration::seconds(1));
            cronmon.ping(&monitor, suffix).await;
        }
        monitors.push(monitor);
    }
    let list = cronmon.call(Method::GET, "/monitors", None).await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 4);
    for monitor in &monitors {
        let mut read = cronmon.read(monitor).await;
        let jobs = read.as_object_mut().unwrap().remove("jobs").unwrap();
        let finished = jobs.as_array().unwrap().iter().find(|job| job["in_progress"] == false);
        assert_eq!(read["last_started_job"], jobs[0]);
        assert_eq!(&read["last_finished_job"], finished.unwrap_or(&Value::Null));
        let listed = list["data"].as_array().unwrap().iter().find(|other| other["name"] == monitor["name"]);
        assert_eq!(listed.unwrap(), &read);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_anything_has_empty_lists() {
    let cronmon = CronMon::start().await;
    cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.hear_everything_at("http://127.0.0.1:1/").await;
    for path in ["/monitors", "/alert-configs", "/maintenance-windows", "/keys", "/ping-keys"] {
        let answer = cronmon.call_as("globex", Method::GET, path, None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, json!({ "data": [], "paging": { "total": 0, "next_cursor": null } }));
    }
}
