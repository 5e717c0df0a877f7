//! How long it takes from a deadline until somebody is told, on one machine and in real time.

use std::time::{Duration, Instant};

use cronmon_tests::Receiver;
use cronmon_tests::contents::count;
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::person::Person;
use cronmon_tests::process::Process;
use cronmon_tests::tokens::Issuer;
use serde_json::json;

const MONITORS: i64 = 60;

/// Deadlines at any moment of some ten seconds, of slots and of runs.
#[tokio::test(flavor = "multi_thread")]
async fn of_20_that_are_late_19_are_told_within_two_seconds() {
    let issuer = Issuer::new();
    let receiver = Receiver::start().await;
    let database_url = new_database().await;
    let cronmon = Process::start(&database_url, &issuer.certs_url(), None).await;
    let at = &cronmon.url;
    let person = Person::new(issuer.token("acme"));
    person.listens_at(at, &receiver.url).await;
    for i in 0..MONITORS {
        let lasts = 2 + i % 7;
        let body = match i % 2 {
            0 => json!({ "name": format!("slot {i}"), "schedule": { "every": lasts }, "grace_duration": 1 }),
            _ => {
                json!({ "name": format!("run {i}"), "schedule": null, "expected_duration": lasts, "grace_duration": 1 })
            }
        };
        let ping = person.creates(at, body).await;
        person.pings(&format!("{at}{ping}{}", if i % 2 == 0 { "" } else { "/start" })).await;
        tokio::time::sleep(Duration::from_millis(37)).await;
    }
    let end = Instant::now() + Duration::from_secs(30);
    let pool = pool(&database_url, 1);
    let told = "select count(distinct alert.monitor_id) from alert join delivery using (alert_id) where delivered_at is not null";
    while count(&pool, told).await < MONITORS {
        assert!(Instant::now() < end, "{} of {MONITORS} were told", count(&pool, told).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let statement = "
        select percentile_disc(array[0.5, 0.95, 1.0]) within group (
            order by extract(epoch from first_attempt_at - at)::double precision)
        from alert join delivery using (alert_id)";
    let row = pool.get().await.unwrap().query_one(statement, &[]).await.unwrap();
    let seconds: Vec<f64> = row.get(0);
    println!(
        "from deadline to hand-over, seconds: p50 {:.2}, p95 {:.2}, most {:.2}",
        seconds[0], seconds[1], seconds[2]
    );
    assert!(seconds[0] > 0.0, "told before it was late");
    assert!(seconds[1] <= 2.0, "p95 is {:.2} s", seconds[1]);
    cronmon.stop().await;
}
