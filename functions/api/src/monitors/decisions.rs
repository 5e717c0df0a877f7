//! What an owner decides about a monitor, as a body says it: the fields of both doors, their limits and
//! their defaults. The row holds the result; no code asks later which door it came through.

use chrono::{DateTime, Duration, Utc};
use domain::{AlertOn, Cron, MAX_DURATION, Rules, Schedule, slug, tags};
use serde_json::Value;

use super::keywords::Keywords;
use crate::answers::{ApiError, ApiResult};
use crate::requests::{Fields, Given, no_nul, wrong};

/// Every field of a body, for the one who mistyped another.
pub(crate) const KNOWN_FIELDS: [&str; 16] = [
    "name",
    "schedule",
    "expected_duration",
    "grace_duration",
    "start_grace_duration",
    "early_duration",
    "failure_threshold",
    "recovery_threshold",
    "alert_on",
    "min_interval_duration",
    "min_duration",
    "armed",
    "slug",
    "tags",
    "resume_on_ping",
    "keywords",
];

const MOST_RESULTS_IN_A_ROW: i32 = 1_000;

const SHORTEST_DEFAULT_GRACE: i64 = 60;
const LONGEST_DEFAULT_GRACE: i64 = 3_600;

/// The rules of a new monitor. A body with `schedule` comes through our door, where everything else has a
/// default; one without is the original's and needs its three fields.
pub(crate) fn for_creation(fields: &mut Fields, now: DateTime<Utc>) -> ApiResult<Rules> {
    let (schedule, expected_duration, grace_duration, alert_on) = if fields.has("schedule") {
        let schedule = schedule(fields.required("schedule")?, now)?;
        let expected = duration_or_null(fields, "expected_duration")?.value();
        let grace = match duration_or_null(fields, "grace_duration")?.value() {
            Some(seconds) => seconds,
            None => default_grace(&schedule, expected, now),
        };
        (schedule, expected, grace, AlertOn::First)
    } else {
        if !fields.has("expected_duration") {
            let why = "the field is missing; only a body with a schedule can do without it";
            return Err(wrong("expected_duration", &why));
        }
        let expected = duration("expected_duration", fields.required("expected_duration")?)?;
        let grace = duration("grace_duration", fields.required("grace_duration")?)?;
        (Schedule::None, Some(expected), grace, AlertOn::Every)
    };
    let refinements = Refinements::read(fields)?;
    Ok(refinements.over(Rules {
        schedule,
        expected_duration,
        grace_duration,
        start_grace_duration: None,
        early_duration: None,
        failure_threshold: 1,
        recovery_threshold: 1,
        alert_on,
        min_interval_duration: None,
        min_duration: None,
    }))
}

/// What a body changes: the original's fields are required, a field that it lacks keeps its value when it
/// is absent, and null clears it.
pub(crate) struct Change {
    schedule: Given<Schedule>,
    expected_duration: Option<i64>,
    grace_duration: i64,
    refinements: Refinements,
}

impl Change {
    pub(crate) fn read(fields: &mut Fields, now: DateTime<Utc>) -> ApiResult<Self> {
        let expected: Option<i64> = fields.required("expected_duration")?;
        let grace: i64 = fields.required("grace_duration")?;
        Ok(Self {
            schedule: fields.optional::<Value>("schedule")?.try_map(|value| schedule(value, now))?,
            expected_duration: expected.map(|seconds| duration("expected_duration", seconds)).transpose()?,
            grace_duration: duration("grace_duration", grace)?,
            refinements: Refinements::read(fields)?,
        })
    }

    pub(crate) fn over(self, old: Rules) -> Rules {
        self.refinements.over(Rules {
            schedule: self.schedule.or_keep(Some(old.schedule)).unwrap_or(Schedule::None),
            expected_duration: self.expected_duration,
            grace_duration: self.grace_duration,
            ..old
        })
    }
}

/// The fields that only ours has, whichever door the body came through.
struct Refinements {
    start_grace_duration: Given<i64>,
    early_duration: Given<i64>,
    failure_threshold: Given<i32>,
    recovery_threshold: Given<i32>,
    alert_on: Given<AlertOn>,
    min_interval_duration: Given<i64>,
    min_duration: Given<i64>,
}

impl Refinements {
    fn read(fields: &mut Fields) -> ApiResult<Self> {
        Ok(Self {
            start_grace_duration: duration_or_null(fields, "start_grace_duration")?,
            early_duration: duration_or_null(fields, "early_duration")?,
            failure_threshold: threshold(fields, "failure_threshold")?,
            recovery_threshold: threshold(fields, "recovery_threshold")?,
            alert_on: fields.optional::<String>("alert_on")?.try_map(|name| {
                AlertOn::from_name(&name).ok_or_else(|| wrong("alert_on", &"it must be 'every' or 'first'"))
            })?,
            min_interval_duration: at_least(fields, "min_interval_duration")?,
            min_duration: at_least(fields, "min_duration")?,
        })
    }

    /// What is absent keeps its value. Null clears durations; the others, which can't be without a value,
    /// it leaves at their usual one.
    fn over(self, rules: Rules) -> Rules {
        Rules {
            start_grace_duration: self.start_grace_duration.or_keep(rules.start_grace_duration),
            early_duration: self.early_duration.or_keep(rules.early_duration),
            failure_threshold: self.failure_threshold.or_keep(Some(rules.failure_threshold)).unwrap_or(1),
            recovery_threshold: self.recovery_threshold.or_keep(Some(rules.recovery_threshold)).unwrap_or(1),
            alert_on: self.alert_on.value().unwrap_or(rules.alert_on),
            min_interval_duration: self.min_interval_duration.or_keep(rules.min_interval_duration),
            min_duration: self.min_duration.or_keep(rules.min_duration),
            ..rules
        }
    }
}

/// What a monitor has beside its rules: how it is found, and what is made of its pings. `None` where a body says
/// nothing, so that an old one keeps its value.
pub(crate) struct Besides {
    pub(super) slug: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) resume_on_ping: Option<bool>,
    pub(super) keywords: Option<Keywords>,
}

impl Besides {
    /// Null clears what can be cleared; a slug stays.
    pub(crate) fn read(fields: &mut Fields) -> ApiResult<Self> {
        let slug = fields.optional::<String>("slug")?.try_map(|text| {
            let why = "it has 1 to 100 characters, of a to z, 0 to 9, _ and -";
            if slug::is_slug(&text) { Ok(text) } else { Err(wrong("slug", &why)) }
        })?;
        let tags = fields
            .optional::<Vec<String>>("tags")?
            .try_map(|given| tags::check(given).map_err(|why| wrong("tags", &why)))?;
        Ok(Self {
            slug: slug.value(),
            tags: tags.or_default(),
            resume_on_ping: fields.optional("resume_on_ping")?.or_default(),
            keywords: fields.optional("keywords")?.try_map(Keywords::parse)?.or_default(),
        })
    }
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
    default_grace_for(schedule.gap(now).unwrap_or(Duration::seconds(expected_duration.unwrap_or(0))))
}

/// The same for a gap, or for a run.
pub(crate) fn default_grace_for(gap: Duration) -> i64 {
    (gap.num_seconds() / 10).clamp(SHORTEST_DEFAULT_GRACE, LONGEST_DEFAULT_GRACE)
}

fn duration_or_null(fields: &mut Fields, name: &str) -> ApiResult<Given<i64>> {
    fields.optional::<i64>(name)?.try_map(|seconds| duration(name, seconds))
}

/// A duration that something should take; 0 would ask for nothing, and is the same as null.
fn at_least(fields: &mut Fields, name: &str) -> ApiResult<Given<i64>> {
    Ok(match duration_or_null(fields, name)? {
        Given::Value(0) => Given::Null,
        given => given,
    })
}

fn threshold(fields: &mut Fields, name: &str) -> ApiResult<Given<i32>> {
    fields.optional::<i32>(name)?.try_map(|n| match n {
        1..=MOST_RESULTS_IN_A_ROW => Ok(n),
        _ => Err(wrong(name, &format!("it must be from 1 to {MOST_RESULTS_IN_A_ROW}"))),
    })
}

fn duration(name: &str, seconds: i64) -> Result<i64, ApiError> {
    match seconds {
        0..=MAX_DURATION => Ok(seconds),
        _ => Err(wrong(name, &format!("it must be from 0 to {MAX_DURATION} seconds (366 days)"))),
    }
}
