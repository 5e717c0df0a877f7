//! A lateness that a ping disproves which came in time and was here too late: whom nobody told hears nothing.

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::contents::count;
use cronmon_tests::{CronMon, Receiver};
use domain::{Signal, SignalKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const RID: Uuid = Uuid::from_u128(7);

fn signal(kind: SignalKind, rid: Option<Uuid>) -> Signal {
    Signal { kind, rid, exit_status: None }
}

fn noon(seconds: i64) -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::seconds(seconds)
}

struct Late {
    cronmon: CronMon,
    receiver: Receiver,
    monitor: Value,
}

impl Late {
    /// A monitor that is pinged at noon, or starts a run then, and is late two minutes after; nobody was told yet.
    async fn start(fields: Value, first: &str) -> Self {
        let cronmon = CronMon::start().await;
        let receiver = Receiver::start().await;
        cronmon.hear_everything_at(&receiver.url).await;
        let mut body = json!({ "name": "a", "grace_duration": 30 });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let monitor = cronmon.create(body).await;
        cronmon.ping(&monitor, first).await;
        cronmon.set_clock(noon(120));
        cronmon.tick().await;
        assert_eq!(cronmon.read(&monitor).await["status"], "late");
        assert_eq!(count(&cronmon.pool, "select count(*) from delivery where attempts = 0").await, 1);
        Self { cronmon, receiver, monitor }
    }

    /// Where the monitor stands once everything was delivered, and what was heard of it.
    async fn ends(&self) -> (String, Vec<String>) {
        self.cronmon.deliver().await;
        let status = self.cronmon.read(&self.monitor).await["status"].as_str().unwrap().to_owned();
        (status, self.receiver.types_about("a"))
    }

    async fn arrives(&self, kind: SignalKind, rid: Option<Uuid>, seconds: i64) {
        self.cronmon.replay(&self.monitor, &signal(kind, rid), noon(seconds)).await;
    }
}

fn heard(status: &str, types: &[&str]) -> (String, Vec<String>) {
    (status.to_owned(), types.iter().map(|&kind| kind.to_owned()).collect())
}

#[tokio::test]
async fn a_missed_slot_that_was_answered_in_time_is_taken_back() {
    for schedule in [json!({ "every": 60 }), json!({ "cron": "* * * * *" })] {
        let late = Late::start(json!({ "schedule": schedule, "alert_on": "every" }), "").await;
        late.arrives(SignalKind::Success, None, 61).await;
        assert_eq!(late.ends().await, heard("up", &[]), "{schedule}");
        // The next slot is expected as ever.
        late.cronmon.set_clock(noon(400));
        late.cronmon.tick().await;
        assert_eq!(late.ends().await, heard("late", &["late"]), "{schedule}");
    }
}

#[tokio::test]
async fn so_it_is_by_a_start_and_by_a_fail_that_is_told_in_its_place() {
    let late = Late::start(json!({ "schedule": { "cron": "* * * * *" } }), "").await;
    late.arrives(SignalKind::Start, None, 70).await;
    assert_eq!(late.ends().await, heard("up", &[]));
    let late = Late::start(json!({ "schedule": { "cron": "* * * * *" } }), "").await;
    late.arrives(SignalKind::Fail, None, 70).await;
    assert_eq!(late.ends().await, heard("failed", &["failed"]));
}

#[tokio::test]
async fn a_run_that_ended_in_time_did_not_overrun() {
    let fields = json!({ "schedule": null, "expected_duration": 20, "alert_on": "every" });
    let late = Late::start(fields.clone(), &format!("/start?rid={RID}")).await;
    late.arrives(SignalKind::Success, Some(RID), 49).await;
    assert_eq!(late.ends().await, heard("up", &[]));
    let jobs = late.cronmon.read(&late.monitor).await["jobs"].clone();
    assert_eq!((&jobs[0]["duration"], &jobs[0]["late"]), (&json!(49), &json!(false)));

    let late = Late::start(fields, &format!("/start?rid={RID}")).await;
    late.arrives(SignalKind::Success, Some(Uuid::from_u128(8)), 49).await;
    assert_eq!(late.ends().await.1[0], "late", "another run's end explains nothing");
}

#[tokio::test]
async fn what_came_after_the_deadline_or_before_the_slot_explains_nothing() {
    for seconds in [1, 45, 95] {
        let late = Late::start(json!({ "schedule": { "cron": "* * * * *" } }), "").await;
        late.arrives(SignalKind::Success, None, seconds).await;
        assert_eq!(late.ends().await.1[0], "late", "received {seconds} s after noon");
    }
}

#[tokio::test]
async fn what_was_told_stays_and_recovers() {
    let late = Late::start(json!({ "schedule": { "every": 60 } }), "").await;
    late.cronmon.deliver().await;
    late.arrives(SignalKind::Success, None, 61).await;
    assert_eq!(late.ends().await, heard("up", &["late", "recovered"]));
}

#[tokio::test]
async fn a_signal_that_was_overtaken_takes_it_back_too() {
    let late = Late::start(json!({ "schedule": { "cron": "*/1 * * * *" } }), "").await;
    // A start never mends: the monitor stays late until the spool is read.
    late.cronmon.set_clock(noon(130));
    late.cronmon.ping(&late.monitor, "/start").await;
    assert_eq!(late.cronmon.read(&late.monitor).await["status"], "late");
    late.arrives(SignalKind::Success, None, 75).await;
    assert_eq!(late.ends().await, heard("up", &[]));
}

#[tokio::test]
async fn a_ping_that_only_took_its_time_on_the_way_takes_it_back_as_well() {
    let late = Late::start(json!({ "schedule": { "every": 60 } }), "").await;
    // As on Lambda, where the gateway's time counts, and the tick has another process.
    late.cronmon.set_clock(noon(80));
    late.cronmon.ping(&late.monitor, "").await;
    assert_eq!(late.ends().await, heard("up", &[]));
}

#[tokio::test]
async fn a_schedule_that_was_edited_since_is_not_expected_again() {
    let late = Late::start(json!({ "schedule": { "every": 60 } }), "").await;
    let path = format!("/monitors/{}", late.monitor["monitor_id"].as_str().unwrap());
    let body = json!({ "name": "a", "schedule": null, "expected_duration": null, "grace_duration": 30 });
    assert_eq!(late.cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    late.arrives(SignalKind::Success, None, 61).await;
    assert_eq!(late.ends().await, heard("up", &[]));
    let shown = late.cronmon.read(&late.monitor).await;
    assert_eq!((&shown["next_expected_at"], &shown["due_at"]), (&Value::Null, &Value::Null));
}

/// A monitor that is late and untold, and a client that repeats the idempotency key of its ping at noon.
async fn repeats(cronmon: &CronMon, monitor: &Value, seconds: i64) -> StatusCode {
    cronmon.set_clock(noon(seconds));
    let url = monitor["ping_url"].as_str().unwrap();
    let request = cronmon.http.post(url).header("Idempotency-Key", "once");
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn neither_a_repeat_nor_a_ping_over_the_limit_takes_anything_back() {
    let cronmon = CronMon::start_with(Some(1)).await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let fields = json!({ "name": "a", "schedule": { "every": 60 }, "grace_duration": 30 });
    let monitor = cronmon.create(fields).await;
    assert_eq!(repeats(&cronmon, &monitor, 0).await, 200);
    assert_eq!(repeats(&cronmon, &monitor, 59).await, 200);
    cronmon.set_clock(noon(120));
    cronmon.tick().await;
    // Received before the deadline, applied after it was judged; the second is one too many in its minute.
    assert_eq!(repeats(&cronmon, &monitor, 58).await, 200);
    let other = cronmon.http.post(monitor["ping_url"].as_str().unwrap());
    assert_eq!(other.send().await.unwrap().status(), 429);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 1);
    cronmon.set_clock(noon(130));
    cronmon.deliver().await;
    assert_eq!(cronmon.read(&monitor).await["status"], "late");
    assert_eq!(receiver.types_about("a"), ["late"]);
}

#[tokio::test]
async fn an_idempotency_key_counts_again_once_its_signal_was_deleted() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    assert_eq!(repeats(&cronmon, &monitor, 0).await, 200);
    cronmon.pool.get().await.unwrap().batch_execute("delete from signal").await.unwrap();
    assert_eq!(repeats(&cronmon, &monitor, 10).await, 200);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 1);
    assert_eq!(count(&cronmon.pool, "select count(*) from job").await, 2);
}

#[tokio::test]
async fn an_edit_judges_no_further_than_late_check_while_pings_wait() {
    for (waiting, alerts) in [(1, 0), (0, 1)] {
        let cronmon = CronMon::start().await;
        let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
        cronmon.ping(&monitor, "").await;
        cronmon.set_clock(noon(300));
        database::spool::watch(&cronmon.pool, noon(300), waiting, false).await.unwrap();
        let judged = "update late_check_watch set judges_until = $1";
        cronmon.pool.get().await.unwrap().execute(judged, &[&noon(100)]).await.unwrap();
        let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
        let body = json!({ "name": "a", "expected_duration": null, "grace_duration": 60 });
        assert_eq!(cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
        assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, alerts);
    }
}

#[tokio::test]
async fn a_repeat_of_what_was_applied_already_changes_nothing() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    let key = "Idempotency-Key";
    for _ in 0..2 {
        let url = monitor["ping_url"].as_str().unwrap();
        let response = cronmon.http.request(Method::POST, url).header(key, "once").send().await.unwrap();
        assert_eq!(response.status(), 200);
        cronmon.set_clock(noon(5));
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 1);
    assert_eq!(count(&cronmon.pool, "select count(*) from job").await, 1);
}
