//! The functions' connection to Postgres, cut just before each answer: what they did was done, and they do not know
//! it. The clock, the queue and the client then do what they do anyway.

use std::time::Duration;

use cronmon_tests::Receiver;
use cronmon_tests::contents::count;
use cronmon_tests::lambda::{Stack, can_run, queue_event, sample};
use cronmon_tests::person::Person;
use cronmon_tests::proxy::{Cut, Proxy, port_of};
use serde_json::{Value, json};

use crate::crashes::{at_every_point, function_behind, schedule};

const PING_ID: &str = "00000000-0000-4000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn late_check_before_any_answer_of_postgres() {
    if !can_run() {
        return;
    }
    let cuts = at_every_point("late-check", "postgres", async |_, _, late_check, proxy, k| {
        proxy.cut_after(k, Cut::Answer);
        late_check.try_invoke(&schedule()).await;
        proxy.has_cut()
    })
    .await;
    assert!(cuts > 5, "it was cut only {cuts} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_before_any_answer_of_postgres() {
    if !can_run() {
        return;
    }
    let cuts = at_every_point("notify", "postgres", async |stack, _, notify, proxy, k| {
        stack.tick().await;
        let messages = stack.queue.take().await;
        proxy.cut_after(k, Cut::Answer);
        // A message is acknowledged whatever happens: the table holds what was not sent.
        for _ in 0..2 {
            assert_eq!(notify.invoke(&queue_event(&messages)).await, json!({ "batchItemFailures": [] }));
        }
        let ended = "update delivery set next_attempt_at = now() where next_attempt_at is not null";
        stack.pool.get().await.unwrap().batch_execute(ended).await.unwrap();
        stack.queue.delete(&messages[0]).await;
        proxy.has_cut()
    })
    .await;
    assert!(cuts > 3, "it was cut only {cuts} times");
}

/// With a spool a ping is answered 2xx wherever its connection is cut, and counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_ping_before_any_answer_of_postgres() {
    if !can_run() {
        return;
    }
    for k in 0..20 {
        let stack = Stack::start().await;
        let person = Person::new(stack.issuer.token("acme"));
        let receiver = Receiver::start().await;
        person.listens_at(&stack.url, &receiver.url).await;
        person.creates(&stack.url, json!({ "name": "job", "schedule": null, "alert_on": "every" })).await;
        let id = format!("update monitor set ping_id = '{PING_ID}'");
        stack.pool.get().await.unwrap().batch_execute(&id).await.unwrap();
        let postgres = Proxy::before(port_of(&stack.database_url)).await;
        let moto = Proxy::before(port_of(stack.queue.endpoint())).await;
        let ping = function_behind("ping", &stack, &postgres, &moto).await;
        postgres.cut_after(k, Cut::Answer);
        // One that fails, so that it is told.
        let event: Value = serde_json::from_str(&sample("ping-post-base64")).unwrap();
        let answer = ping.invoke(&event).await;
        assert_eq!(answer["statusCode"], 200, "{k}: {answer}");
        let was_cut = postgres.has_cut();
        tokio::time::sleep(Duration::from_millis(50)).await;
        for _ in 0..2 {
            stack.tick().await;
        }
        let long_ago = "update delivery set next_attempt_at = next_attempt_at - interval '1 minute' where next_attempt_at is not null";
        stack.pool.get().await.unwrap().batch_execute(long_ago).await.unwrap();
        stack.tick().await;
        stack.deliver(1).await;
        assert_eq!(stack.spool.count().await, 0, "{k}");
        assert_eq!(count(&stack.pool, "select count(*) from signal").await, 1, "{k}");
        assert_eq!(receiver.types_about("job"), ["failed"], "{k}");
        if !was_cut {
            assert!(k > 2, "it was cut only {k} times");
            return;
        }
    }
    panic!("ping never said all that it had to say");
}
