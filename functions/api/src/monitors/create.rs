//! A new monitor.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound as _, Utc};
use database::schedules::ScheduleColumns;
use domain::rules::first_slot;
use domain::{Rules, Schedule, slug};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::decisions::{Besides, KNOWN_FIELDS, for_creation};
use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Fields};

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    mut fields: Fields,
) -> ApiResult<Data<ShownMonitor>> {
    let now = (app.clock)().trunc_subsecs(6);
    let name = fields.name()?;
    let rules = for_creation(&mut fields, now)?;
    let besides = Besides::read(&mut fields)?;
    let armed = fields.optional("armed")?.value().unwrap_or(false);
    let mut unknown = Vec::new();
    fields.warn_of_rest(&KNOWN_FIELDS, &mut unknown);

    let monitor_id = Uuid::new_v4();
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    insert(&*transaction, &tenant, monitor_id, &name, &rules, &besides, now).await?;
    let next_slot = if armed { first_slot(&rules.schedule, now) } else { None };
    expect(&*transaction, monitor_id, &rules.schedule, armed, next_slot, now).await?;
    let mut monitor =
        one_monitor(&*transaction, &tenant, monitor_id, Some(&app.public_url.base(&headers)), now).await?;
    transaction.commit().await?;

    monitor.warnings.extend(unknown);
    Ok(Data::one(monitor))
}

/// With the slug that was given, or the first free one that the name may get.
async fn insert(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    name: &str,
    rules: &Rules,
    besides: &Besides,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let slugs = match &besides.slug {
        Some(given) => vec![given.clone()],
        None => slug::candidates(name, monitor_id),
    };
    // A slug that looks free may be taken by a creation of the same moment. Then nothing is inserted, once that
    // one is committed, and the next turn sees it: each turn that fails leaves a candidate less.
    for _ in &slugs {
        if insert_with_first_free(client, tenant, monitor_id, name, rules, besides, &slugs, now).await? {
            return Ok(());
        }
    }
    Err(ApiError::slug_taken(slugs.last().map_or("", String::as_str)))
}

/// Whether it was inserted. Relies on the unique index `monitor_slug`.
// They are the columns of one insert; a struct for them would be made and taken apart once.
#[allow(clippy::too_many_arguments)]
async fn insert_with_first_free(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    name: &str,
    rules: &Rules,
    besides: &Besides,
    slugs: &[String],
    now: DateTime<Utc>,
) -> ApiResult<bool> {
    let schedule = ScheduleColumns::from(&rules.schedule);
    let keywords = besides.keywords.as_ref();
    let inserted = client
        .execute_typed(
            "insert into monitor (
                 monitor_id, tenant, name, ping_id, created_at, schedule_kind, every_seconds, cron, timezone,
                 expected_duration, grace_duration, start_grace_duration, early_duration,
                 failure_threshold, recovery_threshold, alert_on,
                 tags, resume_on_ping, fail_keywords, success_keywords, start_keywords,
                 min_interval_duration, min_duration, slug
             )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                    $22, $23, candidate.slug
             from unnest($24::text[]) with ordinality as candidate (slug, place)
             where not exists (select from monitor m where m.tenant = $2 and m.slug = candidate.slug)
             order by candidate.place limit 1
             on conflict (tenant, slug) do nothing",
            &[
                (&monitor_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&name, Type::TEXT),
                (&Uuid::new_v4(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
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
                (&besides.tags.as_deref().unwrap_or_default(), Type::TEXT_ARRAY),
                (&besides.resume_on_ping.unwrap_or(false), Type::BOOL),
                (&keywords.and_then(|all| all.fail.as_ref()), Type::TEXT_ARRAY),
                (&keywords.and_then(|all| all.success.as_ref()), Type::TEXT_ARRAY),
                (&keywords.and_then(|all| all.start.as_ref()), Type::TEXT_ARRAY),
                (&seconds(rules.min_interval_duration), Type::INT4),
                (&seconds(rules.min_duration), Type::INT4),
                (&slugs, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(inserted > 0)
}

/// What the monitor expects from now on.
pub(super) async fn expect(
    client: &impl GenericClient,
    monitor_id: Uuid,
    schedule: &Schedule,
    armed: bool,
    next_slot: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let slots = match schedule {
        Schedule::Cron(cron) => Some(cron.slots_after(now)),
        Schedule::None | Schedule::Every(_) => None,
    };
    client
        .execute_typed(
            "call expect($1, $2, $3, $4, $5)",
            &[
                (&monitor_id, Type::UUID),
                (&armed, Type::BOOL),
                (&next_slot, Type::TIMESTAMPTZ),
                (&slots, Type::TIMESTAMPTZ_ARRAY),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(())
}

/// Checked to be at most `domain::MAX_DURATION`, which fits.
pub(crate) fn seconds(duration: Option<i64>) -> Option<i32> {
    duration.and_then(|seconds| i32::try_from(seconds).ok())
}
