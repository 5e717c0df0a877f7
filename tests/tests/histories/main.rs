//! Random histories of signals, ticks, edits and quiet times: the database and the model agree on every alert and
//! on where the monitor stands, after each step of one monitor alone, and in the end where many happen at once.

mod concurrent;
mod random;
mod stack;
mod statements;

use std::iter::StepBy;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::story::{rules_of, told};
use domain::Monitor;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use random::{Event, any_event, any_rules, any_signal, wait};
use stack::Stack;
use statements::Statements;

const STEPS: usize = 40;

/// Where a monitor stands, and what was told since it was last seen.
#[derive(Debug, PartialEq)]
struct Seen {
    told: Vec<String>,
    status: String,
    running: bool,
    next: Option<DateTime<Utc>>,
    due: Option<DateTime<Utc>>,
    /// Whether a tick finds it.
    is_due: bool,
    /// For the slots that stand ready run low.
    is_low: bool,
}

/// Plays one monitor's history on the database.
trait Player {
    async fn create(&mut self, body: &Value, now: DateTime<Utc>);
    async fn play(&mut self, event: &Event, now: DateTime<Utc>);
    async fn tick(&mut self, now: DateTime<Utc>);
    async fn see(&mut self, now: DateTime<Utc>) -> Seen;
    async fn forget(&mut self);
}

/// From the environment, as `make soak` sets it.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Some, and more with `make test-all`.
fn histories(some: u64, more: u64) -> u64 {
    if std::env::var_os("CRONMON_SOAK").is_some() { more } else { some }
}

/// So many workers share the seeds, each with a player of its own.
async fn shared<P: Future<Output = ()> + Send + 'static>(
    workers: u64,
    seeds: Range<u64>,
    work: impl Fn(StepBy<Range<u64>>) -> P,
) {
    let share = |worker| (seeds.start + worker..seeds.end).step_by(workers as usize);
    for worker in (0..workers).map(|worker| tokio::spawn(work(share(worker)))).collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

/// `make soak` plays more, and others.
#[tokio::test(flavor = "multi_thread")]
async fn the_statements_and_the_model_agree_on_random_histories() {
    let first = setting("CRONMON_SEED").unwrap_or(0);
    let many = setting("CRONMON_HISTORIES").unwrap_or_else(|| histories(200, 2_000));
    let (began, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    // The work is the database's: two of its processes for each core leave none idle.
    let workers = 2 * std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    shared(workers.min(many), first..first + many, |seeds| {
        let done = done.clone();
        async move {
            let mut statements = Statements::start().await;
            for seed in seeds {
                history(&mut statements, seed).await;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if done.is_multiple_of(1_000) {
                    println!("{done} of {many} histories after {} s", began.elapsed().as_secs());
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_stack_and_the_model_agree_on_random_histories() {
    shared(4, 0..histories(12, 48), |seeds| async move {
        let mut stack = Stack::start().await;
        for seed in seeds {
            history(&mut stack, seed).await;
        }
    })
    .await;
}

/// A clock that goes some hours forward, or back. Signals and ticks take it as it is; their monitor's time stands still
/// until it is reached again.
#[tokio::test(flavor = "multi_thread")]
async fn they_agree_where_clocks_jump() {
    let first = setting("CRONMON_SEED").unwrap_or(0);
    let many =
        setting("CRONMON_HISTORIES").map_or_else(|| histories(60, 400), |many| (many / 10).clamp(1, 10_000));
    shared(4, first..first + many, |seeds| async move {
        let mut statements = Statements::start().await;
        for seed in seeds {
            with_jumps(&mut statements, seed).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_what_the_model_makes_of_them_in_the_order_of_revision() {
    let first = setting("CRONMON_SEED").unwrap_or(0);
    let many =
        setting("CRONMON_HISTORIES").map_or_else(|| histories(8, 40), |many| (many / 500).clamp(1, 200));
    for seed in first..first + many {
        concurrent::history(seed).await;
    }
}

async fn begin(random: &mut SmallRng, player: &mut impl Player) -> (Monitor, DateTime<Utc>, Vec<String>) {
    // Around a day on which clocks change.
    let mut now: DateTime<Utc> = "2026-10-24T12:00:00Z".parse().unwrap();
    now += Duration::seconds(random.random_range(0..40_000));
    let mut body = any_rules(random);
    body["armed"] = json!(random.random_bool(0.3));
    player.create(&body, now).await;
    let mut model = Monitor::new(rules_of(&body), body["armed"] == true, now);
    model.set_resume_on_ping(body["resume_on_ping"] == true);
    (model, now, vec![format!("{now} created {body}")])
}

async fn history(player: &mut impl Player, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut model, created_at, mut story) = begin(&mut random, player).await;
    let (mut now, mut changed_at) = (created_at, created_at);
    for _ in 0..STEPS {
        now += wait(&mut random, &model, now);
        // Slots that stand ready begin at the last change. A first signal that waited since before it arms the
        // schedule from there on, in the model from its own time; later ones are not looked up there.
        let oldest = if model.armed { created_at } else { changed_at };
        let event = any_event(&mut random, &model, oldest, now);
        if matches!(event, Event::Edit(_) | Event::Resume) {
            changed_at = now;
        }
        story.push(format!("{now} {event:?}"));
        let by_model: Vec<String> = event.happens_to(&mut model, now).iter().map(told).collect();
        player.play(&event, now).await;
        compare(player, &mut model, by_model, now, seed, &story).await;
    }
    player.forget().await;
}

async fn with_jumps(player: &mut impl Player, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut model, created_at, mut story) = begin(&mut random, player).await;
    let (mut now, mut latest, mut changed_at, mut last_signal_at) =
        (created_at, created_at, created_at, None);
    for _ in 0..STEPS {
        now += match random.random_range(0..8) {
            0 => Duration::hours(random.random_range(1..4)),
            1 => -Duration::hours(random.random_range(1..4)),
            _ => wait(&mut random, &model, now).min(Duration::hours(3)),
        };
        if !model.armed {
            // The slots that stand ready begin there.
            now = now.max(changed_at);
        }
        let event = match random.random_range(0..10) {
            0..=2 => Event::Tick,
            // An owner's clock is right by now.
            3 if now >= latest => Event::Edit(any_rules(&mut random)),
            4 if now >= latest => Event::Pause(Some(now + Duration::seconds(random.random_range(1..5_000)))),
            _ => Event::Signal(any_signal(&mut random)),
        };
        story.push(format!("{now} {event:?}"));
        latest = latest.max(now);
        if matches!(event, Event::Edit(_)) {
            changed_at = now;
        }
        let by_model: Vec<String> = match &event {
            Event::Signal(signal) => {
                let at = last_signal_at.map_or(now, |last: DateTime<Utc>| last.max(now));
                if signal.kind != domain::SignalKind::Log {
                    last_signal_at = Some(at);
                }
                model.apply(signal, at)
            }
            event => event.happens_to(&mut model, now),
        }
        .iter()
        .map(told)
        .collect();
        player.play(&event, now).await;
        compare(player, &mut model, by_model, now.max(last_signal_at.unwrap_or(now)), seed, &story).await;
    }
    player.forget().await;
}

/// Holds the database to the model, and lets a tick find what the event left.
async fn compare(
    player: &mut impl Player,
    model: &mut Monitor,
    mut by_model: Vec<String>,
    now: DateTime<Utc>,
    seed: u64,
    story: &[String],
) {
    let mut seen = player.see(now).await;
    let is_due = model.due_at().is_some_and(|due_at| due_at < now);
    // Of slots that run low the model knows nothing: it finds each when it needs it.
    let agree = seen.is_due == is_due || seen.is_low;
    if seen.is_due || is_due {
        let before = std::mem::take(&mut seen.told);
        player.tick(now).await;
        seen = player.see(now).await;
        seen.told.splice(0..0, before);
        by_model.extend(model.look(now).iter().map(told));
    }
    let by_model = Seen {
        told: by_model,
        status: if model.is_paused() { "paused" } else { model.status.name() }.to_owned(),
        running: model.running(),
        next: model.next_slot,
        due: model.due_at(),
        is_due: false,
        is_low: seen.is_low,
    };
    assert!(
        agree && seen == by_model,
        "CRONMON_SEED={seed} CRONMON_HISTORIES=1 plays it again\n{}\nboth say whether it was due: {agree}\n\
         the database: {seen:#?}\nthe model: {by_model:#?}",
        story.join("\n")
    );
}
