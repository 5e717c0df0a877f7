//! Random monitors and what happens to them.

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::story::rules_of;
use domain::{Alert, Monitor, Signal, SignalKind};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub enum Event {
    Tick,
    Signal(Signal),
    /// It waited in the spool since.
    Spooled(Signal, DateTime<Utc>),
    Edit(Value),
    Pause(Option<DateTime<Utc>>),
    Resume,
    Snooze(Option<DateTime<Utc>>),
    /// From now on these are all of its maintenance windows.
    Windows(Vec<Window>),
    /// It becomes known that no ping came through from then on, and until then; without an end while it lasts.
    Blind(DateTime<Utc>, Option<DateTime<Utc>>),
    /// Pings come through again.
    Sees,
}

#[derive(Debug, Clone)]
pub struct Window {
    pub starts: Vec<DateTime<Utc>>,
    pub seconds: i32,
}

impl Event {
    /// What the model says of it.
    pub fn happens_to(&self, model: &mut Monitor, now: DateTime<Utc>) -> Vec<Alert> {
        match self {
            Self::Tick => model.look(now),
            Self::Signal(signal) => model.apply(signal, now),
            Self::Spooled(signal, received_at) => model.apply_from_spool(signal, *received_at),
            Self::Edit(body) => {
                let alerts = model.edit(rules_of(body), now);
                model.set_resume_on_ping(body["resume_on_ping"] == true);
                alerts
            }
            Self::Pause(until) => model.pause(*until, now),
            Self::Resume => model.resume(now),
            Self::Snooze(until) => model.snooze(*until, now),
            Self::Windows(windows) => {
                let times = windows.iter().flat_map(|window| {
                    let lasts = Duration::seconds(window.seconds.into());
                    window.starts.iter().map(move |start| (*start, *start + lasts))
                });
                model.set_windows(times.collect(), now);
                Vec::new()
            }
            Self::Blind(from, until) => {
                model.blind.push((*from, *until));
                Vec::new()
            }
            Self::Sees => {
                model.blind.last_mut().unwrap().1 = Some(now);
                Vec::new()
            }
        }
    }
}

/// What happens next. What waited in the spool was received at `oldest` or later.
pub fn any_event(random: &mut SmallRng, model: &Monitor, oldest: DateTime<Utc>, now: DateTime<Utc>) -> Event {
    if model.is_paused() && random.random_bool(0.2) {
        return Event::Resume;
    }
    if model.blind.last().is_some_and(|(_, until)| until.is_none()) && random.random_bool(0.3) {
        return Event::Sees;
    }
    match random.random_range(0..24) {
        0..=4 => Event::Tick,
        5 | 6 => Event::Edit(any_rules(random)),
        7 => Event::Pause(random.random_bool(0.6).then(|| now + soon(random))),
        8 => Event::Resume,
        9 | 10 => Event::Snooze(random.random_bool(0.7).then(|| now + soon(random))),
        11 => Event::Windows(any_windows(random, now)),
        12 if random.random_bool(0.5) => any_blindness(random, model, now),
        // A lateness that is held the database takes back, which the model does not know.
        13..=15 if !model.holds_alerts() => {
            let received_at = (now - Duration::seconds(random.random_range(0..2_000))).max(oldest);
            let signal = any_signal(random);
            // A log looks up no slots: where those that stand ready are over, the next tick judges in its place, and
            // what was missed up to the one and up to the other is one miss.
            let judges_later =
                signal.kind == SignalKind::Log && model.due_at().is_some_and(|due_at| due_at < now);
            Event::Spooled(signal, if judges_later { now } else { received_at })
        }
        _ => Event::Signal(any_signal(random)),
    }
}

fn soon(random: &mut SmallRng) -> Duration {
    let most = *[90, 3_000, 20_000].choose(random).unwrap();
    Duration::seconds(random.random_range(1..most))
}

fn any_windows(random: &mut SmallRng, now: DateTime<Utc>) -> Vec<Window> {
    let windows = (0..random.random_range(0..3)).map(|_| {
        let mut starts: Vec<_> = (0..random.random_range(1..4))
            .map(|_| now + Duration::seconds(random.random_range(-2_000..10_000)))
            .collect();
        starts.sort();
        Window { starts, seconds: random.random_range(1..5_000) }
    });
    windows.collect()
}

fn any_blindness(random: &mut SmallRng, model: &Monitor, now: DateTime<Utc>) -> Event {
    let from = now - Duration::seconds(random.random_range(0..4_000));
    let lasts = model.blind.iter().any(|(_, until)| until.is_none());
    if !lasts && random.random_bool(0.3) {
        return Event::Blind(from, None);
    }
    if lasts {
        return Event::Tick;
    }
    let until = (from + Duration::seconds(random.random_range(0..2_000))).min(now);
    Event::Blind(from, Some(until))
}

/// Long and short waits, and often one that ends at a deadline or a slot, or just beside it.
pub fn wait(random: &mut SmallRng, model: &Monitor, now: DateTime<Utc>) -> Duration {
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

/// Every field is given, so that the body says what the API would show.
pub fn any_rules(random: &mut SmallRng) -> Value {
    let crons = ["* * * * *", "*/5 * * * *", "*/30 * * * *", "0 * * * *", "30 2 * * *", "15 1,2,3 * * *"];
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"];
    let schedule = match random.random_range(0..10) {
        0 => Value::Null,
        1..=3 => json!({ "every": random.random_range(1..4_000) }),
        _ => json!({ "cron": crons.choose(random), "timezone": zones.choose(random) }),
    };
    let maybe = |random: &mut SmallRng, least: i64, most: i64| {
        if random.random_bool(0.5) { json!(random.random_range(least..most)) } else { Value::Null }
    };
    json!({
        "name": "random",
        "schedule": schedule,
        "expected_duration": maybe(random, 0, 3_000),
        "grace_duration": random.random_range(0..4_000),
        "start_grace_duration": maybe(random, 0, 2_000),
        "early_duration": maybe(random, 0, 600),
        "failure_threshold": random.random_range(1..4),
        "recovery_threshold": random.random_range(1..3),
        "alert_on": if random.random_bool(0.5) { "first" } else { "every" },
        "min_interval_duration": maybe(random, 1, 3_000),
        "min_duration": maybe(random, 1, 600),
        "resume_on_ping": random.random_bool(0.3),
    })
}

pub fn any_signal(random: &mut SmallRng) -> Signal {
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

/// What follows the ping id.
pub fn path_of(signal: &Signal) -> String {
    let suffix = match (signal.kind, signal.exit_status) {
        (_, Some(status)) => format!("/{status}"),
        (SignalKind::Success, None) => String::new(),
        (kind, None) => format!("/{}", kind.name()),
    };
    signal.rid.map_or(suffix.clone(), |rid| format!("{suffix}?rid={rid}"))
}
