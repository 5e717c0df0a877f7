//! Keys that are made at random and known by their hash, and the API keys among them.

use chrono::{DateTime, Utc};
use rustls::crypto::ring::default_provider;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::DatabaseError;

/// 62 to the power of 32 keys: more than 190 bits.
const CHARACTERS: usize = 32;

const ALPHANUMERICS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// So many characters of each end of an API key are kept, as the original does. Of the 22 others nobody can guess one.
const SHOWN: usize = 5;

/// A key of so many characters of an alphabet, each as likely as any other.
///
/// # Errors
/// [`DatabaseError::Data`] when the system gives no random bytes.
pub fn random_key(alphabet: &[u8], characters: usize) -> Result<String, DatabaseError> {
    let random = default_provider().secure_random;
    // What is left over when 256 is shared out would make some characters more likely.
    let limit = 256 - 256 % alphabet.len();
    let mut key = String::with_capacity(characters);
    while key.len() < characters {
        let mut bytes = [0; 64];
        random.fill(&mut bytes).map_err(|_| DatabaseError::Data("the system gave no random bytes".into()))?;
        let left = characters - key.len();
        let usable = bytes.into_iter().map(usize::from).filter(|byte| *byte < limit);
        key.extend(
            usable.filter_map(|byte| alphabet.get(byte % alphabet.len())).take(left).copied().map(char::from),
        );
    }
    Ok(key)
}

/// What an API key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Starting and finishing jobs.
    Ping,
    /// Reading what the tenant has.
    Read,
    /// Everything.
    Manage,
}

impl Scope {
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ping, Self::Read, Self::Manage].into_iter().find(|scope| scope.name() == name)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

/// The longest tenant, in characters.
const LONGEST_TENANT: usize = 255;

/// Whether a name can be a tenant's. Postgres has no place for a NUL.
///
/// # Errors
/// What is wrong with it.
pub fn check_tenant(tenant: &str) -> Result<(), String> {
    if tenant.is_empty() || tenant.chars().count() > LONGEST_TENANT || tenant.contains('\0') {
        return Err(format!("a tenant has 1 to {LONGEST_TENANT} characters, none of them NUL"));
    }
    Ok(())
}

/// Whether any tenant has a key of this scope that is valid for ever.
///
/// # Errors
/// [`DatabaseError`].
pub async fn has_key(client: &impl GenericClient, scope: Scope) -> Result<bool, DatabaseError> {
    let statement = "select from api_key where scope = $1 and expires_at is null limit 1";
    let rows = client.query_typed(statement, &[(&scope.name(), Type::TEXT)]).await?;
    Ok(!rows.is_empty())
}

/// A new API key.
#[derive(Debug)]
pub struct NewApiKey {
    pub api_key_id: Uuid,
    /// Shown this once.
    pub key: String,
    pub masked: String,
}

/// Makes an API key of a tenant. `expires_at`: `None` is never.
///
/// # Errors
/// [`DatabaseError`].
pub async fn create_api_key(
    client: &impl GenericClient,
    tenant: &str,
    name: &str,
    scope: Scope,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<NewApiKey, DatabaseError> {
    let key = random_key(ALPHANUMERICS, CHARACTERS)?;
    let new = NewApiKey { api_key_id: Uuid::new_v4(), masked: masked(&key), key };
    client
        .execute_typed(
            "insert into api_key (api_key_id, tenant, name, scope, key_hash, masked, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                (&new.api_key_id, Type::UUID),
                (&tenant, Type::TEXT),
                (&name, Type::TEXT),
                (&scope.name(), Type::TEXT),
                (&domain::key::hash(&new.key).as_slice(), Type::BYTEA),
                (&new.masked, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(new)
}

/// `abcde************vwxyz`.
fn masked(key: &str) -> String {
    let begin: String = key.chars().take(SHOWN).collect();
    let end: String = key.chars().skip(key.chars().count().saturating_sub(SHOWN)).collect();
    format!("{begin}************{end}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_key_has_32_alphanumerics_and_each_is_another() {
        let keys: BTreeSet<String> =
            (0..1_000).map(|_| random_key(ALPHANUMERICS, CHARACTERS).unwrap()).collect();
        assert_eq!(keys.len(), 1_000);
        assert!(keys.iter().all(|key| key.len() == 32 && key.bytes().all(|b| b.is_ascii_alphanumeric())));
    }

    #[test]
    fn each_character_is_as_likely_as_any_other() {
        let mut counts = BTreeMap::new();
        for c in random_key(ALPHANUMERICS, 620_000).unwrap().chars() {
            *counts.entry(c).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        // Of 10,000 expected each, seven standard deviations.
        assert!(counts.values().all(|count| (9_300..10_700).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_mask_shows_both_ends() {
        assert_eq!(masked("abcdefghijklmnopqrstuvwxyz012345"), "abcde************12345");
    }
}
