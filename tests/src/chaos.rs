//! Clients that ping through whatever happens, and what must be true of the history afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::Pool;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use crate::contents::count;
use crate::cronmon::http_client;
use crate::webhook::{Heard, Receiver};

pub const CLIENTS: usize = 50;

/// Of each client at least.
const PINGS: usize = 100;

/// As much may the clocks of processes differ, and the reading of them cost.
const NOISE: TimeDelta = TimeDelta::milliseconds(50);

/// Whether the long tests run; says so where they don't.
#[must_use]
pub fn is_soak() -> bool {
    let is = std::env::var_os("CRONMON_SOAK").is_some();
    if !is {
        println!("skipped: `make test-all` has time for it");
    }
    is
}

/// How fast the clients ping, and what their monitors expect.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Between two pings of a client, in milliseconds; half as much again at most.
    pub pause: u64,
    /// Seconds. With the grace less than a freeze, so that every deadline passes in one.
    pub every: u64,
    pub grace: u64,
}

/// The monitor of a client.
#[must_use]
pub fn monitor(client: usize, pace: Pace) -> Value {
    json!({
        "name": format!("job {client}"), "schedule": { "every": pace.every }, "grace_duration": pace.grace,
        "expected_duration": pace.every,
    })
}

/// One request.
pub struct Attempt {
    pub client: usize,
    /// No other attempt has it.
    pub body: String,
    pub sent_at: DateTime<Utc>,
    pub answered_at: DateTime<Utc>,
    /// The answer was a 2xx.
    pub accepted: bool,
    /// What it was instead.
    pub trouble: String,
    /// The run that it began, by the only attempt to do so.
    pub began: Option<Uuid>,
    /// The same of its end.
    pub ended: Option<Uuid>,
}

pub struct Clients {
    go_on: Arc<AtomicBool>,
    all: Vec<JoinHandle<Vec<Attempt>>>,
}

impl Clients {
    /// Each pings one of these in a rhythm of its own.
    #[must_use]
    pub fn start(urls: Vec<String>, pace: Pace) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let all = urls
            .into_iter()
            .enumerate()
            .map(|(number, url)| tokio::spawn(pings(number, url, pace, go_on.clone())))
            .collect();
        Self { go_on, all }
    }

    /// Waits until all have pinged often enough.
    pub async fn finish(self) -> Vec<Attempt> {
        self.go_on.store(false, Ordering::SeqCst);
        let mut attempts = Vec::new();
        for client in self.all {
            attempts.extend(client.await.unwrap());
        }
        attempts
    }
}

/// A job that pings now and then: alone, at its begin and its end, with a line for its log.
async fn pings(number: usize, url: String, pace: Pace, go_on: Arc<AtomicBool>) -> Vec<Attempt> {
    drop(http_client());
    // Each ping of a cron job is a process of its own.
    let http = Client::builder().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0).build().unwrap();
    let mut random = SmallRng::seed_from_u64(number as u64);
    let mut attempts = Vec::new();
    let mut running: Option<Uuid> = None;
    let mut was_log = false;
    sleep(Duration::from_millis(random.random_range(0..pace.pause))).await;
    let mut ping = 0;
    while ping < PINGS || running.is_some() || go_on.load(Ordering::SeqCst) {
        let (mut began, mut ended) = (None, None);
        let path = match (running.take(), random.random_range(0..10)) {
            (Some(run), _) => {
                ended = Some(run);
                format!("?rid={run}")
            }
            (None, 0..=2) => {
                let run = Uuid::from_u128(random.random());
                (began, running) = (Some(run), Some(run));
                format!("/start?rid={run}")
            }
            // Only a log in three tells that the job is alive.
            (None, 3..=4) if !was_log => "/log".to_owned(),
            _ => String::new(),
        };
        was_log = path == "/log";
        for attempt in 1.. {
            let body = format!("client {number} ping {ping} attempt {attempt}");
            let sent_at = now();
            let answer = http.post(format!("{url}{path}")).body(body.clone()).send().await;
            let answered_at = now();
            let (accepted, trouble) = match answer {
                Ok(answer) => (answer.status().is_success(), answer.status().as_u16().to_string()),
                Err(e) if e.is_timeout() => (false, "time-out".to_owned()),
                Err(e) if e.is_connect() => (false, "refused".to_owned()),
                Err(_) => (false, "cut off".to_owned()),
            };
            let only = attempt == 1 && accepted;
            attempts.push(Attempt {
                client: number,
                body,
                sent_at,
                answered_at,
                accepted,
                trouble,
                began: began.filter(|_| only),
                ended: ended.filter(|_| only),
            });
            if accepted {
                break;
            }
            sleep(Duration::from_millis(random.random_range(250..500))).await;
        }
        ping += 1;
        sleep(Duration::from_millis(random.random_range(pace.pause..pace.pause * 3 / 2))).await;
    }
    attempts
}

// A test in real time reads the clock, as a main does.
#[allow(clippy::disallowed_methods)]
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// When the database was away.
#[derive(Default)]
pub struct Outages(Vec<(DateTime<Utc>, DateTime<Utc>)>);

impl Outages {
    pub fn since(&mut self, began: DateTime<Utc>) {
        self.0.push((began, now()));
    }

    /// Attempts that were sent and accepted within one.
    #[must_use]
    pub fn accepted_within(&self, attempts: &[Attempt]) -> usize {
        let within = |attempt: &&Attempt| {
            attempt.accepted
                && self.0.iter().any(|(from, to)| *from <= attempt.sent_at && attempt.answered_at <= *to)
        };
        attempts.iter().filter(within).count()
    }
}

/// What was said to the monitor of an alert and what it took for true, for who has to find out why.
async fn explain(pool: &Pool, heard: &Heard, attempts: &[Attempt]) {
    let name = heard.message["monitor"]["name"].as_str().unwrap_or_default();
    let at: DateTime<Utc> = heard.message["at"].as_str().unwrap_or_default().parse().unwrap();
    let near = at - TimeDelta::seconds(30)..at + TimeDelta::seconds(30);
    for attempt in attempts.iter().filter(|attempt| name == format!("job {}", attempt.client)) {
        let Attempt { body, sent_at, answered_at, trouble, .. } = attempt;
        if near.contains(sent_at) {
            println!("{body}: {sent_at} to {answered_at}, {trouble}");
        }
    }
    let rows = "select s.received_at, s.kind, coalesce(j.start_time::text, '-'), s.xmin::text from signal s \
                join monitor m using (monitor_id) left join job j on j.job_id = s.job_id \
                where m.name = $1 and s.received_at between $2::timestamptz - interval '30 s' and $2 + interval '30 s' \
                order by 1";
    for row in pool.get().await.unwrap().query(rows, &[&name, &at]).await.unwrap() {
        let (received_at, kind): (DateTime<Utc>, String) = (row.get(0), row.get(1));
        let (start, transaction): (String, String) = (row.get(2), row.get(3));
        println!("{received_at} {kind}, of the run begun {start}, by transaction {transaction}");
    }
    let rows = "select a.at, a.type, a.cause, d.created_at, a.xmin::text from alert a \
                join monitor m using (monitor_id) left join delivery d using (alert_id) where m.name = $1 order by 1";
    for row in pool.get().await.unwrap().query(rows, &[&name]).await.unwrap() {
        let (at, kind, cause): (DateTime<Utc>, String, String) = (row.get(0), row.get(1), row.get(2));
        let (made_at, transaction): (Option<DateTime<Utc>>, String) = (row.get(3), row.get(4));
        println!("alert {kind} {cause} at {at}, made as of {made_at:?} by transaction {transaction}");
    }
}

/// Nobody was told of anything, and there is nothing to tell.
pub async fn no_alert_was_made_up(pool: &Pool, receiver: &Receiver, attempts: &[Attempt]) {
    if let Some(heard) = receiver.heard().first() {
        explain(pool, heard, attempts).await;
    }
    let told: Vec<String> = receiver
        .heard()
        .iter()
        .map(|heard| format!("{} {}", heard.message["monitor"]["name"], heard.told()))
        .collect();
    assert!(told.is_empty(), "{} alerts were made up: {:?}", told.len(), &told[..told.len().min(10)]);
    for table in ["alert", "delivery"] {
        assert_eq!(count(pool, &format!("select count(*) from {table}")).await, 0, "{table}");
    }
}

/// Every accepted attempt is in the history once, at its time; every other at most once; nothing else is.
pub async fn the_history_is_true(pool: &Pool, attempts: &[Attempt]) {
    let client = pool.get().await.unwrap();
    let rows = "select m.name, convert_from(s.body, 'UTF8'), s.received_at \
                from signal s join monitor m using (monitor_id)";
    let mut history: HashMap<String, Vec<(String, DateTime<Utc>)>> = HashMap::new();
    for row in client.query(rows, &[]).await.unwrap() {
        history.entry(row.get(1)).or_default().push((row.get(0), row.get(2)));
    }
    let mut wrong = Vec::new();
    for attempt in attempts {
        let Attempt { client, body, sent_at, answered_at, accepted, .. } = attempt;
        let found = history.remove(body).unwrap_or_default();
        if found.len() > 1 || found.is_empty() && *accepted {
            wrong.push(format!(
                "{body}, accepted: {accepted}, sent at {sent_at}, is there {} times",
                found.len()
            ));
        }
        for (monitor, received_at) in found {
            if monitor != format!("job {client}") {
                wrong.push(format!("{body} is a ping of {monitor}"));
            }
            // Who gave up was not answered.
            let latest = if *accepted { *answered_at } else { *answered_at + TimeDelta::seconds(30) };
            if received_at < *sent_at - NOISE || received_at > latest + NOISE {
                wrong.push(format!("{body}: {received_at} is not between {sent_at} and {answered_at}"));
            }
        }
    }
    wrong.extend(history.into_keys().map(|body| format!("nobody sent {body}")));
    assert!(wrong.is_empty(), "{} pings: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);

    for (statement, what) in [
        ("select count(*) from parked_signal", "parked"),
        (
            "select count(*) from monitor m where open_jobs <>
                 (select count(*) from job j where j.monitor_id = m.monitor_id and j.end_time is null)",
            "monitors that count their open jobs wrongly",
        ),
        (
            "select count(*) from signal s where kind <> 'log' and job_id is not null
              and not exists (select from job j where j.job_id = s.job_id)",
            "signals of no job",
        ),
    ] {
        assert_eq!(count(pool, statement).await, 0, "{what}");
    }
}

/// Runs of which begin and end each needed one attempt are one job each, with its duration. Answers with their
/// number. Only where later pings stay behind earlier ones.
pub async fn runs_are_whole(pool: &Pool, attempts: &[Attempt]) -> usize {
    let ended: HashMap<Uuid, &Attempt> =
        attempts.iter().filter_map(|attempt| Some((attempt.ended?, attempt))).collect();
    let client = pool.get().await.unwrap();
    let jobs = "select rid, count(*), bool_and(announced and end_time is not null and succeeded and end_time > start_time)
                from job where rid is not null group by rid";
    let jobs: HashMap<Uuid, (i64, bool)> = client
        .query(jobs, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2))))
        .collect();
    let mut whole = 0;
    for attempt in attempts {
        let Some(run) = attempt.began.filter(|run| ended.contains_key(run)) else { continue };
        assert_eq!(jobs.get(&run), Some(&(1, true)), "the run of {}", attempt.body);
        whole += 1;
    }
    whole
}

/// Proof that silence would have been heard: now that nobody pings, every monitor becomes late, once.
pub async fn silence_is_heard(pool: &Pool, receiver: &Receiver, within: Duration) {
    for client in 0..CLIENTS {
        receiver.wait_for(&format!("job {client}"), 1, within).await;
    }
    let heard: Vec<String> = receiver.heard().iter().map(|heard| heard.text("type").to_owned()).collect();
    assert_eq!(heard, vec!["late"; CLIENTS]);
    assert_eq!(count(pool, "select count(*) from alert").await, CLIENTS as i64);
}

/// What a run was like, in one line.
#[must_use]
pub fn summary(attempts: &[Attempt], outages: &Outages) -> String {
    let accepted = attempts.iter().filter(|attempt| attempt.accepted).count();
    let mut troubles: HashMap<&str, usize> = HashMap::new();
    for attempt in attempts.iter().filter(|attempt| !attempt.accepted) {
        *troubles.entry(&attempt.trouble).or_default() += 1;
    }
    let mut troubles: Vec<_> = troubles.into_iter().collect();
    troubles.sort_unstable();
    let slowest =
        attempts.iter().map(|attempt| (attempt.answered_at - attempt.sent_at).num_milliseconds()).max();
    format!(
        "{} attempts, {accepted} accepted, {} of them while Postgres was away, others: {troubles:?}, slowest {} ms",
        attempts.len(),
        outages.accepted_within(attempts),
        slowest.unwrap_or_default(),
    )
}

/// Files of a spool's folder that hold records.
#[must_use]
pub fn segments(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    files.filter(|file| file.file_name().to_string_lossy().ends_with(".spool")).count()
}
