//! How late-check is woken between two minutes, and how long the way from a deadline is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cronmon_tests::chaos::now;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::databases::new_database;
use cronmon_tests::lambda::{Function, Settings, Stack, can_run, queue_event, sample};
use cronmon_tests::person::Person;
use cronmon_tests::proxy::{Proxy, port_of};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const MONITORS: i32 = 40;

/// Between two looks of a trigger; AWS' own wait at the queue.
const POLL: Duration = Duration::from_millis(100);

async fn execute(stack: &Stack, statement: &str) {
    stack.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

fn schedule() -> Value {
    serde_json::from_str(&sample("late-check-schedule")).unwrap()
}

/// EventBridge once a minute, each event so many times, and the triggers of the wake queue and of the delivery queue.
/// Remembers when each delivery was there to be taken.
fn play(
    stack: &Arc<Stack>,
    times: usize,
    handed_over: &Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let event_bridge = {
        let stack = stack.clone();
        tokio::spawn(async move {
            let begin = Instant::now();
            for minute in 0.. {
                tokio::time::sleep_until(begin + Duration::from_secs(60 * minute)).await;
                for _ in 0..times {
                    stack.functions.late_check.invoke(&schedule()).await;
                }
            }
        })
    };
    let wakes = {
        let stack = stack.clone();
        tokio::spawn(async move {
            loop {
                let messages = stack.wakes.take().await;
                for _ in 0..times * usize::from(!messages.is_empty()) {
                    stack.functions.late_check.invoke(&queue_event(&messages)).await;
                }
                for message in &messages {
                    stack.wakes.delete(message).await;
                }
                sleep(POLL).await;
            }
        })
    };
    let deliveries = {
        let (stack, handed_over) = (stack.clone(), handed_over.clone());
        tokio::spawn(async move {
            loop {
                let messages = stack.queue.take().await;
                let taken_at = now();
                for message in &messages {
                    let hint: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
                    for id in hint["delivery_ids"].as_array().unwrap() {
                        let id = id.as_str().unwrap().parse().unwrap();
                        handed_over.lock().unwrap().entry(id).or_insert(taken_at);
                    }
                    stack.queue.delete(message).await;
                }
                sleep(POLL).await;
            }
        })
    };
    vec![event_bridge, wakes, deliveries]
}

/// Deadlines spread over a minute, from some seconds on; spans far longer than that, so that nothing but the
/// deadlines themselves tells when to wake.
#[tokio::test(flavor = "multi_thread")]
async fn of_20_that_are_late_19_are_handed_over_within_three_seconds() {
    if !can_run() {
        return;
    }
    let stack = Arc::new(Stack::with_canary(new_database().await, &Settings::new()).await);
    let person = Person::new(stack.issuer.token("acme"));
    person.listens_at(&stack.url, "http://127.0.0.1:9/").await;
    for i in 0..MONITORS {
        let body = json!({ "name": format!("job {i}"), "schedule": { "every": 3600 }, "grace_duration": 60 });
        person.creates(&stack.url, body).await;
    }
    execute(
        &stack,
        "update monitor set armed = true, due_at = m.due_at, next_slot = m.due_at - interval '60 seconds'
         from (select monitor_id, now() + make_interval(secs => 5 + 60 * random()) as due_at
               from monitor where tenant = 'acme') m
         where m.monitor_id = monitor.monitor_id",
    )
    .await;
    let handed_over = Arc::default();
    let player = play(&stack, 1, &handed_over);
    let end = Instant::now() + Duration::from_secs(90);
    while handed_over.lock().unwrap().len() < MONITORS as usize {
        assert!(Instant::now() < end, "{} were handed over", handed_over.lock().unwrap().len());
        sleep(Duration::from_millis(200)).await;
    }
    player.iter().for_each(tokio::task::JoinHandle::abort);
    let rows = stack.pool.get().await.unwrap();
    let rows =
        rows.query("select delivery_id, at from delivery join alert using (alert_id)", &[]).await.unwrap();
    let handed_over = handed_over.lock().unwrap();
    let mut seconds: Vec<f64> = rows
        .iter()
        .map(|row| {
            let (id, deadline): (Uuid, DateTime<Utc>) = (row.get(0), row.get(1));
            (handed_over[&id] - deadline).as_seconds_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    assert_eq!(seconds.len(), MONITORS as usize);
    let at = |part: f64| seconds[((seconds.len() as f64 * part).ceil() as usize).max(1) - 1];
    println!(
        "from deadline to hand-over on Lambda, seconds: least {:.2}, p50 {:.2}, p95 {:.2}, most {:.2}",
        seconds[0],
        at(0.5),
        at(0.95),
        at(1.0)
    );
    assert!(seconds[0] > 0.0, "handed over before it was late");
    assert!(at(0.95) <= 3.0, "p95 is {:.2} s", at(0.95));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_exists_once_though_each_event_comes_five_times() {
    if !can_run() {
        return;
    }
    let stack = Arc::new(Stack::start().await);
    let person = Person::new(stack.issuer.token("acme"));
    person.listens_at(&stack.url, "http://127.0.0.1:9/").await;
    for i in 0..10 {
        // Shorter than the minute between two events of the schedule: each second has a wake.
        let body =
            json!({ "name": format!("job {i}"), "schedule": { "every": 2 + i % 4 }, "grace_duration": 1 });
        let ping = person.creates(&stack.url, body).await;
        person.pings(&format!("{}{ping}", stack.url)).await;
    }
    let handed_over = Arc::default();
    let player = play(&stack, 5, &handed_over);
    let end = Instant::now() + Duration::from_secs(40);
    while count(&stack.pool, "select count(*) from alert").await < 10 {
        assert!(Instant::now() < end, "{}", stack.functions.late_check.log());
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(2)).await;
    player.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 10);
    assert_eq!(count(&stack.pool, "select count(*) from delivery").await, 10);
    assert_eq!(handed_over.lock().unwrap().len(), 10);
    assert!(count(&stack.pool, "select cardinality(wakes)::bigint from late_check_watch").await > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_for_nothing_asks_one_question_and_one_for_something_finds_it() {
    if !can_run() {
        return;
    }
    let database_url = new_database().await;
    let proxy = Proxy::before(port_of(&database_url)).await;
    let settings = Settings::from([("DATABASE_URL".to_owned(), proxy.in_front_of(&database_url))]);
    let stack = Stack::on(database_url, &settings, 1).await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": { "every": 3600 } })).await;
    person.pings(&format!("{}{ping}", stack.url)).await;
    stack.tick().await;
    let late_check: &Function = &stack.functions.late_check;
    let wake: Value = serde_json::from_str(&sample("late-check-wake")).unwrap();
    late_check.invoke(&wake).await;

    let (before, said) = (contents(&stack.pool).await, proxy.said());
    // Old, twice, and nothing that anybody sent.
    for body in [wake["Records"][0]["body"].as_str().unwrap(), "", "{\"wake_at\": 7}", "not json"] {
        let event =
            json!({ "Records": [{ "messageId": "1", "body": body }, { "messageId": "2", "body": body }] });
        assert_eq!(late_check.invoke(&event).await, json!({ "batchItemFailures": [] }), "{body}");
    }
    // Whether the connection is alive, and whether anything is due.
    assert_eq!(proxy.said() - said, 4 * 2);
    assert_eq!(contents(&stack.pool).await, before);

    execute(
        &stack,
        "update monitor set next_slot = now() - interval '1 day', due_at = now() - interval '1 hour'",
    )
    .await;
    for _ in 0..5 {
        late_check.invoke(&wake).await;
    }
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 1);
    // While the database is away a wake need not come again.
    proxy.refuse().await;
    assert_eq!(late_check.invoke(&wake).await, json!({ "batchItemFailures": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_holds_is_looked_at_again_a_second_later() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": { "every": 3600 } })).await;
    person.pings(&format!("{}{ping}", stack.url)).await;
    execute(
        &stack,
        "update monitor set next_slot = now() - interval '1 day', due_at = now() - interval '1 hour'",
    )
    .await;
    let mut holder = stack.pool.get().await.unwrap();
    let transaction = holder.transaction().await.unwrap();
    transaction.execute("select from monitor for update", &[]).await.unwrap();
    // Two ticks at once do not begin two series of wakes.
    stack.tick().await;
    stack.tick().await;
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 0);
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(stack.wake().await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 0);
    transaction.commit().await.unwrap();
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(stack.wake().await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 1);
    // Nothing is due any more: no further wake.
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(stack.wake().await, 0);
}

/// What late-check asks once a minute costs one probe of an index when nothing is due.
#[tokio::test(flavor = "multi_thread")]
async fn looking_for_wakes_costs_a_probe_when_nothing_is_due() {
    let pool = cronmon_tests::databases::pool(&new_database().await, 1);
    let client = pool.get().await.unwrap();
    client
        .batch_execute(
            "insert into monitor (monitor_id, tenant, name, ping_id, created_at, schedule_kind, every_seconds,
                                  grace_duration, alert_on, due_at)
             select gen_random_uuid(), 'acme', 'job ' || i, gen_random_uuid(), now(), 'every', 3600, 60, 'first',
                    now() + interval '1 hour' + make_interval(secs => i)
             from generate_series(1, 20000) i;
             analyze monitor;",
        )
        .await
        .unwrap();
    let rows = client
        .query(
            "explain (analyze, buffers, costs off, timing off, summary off)
             select min(due_at) from monitor where due_at >= now() and due_at < now() + interval '120 seconds'",
            &[],
        )
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    println!("{plan}");
    assert!(plan.contains("monitor_due") && !plan.contains("Seq Scan"), "{plan}");
    let whole =
        "explain (analyze, buffers, costs off, timing off, summary off) select * from wanted_wakes(null)";
    // The first time functions and plans are read, too.
    client.query(whole, &[]).await.unwrap();
    let rows = client.query(whole, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    println!("{plan}");
    let pages = plan.split("shared hit=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(pages.parse::<u32>().unwrap() < 20, "{plan}");
}
