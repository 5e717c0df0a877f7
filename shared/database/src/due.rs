//! Takes what is due and judges it.

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::schedules::cron_of;
use crate::signals::{give_slots, new_deliveries};
use crate::{DatabaseError, Pool};

/// Monitors judged in one transaction: few enough that a ping never waits long for one of them.
const BATCH: i32 = 200;

/// What one batch of a tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    pub monitors: i32,
    /// Cron schedules that got more slots.
    pub refilled: i32,
    /// Whether the batch was full: there may be more.
    pub more: bool,
    /// Deliveries that it made, the beginning of them if there are thousands: to be handed over.
    pub new_deliveries: Vec<Uuid>,
}

/// Up to when a tick judges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Until {
    /// `None` is Postgres' clock.
    pub now: Option<DateTime<Utc>>,
    /// Nothing that falls due later: pings from then on may still be on their way.
    pub not_after: Option<DateTime<Utc>>,
    /// When the spool was looked into, by Postgres' clock. What takes long after that is not believed.
    pub looked_at: Option<DateTime<Utc>>,
}

/// See `migrations/V0005__ping_path_rules.sql`. Relies on the index `monitor_due`.
const JUDGE_DUE: &str = "select monitor_id, schedule_version, cron, timezone, slots_after, judged, \
     case when judged is not null then current_setting('cronmon.new_deliveries', true) end as new_deliveries \
     from judge_due($1, $2, $3, $4)";

/// Judges one batch of monitors whose deadline has passed, in one transaction, and gives more slots to those
/// that run low. `None`: too much time passed since the spool was looked into; look again.
///
/// # Errors
/// [`DatabaseError`]; then the batch was not judged and the next tick takes it. Slots that could not be given
/// are only logged: the monitor stays due for them.
pub async fn judge_due(pool: &Pool, until: Until) -> Result<Option<Judged>, DatabaseError> {
    let client = pool.get().await?;
    let rows = client
        .query_typed(
            JUDGE_DUE,
            &[
                (&until.now, Type::TIMESTAMPTZ),
                (&BATCH, Type::INT4),
                (&until.not_after, Type::TIMESTAMPTZ),
                (&until.looked_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let mut judged = Judged::default();
    for row in rows {
        if let Some(monitors) = row.try_get::<_, Option<i32>>("judged")? {
            if monitors < 0 {
                return Ok(None);
            }
            judged.monitors = monitors;
            judged.new_deliveries = new_deliveries(&row)?;
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
        match give_slots(&client, monitor_id, row.try_get("schedule_version")?, &slots, until.now).await {
            Ok(()) => judged.refilled += 1,
            // What was judged is committed, and the caller has to hear of it.
            Err(e) => tracing::error!(%monitor_id, "no slots were given: {e}"),
        }
    }
    Ok(Some(judged))
}

/// Now, by Postgres' clock.
///
/// # Errors
/// [`DatabaseError`].
pub async fn clock(pool: &Pool) -> Result<DateTime<Utc>, DatabaseError> {
    let rows = pool.get().await?.query_typed("select clock_timestamp()", &[]).await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("a select without from gave no row".into()))?;
    Ok(row.try_get(0)?)
}

/// A delivery that waits this long was not handed over, or got lost on the way.
const LEFT_AFTER_SECONDS: f64 = 10.0;

/// Deliveries that are due and that nobody took: their hand-over was lost, or they wait for a repeat. Without
/// those that an earlier one holds up: whoever settles that one calls them. The longest due first, at most
/// `most`. `None` is Postgres' clock. Relies on the indexes `delivery_due` and `delivery_open`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn left_deliveries(
    pool: &Pool,
    now: Option<DateTime<Utc>>,
    most: i64,
) -> Result<Vec<Uuid>, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select delivery_id from delivery d
             where next_attempt_at <= (select coalesce($1, clock_timestamp()) - make_interval(secs => $2))
               and not exists (
                   select from delivery earlier
                   where earlier.monitor_id = d.monitor_id and earlier.alert_config_id = d.alert_config_id
                     and earlier.next_attempt_at is not null and earlier.position < d.position)
             order by next_attempt_at, position limit $3",
            &[(&now, Type::TIMESTAMPTZ), (&LEFT_AFTER_SECONDS, Type::FLOAT8), (&most, Type::INT8)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get("delivery_id")).collect::<Result<_, _>>()?)
}

/// How far the work is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// How long the longest due monitor waits to be judged.
    pub judging: TimeDelta,
    /// How long the longest due delivery waits to be tried.
    pub delivery: TimeDelta,
}

/// How far judging and delivering are behind at `now`; `None` is Postgres' clock. Relies on the indexes
/// `monitor_due` and `delivery_due`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn behind(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Behind, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select coalesce($1, clock_timestamp()) as now,
                    (select min(due_at) from monitor where due_at is not null) as due_at,
                    (select min(next_attempt_at) from delivery where next_attempt_at is not null)
                        as next_attempt_at",
            &[(&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Data("a select without from gave no row".into()))?;
    let now: DateTime<Utc> = row.try_get("now")?;
    let since = |column: &str| -> Result<TimeDelta, tokio_postgres::Error> {
        let due: Option<DateTime<Utc>> = row.try_get(column)?;
        Ok(due.map_or(TimeDelta::zero(), |due| (now - due).max(TimeDelta::zero())))
    };
    Ok(Behind { judging: since("due_at")?, delivery: since("next_attempt_at")? })
}
