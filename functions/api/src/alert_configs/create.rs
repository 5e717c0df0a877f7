//! A new alert config.

use axum::extract::State;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::decisions::Decisions;
use super::read::{ShownAlertConfig, one_alert_config};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, Fields};

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    fields: Fields,
) -> ApiResult<Data<ShownAlertConfig>> {
    let decided = Decisions::read(fields)?;
    let alert_config_id = Uuid::new_v4();
    let client = app.pool.get().await?;
    client
        .execute_typed(
            "insert into alert_config (
                 alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered, on_warning,
                 is_default, type, url
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'webhook', $11)",
            &[
                (&alert_config_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&decided.name, Type::TEXT),
                (&(app.clock)(), Type::TIMESTAMPTZ),
                (&decided.active.unwrap_or(true), Type::BOOL),
                (&decided.on_late.unwrap_or(true), Type::BOOL),
                (&decided.on_error.unwrap_or(true), Type::BOOL),
                (&decided.on_recovered.unwrap_or(true), Type::BOOL),
                (&decided.on_warning.unwrap_or(true), Type::BOOL),
                (&decided.is_default.unwrap_or(false), Type::BOOL),
                (&decided.url, Type::TEXT),
            ],
        )
        .await?;
    let mut shown = one_alert_config(&**client, &tenant, alert_config_id).await?;
    shown.warnings = decided.warnings;
    Ok(Data::one(shown))
}
