//! A simulation of a monitor that does not exist, over signals that are given.

use axum::extract::State;
use chrono::{DateTime, SubsecRound as _, Utc};
use domain::replay::Event;
use domain::{Signal, SignalKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{MOST_SIGNALS, Simulated, Simulation, check_span};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::monitors::decisions::{Besides, KNOWN_FIELDS, for_creation};
use crate::requests::{Caller, Fields, in_our_time, read_instant, wrong};

const OUR_FIELDS: [&str; 3] = ["signals", "created_at", "until"];

#[derive(Serialize)]
pub(crate) struct Answer {
    #[serde(flatten)]
    simulated: Simulated,
    /// What a monitor with these rules would have, given or not.
    grace_duration: i64,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with at, kind, and maybe rid and exit_status")]
struct GivenSignal {
    at: String,
    kind: String,
    rid: Option<Uuid>,
    exit_status: Option<u8>,
}

/// The fields of a new monitor, of which `name` may be absent, and `signals`, `created_at`, `until`.
pub(crate) async fn simulate(
    State(app): State<App>,
    Caller(_): Caller,
    mut fields: Fields,
) -> ApiResult<Data<Answer>> {
    let now = (app.clock)().trunc_subsecs(6);
    fields.optional_name()?;
    let rules = for_creation(&mut fields, now)?;
    // What a monitor has besides changes nothing here, but may stand in the body that is to create it.
    Besides::read(&mut fields)?;
    let armed = fields.optional("armed")?.value().unwrap_or(false);
    let signals = fields.required::<Vec<Value>>("signals")?;
    if signals.len() > MOST_SIGNALS {
        return Err(wrong("signals", &format!("there are more than {MOST_SIGNALS}")));
    }
    let mut events = Vec::with_capacity(signals.len());
    for (i, value) in signals.into_iter().enumerate() {
        events.push(event(value).map_err(|why| wrong("signals", &format!("number {}: {why}", i + 1)))?);
    }
    // Whoever writes them down need not sort them; those of one instant keep their order.
    events.sort_by_key(|(at, _)| *at);
    let (first, last) = (events.first().map(|(at, _)| *at), events.last().map(|(at, _)| *at));
    let (created_at, until) = (fields.instant("created_at")?.value(), fields.instant("until")?.value());
    let began = created_at.or(first).unwrap_or(now);
    let until = until.or(last).unwrap_or(began);
    for (name, instant) in [("signals", Some(began)), ("created_at", created_at), ("until", Some(until))] {
        instant.map(|instant| in_our_time(name, instant)).transpose()?;
    }
    if first.is_some_and(|first| first < began) {
        return Err(wrong("signals", &"one came before created_at"));
    }
    if last.is_some_and(|last| last > until) {
        return Err(wrong("signals", &"one came after until"));
    }
    check_span(began, until)?;
    let mut warnings = Vec::new();
    let known: Vec<&str> = KNOWN_FIELDS.into_iter().chain(OUR_FIELDS).collect();
    fields.warn_of_rest(&known, &mut warnings);

    let grace_duration = rules.grace_duration;
    let simulation = Simulation { rules, armed, resume_on_ping: false, began, events, since: began, until };
    Ok(Data::one(Answer { simulated: simulation.run().await?, grace_duration, warnings }))
}

fn event(value: Value) -> Result<(DateTime<Utc>, Event), String> {
    let given: GivenSignal = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let kind = SignalKind::from_name(&given.kind)
        .ok_or_else(|| "kind is one of start, success, fail and log".to_owned())?;
    let signal = Signal { kind, rid: given.rid, exit_status: given.exit_status.map(i16::from) };
    let at = read_instant(&given.at).map_err(|why| format!("at: {why}"))?;
    Ok((at, Event::Signal(signal)))
}
