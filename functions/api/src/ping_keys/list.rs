//! The ping keys of a tenant. The keys themselves nobody knows any more.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiResult, Data};
use crate::cursor::Cursor;
use crate::page::{self, one_more};
use crate::requests::{Caller, Query};

const MOST: usize = 1_000;

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
    query: Query,
) -> ApiResult<Data<Vec<ShownPingKey>>> {
    let limit = query.limit(MOST)?;
    let after = query.cursor(Cursor::parse)?;
    let client = app.pool.get().await?;
    // Relies on the index ping_key_of_tenant. Without more keys there is one row without a key.
    let rows = client
        .query_typed(
            "select total, ping_key_id, name, key_begins, created_at
             from (select count(*) as total from ping_key where tenant = $1) counted
             left join (
                 select * from ping_key
                 where tenant = $1 and ($2::uuid is null or (created_at, ping_key_id) < ($3, $2))
                 order by created_at desc, ping_key_id desc limit $4
             ) k on true
             order by created_at desc, ping_key_id desc",
            &[
                (&tenant.0, Type::TEXT),
                (&after.map(|cursor| cursor.id), Type::UUID),
                (&after.map(|cursor| cursor.at), Type::TIMESTAMPTZ),
                (&one_more(limit), Type::INT8),
            ],
        )
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(ping_key_id) = row.try_get("ping_key_id")? else { continue };
        let key = ShownPingKey {
            ping_key_id,
            name: row.try_get("name")?,
            key_begins: row.try_get("key_begins")?,
            created_at: row.try_get("created_at")?,
        };
        found.push((Cursor { at: key.created_at, id: ping_key_id }, key));
    }
    let (keys, last) = page::fill(found, limit);
    Ok(Data::list(keys, total, last.map(Cursor::encode)))
}
