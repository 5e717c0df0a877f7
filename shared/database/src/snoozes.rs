//! A snooze by who may ping.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::signals::{Address, OwnConnection, ended, new_deliveries};
use crate::{DatabaseError, Pool};

/// What became of a snooze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snoozed {
    Done {
        /// Deliveries that the end of a snooze made, to be handed over.
        new_deliveries: Vec<Uuid>,
    },
    /// No monitor has this address.
    UnknownMonitor,
    /// Too many pings in a minute; nothing was done.
    Limited {
        /// After how many seconds the next one counts.
        retry_after: i32,
    },
}

/// See `migrations/V0007__lateness_rules.sql`. Relies on the unique indexes on `monitor.ping_id`,
/// `monitor (tenant, slug)` and `ping_key.key_hash`.
const SNOOZE_BY_PING: &str = "select outcome, retry_after, \
     current_setting('cronmon.new_deliveries', true) as new_deliveries \
     from snooze_by_ping($1, $2, $3, $4, $5, $6)";

/// Snoozes a monitor for so many seconds, in one round trip; 0 ends its snooze. A connection that broke while nobody
/// used it is replaced once.
///
/// # Errors
/// [`DatabaseError`] when it is not known to be done. To do it again does no harm.
pub async fn snooze_by_ping(
    pool: &Pool,
    address: &Address,
    now: DateTime<Utc>,
    seconds: i32,
    most_per_minute: Option<i32>,
) -> Result<Snoozed, DatabaseError> {
    match once(pool, address, now, seconds, most_per_minute).await {
        Err(DatabaseError::Statement(e)) if ended(&e) => {
            once(pool, address, now, seconds, most_per_minute).await
        }
        done => done,
    }
}

async fn once(
    pool: &Pool,
    address: &Address,
    now: DateTime<Utc>,
    seconds: i32,
    most_per_minute: Option<i32>,
) -> Result<Snoozed, DatabaseError> {
    let (ping_id, key_hash, slug) = match address {
        Address::PingId(ping_id) => (Some(ping_id), None, None),
        Address::Slug { key_hash, slug, .. } => (None, Some(&key_hash[..]), Some(slug)),
        // No URL snoozes so.
        Address::Monitor { .. } => (None, None, None),
    };
    // Its caller may give up.
    let client = OwnConnection::from(pool).await?;
    let rows = client
        .object()?
        .query_typed(
            SNOOZE_BY_PING,
            &[
                (&ping_id, Type::UUID),
                (&key_hash, Type::BYTEA),
                (&slug, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&seconds, Type::INT4),
                (&most_per_minute, Type::INT4),
            ],
        )
        .await?;
    client.give_back();
    let row = rows.first().ok_or_else(|| DatabaseError::Data("snooze_by_ping gave no row".into()))?;
    Ok(match row.try_get::<_, &str>("outcome")? {
        "applied" => Snoozed::Done { new_deliveries: new_deliveries(row)? },
        "limited" => Snoozed::Limited { retry_after: row.try_get("retry_after")? },
        _ => Snoozed::UnknownMonitor,
    })
}
