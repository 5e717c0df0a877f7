//! What alerts there would have been: the rules of the model, played over signals that somebody gives or that a
//! monitor has recorded. Nothing is saved and nobody is told.

pub(crate) mod given;
pub(crate) mod history;

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use domain::replay::{Event, Replay};
use domain::sentence::sentence;
use domain::{Alert, Rules};
use serde::Serialize;

use crate::answers::ApiResult;
use crate::requests::wrong;
use crate::turns::in_turn;

/// Signals of one simulation. With the other limits it is what keeps one short.
const MOST_SIGNALS: usize = 5_000;

/// The longest time of one simulation.
const LONGEST: Duration = Duration::days(366);

/// Deadlines that pass in one simulation.
const MOST_DEADLINES: usize = 10_000;

/// Alerts that are shown; all are counted.
const MOST_SHOWN: usize = 1_000;

/// A monitor and what happens to it, ascending.
struct Simulation {
    rules: Rules,
    armed: bool,
    /// Whether the next ping ends a pause.
    resume_on_ping: bool,
    began: DateTime<Utc>,
    events: Vec<(DateTime<Utc>, Event)>,
    /// Alerts before it are not told.
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Where the monitor stands at the end, and what was told on the way.
#[derive(Serialize)]
struct Simulated {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    status: &'static str,
    running: bool,
    open_runs: usize,
    armed: bool,
    paused: bool,
    next_expected_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    /// How many of each type.
    alert_counts: Counts,
    /// The oldest first, at most [`MOST_SHOWN`].
    alerts: Vec<ShownAlert>,
}

type Counts = BTreeMap<String, usize>;

#[derive(Serialize)]
pub(crate) struct ShownAlert {
    r#type: &'static str,
    cause: &'static str,
    at: DateTime<Utc>,
    sentence: String,
}

impl ShownAlert {
    pub(crate) fn of(alert: &Alert) -> Self {
        Self {
            r#type: alert.fact.alert_type().name(),
            cause: alert.fact.cause().name(),
            at: alert.at,
            sentence: sentence(alert),
        }
    }
}

/// The types that are counted though there is none.
fn no_alerts() -> Counts {
    ["late", "failed", "recovered", "warning"].map(|name| (name.to_owned(), 0)).into()
}

/// That it is neither backwards nor too long.
fn check_span(since: DateTime<Utc>, until: DateTime<Utc>) -> ApiResult<()> {
    if until < since {
        return Err(wrong("until", &"it lies before the beginning"));
    }
    if until - since > LONGEST {
        return Err(wrong("until", &"it lies more than 366 days after the beginning"));
    }
    Ok(())
}

impl Simulation {
    async fn run(self) -> ApiResult<Simulated> {
        in_turn(move || self.play()).await?
    }

    fn play(self) -> ApiResult<Simulated> {
        let too_many = |e| wrong("until", &e);
        let mut replay = Replay::new(self.rules, self.armed, self.began, MOST_DEADLINES);
        replay.monitor.set_resume_on_ping(self.resume_on_ping);
        let mut alerts = Vec::new();
        for (at, event) in &self.events {
            alerts.extend(replay.happen(event, *at).map_err(too_many)?);
        }
        // What is due at the end has fallen due.
        alerts.extend(replay.pass(self.until + Duration::microseconds(1)).map_err(too_many)?);
        alerts.retain(|alert: &Alert| alert.at >= self.since);
        let mut alert_counts = no_alerts();
        for alert in &alerts {
            *alert_counts.entry(alert.fact.alert_type().name().to_owned()).or_default() += 1;
        }
        Ok(Simulated {
            since: self.since,
            until: self.until,
            status: replay.monitor.status.name(),
            running: replay.monitor.running(),
            open_runs: replay.open_jobs(),
            armed: replay.monitor.armed,
            paused: replay.monitor.is_paused(),
            next_expected_at: replay.monitor.next_slot,
            due_at: replay.monitor.due_at(),
            alert_counts,
            alerts: alerts.iter().take(MOST_SHOWN).map(ShownAlert::of).collect(),
        })
    }
}
