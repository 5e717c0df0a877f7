//! The alert configs of a tenant.

use axum::extract::State;
use serde::Serialize;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::read::Broken;
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::Caller;

#[derive(Serialize)]
pub(crate) struct AlertConfigSummary {
    alert_config_id: Uuid,
    name: String,
    active: bool,
    on_late: bool,
    on_error: bool,
    on_recovered: bool,
    on_warning: bool,
    default: bool,
    r#type: String,
    broken: Option<Broken>,
    /// To how many monitors it is attached.
    monitors: i64,
}

pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> ApiResult<Data<Vec<AlertConfigSummary>>> {
    let client = app.pool.get().await?;
    let all = summaries(&**client, &tenant, None).await?;
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    Ok(Data::list(all, total, None))
}

/// In the order of their ids; of one monitor, or all. Relies on the indexes `alert_config_of_tenant` and
/// `monitor_alert_config_of_config`.
pub(super) async fn summaries(
    client: &impl GenericClient,
    tenant: &Tenant,
    attached_to: Option<Uuid>,
) -> ApiResult<Vec<AlertConfigSummary>> {
    let rows = client
        .query_typed(
            "select c.alert_config_id, c.name, c.active, c.on_late, c.on_error, c.on_recovered, c.on_warning,
                    c.is_default, c.type, c.broken_at, c.broken_reason,
                    (select count(*) from monitor_alert_config x
                     where x.alert_config_id = c.alert_config_id) as monitors
             from alert_config c
             where c.tenant = $1
               and ($2::uuid is null or exists (
                   select from monitor_alert_config x
                   where x.alert_config_id = c.alert_config_id and x.monitor_id = $2))
             order by c.alert_config_id",
            &[(&tenant.0, Type::TEXT), (&attached_to, Type::UUID)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AlertConfigSummary {
                alert_config_id: row.try_get("alert_config_id")?,
                name: row.try_get("name")?,
                active: row.try_get("active")?,
                on_late: row.try_get("on_late")?,
                on_error: row.try_get("on_error")?,
                on_recovered: row.try_get("on_recovered")?,
                on_warning: row.try_get("on_warning")?,
                default: row.try_get("is_default")?,
                r#type: row.try_get("type")?,
                broken: Broken::of(row)?,
                monitors: row.try_get("monitors")?,
            })
        })
        .collect()
}
