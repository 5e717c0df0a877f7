//! Takes what is due and judges it.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use crate::schedules::cron_of;
use crate::signals::give_slots;
use crate::{DatabaseError, Pool};

/// Monitors judged in one transaction: few enough that a ping never waits long for one of them.
const BATCH: i32 = 200;

/// What one batch of a tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    pub monitors: i32,
    /// Cron schedules that got more slots.
    pub refilled: i32,
    /// Whether the batch was full: there may be more.
    pub more: bool,
}

/// See `migrations/V0002__rules.sql`. Relies on the index `monitor_due`.
const JUDGE_DUE: &str =
    "select monitor_id, schedule_version, cron, timezone, slots_after, judged from judge_due($1, $2)";

/// Judges one batch of monitors whose deadline lies before `now`, in one transaction, and gives more
/// slots to those that run low. `None` is Postgres' clock; tests give their own.
///
/// # Errors
/// [`DatabaseError`]; then the batch was not judged and the next tick takes it.
pub async fn judge_due(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Judged, DatabaseError> {
    let client = pool.get().await?;
    let rows = client.query_typed(JUDGE_DUE, &[(&now, Type::TIMESTAMPTZ), (&BATCH, Type::INT4)]).await?;
    let mut judged = Judged::default();
    for row in rows {
        if let Some(monitors) = row.try_get::<_, Option<i32>>("judged")? {
            judged.monitors = monitors;
            judged.more = monitors == BATCH || judged.refilled > 0;
            continue;
        }
        let monitor_id = row.try_get("monitor_id")?;
        let after: Option<DateTime<Utc>> = row.try_get("slots_after")?;
        let slots = match (cron_of(row.try_get("cron")?, row.try_get("timezone")?), after) {
            (Ok(cron), Some(after)) => cron.slots_after(after),
            (Ok(_), None) => Vec::new(),
            // It must not hold up the others, and expecting nothing is better than being wrong.
            (Err(e), _) => {
                tracing::error!(%monitor_id, "{e}");
                Vec::new()
            }
        };
        give_slots(&client, monitor_id, row.try_get("schedule_version")?, &slots, now).await?;
        judged.refilled += 1;
    }
    Ok(judged)
}
