//! A monitor gets another ping id, so that who knows the old one can ping no more.

use axum::extract::State;
use axum::http::HeaderMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Ids};

pub(crate) async fn replace_ping_url(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
) -> ApiResult<Data<ShownMonitor>> {
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let replaced = transaction
        .execute_typed(
            "update monitor set ping_id = $3, revision = revision + 1 where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT), (&Uuid::new_v4(), Type::UUID)],
        )
        .await?;
    if replaced == 0 {
        return Err(ApiError::no_monitor(monitor_id));
    }
    let base_url = app.public_url.base(&headers);
    let monitor = one_monitor(&*transaction, &tenant, monitor_id, Some(&base_url), (app.clock)()).await?;
    transaction.commit().await?;
    Ok(Data::one(monitor))
}
