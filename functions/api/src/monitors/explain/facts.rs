//! What was written down about a slot, a run and an instant.

use chrono::{DateTime, Utc};
use database::alerts::{ALERT_COLUMNS, alert_of};
use domain::Alert;
use domain::explain::{Expected, Outcome, Run, Span};
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::monitors::recorded::Recorded;

/// Signals that are looked at: the newest up to the instant, and the first after it.
const BEFORE: i64 = 300;
pub(super) const AFTER: i64 = 100;

/// Runs of which it is known how long they took.
const RUNS: i64 = 100;

/// Alerts about one slot and its run; there are a few.
const MOST_ALERTS: i64 = 20;

/// Alerts are made, and nobody is told.
#[derive(Serialize)]
pub(super) struct Quiet {
    /// `snooze` or `maintenance_window`.
    because: &'static str,
    name: Option<String>,
    ends_at: DateTime<Utc>,
}

/// The history around an instant. Relies on the index `signal_newest_first`; bound to the tenant by who calls it.
pub(super) async fn around(
    client: &impl GenericClient,
    monitor_id: Uuid,
    at: DateTime<Utc>,
) -> ApiResult<Vec<Recorded>> {
    let rows = client
        .query_typed(
            "(select signal_id, received_at, kind, rid, exit_status, job_id, ends_at from signal
              where monitor_id = $1 and received_at <= $2
              order by received_at desc, signal_id desc limit $3)
             union all
             (select signal_id, received_at, kind, rid, exit_status, job_id, ends_at from signal
              where monitor_id = $1 and received_at > $2
              order by received_at, signal_id limit $4)
             order by received_at, signal_id",
            &[
                (&monitor_id, Type::UUID),
                (&at, Type::TIMESTAMPTZ),
                (&BEFORE, Type::INT8),
                (&AFTER, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(Recorded::of).collect()
}

/// The pause that an instant lies in. One that the monitor is in and that the history does not hold any more is put
/// into it.
pub(super) fn pause_at(
    monitor: &Row,
    history: &mut Vec<Recorded>,
    at: DateTime<Utc>,
) -> ApiResult<Option<Span>> {
    let paused_at: Option<DateTime<Utc>> = monitor.try_get("paused_at")?;
    if let Some(began) = paused_at
        && !history.iter().any(|recorded| recorded.kind == "pause" && recorded.received_at >= began)
    {
        let pause = Recorded {
            signal_id: Uuid::nil(),
            received_at: began,
            kind: "pause".to_owned(),
            rid: None,
            exit_status: None,
            job_id: None,
            ends_at: monitor.try_get("resumes_at")?,
        };
        history.insert(history.partition_point(|recorded| recorded.received_at <= began), pause);
    }
    Ok(pauses(history)
        .into_iter()
        .rev()
        .find(|(began, ended)| *began <= at && ended.is_none_or(|ended| ended > at)))
}

/// The pauses of a history, the oldest first. A further one while it is paused only moves the end. A resume ends it,
/// and so does a ping that may: then it has a run, which one that is only recorded has not.
fn pauses(history: &[Recorded]) -> Vec<Span> {
    let mut pauses: Vec<Span> = Vec::new();
    for recorded in history {
        let at = recorded.received_at;
        let current = pauses.last_mut().filter(|(_, ended)| ended.is_none_or(|ended| ended > at));
        match (recorded.kind.as_str(), current) {
            ("pause", Some((_, ended))) => *ended = recorded.ends_at,
            ("pause", None) => pauses.push((at, recorded.ends_at)),
            ("resume", Some((_, ended))) => *ended = Some(at),
            (_, Some((_, ended))) if recorded.job_id.is_some() => *ended = Some(at),
            _ => {}
        }
    }
    pauses
}

/// What was written down.
pub(super) struct Facts {
    pub(super) expected: Option<Expected>,
    pub(super) run: Option<(Uuid, Run)>,
    pub(super) alerts: Vec<Alert>,
    pub(super) blind: Option<Span>,
    /// Of the newest runs, in seconds.
    pub(super) durations: Vec<i64>,
}

pub(super) async fn facts(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    mut expected: Option<Expected>,
    history: &[Recorded],
    at: DateTime<Utc>,
    edited_since: bool,
) -> ApiResult<Facts> {
    let answer = match expected.as_ref().map(|expected| expected.outcome) {
        Some(Outcome::Answered { by }) => history.get(by),
        _ => None,
    };
    let answered_by = answer.and_then(|signal| signal.job_id);
    // Relies on the primary key and the indexes job_newest_first and signal_newest_first. A pause ends the runs that
    // are open, at its own instant.
    let rows = client
        .query_typed(
            "select j.*, j.end_time is not null and j.succeeded is null and exists (
                 select from signal s
                 where s.monitor_id = $1 and s.received_at = j.end_time and s.kind = 'pause'
             ) as abandoned_by_pause
             from (
                 (select * from job where monitor_id = $1 and job_id = $2)
                 union
                 (select * from job where monitor_id = $1 and start_time <= $3
                  order by start_time desc, job_id desc limit $4)
             ) j
             order by start_time desc, job_id desc",
            &[
                (&monitor_id, Type::UUID),
                (&answered_by, Type::UUID),
                (&at, Type::TIMESTAMPTZ),
                (&RUNS, Type::INT8),
            ],
        )
        .await?;
    let runs: Vec<(Uuid, Run)> = rows.iter().map(run_of).collect::<ApiResult<_>>()?;
    let durations = runs
        .iter()
        .filter(|(_, run)| run.announced && run.succeeded.is_some())
        .filter_map(|(_, run)| Some((run.ended_at? - run.started_at).num_seconds()))
        .collect();
    // From when on a run can be about this slot, and not about one before.
    let since = expected
        .as_ref()
        .map(|expected| answer.map_or(expected.slot, |answer| expected.slot.min(answer.received_at)));
    let newest = runs.iter().find(|(_, run)| run.started_at <= at).filter(|(_, run)| {
        since.is_none_or(|since| {
            since > at || run.started_at >= since || run.ended_at.is_none_or(|end| end >= since)
        })
    });
    let is_bad = |run: &Run| run.overran_at.is_some() || run.succeeded == Some(false);
    let answering = runs.iter().find(|(job_id, _)| Some(*job_id) == answered_by);
    let run = newest.filter(|(_, run)| is_bad(run)).or(answering).or(newest).cloned();
    let job_id = run.as_ref().map(|(job_id, _)| *job_id);
    let slot = expected.as_ref().map(|expected| expected.slot).filter(|slot| *slot <= at);
    let (alerts, missed) = alerts(client, tenant, monitor_id, slot, job_id, at, edited_since).await?;
    if let Some((slot, deadline)) = missed {
        expected = Some(Expected { slot, deadline, outcome: Outcome::Missed { silence: None } });
    }
    let blind = blind(client, tenant, monitor_id, expected.as_ref(), job_id).await?;
    Ok(Facts { expected, run, alerts, blind, durations })
}

fn run_of(row: &Row) -> ApiResult<(Uuid, Run)> {
    let run = Run {
        started_at: row.try_get("start_time")?,
        announced: row.try_get("announced")?,
        ended_at: row.try_get("end_time")?,
        succeeded: row.try_get("succeeded")?,
        exit_status: row.try_get("exit_status")?,
        due_at: row.try_get("due_at")?,
        overran_at: row.try_get("overran_at")?,
        abandoned_by_pause: row.try_get("abandoned_by_pause")?,
    };
    Ok((row.try_get("job_id")?, run))
}

type MissedSlot = (DateTime<Utc>, DateTime<Utc>);

/// The alerts about the slot, or a later one up to the instant, and about the run, with the recovery from them; and
/// the slot that was missed by them, with its deadline: by rules that were others then, it may be another one.
/// Without a slot, the one that was waited for at the instant; where the rules were changed since, the last one.
async fn alerts(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    slot: Option<DateTime<Utc>>,
    run: Option<Uuid>,
    at: DateTime<Utc>,
    edited_since: bool,
) -> ApiResult<(Vec<Alert>, Option<MissedSlot>)> {
    // Relies on the index of the constraint on monitor_id, cause and about, and on alert_of_incident.
    let statement = format!(
        "with of_this as (
             (select * from alert
              where monitor_id = $1 and tenant = $2 and cause = 'missed' and type = 'late'
                and about <= to_char($3 at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                and (about >= to_char($4 at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                     or $4 is null and (at >= $3 or $7))
              order by about desc limit 1)
             union all
             (select * from alert
              where monitor_id = $1 and tenant = $2 and cause in ('overran', 'failed')
                and about = $5::uuid::text and type <> 'recovered')
         )
         select {ALERT_COLUMNS} from (
             select * from of_this
             union all
             select r.* from alert r
             where r.incident_id in (select incident_id from of_this)
               and r.monitor_id = $1 and r.tenant = $2 and r.type = 'recovered'
         ) a
         order by a.at, a.type = 'recovered' limit $6"
    );
    let rows = client
        .query_typed(
            &statement,
            &[
                (&monitor_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&at, Type::TIMESTAMPTZ),
                (&slot, Type::TIMESTAMPTZ),
                (&run, Type::UUID),
                (&MOST_ALERTS, Type::INT8),
                (&edited_since, Type::BOOL),
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut missed = None;
    for row in &rows {
        let slot: Option<DateTime<Utc>> = row.try_get("slot")?;
        missed = missed.or(slot.zip(Some(row.try_get("at")?)));
        found.push(alert_of(row)?);
    }
    Ok((found, missed))
}

/// When CronMon was blind, so that the slot or the run was not judged. Relies on the primary key of
/// `unknown_verdict`.
async fn blind(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    expected: Option<&Expected>,
    run: Option<Uuid>,
) -> ApiResult<Option<Span>> {
    let rows = client
        .query_typed(
            "select s.began_at, s.ended_at from unknown_verdict u join outage_span s using (span_id)
             where u.monitor_id = $1 and u.tenant = $2
               and (u.slot <= $3 and u.deadline_at >= $3 or u.job_id = $4)
             order by u.deadline_at limit 1",
            &[
                (&monitor_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&expected.map(|expected| expected.slot), Type::TIMESTAMPTZ),
                (&run, Type::UUID),
            ],
        )
        .await?;
    let span =
        rows.first().map(|row| Ok::<_, ApiError>((row.try_get("began_at")?, row.try_get("ended_at")?)));
    span.transpose()
}

/// Why nobody was told at the instant, if it was quiet then.
pub(super) async fn quiet(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor: &Row,
    history: &[Recorded],
    at: DateTime<Utc>,
) -> ApiResult<Option<Quiet>> {
    // What is known of snoozes: the last one begun by then, and how far the monitor's own goes now.
    let snoozed = history.iter().rfind(|recorded| recorded.kind == "snooze" && recorded.received_at <= at);
    let ends_at = match snoozed {
        Some(snooze) => snooze.ends_at,
        None => monitor.try_get("snooze_ends_at")?,
    };
    if let Some(ends_at) = ends_at.filter(|ends_at| *ends_at > at) {
        return Ok(Some(Quiet { because: "snooze", name: None, ends_at }));
    }
    let rows = client
        .query_typed(
            "select w.name, start + make_interval(secs => w.duration) as ends_at
             from maintenance_window w, unnest(w.starts) start
             where w.tenant = $1 and ($2 = any (w.monitor_ids) or w.tags && $3)
               and start <= $4 and start + make_interval(secs => w.duration) > $4
             order by ends_at desc limit 1",
            &[
                (&tenant.0, Type::TEXT),
                (&monitor.try_get::<_, Uuid>("monitor_id")?, Type::UUID),
                (&monitor.try_get::<_, Vec<String>>("tags")?, Type::TEXT_ARRAY),
                (&at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let window = rows.first().map(|row| {
        Ok::<_, ApiError>(Quiet {
            because: "maintenance_window",
            name: row.try_get("name")?,
            ends_at: row.try_get("ends_at")?,
        })
    });
    window.transpose()
}
