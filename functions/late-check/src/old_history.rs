//! Old history is deleted a little at a time, beside everything else: a walk over all monitors that goes on
//! with each call and begins anew at its end.

use std::time::Instant;

use chrono::{DateTime, Utc};
use database::{DatabaseError, Pool};
use tokio_postgres::types::Type;

/// Monitors that one statement looks at, and rows that it deletes, at most; it also ends after a second.
const MONITORS: i32 = 200;
const ROWS: i32 = 2_000;

/// Monitors that one call looks at, at most.
const MONITORS_OF_A_CALL: i32 = 2_000;

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    pub monitors: i32,
    pub rows: i32,
    /// The walk came to its end.
    pub at_end: bool,
}

/// Goes on with the walk, until `end` comes. `None` is Postgres' clock. See
/// `migrations/V0010__isolated_ticks.sql`.
///
/// # Errors
/// [`DatabaseError`]; what was deleted stays deleted.
pub async fn delete(pool: &Pool, now: Option<DateTime<Utc>>, end: Instant) -> Result<Deleted, DatabaseError> {
    let mut total = Deleted::default();
    loop {
        let rows = pool
            .get()
            .await?
            .query_typed(
                "select monitors, deleted, at_end from prune_history($1, $2, $3)",
                &[(&now, Type::TIMESTAMPTZ), (&MONITORS, Type::INT4), (&ROWS, Type::INT4)],
            )
            .await?;
        let row = rows.first().ok_or_else(|| DatabaseError::Data("prune_history gave no row".into()))?;
        let (monitors, deleted): (i32, i32) = (row.try_get("monitors")?, row.try_get("deleted")?);
        total.monitors += monitors;
        total.rows += deleted;
        total.at_end = row.try_get("at_end")?;
        let somebody_else_does = monitors == 0 && deleted == 0;
        if total.at_end || somebody_else_does || total.monitors >= MONITORS_OF_A_CALL || Instant::now() > end
        {
            return Ok(total);
        }
    }
}
