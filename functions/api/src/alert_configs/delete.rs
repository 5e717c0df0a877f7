//! An alert config goes, and with it what was still on its way there.

use axum::extract::State;
use axum::http::StatusCode;
use tokio_postgres::types::Type;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::requests::{Caller, Ids};

pub(crate) async fn delete(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([alert_config_id]): Ids<1>,
) -> ApiResult<StatusCode> {
    let deleted = app
        .pool
        .get()
        .await?
        .execute_typed(
            "delete from alert_config where alert_config_id = $1 and tenant = $2",
            &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if deleted == 0 {
        Err(ApiError::no_alert_configs(&[alert_config_id]))
    } else {
        Ok(StatusCode::NO_CONTENT)
    }
}
