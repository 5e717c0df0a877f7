//! What an owner decides about a monitor, as a body says it: the fields of both doors, their limits and
//! their defaults. The row holds the result; no code asks later which door it came through.

use chrono::{DateTime, Duration, Utc};
use domain::{AlertOn, Cron, MAX_DURATION, Rules, Schedule};
use serde_json::Value;

use crate::answers::{ApiError, ApiResult};
use crate::requests::{Fields, Given, no_nul, wrong};

/// Every field of a body, for the one who mistyped another.
pub(super) const KNOWN_FIELDS: [&str; 10] = [
    "name",
    "schedule",
    "expected_duration",
    "grace_duration",
    "start_grace_duration",
    "early_duration",
    "failure_threshold",
    "recovery_threshold",
    "alert_on",
    "armed",
];

const MOST_RESULTS_IN_A_ROW: i32 = 1_000;

const SHORTEST_DEFAULT_GRACE: i64 = 60;
const LONGEST_DEFAULT_GRACE: i64 = 3_600;

/// The rules of a new monitor. A body with `schedule` comes through our door, where everything else has a
/// default; one without is the original's and needs its three fields.
pub(super) fn for_creation(fields: &mut Fields, now: DateTime<Utc>) -> ApiResult<Rules> {
    if !fields.has("schedule") {
        let expected: i64 = fields.required("expected_duration")?;
        let grace: i64 = fields.required("grace_duration")?;
        let defaults = Rules {
            schedule: Schedule::None,
            expected_duration: Some(duration("expected_duration", expected)?),
            grace_duration: duration("grace_duration", grace)?,
            start_grace_duration: None,
            early_duration: None,
            failure_threshold: 1,
            recovery_threshold: 1,
            alert_on: AlertOn::Every,
        };
        return refine(fields, defaults);
    }
    let schedule = schedule(fields.required("schedule")?, now)?;
    let expected_duration = duration_or(fields, "expected_duration", None)?;
    let grace_duration = match duration_or(fields, "grace_duration", None)? {
        Some(seconds) => seconds,
        None => default_grace(&schedule, expected_duration, now),
    };
    let defaults = Rules {
        schedule,
        expected_duration,
        grace_duration,
        start_grace_duration: None,
        early_duration: None,
        failure_threshold: 1,
        recovery_threshold: 1,
        alert_on: AlertOn::First,
    };
    refine(fields, defaults)
}

/// The rules after a change: the original's fields are required, a field that it lacks keeps its value
/// when it is absent, and null clears it.
pub(super) fn for_change(fields: &mut Fields, old: Rules, now: DateTime<Utc>) -> ApiResult<Rules> {
    let expected: Option<i64> = fields.required("expected_duration")?;
    let grace: i64 = fields.required("grace_duration")?;
    let schedule = match fields.optional::<Value>("schedule")? {
        Given::Absent => old.schedule,
        Given::Null => Schedule::None,
        Given::Value(value) => schedule(value, now)?,
    };
    let kept = Rules {
        schedule,
        expected_duration: expected.map(|seconds| duration("expected_duration", seconds)).transpose()?,
        grace_duration: duration("grace_duration", grace)?,
        ..old
    };
    refine(fields, kept)
}

/// The fields that only ours has, over what holds without them.
fn refine(fields: &mut Fields, rules: Rules) -> ApiResult<Rules> {
    let threshold = |fields: &mut Fields, name: &str, kept: i32| match fields.optional::<i32>(name)? {
        Given::Absent => Ok(kept),
        Given::Null => Ok(1),
        Given::Value(n @ 1..=MOST_RESULTS_IN_A_ROW) => Ok(n),
        Given::Value(_) => Err(wrong(name, &format!("it must be from 1 to {MOST_RESULTS_IN_A_ROW}"))),
    };
    let alert_on = match fields.optional::<String>("alert_on")?.value() {
        None => rules.alert_on,
        Some(name) => {
            AlertOn::from_name(&name).ok_or_else(|| wrong("alert_on", &"it must be 'every' or 'first'"))?
        }
    };
    Ok(Rules {
        start_grace_duration: duration_or(fields, "start_grace_duration", rules.start_grace_duration)?,
        early_duration: duration_or(fields, "early_duration", rules.early_duration)?,
        failure_threshold: threshold(fields, "failure_threshold", rules.failure_threshold)?,
        recovery_threshold: threshold(fields, "recovery_threshold", rules.recovery_threshold)?,
        alert_on,
        ..rules
    })
}

/// `null`, `{"every": <seconds>}` or `{"cron": "<expression>", "timezone": "<IANA zone>"}`.
fn schedule(value: Value, now: DateTime<Utc>) -> ApiResult<Schedule> {
    let shape = || {
        wrong(
            "schedule",
            &r#"it must be null, {"every": 3600} or {"cron": "0 3 * * *", "timezone": "Europe/Riga"}"#,
        )
    };
    if value.is_null() {
        return Ok(Schedule::None);
    }
    let Value::Object(mut object) = value else { return Err(shape()) };
    let (every, cron, timezone) = (object.remove("every"), object.remove("cron"), object.remove("timezone"));
    if let Some(unknown) = object.keys().next() {
        // A mistyped zone must not become UTC in silence.
        let unknown: String = unknown.chars().take(64).collect();
        return Err(wrong("schedule", &format!("the field '{unknown}' is unknown")));
    }
    let schedule = match (every, cron, timezone) {
        (Some(Value::Number(n)), None, None) => {
            let seconds = n.as_i64().ok_or_else(|| wrong("schedule", &"every must be whole seconds"))?;
            Schedule::every(seconds)
        }
        (None, Some(Value::String(expression)), zone) => {
            no_nul("schedule", &expression)?;
            let zone = match zone {
                None | Some(Value::Null) => None,
                Some(Value::String(zone)) => Some(zone),
                Some(_) => return Err(wrong("schedule", &"timezone must be a string")),
            };
            Cron::parse(&expression, zone.as_deref(), now).map(Schedule::Cron)
        }
        _ => return Err(shape()),
    };
    schedule.map_err(|e| wrong("schedule", &e))
}

/// A tenth of the gap between slots, or of the run where there are none, within a minute and an hour.
fn default_grace(schedule: &Schedule, expected_duration: Option<i64>, now: DateTime<Utc>) -> i64 {
    let gap = schedule.gap(now).unwrap_or(Duration::seconds(expected_duration.unwrap_or(0)));
    (gap.num_seconds() / 10).clamp(SHORTEST_DEFAULT_GRACE, LONGEST_DEFAULT_GRACE)
}

fn duration_or(fields: &mut Fields, name: &str, kept: Option<i64>) -> ApiResult<Option<i64>> {
    fields.optional::<i64>(name)?.or_keep(kept).map(|seconds| duration(name, seconds)).transpose()
}

fn duration(name: &str, seconds: i64) -> Result<i64, ApiError> {
    match seconds {
        0..=MAX_DURATION => Ok(seconds),
        _ => Err(wrong(name, &format!("it must be from 0 to {MAX_DURATION} seconds (366 days)"))),
    }
}
