//! An API key is revoked: from now on it opens nothing.

use axum::extract::State;
use axum::http::StatusCode;
use tokio_postgres::types::Type;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::requests::{Caller, Ids};

pub(crate) async fn delete(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([api_key_id]): Ids<1>,
) -> ApiResult<StatusCode> {
    let deleted = app
        .pool
        .get()
        .await?
        .execute_typed(
            "delete from api_key where api_key_id = $1 and tenant = $2",
            &[(&api_key_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if deleted == 0 { Err(ApiError::no_api_key(api_key_id)) } else { Ok(StatusCode::NO_CONTENT) }
}
