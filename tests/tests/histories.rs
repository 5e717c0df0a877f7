//! Random histories of signals, ticks and edits: the database and the model agree on every alert and on
//! where the monitor stands after each step.

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::story::{rules_of, told};
use cronmon_tests::webhook::Heard;
use cronmon_tests::{CronMon, Receiver};
use domain::{Monitor, Signal, SignalKind};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// More with `make test-all`.
fn histories() -> u64 {
    if std::env::var_os("CRONMON_SOAK").is_some() { 400 } else { 60 }
}

const STEPS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_the_model_agree_on_random_histories() {
    let workers = (0..4u64).map(|worker| {
        tokio::spawn(async move {
            let cronmon = CronMon::start().await;
            let receiver = Receiver::start().await;
            cronmon.hear_everything_at(&receiver.url).await;
            for seed in (worker..histories()).step_by(4) {
                history(&cronmon, &receiver, seed).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

async fn history(cronmon: &CronMon, receiver: &Receiver, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    // Around a day on which clocks change.
    let mut now: DateTime<Utc> = "2026-10-24T12:00:00Z".parse().unwrap();
    now += Duration::seconds(random.random_range(0..40_000));
    cronmon.set_clock(now);
    let mut body = any_rules(&mut random);
    body["armed"] = json!(random.random_bool(0.3));
    let shown = cronmon.create(body.clone()).await;
    let mut model = Monitor::new(rules_of(&shown), shown["armed"] == true, now);
    let created_at = now;
    let mut story = vec![format!("{now} created {body}")];
    let mut heard_before = receiver.heard().len();

    for _ in 0..STEPS {
        now += step(&mut random, &model, now);
        cronmon.set_clock(now);
        let by_model = match random.random_range(0..10) {
            0..=2 => {
                story.push(format!("{now} tick"));
                cronmon.tick().await;
                model.look(now)
            }
            3 if random.random_bool(0.5) => {
                let body = any_rules(&mut random);
                story.push(format!("{now} edit {body}"));
                let path = format!("/monitors/{}", shown["monitor_id"].as_str().unwrap());
                let answer = cronmon.call(Method::PATCH, &path, Some(&body)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                model.edit(rules_of(&answer.body["data"]), now)
            }
            4 if random.random_bool(0.5) => {
                let signal = any_signal(&mut random);
                // Nobody pings what is not there yet.
                let received_at = (now - Duration::seconds(random.random_range(0..2_000))).max(created_at);
                story.push(format!("{now} spooled {received_at} {signal:?}"));
                cronmon.replay(&shown, &signal, received_at).await;
                let mut alerts = model.apply_from_spool(&signal, received_at);
                // The tick below finds what has fallen due since.
                alerts.extend(model.look(now));
                alerts
            }
            _ => {
                let signal = any_signal(&mut random);
                story.push(format!("{now} {signal:?}"));
                cronmon.ping(&shown, &path_of(&signal)).await;
                model.apply(&signal, now)
            }
        };
        // Slots that ran out are found by the next tick; nothing else is due by now.
        cronmon.tick().await;
        cronmon.deliver().await;
        let heard = receiver.heard();
        let by_stack: Vec<String> = heard[heard_before..].iter().map(Heard::told).collect();
        heard_before = heard.len();
        let by_model: Vec<String> = by_model.iter().map(told).collect();
        assert_eq!(by_stack, by_model, "seed {seed}\n{}", story.join("\n"));

        let is = cronmon.read(&shown).await;
        let by_stack = (
            is["status"].as_str().unwrap(),
            is["running"] == true,
            instant(&is["next_expected_at"]),
            instant(&is["due_at"]),
        );
        let by_model = (model.status.name(), model.running(), model.next_slot, model.due_at());
        assert_eq!(by_stack, by_model, "seed {seed}\n{}", story.join("\n"));
    }
    // Its deadlines must not fall due in the next history.
    let path = format!("/monitors/{}", shown["monitor_id"].as_str().unwrap());
    assert_eq!(cronmon.call(Method::DELETE, &path, None).await.status, 204);
}

/// Long and short waits, and often one that ends at a deadline or a slot, or just beside it.
fn step(random: &mut SmallRng, model: &Monitor, now: DateTime<Utc>) -> Duration {
    let near = [model.due_at(), model.next_slot].choose(random).copied().flatten();
    if let Some(near) = near.filter(|near| *near > now)
        && random.random_bool(0.4)
    {
        let beside = Duration::milliseconds(random.random_range(-1..=1));
        return (near - now + beside).max(Duration::milliseconds(1));
    }
    match random.random_range(0..10) {
        0..=5 => Duration::seconds(random.random_range(1..120)),
        6..=8 => Duration::seconds(random.random_range(120..8_000)),
        _ => Duration::seconds(random.random_range(8_000..200_000)),
    }
}

fn any_rules(random: &mut SmallRng) -> Value {
    let crons = ["* * * * *", "*/5 * * * *", "*/30 * * * *", "0 * * * *", "30 2 * * *", "15 1,2,3 * * *"];
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"];
    let schedule = match random.random_range(0..10) {
        0 => Value::Null,
        1..=3 => json!({ "every": random.random_range(1..4_000) }),
        _ => json!({ "cron": crons.choose(random), "timezone": zones.choose(random) }),
    };
    let maybe = |random: &mut SmallRng, most: i64| {
        if random.random_bool(0.5) { json!(random.random_range(0..most)) } else { Value::Null }
    };
    json!({
        "name": "random",
        "schedule": schedule,
        "expected_duration": maybe(random, 3_000),
        "grace_duration": random.random_range(0..4_000),
        "start_grace_duration": maybe(random, 2_000),
        "early_duration": maybe(random, 600),
        "failure_threshold": random.random_range(1..4),
        "recovery_threshold": random.random_range(1..3),
        "alert_on": if random.random_bool(0.5) { "first" } else { "every" },
    })
}

fn any_signal(random: &mut SmallRng) -> Signal {
    let kinds = [
        SignalKind::Start,
        SignalKind::Start,
        SignalKind::Success,
        SignalKind::Success,
        SignalKind::Success,
        SignalKind::Fail,
        SignalKind::Log,
    ];
    let kind = *kinds.choose(random).unwrap();
    let rid = random.random_bool(0.5).then(|| Uuid::from_u128(random.random_range(1..4)));
    let exit_status = (kind == SignalKind::Fail && random.random_bool(0.5)).then_some(3);
    Signal { kind, rid, exit_status }
}

fn path_of(signal: &Signal) -> String {
    let suffix = match (signal.kind, signal.exit_status) {
        (_, Some(status)) => format!("/{status}"),
        (SignalKind::Success, None) => String::new(),
        (kind, None) => format!("/{}", kind.name()),
    };
    signal.rid.map_or(suffix.clone(), |rid| format!("{suffix}?rid={rid}"))
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().unwrap())
}
