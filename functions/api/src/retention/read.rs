//! How much history the tenant keeps.

use axum::extract::State;
use tokio_postgres::types::Type;

use super::Retention;
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::Caller;

pub(crate) async fn read(State(app): State<App>, Caller(tenant): Caller) -> ApiResult<Data<Retention>> {
    let rows = app
        .pool
        .get()
        .await?
        .query_typed(
            "select most_pings, history_duration from retention where tenant = $1",
            &[(&tenant.0, Type::TEXT)],
        )
        .await?;
    Retention::of(rows.first()).map(Data::one)
}
