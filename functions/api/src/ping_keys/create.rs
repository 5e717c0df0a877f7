//! A new ping key.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound as _, Utc};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Fields};

/// 36 to the power of 22 keys: more than 113 bits.
const CHARACTERS: usize = 22;

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

    let key = random_key()?;
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

fn random_key() -> ApiResult<String> {
    let random = SystemRandom::new();
    let mut key = String::with_capacity(CHARACTERS);
    while key.len() < CHARACTERS {
        let mut bytes = [0; 2 * CHARACTERS];
        random.fill(&mut bytes).map_err(|_| ApiError::internal(&"the system gave no random bytes"))?;
        let left = CHARACTERS - key.len();
        key.extend(bytes.into_iter().filter_map(character).take(left));
    }
    Ok(key)
}

/// `None` for the bytes that are left over when 256 is shared out: else some characters would come more often.
fn character(byte: u8) -> Option<char> {
    match byte {
        0..252 => char::from_digit(u32::from(byte % 36), 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_character_comes_from_as_many_bytes_as_any_other() {
        let mut counts = std::collections::BTreeMap::new();
        for c in (0..=255).filter_map(character) {
            *counts.entry(c).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<String>(), "0123456789abcdefghijklmnopqrstuvwxyz");
        assert!(counts.values().all(|count| *count == 7), "{counts:?}");
    }

    #[test]
    fn a_key_has_22_characters_and_each_is_another() {
        let keys: std::collections::BTreeSet<String> = (0..1_000).map(|_| random_key().unwrap()).collect();
        assert_eq!(keys.len(), 1_000);
        assert!(keys.iter().all(|key| key.len() == 22));
        let used: std::collections::BTreeSet<char> = keys.iter().flat_map(|key| key.chars()).collect();
        assert_eq!(used.len(), 36);
    }
}
