//! Why: what was expected of a monitor at an instant, what came, and what that means.
//!
//! What was written down decides: alerts, runs, pauses, the times in which CronMon was blind. The rest is told by
//! the model, played over the recorded history by the rules of now.

mod facts;

use std::collections::BTreeSet;

use axum::extract::State;
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use domain::clock_change::changes_between;
use domain::explain::{Account, Expected, Outcome, Span, last_slot_of, slot_at};
use domain::hints::{Hint, hints};
use domain::replay::Replay;
use domain::{AlertOn, Rules, Schedule, SignalKind};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::change::rules_of;
use super::recorded::{Recorded, events_of};
use facts::{AFTER, Quiet, around, facts, pause_at, quiet};

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Ids, Query, in_our_time, wrong};
use crate::schedules::preview::local;
use crate::simulate::ShownAlert;
use crate::turns::in_turn;

/// Signals that are shown.
const SHOWN: usize = 20;

/// Deadlines that pass in those signals.
const MOST_DEADLINES: usize = 30_000;

/// A change of the clocks this near to a slot is worth a word.
const NEAR: Duration = Duration::days(1);

#[derive(Serialize)]
pub(crate) struct Explanation {
    at: DateTime<Utc>,
    verdict: &'static str,
    sentence: String,
    expected: Option<ShownExpected>,
    run: Option<ShownRun>,
    /// The signals of the time from the slot to its verdict, the oldest first.
    came: Vec<Recorded>,
    alerts: Vec<ShownAlert>,
    quiet: Option<Quiet>,
    paused: Option<Pause>,
    /// When CronMon could not see whether pings came in.
    blind: Option<Pause>,
    /// Where the monitor stands now.
    status: String,
    next_expected_at: Option<DateTime<Utc>>,
    edited_at: Option<DateTime<Utc>>,
    /// It was changed after the instant: what no alert says is said by the rules of now.
    edited_since: bool,
    remarks: Vec<String>,
    hints: Vec<ShownHint>,
}

#[derive(Serialize)]
struct ShownExpected {
    slot_at: DateTime<Utc>,
    local: String,
    timezone: &'static str,
    deadline_at: DateTime<Utc>,
    /// What the deadline leaves after the slot: the grace, and of a monitor that pings ends alone the run.
    waits_duration: i64,
    outcome: &'static str,
    clock_change: Option<ShownChange>,
}

/// The change of the clocks near the slot, and what it does to the schedule.
#[derive(Serialize)]
struct ShownChange {
    at: DateTime<Utc>,
    sentence: String,
}

#[derive(Serialize)]
struct ShownRun {
    job_id: Uuid,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    overran_at: Option<DateTime<Utc>>,
    succeeded: Option<bool>,
    exit_status: Option<i16>,
}

#[derive(Serialize)]
struct Pause {
    began_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct ShownHint {
    about: &'static str,
    sentence: String,
}

pub(crate) async fn explain(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    query: Query,
) -> ApiResult<Data<Explanation>> {
    let now = (app.clock)().trunc_subsecs(6);
    let at = query.instant("at")?.map_or(Ok(now), |at| in_our_time("at", at))?;
    let client = app.pool.get().await?;
    let rows = client
        .query_typed(
            "select * from monitor where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_monitor(monitor_id))?;
    let rules = rules_of(row)?;
    let created_at: DateTime<Utc> = row.try_get("created_at")?;
    let edited_at: Option<DateTime<Utc>> = row.try_get("edited_at")?;
    let armed: bool = row.try_get("armed")?;

    let mut history = around(&**client, monitor_id, at).await?;
    let paused = pause_at(row, &mut history, at)?;
    let resume_on_ping = row.try_get("resume_on_ping")?;
    let edited_since = edited_at.is_some_and(|edited| edited > at);
    // Whoever waits for a turn holds no connection.
    drop(client);
    let (found, rules, history) = in_turn(move || {
        let found = find_slot(&rules, armed, resume_on_ping, created_at, &history, at, now);
        (found, rules, history)
    })
    .await?;
    let found = found?;

    let client = app.pool.get().await?;
    let facts = facts(&**client, &tenant, monitor_id, found, &history, at, edited_since).await?;
    let quiet = quiet(&**client, &tenant, row, &history, at).await?;
    drop(client);

    let answer = match facts.expected.as_ref().map(|expected| expected.outcome) {
        Some(Outcome::Answered { by }) => history.get(by),
        _ => None,
    };
    let expected = facts.expected;
    let account = Account {
        at,
        now,
        zone: rules.zone(),
        created_at,
        has_schedule: rules.schedule != Schedule::None,
        armed,
        answered: answer.and_then(|by| Some((by.received_at, SignalKind::from_name(&by.kind)?))),
        run: facts.run.as_ref().map(|(_, run)| run.clone()),
        alerts: facts.alerts,
        paused,
        blind: facts.blind,
        edited_at: edited_at
            .filter(|edited| expected.as_ref().is_some_and(|of| of.slot < *edited && *edited <= of.deadline)),
        last_success_at: last_success(row, &history, expected.as_ref())?,
        failure_threshold: rules.failure_threshold,
        expected,
    };
    let pings: Vec<(DateTime<Utc>, SignalKind)> = history
        .iter()
        .filter_map(|ping| Some((ping.received_at, SignalKind::from_name(&ping.kind)?)))
        .collect();
    Ok(Data::one(Explanation {
        at,
        verdict: account.verdict().name(),
        sentence: account.sentence(),
        expected: account.expected.as_ref().map(|expected| shown_expected(&rules, expected)),
        came: came(&account, &history),
        run: facts.run.map(|(job_id, run)| ShownRun {
            job_id,
            started_at: run.started_at,
            ended_at: run.ended_at,
            due_at: run.due_at,
            overran_at: run.overran_at,
            succeeded: run.succeeded,
            exit_status: run.exit_status,
        }),
        alerts: account.alerts.iter().map(ShownAlert::of).collect(),
        quiet,
        paused: account.paused.map(Pause::of),
        blind: account.blind.map(Pause::of),
        status: if row.try_get::<_, Option<DateTime<Utc>>>("paused_at")?.is_some() {
            "paused".to_owned()
        } else {
            row.try_get("status")?
        },
        next_expected_at: row.try_get("next_slot")?,
        edited_at,
        edited_since,
        remarks: remarks(&account, edited_at.filter(|_| edited_since), &history),
        hints: hints(&rules, &pings, &facts.durations).into_iter().map(ShownHint::of).collect(),
    }))
}

/// The slot by the model; nothing to say where more passed than it may look at.
fn find_slot(
    rules: &Rules,
    armed: bool,
    resume_on_ping: bool,
    created_at: DateTime<Utc>,
    history: &[Recorded],
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ApiResult<Option<Expected>> {
    // Verdicts do not depend on which of them are told; where the first is, years of misses are one look.
    let rules = Rules { alert_on: AlertOn::First, ..rules.clone() };
    let start_at = |began, armed| (Replay::new(rules.clone(), armed, began, MOST_DEADLINES), began);
    let (mut start, began) = match (&rules.schedule, history.first()) {
        (_, None) => start_at(created_at, armed),
        // Whether it was armed before is not known; where the first one came in time, it answers its slot.
        (Schedule::Cron(cron), Some(first)) => {
            let slot = last_slot_of(cron, first.received_at).filter(|slot| *slot > created_at);
            let before = slot.map(|slot| start_at(slot - Duration::microseconds(1), true));
            let in_time =
                before.filter(|(start, _)| start.monitor.slot_deadline() >= Some(first.received_at));
            in_time.unwrap_or_else(|| start_at(first.received_at, false))
        }
        (Schedule::None | Schedule::Every(_), Some(first)) => start_at(first.received_at, false),
    };
    start.monitor.set_resume_on_ping(resume_on_ping);
    // Where more came than was read, what became of the slot is known up to there.
    let after = history.iter().filter(|recorded| recorded.received_at > at).count();
    let known_until = match history.last() {
        Some(last) if i64::try_from(after) == Ok(AFTER) => last.received_at,
        _ => now,
    };
    slot_at(&start, began, &events_of(history), at, known_until.max(at.min(now))).map_err(|e| wrong("at", &e))
}

/// The last success before the deadline, as far as it is known.
fn last_success(
    monitor: &Row,
    history: &[Recorded],
    expected: Option<&Expected>,
) -> ApiResult<Option<DateTime<Utc>>> {
    let newest: Option<DateTime<Utc>> = monitor.try_get("last_success_at")?;
    let Some(expected) = expected else { return Ok(newest) };
    let before = history
        .iter()
        .rfind(|recorded| recorded.kind == "success" && recorded.received_at <= expected.deadline)
        .map(|success| success.received_at);
    Ok(before.or(newest.filter(|newest| *newest <= expected.deadline)))
}

fn shown_expected(rules: &Rules, expected: &Expected) -> ShownExpected {
    let zone = rules.zone();
    let clock_change = match &rules.schedule {
        Schedule::Cron(cron) => {
            let near = changes_between(zone, expected.slot - NEAR, expected.slot + NEAR).into_iter().next();
            near.map(|change| ShownChange {
                at: change.at,
                sentence: change
                    .effect_on(cron)
                    .map_or_else(|| change.sentence(), |effect| effect.sentence()),
            })
        }
        Schedule::None | Schedule::Every(_) => None,
    };
    ShownExpected {
        slot_at: expected.slot,
        local: local(expected.slot, zone),
        timezone: zone.name(),
        deadline_at: expected.deadline,
        waits_duration: (expected.deadline - expected.slot).num_seconds(),
        outcome: match expected.outcome {
            Outcome::Pending => "pending",
            Outcome::Answered { .. } => "answered",
            Outcome::Missed { .. } => "missed",
            Outcome::NotJudged => "not_judged",
        },
        clock_change,
    }
}

/// From the slot, or what answered it, to its deadline or the end of its run.
fn came(account: &Account, history: &[Recorded]) -> Vec<Recorded> {
    let slot = account.expected.as_ref().filter(|expected| expected.slot <= account.now);
    let instants: BTreeSet<DateTime<Utc>> = [
        slot.map(|expected| expected.slot),
        slot.map(|expected| expected.deadline),
        account.answered.map(|(at, _)| at),
        account.run.as_ref().map(|run| run.started_at),
        account.run.as_ref().and_then(|run| run.ended_at),
        Some(account.at),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (Some(from), Some(until)) = (instants.first(), instants.last()) else { return Vec::new() };
    history
        .iter()
        .filter(|recorded| (from..=until).contains(&&recorded.received_at) && !recorded.signal_id.is_nil())
        .take(SHOWN)
        .cloned()
        .collect()
}

fn remarks(account: &Account, edited_at: Option<DateTime<Utc>>, history: &[Recorded]) -> Vec<String> {
    let (at, created_at) = (account.at, account.created_at);
    let mut remarks: Vec<String> = account.remark().into_iter().collect();
    if let Some(edited) = edited_at {
        remarks.push(format!(
            "the monitor was changed at {}, after this: what no alert says goes by its rules of now",
            edited.format("%Y-%m-%dT%H:%M:%SZ")
        ));
    }
    if at > created_at && !history.iter().any(|recorded| recorded.received_at <= at) && !history.is_empty() {
        remarks.push(
            "no pings of that time are there: none had come, or they are too old to be kept".to_owned(),
        );
    }
    remarks
}

impl Pause {
    fn of((began_at, ended_at): Span) -> Self {
        Self { began_at, ended_at }
    }
}

impl ShownHint {
    fn of(hint: Hint) -> Self {
        Self { about: hint.about, sentence: hint.sentence }
    }
}
