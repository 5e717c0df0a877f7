//! Many at once: nobody waits for ever, nothing is lost, each fact exists once.

use std::sync::Arc;
use std::time::Duration;

use chrono::Duration as Span;
use cronmon_tests::{CronMon, Receiver};
use database::Pool;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

async fn count(pool: &Pool, statement: &str) -> i64 {
    pool.get().await.unwrap().query_one(statement, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_finishes_of_one_job_at_once_have_one_winner() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon
        .create(json!({ "name": "job", "schedule": null, "expected_duration": 60, "grace_duration": 60 }))
        .await;
    let rid = "?rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    cronmon.ping(&monitor, &format!("/start{rid}")).await;
    cronmon.set_clock(cronmon.now() + Span::seconds(5));
    let finishes = (0..16).map(|i| {
        let suffix = if i % 2 == 0 { String::new() } else { format!("/{i}") };
        let (cronmon, monitor) = (&cronmon, &monitor);
        async move { cronmon.ping(monitor, &format!("{suffix}{rid}")).await }
    });
    timeout(Duration::from_secs(20), join_all(finishes)).await.unwrap();

    let shown = cronmon.read(&monitor).await;
    let jobs = shown["jobs"].as_array().unwrap();
    // One ended the job that was open; each other is on record as a run of its own.
    assert_eq!(jobs.iter().filter(|job| job["duration"] == 5).count(), 1);
    assert_eq!(jobs.iter().filter(|job| job["duration"].is_null()).count(), 15);
    assert_eq!(shown["running"], false);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_fifty_monitors_and_ticks_between_lose_nothing() {
    const CLIENTS: usize = 200;
    const MONITORS: usize = 50;
    const ROUNDS: usize = 6;
    let cronmon = Arc::new(CronMon::start().await);
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let creations = (0..MONITORS).map(|i| {
        let schedule = match i % 3 {
            0 => json!({ "every": 1 + i }),
            1 => json!({ "cron": "* * * * *" }),
            _ => json!(null),
        };
        cronmon.create(json!({
            "name": format!("monitor {i}"), "schedule": schedule, "expected_duration": 1, "grace_duration": 1,
            "alert_on": "every",
        }))
    });
    let monitors = Arc::new(join_all(creations).await);

    let clients = (0..CLIENTS).map(|client| {
        let (cronmon, monitors) = (cronmon.clone(), monitors.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let monitor = &monitors[(client * 7 + round * 13) % MONITORS];
                let suffix = ["/start", "", "/fail", "/log", "/0", "/1"][(client + round) % 6];
                cronmon.ping(monitor, suffix).await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    // Time goes on meanwhile, two ticks look at once, and what they find is delivered.
    let ticks = tokio::spawn({
        let cronmon = cronmon.clone();
        async move {
            for _ in 0..40 {
                cronmon.set_clock(cronmon.now() + Span::milliseconds(700));
                tokio::join!(cronmon.tick(), cronmon.tick());
                cronmon.deliver().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    timeout(Duration::from_secs(60), async {
        for client in clients {
            client.await.unwrap();
        }
        ticks.await.unwrap();
    })
    .await
    .unwrap();
    cronmon.deliver().await;

    let pool = &cronmon.pool;
    let all = i64::try_from(CLIENTS * ROUNDS).unwrap();
    assert_eq!(count(pool, "select count(*) from signal").await, all);
    // What the rows of the monitors say of their jobs is what the jobs say.
    assert_eq!(
        count(
            pool,
            "select count(*) from monitor m where open_jobs <>
                 (select count(*) from job j where j.monitor_id = m.monitor_id and j.end_time is null)"
        )
        .await,
        0
    );
    let started_or_alone = "select count(*) from signal s where kind <> 'log' and job_id is null";
    assert_eq!(count(pool, started_or_alone).await, 0);
    // Every alert was heard, once.
    let alerts = count(pool, "select count(*) from alert").await;
    assert!(alerts > 100, "only {alerts} alerts: the test tests nothing");
    let mut heard: Vec<String> = receiver.heard().iter().map(|h| h.text("id").to_owned()).collect();
    assert_eq!(i64::try_from(heard.len()).unwrap(), alerts);
    heard.sort();
    heard.dedup();
    assert_eq!(i64::try_from(heard.len()).unwrap(), alerts);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_beside_pings_and_ticks_end_in_time() {
    let cronmon = Arc::new(CronMon::start().await);
    let receiver = Receiver::start().await;
    let config = cronmon.hear_everything_at(&receiver.url).await;
    let monitor = cronmon.create(json!({ "name": "edited", "schedule": { "every": 1 } })).await;
    let id = monitor["monitor_id"].as_str().unwrap().to_owned();
    let pings = join_all((0..30).map(|i| {
        let (cronmon, monitor) = (cronmon.clone(), monitor.clone());
        async move { cronmon.ping(&monitor, ["", "/start", "/fail"][i % 3]).await }
    }));
    let edits = join_all((0..20).map(|i| {
        let (cronmon, path) = (cronmon.clone(), format!("/monitors/{id}"));
        async move {
            let body = json!({
                "name": "edited", "expected_duration": null, "grace_duration": i, "schedule": { "every": 1 + i },
            });
            let answer = cronmon.call(Method::PATCH, &path, Some(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }));
    let attachments = join_all((0..20).map(|i| {
        let (cronmon, config) = (cronmon.clone(), config["alert_config_id"].clone());
        let path = format!("/monitors/{id}/alert-configs");
        async move {
            let one = format!("{path}/{}", config.as_str().unwrap());
            let body = json!({ "alert_config_ids": [config] });
            // It is attached by one and detached by another; only how it ends is certain.
            let answer = match i % 2 {
                0 => cronmon.call(Method::POST, &path, Some(&body)).await,
                _ => cronmon.call(Method::DELETE, &one, None).await,
            };
            assert!(answer.status == 204 || answer.status == 500, "{}", answer.body);
        }
    }));
    let ticks = async {
        for _ in 0..20 {
            cronmon.set_clock(cronmon.now() + Span::milliseconds(900));
            cronmon.tick().await;
            cronmon.deliver().await;
        }
    };
    let all = async { tokio::join!(pings, edits, attachments, ticks) };
    timeout(Duration::from_secs(30), all).await.unwrap();
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 30);

    let answer = cronmon.call(Method::DELETE, &format!("/monitors/{id}"), None).await;
    assert_eq!(answer.status, 204);
    for table in ["signal", "job", "alert", "delivery", "slots_to_come", "monitor_alert_config"] {
        assert_eq!(count(&cronmon.pool, &format!("select count(*) from {table}")).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_that_never_end_are_the_most_and_fall_due_in_one_tick() {
    let cronmon = CronMon::start().await;
    let body = json!({ "name": "many", "schedule": null, "expected_duration": 60, "grace_duration": 0 });
    let monitor = cronmon.create(body).await;
    for some in 0..21 {
        let starts = (0..50).map(|i| {
            let (cronmon, monitor, rid) = (&cronmon, &monitor, uuid::Uuid::from_u128(some * 50 + i));
            async move { cronmon.ping(monitor, &format!("/start?rid={rid}")).await }
        });
        join_all(starts).await;
    }
    let open = "select count(*) from job where end_time is null";
    assert_eq!(count(&cronmon.pool, open).await, 1_000);
    assert_eq!(count(&cronmon.pool, "select count(*) from job where end_time is not null").await, 50);
    cronmon.set_clock(cronmon.now() + Span::seconds(61));
    timeout(Duration::from_secs(15), cronmon.tick()).await.unwrap();
    assert_eq!(count(&cronmon.pool, "select count(*) from job where overran_at is not null").await, 1_000);
    assert_eq!(cronmon.read(&monitor).await["status"], "late");
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor where due_at is not null").await, 0);
}

/// The clock was hours ahead when one ping came: until it is then again, later ones count as received at that time,
/// and their slot is found though those that stand ready, and those after their receipt, do not reach it.
#[tokio::test]
async fn a_ping_long_before_the_last_one_expects_the_slot_after_that() {
    let cronmon = CronMon::start().await;
    let right = cronmon.now();
    let monitor = cronmon.create(json!({ "name": "m", "schedule": { "cron": "* * * * *" } })).await;
    cronmon.ping(&monitor, "").await;
    let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    cronmon.call(Method::POST, &format!("{path}/pause"), Some(&json!({}))).await;
    cronmon.set_clock(right + Span::hours(3));
    cronmon.ping(&monitor, "").await;
    cronmon.set_clock(right + Span::seconds(30));
    let edit =
        json!({ "name": "m", "expected_duration": null, "grace_duration": 60, "resume_on_ping": true });
    assert_eq!(cronmon.call(Method::PATCH, &path, Some(&edit)).await.status, 200);
    cronmon.ping(&monitor, "").await;
    let is = cronmon.read(&monitor).await;
    assert_eq!((&is["status"], &is["next_expected_at"]), (&json!("up"), &json!("2026-11-22T15:01:00Z")));
}
