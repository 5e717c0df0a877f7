//! late-check and notify, killed between any two things that they say to Postgres, to the queue or to a
//! webhook; every event and every message twice.

use std::sync::Arc;
use std::time::Duration;

use cronmon_tests::Receiver;
use cronmon_tests::contents::count;
use cronmon_tests::lambda::{Function, Settings, Stack, can_run, queue_event, sample};
use cronmon_tests::person::{Person, about};
use cronmon_tests::proxy::{Proxy, port_of};
use serde_json::{Value, json};

const MONITORS: usize = 3;

/// A stack with monitors that are due, and a receiver that hears of them.
async fn due() -> (Stack, Receiver) {
    let stack = Stack::start().await;
    let receiver = Receiver::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    person.listens_at(&stack.url, &receiver.url).await;
    for i in 0..MONITORS {
        let monitor = json!({ "name": format!("job {i}"), "schedule": { "every": 3600 } });
        let ping = person.creates(&stack.url, monitor).await;
        person.pings(&format!("{}{ping}", stack.url)).await;
    }
    let statement =
        "update monitor set next_slot = now() - interval '1 day', due_at = now() - interval '1 hour'";
    stack.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    (stack, receiver)
}

/// A function that speaks to Postgres and the queue through proxies.
pub(crate) async fn function_behind(name: &str, stack: &Stack, postgres: &Proxy, moto: &Proxy) -> Function {
    let settings: Settings = [
        ("DATABASE_URL", postgres.in_front_of(&stack.database_url)),
        ("DELIVERY_QUEUE_URL", moto.in_front_of(&stack.queue.url)),
        ("SPOOL_QUEUE_URL", moto.in_front_of(&stack.spool.url)),
        ("WAKE_QUEUE_URL", moto.in_front_of(&stack.wakes.url)),
        ("AWS_ENDPOINT_URL", moto.in_front_of(stack.queue.endpoint())),
        ("ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Function::start(name, &settings).await
}

/// Each alert exists once and was heard, by one id however often.
async fn each_alert_exists_and_was_heard(stack: &Stack, receiver: &Receiver, what: &str) {
    // The hand-over may have died with the function: the table tells the tick, once 10 s have passed.
    let long_ago = "update delivery set next_attempt_at = next_attempt_at - interval '1 minute' where next_attempt_at is not null";
    stack.pool.get().await.unwrap().batch_execute(long_ago).await.unwrap();
    stack.tick().await;
    stack.tick().await;
    stack.deliver(2).await;
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, MONITORS as i64, "{what}");
    assert_eq!(count(&stack.pool, "select count(*) from delivery").await, MONITORS as i64, "{what}");
    let undelivered = "select count(*) from delivery where delivered_at is null";
    assert_eq!(count(&stack.pool, undelivered).await, 0, "{what}");
    let heard = receiver.heard();
    for i in 0..MONITORS {
        let messages = about(&heard, &format!("job {i}"));
        assert!(!messages.is_empty(), "{what}");
        for message in &messages {
            assert_eq!(
                (message.text("type"), &message.webhook_id),
                ("late", &messages[0].webhook_id),
                "{what}"
            );
        }
    }
}

/// Invokes the function and kills it at its `k`-th message through this proxy; false when it said less.
async fn killed_at(k: i64, function: &Arc<Function>, event: &Value, proxy: &Proxy) -> bool {
    proxy.allow(k);
    let mut invoked = tokio::spawn({
        let (function, event) = (function.clone(), event.clone());
        async move { function.try_invoke(&event).await }
    });
    tokio::select! {
        () = proxy.was_cut() => {
            function.signal("KILL").await;
            let answer = invoked.await.unwrap();
            assert_eq!(answer["errorType"], "Runtime.ExitError", "{answer}");
            proxy.allow_everything();
            true
        }
        answer = &mut invoked => {
            assert!(answer.unwrap().get("errorType").is_none());
            proxy.allow_everything();
            false
        }
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("neither cut nor done: {}", function.log()),
    }
}

/// How often it was killed, at a different point each time, until it said all that it had to say.
pub(crate) async fn at_every_point(
    name: &str,
    through: &str,
    work: impl AsyncFn(&Stack, &Receiver, &Arc<Function>, &Proxy, i64) -> bool,
) -> i64 {
    for k in 0..40 {
        let (stack, receiver) = due().await;
        let (postgres, moto) = (
            Proxy::before(port_of(&stack.database_url)).await,
            Proxy::before(port_of(stack.queue.endpoint())).await,
        );
        let function = Arc::new(function_behind(name, &stack, &postgres, &moto).await);
        let proxy = if through == "postgres" { &postgres } else { &moto };
        let was_killed = work(&stack, &receiver, &function, proxy, k).await;
        let what = format!("{name} killed at message {k} to {through}");
        each_alert_exists_and_was_heard(&stack, &receiver, &what).await;
        if !was_killed {
            return k;
        }
    }
    panic!("{name} never said all that it had to say");
}

pub(crate) fn schedule() -> Value {
    serde_json::from_str(&sample("late-check-schedule")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn late_check_killed_between_any_two_messages_to_postgres() {
    if !can_run() {
        return;
    }
    let killed = at_every_point("late-check", "postgres", async |_, _, late_check, proxy, k| {
        killed_at(k, late_check, &schedule(), proxy).await
    })
    .await;
    // The login and three statements at least.
    assert!(killed > 5, "it was killed only {killed} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_check_killed_between_any_two_messages_to_the_queue() {
    if !can_run() {
        return;
    }
    let killed = at_every_point("late-check", "the queue", async |_, _, late_check, proxy, k| {
        killed_at(k, late_check, &schedule(), proxy).await
    })
    .await;
    assert!(killed > 0, "it was never killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_killed_between_any_two_messages_to_postgres() {
    if !can_run() {
        return;
    }
    let killed = at_every_point("notify", "postgres", async |stack, _, notify, proxy, k| {
        stack.tick().await;
        stack.tick().await;
        let messages = stack.queue.take().await;
        assert_eq!(messages.len(), 1);
        let was_killed = killed_at(k, notify, &queue_event(&messages), proxy).await;
        // The queue gives the message again; the lease of what was claimed has to end first.
        let ended = "update delivery set next_attempt_at = now() where next_attempt_at is not null";
        stack.pool.get().await.unwrap().batch_execute(ended).await.unwrap();
        for _ in 0..2 {
            notify.try_invoke(&queue_event(&messages)).await;
        }
        stack.queue.delete(&messages[0]).await;
        was_killed
    })
    .await;
    assert!(killed > 5, "it was killed only {killed} times");
}

/// Only what comes again goes to the queue: the webhook answers for the moment with an error.
#[tokio::test(flavor = "multi_thread")]
async fn notify_killed_between_any_two_messages_to_the_queue() {
    if !can_run() {
        return;
    }
    let killed = at_every_point("notify", "the queue", async |stack, receiver, notify, proxy, k| {
        stack.tick().await;
        let messages = stack.queue.take().await;
        receiver.answer_with(reqwest::StatusCode::SERVICE_UNAVAILABLE);
        let was_killed = killed_at(k, notify, &queue_event(&messages), proxy).await;
        receiver.answer_with(reqwest::StatusCode::OK);
        stack.queue.delete(&messages[0]).await;
        was_killed
    })
    .await;
    assert!(killed > 0, "it was never killed");
}
