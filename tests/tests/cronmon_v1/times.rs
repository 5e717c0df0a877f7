//! §1, semantics: times, lateness, durations, the order of jobs.

use cronmon_tests::chaos::now;
use serde_json::{Value, json};

use crate::server::{Server, Tenant, each, has, text};

crate::chapter!(
    times_are_utc_without_zone_to_the_microsecond,
    a_fraction_has_as_many_digits_as_it_needs,
    late_is_strict,
    a_job_that_runs_is_late_once_its_time_is_over,
    a_duration_is_whole_seconds_and_null_while_it_runs,
    the_end_is_fixed_when_a_job_starts,
    jobs_are_newest_start_first,
    the_last_finished_job_is_the_one_that_started_last,
    ours_no_sum_of_durations_overflows,
);

/// `2026-11-22T16:36:33.016078`, with a fraction of 0, 3 or 6 digits.
fn is_original(time: &str) -> bool {
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    let shape: String = seconds.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00"
        && [0, 3, 6].contains(&fraction.len())
        && fraction.chars().all(|c| c.is_ascii_digit())
        && (time.contains('.') != fraction.is_empty())
}

async fn times_are_utc_without_zone_to_the_microsecond(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let before = now().naive_utc();
    let finished = server.finished(&key.key, &monitor, &json!({ "succeeded": true })).await;
    let after = now().naive_utc();
    let key = tenant.read_key(&key).await;
    let times = [
        text(&finished, "start_time"),
        text(&finished, "end_time"),
        text(&key, "created"),
        text(&key["last_used"], "time"),
    ];
    for time in times {
        assert!(is_original(time), "'Timestamps: UTC without zone': {time}");
    }
    let slack = chrono::Duration::milliseconds(5);
    for time in &times[..2] {
        let time: chrono::NaiveDateTime = time.parse().unwrap();
        assert!(before - slack <= time && time <= after + slack, "UTC, and true: {before} {time} {after}");
    }
}

/// Moves a job to other times.
async fn set(server: &Server, job: &str, columns: &str) {
    server.execute(&format!("update job set {columns} where job_id = '{job}'")).await;
}

/// A finished job, whose monitor gives it an hour.
async fn finished_job(server: &Server, tenant: &Tenant<'_>) -> (String, String) {
    let (monitor, key) = (tenant.monitor("a", 3_000, 600).await, tenant.key().await);
    let finished = server.finished(&key.key, &monitor, &json!({ "succeeded": true })).await;
    (monitor, text(&finished, "job_id").to_owned())
}

async fn a_fraction_has_as_many_digits_as_it_needs(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job) = finished_job(server, &tenant).await;
    for (stored, shown) in [
        ("16:36:33", "16:36:33"),
        ("16:36:33.1", "16:36:33.100"),
        ("16:36:33.016", "16:36:33.016"),
        ("16:36:33.0160", "16:36:33.016"),
        ("16:36:33.0161", "16:36:33.016100"),
        ("16:36:33.016078", "16:36:33.016078"),
        ("16:36:33.000001", "16:36:33.000001"),
    ] {
        set(server, &job, &format!("start_time = '2026-11-22 {stored}+00'")).await;
        let read = tenant.read_job(&monitor, &job).await;
        let sentence = "'fraction of 0, 3, 6 or 9 digits as needed'";
        assert_eq!(text(&read, "start_time"), format!("2026-11-22T{shown}"), "{sentence}");
    }
}

async fn late_is_strict(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job) = finished_job(server, &tenant).await;
    for (end, late) in [
        ("due_at - interval '1 microsecond'", false),
        ("due_at", false),
        ("due_at + interval '1 microsecond'", true),
        ("due_at + interval '100 days'", true),
    ] {
        set(server, &job, &format!("end_time = {end}")).await;
        let read = tenant.read_job(&monitor, &job).await;
        assert_eq!(read["late"], late, "'`late` = (end_time or now) > max_end_time, strictly': {end}");
    }
}

async fn a_job_that_runs_is_late_once_its_time_is_over(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 0).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let sentence = "'`late` = now > max_end_time' while it runs";
    has(&tenant.read_job(&monitor, &job).await, &json!({ "late": false, "in_progress": true }), sentence);
    tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
    has(&tenant.read_job(&monitor, &job).await, &json!({ "late": true, "in_progress": true }), sentence);
    has(&tenant.read_monitor(&monitor).await["jobs"][0], &json!({ "late": true }), sentence);
    let list = tenant.get("/monitors").await;
    has(&list.data("GET /monitors")[0]["last_started_job"], &json!({ "late": true }), sentence);
}

async fn a_duration_is_whole_seconds_and_null_while_it_runs(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job) = finished_job(server, &tenant).await;
    for (took, seconds) in
        [("0 s", 0), ("0.999999 s", 0), ("1 s", 1), ("59.9 s", 59), ("3661.5 s", 3_661), ("2 days", 172_800)]
    {
        set(server, &job, &format!("start_time = end_time - interval '{took}'")).await;
        let read = tenant.read_job(&monitor, &job).await;
        assert_eq!(read["duration"], seconds, "'`duration` = floor of |end - start| in s': {took}");
    }
    let key = tenant.key().await;
    let running = server.started(&key.key, &monitor).await;
    let read = tenant.read_job(&monitor, &running).await;
    assert_eq!(read["duration"], Value::Null, "'`duration` null while running'");
}

async fn the_end_is_fixed_when_a_job_starts(server: &Server) {
    let tenant = server.tenant().await;
    let key = tenant.key().await;
    let sentence = "'expected + grace of the monitor AT START; later edits do not touch running jobs'";
    for (at_start, later, late) in [((3_600, 0), 0, false), ((0, 3_600), 0, false), ((0, 0), 3_600, true)] {
        let monitor = tenant.monitor("a", at_start.0, at_start.1).await;
        let job = server.started(&key.key, &monitor).await;
        let body = json!({ "name": "a", "expected_duration": later, "grace_duration": later });
        tenant.patch(&format!("/monitors/{monitor}"), &body).await.data("it is edited");
        assert_eq!(tenant.read_job(&monitor, &job).await["late"], late, "{sentence}: while it runs");
        let finished = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true })).await;
        assert_eq!(finished.data(sentence)["late"], late, "{sentence}: finished");
        let next = server.finished(&key.key, &monitor, &json!({ "succeeded": true })).await;
        assert_eq!(next["late"], !late, "{sentence}: the next job has the new ones");
    }
}

async fn jobs_are_newest_start_first(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(server.started(&key.key, &monitor).await);
    }
    server.finish(&key.key, &monitor, &jobs[1], &json!({ "succeeded": true })).await.data("the second ends");
    set(server, &jobs[0], "start_time = start_time + interval '1 hour'").await;
    let read = tenant.read_monitor(&monitor).await;
    let expected = [&jobs[0], &jobs[3], &jobs[2], &jobs[1]];
    assert_eq!(each(&read["jobs"], "job_id"), expected, "'Jobs: newest start first'");
}

async fn the_last_finished_job_is_the_one_that_started_last(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(server.started(&key.key, &monitor).await);
    }
    // The second one ends first.
    for job in [&jobs[1], &jobs[0]] {
        server.finish(&key.key, &monitor, job, &json!({ "succeeded": true })).await.data("it ends");
    }
    let list = tenant.get("/monitors").await;
    let shown = &list.data("GET /monitors")[0];
    assert_eq!(shown["last_started_job"]["job_id"], *jobs[2], "'`last_started_job` = jobs[0]'");
    let sentence = "'`last_finished_job` = first finished in that order (NOT the one that ended last)'";
    assert_eq!(shown["last_finished_job"]["job_id"], *jobs[1], "{sentence}");
}

/// Fault 5: the sum overflows, and a job is late at once.
async fn ours_no_sum_of_durations_overflows(server: &Server) {
    let tenant = server.tenant().await;
    let most = 366 * 86_400;
    let (monitor, key) = (tenant.monitor("a", most, most).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    assert_eq!(tenant.read_job(&monitor, &job).await["late"], false, "fault 5: not late at once");
    let answer = tenant
        .post("/monitors", &json!({ "name": "a", "expected_duration": 2_147_483_647, "grace_duration": 1 }))
        .await;
    answer.unusable("fault 5: what could overflow is refused");
}
