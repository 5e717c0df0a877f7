//! §1, monitors: create, list, read, change, delete.

use serde_json::{Value, json};

use crate::server::{Server, each, has, has_fields, new_id, text};
use cronmon_tests::slack::Slack;

crate::chapter!(
    a_new_monitor_is_shown_with_its_jobs,
    names_may_be_empty_or_alike_and_hold_any_text,
    ours_names_and_durations_have_limits,
    the_list_shows_two_jobs_of_each_and_counts,
    the_list_is_by_the_newest_start,
    one_that_is_read_has_its_jobs,
    a_change_takes_all_three_fields_and_answers_with_jobs,
    ours_a_change_keeps_what_the_original_lacks,
    deletion_takes_jobs_and_associations_along,
    an_unknown_monitor_is_404,
    ours_lists_come_in_pages_and_can_be_filtered,
);

const MONITOR: [&str; 5] = ["expected_duration", "grace_duration", "jobs", "monitor_id", "name"];
const JOB: [&str; 8] =
    ["duration", "end_time", "in_progress", "job_id", "late", "output", "start_time", "succeeded"];

fn body(name: &str, expected: i64, grace: i64) -> Value {
    json!({ "name": name, "expected_duration": expected, "grace_duration": grace })
}

async fn a_new_monitor_is_shown_with_its_jobs(server: &Server) {
    let tenant = server.tenant().await;
    let made = tenant.post("/monitors", &body("nightly", 1_800, 600)).await;
    let made = made.data("POST /monitors: 200 Monitor");
    has_fields(made, &MONITOR, "Monitor");
    let fields = json!({ "name": "nightly", "expected_duration": 1_800, "grace_duration": 600, "jobs": [] });
    has(made, &fields, "Monitor");
    let read = tenant.read_monitor(text(made, "monitor_id")).await;
    has(&read, &fields, "what was made is read");
}

async fn names_may_be_empty_or_alike_and_hold_any_text(server: &Server) {
    let tenant = server.tenant().await;
    for name in
        ["", " ", "a", "a", "ü 日本 🦀", "'; drop table monitor; --", "\u{202e}\n\t\"\\", &"x".repeat(4_096)]
    {
        let made = tenant.post("/monitors", &body(name, 0, 0)).await;
        let sentence = "'Validation: none beyond types. Empty names pass'; kept as sent";
        assert_eq!(made.data(sentence)["name"], *name, "{sentence}");
    }
}

/// The original has none, and overflows.
async fn ours_names_and_durations_have_limits(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let most = 366 * 86_400;
    for (body, field) in [
        (body(&"x".repeat(4_097), 1, 1), "name"),
        (body("a\0b", 1, 1), "name"),
        (body("a", -1, 1), "expected_duration"),
        (body("a", 1, -1), "grace_duration"),
        (body("a", most + 1, 1), "expected_duration"),
        (body("a", 1, most + 1), "grace_duration"),
        (body("a", 2_147_483_647, 2_147_483_647), "expected_duration"),
    ] {
        for answer in [
            tenant.post("/monitors", &body).await,
            tenant.patch(&format!("/monitors/{monitor}"), &body).await,
        ] {
            let description = answer.unusable("names to 4,096 characters without NUL, durations to 366 days");
            assert!(description.contains(field), "the description names the field {field}: {description}");
        }
    }
    tenant.monitor("a", most, most).await;
}

async fn the_list_shows_two_jobs_of_each_and_counts(server: &Server) {
    let tenant = server.tenant().await;
    let empty = tenant.get("/monitors").await;
    assert_eq!(empty.data("an empty list"), &json!([]), "an empty list");
    assert_eq!(empty.body["paging"]["total"], 0, "'\"paging\":{{\"total\":n}}'");
    let (idle, busy) = (tenant.monitor("idle", 5, 6).await, tenant.monitor("busy", 7, 8).await);
    let key = tenant.key().await;
    let done = server.finished(&key.key, &busy, &json!({ "succeeded": true, "output": "ok" })).await;
    let running = server.started(&key.key, &busy).await;
    let list = tenant.get("/monitors").await;
    let list_of = list.data("GET /monitors");
    assert_eq!(list.body["paging"]["total"], 2, "'\"paging\":{{\"total\":n}}'");
    let find =
        |id: &str| list_of.as_array().unwrap().iter().find(|shown| shown["monitor_id"] == *id).unwrap();
    has(
        find(&idle),
        &json!({
            "name": "idle", "expected_duration": 5, "grace_duration": 6,
            "last_started_job": null, "last_finished_job": null,
        }),
        "MonitorSummary, null rather than an absent key",
    );
    let busy = find(&busy);
    has(busy, &json!({ "name": "busy", "expected_duration": 7, "grace_duration": 8 }), "MonitorSummary");
    for job in ["last_started_job", "last_finished_job"] {
        has_fields(&busy[job], &JOB, "MonitorSummary has whole jobs");
    }
    assert_eq!(busy["last_started_job"]["job_id"], *running, "`last_started_job` = jobs[0]");
    has(
        &busy["last_finished_job"],
        &json!({ "job_id": done["job_id"], "succeeded": true, "output": "ok", "in_progress": false }),
        "`last_finished_job` = first finished",
    );
    for shown in list_of.as_array().unwrap() {
        assert_eq!(shown.get("jobs"), None, "MonitorSummary has no jobs");
    }
}

async fn the_list_is_by_the_newest_start(server: &Server) {
    let tenant = server.tenant().await;
    let key = tenant.key().await;
    for name in ["a", "b", "c", "never 1", "never 2"] {
        tenant.monitor(name, 1, 1).await;
    }
    let list = tenant.get("/monitors").await;
    let id = |name: &str| {
        let all = list.data("GET /monitors").as_array().unwrap();
        text(all.iter().find(|shown| shown["name"] == *name).unwrap(), "monitor_id").to_owned()
    };
    for name in ["c", "a", "b", "a"] {
        server.started(&key.key, &id(name)).await;
    }
    let names = tenant.get("/monitors").await;
    let names = each(names.data("GET /monitors"), "name");
    assert_eq!(names[..3], ["a", "b", "c"], "'by start of the newest job, descending'");
    // Of these the original has no order; ours has the newest first.
    assert_eq!(names[3..], ["never 2", "never 1"], "'those without jobs last'");
    let job = server.started(&key.key, &id("c")).await;
    server.finish(&key.key, &id("a"), &new_id(), &json!({ "succeeded": true })).await.is(404, "no such job");
    server.finish(&key.key, &id("c"), &job, &json!({ "succeeded": true })).await.data("it is finished");
    let names = tenant.get("/monitors").await;
    let names = each(names.data("GET /monitors"), "name");
    assert_eq!(names[..3], ["c", "a", "b"], "'by start of the newest job', whether it runs or not");
}

async fn one_that_is_read_has_its_jobs(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.insert(0, server.started(&key.key, &monitor).await);
    }
    let read = tenant.read_monitor(&monitor).await;
    has_fields(&read, &MONITOR, "Monitor");
    assert_eq!(each(&read["jobs"], "job_id"), jobs, "'Jobs: newest start first'");
    for job in read["jobs"].as_array().unwrap() {
        has_fields(job, &JOB, "Job");
    }
    // All of them, in the original; of ours the newest hundred.
    for _ in 0..98 {
        jobs.insert(0, server.started(&key.key, &monitor).await);
    }
    let read = tenant.read_monitor(&monitor).await;
    assert_eq!(each(&read["jobs"], "job_id"), jobs[..100], "ours: the newest 100 jobs");
}

async fn a_change_takes_all_three_fields_and_answers_with_jobs(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("before", 1, 2).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let path = format!("/monitors/{monitor}");
    for missing in ["name", "expected_duration", "grace_duration"] {
        let mut fields = body("after", 3, 4);
        fields.as_object_mut().unwrap().remove(missing);
        let answer = tenant.patch(&path, &fields).await;
        answer.unusable("PATCH /monitors: 'all three fields, as POST'");
        has(&tenant.read_monitor(&monitor).await, &body("before", 1, 2), "what is refused changes nothing");
    }
    let changed = tenant.patch(&path, &body("after", 3, 4)).await;
    let changed = changed.data("PATCH /monitors: 200 Monitor with all jobs");
    has_fields(changed, &MONITOR, "Monitor");
    has(changed, &body("after", 3, 4), "PATCH /monitors");
    assert_eq!(each(&changed["jobs"], "job_id"), [job], "PATCH /monitors: 'with all jobs'");
    has(&tenant.read_monitor(&monitor).await, &body("after", 3, 4), "PATCH /monitors is saved");
}

async fn ours_a_change_keeps_what_the_original_lacks(server: &Server) {
    let tenant = server.tenant().await;
    let mut fields = body("a", 10, 10);
    fields["failure_threshold"] = json!(3);
    fields["tags"] = json!(["db"]);
    let made = tenant.post("/monitors", &fields).await;
    let path = format!("/monitors/{}", text(made.data("it is made"), "monitor_id"));
    let sentence = "a field the original lacks keeps its value when absent, null clears it";
    let changed = tenant.patch(&path, &body("b", 10, 10)).await;
    has(changed.data(sentence), &json!({ "failure_threshold": 3, "tags": ["db"] }), sentence);
    let mut cleared = body("b", 10, 10);
    cleared["failure_threshold"] = json!(null);
    cleared["tags"] = json!(null);
    let changed = tenant.patch(&path, &cleared).await;
    has(changed.data(sentence), &json!({ "failure_threshold": 1, "tags": [] }), sentence);
}

async fn deletion_takes_jobs_and_associations_along(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    let path = format!("/monitors/{monitor}");
    tenant.delete(&path).await.no_content("DELETE /monitors: 204 empty");
    let sentence = "DELETE /monitors: 'jobs and associations go too'";
    tenant.get(&path).await.no_monitor(&monitor, sentence);
    tenant.get(&format!("{path}/jobs/{job}")).await.no_monitor(&monitor, sentence);
    server.start(&key.key, &monitor).await.no_monitor(&monitor, sentence);
    let finish = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true })).await;
    finish.no_monitor(&monitor, sentence);
    let config = tenant.get(&format!("/alert-configs/{config}")).await;
    assert_eq!(config.data(sentence)["monitors"], json!([]), "{sentence}");
    let list = tenant.get("/monitors").await;
    assert_eq!((list.data(sentence), &list.body["paging"]["total"]), (&json!([]), &json!(0)), "{sentence}");
}

async fn an_unknown_monitor_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let (id, other) = (new_id(), new_id());
    let path = format!("/monitors/{id}");
    let sentence = "404 Monitor Not Found, Failed to find monitor with id '{m}'";
    tenant.get(&path).await.no_monitor(&id, sentence);
    tenant.patch(&path, &body("a", 1, 1)).await.no_monitor(&id, sentence);
    tenant.delete(&path).await.no_monitor(&id, sentence);
    tenant.get(&format!("{path}/jobs/{other}")).await.no_monitor(&id, sentence);
    let monitor = tenant.monitor("a", 1, 1).await;
    let answer = tenant.get(&format!("/monitors/{monitor}/jobs/{other}")).await;
    answer.no_job(&other, &monitor, "404 Job Not Found, Failed to find job with id '{j}' in Monitor('{m}')");
    let (second, key) = (tenant.monitor("b", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &second).await;
    let answer = tenant.get(&format!("/monitors/{monitor}/jobs/{job}")).await;
    answer.no_job(&job, &monitor, "a job is found in its own monitor alone");
}

/// The original's lists are never cut and know no parameters.
async fn ours_lists_come_in_pages_and_can_be_filtered(server: &Server) {
    let tenant = server.tenant().await;
    for name in ["backup a", "backup b", "report"] {
        tenant.monitor(name, 1, 1).await;
    }
    let key = tenant.key().await;
    let first = tenant.get("/monitors?limit=2").await;
    assert_eq!(each(first.data("a page"), "name"), ["report", "backup b"]);
    assert_eq!(first.body["paging"]["total"], 3, "total counts what was cut");
    let cursor = text(&first.body["paging"], "next_cursor").to_owned();
    let rest = tenant.get(&format!("/monitors?limit=2&cursor={cursor}")).await;
    assert_eq!(each(rest.data("the rest"), "name"), ["backup a"]);
    assert_eq!(rest.body["paging"], json!({ "total": 3, "next_cursor": null }));
    let found = tenant.get("/monitors?name=BACKUP&status=new,late").await;
    assert_eq!(each(found.data("those of a name"), "name"), ["backup b", "backup a"]);
    assert_eq!(found.body["paging"]["total"], 2);
    let none = tenant.get("/monitors?tag=db").await;
    assert_eq!(none.data("those of a tag"), &json!([]));
    tenant.get("/monitors?limit=0").await.unusable("limit is from 1 to 1,000");

    let monitor = text(&rest.body["data"][0], "monitor_id").to_owned();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.insert(0, server.started(&key.key, &monitor).await);
    }
    let path = format!("/monitors/{monitor}/jobs");
    let first = tenant.get(&format!("{path}?limit=2")).await;
    assert_eq!(each(first.data("a page of jobs"), "job_id"), jobs[..2]);
    assert_eq!(first.body["paging"]["total"], 3);
    let cursor = text(&first.body["paging"], "next_cursor").to_owned();
    let rest = tenant.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!(each(rest.data("the rest"), "job_id"), jobs[2..]);
    assert_eq!(rest.body["paging"], json!({ "total": 3, "next_cursor": null }));
}
