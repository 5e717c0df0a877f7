//! Maintenance windows: times in which a tenant wants to hear nothing of some of its monitors.

pub(crate) mod change;
pub(crate) mod create;
mod decisions;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::answers::ApiResult;
use crate::auth::Tenant;

/// The windows of a tenant are changed one after another: their number has a limit, and nobody waits for a monitor
/// who holds a window. So the lock order is this, the monitors, the window.
async fn take_turns(client: &impl GenericClient, tenant: &Tenant) -> ApiResult<()> {
    // Of two numbers, so that it never meets the lock of the migrations.
    let statement = "select pg_advisory_xact_lock(1, hashtext($1))";
    client.execute_typed(statement, &[(&tenant.0, Type::TEXT)]).await?;
    Ok(())
}

/// What is held back is looked at anew by the next tick, for other windows may be in force by then. Monitors are
/// locked in the order of their ids. Relies on the index `alert_held`.
async fn look_again(client: &impl GenericClient, tenant: &Tenant, now: DateTime<Utc>) -> ApiResult<()> {
    client
        .execute_typed(
            "with held as materialized (
                 select monitor_id from monitor
                 where tenant = $1 and held_until is not null
                   and monitor_id in (select monitor_id from alert where held and tenant = $1)
                 order by monitor_id for update
             )
             update monitor m set
                 held_until = least(m.held_until, $2),
                 due_at = case when m.paused_at is null then least(m.due_at, $2) else m.due_at end,
                 revision = m.revision + 1
             from held where m.monitor_id = held.monitor_id",
            &[(&tenant.0, Type::TEXT), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}
