//! A monitor as callers see it.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use chrono::{DateTime, Utc};
use database::jobs::Job;
use database::schedules::schedule_of;
use domain::Schedule;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::crontab_line::crontab_line;
use super::keywords::Keywords;
use crate::PublicUrl;
use crate::answers::{ApiResult, shown_instant};

/// The columns of `monitor m` that [`ShownMonitor::of`] reads; `$3` is now. `is_heard`: somebody would be told.
/// `quiet_until` says when the snooze and the maintenance windows that are in force end.
pub(super) fn monitor_columns(quiet_until: &str) -> String {
    format!(
        "m.monitor_id, m.name, m.ping_id, m.created_at, m.schedule_kind, \
     m.every_seconds, m.cron, m.timezone, m.expected_duration, m.grace_duration, m.start_grace_duration, \
     m.early_duration, m.failure_threshold, m.recovery_threshold, m.alert_on, m.status, m.armed, m.open_jobs, \
     case when m.paused_at is null then m.next_slot end as next_slot, m.last_signal_at, m.slug, m.tags, \
     m.resume_on_ping, m.fail_keywords, m.success_keywords, \
     m.start_keywords, m.min_interval_duration, m.min_duration, m.paused_at, m.resumes_at, \
     case when m.snooze_ends_at > $3 then m.snooze_ends_at end as snooze_ends_at, \
     {quiet_until} as quiet_ends_at, \
     case when m.paused_at is null then least(slot_deadline(m), m.held_until, case when m.open_jobs > 0 then ( \
         select min(j.due_at) from job j \
         where j.monitor_id = m.monitor_id and j.end_time is null and j.overran_at is null) end) \
     else m.resumes_at end as deadline, \
     exists ( \
         select from alert_config c where c.tenant = m.tenant and c.active and ( \
             exists (select from monitor_alert_config x \
                     where x.monitor_id = m.monitor_id and x.alert_config_id = c.alert_config_id) \
             or c.is_default and not exists ( \
                 select from monitor_alert_config x where x.monitor_id = m.monitor_id))) as is_heard"
    )
}

#[derive(Serialize)]
pub(crate) struct ShownMonitor {
    pub(super) monitor_id: Uuid,
    name: String,
    slug: String,
    tags: Vec<String>,
    schedule: Value,
    expected_duration: Option<i32>,
    grace_duration: i32,
    start_grace_duration: Option<i32>,
    early_duration: Option<i32>,
    failure_threshold: i32,
    recovery_threshold: i32,
    alert_on: String,
    min_interval_duration: Option<i32>,
    min_duration: Option<i32>,
    status: String,
    running: bool,
    armed: bool,
    paused_at: Option<DateTime<Utc>>,
    resumes_at: Option<DateTime<Utc>>,
    snooze_ends_at: Option<DateTime<Utc>>,
    /// By the snooze or a maintenance window nobody is told anything until then.
    quiet_ends_at: Option<DateTime<Utc>>,
    resume_on_ping: bool,
    keywords: Option<Keywords>,
    ping_url: String,
    crontab_line: String,
    created_at: DateTime<Utc>,
    next_expected_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    pub(super) last_started_job: Option<Job>,
    pub(super) last_finished_job: Option<Job>,
    pub(super) warnings: Vec<String>,
    /// Newest first; only where one monitor is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jobs: Option<Vec<Job>>,
}

impl ShownMonitor {
    /// Reads [`monitor_columns`].
    pub(super) fn of(row: &Row, base_url: &str) -> ApiResult<Self> {
        let schedule = schedule_of(row)?;
        let ping_url = format!("{base_url}/ping/{}", row.try_get::<_, Uuid>("ping_id")?);
        let name: String = row.try_get("name")?;
        let expected_duration: Option<i32> = row.try_get("expected_duration")?;
        let paused_at: Option<DateTime<Utc>> = row.try_get("paused_at")?;
        let resumes_at: Option<DateTime<Utc>> = row.try_get("resumes_at")?;
        let snooze_ends_at: Option<DateTime<Utc>> = row.try_get("snooze_ends_at")?;
        let quiet_ends_at: Option<DateTime<Utc>> = row.try_get("quiet_ends_at")?;
        let next_slot: Option<DateTime<Utc>> = row.try_get("next_slot")?;
        let armed: bool = row.try_get("armed")?;
        let mut warnings = warnings(&name, &schedule, expected_duration, row.try_get("is_heard")?);
        if row.try_get::<_, Option<DateTime<Utc>>>("last_signal_at")?.is_none() {
            warnings.push(never_pinged(armed && schedule != Schedule::None, next_slot));
        }
        warnings.extend(why_it_is_quiet(paused_at, resumes_at, snooze_ends_at, quiet_ends_at));
        Ok(Self {
            monitor_id: row.try_get("monitor_id")?,
            warnings,
            name,
            slug: row.try_get("slug")?,
            tags: row.try_get("tags")?,
            expected_duration,
            grace_duration: row.try_get("grace_duration")?,
            start_grace_duration: row.try_get("start_grace_duration")?,
            early_duration: row.try_get("early_duration")?,
            failure_threshold: row.try_get("failure_threshold")?,
            recovery_threshold: row.try_get("recovery_threshold")?,
            alert_on: row.try_get("alert_on")?,
            min_interval_duration: row.try_get("min_interval_duration")?,
            min_duration: row.try_get("min_duration")?,
            status: if paused_at.is_some() { "paused".to_owned() } else { row.try_get("status")? },
            running: row.try_get::<_, i32>("open_jobs")? > 0,
            armed,
            paused_at,
            resumes_at,
            snooze_ends_at,
            quiet_ends_at,
            resume_on_ping: row.try_get("resume_on_ping")?,
            keywords: Keywords::of(row)?,
            crontab_line: crontab_line(&schedule, &ping_url),
            ping_url,
            schedule: shown_schedule(&schedule),
            created_at: row.try_get("created_at")?,
            next_expected_at: next_slot,
            due_at: row.try_get("deadline")?,
            last_started_job: None,
            last_finished_job: None,
            jobs: None,
        })
    }
}

pub(crate) fn shown_schedule(schedule: &Schedule) -> Value {
    match schedule {
        Schedule::None => Value::Null,
        Schedule::Every(seconds) => json!({ "every": seconds }),
        Schedule::Cron(cron) => json!({
            "cron": cron.expression(),
            "timezone": cron.zone().map_or("UTC", chrono_tz::Tz::name),
        }),
    }
}

fn warnings(name: &str, schedule: &Schedule, expected_duration: Option<i32>, is_heard: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if name.trim().is_empty() {
        warnings.push("no name: alerts will not say which job they are about");
    }
    match schedule {
        Schedule::None => {
            warnings.push("no schedule: a job that stops running goes unnoticed");
            if expected_duration.is_none() {
                warnings.push("neither schedule nor expected_duration: a job that hangs goes unnoticed too");
            }
        }
        Schedule::Cron(cron) if cron.zone().is_none() => {
            warnings.push("no timezone was given: the schedule is read in UTC");
        }
        Schedule::Every(_) | Schedule::Cron(_) => {}
    }
    if !is_heard {
        warnings.push("nobody hears of it: attach an active alert config, or make one the default");
    }
    warnings.into_iter().map(Into::into).collect()
}

/// What that means depends on whether a ping is waited for already. Nothing is while it is paused, which is said
/// by another warning.
fn never_pinged(waits: bool, next_slot: Option<DateTime<Utc>>) -> String {
    match next_slot {
        Some(slot) if waits => format!("never pinged: the next ping is expected at {}", shown_instant(slot)),
        None if waits => "never pinged".to_owned(),
        _ => "never pinged: nothing is expected before the first ping".to_owned(),
    }
}

/// Whoever waits for an alert should know why none comes.
fn why_it_is_quiet(
    paused_at: Option<DateTime<Utc>>,
    resumes_at: Option<DateTime<Utc>>,
    snooze_ends_at: Option<DateTime<Utc>>,
    quiet_ends_at: Option<DateTime<Utc>>,
) -> Option<String> {
    if let Some(since) = paused_at.map(shown_instant) {
        let end = resumes_at.map_or_else(|| "it is resumed".to_owned(), shown_instant);
        return Some(format!("paused since {since}: nothing is judged until {end}"));
    }
    let end = shown_instant(quiet_ends_at?);
    Some(match snooze_ends_at {
        Some(snooze) if Some(snooze) == quiet_ends_at => {
            format!("snoozed until {end}: nobody is told anything")
        }
        _ => format!("in a maintenance window until {end}: nobody is told anything"),
    })
}

impl PublicUrl {
    pub(crate) fn base(&self, headers: &HeaderMap) -> String {
        match self {
            Self::Fixed(url) => url.clone(),
            Self::FromHost => {
                // It is pasted into shells: only what a host and a port are made of.
                let is_plain =
                    |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
                let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(is_plain);
                let host = host.filter(|host| !host.is_empty()).unwrap_or("127.0.0.1");
                format!("http://{host}")
            }
        }
    }
}
