//! When late-check is to be woken between two minutes.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use crate::{DatabaseError, Pool};

/// Wakes that are wanted and not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// By Postgres' clock.
    pub looked_at: DateTime<Utc>,
    /// In how many seconds from then.
    pub delays: Vec<i32>,
}

/// Those of the next two minutes: at most a second after each deadline. See
/// `migrations/V0008__wakes_and_outages.sql`. `None` is Postgres' clock.
///
/// # Errors
/// [`DatabaseError`].
pub async fn wanted(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Wanted, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed("select looked_at, delays from wanted_wakes($1)", &[(&now, Type::TIMESTAMPTZ)])
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("wanted_wakes gave no row".into()))?;
    Ok(Wanted { looked_at: row.try_get("looked_at")?, delays: row.try_get("delays")? })
}

/// Writes down that these were sent. Only afterwards: one that is sent twice does no harm, one that is written down
/// and not sent costs a minute.
///
/// # Errors
/// [`DatabaseError`].
pub async fn remember(pool: &Pool, sent: &Wanted) -> Result<(), DatabaseError> {
    pool.get()
        .await?
        .execute_typed(
            "call remember_wakes($1, $2)",
            &[(&sent.looked_at, Type::TIMESTAMPTZ), (&sent.delays, Type::INT4_ARRAY)],
        )
        .await?;
    Ok(())
}

/// Whether anything is due. One probe of the index `monitor_due`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn is_due(pool: &Pool) -> Result<bool, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            // The clock is read once, or no index could be asked.
            "select exists (select from monitor where due_at < (select clock_timestamp()))",
            &[],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("an exists gave no row".into()))?;
    Ok(row.try_get(0)?)
}

/// Now, unless a wake that was sent already comes within so many seconds. Two who ask at once may both be told.
///
/// # Errors
/// [`DatabaseError`].
pub async fn unless_one_comes_within(
    pool: &Pool,
    seconds: i32,
) -> Result<Option<DateTime<Utc>>, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select now, exists (
                 select from late_check_watch, unnest(wakes) wake
                 where wake > now and wake <= now + make_interval(secs => $1)) as comes
             from (select clock_timestamp() as now) clock",
            &[(&f64::from(seconds), Type::FLOAT8)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("a clock gave no row".into()))?;
    let comes: bool = row.try_get("comes")?;
    Ok(if comes { None } else { Some(row.try_get("now")?) })
}
