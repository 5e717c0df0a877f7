//! Stories: the rules by example. Each runs against the model and against the real stack, line by line.
//!
//! ```text
//! # What it shows.
//! created 2026-11-22 02:00:00 {"schedule": {"cron": "0 3 * * *"}, "expected_duration": 1800, "grace_duration": 600}
//! 03:00:04 start
//! 03:40:04 tick -> late overran: started 03:00:04, still running at 03:40:04; no success before
//! 03:44:00 success -> recovered overran: succeeded at 03:44:00, 3 min 56 s after it was first late at 03:40:04
//! is up, next 2026-11-23 03:00:00
//! ```
//!
//! Times are UTC; a date stays until the next one. A line with a time is an event: `tick`, `start`,
//! `success`, `fail`, `log`, `exit <status>`, each but the first with ` rid <letter>` if it has one, or
//! `edit <fields>`, `pause [<until>]`, `resume`, `snooze <until>`, `unsnooze`, `window <from> <until>` (a maintenance
//! window over this monitor), or `blind <from> <until>` (no ping came through then, as is known now). A signal behind `spooled <time>` was received at that time, and waited since. A tick looks a moment after its time, so that what is due then has fallen due. After
//! ` -> `, or on the lines that follow and begin with `-> `, stand the alerts that the event makes, all of
//! them, as a webhook hears them. `is ...` says how the monitor then stands, `jobs ...` its jobs, newest
//! first.

use std::path::Path;

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use domain::{Alert, AlertOn, Cron, Monitor, Rules, Schedule, Signal, SignalKind, sentence::sentence};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::webhook::Heard;
use crate::{CronMon, Receiver};

struct Line {
    number: usize,
    what: What,
}

enum What {
    Event { at: DateTime<Utc>, event: Event, alerts: Vec<String> },
    Is(String),
    Jobs(String),
}

enum Event {
    Created(Value),
    Tick,
    Signal { signal: Signal, path: String },
    Spooled { signal: Signal, received_at: DateTime<Utc> },
    Edit(Value),
    Pause(Option<DateTime<Utc>>),
    Resume,
    Snooze(Option<DateTime<Utc>>),
    Window(DateTime<Utc>, DateTime<Utc>),
    Blind(DateTime<Utc>, DateTime<Utc>),
}

/// Runs a story; the error says where it parts from the model or the real stack.
///
/// # Errors
/// The line, and what happened in its place.
pub async fn run(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let lines = parse(&text)?;
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;

    let mut model: Option<Monitor> = None;
    let mut shown = Value::Null;
    let mut windows = Vec::new();
    let mut heard_before = 0;
    for line in lines {
        let at_line = |what: String| format!("line {}: {what}", line.number);
        match line.what {
            What::Event { at, event, alerts } => {
                cronmon.set_clock(at);
                let by_model = match (&event, &mut model) {
                    (Event::Created(body), _) => {
                        shown = cronmon.create(body.clone()).await;
                        let armed = shown["armed"] == true;
                        let mut new = Monitor::new(rules_of(&shown), armed, at);
                        new.set_resume_on_ping(shown["resume_on_ping"] == true);
                        model = Some(new);
                        Vec::new()
                    }
                    (_, None) => return Err(at_line("the story must begin with `created`".into())),
                    (Event::Tick, Some(model)) => {
                        let moment_after = at + Duration::milliseconds(1);
                        cronmon.set_clock(moment_after);
                        cronmon.tick().await;
                        model.look(moment_after)
                    }
                    (Event::Signal { signal, path }, Some(model)) => {
                        cronmon.ping(&shown, path).await;
                        model.apply(signal, at)
                    }
                    (Event::Spooled { signal, received_at }, Some(model)) => {
                        cronmon.replay(&shown, signal, *received_at).await;
                        model.apply_from_spool(signal, *received_at)
                    }
                    (Event::Edit(body), Some(model)) => {
                        let path = format!("/monitors/{}", shown["monitor_id"].as_str().unwrap());
                        let answer = cronmon.call(Method::PATCH, &path, Some(body)).await;
                        if answer.status != 200 {
                            return Err(at_line(answer.body.to_string()));
                        }
                        model.set_resume_on_ping(answer.body["data"]["resume_on_ping"] == true);
                        model.edit(rules_of(&answer.body["data"]), at)
                    }
                    (Event::Pause(until), Some(model)) => {
                        quiet(&cronmon, &shown, "pause", &json!({ "until": until })).await?;
                        model.pause(*until, at)
                    }
                    (Event::Resume, Some(model)) => {
                        quiet(&cronmon, &shown, "resume", &json!({})).await?;
                        model.resume(at)
                    }
                    (Event::Snooze(until), Some(model)) => {
                        let body = until.map_or(json!({ "seconds": 0 }), |until| json!({ "until": until }));
                        quiet(&cronmon, &shown, "snooze", &body).await?;
                        model.snooze(*until, at)
                    }
                    (Event::Window(from, until), Some(model)) => {
                        let body = json!({
                            "name": "window", "monitor_ids": [shown["monitor_id"]], "starts_at": from, "ends_at": until,
                        });
                        let answer = cronmon.call(Method::POST, "/maintenance-windows", Some(&body)).await;
                        if answer.status != 200 {
                            return Err(at_line(answer.body.to_string()));
                        }
                        windows.push((*from, *until));
                        model.set_windows(windows.clone(), at);
                        Vec::new()
                    }
                    (Event::Blind(from, until), Some(model)) => {
                        cronmon.was_blind(*from, *until).await;
                        model.blind.push((*from, Some(*until)));
                        Vec::new()
                    }
                };
                let by_model: Vec<String> = by_model.iter().map(told).collect();
                if by_model != alerts {
                    return Err(at_line(format!("the model tells {by_model:#?}, not {alerts:#?}")));
                }
                cronmon.deliver().await;
                let heard = receiver.heard();
                let by_stack: Vec<String> = heard[heard_before..].iter().map(Heard::told).collect();
                heard_before = heard.len();
                if by_stack != alerts {
                    return Err(at_line(format!("the webhook hears {by_stack:#?}, not {alerts:#?}")));
                }
            }
            What::Is(expected) => {
                let model = model.as_ref().ok_or_else(|| at_line("nothing was created".into()))?;
                let day = cronmon.now();
                let status = if model.is_paused() { "paused" } else { model.status.name() };
                let by_model = standing(status, model.running(), model.next_slot, model.due_at(), day);
                let now = cronmon.read(&shown).await;
                let by_stack = standing(
                    now["status"].as_str().unwrap(),
                    now["running"] == true,
                    instant(&now["next_expected_at"]),
                    instant(&now["due_at"]),
                    day,
                );
                for (who, is) in [("the model", by_model), ("the real stack", by_stack)] {
                    if is != expected {
                        return Err(at_line(format!("{who} is `{is}`")));
                    }
                }
            }
            What::Jobs(expected) => {
                let model = model.as_ref().ok_or_else(|| at_line("nothing was created".into()))?;
                let by_model = jobs_of_model(model);
                let by_stack = jobs_of_stack(&cronmon.read(&shown).await);
                for (who, jobs) in [("the model", by_model), ("the real stack", by_stack)] {
                    if jobs != expected {
                        return Err(at_line(format!("{who} has jobs `{jobs}`")));
                    }
                }
            }
        }
    }
    Ok(())
}

async fn quiet(cronmon: &CronMon, shown: &Value, what: &str, body: &Value) -> Result<(), String> {
    let path = format!("/monitors/{}/{what}", shown["monitor_id"].as_str().unwrap());
    let answer = cronmon.call(Method::POST, &path, Some(body)).await;
    if answer.status == 200 { Ok(()) } else { Err(answer.body.to_string()) }
}

/// `late missed: <sentence>`
#[must_use]
pub fn told(alert: &Alert) -> String {
    format!("{} {}: {}", alert.fact.alert_type().name(), alert.fact.cause().name(), sentence(alert))
}

/// `up, running, next 04:00:00, due 04:10:00`
fn standing(
    status: &str,
    running: bool,
    next: Option<DateTime<Utc>>,
    due: Option<DateTime<Utc>>,
    day: DateTime<Utc>,
) -> String {
    let time = |instant: DateTime<Utc>| {
        let format = if instant.date_naive() == day.date_naive() { "%H:%M:%S" } else { "%F %T" };
        instant.format(format).to_string()
    };
    let mut text = status.to_owned();
    if running {
        text.push_str(", running");
    }
    if let Some(next) = next {
        text.push_str(&format!(", next {}", time(next)));
    }
    if let Some(due) = due {
        text.push_str(&format!(", due {}", time(due)));
    }
    text
}

/// `running; succeeded 12 s; abandoned; failed`
fn jobs_of_model(model: &Monitor) -> String {
    let mut jobs: Vec<_> = model.jobs.iter().collect();
    jobs.sort_by_key(|job| job.start);
    let shown = jobs.iter().rev().map(|job| {
        let duration = job
            .end
            .filter(|_| job.announced && job.succeeded.is_some())
            .map(|end| (end - job.start).num_seconds());
        shown_job(job.end.is_none(), job.succeeded, duration)
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn jobs_of_stack(shown: &Value) -> String {
    let jobs = shown["jobs"].as_array().unwrap();
    let shown = jobs.iter().map(|job| {
        shown_job(job["in_progress"] == true, job["succeeded"].as_bool(), job["duration"].as_i64())
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn shown_job(running: bool, succeeded: Option<bool>, duration: Option<i64>) -> String {
    let state = match (running, succeeded) {
        (true, _) => "running",
        (false, Some(true)) => "succeeded",
        (false, Some(false)) => "failed",
        (false, None) => "abandoned",
    };
    match duration {
        Some(seconds) => format!("{state} {seconds} s"),
        None => state.to_owned(),
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().unwrap())
}

/// The rules that the API says a monitor has, its defaults among them.
#[must_use]
pub fn rules_of(shown: &Value) -> Rules {
    let schedule = &shown["schedule"];
    let schedule = match (schedule["every"].as_i64(), schedule["cron"].as_str()) {
        (Some(seconds), _) => Schedule::Every(seconds),
        (_, Some(cron)) => Schedule::Cron(Cron::read(cron, schedule["timezone"].as_str()).unwrap()),
        _ => Schedule::None,
    };
    let threshold = |field: &str| i32::try_from(shown[field].as_i64().unwrap()).unwrap();
    Rules {
        schedule,
        expected_duration: shown["expected_duration"].as_i64(),
        grace_duration: shown["grace_duration"].as_i64().unwrap(),
        start_grace_duration: shown["start_grace_duration"].as_i64(),
        early_duration: shown["early_duration"].as_i64(),
        failure_threshold: threshold("failure_threshold"),
        recovery_threshold: threshold("recovery_threshold"),
        alert_on: AlertOn::from_name(shown["alert_on"].as_str().unwrap()).unwrap(),
        min_interval_duration: shown["min_interval_duration"].as_i64(),
        min_duration: shown["min_duration"].as_i64(),
    }
}

fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    let mut day = NaiveDate::MIN;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        let bad = |why: &str| format!("line {number}: {why}: {line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(alert) = line.strip_prefix("-> ") {
            match lines.last_mut().map(|line| &mut line.what) {
                Some(What::Event { alerts, .. }) => alerts.push(alert.to_owned()),
                _ => return Err(bad("an alert needs an event before it")),
            }
            continue;
        }
        let what = if let Some(is) = line.strip_prefix("is ") {
            What::Is(is.to_owned())
        } else if let Some(jobs) = line.strip_prefix("jobs ") {
            What::Jobs(jobs.to_owned())
        } else {
            let (event, alert) = match line.split_once(" -> ") {
                Some((event, alert)) => (event, Some(alert.to_owned())),
                None => (line, None),
            };
            let created = event.strip_prefix("created ");
            let (at, rest) = time_of(created.unwrap_or(event), &mut day).ok_or_else(|| bad("no time"))?;
            let event = match created {
                Some(_) => Event::Created(with_name(rest)?),
                None => match rest.strip_prefix("spooled ") {
                    Some(spooled) => {
                        let (received_at, rest) =
                            time_of(spooled, &mut day.clone()).ok_or_else(|| bad("no time"))?;
                        match event_of(rest) {
                            Some(Event::Signal { signal, .. }) => Event::Spooled { signal, received_at },
                            _ => return Err(bad("no signal")),
                        }
                    }
                    None => match quiet_event_of(rest, day) {
                        Some(event) => event,
                        None => event_of(rest).ok_or_else(|| bad("no event"))?,
                    },
                },
            };
            What::Event { at, event, alerts: alert.into_iter().collect() }
        };
        lines.push(Line { number, what });
    }
    Ok(lines)
}

/// Takes `[date ]time ` off the front.
fn time_of<'a>(text: &'a str, day: &mut NaiveDate) -> Option<(DateTime<Utc>, &'a str)> {
    let (first, rest) = text.split_once(' ')?;
    if let Ok(date) = first.parse() {
        *day = date;
        return time_of(rest, day);
    }
    let time: NaiveTime = first.parse().ok()?;
    Some((day.and_time(time).and_utc(), rest))
}

fn with_name(fields: &str) -> Result<Value, String> {
    let mut body: Value = serde_json::from_str(fields).map_err(|e| format!("{e}: {fields}"))?;
    body["name"] = json!("story");
    Ok(body)
}

fn quiet_event_of(text: &str, day: NaiveDate) -> Option<Event> {
    let mut words = text.split(' ').peekable();
    let what = words.next()?;
    let mut times = Vec::new();
    let mut day = day;
    for word in words {
        match (word.parse(), word.parse::<NaiveTime>()) {
            (Ok(date), _) => day = date,
            (_, Ok(time)) => times.push(day.and_time(time).and_utc()),
            _ => return None,
        }
    }
    match (what, times.as_slice()) {
        ("pause", []) => Some(Event::Pause(None)),
        ("pause", [until]) => Some(Event::Pause(Some(*until))),
        ("resume", []) => Some(Event::Resume),
        ("snooze", [until]) => Some(Event::Snooze(Some(*until))),
        ("unsnooze", []) => Some(Event::Snooze(None)),
        ("window", [from, until]) => Some(Event::Window(*from, *until)),
        ("blind", [from, until]) => Some(Event::Blind(*from, *until)),
        _ => None,
    }
}

fn event_of(text: &str) -> Option<Event> {
    if text == "tick" {
        return Some(Event::Tick);
    }
    if let Some(fields) = text.strip_prefix("edit ") {
        return Some(Event::Edit(with_name(fields).ok()?));
    }
    let (what, rid) = match text.split_once(" rid ") {
        // A letter stands for a run id.
        Some((what, letter)) => (what, Some(Uuid::from_u128(letter.bytes().map(u128::from).sum()))),
        None => (text, None),
    };
    let (kind, exit_status, suffix) = match what.split_once(' ') {
        Some(("exit", status)) => {
            let status: i16 = status.parse().ok()?;
            let kind = if status == 0 { SignalKind::Success } else { SignalKind::Fail };
            (kind, Some(status), format!("/{status}"))
        }
        _ => match SignalKind::from_name(what)? {
            SignalKind::Success => (SignalKind::Success, None, String::new()),
            kind => (kind, None, format!("/{}", kind.name())),
        },
    };
    let query = rid.map(|rid| format!("?rid={rid}")).unwrap_or_default();
    Some(Event::Signal { signal: Signal { kind, rid, exit_status }, path: format!("{suffix}{query}") })
}
