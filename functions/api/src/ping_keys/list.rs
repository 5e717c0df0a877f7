//! The ping keys of a tenant. The keys themselves nobody knows any more.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::Caller;

const MOST: i64 = 1_000;

#[derive(Serialize)]
pub(crate) struct ShownPingKey {
    ping_key_id: Uuid,
    name: String,
    key_begins: String,
    created_at: DateTime<Utc>,
}

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> ApiResult<Data<Vec<ShownPingKey>>> {
    // Relies on the index ping_key_of_tenant.
    let rows = app
        .pool
        .get()
        .await?
        .query_typed(
            "select ping_key_id, name, key_begins, created_at, count(*) over () as total
             from ping_key where tenant = $1
             order by created_at desc, ping_key_id limit $2",
            &[(&tenant.0, Type::TEXT), (&MOST, Type::INT8)],
        )
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let shown = rows
        .iter()
        .map(|row| {
            Ok(ShownPingKey {
                ping_key_id: row.try_get("ping_key_id")?,
                name: row.try_get("name")?,
                key_begins: row.try_get("key_begins")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect::<ApiResult<_>>()?;
    Ok(Data::list(shown, total))
}
