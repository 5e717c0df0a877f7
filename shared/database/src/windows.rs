//! Maintenance windows that come again and again: their starts to come are found before they run out.

use chrono::{DateTime, Duration, Utc};
use domain::window::Starts;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::schedules::cron_of;
use crate::{DatabaseError, Pool};

/// Windows that one call looks after.
const MOST: i64 = 100;

/// One that can't be read is looked at again after this.
const AGAIN_AFTER: Duration = Duration::hours(1);

/// Finds more starts for windows that run low. `None` is Postgres' clock. What two do at once counts once. Relies on
/// the index `maintenance_window_refill`.
///
/// # Errors
/// [`DatabaseError`]; what was not refilled is found again.
pub async fn refill(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Refilled, DatabaseError> {
    let client = pool.get().await?;
    let rows = client
        .query_typed(
            "select window_id, cron, timezone, duration, starts, refill_at, coalesce($1, clock_timestamp()) as now
             from maintenance_window
             where refill_at < (select coalesce($1, clock_timestamp()))
             order by refill_at limit $2",
            &[(&now, Type::TIMESTAMPTZ), (&MOST, Type::INT8)],
        )
        .await?;
    for row in &rows {
        let window_id: Uuid = row.try_get("window_id")?;
        let (cron, zone): (Option<&str>, Option<&str>) = (row.try_get("cron")?, row.try_get("timezone")?);
        let (seconds, now): (i32, DateTime<Utc>) = (row.try_get("duration")?, row.try_get("now")?);
        let known: Vec<DateTime<Utc>> = row.try_get("starts")?;
        let seen: DateTime<Utc> = row.try_get("refill_at")?;
        let starts = match cron_of(cron.unwrap_or_default(), zone) {
            Ok(cron) => Starts::refilled(&known, &cron, Duration::seconds(seconds.into()), now),
            Err(e) => {
                tracing::error!(%window_id, "{e}");
                Starts { instants: known, refill_at: Some(now + AGAIN_AFTER) }
            }
        };
        // Unless it was changed or refilled meanwhile.
        client
            .execute_typed(
                "update maintenance_window set starts = $2, refill_at = $3
                 where window_id = $1 and refill_at = $4 and duration = $7
                   and cron is not distinct from $5 and timezone is not distinct from $6",
                &[
                    (&window_id, Type::UUID),
                    (&starts.instants, Type::TIMESTAMPTZ_ARRAY),
                    (&starts.refill_at, Type::TIMESTAMPTZ),
                    (&seen, Type::TIMESTAMPTZ),
                    (&cron, Type::TEXT),
                    (&zone, Type::TEXT),
                    (&seconds, Type::INT4),
                ],
            )
            .await?;
    }
    Ok(Refilled { windows: rows.len(), more: i64::try_from(rows.len()).is_ok_and(|count| count == MOST) })
}

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refilled {
    pub windows: usize,
    /// There may be more of them.
    pub more: bool,
}
