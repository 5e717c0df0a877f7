//! The jobs of a monitor.

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{at, path};

const RID: &str = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_the_fields_of_the_original_in_its_forms_and_ours_in_theirs() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon
        .create(json!({ "name": "a", "schedule": null, "expected_duration": 60, "grace_duration": 30 }))
        .await;
    cronmon.set_clock(at("2026-11-22T12:00:00.123456Z"));
    cronmon.ping(&monitor, &format!("/start?rid={RID}")).await;
    let mut shown = cronmon.read(&monitor).await;
    let job_id: Uuid = shown["jobs"][0]["job_id"].as_str().unwrap().parse().unwrap();
    let mut job = json!({
        "job_id": job_id,
        "start_time": "2026-11-22T12:00:00.123456",
        "end_time": null,
        "duration": null,
        "in_progress": true,
        "late": false,
        "succeeded": null,
        "output": null,
        "abandoned": false,
        "due_at": "2026-11-22T12:01:30.123456Z",
        "exit_status": null,
        "rid": RID,
    });
    assert_eq!(shown["jobs"], json!([job]));
    assert_eq!(shown["last_started_job"], job);
    assert_eq!(shown["last_finished_job"], Value::Null);
    assert_eq!(shown["running"], true);
    let one = format!("{}/jobs/{job_id}", path(&monitor));
    assert_eq!(cronmon.call(Method::GET, &one, None).await.body, json!({ "data": job }));

    // Late strictly after its deadline, whether or not a tick has looked.
    cronmon.set_clock(at("2026-11-22T12:01:30.123456Z"));
    assert_eq!(cronmon.call(Method::GET, &one, None).await.body["data"]["late"], false);
    cronmon.set_clock(at("2026-11-22T12:01:30.123457Z"));
    assert_eq!(cronmon.call(Method::GET, &one, None).await.body["data"]["late"], true);

    cronmon.set_clock(at("2026-11-22T12:02:00Z"));
    let url = format!("{}/7?rid={RID}", monitor["ping_url"].as_str().unwrap());
    assert_eq!(cronmon.http.post(url).body("disk full").send().await.unwrap().status(), 200);
    for (field, value) in [
        ("end_time", json!("2026-11-22T12:02:00")),
        ("duration", json!(119)),
        ("in_progress", json!(false)),
        ("late", json!(true)),
        ("succeeded", json!(false)),
        ("output", json!("disk full")),
        ("exit_status", json!(7)),
    ] {
        job[field] = value;
    }
    shown = cronmon.read(&monitor).await;
    assert_eq!(shown["jobs"], json!([job]));
    assert_eq!(shown["last_started_job"], job);
    assert_eq!(shown["last_finished_job"], job);
    assert_eq!(shown["running"], false);
    let list = cronmon.call(Method::GET, &format!("{}/jobs", path(&monitor)), None).await;
    assert_eq!(list.body, json!({ "data": [job], "paging": { "total": 1 } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_not_announced_or_were_abandoned_have_no_duration() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon
        .create(json!({ "name": "a", "schedule": null, "expected_duration": 60, "grace_duration": 30 }))
        .await;
    for suffix in ["", "/start", "/start", "/0"] {
        cronmon.ping(&monitor, suffix).await;
        cronmon.set_clock(cronmon.now() + Duration::seconds(10));
    }
    let shown = cronmon.read(&monitor).await;
    let fields = ["start_time", "end_time", "duration", "succeeded", "abandoned", "in_progress"];
    let jobs: Vec<Value> = shown["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| fields.iter().map(|field| job[field].clone()).collect())
        .collect();
    assert_eq!(
        jobs,
        [
            json!(["2026-11-22T12:00:20", "2026-11-22T12:00:30", 10, true, false, false]),
            json!(["2026-11-22T12:00:10", "2026-11-22T12:00:30", null, null, true, false]),
            json!(["2026-11-22T12:00:00", "2026-11-22T12:00:00", null, true, false, false]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_hundred_are_shown_and_all_are_counted() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    for _ in 0..103 {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        cronmon.ping(&monitor, "").await;
    }
    let read = cronmon.read(&monitor).await;
    let starts: Vec<&str> =
        read["jobs"].as_array().unwrap().iter().map(|job| job["start_time"].as_str().unwrap()).collect();
    assert_eq!(starts.len(), 100);
    assert_eq!(starts[0], "2026-11-22T12:01:43");
    assert_eq!(starts[99], "2026-11-22T12:00:04");
    assert!(starts.is_sorted_by(|a, b| a > b));
    let list = cronmon.call(Method::GET, &format!("{}/jobs", path(&monitor)), None).await.body;
    assert_eq!(list["data"], read["jobs"]);
    assert_eq!(list["paging"], json!({ "total": 103 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_found_under_its_own_monitor_only() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let other = cronmon.create(json!({ "name": "b", "schedule": null })).await;
    cronmon.ping(&monitor, "").await;
    let job_id = cronmon.read(&monitor).await["jobs"][0]["job_id"].as_str().unwrap().to_owned();
    for (monitor, job_id) in [(&other, job_id), (&monitor, Uuid::new_v4().to_string())] {
        let answer = cronmon.call(Method::GET, &format!("{}/jobs/{job_id}", path(monitor)), None).await;
        let monitor_id = monitor["monitor_id"].as_str().unwrap();
        let description = format!("Failed to find job with id '{job_id}' in Monitor('{monitor_id}')");
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.body,
            json!({ "error": { "code": 404, "reason": "Job Not Found", "description": description } })
        );
    }
}
