//! The built functions and a durable Postgres, both killed while clients ping. Alone in its binary: the emulators, moto
//! and Postgres leave no core for other tests beside them.

use std::sync::Arc;
use std::time::Duration;

use cronmon_tests::Receiver;
use cronmon_tests::chaos::{
    CLIENTS, Clients, Outages, Pace, is_soak, monitor, no_alert_was_made_up, now, silence_is_heard, summary,
    the_history_is_true,
};
use cronmon_tests::lambda::{Settings, Stack, can_run, queue_event, sample};
use cronmon_tests::person::Person;
use cronmon_tests::postgres::Postgres;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

/// Slower than on one machine: the emulators, and moto with its queue, have no more than two cores here.
const PACE: Pace = Pace { pause: 800, every: 10, grace: 8 };

/// What EventBridge and the trigger of the delivery queue do, and go on doing when it fails.
async fn play(stack: Arc<Stack>) {
    let schedule: Value = serde_json::from_str(&sample("late-check-schedule")).unwrap();
    loop {
        stack.functions.late_check.try_invoke(&schedule).await;
        let messages = stack.queue.take().await;
        if !messages.is_empty() {
            let answer = stack.functions.notify.try_invoke(&queue_event(&messages)).await;
            if answer == json!({ "batchItemFailures": [] }) {
                for message in &messages {
                    stack.queue.delete(message).await;
                }
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn wait_for_the_spool(stack: &Stack, within: Duration) {
    let end = Instant::now() + within;
    loop {
        let waiting = stack.spool.count().await;
        if waiting == 0 {
            return;
        }
        assert!(Instant::now() < end, "{waiting} wait, {}", stack.functions.late_check.log());
        sleep(Duration::from_millis(200)).await;
    }
}

/// Kills Postgres when late-check has applied some of what waits, and not all.
async fn kill_postgres_in_the_replay(stack: &Stack, postgres: &Postgres) {
    let before = stack.spool.count().await;
    let end = Instant::now() + Duration::from_secs(30);
    while stack.spool.count().await > before - 20 {
        assert!(
            Instant::now() < end,
            "nothing of the spool is applied: {}",
            stack.functions.late_check.log()
        );
        sleep(Duration::from_millis(20)).await;
    }
    postgres.kill_9();
    assert!(stack.spool.count().await > 0, "the replay was over");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ping_is_lost_and_no_alert_made_up_while_everything_is_killed() {
    if !is_soak() || !can_run() || !Postgres::can_freeze() {
        return;
    }
    let receiver = Receiver::start().await;
    let postgres = Postgres::start("chaos-lambda-postgres").await;
    // Lambda has an environment for each request at once; here five clients share one.
    let stack = Arc::new(Stack::on(postgres.url.clone(), &Settings::new(), 10).await);
    let person = Person::new(stack.issuer.token("acme"));
    person.listens_at(&stack.url, &receiver.url).await;
    let mut urls = Vec::new();
    for client in 0..CLIENTS {
        urls.push(format!("{}{}", stack.url, person.creates(&stack.url, monitor(client, PACE)).await));
    }
    let player = tokio::spawn(play(stack.clone()));

    let begin = Instant::now();
    let time = |seconds| sleep_until(begin + Duration::from_secs(seconds));
    let mut outages = Outages::default();
    let clients = Clients::start(urls, PACE);

    time(5).await;
    let away = now();
    postgres.kill_9();
    time(8).await;
    outages.since(away);
    postgres.start_again().await;

    time(14).await;
    stack.functions.ping.signal("KILL").await;

    time(19).await;
    let away = now();
    postgres.freeze();
    time(30).await;
    stack.functions.more_pings[0].signal("KILL").await;
    time(39).await;
    outages.since(away);
    postgres.thaw();

    time(50).await;
    let away = now();
    postgres.kill_9();
    time(53).await;
    assert!(stack.spool.count().await > 0);
    stack.functions.ping.signal("KILL").await;
    time(55).await;
    outages.since(away);
    postgres.start_again().await;
    kill_postgres_in_the_replay(&stack, &postgres).await;
    let away = now();
    sleep(Duration::from_secs(3)).await;
    outages.since(away);
    postgres.start_again().await;

    time(76).await;
    // The clients go on until nothing waits, or silence would be true. What late-check had taken when Postgres
    // was killed comes again after 45 s.
    wait_for_the_spool(&stack, Duration::from_secs(120)).await;
    let attempts = clients.finish().await;
    println!("Lambda: {} in {:?}", summary(&attempts, &outages), begin.elapsed());
    no_alert_was_made_up(&stack.pool, &receiver, &attempts).await;
    wait_for_the_spool(&stack, Duration::from_secs(10)).await;
    the_history_is_true(&stack.pool, &attempts).await;
    assert!(attempts.iter().filter(|attempt| attempt.accepted).count() >= 5_000);
    let within = outages.accepted_within(&attempts);
    assert!(within > 300, "only {within} pings were accepted while Postgres was away");
    silence_is_heard(&stack.pool, &receiver, Duration::from_secs(30)).await;
    player.abort();
}
