//! A schedule before it is saved: what it says in words, its next slots, and what the next changes of the clocks
//! do to it. It needs no database.

use axum::extract::State;
use chrono::{DateTime, Duration, NaiveDateTime, SecondsFormat, SubsecRound as _, Utc};
use chrono_tz::Tz;
use domain::clock_change::{Effect, changes_after};
use domain::describe::describe;
use domain::schedule::SLOTS_AHEAD;
use domain::{Cron, Schedule, ScheduleError};
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::answers::{ApiResult, Data};
use crate::monitors::decisions::{KNOWN_FIELDS, for_creation};
use crate::monitors::shown::shown_schedule;
use crate::requests::{Caller, Query, in_our_time, wrong};

/// Slots that are shown unless `count` says otherwise.
const USUAL: usize = 10;

const PARAMETERS: [&str; 5] = ["cron", "timezone", "every", "count", "from"];

#[derive(Serialize)]
pub(crate) struct Preview {
    schedule: Value,
    /// In words, without the zone.
    description: String,
    expected_duration: Option<i64>,
    /// What a monitor with this schedule would get, unless it was given.
    grace_duration: i64,
    slots: Vec<Slot>,
    clock_changes: Vec<ShownEffect>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Slot {
    at: DateTime<Utc>,
    /// As the clocks of the zone show it, with their offset.
    local: String,
}

/// A change of the clocks that does something to the schedule.
#[derive(Serialize)]
struct ShownEffect {
    at: DateTime<Utc>,
    /// Seconds ahead of UTC.
    offset_before: i32,
    offset_after: i32,
    /// Whether the times are left out; else they come twice.
    skips: bool,
    times: Vec<AffectedTime>,
    sentence: String,
}

#[derive(Serialize)]
struct AffectedTime {
    local: NaiveDateTime,
    /// When a run is expected for it.
    expected_at: Vec<DateTime<Utc>>,
}

pub(crate) async fn preview(
    State(app): State<App>,
    Caller(_): Caller,
    query: Query,
) -> ApiResult<Data<Preview>> {
    let now = (app.clock)().trunc_subsecs(6);
    let schedule = schedule(&query, now)?;
    let count = match query.one("count")?.map(str::parse::<usize>) {
        None => USUAL,
        Some(Ok(count @ 1..=SLOTS_AHEAD)) => count,
        Some(_) => return Err(wrong("count", &format!("it must be from 1 to {SLOTS_AHEAD}"))),
    };
    let from = query.instant("from")?.map_or(Ok(now), |from| in_our_time("from", from))?;
    let mut fields = query.rest_as_fields(&PARAMETERS)?;
    fields.or("schedule", shown_schedule(&schedule));
    let rules = for_creation(&mut fields, now)?;

    let mut warnings = Vec::new();
    let zone = rules.zone();
    let (slots, effects) = match &schedule {
        Schedule::None => (Vec::new(), Vec::new()),
        Schedule::Every(n) => {
            let slots = (1..).map(|i| from + Duration::seconds(n * i)).take(count).collect();
            (slots, Vec::new())
        }
        Schedule::Cron(cron) => {
            if cron.zone().is_none() {
                warnings.push("no timezone was given: the schedule is read in UTC".to_owned());
            }
            let mut slots = cron.slots_after(from);
            slots.truncate(count);
            let changes = changes_after(zone, from);
            (slots, changes.into_iter().filter_map(|change| change.effect_on(cron)).collect())
        }
    };
    warnings.extend(effects.iter().map(Effect::sentence));
    let known: Vec<&str> = KNOWN_FIELDS.into_iter().chain(PARAMETERS).collect();
    fields.warn_of_rest(&known, &mut warnings);
    Ok(Data::one(Preview {
        schedule: shown_schedule(&schedule),
        description: describe(&schedule),
        expected_duration: rules.expected_duration,
        grace_duration: rules.grace_duration,
        slots: slots.into_iter().map(|at| Slot { at, local: local(at, zone) }).collect(),
        clock_changes: effects.into_iter().map(ShownEffect::of).collect(),
        warnings,
    }))
}

/// `cron` with or without `timezone`, or `every`.
fn schedule(query: &Query, now: DateTime<Utc>) -> ApiResult<Schedule> {
    let (cron, timezone, every) = (query.one("cron")?, query.one("timezone")?, query.one("every")?);
    let schedule = match (cron, timezone, every) {
        (Some(expression), zone, None) => Cron::parse(expression, zone, now).map(Schedule::Cron),
        (None, None, Some(seconds)) => {
            let seconds = seconds.parse().map_err(|_| wrong("every", &"it must be whole seconds"))?;
            Schedule::every(seconds)
        }
        (None, None, None) => return Err(wrong("cron", &"give it, or every")),
        (None, Some(_), _) => return Err(wrong("timezone", &"it goes with cron alone")),
        (Some(_), _, Some(_)) => return Err(wrong("every", &"it can't stand beside cron")),
    };
    schedule.map_err(|e| {
        let name = match e {
            ScheduleError::Every(_) => "every",
            ScheduleError::Zone(_) => "timezone",
            ScheduleError::Expression(_) | ScheduleError::NoSlot => "cron",
        };
        let why = e.to_string();
        // The name of the parameter stands before it already.
        wrong(name, &why.strip_prefix(name).unwrap_or(&why).trim_start())
    })
}

/// An instant as the clocks of a zone show it.
pub(crate) fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

impl ShownEffect {
    fn of(effect: Effect) -> Self {
        Self {
            at: effect.change.at,
            offset_before: effect.change.before,
            offset_after: effect.change.after,
            skips: effect.change.skips(),
            sentence: effect.sentence(),
            times: effect
                .times
                .into_iter()
                .map(|time| AffectedTime { local: time.local, expected_at: time.expected_at })
                .collect(),
        }
    }
}
