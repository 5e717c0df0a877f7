//! The way of a signal into the database.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::jobs::Job;
use crate::schedules::cron_of;
use crate::{DatabaseError, Pool};
use domain::SignalKind;

/// A signal as it was received. Its id is made before the database is tried, so that a repeat is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSignal {
    pub address: Address,
    pub signal_id: Uuid,
    /// The gateway's time, in whole microseconds.
    pub received_at: DateTime<Utc>,
    /// As the URL says it; the monitor's keywords may decide otherwise.
    pub kind: SignalKind,
    pub rid: Option<Uuid>,
    pub exit_status: Option<i16>,
    pub source_address: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// What is kept of the body.
    pub body: Option<Vec<u8>>,
    /// The body in which keywords are looked for, where that is more than what is kept.
    pub searched: Option<Vec<u8>>,
}

/// How a ping names its monitor.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    PingId(Uuid),
    Slug {
        /// SHA-256 of the ping key.
        key_hash: [u8; 32],
        slug: String,
        /// How to create the monitor when there is none: JSON, as `create_by_ping` in
        /// `migrations/V0005__ping_path_rules.sql` reads it.
        create: Option<String>,
    },
    /// As the original API does it, of a job that has its own id as its run id: started when the signal has no `rid`,
    /// else that one is finished.
    Monitor {
        /// SHA-256 of the API key.
        key_hash: [u8; 32],
        monitor_id: Uuid,
    },
}

/// Without what opens anything: whoever has a ping id can ping.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PingId(_) => f.write_str("PingId"),
            Self::Slug { slug, .. } => write!(f, "Slug({slug})"),
            Self::Monitor { monitor_id, .. } => write!(f, "Monitor({monitor_id})"),
        }
    }
}

/// What else decides about a signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// Pings of a monitor in a minute, fails not counted; `None`: no limit.
    pub most_per_minute: Option<i32>,
    /// It waited in the spool, and its client had an answer long ago.
    pub from_spool: bool,
    /// Others fill the spool too, and it is written down when it was empty.
    pub shared_spool: bool,
}

/// What became of a signal.
#[derive(Debug, Clone)]
pub struct Applied {
    pub outcome: Outcome,
    /// Of [`Address::Monitor`]: the job that was started or finished, without its output.
    pub job: Option<Job>,
    /// Deliveries that it made, the beginning of them if there are thousands: to be handed over. The tick
    /// finds those that are not.
    pub new_deliveries: Vec<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// Applied, to a monitor that it created.
    Created,
    /// This very signal was here before and changed nothing now.
    Repeated,
    /// No monitor has this address.
    UnknownMonitor,
    /// No API key has this hash, or it has expired.
    NoKey,
    /// The API key may read, but not ping.
    WrongScope,
    /// The monitor has no job with this id.
    NoJob,
    /// The job has ended already; nothing was recorded.
    Finished,
    /// Not applied: it has to go behind what may wait in the spool.
    Behind,
    /// Too many in a minute; nothing was recorded.
    Limited {
        /// After how many seconds the next one counts.
        retry_after: i32,
    },
}

/// See `migrations/V0010__isolated_ticks.sql`. Relies on the unique indexes on `monitor.ping_id`,
/// `monitor (tenant, slug)` and `ping_key.key_hash`.
const APPLY_SIGNAL: &str = "select outcome, retry_after, monitor_id, schedule_version, cron, timezone, \
     slots_after, calm_before, next_slot, \
     current_setting('cronmon.new_deliveries', true) as new_deliveries \
     from apply_signal($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// The same of a job that is started or finished with an API key. See `migrations/V0011__api_keys.sql`. Relies on the
/// unique index on `api_key.key_hash` and the primary keys.
const APPLY_JOB_SIGNAL: &str = "select outcome, retry_after, monitor_id, schedule_version, cron, timezone, \
     slots_after, calm_before, next_slot, \
     job_id, rid, announced, start_time, end_time, succeeded, exit_status, job_due_at, null::bytea as output, null::integer as output_bytes, \
     current_setting('cronmon.new_deliveries', true) as new_deliveries \
     from apply_job_signal($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// Reads the column `new_deliveries`; see `migrations/V0003__new_deliveries.sql`.
pub(crate) fn new_deliveries(row: &Row) -> Result<Vec<Uuid>, tokio_postgres::Error> {
    let ids: Option<&str> = row.try_get("new_deliveries")?;
    Ok(ids.unwrap_or_default().split(',').filter_map(|id| Uuid::try_parse(id).ok()).collect())
}

/// The deliveries that this transaction has made until now, the beginning of them if there are thousands.
///
/// # Errors
/// [`DatabaseError`].
pub async fn made_deliveries(client: &impl GenericClient) -> Result<Vec<Uuid>, DatabaseError> {
    let statement = "select current_setting('cronmon.new_deliveries', true) as new_deliveries";
    let rows = client.query_typed(statement, &[]).await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("a select without from gave no row".into()))?;
    Ok(new_deliveries(row)?)
}

/// A schedule that ran out of slots needs a few calls more; each covers 64 slots of what was missed, and
/// an incident begins after at most 1000 misses.
const MOST_CALLS: usize = 40;

/// Applies a signal in one round trip; after an outage of late-check a cron schedule may need more.
///
/// # Errors
/// [`DatabaseError`] when it is not known to be applied. Applying the same signal again is safe.
pub async fn apply_signal(
    pool: &Pool,
    signal: &ReceivedSignal,
    terms: Terms,
) -> Result<Applied, DatabaseError> {
    let client = OwnConnection::from(pool).await?;
    let applied = apply_by(client.object()?, signal, terms).await;
    client.give_back();
    applied
}

/// A connection whose statement may be given up: then it is closed, and not given to somebody who would have to
/// wait for the end of that statement.
pub(crate) struct OwnConnection(Option<Object>);

impl OwnConnection {
    pub(crate) async fn from(pool: &Pool) -> Result<Self, DatabaseError> {
        Ok(Self(Some(pool.get().await?)))
    }

    pub(crate) fn object(&self) -> Result<&Object, DatabaseError> {
        self.0.as_ref().ok_or_else(|| DatabaseError::Data("the connection was given back".into()))
    }

    pub(crate) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// The same in a process that may be frozen: its connection may have died meanwhile, which shows only when it is
/// used. One that broke is given up, and the signal sent once more by a new one; so is one that kept quiet for
/// `silence`, where that is given. That costs a warm ping nothing.
///
/// # Errors
/// As [`apply_signal`].
pub async fn apply_signal_after_a_freeze(
    pool: &Pool,
    signal: &ReceivedSignal,
    terms: Terms,
    silence: Option<Duration>,
) -> Result<Applied, DatabaseError> {
    let client = OwnConnection::from(pool).await?;
    let applied = apply_by(client.object()?, signal, terms);
    let done = match silence {
        Some(silence) => timeout(silence, applied).await.ok(),
        None => Some(applied.await),
    };
    match done {
        Some(Err(DatabaseError::Statement(e))) if ended(&e) => {}
        Some(done) => {
            client.give_back();
            return done;
        }
        None => {}
    }
    drop(client);
    apply_signal(pool, signal, terms).await
}

/// Whether the connection is gone: without a word, or with the last words of a server that was told to end it.
pub(crate) fn ended(e: &tokio_postgres::Error) -> bool {
    e.code().is_none_or(|code| code.code().starts_with("57P"))
}

/// The same by a connection of the caller's, within its transaction if it has begun one.
///
/// # Errors
/// As [`apply_signal`].
pub async fn apply_by(
    client: &Object,
    signal: &ReceivedSignal,
    terms: Terms,
) -> Result<Applied, DatabaseError> {
    let mut new = Vec::new();
    let mut slots = Slots::default();
    for _ in 0..MOST_CALLS {
        let rows = call(client, signal, terms, &slots).await?;
        let row = rows.first().ok_or_else(|| DatabaseError::Data("apply_signal gave no row".into()))?;
        new.extend(new_deliveries(row)?);
        let outcome = match row.try_get::<_, &str>("outcome")? {
            "applied" => Some(Outcome::Applied),
            "created" => Some(Outcome::Created),
            "repeated" => Some(Outcome::Repeated),
            "unknown" => Some(Outcome::UnknownMonitor),
            "behind" => Some(Outcome::Behind),
            "no_key" => Some(Outcome::NoKey),
            "wrong_scope" => Some(Outcome::WrongScope),
            "no_job" => Some(Outcome::NoJob),
            "finished" => Some(Outcome::Finished),
            "limited" => Some(Outcome::Limited { retry_after: row.try_get("retry_after")? }),
            _ => None,
        };
        if let Some(outcome) = outcome {
            let job = match &signal.address {
                Address::Monitor { .. } => Job::of(row, signal.received_at)?,
                Address::PingId(_) | Address::Slug { .. } => None,
            };
            return Ok(Applied { outcome, job, new_deliveries: new });
        }
        let cron = cron_of(row.try_get("cron")?, row.try_get("timezone")?)?;
        let version: i32 = row.try_get("schedule_version")?;
        if let Some(after) = row.try_get::<_, Option<DateTime<Utc>>>("slots_after")? {
            let found = cron.slots_after(after);
            give_slots(client, row.try_get("monitor_id")?, version, &found, signal.received_at).await?;
        }
        // Those after the slot too, which may lie far ahead of a signal that is early.
        let mut found = cron.slots_after(signal.received_at);
        if let Some(slot) = row.try_get::<_, Option<DateTime<Utc>>>("next_slot")? {
            found.extend(cron.slots_after(slot));
            found.sort();
            found.dedup();
        }
        slots.slots = Some(found);
        slots.schedule_version = Some(version);
        slots.calm_before = row.try_get("calm_before")?;
    }
    Err(DatabaseError::Data("the slots of a schedule were never enough".into()))
}

/// What a schedule that ran out of slots is given by the next call.
#[derive(Default)]
struct Slots {
    slots: Option<Vec<DateTime<Utc>>>,
    schedule_version: Option<i32>,
    calm_before: Option<bool>,
}

async fn call(
    client: &Object,
    signal: &ReceivedSignal,
    terms: Terms,
    slots: &Slots,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let source_address = signal.source_address.map(|ip| ip.to_string());
    let kind = signal.kind.name();
    let (ping_id, key_hash, slug, create) = match &signal.address {
        Address::PingId(ping_id) => (Some(ping_id), None, None, None),
        Address::Slug { key_hash, slug, create } => (None, Some(&key_hash[..]), Some(slug), create.as_ref()),
        Address::Monitor { key_hash, monitor_id } => {
            return client
                .query_typed(
                    APPLY_JOB_SIGNAL,
                    &[
                        (&&key_hash[..], Type::BYTEA),
                        (monitor_id, Type::UUID),
                        (&signal.rid, Type::UUID),
                        (&signal.signal_id, Type::UUID),
                        (&signal.received_at, Type::TIMESTAMPTZ),
                        (&kind, Type::TEXT),
                        (&source_address, Type::TEXT),
                        (&signal.user_agent, Type::TEXT),
                        (&signal.body, Type::BYTEA),
                        (&signal.searched, Type::BYTEA),
                        (&terms.most_per_minute, Type::INT4),
                        (&terms.from_spool, Type::BOOL),
                        (&terms.shared_spool, Type::BOOL),
                        (&slots.slots, Type::TIMESTAMPTZ_ARRAY),
                        (&slots.schedule_version, Type::INT4),
                        (&slots.calm_before, Type::BOOL),
                    ],
                )
                .await;
        }
    };
    client
        .query_typed(
            APPLY_SIGNAL,
            &[
                (&ping_id, Type::UUID),
                (&key_hash, Type::BYTEA),
                (&slug, Type::TEXT),
                (&create, Type::TEXT),
                (&signal.signal_id, Type::UUID),
                (&signal.received_at, Type::TIMESTAMPTZ),
                (&kind, Type::TEXT),
                (&signal.rid, Type::UUID),
                (&signal.exit_status, Type::INT2),
                (&source_address, Type::TEXT),
                (&signal.user_agent, Type::TEXT),
                (&signal.body, Type::BYTEA),
                (&signal.searched, Type::BYTEA),
                (&terms.most_per_minute, Type::INT4),
                (&terms.from_spool, Type::BOOL),
                (&terms.shared_spool, Type::BOOL),
                (&slots.slots, Type::TIMESTAMPTZ_ARRAY),
                (&slots.schedule_version, Type::INT4),
                (&slots.calm_before, Type::BOOL),
            ],
        )
        .await
}

/// Gives a monitor the slots that were found for it, unless its schedule was edited meanwhile.
async fn give_slots(
    client: &Object,
    monitor_id: Uuid,
    schedule_version: i32,
    slots: &[DateTime<Utc>],
    now: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    client
        .execute_typed(
            "call give_slots($1, $2, $3, $4)",
            &[
                (&monitor_id, Type::UUID),
                (&schedule_version, Type::INT4),
                (&slots, Type::TIMESTAMPTZ_ARRAY),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(())
}
