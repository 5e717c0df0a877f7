//! A monitor is changed by its owner. That never alerts by itself, and loses nothing that a ping or a
//! tick writes at the same time: it holds the row's lock like them.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound as _, Utc};
use database::schedules::{ScheduleColumns, schedule_of};
use database::signals::made_deliveries;
use domain::rules::slot_after_edit;
use domain::{AlertOn, Rules, Schedule};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::create::{expect, seconds};
use super::decisions::{Besides, Change, KNOWN_FIELDS};
use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Fields, Given, Ids};

pub(crate) async fn change(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
    mut fields: Fields,
) -> ApiResult<Data<ShownMonitor>> {
    let now = (app.clock)().trunc_subsecs(6);
    let name = fields.name()?;
    let change = Change::read(&mut fields, now)?;
    let besides = Besides::read(&mut fields)?;
    let mut unknown = Vec::new();
    if fields.optional::<serde_json::Value>("armed")? != Given::Absent {
        unknown.push("armed was ignored: it counts when a monitor is created".to_owned());
    }
    fields.warn_of_rest(&KNOWN_FIELDS, &mut unknown);

    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let old = lock(&transaction, &tenant, monitor_id, now).await?;
    let rules = change.over(old.rules.clone());

    let schedule = ScheduleColumns::from(&rules.schedule);
    let keywords = besides.keywords.as_ref();
    transaction
        .execute_typed(
            "update monitor set
                 name = $3, schedule_kind = $4, every_seconds = $5, cron = $6, timezone = $7,
                 expected_duration = $8, grace_duration = $9, start_grace_duration = $10, early_duration = $11,
                 failure_threshold = $12, recovery_threshold = $13, alert_on = $14,
                 slug = coalesce($15, slug), tags = coalesce($16, tags),
                 resume_on_ping = coalesce($17, resume_on_ping),
                 fail_keywords = case when $18 then $19 else fail_keywords end,
                 success_keywords = case when $18 then $20 else success_keywords end,
                 start_keywords = case when $18 then $21 else start_keywords end,
                 min_interval_duration = $22, min_duration = $23, edited_at = $24,
                 schedule_version = schedule_version + 1, revision = revision + 1
             where monitor_id = $1 and tenant = $2",
            &[
                (&monitor_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&name, Type::TEXT),
                (&schedule.kind, Type::TEXT),
                (&schedule.every_seconds, Type::INT4),
                (&schedule.cron, Type::TEXT),
                (&schedule.timezone, Type::TEXT),
                (&seconds(rules.expected_duration), Type::INT4),
                (&seconds(Some(rules.grace_duration)), Type::INT4),
                (&seconds(rules.start_grace_duration), Type::INT4),
                (&seconds(rules.early_duration), Type::INT4),
                (&rules.failure_threshold, Type::INT4),
                (&rules.recovery_threshold, Type::INT4),
                (&rules.alert_on.name(), Type::TEXT),
                (&besides.slug, Type::TEXT),
                (&besides.tags, Type::TEXT_ARRAY),
                (&besides.resume_on_ping, Type::BOOL),
                (&keywords.is_some(), Type::BOOL),
                (&keywords.and_then(|all| all.fail.as_ref()), Type::TEXT_ARRAY),
                (&keywords.and_then(|all| all.success.as_ref()), Type::TEXT_ARRAY),
                (&keywords.and_then(|all| all.start.as_ref()), Type::TEXT_ARRAY),
                (&seconds(rules.min_interval_duration), Type::INT4),
                (&seconds(rules.min_duration), Type::INT4),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map_err(|e| match &besides.slug {
            Some(slug) if is_taken(&e) => ApiError::slug_taken(slug),
            _ => e.into(),
        })?;
    if old.rules.expects_otherwise(&rules) {
        let next_slot = if old.armed {
            slot_after_edit(&old.rules.schedule, &rules.schedule, old.next_slot, now)
        } else {
            None
        };
        expect(&*transaction, monitor_id, &rules.schedule, old.armed, next_slot, now).await?;
    }
    if besides.tags.is_some() {
        // Other maintenance windows may cover it: the next tick looks anew at what is held back.
        transaction
            .execute_typed(
                "update monitor set
                     held_until = least(held_until, $3),
                     due_at = case when paused_at is null then least(due_at, $3) else due_at end
                 where monitor_id = $1 and tenant = $2 and held_until is not null",
                &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT), (&now, Type::TIMESTAMPTZ)],
            )
            .await?;
    }
    let mut monitor =
        one_monitor(&*transaction, &tenant, monitor_id, Some(&app.public_url.base(&headers)), now).await?;
    let new_deliveries = made_deliveries(&*transaction).await?;
    transaction.commit().await?;

    monitor.warnings.extend(unknown);
    Ok(Data::one(monitor).handing_over(new_deliveries))
}

/// The new slug is another monitor's, or becomes it at this moment: two that swap theirs wait for each other.
fn is_taken(e: &tokio_postgres::Error) -> bool {
    matches!(e.code(), Some(&SqlState::UNIQUE_VIOLATION | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// An incident begins after at most 1,000 misses, as in `apply_signal`.
const MOST_TURNS: usize = 40;

pub(super) struct Old {
    pub(super) rules: Rules,
    armed: bool,
    next_slot: Option<DateTime<Utc>>,
}

/// The monitor under its lock, once everything due before now was judged by the rules as they were.
pub(super) async fn lock(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: &Tenant,
    monitor_id: Uuid,
    now: DateTime<Utc>,
) -> ApiResult<Old> {
    let locked = transaction
        .query_typed(
            "select from monitor where monitor_id = $1 and tenant = $2 for update",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if locked.is_empty() {
        return Err(ApiError::no_monitor(monitor_id));
    }
    // A turn covers the slots that stand ready; where they ran out, the next 64 are given to it.
    let mut turns = 0;
    loop {
        transaction
            .execute_typed(
                "call let_fall_due($1, $2)",
                &[(&monitor_id, Type::UUID), (&now, Type::TIMESTAMPTZ)],
            )
            .await?;
        let rows = transaction
            .query_typed(
                "select schedule_kind, every_seconds, cron, timezone, expected_duration, grace_duration,
                        start_grace_duration, early_duration, failure_threshold, recovery_threshold, alert_on,
                        min_interval_duration, min_duration, armed, next_slot, slots_after, schedule_version
                 from monitor where monitor_id = $1 and tenant = $2",
                &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
            )
            .await?;
        let row = rows.first().ok_or_else(|| ApiError::no_monitor(monitor_id))?;
        let old =
            Old { rules: rules_of(row)?, armed: row.try_get("armed")?, next_slot: row.try_get("next_slot")? };
        let slots_after: Option<DateTime<Utc>> = row.try_get("slots_after")?;
        turns += 1;
        match (&old.rules.schedule, slots_after) {
            (Schedule::Cron(cron), Some(after)) if turns < MOST_TURNS => {
                transaction
                    .execute_typed(
                        "call give_slots($1, $2, $3, $4)",
                        &[
                            (&monitor_id, Type::UUID),
                            (&row.try_get::<_, i32>("schedule_version")?, Type::INT4),
                            (&cron.slots_after(after), Type::TIMESTAMPTZ_ARRAY),
                            (&now, Type::TIMESTAMPTZ),
                        ],
                    )
                    .await?;
            }
            _ => return Ok(old),
        }
    }
}

pub(crate) fn rules_of(row: &Row) -> ApiResult<Rules> {
    let wide = |column: &str| -> Result<Option<i64>, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<i32>>(column)?.map(i64::from))
    };
    Ok(Rules {
        // A schedule that can't be read any more can still be replaced.
        schedule: schedule_of(row).unwrap_or(Schedule::None),
        expected_duration: wide("expected_duration")?,
        grace_duration: wide("grace_duration")?.unwrap_or_default(),
        start_grace_duration: wide("start_grace_duration")?,
        early_duration: wide("early_duration")?,
        failure_threshold: row.try_get("failure_threshold")?,
        recovery_threshold: row.try_get("recovery_threshold")?,
        alert_on: AlertOn::from_name(row.try_get("alert_on")?).unwrap_or(AlertOn::First),
        min_interval_duration: wide("min_interval_duration")?,
        min_duration: wide("min_duration")?,
    })
}
