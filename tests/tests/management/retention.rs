//! How much history is kept: what the owner decides, and what late-check deletes by it.

use std::time::{Duration, Instant};

use chrono::Duration as Span;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::{CronMon, Receiver};
use late_check::old_history::{self, Deleted};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::path;

async fn decide(cronmon: &CronMon, tenant: &str, body: Value) -> Value {
    let answer = cronmon.call_as(tenant, Method::PATCH, "/retention", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn monitor_of(cronmon: &CronMon, tenant: &str) -> Value {
    let body = json!({ "name": "a", "schedule": null });
    cronmon.call_as(tenant, Method::POST, "/monitors", Some(&body)).await.body["data"].clone()
}

/// Pings so many times, a second apart.
async fn ping(cronmon: &CronMon, monitor: &Value, rest: &str, times: usize) {
    for _ in 0..times {
        cronmon.set_clock(cronmon.now() + Span::seconds(1));
        cronmon.ping(monitor, rest).await;
    }
}

/// One whole walk at the clock's time.
async fn delete_old(cronmon: &CronMon) -> Deleted {
    let end = Instant::now() + Duration::from_secs(20);
    let done = old_history::delete(&cronmon.pool, Some(cronmon.now()), end).await.unwrap();
    assert!(done.at_end, "{done:?}");
    done
}

async fn rows(cronmon: &CronMon, table: &str, monitor: &Value) -> i64 {
    let id = monitor["monitor_id"].as_str().unwrap();
    count(&cronmon.pool, &format!("select count(*) from {table} where monitor_id = '{id}'")).await
}

/// So many logs, a second apart, the newest at the clock's time.
async fn fill(cronmon: &CronMon, monitor: &Value, rows: i32) {
    let id: Uuid = monitor["monitor_id"].as_str().unwrap().parse().unwrap();
    let statement = "insert into signal (monitor_id, signal_id, received_at, kind)
         select $1, gen_random_uuid(), $2::timestamptz - make_interval(secs => n), 'log' from generate_series(0, $3 - 1) n";
    let client = cronmon.pool.get().await.unwrap();
    client.execute(statement, &[&id, &cronmon.now(), &rows]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_decision_it_is_the_default_and_null_is_that_too() {
    let cronmon = CronMon::start().await;
    let defaults = json!({ "most_pings": 5000, "history_duration": 7_776_000 });
    let read = async |tenant: &str| cronmon.call_as(tenant, Method::GET, "/retention", None).await.body;
    assert_eq!(read("acme").await, json!({ "data": defaults }));
    for (body, decided) in [
        (json!({ "most_pings": 10 }), json!({ "most_pings": 10, "history_duration": 7_776_000 })),
        (json!({ "history_duration": 86_400 }), json!({ "most_pings": 10, "history_duration": 86_400 })),
        (
            json!({ "most_pings": 1_000_000, "history_duration": 31_622_400 }),
            json!({ "most_pings": 1_000_000, "history_duration": 31_622_400 }),
        ),
        (json!({ "most_pings": 1 }), json!({ "most_pings": 1, "history_duration": 31_622_400 })),
        (json!({ "history_duration": null }), json!({ "most_pings": 1, "history_duration": 7_776_000 })),
        (json!({ "most_pings": null }), defaults.clone()),
    ] {
        assert_eq!(decide(&cronmon, "acme", body.clone()).await, decided, "{body}");
        assert_eq!(read("acme").await, json!({ "data": decided }), "{body}");
        assert_eq!(read("globex").await, json!({ "data": defaults }), "{body}");
    }
    let warned = decide(&cronmon, "acme", json!({ "most_pings": 5, "history_durations": 1 })).await;
    assert_eq!(
        warned["warnings"],
        json!(["unknown field 'history_durations' was ignored: did you mean 'history_duration'?"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_pings_and_runs_stay_and_the_others_go() {
    let cronmon = CronMon::start().await;
    let ours = monitor_of(&cronmon, "acme").await;
    let theirs = monitor_of(&cronmon, "globex").await;
    decide(&cronmon, "acme", json!({ "most_pings": 10 })).await;
    for monitor in [&ours, &theirs] {
        // Two, for the end that comes next would end the only one.
        for _ in 0..2 {
            ping(&cronmon, monitor, &format!("/start?rid={}", Uuid::new_v4()), 1).await;
        }
        ping(&cronmon, monitor, "", 30).await;
    }
    let shown = async || cronmon.call(Method::GET, &format!("{}/pings", path(&ours)), None).await.body;
    let before = shown().await;
    // All pings but ten; of the runs too, and the open ones stay.
    assert_eq!(delete_old(&cronmon).await, Deleted { monitors: 2, rows: 22 + 20, at_end: true });
    let after = shown().await;
    assert_eq!(after["data"].as_array().unwrap()[..], before["data"].as_array().unwrap()[..10]);
    let read = cronmon.read(&ours).await;
    let jobs = read["jobs"].as_array().unwrap();
    let open: Vec<bool> = jobs.iter().map(|job| job["in_progress"].as_bool().unwrap()).collect();
    assert_eq!(open, [vec![false; 10], vec![true; 2]].concat());
    assert_eq!(read["running"], true);
    assert_eq!((rows(&cronmon, "signal", &theirs).await, rows(&cronmon, "job", &theirs).await), (32, 32));

    let before = contents(&cronmon.pool).await;
    assert_eq!(delete_old(&cronmon).await, Deleted { monitors: 2, rows: 0, at_end: true });
    let mut after = contents(&cronmon.pool).await;
    after.insert("history_walk".to_owned(), before["history_walk"].clone());
    assert_eq!(after, before, "there is nothing more to delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_that_are_shown_are_those_that_are_kept() {
    let cronmon = CronMon::start().await;
    let monitor = monitor_of(&cronmon, "acme").await;
    fill(&cronmon, &monitor, 5_003).await;
    assert_eq!(delete_old(&cronmon).await.rows, 3);
    let oldest = cronmon.now() - Span::seconds(4_999);
    cronmon.set_clock(oldest + Span::seconds(7_776_000));
    assert_eq!(delete_old(&cronmon).await.rows, 0);
    cronmon.set_clock(oldest + Span::seconds(7_776_000) + Span::microseconds(1));
    assert_eq!(delete_old(&cronmon).await.rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_tenant_keeps_goes_but_open_runs_stay() {
    let cronmon = CronMon::start().await;
    let ours = monitor_of(&cronmon, "acme").await;
    let theirs = monitor_of(&cronmon, "globex").await;
    decide(&cronmon, "acme", json!({ "history_duration": 86_400 })).await;
    let rid = format!("?rid={}", Uuid::new_v4());
    for monitor in [&ours, &theirs] {
        ping(&cronmon, monitor, "", 3).await;
        ping(&cronmon, monitor, &format!("/start{rid}"), 1).await;
    }
    cronmon.set_clock(cronmon.now() + Span::days(1));
    ping(&cronmon, &ours, "/log", 1).await;
    delete_old(&cronmon).await;
    assert_eq!((rows(&cronmon, "signal", &ours).await, rows(&cronmon, "job", &ours).await), (1, 1));
    assert_eq!((rows(&cronmon, "signal", &theirs).await, rows(&cronmon, "job", &theirs).await), (4, 4));
    // The open one can still end, and knows how long it took.
    ping(&cronmon, &ours, &rid, 1).await;
    let pings = cronmon.call(Method::GET, &format!("{}/pings?limit=1", path(&ours)), None).await.body;
    assert!(pings["data"][0]["duration"].as_i64().unwrap() > 86_400, "{pings}");
    assert_eq!(cronmon.read(&ours).await["running"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_that_is_old_goes_in_several_statements() {
    let cronmon = CronMon::start().await;
    decide(&cronmon, "acme", json!({ "most_pings": 10 })).await;
    let mut monitors = Vec::new();
    for _ in 0..3 {
        let monitor = monitor_of(&cronmon, "acme").await;
        fill(&cronmon, &monitor, 5_010).await;
        monitors.push(monitor);
    }
    let client = cronmon.pool.get().await.unwrap();
    let mut statements = Vec::new();
    loop {
        let statement = "select monitors, deleted, at_end from prune_history($1, 200, 2000)";
        let row = client.query_one(statement, &[&cronmon.now()]).await.unwrap();
        let (monitors, deleted): (i32, i32) = (row.get(0), row.get(1));
        assert!(deleted <= 2_000, "{deleted}");
        statements.push((monitors, deleted));
        if row.get(2) {
            break;
        }
    }
    // The last finds that there is nothing more of the third.
    let all: i32 = statements.iter().map(|(_, deleted)| deleted).sum();
    assert_eq!(all, 3 * 5_000, "{statements:?}");
    assert_eq!(statements.len(), 8, "{statements:?}");
    for monitor in &monitors {
        assert_eq!(rows(&cronmon, "signal", monitor).await, 10);
        fill(&cronmon, monitor, 5_000).await;
    }
    // And in one call of late-check.
    assert_eq!(delete_old(&cronmon).await.rows, 3 * 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_row_that_somebody_holds() {
    let cronmon = CronMon::start().await;
    decide(&cronmon, "acme", json!({ "most_pings": 10 })).await;
    let (held, other) = (monitor_of(&cronmon, "acme").await, monitor_of(&cronmon, "acme").await);
    for monitor in [&held, &other] {
        ping(&cronmon, monitor, "", 30).await;
    }
    let id: Uuid = held["monitor_id"].as_str().unwrap().parse().unwrap();
    let mut client = cronmon.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let oldest = "select signal_id from signal where monitor_id = $1 order by received_at limit 1 for update";
    let signal: Uuid = transaction.query_one(oldest, &[&id]).await.unwrap().get(0);
    let began = Instant::now();
    assert_eq!(delete_old(&cronmon).await, Deleted { monitors: 2, rows: 39 + 40, at_end: true });
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((rows(&cronmon, "signal", &held).await, rows(&cronmon, "signal", &other).await), (11, 10));
    let kept = format!("select count(*) from signal where signal_id = '{signal}'");
    assert_eq!(count(&cronmon.pool, &kept).await, 1);
    transaction.rollback().await.unwrap();
    assert_eq!(delete_old(&cronmon).await.rows, 1, "once it is let go, the next walk takes it");

    // A monitor that a ping or an edit holds is walked over all the same.
    ping(&cronmon, &held, "", 1).await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute("select from monitor where monitor_id = $1 for update", &[&id]).await.unwrap();
    assert_eq!(delete_old(&cronmon).await.rows, 2);
    // Of two walks at once, one does nothing.
    transaction.execute("select from history_walk for update", &[]).await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let done = old_history::delete(&cronmon.pool, Some(cronmon.now()), end).await.unwrap();
    assert_eq!(done, Deleted::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_at_the_same_instant_is_not_deleted_for_the_number() {
    let cronmon = CronMon::start().await;
    decide(&cronmon, "acme", json!({ "most_pings": 10 })).await;
    let monitor = monitor_of(&cronmon, "acme").await;
    for _ in 0..15 {
        cronmon.ping(&monitor, "").await;
    }
    assert_eq!(delete_old(&cronmon).await.rows, 0);
    // With ten that are newer it goes.
    ping(&cronmon, &monitor, "", 10).await;
    delete_old(&cronmon).await;
    assert_eq!((rows(&cronmon, "signal", &monitor).await, rows(&cronmon, "job", &monitor).await), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_go_with_the_history_but_none_that_lasts_or_is_still_to_be_told() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let day = Span::days(1);
    decide(&cronmon, "acme", json!({ "history_duration": day.num_seconds() })).await;
    let (over, lasting) = (monitor_of(&cronmon, "acme").await, monitor_of(&cronmon, "acme").await);
    ping(&cronmon, &over, "/fail", 1).await;
    ping(&cronmon, &over, "", 1).await;
    ping(&cronmon, &lasting, "/fail", 1).await;
    let alerts = "select count(*) from alert";
    let deliveries = "select count(*) from delivery";
    let both = async || (count(&cronmon.pool, alerts).await, count(&cronmon.pool, deliveries).await);
    assert_eq!(both().await, (3, 3));
    cronmon.set_clock(cronmon.now() + day + Span::seconds(1));
    delete_old(&cronmon).await;
    assert_eq!(both().await, (3, 3), "nobody was told yet");
    cronmon.deliver().await;
    delete_old(&cronmon).await;
    assert_eq!(both().await, (1, 1), "the incident that lasts keeps its alert");
    assert_eq!(receiver.heard().len(), 3);
    ping(&cronmon, &lasting, "", 1).await;
    cronmon.deliver().await;
    delete_old(&cronmon).await;
    assert_eq!(both().await, (1, 1), "its end is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_and_their_notices_are_kept_for_400_days() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    monitor_of(&cronmon, "acme").await;
    let ended_at = cronmon.now();
    cronmon.was_blind(ended_at - Span::hours(1), ended_at).await;
    let client = cronmon.pool.get().await.unwrap();
    client.execute("call tell_of_outages($1, $1, 10)", &[&ended_at]).await.unwrap();
    let kept =
        "select (select count(*) from outage_span) + (select count(*) from alert where type = 'notice')";
    cronmon.deliver().await;
    assert_eq!(receiver.heard().len(), 1);
    cronmon.set_clock(ended_at + Span::days(400));
    delete_old(&cronmon).await;
    assert_eq!(count(&cronmon.pool, kept).await, 2);
    cronmon.set_clock(ended_at + Span::days(400) + Span::seconds(1));
    delete_old(&cronmon).await;
    assert_eq!(count(&cronmon.pool, kept).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_heard_of_an_old_incident_hears_of_its_end_though_that_was_held_back() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    decide(&cronmon, "acme", json!({ "history_duration": 86_400 })).await;
    let monitor = monitor_of(&cronmon, "acme").await;
    ping(&cronmon, &monitor, "/fail", 1).await;
    cronmon.deliver().await;
    cronmon.set_clock(cronmon.now() + Span::days(2));
    let snooze = format!("{}/snooze", path(&monitor));
    assert_eq!(cronmon.call(Method::POST, &snooze, Some(&json!({ "seconds": 60 }))).await.status, 200);
    ping(&cronmon, &monitor, "", 1).await;
    delete_old(&cronmon).await;
    cronmon.set_clock(cronmon.now() + Span::seconds(61));
    cronmon.tick().await;
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("a"), ["failed", "recovered"]);
    delete_old(&cronmon).await;
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 1);
}
