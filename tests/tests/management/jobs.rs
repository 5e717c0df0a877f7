//! The jobs of a monitor.

use std::collections::BTreeSet;

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
        "output_truncated": false,
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
    assert_eq!(list.body, json!({ "data": [job], "paging": { "total": 1, "next_cursor": null } }));
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
    assert_eq!(list["paging"]["total"], 103);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_jobs_are_on_the_pages_that_follow() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    for n in 0..23 {
        // Several of one instant: the id decides.
        if n % 3 == 0 {
            cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        }
        cronmon.ping(&monitor, "").await;
    }
    let page = async |query: &str| {
        let answer = cronmon.call(Method::GET, &format!("{}/jobs?{query}", path(&monitor)), None).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    };
    let all = page("").await["data"].as_array().unwrap().clone();
    assert_eq!(all.len(), 23);
    assert_eq!(json!(all), cronmon.read(&monitor).await["jobs"]);
    for limit in [1, 7, 22, 23, 100] {
        let (mut walked, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let page = page(&query).await;
            assert_eq!(page["paging"]["total"], 23);
            walked.extend(page["data"].as_array().unwrap().clone());
            let Some(cursor) = page["paging"]["next_cursor"].as_str() else { break };
            query = format!("limit={limit}&cursor={cursor}");
        }
        assert_eq!(walked, all, "{limit}");
    }
    // What runs meanwhile is before the page, and counts.
    let first = page("limit=10").await;
    cronmon.set_clock(cronmon.now() + Duration::seconds(1));
    cronmon.ping(&monitor, "").await;
    let query = format!("limit=10&cursor={}", first["paging"]["next_cursor"].as_str().unwrap());
    let second = page(&query).await;
    assert_eq!(second["data"], json!(all[10..20]));
    assert_eq!(second["paging"]["total"], 24);
    // Jobs may be gone, and then there is no page.
    let gone = "delete from job";
    cronmon.pool.get().await.unwrap().batch_execute(gone).await.unwrap();
    assert_eq!(page(&query).await, json!({ "data": [], "paging": { "total": 0, "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_finds_no_jobs_and_nobody_those_of_a_monitor_that_is_not_there() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.ping(&monitor, "").await;
    let unknown = Uuid::new_v4().to_string();
    for (tenant, id) in [("globex", monitor["monitor_id"].as_str().unwrap()), ("acme", &unknown)] {
        let answer =
            cronmon.call_as(tenant, Method::GET, &format!("/monitors/{id}/jobs?limit=1"), None).await;
        let description = format!("Failed to find monitor with id '{id}'");
        let error = json!({ "code": 404, "reason": "Monitor Not Found", "description": description });
        assert_eq!((answer.status.as_u16(), answer.body), (404, json!({ "error": error })));
    }
}

/// Ends a job of the monitor with such an output.
async fn say(cronmon: &CronMon, monitor: &Value, jobs: i32, output: &str) {
    let id: Uuid = monitor["monitor_id"].as_str().unwrap().parse().unwrap();
    let client = cronmon.pool.get().await.unwrap();
    client.execute("delete from signal where monitor_id = $1", &[&id]).await.unwrap();
    client.execute("delete from job where monitor_id = $1", &[&id]).await.unwrap();
    let statement = "with said as (
             insert into signal (monitor_id, signal_id, received_at, kind, body)
             select $1, gen_random_uuid(), '2026-11-22Z', 'fail', convert_to($3, 'UTF8') from generate_series(1, $2)
             returning signal_id, received_at as at
         )
         insert into job (job_id, monitor_id, announced, start_time, end_time, succeeded, answered, ended_by)
         select signal_id, $1, false, at, at, false, false, signal_id from said";
    client.execute(statement, &[&id, &jobs, &output]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_is_cut_where_jobs_are_listed_and_whole_by_itself() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    for (output, shown) in [
        ("x".repeat(10_000), "x".repeat(10_000)),
        ("x".repeat(10_001), "x".repeat(10_000)),
        // Not cut within a character.
        ("x".to_owned() + &"\u{1f980}".repeat(3_000), "x".to_owned() + &"\u{1f980}".repeat(2_499)),
        ("\\".repeat(1024 * 1024), "\\".repeat(10_000)),
    ] {
        say(&cronmon, &monitor, 1, &output).await;
        let cut = output.len() > 10_000;
        let read = cronmon.read(&monitor).await;
        let mut job = read["jobs"][0].clone();
        assert_eq!((&job["output"], &job["output_truncated"]), (&json!(shown), &json!(cut)));
        let jobs = format!("{}/jobs", path(&monitor));
        assert_eq!(cronmon.call(Method::GET, &jobs, None).await.body["data"], json!([job]));
        assert_eq!((&read["last_started_job"], &read["last_finished_job"]), (&job, &job));
        let one = format!("{jobs}/{}", job["job_id"].as_str().unwrap());
        job["output"] = json!(output);
        job["output_truncated"] = json!(false);
        assert_eq!(cronmon.call(Method::GET, &one, None).await.body["data"], job);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_stay_small_enough_for_lambda_however_large_their_outputs_are() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    for (output, pages) in [("x", 1), ("\"", 1), ("\u{1}", 2)] {
        say(&cronmon, &monitor, 100, &output.repeat(10_000)).await;
        let fits = |answer: &Value| {
            // As Lambda writes it: text within JSON.
            let in_lambda = Value::String(answer.to_string()).to_string();
            assert!(in_lambda.len() < 6_000_000, "{output:?}: {}", in_lambda.len());
        };
        let read = cronmon.read(&monitor).await;
        fits(&read);
        let (mut ids, mut walked, mut query) = (BTreeSet::new(), 0, String::new());
        loop {
            let path = format!("{}/jobs?{query}", path(&monitor));
            let page = cronmon.call(Method::GET, &path, None).await.body;
            fits(&page);
            if walked == 0 {
                // The monitor itself shows as many, and the others are on the pages that follow.
                assert_eq!(read["jobs"], page["data"], "{output:?}");
            }
            ids.extend(page["data"].as_array().unwrap().iter().map(|job| job["job_id"].to_string()));
            walked += 1;
            let Some(cursor) = page["paging"]["next_cursor"].as_str() else { break };
            query = format!("cursor={cursor}");
        }
        assert_eq!((ids.len(), walked), (100, pages), "{output:?}");
    }
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
