//! A monitor goes, and with it everything that is about it.

use axum::extract::State;
use axum::http::StatusCode;
use tokio_postgres::types::Type;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::requests::{Caller, Ids};

pub(crate) async fn delete(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
) -> ApiResult<StatusCode> {
    let deleted = app
        .pool
        .get()
        .await?
        .execute_typed(
            "delete from monitor where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if deleted == 0 { Err(ApiError::no_monitor(monitor_id)) } else { Ok(StatusCode::NO_CONTENT) }
}
