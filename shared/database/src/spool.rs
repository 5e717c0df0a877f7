//! Signals that wait while the database is away: what a spool does, how one looks in it, and what was last
//! seen of it. The two spools are in the hosts: a folder on one machine, a queue on Lambda.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use domain::SignalKind;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::signals::{Address, Outcome, ReceivedSignal, Terms, apply_signal};
use crate::{DatabaseError, Pool};

/// Where a signal goes that the database does not take.
pub trait Spool: Send + Sync {
    /// Keeps a signal: once that is said, it survives this process. The error is for the log.
    fn put<'a>(&'a self, signal: &'a ReceivedSignal, why: Why) -> BoxFuture<'a, Result<(), String>>;

    /// Whether an earlier signal to the same address waits: then a later one has to go behind it.
    fn holds(&self, address: &Address) -> bool;

    /// Whether others fill it too, so that only [`watch`] tells when it was empty.
    fn is_shared(&self) -> bool;
}

/// Why a signal goes into a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The database did not take it in time, or was not asked.
    Away,
    /// The database took it, and told it to wait behind what may be in the spool: [`Outcome::Behind`].
    Behind,
}

/// One text that waits. The handle is what its spool knows it by.
#[derive(Debug)]
pub struct Waiting<Handle> {
    pub handle: Handle,
    /// Those of one group are applied in their order.
    pub group: String,
    pub text: String,
}

/// Of a longer body keywords are looked for in both ends, in bytes. Anybody can fill a spool while nobody can tell
/// whether a ping id exists, so little is kept.
const SEARCHED_END: usize = 10_000;

/// A signal as a spool has it.
#[derive(Debug, Serialize, Deserialize)]
struct Spooled {
    signal_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ping_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<String>,
    received_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    behind: bool,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rid: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_status: Option<i16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    searched: Option<String>,
}

/// A signal as text, for a spool.
///
/// # Errors
/// The text for the log; none is known.
pub fn to_text(signal: &ReceivedSignal, why: Why) -> Result<String, String> {
    let mut spooled = Spooled {
        signal_id: signal.signal_id,
        ping_id: None,
        key_hash: None,
        slug: None,
        monitor_id: None,
        create: None,
        received_at: signal.received_at,
        behind: why == Why::Behind,
        kind: signal.kind.name().to_owned(),
        rid: signal.rid,
        exit_status: signal.exit_status,
        source_address: signal.source_address,
        user_agent: signal.user_agent.clone(),
        body: signal.body.as_ref().map(|body| STANDARD.encode(both_ends(body))),
        searched: signal.searched.as_ref().map(|body| STANDARD.encode(both_ends(body))),
    };
    match &signal.address {
        Address::PingId(ping_id) => spooled.ping_id = Some(*ping_id),
        Address::Slug { key_hash, slug, create } => {
            spooled.key_hash = Some(STANDARD.encode(key_hash));
            spooled.slug = Some(slug.clone());
            spooled.create.clone_from(create);
        }
        Address::Monitor { key_hash, monitor_id } => {
            spooled.key_hash = Some(STANDARD.encode(key_hash));
            spooled.monitor_id = Some(*monitor_id);
        }
    }
    serde_json::to_string(&spooled).map_err(|e| e.to_string())
}

fn both_ends(body: &[u8]) -> Vec<u8> {
    match (body.first_chunk::<SEARCHED_END>(), body.last_chunk::<SEARCHED_END>()) {
        (Some(head), Some(tail)) if body.len() > 2 * SEARCHED_END => [&head[..], b"\n", &tail[..]].concat(),
        _ => body.to_vec(),
    }
}

/// Reads what [`to_text`] made.
///
/// # Errors
/// What is wrong with it, without repeating it.
pub fn from_text(text: &str) -> Result<ReceivedSignal, String> {
    let spooled: Spooled = serde_json::from_str(text)
        // Its own words may repeat what the text holds.
        .map_err(|e| format!("not a signal: {:?} error in column {}", e.classify(), e.column()))?;
    let decode = |text: String| STANDARD.decode(text).map_err(|_| "not base64".to_owned());
    let key_hash = match spooled.key_hash {
        Some(text) => Some(<[u8; 32]>::try_from(decode(text)?).map_err(|_| "key_hash is not one")?),
        None => None,
    };
    let address = match (spooled.ping_id, key_hash, spooled.slug, spooled.monitor_id) {
        (Some(ping_id), _, _, _) => Address::PingId(ping_id),
        (None, Some(key_hash), Some(slug), _) => Address::Slug { key_hash, slug, create: spooled.create },
        (None, Some(key_hash), None, Some(monitor_id)) => Address::Monitor { key_hash, monitor_id },
        _ => return Err("no address".to_owned()),
    };
    Ok(ReceivedSignal {
        address,
        signal_id: spooled.signal_id,
        received_at: spooled.received_at,
        kind: SignalKind::from_name(&spooled.kind).ok_or("kind is not one")?,
        rid: spooled.rid,
        exit_status: spooled.exit_status,
        source_address: spooled.source_address,
        user_agent: spooled.user_agent,
        body: spooled.body.map(decode).transpose()?,
        searched: spooled.searched.map(decode).transpose()?,
    })
}

/// Whether what [`to_text`] made went into the spool because the database was slow or away, for then others may still be
/// on their way. Of a text that can't be read too.
#[must_use]
pub fn tells_of_trouble(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Sent {
        #[serde(default)]
        behind: bool,
    }
    !serde_json::from_str(text).is_ok_and(|sent: Sent| sent.behind)
}

/// By what signals are kept in order: one group for each address. At most 128 characters, which is what SQS
/// allows.
#[must_use]
pub fn group(address: &Address) -> String {
    match address {
        Address::PingId(ping_id) => ping_id.simple().to_string(),
        Address::Slug { key_hash, slug, .. } => {
            let key: String = key_hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{key}.{slug}")
        }
        Address::Monitor { monitor_id, .. } => format!("monitor.{}", monitor_id.simple()),
    }
}

/// What became of something that a spool held.
#[derive(Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is in the history; with the deliveries that it made.
    Applied(Vec<Uuid>),
    /// It can't be applied, now or later, and stands in `parked_signal`.
    Parked,
}

/// Applies what a spool held, or parks it. Doing so again changes nothing.
///
/// # Errors
/// [`DatabaseError`] when the database can't do either at the moment: it has to wait longer.
pub async fn replay(pool: &Pool, text: &str, now: Option<DateTime<Utc>>) -> Result<Replayed, DatabaseError> {
    let signal = match from_text(text) {
        Ok(signal) => signal,
        Err(why) => {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
            return park(pool, id, &why, text, now).await;
        }
    };
    match apply_signal(pool, &signal, Terms { from_spool: true, ..Terms::default() }).await {
        Ok(applied) => {
            let why = match applied.outcome {
                Outcome::UnknownMonitor => "no monitor has this address",
                Outcome::NoKey => "no API key has this hash, or it had expired",
                Outcome::WrongScope => "the scope of the API key does not allow pings",
                _ => return Ok(Replayed::Applied(applied.new_deliveries)),
            };
            park(pool, signal.signal_id, why, text, now).await
        }
        Err(e) if e.may_be_over_later() => Err(e),
        Err(e) => park(pool, signal.signal_id, &e.to_string(), text, now).await,
    }
}

/// A person is to look at it, and ten thousand are more than one person does.
async fn park(
    pool: &Pool,
    id: Uuid,
    reason: &str,
    text: &str,
    now: Option<DateTime<Utc>>,
) -> Result<Replayed, DatabaseError> {
    // Postgres has no place for a NUL in text.
    let text = text.replace('\0', "\u{fffd}");
    pool.get()
        .await?
        .execute_typed(
            "insert into parked_signal (parked_id, parked_at, reason, message)
             select $1, coalesce($2, clock_timestamp()), $3, $4
             where (select count(*) from (select from parked_signal limit 10000) looked_at) < 10000
             on conflict (parked_id) do nothing",
            &[(&id, Type::UUID), (&now, Type::TIMESTAMPTZ), (&reason, Type::TEXT), (&text, Type::TEXT)],
        )
        .await?;
    tracing::error!(parked_id = %id, "a spooled signal was parked: {reason}");
    Ok(Replayed::Parked)
}

/// What was last seen of the spool, and how much is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    pub seen_at: DateTime<Utc>,
    /// When it was last empty: what was received before has been applied.
    pub empty_at: DateTime<Utc>,
    pub waiting: i64,
}

/// When the spool was last empty, and when it last had something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    pub empty_at: DateTime<Utc>,
    pub some_at: Option<DateTime<Utc>>,
}

/// Writes down what is in the spool now, and whether what was in it or is left tells of trouble.
///
/// # Errors
/// [`DatabaseError`].
pub async fn watch(
    pool: &Pool,
    seen_at: DateTime<Utc>,
    waiting: i64,
    in_trouble: bool,
) -> Result<Watched, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "insert into spool_watch (seen_at, empty_at, some_at, waiting)
             values ($1, $1 - case when $2 = 0 then interval '0' else interval '10 minutes' end,
                     case when $3 then $1 end, $2)
             on conflict (one_row) do update set
                 seen_at = greatest(spool_watch.seen_at, $1),
                 empty_at = case when $2 = 0 then greatest(spool_watch.empty_at, $1) else spool_watch.empty_at end,
                 some_at = case when $3 then greatest(spool_watch.some_at, $1) else spool_watch.some_at end,
                 waiting = $2
             returning empty_at, some_at",
            &[
                (&seen_at, Type::TIMESTAMPTZ),
                (&waiting, Type::INT8),
                (&in_trouble, Type::BOOL),
            ],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("an upsert gave no row".into()))?;
    Ok(Watched { empty_at: row.try_get("empty_at")?, some_at: row.try_get("some_at")? })
}

/// What was last seen, if anybody looked yet; and how many signals are parked, at most 10,000.
///
/// # Errors
/// [`DatabaseError`].
pub async fn last_seen(pool: &Pool) -> Result<(Option<Watch>, i64), DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select parked, seen_at, empty_at, waiting
             from (select count(*) as parked from (select from parked_signal limit 10000) looked_at) p
             left join spool_watch on true",
            &[],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("a count gave no row".into()))?;
    let watch = match row.try_get("seen_at")? {
        Some(seen_at) => {
            Some(Watch { seen_at, empty_at: row.try_get("empty_at")?, waiting: row.try_get("waiting")? })
        }
        None => None,
    };
    Ok((watch, row.try_get("parked")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(address: Address) -> ReceivedSignal {
        ReceivedSignal {
            address,
            signal_id: Uuid::from_u128(7),
            received_at: "2026-11-22T12:00:00.123456Z".parse().unwrap(),
            kind: SignalKind::Fail,
            rid: Some(Uuid::from_u128(8)),
            exit_status: Some(255),
            source_address: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some("curl/8 \u{0}\"ü".into()),
            body: Some(vec![0, 255, 10]),
            searched: None,
        }
    }

    #[test]
    fn a_signal_comes_out_as_it_went_in() {
        let by_slug = Address::Slug {
            key_hash: [9; 32],
            slug: "nightly".into(),
            create: Some("{\"every\":86400}".into()),
        };
        let by_key = Address::Monitor { key_hash: [8; 32], monitor_id: Uuid::from_u128(3) };
        for address in [Address::PingId(Uuid::from_u128(1)), by_slug, by_key] {
            let signal = signal(address);
            let away = to_text(&signal, Why::Away).unwrap();
            let behind = to_text(&signal, Why::Behind).unwrap();
            assert_eq!((tells_of_trouble(&away), tells_of_trouble(&behind)), (true, false));
            assert_eq!(from_text(&behind).as_ref(), Ok(&signal));
            assert_eq!(from_text(&away), Ok(signal));
        }
    }

    #[test]
    fn of_a_long_body_both_ends_are_searched_and_little_is_kept() {
        let mut signal = signal(Address::PingId(Uuid::from_u128(1)));
        signal.body = Some(vec![b'b'; 10_000]);
        let long = Some([vec![b'h'; 1_000_000], vec![b't'; 1_000_000]].concat());
        signal.searched.clone_from(&long);
        let text = to_text(&signal, Why::Away).unwrap();
        assert!(text.len() < 64 * 1024, "{}", text.len());
        let searched = from_text(&text).unwrap().searched.unwrap();
        assert!(searched.starts_with(b"hhh") && searched.ends_with(b"ttt"));
        assert_eq!(from_text(&text).unwrap().body, signal.body);
        // The output of a job that was finished by the API.
        signal.body = long;
        let text = to_text(&signal, Why::Away).unwrap();
        assert!(text.len() < 64 * 1024, "{}", text.len());
        assert_eq!(from_text(&text).unwrap().body, Some(searched));
    }

    #[test]
    fn what_is_no_signal_is_refused_without_repeating_it() {
        for text in ["", "{", "null", "{\"signal_id\":\"secret\"}", &"[".repeat(100_000)] {
            let why = from_text(text).unwrap_err();
            assert!(why.starts_with("not a signal: ") && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_group_fits_into_sqs() {
        let address = Address::Slug { key_hash: [255; 32], slug: "a".repeat(100), create: None };
        assert!(group(&address).len() <= 128);
    }
}
