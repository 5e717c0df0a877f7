//! A new API key. It is shown this once.

use axum::extract::State;
use chrono::{DateTime, SubsecRound as _, Utc};
use database::keys::{Scope, create_api_key};
use serde::Serialize;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Fields, wrong};

/// API keys of a tenant.
const MOST: i64 = 1_000;

#[derive(Serialize)]
pub(crate) struct ShownNewApiKey {
    api_key_id: Uuid,
    name: String,
    scope: &'static str,
    key: String,
    masked: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    warnings: Vec<String>,
}

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    mut fields: Fields,
) -> ApiResult<Data<ShownNewApiKey>> {
    let now = (app.clock)().trunc_subsecs(6);
    let name = fields.name()?;
    let scope = fields.optional::<String>("scope")?.try_map(|name| {
        Scope::from_name(&name).ok_or_else(|| wrong("scope", &"it must be 'ping', 'read' or 'manage'"))
    })?;
    let scope = scope.value().unwrap_or(Scope::Ping);
    let expires_at = fields.instant("expires_at")?.value();
    if expires_at.is_some_and(|at| at <= now) {
        return Err(wrong("expires_at", &"it has passed already"));
    }
    let mut warnings = Vec::new();
    fields.warn_of_rest(&["name", "scope", "expires_at"], &mut warnings);

    let client = app.pool.get().await?;
    there_is_room(&**client, &tenant).await?;
    let new = create_api_key(&**client, &tenant.0, &name, scope, expires_at, now).await?;
    Ok(Data::one(ShownNewApiKey {
        api_key_id: new.api_key_id,
        name,
        scope: scope.name(),
        key: new.key,
        masked: new.masked,
        created_at: now,
        expires_at,
        warnings,
    }))
}

/// Two at once may pass the limit by one: it is there against a script that makes a key a day. Relies on the index
/// `api_key_of_tenant`.
async fn there_is_room(client: &impl GenericClient, tenant: &Tenant) -> ApiResult<()> {
    let rows = client
        .query_typed("select count(*) as keys from api_key where tenant = $1", &[(&tenant.0, Type::TEXT)])
        .await?;
    let keys: i64 = rows.first().map_or(Ok(0), |row| row.try_get("keys"))?;
    if keys >= MOST {
        let why = format!("There are {MOST} API keys already, and no more may be; delete one.");
        return Err(ApiError::unprocessable(why));
    }
    Ok(())
}
