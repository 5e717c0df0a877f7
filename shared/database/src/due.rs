//! Takes what is due and judges it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::schedules::cron_of;
use crate::signals::new_deliveries;
use crate::{DatabaseError, Pool};

/// Monitors judged in one transaction: few enough that a ping never waits long for one of them.
pub const BATCH: usize = 200;

/// What one batch of a tick did.
#[derive(Debug, Default)]
pub struct Judged {
    pub monitors: i32,
    /// Whether there may be more.
    pub more: bool,
    /// Cron schedules that run low.
    pub need_slots: Vec<NeedsSlots>,
    /// Deliveries that it made, the beginning of them if there are thousands: to be handed over.
    pub new_deliveries: Vec<Uuid>,
}

/// A monitor that needs the slots after an instant.
#[derive(Debug)]
pub struct NeedsSlots {
    monitor_id: Uuid,
    schedule_version: i32,
    cron: String,
    timezone: Option<String>,
    after: DateTime<Utc>,
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

/// See `migrations/V0010__isolated_ticks.sql`.
const JUDGE_DUE: &str = "select monitor_id, schedule_version, cron, timezone, slots_after, judged, \
     case when judged is not null then current_setting('cronmon.new_deliveries', true) end as new_deliveries \
     from judge_due($1, $2, $3, $4, $5)";

/// Judges one batch of monitors whose deadline has passed, in one transaction: the longest due, or the first
/// [`BATCH`] of `these`. `None`: too much time passed since the spool was looked into; look again.
///
/// # Errors
/// [`DatabaseError`]; then the batch was not judged and the next tick takes it.
pub async fn judge_due(
    pool: &Pool,
    until: Until,
    these: Option<&[Uuid]>,
) -> Result<Option<Judged>, DatabaseError> {
    let client = pool.get().await?;
    let batch = i32::try_from(BATCH).unwrap_or(i32::MAX);
    let rows = client
        .query_typed(
            JUDGE_DUE,
            &[
                (&until.now, Type::TIMESTAMPTZ),
                (&batch, Type::INT4),
                (&until.not_after, Type::TIMESTAMPTZ),
                (&until.looked_at, Type::TIMESTAMPTZ),
                (&these, Type::UUID_ARRAY),
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
            // What got slots may be due by them.
            let was_cut_short = row.try_get::<_, Option<i32>>("schedule_version")? == Some(1);
            judged.more = monitors == batch || was_cut_short || !judged.need_slots.is_empty();
            continue;
        }
        judged.need_slots.push(NeedsSlots {
            monitor_id: row.try_get("monitor_id")?,
            schedule_version: row.try_get("schedule_version")?,
            cron: row.try_get("cron")?,
            timezone: row.try_get("timezone")?,
            after: row.try_get("slots_after")?,
        });
    }
    Ok(Some(judged))
}

/// Who would be judged by [`judge_due`] as the longest due. Relies on the index `monitor_due`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn longest_due(pool: &Pool, until: Until) -> Result<Vec<Uuid>, DatabaseError> {
    let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select monitor_id from monitor where due_at < least(coalesce($1, now()), $2) order by due_at limit $3",
            &[(&until.now, Type::TIMESTAMPTZ), (&until.not_after, Type::TIMESTAMPTZ), (&most, Type::INT8)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get("monitor_id")).collect::<Result<_, _>>()?)
}

/// Judges this monitor no sooner than in a minute. `None` is Postgres' clock.
///
/// # Errors
/// [`DatabaseError`].
pub async fn put_off(pool: &Pool, monitor_id: Uuid, now: Option<DateTime<Utc>>) -> Result<(), DatabaseError> {
    let statement = "call put_off($1, $2)";
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[(&monitor_id, Type::UUID), (&now, Type::TIMESTAMPTZ)];
    pool.get().await?.execute_typed(statement, parameters).await?;
    Ok(())
}

/// How long slots are looked for after one batch: some expressions take a search.
const TIME_FOR_SLOTS: Duration = Duration::from_millis(300);

/// How often, and after what pause, is looked whether a monitor is free that somebody held.
const LOOKS_AT_HELD: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// Finds the slots that monitors need and gives them, in one transaction; answers with how many got some. Those for
/// whom the time is not enough, or that somebody goes on holding, ask again in a minute.
///
/// # Errors
/// [`DatabaseError`]; then they ask again in a minute.
pub async fn give_needed_slots(
    pool: &Pool,
    needing: Vec<NeedsSlots>,
    now: Option<DateTime<Utc>>,
) -> Result<usize, DatabaseError> {
    let began = Instant::now();
    let mut found = Vec::new();
    for monitor in needing {
        if began.elapsed() > TIME_FOR_SLOTS {
            break;
        }
        let slots = array(&monitor.slots());
        found.push((monitor.monitor_id, monitor.schedule_version, slots));
        // Others have work to do in this process.
        tokio::task::yield_now().await;
    }
    let many = found.len();
    for look in 0..LOOKS_AT_HELD {
        if found.is_empty() {
            break;
        }
        if look > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        let held = give_slots_to(pool, &found, now).await?;
        found.retain(|(monitor_id, ..)| held.contains(monitor_id));
    }
    Ok(many - found.len())
}

/// Answers with those that somebody holds. See `migrations/V0009__fair_ticks.sql`.
async fn give_slots_to(
    pool: &Pool,
    found: &[(Uuid, i32, String)],
    now: Option<DateTime<Utc>>,
) -> Result<Vec<Uuid>, DatabaseError> {
    let ids: Vec<Uuid> = found.iter().map(|(id, ..)| *id).collect();
    let versions: Vec<i32> = found.iter().map(|(_, version, _)| *version).collect();
    let slots: Vec<&str> = found.iter().map(|(.., slots)| slots.as_str()).collect();
    let held = pool
        .get()
        .await?
        .query_typed(
            "select give_slots_to($1, $2, $3, $4) as monitor_id",
            &[
                (&ids, Type::UUID_ARRAY),
                (&versions, Type::INT4_ARRAY),
                (&slots, Type::TEXT_ARRAY),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(held.iter().map(|row| row.try_get("monitor_id")).collect::<Result<_, _>>()?)
}

impl NeedsSlots {
    /// Nothing when the schedule can't be read: expecting nothing is better than being wrong.
    fn slots(&self) -> Vec<DateTime<Utc>> {
        match cron_of(&self.cron, self.timezone.as_deref()) {
            Ok(cron) => cron.slots_after(self.after),
            Err(e) => {
                tracing::error!(monitor_id = %self.monitor_id, "{e}");
                Vec::new()
            }
        }
    }
}

/// As Postgres writes one.
fn array(slots: &[DateTime<Utc>]) -> String {
    let slots: Vec<String> = slots.iter().map(DateTime::to_rfc3339).collect();
    format!("{{{}}}", slots.join(","))
}

/// Who is due, at most `most`: every tenant's longest due first. A run that is open counts like a monitor, so that a
/// tenant's turn is over by what its monitors cost. It sees the newest 100,000 that are due; the longest due are
/// taken without it. Relies on the index `monitor_due`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn due_by_turns(pool: &Pool, until: Until, most: i64) -> Result<Vec<Uuid>, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "with due as (
                 select monitor_id, tenant, due_at, open_jobs from monitor
                 where due_at < least(coalesce($1, now()), $2) order by due_at desc limit 100000
             ), placed as (
                 select monitor_id, due_at, sum(1 + open_jobs) over (
                     partition by tenant order by due_at, monitor_id rows unbounded preceding) as turn
                 from due
             )
             select monitor_id from placed order by turn, due_at limit $3",
            &[(&until.now, Type::TIMESTAMPTZ), (&until.not_after, Type::TIMESTAMPTZ), (&most, Type::INT8)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get("monitor_id")).collect::<Result<_, _>>()?)
}

/// The deliveries `d` that are due since $2 seconds at $1 (null is Postgres' clock), with their `tenant` and whose
/// `turn` it is: every tenant's longest due first. Of more than 100,000 it sees the longest due and the newest.
/// Relies on the index `delivery_due`.
const DELIVERIES_BY_TURNS: &str = "with due as (
         (select delivery_id, monitor_id, alert_config_id, next_attempt_at, position from delivery
          where next_attempt_at <= coalesce($1, now()) - make_interval(secs => $2)
          order by next_attempt_at limit 50000)
         union
         (select delivery_id, monitor_id, alert_config_id, next_attempt_at, position from delivery
          where next_attempt_at <= coalesce($1, now()) - make_interval(secs => $2)
          order by next_attempt_at desc limit 50000)
     ), d as (
         select due.*, c.tenant, row_number() over (
             partition by c.tenant order by due.next_attempt_at, due.position) as turn
         from due join alert_config c using (alert_config_id)
     )";

/// A delivery that is due, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    pub delivery_id: Uuid,
    pub alert_config_id: Uuid,
    pub tenant: String,
}

/// The deliveries that are due at `now`, at most `most`, by turns.
///
/// # Errors
/// [`DatabaseError`].
pub async fn due_deliveries(
    pool: &Pool,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<DueDelivery>, DatabaseError> {
    let statement = format!(
        "{DELIVERIES_BY_TURNS}
         select delivery_id, alert_config_id, tenant from d order by turn, next_attempt_at, position limit $3"
    );
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&now, Type::TIMESTAMPTZ), (&0_f64, Type::FLOAT8), (&most, Type::INT8)];
    let rows = pool.get().await?.query_typed(&statement, parameters).await?;
    let due = rows.iter().map(|row| {
        Ok(DueDelivery {
            delivery_id: row.try_get("delivery_id")?,
            alert_config_id: row.try_get("alert_config_id")?,
            tenant: row.try_get("tenant")?,
        })
    });
    due.collect()
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
/// those that an earlier one holds up: whoever settles that one calls them. By turns, at most `most`. `None` is
/// Postgres' clock. Relies on the index `delivery_open`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn left_deliveries(
    pool: &Pool,
    now: Option<DateTime<Utc>>,
    most: i64,
) -> Result<Vec<Uuid>, DatabaseError> {
    let statement = format!(
        "{DELIVERIES_BY_TURNS}
         select delivery_id from d
         where not exists (
             select from delivery earlier
             where earlier.monitor_id = d.monitor_id and earlier.alert_config_id = d.alert_config_id
               and earlier.next_attempt_at is not null and earlier.position < d.position)
         order by turn, next_attempt_at, position limit $3"
    );
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&now, Type::TIMESTAMPTZ), (&LEFT_AFTER_SECONDS, Type::FLOAT8), (&most, Type::INT8)];
    let rows = pool.get().await?.query_typed(&statement, parameters).await?;
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

/// How far judging and delivering are behind at `now`; `None` is Postgres' clock. A monitor that was put off is behind
/// since it was due at first. Relies on the indexes `monitor_due`, `monitor_put_off` and `delivery_due`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn behind(pool: &Pool, now: Option<DateTime<Utc>>) -> Result<Behind, DatabaseError> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "select coalesce($1, clock_timestamp()) as now,
                    least((select min(due_at) from monitor where due_at is not null),
                          (select min(put_off_from) from monitor where put_off_from is not null)) as due_at,
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
