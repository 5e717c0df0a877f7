//! One alert config with the monitors it is attached to.

use axum::extract::State;
use chrono::{DateTime, Utc};
use destinations::{DESTINATION_COLUMNS, Destination};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::slack_token::mask;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Ids};

#[derive(Serialize)]
pub(crate) struct ShownAlertConfig {
    alert_config_id: Uuid,
    name: String,
    active: bool,
    on_late: bool,
    on_error: bool,
    on_recovered: bool,
    on_warning: bool,
    default: bool,
    r#type: Value,
    /// What is sent to it is refused for good.
    broken: Option<Broken>,
    monitors: Vec<AttachedMonitor>,
    pub(super) warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Broken {
    broken_at: DateTime<Utc>,
    reason: String,
}

#[derive(Serialize)]
struct AttachedMonitor {
    monitor_id: Uuid,
    name: String,
}

impl Broken {
    /// Reads `broken_at` and `broken_reason`.
    pub(super) fn of(row: &Row) -> ApiResult<Option<Self>> {
        let broken_at: Option<DateTime<Utc>> = row.try_get("broken_at")?;
        let reason: Option<String> = row.try_get("broken_reason")?;
        Ok(broken_at.map(|broken_at| Self { broken_at, reason: reason.unwrap_or_default() }))
    }
}

pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([alert_config_id]): Ids<1>,
) -> ApiResult<Data<ShownAlertConfig>> {
    let client = app.pool.get().await?;
    one_alert_config(&**client, &tenant, alert_config_id).await.map(Data::one)
}

/// The alert config as it is shown after every use case that is about one.
pub(super) async fn one_alert_config(
    client: &impl GenericClient,
    tenant: &Tenant,
    alert_config_id: Uuid,
) -> ApiResult<ShownAlertConfig> {
    let rows = client
        .query_typed(
            &format!(
                "select c.name, c.active, c.on_late, c.on_error, c.on_recovered, c.on_warning, c.is_default,
                        c.broken_at, c.broken_reason, {DESTINATION_COLUMNS}
                 from alert_config c where c.alert_config_id = $1 and c.tenant = $2"
            ),
            &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_alert_configs(&[alert_config_id]))?;
    // Relies on the index monitor_alert_config_of_config.
    let monitors = client
        .query_typed(
            "select m.monitor_id, m.name
             from monitor_alert_config x join monitor m using (monitor_id)
             where x.alert_config_id = $1 and m.tenant = $2
             order by x.position",
            &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let monitors = monitors
        .iter()
        .map(|row| Ok(AttachedMonitor { monitor_id: row.try_get("monitor_id")?, name: row.try_get("name")? }))
        .collect::<ApiResult<_>>()?;
    Ok(ShownAlertConfig {
        alert_config_id,
        name: row.try_get("name")?,
        active: row.try_get("active")?,
        on_late: row.try_get("on_late")?,
        on_error: row.try_get("on_error")?,
        on_recovered: row.try_get("on_recovered")?,
        on_warning: row.try_get("on_warning")?,
        default: row.try_get("is_default")?,
        r#type: shown_destination(&Destination::of(row)?),
        broken: Broken::of(row)?,
        monitors,
        warnings: Vec::new(),
    })
}

/// As it was given, but for what is secret. The URL of a webhook is shown: its owner has to tell it from others.
fn shown_destination(destination: &Destination) -> Value {
    match destination {
        Destination::Webhook { url } => json!({ "webhook": { "url": url } }),
        Destination::Slack { channel, token } => {
            json!({ "slack": { "channel": channel, "token": mask(token) } })
        }
    }
}
