//! §1, `POST /monitors/{m}/jobs/start`.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::{Server, has, has_fields, new_id};

crate::chapter!(
    a_start_answers_with_the_id_of_a_job_that_runs,
    the_body_is_ignored_whatever_it_is,
    any_number_of_jobs_may_run_at_once,
    a_key_opens_all_monitors_of_its_tenant,
    a_key_that_is_missing_is_told_apart_from_a_wrong_one,
    a_deleted_key_opens_nothing,
    an_unknown_monitor_is_404,
    ours_too_many_starts_are_429,
);

async fn a_start_answers_with_the_id_of_a_job_that_runs(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 3_600, 60).await, tenant.key().await);
    let started = server.start(&key.key, &monitor).await;
    let data = started.data("start: 200 {\"data\":{\"job_id\":uuid}}").as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["job_id"], "start: {{\"data\":{{\"job_id\":uuid}}}}");
    let job = tenant.read_job(&monitor, data["job_id"].as_str().unwrap()).await;
    has(
        &job,
        &json!({
            "job_id": data["job_id"], "in_progress": true, "late": false,
            "duration": null, "end_time": null, "output": null, "succeeded": null,
        }),
        "a job that runs, null rather than an absent key",
    );
    has_fields(&job, &["start_time"], "Job");
}

async fn the_body_is_ignored_whatever_it_is(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let path = format!("/monitors/{monitor}/jobs/start");
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"{\"output\":\"\\u0000\"}".to_vec(),
        vec![0, 0xff, 0xfe, b'\r', b'\n'],
        vec![b'x'; 1_048_577],
        vec![b'x'; 2_000_000],
    ] {
        let length = body.len();
        let answer = server.send("POST", &path, &[("x-api-key", &key.key)], Some(body)).await;
        answer.data(&format!("start: body 'ignored, whatever it is', {length} bytes"));
    }
    let read = tenant.read_monitor(&monitor).await;
    assert_eq!(read["jobs"].as_array().unwrap().len(), 7, "each of them started a job");
}

async fn any_number_of_jobs_may_run_at_once(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let sentence = "'Any number of jobs of a monitor may run at once'";
    let started = join_all((0..40).map(|_| server.started(&key.key, &monitor))).await;
    assert_eq!(started.iter().collect::<HashSet<_>>().len(), 40, "{sentence}: each has its own id");
    let read = tenant.read_monitor(&monitor).await;
    let running = |read: &Value| {
        read["jobs"].as_array().unwrap().iter().filter(|job| job["in_progress"] == true).count()
    };
    assert_eq!(running(&read), 40, "{sentence}");
    server.finish(&key.key, &monitor, &started[20], &json!({ "succeeded": true })).await.data(sentence);
    let read = tenant.read_monitor(&monitor).await;
    assert_eq!(running(&read), 39, "{sentence}: one that is finished ends alone");
    let ended: Vec<&Value> =
        read["jobs"].as_array().unwrap().iter().filter(|job| job["in_progress"] == false).collect();
    assert_eq!(ended[0]["job_id"], *started[20], "{sentence}: it is that one which ends");
}

async fn a_key_opens_all_monitors_of_its_tenant(server: &Server) {
    let tenant = server.tenant().await;
    let (first, second) = (tenant.key().await, tenant.key().await);
    for monitor in [tenant.monitor("a", 1, 1).await, tenant.monitor("b", 1, 1).await] {
        let job = server.started(&first.key, &monitor).await;
        let sentence = "'opens start/finish of all its monitors', started with another key or not";
        server.finish(&second.key, &monitor, &job, &json!({ "succeeded": true })).await.data(sentence);
    }
}

async fn a_key_that_is_missing_is_told_apart_from_a_wrong_one(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let path = format!("/monitors/{monitor}/jobs/start");
    let missing = server.send("POST", &path, &[], None).await;
    missing.unauthenticated("'X-API-Key header missing': 401 default body");
    for wrong in
        ["", "x", &key.key[..31], &format!("{}x", key.key), &key.key.to_lowercase().to_uppercase(), &key.id]
    {
        server.start(wrong, &monitor).await.bad_key("'wrong X-API-Key, also an empty one'");
    }
    // A token is not asked for, and does not help.
    let bearer = format!("Bearer {}", tenant.token);
    let answer = server.send("POST", &path, &[("authorization", &bearer)], None).await;
    answer.unauthenticated("start wants X-API-Key");
    let both = [("authorization", "Bearer x.y.z"), ("x-api-key", key.key.as_str())];
    server.send("POST", &path, &both, None).await.data("start wants X-API-Key and nothing else");
}

async fn a_deleted_key_opens_nothing(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    tenant.delete(&format!("/keys/{}", key.id)).await.no_content("DELETE /keys: 204");
    server.start(&key.key, &monitor).await.bad_key("a deleted key is a wrong one");
    let finish = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true })).await;
    finish.bad_key("a deleted key is a wrong one");
}

async fn an_unknown_monitor_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let (key, id) = (tenant.key().await, new_id());
    server.start(&key.key, &id).await.no_monitor(&id, "start: 404 Monitor");
}

/// The original has no limit.
async fn ours_too_many_starts_are_429(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    for _ in 0..300 {
        server.started(&key.key, &monitor).await;
    }
    let answer = server.start(&key.key, &monitor).await;
    answer.refused(429, "Too Many Requests", "more than 300 pings of a monitor in a minute: 429");
    let after: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&after), "Retry-After: {after}");
    let other = tenant.monitor("b", 60, 60).await;
    server.start(&key.key, &other).await.data("other monitors have limits of their own");
}
