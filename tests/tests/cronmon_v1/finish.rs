//! §1, `POST /monitors/{m}/jobs/{j}/finish`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::{Server, each, has, has_fields, new_id, text};

crate::chapter!(
    a_finish_answers_with_the_job,
    output_may_be_absent_null_empty_or_any_text,
    a_long_output_is_shown_whole_where_one_job_is_read,
    ours_a_nul_in_the_output_does_no_harm,
    a_job_is_finished_once,
    of_sixteen_finishes_at_once_one_holds,
    the_answer_has_the_digits_that_are_stored,
    a_late_job_may_be_finished,
    a_job_is_finished_in_its_own_monitor,
    a_key_that_is_missing_is_told_apart_from_a_wrong_one,
);

async fn a_finish_answers_with_the_job(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 3_600, 60).await, tenant.key().await);
    for succeeded in [true, false] {
        let job = server.started(&key.key, &monitor).await;
        let running = tenant.read_job(&monitor, &job).await;
        let body = json!({ "succeeded": succeeded, "output": "what it said" });
        let finished = server.finish(&key.key, &monitor, &job, &body).await;
        let finished = finished.data("finish: 200 {\"data\":Job}");
        has(
            finished,
            &json!({
                "job_id": job, "in_progress": false, "late": false, "duration": 0, "output": "what it said",
                "succeeded": succeeded, "start_time": running["start_time"],
            }),
            "finish: 200 Job",
        );
        has_fields(finished, &["end_time"], "Job");
        assert!(
            text(finished, "end_time") > text(finished, "start_time"),
            "it ends after it began: {finished}"
        );
    }
}

async fn output_may_be_absent_null_empty_or_any_text(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let sentence = "'output?: str or null'";
    for (body, output) in [
        (json!({ "succeeded": true }), Value::Null),
        (json!({ "succeeded": true, "output": null }), Value::Null),
        (json!({ "succeeded": true, "output": "" }), json!("")),
        (json!({ "succeeded": false, "output": "a\r\nb\t\u{1b}[1m\"\\" }), json!("a\r\nb\t\u{1b}[1m\"\\")),
        (json!({ "succeeded": true, "output": "ü日本🦀" }), json!("ü日本🦀")),
    ] {
        let finished = server.finished(&key.key, &monitor, &body).await;
        assert_eq!(finished["output"], output, "{sentence}: the answer to {body}");
        let read = tenant.read_job(&monitor, text(&finished, "job_id")).await;
        assert_eq!(read["output"], output, "{sentence}: what is read after {body}");
    }
}

async fn a_long_output_is_shown_whole_where_one_job_is_read(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let output = format!("begin{}end", "ü".repeat(500_000));
    let finished = server.finished(&key.key, &monitor, &json!({ "succeeded": true, "output": output })).await;
    assert!(finished["output"] == *output, "finish shows the whole output");
    let read = tenant.read_job(&monitor, text(&finished, "job_id")).await;
    assert!(read["output"] == *output, "GET of one job shows the whole output");
    has(&read, &json!({ "output_truncated": false }), "ours: output_truncated");
    // The original shows it whole there too.
    let read = tenant.read_monitor(&monitor).await;
    let cut = text(&read["jobs"][0], "output");
    assert!(cut.len() <= 10_000 && output.starts_with(cut), "ours: a monitor's jobs have 10,000 bytes of it");
    has(&read["jobs"][0], &json!({ "output_truncated": true }), "ours: output_truncated");
    let list = tenant.get("/monitors").await;
    let job = list.data("GET /monitors")[0]["last_finished_job"].clone();
    let cut = text(&job, "output");
    assert!(
        cut.len() <= 1_000 && output.starts_with(cut),
        "ours: the list of monitors has 1,000 bytes of it"
    );
    has(&job, &json!({ "output_truncated": true }), "ours: output_truncated");
}

/// The original answers 500.
async fn ours_a_nul_in_the_output_does_no_harm(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let answer =
        server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true, "output": "a\0b" })).await;
    assert!(answer.status == 200 || answer.status == 422, "'4xx where the original answers 500': {answer}");
    if answer.status == 200 {
        assert_eq!(answer.body["data"]["output"], "a\0b", "it is kept as it was sent: {answer}");
    }
    tenant.get(&format!("/monitors/{monitor}")).await.data("the monitor can be read then");
}

async fn a_job_is_finished_once(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let first = server.finished(&key.key, &monitor, &json!({ "succeeded": true, "output": "first" })).await;
    let job = text(&first, "job_id");
    for body in [json!({ "succeeded": true, "output": "first" }), json!({ "succeeded": false })] {
        let again = server.finish(&key.key, &monitor, job, &body).await;
        let description = format!("Job('{job}') is already finished");
        again.error(400, "Job Already Finished", &description, "finish: 400 Job Already Finished");
    }
    assert_eq!(tenant.read_job(&monitor, job).await, first, "the first finish holds");
    let read = tenant.read_monitor(&monitor).await;
    assert_eq!(each(&read["jobs"], "job_id"), [job], "a finish that is refused makes no job");
}

/// Fault 4: 13 to 16 of them are answered 200.
async fn of_sixteen_finishes_at_once_one_holds(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    for _ in 0..3 {
        let job = server.started(&key.key, &monitor).await;
        let bodies: Vec<Value> =
            (0..16).map(|i| json!({ "succeeded": i % 2 == 0, "output": format!("{i}") })).collect();
        let answers = join_all(bodies.iter().map(|body| server.finish(&key.key, &monitor, &job, body))).await;
        let (held, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(held.len(), 1, "fault 4: of 16 finishes at once one is answered 200");
        for answer in refused {
            let description = format!("Job('{job}') is already finished");
            answer.error(400, "Job Already Finished", &description, "fault 4: the others are answered 400");
        }
        let read = tenant.read_job(&monitor, &job).await;
        assert_eq!(&read, held[0].data("the one that held"), "fault 4: what was answered is what is stored");
    }
}

/// Fault 6: nine digits in the answer, six stored.
async fn the_answer_has_the_digits_that_are_stored(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    for _ in 0..5 {
        let finished =
            server.finished(&key.key, &monitor, &json!({ "succeeded": true, "output": "x" })).await;
        let read = tenant.read_job(&monitor, text(&finished, "job_id")).await;
        assert_eq!(finished, read, "fault 6: `finish` answers the digits that are stored");
    }
}

async fn a_late_job_may_be_finished(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 0, 0).await, tenant.key().await);
    for succeeded in [true, false] {
        let job = server.started(&key.key, &monitor).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!(tenant.read_job(&monitor, &job).await["late"], true, "it is late while it runs");
        let finished = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": succeeded })).await;
        let fields = json!({ "late": true, "succeeded": succeeded, "in_progress": false });
        has(finished.data("'`finish` of a late job is fine'"), &fields, "it stays late");
    }
}

async fn a_job_is_finished_in_its_own_monitor(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, other) = (tenant.monitor("a", 60, 60).await, tenant.monitor("b", 60, 60).await);
    let (key, unknown, body) = (tenant.key().await, new_id(), json!({ "succeeded": true }));
    let job = server.started(&key.key, &monitor).await;
    let finish = server.finish(&key.key, &unknown, &job, &body).await;
    finish.no_monitor(&unknown, "finish: 404 Monitor");
    server.finish(&key.key, &monitor, &unknown, &body).await.no_job(&unknown, &monitor, "finish: 404 Job");
    server.finish(&key.key, &other, &job, &body).await.no_job(
        &job,
        &other,
        "finish: 404 Job of another monitor",
    );
    let both = server.finish(&key.key, &unknown, &new_id(), &body).await;
    both.no_monitor(&unknown, "the monitor is looked for before the job");
    assert_eq!(tenant.read_job(&monitor, &job).await["in_progress"], true, "nothing was finished");
    assert_eq!(tenant.read_monitor(&other).await["jobs"], json!([]), "nothing was made");
}

async fn a_key_that_is_missing_is_told_apart_from_a_wrong_one(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let path = format!("/monitors/{monitor}/jobs/{job}/finish");
    let missing = server.send("POST", &path, &[], Some(br#"{"succeeded":true}"#.to_vec())).await;
    missing.unauthenticated("'X-API-Key header missing': 401 default body");
    for wrong in ["", "x", &key.key[1..], &key.id] {
        let answer = server.finish(wrong, &monitor, &job, &json!({ "succeeded": true })).await;
        answer.bad_key("'wrong X-API-Key, also an empty one'");
    }
    assert_eq!(tenant.read_job(&monitor, &job).await["in_progress"], true, "nothing was finished");
}
