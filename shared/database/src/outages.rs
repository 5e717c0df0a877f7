//! The times in which CronMon did not work as it should: what a tick knows of them and writes down. The rules are
//! in `migrations/V0008__wakes_and_outages.sql`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::signals::{OwnConnection, new_deliveries};
use crate::{DatabaseError, Pool};

/// The ping id of the canary's monitor. Anybody may ping it, which proves as well that pings come in; so it takes
/// logs alone, whose number is limited.
pub const CANARY: Uuid = Uuid::from_u128(0xca0a_4700_0000_4000_8000_0000_0000_0001);

/// A longer pause between two ticks that judged all that was due means that verdicts came late.
const LONGEST_PAUSE_SECONDS: f64 = 150.0;

/// A tick of Lambda, at its begin.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// By Postgres' clock.
    pub at: DateTime<Utc>,
    /// Since when ticks have been working without a long pause.
    pub ticking_since: DateTime<Utc>,
}

/// A tick of Lambda begins. Makes the canary's monitor, when one is sent.
///
/// # Errors
/// [`DatabaseError`].
pub async fn begin_tick(pool: &Pool, sends_canary: bool) -> Result<Begun, DatabaseError> {
    let canary = sends_canary.then_some(CANARY);
    let rows = pool
        .get()
        .await?
        .query_typed("select began_at, ticking_since from begin_tick(null, $1)", &[(&canary, Type::UUID)])
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("begin_tick gave no row".into()))?;
    Ok(Begun { at: row.try_get("began_at")?, ticking_since: row.try_get("ticking_since")? })
}

/// What is known of the pings' way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingest {
    /// Up to when may be judged.
    pub judges_until: DateTime<Utc>,
    /// When a canary last came through; `None`: never.
    pub canary_seen_at: Option<DateTime<Utc>>,
    /// Since when none did, if that is too long.
    pub blind_since: Option<DateTime<Utc>>,
}

/// Writes down the times in which no canary came through, before anything is judged. `until`: whatever was received
/// before has been applied. `proved_at`: just before a canary that came through now. Where none is sent nothing is
/// known, and nothing written.
///
/// # Errors
/// [`DatabaseError`].
pub async fn see_ingest(
    pool: &Pool,
    until: DateTime<Utc>,
    proved_at: Option<DateTime<Utc>>,
    sends_canary: bool,
) -> Result<Ingest, DatabaseError> {
    let canary = sends_canary.then_some(CANARY);
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select judges_until, canary_seen_at, blind_since from see_ingest($1, $2, $3)",
            &[(&until, Type::TIMESTAMPTZ), (&proved_at, Type::TIMESTAMPTZ), (&canary, Type::UUID)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("see_ingest gave no row".into()))?;
    Ok(Ingest {
        judges_until: row.try_get("judges_until")?,
        canary_seen_at: row.try_get("canary_seen_at")?,
        blind_since: row.try_get("blind_since")?,
    })
}

/// Writes down that nobody took pings on this machine from one instant to the other, if that is longer than
/// `longest`. From `None` is since an earlier process was last there. Doing it again changes nothing. Who gives it up
/// closes its connection.
///
/// # Errors
/// [`DatabaseError`].
pub async fn write_blind(
    pool: &Pool,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
    longest: Duration,
) -> Result<(), DatabaseError> {
    let client = OwnConnection::from(pool).await?;
    let written = client
        .object()?
        .execute_typed(
            "call write_blind($1, $2, make_interval(secs => $3))",
            &[(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ), (&longest.as_secs_f64(), Type::FLOAT8)],
        )
        .await;
    client.give_back();
    written?;
    Ok(())
}

/// How a tick ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// `None` is Postgres' clock.
    pub now: Option<DateTime<Utc>>,
    /// Up to when it judged.
    pub until: DateTime<Utc>,
    /// Whether that was all of it.
    pub judged: bool,
    /// On one machine: when it was there and took pings.
    pub seen_at: Option<DateTime<Utc>>,
}

/// What a tick left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Something is still due: somebody held it.
    pub still_due: bool,
    /// What is due has to wait, for pings or for a proof that they come in.
    pub waits: bool,
    /// Deliveries of notices, to be handed over.
    pub new_deliveries: Vec<Uuid>,
}

/// A tick ends: writes that down, and a long pause before it, and tells tenants of what is over.
///
/// # Errors
/// [`DatabaseError`].
pub async fn end_tick(pool: &Pool, ending: Ending) -> Result<Ended, DatabaseError> {
    end_tick_after(pool, ending, Duration::from_secs_f64(LONGEST_PAUSE_SECONDS)).await
}

/// The same with another length of what is a long pause.
///
/// # Errors
/// [`DatabaseError`].
pub async fn end_tick_after(
    pool: &Pool,
    ending: Ending,
    longest_pause: Duration,
) -> Result<Ended, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select still_due, waits, current_setting('cronmon.new_deliveries', true) as new_deliveries
             from end_tick($1, $2, $3, $4, make_interval(secs => $5))",
            &[
                (&ending.now, Type::TIMESTAMPTZ),
                (&ending.until, Type::TIMESTAMPTZ),
                (&ending.judged, Type::BOOL),
                (&ending.seen_at, Type::TIMESTAMPTZ),
                (&longest_pause.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("end_tick gave no row".into()))?;
    Ok(Ended {
        still_due: row.try_get("still_due")?,
        waits: row.try_get("waits")?,
        new_deliveries: new_deliveries(row)?,
    })
}

/// What is known of CronMon itself, for who asks whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// When all that was due had last been judged.
    pub ticked_at: Option<DateTime<Utc>>,
    /// Up to when it is known that pings come in, or written down that they did not.
    pub ingest_seen_at: Option<DateTime<Utc>>,
    /// When a canary last came through; on one machine there is none.
    pub canary_seen_at: Option<DateTime<Utc>>,
    pub blind_since: Option<DateTime<Utc>>,
}

/// Relies on the unique indexes of `monitor.ping_id` and `outage_span_lasts`, and on `signal_newest_first`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn health(pool: &Pool) -> Result<Health, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select ticked_at, ingest_seen_at,
                    (select received_at from signal
                     where monitor_id = (select monitor_id from monitor where ping_id = $1)
                     order by received_at desc limit 1) as canary_seen_at,
                    (select began_at from outage_span where kind = 'blind' and ended_at is null) as blind_since
             from late_check_watch",
            &[(&CANARY, Type::UUID)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("late_check_watch has no row".into()))?;
    Ok(Health {
        ticked_at: row.try_get("ticked_at")?,
        ingest_seen_at: row.try_get("ingest_seen_at")?,
        canary_seen_at: row.try_get("canary_seen_at")?,
        blind_since: row.try_get("blind_since")?,
    })
}
