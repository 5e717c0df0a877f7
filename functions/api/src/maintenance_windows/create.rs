//! A new maintenance window.

use axum::extract::State;
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::decisions::{Said, existing, none_is_missing};
use super::read::{ShownWindow, one_window};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Fields};
use crate::turns::{Made, before_a_connection, take_turns};

/// Windows of a tenant.
const MOST: i64 = 200;

/// What is over for so long no late judgement asks for.
const FORGOTTEN_AFTER: Duration = Duration::days(2);

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    fields: Fields,
) -> ApiResult<Data<ShownWindow>> {
    let now = (app.clock)().trunc_subsecs(6);
    let mut said = Said::read(fields)?;
    let unknown = std::mem::take(&mut said.warnings);
    let window = said.over(None, now)?;
    // A new one always says when.
    let when = window.when.ok_or_else(|| ApiError::internal(&"a new window has no time"))?;

    let window_id = Uuid::new_v4();
    let starts = when.starts(now);
    let _turn = before_a_connection().await?;
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    take_turns(&*transaction, &tenant, Made::MaintenanceWindows).await?;
    // The monitors before any window, as who deletes one has it.
    none_is_missing(&window.monitor_ids, &existing(&*transaction, &tenant, &window.monitor_ids).await?)?;
    make_room(&*transaction, &tenant, now).await?;
    transaction
        .execute_typed(
            "insert into maintenance_window (
                 window_id, tenant, name, created_at, monitor_ids, tags, cron, timezone, duration, starts, refill_at
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                (&window_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&window.name, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&window.monitor_ids, Type::UUID_ARRAY),
                (&window.tags, Type::TEXT_ARRAY),
                (&when.cron().map(domain::Cron::expression), Type::TEXT),
                (&when.zone(), Type::TEXT),
                // At most domain::MAX_DURATION, which fits.
                (&i32::try_from(when.duration()).ok(), Type::INT4),
                (&starts.instants, Type::TIMESTAMPTZ_ARRAY),
                (&starts.refill_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let mut shown = one_window(&*transaction, &tenant, window_id, now).await?;
    transaction.commit().await?;
    shown.warnings.extend(unknown);
    Ok(Data::one(shown))
}

/// When there is no place left, those go that are over for longest: a script may make one with each deployment. They
/// are locked in the order of their ids, as by who deletes a monitor.
async fn make_room(client: &impl GenericClient, tenant: &Tenant, now: DateTime<Utc>) -> ApiResult<()> {
    let rows = client
        .query_typed(
            "with oldest as materialized (
                 select window_id from maintenance_window
                 where tenant = $1 and cron is null
                   and starts[1] + make_interval(secs => duration) < $2
                 order by starts[1] + make_interval(secs => duration)
                 limit greatest(0, (select count(*) from maintenance_window where tenant = $1) - $3 + 1)
             ), locked as materialized (
                 select window_id from maintenance_window join oldest using (window_id)
                 order by window_id for update of maintenance_window
             ), gone as (
                 delete from maintenance_window w using locked where w.window_id = locked.window_id
                 returning w.window_id
             )
             select (select count(*) from maintenance_window where tenant = $1) - (select count(*) from gone)
                 as windows",
            &[(&tenant.0, Type::TEXT), (&(now - FORGOTTEN_AFTER), Type::TIMESTAMPTZ), (&MOST, Type::INT8)],
        )
        .await?;
    let windows: i64 = rows.first().map_or(Ok(0), |row| row.try_get("windows"))?;
    if windows >= MOST {
        return Err(ApiError::unprocessable(format!(
            "There are {MOST} maintenance windows already, and no more may be; delete one."
        )));
    }
    Ok(())
}
