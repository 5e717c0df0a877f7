//! The API keys of a tenant. The keys themselves nobody knows any more.

use axum::extract::State;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::Caller;

/// The fields of the original API, in its forms, and ours.
#[derive(Serialize)]
pub(crate) struct ShownApiKey {
    api_key_id: Uuid,
    name: String,
    scope: String,
    masked: String,
    created: NaiveDateTime,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// Of jobs that were started and finished with it.
    last_used: Option<LastUsed>,
    /// Of whatever it opened; reading and managing to the minute.
    last_used_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct LastUsed {
    monitor_id: Uuid,
    /// As it was called then.
    monitor_name: String,
    time: NaiveDateTime,
}

/// In the order of their creation.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> ApiResult<Data<Vec<ShownApiKey>>> {
    // Relies on the index api_key_of_tenant.
    let rows = app
        .pool
        .get()
        .await?
        .query_typed(
            "select api_key_id, name, scope, masked, created_at, expires_at,
                    last_used_at, last_used_monitor_id, last_used_monitor_name,
                    greatest(last_used_at, last_managed_at) as last_opened_at
             from api_key where tenant = $1
             order by created_at, api_key_id",
            &[(&tenant.0, Type::TEXT)],
        )
        .await?;
    let shown: Vec<ShownApiKey> = rows.iter().map(ShownApiKey::of).collect::<ApiResult<_>>()?;
    let total = i64::try_from(shown.len()).unwrap_or(i64::MAX);
    Ok(Data::list(shown, total, None))
}

impl ShownApiKey {
    fn of(row: &Row) -> ApiResult<Self> {
        let created_at: DateTime<Utc> = row.try_get("created_at")?;
        let used_at: Option<DateTime<Utc>> = row.try_get("last_used_at")?;
        let last_used = match used_at {
            Some(at) => Some(LastUsed {
                monitor_id: row.try_get("last_used_monitor_id")?,
                monitor_name: row.try_get("last_used_monitor_name")?,
                time: at.naive_utc(),
            }),
            None => None,
        };
        Ok(Self {
            api_key_id: row.try_get("api_key_id")?,
            name: row.try_get("name")?,
            scope: row.try_get("scope")?,
            masked: row.try_get("masked")?,
            created: created_at.naive_utc(),
            created_at,
            expires_at: row.try_get("expires_at")?,
            last_used,
            last_used_at: row.try_get("last_opened_at")?,
        })
    }
}
