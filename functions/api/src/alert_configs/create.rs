//! A new alert config.

use axum::extract::State;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::decisions::{Columns, Decisions};
use super::read::{ShownAlertConfig, one_alert_config};
use super::slack_token::never_a_mask;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Fields};
use crate::turns::{Made, before_a_connection, take_turns};

/// Alert configs of a tenant: each alert looks at all of them.
const MOST: i64 = 100;

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    fields: Fields,
) -> ApiResult<Data<ShownAlertConfig>> {
    let decided = Decisions::read(fields)?;
    never_a_mask(&decided.destination)?;
    let columns = Columns::of(&decided.destination);
    let alert_config_id = Uuid::new_v4();
    let _turn = before_a_connection().await?;
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    take_turns(&*transaction, &tenant, Made::AlertConfigs).await?;
    there_is_room(&*transaction, &tenant).await?;
    transaction
        .execute_typed(
            "insert into alert_config (
                 alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered, on_warning,
                 is_default, type, url, slack_channel, slack_token
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
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
                (&columns.kind, Type::TEXT),
                (&columns.url, Type::TEXT),
                (&columns.slack_channel, Type::TEXT),
                (&columns.slack_token, Type::TEXT),
            ],
        )
        .await?;
    let mut shown = one_alert_config(&*transaction, &tenant, alert_config_id).await?;
    transaction.commit().await?;
    shown.warnings = decided.warnings;
    Ok(Data::one(shown))
}

/// Relies on the index `alert_config_of_tenant`.
async fn there_is_room(client: &impl GenericClient, tenant: &Tenant) -> ApiResult<()> {
    let rows = client
        .query_typed(
            "select count(*) as configs from alert_config where tenant = $1",
            &[(&tenant.0, Type::TEXT)],
        )
        .await?;
    let configs: i64 = rows.first().map_or(Ok(0), |row| row.try_get("configs"))?;
    if configs >= MOST {
        return Err(ApiError::unprocessable(format!(
            "There are {MOST} alert configs already, and no more may be; delete one."
        )));
    }
    Ok(())
}
