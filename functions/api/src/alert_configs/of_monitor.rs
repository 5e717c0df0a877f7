//! Which alert configs hear of a monitor.

use axum::extract::State;
use axum::http::StatusCode;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::list::{AlertConfigSummary, summaries};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::monitors::jobs::monitor_exists;
use crate::requests::{Caller, Fields, Ids, wrong};

/// Alert configs attached by one request.
const MOST_AT_ONCE: usize = 1_000;

pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
) -> ApiResult<Data<Vec<AlertConfigSummary>>> {
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    let attached = summaries(&**client, &tenant, Some(monitor_id)).await?;
    let total = i64::try_from(attached.len()).unwrap_or(i64::MAX);
    Ok(Data::list(attached, total, None))
}

/// All of `{"alert_config_ids": [...]}` or none.
pub(crate) async fn attach(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    mut fields: Fields,
) -> ApiResult<StatusCode> {
    let given: Vec<Uuid> = fields.required("alert_config_ids")?;
    if given.len() > MOST_AT_ONCE {
        return Err(wrong("alert_config_ids", &format!("they are more than {MOST_AT_ONCE}")));
    }
    let mut ids: Vec<Uuid> = Vec::new();
    for id in given {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    lock_monitor(&*transaction, &tenant, monitor_id).await?;
    let missing = absent_from(&*transaction, EXISTING, &tenant, monitor_id, &ids).await?;
    if !missing.is_empty() {
        return Err(ApiError::no_alert_configs(&missing));
    }
    let free = absent_from(&*transaction, ATTACHED, &tenant, monitor_id, &ids).await?;
    let twice: Vec<String> = ids
        .iter()
        .filter(|id| !free.contains(id))
        .map(|id| {
            format!(
                "{id}: Failed to configure alert: \
                 Monitor('{monitor_id}') is already associated with Alert Configuration('{id}')"
            )
        })
        .collect();
    if !twice.is_empty() {
        let all = twice.join(", ");
        return Err(ApiError::association(&format!(
            "Failed to associate Monitor with AlertConfig(s): {all}"
        )));
    }
    transaction
        .execute_typed(
            "insert into monitor_alert_config (monitor_id, alert_config_id)
             select $1, id from unnest($2::uuid[]) with ordinality as given (id, place) order by place",
            &[(&monitor_id, Type::UUID), (&ids, Type::UUID_ARRAY)],
        )
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn detach(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id, alert_config_id]): Ids<2>,
) -> ApiResult<StatusCode> {
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    lock_monitor(&*transaction, &tenant, monitor_id).await?;
    let missing = absent_from(&*transaction, EXISTING, &tenant, monitor_id, &[alert_config_id]).await?;
    if !missing.is_empty() {
        return Err(ApiError::no_alert_configs(&missing));
    }
    let detached = transaction
        .execute_typed(
            "delete from monitor_alert_config where monitor_id = $1 and alert_config_id = $2",
            &[(&monitor_id, Type::UUID), (&alert_config_id, Type::UUID)],
        )
        .await?;
    if detached == 0 {
        return Err(ApiError::association(&format!(
            "Monitor('{monitor_id}') is not associated with Alert Configuration('{alert_config_id}')"
        )));
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// First the monitor, then anything else: the lock order that a tick has too.
async fn lock_monitor(client: &impl GenericClient, tenant: &Tenant, monitor_id: Uuid) -> ApiResult<()> {
    let rows = client
        .query_typed(
            "select from monitor where monitor_id = $1 and tenant = $2 for update",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if rows.is_empty() { Err(ApiError::no_monitor(monitor_id)) } else { Ok(()) }
}

/// Kept from being deleted until the association stands.
const EXISTING: &str = "select alert_config_id from alert_config
     where tenant = $1 and alert_config_id = any($3) and $2::uuid is not null
     order by alert_config_id for key share";

const ATTACHED: &str = "select alert_config_id from monitor_alert_config
     where $1::text is not null and monitor_id = $2 and alert_config_id = any($3)";

/// The ids that a statement does not find, in their order.
async fn absent_from(
    client: &impl GenericClient,
    statement: &str,
    tenant: &Tenant,
    monitor_id: Uuid,
    ids: &[Uuid],
) -> ApiResult<Vec<Uuid>> {
    let rows = client
        .query_typed(
            statement,
            &[(&tenant.0, Type::TEXT), (&monitor_id, Type::UUID), (&ids, Type::UUID_ARRAY)],
        )
        .await?;
    let found: Vec<Uuid> = rows.iter().map(|row| row.try_get("alert_config_id")).collect::<Result<_, _>>()?;
    Ok(ids.iter().copied().filter(|id| !found.contains(id)).collect())
}
