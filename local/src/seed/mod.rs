//! `cronmon seed`: replaces all data of one tenant by test data in which every state is to be seen at a glance.
//!
//! It comes about by the same rules as everything else, in one transaction: monitors are created in the past, their
//! signals applied at their times, and what fell due meanwhile is judged. Nobody is told.

mod plans;

use chrono::{DateTime, Utc};
use database::signals::{Address, ReceivedSignal, Terms, apply_by};
use database::{DatabaseError, Recycling, connect};
use deadpool_postgres::Object;
use domain::slug;
use plans::{Event, Plan};
use tokio_postgres::types::Type;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{inbox, migrate_up, settings, unreachable};

pub(crate) async fn seed(
    tenant: &str,
    is_sure: bool,
    get: impl Fn(&str) -> Option<String>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let target = settings::database(get)?;
    if !is_sure && !target.is_on_this_machine()? {
        return Err(format!(
            "seed deletes all data of the tenant '{tenant}', and DATABASE_URL is on another machine: \
             cronmon seed {tenant} --yes does it all the same"
        ));
    }
    let pool = connect(target, 1, Recycling::Fast)?;
    migrate_up(&pool).await.map_err(|e| e.to_string())?;
    let client = pool.get().await.map_err(|e| unreachable(&e).to_string())?;
    let made = in_one_transaction(&client, tenant, now).await.map_err(|e| e.to_string())?;
    for line in made {
        crate::say(&line);
    }
    Ok(())
}

async fn in_one_transaction(
    client: &Object,
    tenant: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DatabaseError> {
    client.batch_execute("begin").await?;
    let made = replace(client, tenant, now).await;
    client.batch_execute(if made.is_ok() { "commit" } else { "rollback" }).await?;
    made
}

async fn replace(client: &Object, tenant: &str, now: DateTime<Utc>) -> Result<Vec<String>, DatabaseError> {
    let inbox = remove_all(client, tenant).await?;
    let blind = forget_blind_times(client).await?;
    let plans = plans::all(now);
    client
        .execute_typed(
            "insert into maintenance_window (window_id, tenant, name, created_at, tags, duration, starts)
             values ($1, $2, 'warehouse upgrade', $3, array[$4], $5, array[$3])",
            &[
                (&Uuid::new_v4(), Type::UUID),
                (&tenant, Type::TEXT),
                (&(now - plans::WINDOW_BEGAN_BEFORE), Type::TIMESTAMPTZ),
                (&plans::WINDOW_TAG, Type::TEXT),
                (&plans::WINDOW_SECONDS, Type::INT4),
            ],
        )
        .await?;
    let mut ids = Vec::new();
    let mut signals = 0;
    for plan in &plans {
        ids.push(create(client, tenant, plan).await?);
        signals += plan.events.iter().filter(|(_, event)| matches!(event, Event::Signal { .. })).count();
    }
    for (plan, (monitor_id, ping_id)) in plans.iter().zip(&ids) {
        for (at, event) in &plan.events {
            happen(client, *monitor_id, *ping_id, *at, event).await?;
        }
    }
    let monitor_ids: Vec<Uuid> = ids.iter().map(|(monitor_id, _)| *monitor_id).collect();
    client
        .query_typed(
            "select judged from judge_due($1, 1000, null, null, $2)",
            &[(&now, Type::TIMESTAMPTZ), (&monitor_ids, Type::UUID_ARRAY)],
        )
        .await?;
    let statement = "update outage_span set kind = 'blind' where span_id = any ($1)";
    client.execute_typed(statement, &[(&blind, Type::UUID_ARRAY)]).await?;
    if let Some(alert_config_id) = inbox {
        let statement = "update alert_config set active = true where alert_config_id = $1";
        client.execute_typed(statement, &[(&alert_config_id, Type::UUID)]).await?;
    }
    let mut lines = shown(client, &plans, &monitor_ids).await?;
    lines.push(String::new());
    lines.push(format!(
        "{} monitors with {signals} pings are all that the tenant '{tenant}' has now; it stays as it is for a day.",
        plans.len()
    ));
    Ok(lines)
}

/// But the inbox that `make run` gave the tenant: a process that runs would not make it again. It hears nothing until
/// the end; answers with its id if it is to hear then.
async fn remove_all(client: &Object, tenant: &str) -> Result<Option<Uuid>, DatabaseError> {
    let inbox = inbox::id_of(tenant);
    for statement in [
        "delete from monitor where tenant = $1",
        "delete from alert where tenant = $1",
        "delete from alert_config where tenant = $1 and alert_config_id <> $2",
        "delete from maintenance_window where tenant = $1",
        "delete from ping_key where tenant = $1",
        "delete from api_key where tenant = $1",
        "delete from retention where tenant = $1",
    ] {
        client.execute_typed(statement, &[(&tenant, Type::TEXT), (&inbox, Type::UUID)]).await?;
    }
    let silenced = client
        .query_typed(
            "update alert_config set active = false where alert_config_id = $1 and active
             returning alert_config_id",
            &[(&inbox, Type::UUID)],
        )
        .await?;
    Ok(silenced.first().map(|row| row.try_get(0)).transpose()?)
}

/// Deadlines in times in which no ping came through would not be judged. Until this transaction ends, when they are as
/// they were, there are none: nobody else sees it. Answers with their ids.
async fn forget_blind_times(client: &Object) -> Result<Vec<Uuid>, DatabaseError> {
    let rows = client
        .query_typed(
            "update outage_span set kind = 'delayed' where kind = 'blind' and ended_at is not null returning span_id",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Answers with its id and its ping id.
async fn create(client: &Object, tenant: &str, plan: &Plan) -> Result<(Uuid, Uuid), DatabaseError> {
    let (monitor_id, ping_id) = (Uuid::new_v4(), Uuid::new_v4());
    let schedule = database::schedules::ScheduleColumns::from(&plan.schedule);
    client
        .execute_typed(
            "insert into monitor (
                 monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, every_seconds, cron, timezone,
                 expected_duration, grace_duration, alert_on, tags, fail_keywords, min_duration
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'first', $13, $14, $15)",
            &[
                (&monitor_id, Type::UUID),
                (&tenant, Type::TEXT),
                (&plan.name, Type::TEXT),
                (&slug::of_name(plan.name), Type::TEXT),
                (&ping_id, Type::UUID),
                (&plan.created_at, Type::TIMESTAMPTZ),
                (&schedule.kind, Type::TEXT),
                (&schedule.every_seconds, Type::INT4),
                (&schedule.cron, Type::TEXT),
                (&schedule.timezone, Type::TEXT),
                (&plan.expected_duration, Type::INT4),
                (&plan.grace_duration, Type::INT4),
                (&plan.tags, Type::TEXT_ARRAY),
                (&plan.fail_keywords, Type::TEXT_ARRAY),
                (&plan.min_duration, Type::INT4),
            ],
        )
        .await?;
    let slots = match &plan.schedule {
        domain::Schedule::Cron(cron) => Some(cron.slots_after(plan.created_at)),
        _ => None,
    };
    let next_slot =
        if plan.armed { domain::rules::first_slot(&plan.schedule, plan.created_at) } else { None };
    client
        .execute_typed(
            "call expect($1, $2, $3, $4, $5)",
            &[
                (&monitor_id, Type::UUID),
                (&plan.armed, Type::BOOL),
                (&next_slot, Type::TIMESTAMPTZ),
                (&slots, Type::TIMESTAMPTZ_ARRAY),
                (&plan.created_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok((monitor_id, ping_id))
}

async fn happen(
    client: &Object,
    monitor_id: Uuid,
    ping_id: Uuid,
    at: DateTime<Utc>,
    event: &Event,
) -> Result<(), DatabaseError> {
    let (statement, ends_at) = match event {
        Event::Signal { kind, exit_status, body } => {
            let seconds = at.timestamp().unsigned_abs();
            let signal = ReceivedSignal {
                address: Address::PingId(ping_id),
                // As if it had been made then.
                signal_id: Uuid::new_v7(Timestamp::from_unix(
                    NoContext,
                    seconds,
                    at.timestamp_subsec_nanos(),
                )),
                received_at: at,
                kind: *kind,
                rid: None,
                exit_status: *exit_status,
                source_address: None,
                user_agent: Some("curl/8.5.0".to_owned()),
                body: body.map(|text| text.as_bytes().to_vec()),
                searched: None,
            };
            apply_by(client, &signal, Terms::default()).await?;
            return Ok(());
        }
        Event::Pause => ("call pause_monitor($1, $2, $3)", None),
        Event::Snooze { until } => ("call snooze_monitor($1, $2, $3)", Some(until)),
    };
    client
        .execute_typed(
            statement,
            &[(&monitor_id, Type::UUID), (&at, Type::TIMESTAMPTZ), (&ends_at, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}

/// A line for each monitor: where it stands, its name, and what it is there for.
async fn shown(client: &Object, plans: &[Plan], ids: &[Uuid]) -> Result<Vec<String>, DatabaseError> {
    let rows = client
        .query_typed(
            "select concat_ws(', ', case when paused_at is null then status else 'paused' end,
                              case when open_jobs > 0 then 'running' end)
             from unnest($1) with ordinality wanted (monitor_id, place) join monitor using (monitor_id)
             order by place",
            &[(&ids, Type::UUID_ARRAY)],
        )
        .await?;
    let mut lines = Vec::new();
    for (plan, row) in plans.iter().zip(&rows) {
        let status: &str = row.try_get(0)?;
        lines.push(format!("{status:<15}{:<26}{}", plan.name, plan.shows));
    }
    Ok(lines)
}
