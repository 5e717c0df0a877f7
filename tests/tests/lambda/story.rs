//! The main story, in real time: from a ping to its alerts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cronmon_tests::Receiver;
use cronmon_tests::contents::count;
use cronmon_tests::lambda::{Stack, can_run};
use cronmon_tests::person::{Person, about};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn from_a_ping_to_its_alerts() {
    if !can_run() {
        return;
    }
    let stack = Arc::new(Stack::start().await);
    let receiver = Receiver::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let at = &stack.url;
    person.listens_at(at, &receiver.url).await;
    let every_5 = |name: &str| json!({ "name": name, "schedule": { "every": 5 }, "grace_duration": 2 });
    let silent = person.creates(at, every_5("silent")).await;
    let hanging = person.creates(at, every_5("hanging")).await;
    let failing = person.creates(at, every_5("failing")).await;
    let healthy = person.creates(at, every_5("healthy")).await;
    let clock = stack.play();

    let pinged = person.pings(&format!("{at}{silent}")).await;
    person.pings(&format!("{at}{hanging}/start")).await;
    let failed = Instant::now();
    person.pings(&format!("{at}{failing}/1")).await;
    person.pings(&format!("{at}{healthy}")).await;
    receiver.wait_for("failing", 1, Duration::from_secs(5)).await;
    assert!(failed.elapsed() < Duration::from_secs(5));
    for _ in 0..3 {
        person.pings(&format!("{at}{failing}")).await;
        person.pings(&format!("{at}{healthy}")).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
    for name in ["silent", "hanging"] {
        receiver.wait_for(name, 1, Duration::from_secs(6)).await;
        let late = about(&receiver.heard(), name)[0].at - pinged;
        assert!(late > Duration::from_secs(7), "{name} was late after {late:?}");
    }
    for ping in [&silent, &hanging, &failing, &healthy] {
        person.pings(&format!("{at}{ping}")).await;
    }
    receiver.wait_for("silent", 2, Duration::from_secs(5)).await;
    receiver.wait_for("hanging", 2, Duration::from_secs(5)).await;
    // Time for what must not come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    clock.abort();

    assert_eq!(receiver.types_about("silent"), ["late", "recovered"]);
    assert_eq!(receiver.types_about("hanging"), ["late", "recovered"]);
    assert_eq!(receiver.types_about("failing"), ["failed", "recovered"]);
    assert_eq!(receiver.types_about("healthy"), Vec::<String>::new());
    let heard = receiver.heard();
    let causes = ["silent", "hanging", "failing"].map(|name| about(&heard, name)[0].text("cause").to_owned());
    assert_eq!(causes, ["missed", "overran", "failed"]);
    assert_eq!(count(&stack.pool, "select count(*) from delivery where attempts <> 1").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_snooze_held_is_handed_over_by_whoever_ends_it() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let receiver = Receiver::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    person.listens_at(&stack.url, &receiver.url).await;
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    let id: uuid::Uuid = stack
        .pool
        .get()
        .await
        .unwrap()
        .query_one("select monitor_id from monitor", &[])
        .await
        .unwrap()
        .get(0);
    let snooze = format!("{}/api/v1/monitors/{id}/snooze", stack.url);
    person.post(&snooze, &json!({ "seconds": 3600 })).await;
    person.pings(&format!("{}{ping}/fail", stack.url)).await;
    assert_eq!(stack.queue.count().await, 0);
    person.post(&snooze, &json!({ "seconds": 0 })).await;
    assert_eq!(stack.queue.count().await, 1);
    stack.deliver(1).await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
}

/// The gateway knows when a ping came; the function may have been cold.
#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_received_when_the_gateway_has_it() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    let now = stack.pool.get().await.unwrap().query_one("select now()", &[]).await.unwrap();
    let now: chrono::DateTime<chrono::Utc> = now.get(0);
    for (ago, kept) in [(2_000, true), (3_600_000, false)] {
        let received = now.timestamp_millis() - ago;
        let event = json!({
            "rawPath": ping, "requestContext": { "http": { "method": "GET" }, "timeEpoch": received },
        });
        assert_eq!(stack.functions.ping.invoke(&event).await["statusCode"], 200);
        let at_that_time = format!(
            "select count(*) from signal where received_at = timestamptz 'epoch' + interval '{received} milliseconds'"
        );
        assert_eq!(count(&stack.pool, &at_that_time).await == 1, kept);
    }
}
