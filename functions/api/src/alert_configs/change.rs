//! An alert config is changed by its owner. What it is attached to stays.

use axum::extract::State;
use tokio_postgres::types::Type;

use super::decisions::{Columns, Decisions};
use super::read::{ShownAlertConfig, one_alert_config};
use super::slack_token::with_kept_token;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Fields, Ids};

pub(crate) async fn change(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([alert_config_id]): Ids<1>,
    fields: Fields,
) -> ApiResult<Data<ShownAlertConfig>> {
    let decided = Decisions::read(fields)?;
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let destination = with_kept_token(&*transaction, &tenant, alert_config_id, decided.destination).await?;
    let columns = Columns::of(&destination);
    // A new destination has not refused anything yet.
    let changed = transaction
        .execute_typed(
            "update alert_config set
                 name = $3,
                 active = coalesce($4, active),
                 on_late = coalesce($5, on_late),
                 on_error = coalesce($6, on_error),
                 on_recovered = coalesce($7, on_recovered),
                 on_warning = coalesce($8, on_warning),
                 is_default = coalesce($9, is_default),
                 type = $10, url = $11, slack_channel = $12, slack_token = $13,
                 broken_at = case when (type, url, slack_channel, slack_token)
                     is not distinct from ($10, $11, $12, $13) then broken_at end,
                 broken_reason = case when (type, url, slack_channel, slack_token)
                     is not distinct from ($10, $11, $12, $13) then broken_reason end
             where alert_config_id = $1 and tenant = $2",
            &[
                (&alert_config_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&decided.name, Type::TEXT),
                (&decided.active, Type::BOOL),
                (&decided.on_late, Type::BOOL),
                (&decided.on_error, Type::BOOL),
                (&decided.on_recovered, Type::BOOL),
                (&decided.on_warning, Type::BOOL),
                (&decided.is_default, Type::BOOL),
                (&columns.kind, Type::TEXT),
                (&columns.url, Type::TEXT),
                (&columns.slack_channel, Type::TEXT),
                (&columns.slack_token, Type::TEXT),
            ],
        )
        .await?;
    if changed == 0 {
        return Err(ApiError::no_alert_configs(&[alert_config_id]));
    }
    if decided.active == Some(false) {
        // What is on its way there stays unsent. Relies on the index delivery_of_config.
        transaction
            .execute_typed(
                "update delivery set next_attempt_at = null, gave_up_at = $2,
                     last_error = 'the alert config was switched off'
                 where alert_config_id = $1 and next_attempt_at is not null",
                &[(&alert_config_id, Type::UUID), (&(app.clock)(), Type::TIMESTAMPTZ)],
            )
            .await?;
    }
    let mut shown = one_alert_config(&*transaction, &tenant, alert_config_id).await?;
    transaction.commit().await?;
    shown.warnings = decided.warnings;
    Ok(Data::one(shown))
}
