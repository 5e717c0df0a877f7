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
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let deleted = transaction
        .execute_typed(
            "delete from monitor where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if deleted == 0 {
        return Err(ApiError::no_monitor(monitor_id));
    }
    // Relies on the index maintenance_window_of_tenant.
    transaction
        .execute_typed(
            "with naming as materialized (
                 select window_id from maintenance_window
                 where tenant = $2 and $1 = any (monitor_ids) order by window_id for update
             )
             update maintenance_window w set monitor_ids = array_remove(w.monitor_ids, $1)
             from naming where w.window_id = naming.window_id",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
