//! Maintenance windows: times in which a tenant wants to hear nothing of some of its monitors.

pub(crate) mod change;
pub(crate) mod create;
mod decisions;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;

use chrono::{DateTime, Utc};
use deadpool_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::answers::ApiResult;
use crate::auth::Tenant;

/// Monitors that are locked at once.
const BATCH: i64 = 500;

/// After a window was changed or deleted: what is held back is looked at anew by the next tick. A new window needs
/// none of this, for it only makes a quiet longer, and at each end it is asked whether another quiet goes on.
///
/// The change is committed before, and each batch is a transaction of its own, in the order of the ids: no monitor is
/// locked for long, and nothing else meanwhile. A caller that goes away does not end it. Where it breaks off, because
/// the process or the database dies, the other monitors are looked at when the quiet would have ended by the window
/// as it was. They are told later then, and nothing is lost; so it is no error for the caller.
async fn look_again(client: Client, tenant: Tenant, now: DateTime<Utc>) {
    let looks = tokio::spawn(async move {
        let mut after = Uuid::nil();
        loop {
            match look_at_batch(&client, &tenant, now, after).await {
                Ok(Some(last)) => after = last,
                Ok(None) => return,
                Err(_) => {
                    tracing::warn!("some of what a maintenance window held is told at its old end");
                    return;
                }
            }
        }
    });
    drop(looks.await);
}

/// The next monitors that hold something; the last of them, if there may be more. Relies on the index `alert_held`.
async fn look_at_batch(
    client: &Client,
    tenant: &Tenant,
    now: DateTime<Utc>,
    after: Uuid,
) -> ApiResult<Option<Uuid>> {
    let rows = client
        .query_typed(
            "with next as materialized (
                 select distinct monitor_id from alert
                 where held and tenant = $1 and monitor_id > $3
                 order by monitor_id limit $4
             ), locked as materialized (
                 select monitor_id from monitor join next using (monitor_id)
                 where tenant = $1 and held_until is not null
                 order by monitor_id for update of monitor
             ), looked_at as (
                 update monitor m set
                     held_until = least(m.held_until, $2),
                     due_at = case when m.paused_at is null then least(m.due_at, $2) else m.due_at end,
                     revision = m.revision + 1
                 from locked where m.monitor_id = locked.monitor_id
             )
             select monitor_id from next order by monitor_id offset $4 - 1",
            &[(&tenant.0, Type::TEXT), (&now, Type::TIMESTAMPTZ), (&after, Type::UUID), (&BATCH, Type::INT8)],
        )
        .await?;
    Ok(rows.first().map(|row| row.try_get("monitor_id")).transpose()?)
}
