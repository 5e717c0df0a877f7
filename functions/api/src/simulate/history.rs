//! A simulation of a monitor over its own history, by its rules or by others: what a longer grace would have spared
//! its owner.

use axum::extract::State;
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use domain::Schedule;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Counts, MOST_SIGNALS, Simulated, Simulation, check_span, no_alerts};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::monitors::change::rules_of;
use crate::monitors::decisions::{Change, KNOWN_FIELDS};
use crate::monitors::recorded::{Recorded, events_of};
use crate::requests::{Caller, Ids, Query, in_our_time, wrong};

/// How far back it goes unless `since` says otherwise.
const USUAL: Duration = Duration::days(30);

/// What came before `since` says where the monitor stood then: so many signals, and so old.
const BEFORE: i64 = 200;
const OLDEST_BEFORE: Duration = Duration::days(31);

const PARAMETERS: [&str; 5] = ["since", "until", "cron", "timezone", "every"];

#[derive(Serialize)]
pub(crate) struct Answer {
    #[serde(flatten)]
    simulated: Simulated,
    /// How many alerts of each type there were in fact.
    recorded_counts: Counts,
    sentence: String,
    warnings: Vec<String>,
}

/// Any rule of the monitor may be replaced by a parameter of its name; the schedule by `cron` and `timezone`, or
/// by `every`.
pub(crate) async fn simulate(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    query: Query,
) -> ApiResult<Data<Answer>> {
    let now = (app.clock)().trunc_subsecs(6);
    let given = |name: &str| -> ApiResult<Option<DateTime<Utc>>> {
        query.instant(name)?.map(|instant| in_our_time(name, instant)).transpose()
    };
    let until = given("until")?.unwrap_or(now).min(now);
    let asked_since = given("since")?;
    let mut fields = query.rest_as_fields(&PARAMETERS)?;
    match (query.one("cron")?, query.one("timezone")?, query.one("every")?) {
        (None, None, None) => {}
        (Some(cron), zone, None) => fields.or("schedule", json!({ "cron": cron, "timezone": zone })),
        (None, None, Some(every)) => {
            let every: i64 = every.parse().map_err(|_| wrong("every", &"it must be whole seconds"))?;
            fields.or("schedule", json!({ "every": every }));
        }
        (None, Some(_), _) => return Err(wrong("timezone", &"it goes with cron alone")),
        (Some(_), _, Some(_)) => return Err(wrong("every", &"it can't stand beside cron")),
    }
    // What can't be used is said before it is asked whether the monitor exists.
    let mut check = fields.clone();
    check.or("expected_duration", json!(null));
    check.or("grace_duration", json!(0));
    Change::read(&mut check, now)?;

    let client = app.pool.get().await?;
    let rows = client
        .query_typed(
            "select * from monitor where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let monitor = rows.first().ok_or_else(|| ApiError::no_monitor(monitor_id))?;
    let old = rules_of(monitor)?;
    fields.or("expected_duration", json!(old.expected_duration));
    fields.or("grace_duration", json!(old.grace_duration));
    let rules = Change::read(&mut fields, now)?.over(old);
    let mut warnings = Vec::new();
    let known: Vec<&str> = KNOWN_FIELDS.into_iter().chain(PARAMETERS).collect();
    fields.warn_of_rest(&known, &mut warnings);
    if rules.schedule == Schedule::None && rules.expected_duration.is_none() {
        warnings.push("neither schedule nor expected_duration: only a fail is bad news".to_owned());
    }

    let created_at: DateTime<Utc> = monitor.try_get("created_at")?;
    let since = asked_since.unwrap_or(until - USUAL).max(created_at.min(until));
    check_span(since, until)?;
    let history = history(&**client, monitor_id, since, until).await?;
    let in_span = history.iter().filter(|recorded| recorded.received_at >= since).count();
    if in_span > MOST_SIGNALS {
        let why = format!("more than {MOST_SIGNALS} pings came since then; the limit is that");
        return Err(wrong("since", &why));
    }
    // Whether it was armed at its creation is not known once a signal came.
    let armed = history.is_empty() && monitor.try_get("armed")?;
    let began =
        history.first().map_or(created_at.max(since - OLDEST_BEFORE).min(until), |first| first.received_at);
    let resume_on_ping = monitor.try_get("resume_on_ping")?;
    let recorded_counts = recorded(&**client, monitor_id, since, until).await?;
    drop(client);

    let simulation =
        Simulation { rules, armed, resume_on_ping, began, events: events_of(&history), since, until };
    let simulated = simulation.run().await?;
    let bad = |counts: &Counts| {
        counts.iter().filter(|(kind, _)| ["late", "failed"].contains(&kind.as_str())).map(|(_, n)| n).sum()
    };
    let (would, did): (usize, usize) = (bad(&simulated.alert_counts), bad(&recorded_counts));
    let alerts = if would == 1 { "alert" } else { "alerts" };
    let sentence = format!("{would} {alerts} of bad news by these rules, in place of {did}");
    Ok(Data::one(Answer { simulated, recorded_counts, sentence, warnings }))
}

/// What came in the time, and a little of what came before; one more than is allowed. Relies on the index
/// `signal_newest_first`; bound to the tenant by who calls it.
async fn history(
    client: &impl GenericClient,
    monitor_id: Uuid,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> ApiResult<Vec<Recorded>> {
    let most = i64::try_from(MOST_SIGNALS).unwrap_or(i64::MAX) + 1;
    let rows = client
        .query_typed(
            "(select signal_id, received_at, kind, rid, exit_status, job_id, ends_at from signal
              where monitor_id = $1 and received_at >= $6 and received_at < $2
              order by received_at desc, signal_id desc limit $4)
             union all
             (select signal_id, received_at, kind, rid, exit_status, job_id, ends_at from signal
              where monitor_id = $1 and received_at >= $2 and received_at <= $3
              order by received_at desc, signal_id desc limit $5)
             order by received_at, signal_id",
            &[
                (&monitor_id, Type::UUID),
                (&since, Type::TIMESTAMPTZ),
                (&until, Type::TIMESTAMPTZ),
                (&BEFORE, Type::INT8),
                (&most, Type::INT8),
                (&(since - OLDEST_BEFORE), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    rows.iter().map(Recorded::of).collect()
}

/// How many alerts there were. Relies on the index of the constraint on `monitor_id`, `cause`, `about`.
async fn recorded(
    client: &impl GenericClient,
    monitor_id: Uuid,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> ApiResult<Counts> {
    let rows = client
        .query_typed(
            "select type, count(*) as n from alert
             where monitor_id = $1 and at >= $2 and at <= $3 group by type",
            &[(&monitor_id, Type::UUID), (&since, Type::TIMESTAMPTZ), (&until, Type::TIMESTAMPTZ)],
        )
        .await?;
    let mut counts = no_alerts();
    for row in &rows {
        let count = usize::try_from(row.try_get::<_, i64>("n")?).unwrap_or_default();
        counts.insert(row.try_get("type")?, count);
    }
    Ok(counts)
}
