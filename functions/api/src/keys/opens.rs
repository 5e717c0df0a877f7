//! What a request may do that comes with an API key.

use axum::http::Method;
use chrono::{DateTime, Utc};
use database::{DatabaseError, Pool};
use tokio_postgres::types::Type;

use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;

/// Who calls: the tenant of the key, and the key's name.
pub(crate) struct Opened {
    pub(crate) tenant: Tenant,
    pub(crate) name: String,
    pub(crate) may_manage: bool,
}

/// Whether the key opens management for this method: `read` for GET and HEAD, `manage` for all. Its use is written
/// down once a minute, by whoever need not wait for that.
///
/// Relies on the unique index on `api_key.key_hash`.
pub(crate) async fn opens(pool: &Pool, key: &str, method: &Method, now: DateTime<Utc>) -> ApiResult<Opened> {
    let statement = "with used as (
             update api_key set last_managed_at = $2 where api_key_id = (
                 select api_key_id from api_key
                 where key_hash = $1 and scope <> 'ping' and (expires_at is null or expires_at > $2)
                   and (last_managed_at is null or last_managed_at < $2 - interval '1 minute')
                 for update skip locked)
         )
         select tenant, name, scope from api_key where key_hash = $1 and (expires_at is null or expires_at > $2)";
    let hash = domain::key::hash(key);
    let client = pool.get().await?;
    let rows =
        client.query_typed(statement, &[(&hash.as_slice(), Type::BYTEA), (&now, Type::TIMESTAMPTZ)]).await?;
    let row = rows.first().ok_or_else(ApiError::invalid_key)?;
    let scope: &str = row.try_get("scope")?;
    match scope {
        "manage" => {}
        "read" if matches!(*method, Method::GET | Method::HEAD) => {}
        "read" => return Err(ApiError::scope_too_small(scope, "a change takes 'manage'")),
        _ => return Err(ApiError::scope_too_small(scope, "this takes 'read' or 'manage'")),
    }
    Ok(Opened {
        tenant: Tenant(row.try_get("tenant")?),
        name: row.try_get("name")?,
        may_manage: scope == "manage",
    })
}

/// The tenant of a key that opens anything of management, for a host that has something to do for its callers.
///
/// # Errors
/// For the log.
pub async fn tenant_of_key(
    pool: &Pool,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Option<Tenant>, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select tenant from api_key
             where key_hash = $1 and scope <> 'ping' and (expires_at is null or expires_at > $2)",
            &[(&domain::key::hash(key).as_slice(), Type::BYTEA), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(rows.first().map(|row| row.try_get("tenant").map(Tenant)).transpose()?)
}
