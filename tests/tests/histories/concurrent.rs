//! Many at once: signals, edits, pauses, snoozes and ticks on the same few monitors, each by a client of its own over
//! HTTP. The database applies them one after another, under the lock of the monitor, and numbers what it does by
//! `revision`. Folded in that order through the model they give the same end, and the same alerts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::CronMon;
use cronmon_tests::databases::{drop_database, new_database, pool};
use cronmon_tests::story::{rules_of, told};
use database::Pool;
use database::alerts::{ALERT_COLUMNS, alert_of};
use domain::{Monitor, SignalKind};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::random::{Event, any_rules, any_signal, path_of};

const MONITORS: usize = 3;
const CLIENTS: usize = 6;
const TICKERS: usize = 2;
const EVENTS: usize = 50;

/// Writes down who raised which revision: each client says in a setting of its session what it is about to do.
/// And no lateness is taken back: the model does not know who was told.
const WATCHED: &str = "
    create table applied (position bigint generated always as identity, monitor_id uuid, revision bigint, event bigint);
    create function write_down() returns trigger language plpgsql as $$
    begin
        insert into applied (monitor_id, revision, event)
        values (new.monitor_id, new.revision, nullif(current_setting('test.event', true), '')::bigint);
        return null;
    end
    $$;
    create trigger write_down after update on monitor for each row
    when (new.revision is distinct from old.revision) execute function write_down();

    create or replace function withdraw_lateness(
        m monitor, p_received_at timestamptz, p_kind text, p_rid uuid, p_newest boolean
    ) returns monitor language sql as $$ select m $$;";

#[derive(Debug, Clone)]
struct Sent {
    event: Event,
    monitor: usize,
    now: DateTime<Utc>,
}

/// Time goes on for all of them with each thing that one does.
struct World {
    database_url: String,
    clock: AtomicI64,
    ready: Barrier,
    next: AtomicI64,
    monitors: Vec<Value>,
}

impl World {
    fn now(&self, random: &mut SmallRng) -> DateTime<Utc> {
        let step = match random.random_range(0..40) {
            0 => random.random_range(20_000..200_000),
            _ => random.random_range(1..12_000),
        };
        let now = self.clock.fetch_add(step, Ordering::SeqCst) + step;
        DateTime::from_timestamp_millis(now).unwrap()
    }
}

pub async fn history(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let database_url = new_database().await;
    let pool = pool(&database_url, 2);
    pool.get().await.unwrap().batch_execute(WATCHED).await.unwrap();
    let begin: DateTime<Utc> = "2026-10-24T22:00:00Z".parse().unwrap();
    let first = CronMon::start_on(&database_url, None).await;
    first.set_clock(begin);
    // Nobody delivers here.
    first.hear_everything_at("http://127.0.0.1/hook").await;

    let (mut monitors, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..MONITORS {
        let mut body = quick_rules(&mut random);
        body["armed"] = json!(random.random::<bool>());
        monitors.push(first.create(body.clone()).await);
        bodies.push(body);
    }
    let blind = any_times(&mut random, begin);
    for (from, until) in &blind {
        first.was_blind(*from, *until).await;
    }
    let windows = any_times(&mut random, begin);
    for (from, until) in &windows {
        let window = "insert into maintenance_window (window_id, tenant, name, created_at, monitor_ids, duration, starts)
            select gen_random_uuid(), 'acme', 'w', $1, array_agg(monitor_id), extract(epoch from $2::timestamptz - $1::timestamptz)::integer, array[$1]
            from monitor";
        pool.get().await.unwrap().execute(window, &[from, until]).await.unwrap();
    }
    pool.get().await.unwrap().batch_execute("truncate applied").await.unwrap();

    let world = Arc::new(World {
        database_url,
        clock: AtomicI64::new(begin.timestamp_millis()),
        ready: Barrier::new(CLIENTS + TICKERS),
        next: AtomicI64::new(1),
        monitors,
    });
    let clients = (0..CLIENTS + TICKERS).map(|i| {
        let random = SmallRng::seed_from_u64(seed * 100 + i as u64);
        tokio::spawn(client(world.clone(), random, i < TICKERS))
    });
    let mut sent = BTreeMap::new();
    for client in clients.collect::<Vec<_>>() {
        sent.extend(client.await.unwrap());
    }
    let end =
        DateTime::from_timestamp_millis(world.clock.load(Ordering::SeqCst)).unwrap() + Duration::hours(3);
    first.set_clock(end);
    first.tick().await;

    for (i, body) in bodies.iter().enumerate() {
        let mut model = Monitor::new(rules_of(body), body["armed"] == true, begin);
        model.set_resume_on_ping(body["resume_on_ping"] == true);
        model.blind = blind.iter().map(|(from, until)| (*from, Some(*until))).collect();
        model.set_windows(windows.clone(), begin);
        let monitor_id: Uuid = world.monitors[i]["monitor_id"].as_str().unwrap().parse().unwrap();
        let (mut by_model, story) = fold(&pool, monitor_id, i, &mut model, &sent).await;
        by_model.extend(model.look(end).iter().map(told));
        let what = format!("seed {seed}, monitor {i} {body}\n{}", story.join("\n"));
        assert_eq!(all_told(&pool, monitor_id).await, by_model, "{what}");
        let is = first.read(&world.monitors[i]).await;
        let instant = |field: &str| is[field].as_str().map(|text| text.parse::<DateTime<Utc>>().unwrap());
        let status = if model.is_paused() { "paused" } else { model.status.name() };
        assert_eq!(
            (
                is["status"].as_str().unwrap(),
                is["running"] == true,
                instant("next_expected_at"),
                instant("due_at")
            ),
            (status, model.running(), model.next_slot, model.due_at()),
            "{what}"
        );
    }
    // Hundreds of them would fill the disk.
    pool.close();
    drop_database(&first.database_url).await;
}

/// Known from the beginning: what changes them has no revision.
fn any_times(random: &mut SmallRng, begin: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let times = (0..random.random_range(0..3)).map(|_| {
        let from = begin + Duration::seconds(random.random_range(0..4_000));
        (from, from + Duration::seconds(random.random_range(1..600)))
    });
    times.collect()
}

/// One client, with one connection to the database, does one thing after another.
async fn client(world: Arc<World>, mut random: SmallRng, ticks: bool) -> Vec<(i64, Sent)> {
    let cronmon = CronMon::start_on(&world.database_url, None).await;
    drop(cronmon.pool.get().await.unwrap());
    world.ready.wait().await;
    let mut all = Vec::new();
    for _ in 0..EVENTS {
        let now = world.now(&mut random);
        let id = world.next.fetch_add(1, Ordering::SeqCst);
        let says = format!("select set_config('test.event', '{id}', false)");
        cronmon.pool.get().await.unwrap().batch_execute(&says).await.unwrap();
        cronmon.set_clock(now);
        let monitor = random.random_range(0..MONITORS);
        let event = if ticks { Event::Tick } else { any_event(&mut random, now) };
        play(&cronmon, &world.monitors[monitor], &event).await;
        all.push((id, Sent { event, monitor, now }));
        // All of it by one connection, or the setting would not be that of the statement.
        assert_eq!(cronmon.pool.status().size, 1);
    }
    all
}

/// Some that make something fall due within minutes; ticks come often enough that no slots run out.
fn quick_rules(random: &mut SmallRng) -> Value {
    let mut body = any_rules(random);
    for field in ["expected_duration", "grace_duration", "start_grace_duration", "early_duration"] {
        body[field] = body[field].as_i64().map_or(Value::Null, |seconds| json!(seconds % 120));
    }
    body["schedule"] = match random.random_range(0..8) {
        0 => Value::Null,
        1 | 2 => json!({ "every": random.random_range(1..300) }),
        3..=5 => json!({ "cron": "* * * * *" }),
        _ => json!({ "cron": "*/5 * * * *", "timezone": "America/New_York" }),
    };
    body
}

fn any_event(random: &mut SmallRng, now: DateTime<Utc>) -> Event {
    let soon = |random: &mut SmallRng| now + Duration::seconds(random.random_range(1..400));
    match random.random_range(0..20) {
        0 => Event::Edit(quick_rules(random)),
        1 => Event::Pause(random.random_bool(0.7).then(|| soon(random))),
        2..=4 => Event::Resume,
        5 | 6 => Event::Snooze(random.random_bool(0.7).then(|| soon(random))),
        _ => Event::Signal(any_signal(random)),
    }
}

async fn play(cronmon: &CronMon, monitor: &Value, event: &Event) {
    let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    let (method, path, body) = match event {
        Event::Tick => return cronmon.tick().await,
        Event::Signal(signal) => {
            // By this client's own server, whose clock is its own.
            let (_, path) = monitor["ping_url"].as_str().unwrap().split_once("/ping/").unwrap();
            let here = json!({ "ping_url": format!("{}/ping/{path}", cronmon.url) });
            return cronmon.ping(&here, &path_of(signal)).await;
        }
        Event::Edit(body) => (Method::PATCH, path, body.clone()),
        Event::Pause(until) => (Method::POST, path + "/pause", json!({ "until": until })),
        Event::Resume => (Method::POST, path + "/resume", json!({})),
        Event::Snooze(None) => (Method::POST, path + "/snooze", json!({ "seconds": 0 })),
        Event::Snooze(until) => (Method::POST, path + "/snooze", json!({ "until": until })),
        Event::Spooled(..) | Event::Windows(_) | Event::Blind(..) | Event::Sees => unreachable!(),
    };
    let answer = cronmon.call(method, &path, Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The model after all that raised this monitor's revision, in that order; and the alerts that it tells.
async fn fold(
    pool: &Pool,
    monitor_id: Uuid,
    monitor: usize,
    model: &mut Monitor,
    sent: &BTreeMap<i64, Sent>,
) -> (Vec<String>, Vec<String>) {
    let rows = "select event from applied where monitor_id = $1 and event is not null order by revision";
    let rows = pool.get().await.unwrap().query(rows, &[&monitor_id]).await.unwrap();
    let order: Vec<i64> = rows.iter().map(|row| row.get("event")).collect();
    let (mut alerts, mut story, mut last_signal_at) = (Vec::new(), Vec::new(), None);
    for (i, id) in order.iter().enumerate() {
        let Sent { event, monitor: to, now } = &sent[id];
        let is_last = !order[i + 1..].contains(id);
        story.push(format!("{now} {event:?}{}", if is_last { "" } else { " ..." }));
        let by_model = match event {
            Event::Tick => model.look(*now),
            _ if *to != monitor => panic!("{event:?} changed another monitor"),
            Event::Signal(signal) => {
                // Time never runs backwards for a monitor.
                let at = last_signal_at.map_or(*now, |last: DateTime<Utc>| last.max(*now));
                if !is_last {
                    // Before it asked for more slots, what was due before it fell due.
                    model.look(at)
                } else {
                    if signal.kind != SignalKind::Log {
                        last_signal_at = Some(at);
                    }
                    model.apply(signal, at)
                }
            }
            // One transaction, however many revisions.
            _ if !is_last => Vec::new(),
            event => event.happens_to(model, *now),
        };
        alerts.extend(by_model.iter().map(told));
        let (status, due) = (model.status, model.due_at());
        story.push(format!("    {status:?} next {:?} due {due:?} {by_model:?}", model.next_slot));
    }
    (alerts, story)
}

/// What somebody is told of it, in that order.
async fn all_told(pool: &Pool, monitor_id: Uuid) -> Vec<String> {
    let told_alerts = format!(
        "select {ALERT_COLUMNS} from delivery d join alert a using (alert_id) where d.monitor_id = $1 order by d.position"
    );
    let rows = pool.get().await.unwrap().query(&told_alerts, &[&monitor_id]).await.unwrap();
    rows.iter().map(|row| told(&alert_of(row).unwrap())).collect()
}
