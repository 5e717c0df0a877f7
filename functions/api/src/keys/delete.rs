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
    // Its hash stays behind, so that no import brings it back.
    let deleted = app
        .pool
        .get()
        .await?
        .query_typed(
            "with revoked as (
                 delete from api_key where api_key_id = $1 and tenant = $2 returning key_hash
             ), remembered as (
                 insert into revoked_api_key (key_hash, revoked_at) select key_hash, $3 from revoked
                 on conflict (key_hash) do nothing
             )
             select from revoked",
            &[(&api_key_id, Type::UUID), (&tenant.0, Type::TEXT), (&(app.clock)(), Type::TIMESTAMPTZ)],
        )
        .await?;
    if deleted.is_empty() { Err(ApiError::no_api_key(api_key_id)) } else { Ok(StatusCode::NO_CONTENT) }
}
