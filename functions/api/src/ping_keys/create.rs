//! A new ping key.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound as _, Utc};
use database::keys::random_key;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, Fields};

/// 36 to the power of 22 keys: more than 113 bits.
const CHARACTERS: usize = 22;

const LETTERS_AND_DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// How much of a key is kept, for its owner to know it again.
const KEPT_CHARACTERS: usize = 4;

#[derive(Serialize)]
pub(crate) struct NewPingKey {
    ping_key_id: Uuid,
    name: String,
    /// Shown this once.
    key: String,
    key_begins: String,
    created_at: DateTime<Utc>,
    ping_url_template: String,
    warnings: Vec<String>,
}

pub(crate) async fn create(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    mut fields: Fields,
) -> ApiResult<Data<NewPingKey>> {
    let name = fields.optional_name()?;
    let mut warnings = Vec::new();
    fields.warn_of_rest(&["name"], &mut warnings);

    let key = random_key(LETTERS_AND_DIGITS, CHARACTERS)?;
    let hash = domain::key::hash(&key);
    let new = NewPingKey {
        ping_key_id: Uuid::new_v4(),
        name,
        key_begins: key.chars().take(KEPT_CHARACTERS).collect(),
        created_at: (app.clock)().trunc_subsecs(6),
        ping_url_template: format!("{}/ping/{key}/<slug>", app.public_url.base(&headers)),
        key,
        warnings,
    };
    app.pool
        .get()
        .await?
        .execute_typed(
            "insert into ping_key (ping_key_id, tenant, name, key_hash, key_begins, created_at)
             values ($1, $2, $3, $4, $5, $6)",
            &[
                (&new.ping_key_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&new.name, Type::TEXT),
                (&hash.as_slice(), Type::BYTEA),
                (&new.key_begins, Type::TEXT),
                (&new.created_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(Data::one(new))
}
