//! A maintenance window goes. If it is in force, what it held back is told with the next tick.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::SubsecRound as _;
use tokio_postgres::types::Type;

use super::look_again;
use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::requests::{Caller, Ids};

pub(crate) async fn delete(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([window_id]): Ids<1>,
) -> ApiResult<StatusCode> {
    let now = (app.clock)().trunc_subsecs(6);
    let client = app.pool.get().await?;
    let deleted = client
        .execute_typed(
            "delete from maintenance_window where window_id = $1 and tenant = $2",
            &[(&window_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if deleted == 0 {
        return Err(ApiError::no_window(window_id));
    }
    look_again(client, tenant, now).await;
    Ok(StatusCode::NO_CONTENT)
}
