//! Delivers alerts. The deliveries table is the truth: what is due in it is claimed for the length of a
//! lease, sent, and settled. A process that dies on the way leaves its claims to the next one, which sends
//! with the same `webhook-id`.

pub mod retry;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use database::alerts::{ALERT_COLUMNS, alert_of};
use database::due::due_deliveries;
use database::jobs::{JOB_OUTPUT, Job, SHOWN_OUTPUT, job_columns};
use database::{DatabaseError, Pool};
use destinations::{
    AboutAlert, Answer, DESTINATION_COLUMNS, Destination, Message, MonitorOfMessage, Senders, Verdict,
};
use tokio::task::JoinSet;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How long a claim holds, in seconds: longer than a send can take.
const LEASE_SECONDS: f64 = 20.0;

/// How long a send and its settling take at most.
const LONGEST_SEND: Duration = Duration::from_secs(14);

/// Sends under way at once in [`deliver_these`].
const MOST_SENDS: usize = 100;

/// One delivery that this process may send now.
pub struct Claimed {
    claimed_at: DateTime<Utc>,
    /// The same moment on this process's own clock.
    began: Instant,
    delivery_id: Uuid,
    /// None of a notice.
    monitor_id: Option<Uuid>,
    alert_config_id: Uuid,
    attempts: i32,
    first_attempt_at: DateTime<Utc>,
    destination: Destination,
    message: Message,
}

/// What comes after a delivery was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub delivery_id: Uuid,
    /// When it is tried again, from now; `None`: it is settled.
    pub again_in: Option<Duration>,
    /// The delivery that waited behind it and is now due.
    pub follower: Option<Uuid>,
}

/// Sends what is due at `now`, all at once, and waits for the answers. Answers with how many it sent.
///
/// # Errors
/// [`DatabaseError`] when nothing could be claimed. What was claimed but not settled is sent again.
pub async fn deliver_due(pool: &Pool, senders: &Senders, now: DateTime<Utc>) -> Result<usize, DatabaseError> {
    let due = due_deliveries(pool, now, 1_000).await?;
    let due: Vec<Uuid> = due.into_iter().map(|due| due.delivery_id).collect();
    let claimed = claim(pool, &due, Some(now), 50).await?;
    Ok(deliver_all(pool, senders, claimed, move |_| now).await.len())
}

/// Sends these and whatever waited behind them, until `end`; answers with those to be handed over again, and
/// after how long. What can't be claimed is only logged: the table holds it, and the tick hands it over again.
pub async fn deliver_these(
    pool: &Pool,
    senders: &Senders,
    ids: Vec<Uuid>,
    end: Instant,
) -> Vec<(Uuid, Duration)> {
    let mut waiting = ids;
    let mut again = Vec::new();
    while !waiting.is_empty() {
        if Instant::now() + LONGEST_SEND > end {
            again.extend(waiting.into_iter().map(|id| (id, Duration::ZERO)));
            break;
        }
        let these: Vec<Uuid> = waiting.drain(..waiting.len().min(MOST_SENDS)).collect();
        let most = i64::try_from(these.len()).unwrap_or(i64::MAX);
        let claimed = match claim(pool, &these, None, most).await {
            Ok(claimed) => claimed,
            Err(e) => {
                tracing::error!("deliveries can't be claimed: {e}");
                break;
            }
        };
        for after in deliver_all(pool, senders, claimed, Claimed::now).await {
            again.extend(after.again_in.map(|delay| (after.delivery_id, delay)));
            waiting.extend(after.follower);
        }
    }
    again
}

async fn deliver_all(
    pool: &Pool,
    senders: &Senders,
    claimed: Vec<Claimed>,
    now: impl Fn(&Claimed) -> DateTime<Utc> + Copy + Send + 'static,
) -> Vec<After> {
    let mut sends = JoinSet::new();
    for delivery in claimed {
        let (pool, senders) = (pool.clone(), senders.clone());
        sends.spawn(async move { deliver(&pool, &senders, delivery, now).await });
    }
    let mut all = Vec::new();
    while let Some(sent) = sends.join_next().await {
        match sent {
            Ok(after) => all.push(after),
            // The others go on. Its lease ends, and then it is sent again.
            Err(e) => tracing::error!("a delivery was not settled: {e}"),
        }
    }
    all
}

/// Claims those of `ids` that are due at `now` (`None` is Postgres' clock) or were never tried (whoever names one need
/// not share that clock), the longest due first, at most `most`. Everybody hears things in their order: what has an
/// earlier open delivery before it, for the same monitor and alert config, is put off until that one is tried again.
///
/// # Errors
/// [`DatabaseError`]; then nothing is claimed, or the claims end with their lease.
pub async fn claim(
    pool: &Pool,
    ids: &[Uuid],
    now: Option<DateTime<Utc>>,
    most: i64,
) -> Result<Vec<Claimed>, DatabaseError> {
    // Relies on the primary key, and on delivery_open.
    let statement = format!(
        "with at as materialized (
             select coalesce($1, clock_timestamp()) as now
         ), due as materialized (
             select d.delivery_id, (
                 select earlier.next_attempt_at from delivery earlier
                 where earlier.monitor_id = d.monitor_id and earlier.alert_config_id = d.alert_config_id
                   and earlier.next_attempt_at is not null and earlier.position < d.position
                 order by earlier.position limit 1
             ) as blocked_until
             from delivery d
             where d.delivery_id = any($4) and d.next_attempt_at is not null
               and (d.next_attempt_at <= (select now from at) or d.attempts = 0)
             order by d.next_attempt_at, d.position for update of d skip locked
         ), put_off as (
             -- Whoever settles the earlier one calls it; this is for when that went wrong.
             update delivery set next_attempt_at = greatest(blocked_until, at.now) + interval '10 minutes'
             from due, at where delivery.delivery_id = due.delivery_id and blocked_until is not null
         ), claimed as (
             update delivery set
                 next_attempt_at = at.now + make_interval(secs => $3),
                 first_attempt_at = coalesce(first_attempt_at, at.now),
                 attempts = attempts + 1
             from at
             where delivery_id in (select delivery_id from due where blocked_until is null limit $2)
             returning delivery.*, at.now as claimed_at
         )
         select d.claimed_at, d.delivery_id, d.monitor_id, d.alert_config_id, d.attempts, d.first_attempt_at,
                a.alert_id, a.incident_id, m.name, {DESTINATION_COLUMNS}, {ALERT_COLUMNS}, {}
         from claimed d
         join alert a using (alert_id)
         join alert_config c using (alert_config_id)
         left join monitor m on m.monitor_id = d.monitor_id
         left join job j on j.job_id = a.job_id
         {JOB_OUTPUT}
         order by d.position",
        job_columns(SHOWN_OUTPUT)
    );
    let client = pool.get().await?;
    let rows = client
        .query_typed(
            &statement,
            &[
                (&now, Type::TIMESTAMPTZ),
                (&most, Type::INT8),
                (&LEASE_SECONDS, Type::FLOAT8),
                (&ids, Type::UUID_ARRAY),
            ],
        )
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        match Claimed::of(row) {
            Ok(delivery) => claimed.push(delivery),
            // It must not hold up the others; whoever can read it may claim it after its lease.
            Err(e) => {
                let delivery_id: Option<Uuid> = row.try_get("delivery_id").ok();
                tracing::error!(?delivery_id, "a delivery can't be read: {e}");
            }
        }
    }
    Ok(claimed)
}

impl Claimed {
    #[must_use]
    pub fn delivery_id(&self) -> Uuid {
        self.delivery_id
    }

    /// Now on the clock by which it was claimed.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.claimed_at + self.began.elapsed()
    }

    fn of(row: &Row) -> Result<Self, DatabaseError> {
        let claimed_at = row.try_get("claimed_at")?;
        let monitor_id: Option<Uuid> = row.try_get("monitor_id")?;
        let monitor = match monitor_id {
            Some(monitor_id) => Some(MonitorOfMessage { monitor_id, name: row.try_get("name")? }),
            None => None,
        };
        Ok(Self {
            claimed_at,
            began: Instant::now(),
            delivery_id: row.try_get("delivery_id")?,
            monitor_id,
            alert_config_id: row.try_get("alert_config_id")?,
            attempts: row.try_get("attempts")?,
            first_attempt_at: row.try_get("first_attempt_at")?,
            destination: Destination::of(row)?,
            message: Message::Alert(AboutAlert {
                alert_id: row.try_get("alert_id")?,
                incident_id: row.try_get("incident_id")?,
                alert: alert_of(row)?,
                monitor,
                job: Job::of(row, claimed_at)?,
            }),
        })
    }
}

/// Sends one claimed delivery and settles it, at `now` once the answer is there. What can't be settled is sent
/// again after its lease.
pub async fn deliver(
    pool: &Pool,
    senders: &Senders,
    claimed: Claimed,
    now: impl Fn(&Claimed) -> DateTime<Utc> + Send,
) -> After {
    let unsettled = After {
        delivery_id: claimed.delivery_id,
        again_in: Some(Duration::from_secs_f64(LEASE_SECONDS)),
        follower: None,
    };
    let began = Instant::now();
    let answer = senders.send(&claimed.destination, claimed.delivery_id, &claimed.message).await;
    let latency_ms = i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX);
    if answer.verdict != Verdict::Delivered {
        tracing::warn!(
            alert_config_id = %claimed.alert_config_id,
            attempt = claimed.attempts,
            error = answer.error.as_deref(),
            "an alert was not delivered"
        );
    }
    match settle(pool, &claimed, &answer, latency_ms, now(&claimed)).await {
        Ok(after) => after,
        Err(e) => {
            tracing::error!("a delivery could not be settled and will be sent again: {e}");
            unsettled
        }
    }
}

async fn settle(
    pool: &Pool,
    claimed: &Claimed,
    answer: &Answer,
    latency_ms: i32,
    now: DateTime<Utc>,
) -> Result<After, DatabaseError> {
    // Any number that differs between deliveries serves to spread them.
    let jitter = f64::from(claimed.delivery_id.as_fields().0) / f64::from(u32::MAX);
    let attempts = u32::try_from(claimed.attempts).unwrap_or(1);
    let next_attempt_at = match answer.verdict {
        Verdict::Transient => {
            retry::next_attempt(attempts, claimed.first_attempt_at, now, answer.retry_after, jitter)
        }
        Verdict::Delivered | Verdict::Permanent => None,
    };
    let delivered = answer.verdict == Verdict::Delivered;
    let status = answer.status.and_then(|status| i16::try_from(status).ok());
    let client = pool.get().await?;
    // Relies on the primary keys, and on delivery_open.
    let rows = client
        .query_typed(
            "with settled as (
                 -- Whoever claimed it after this lease ended settles it, unless this one was delivered after all.
                 update delivery set
                     next_attempt_at = $4,
                     delivered_at = case when $3 then $5 end,
                     gave_up_at = case when not $3 and $4::timestamptz is null then $5 end,
                     last_status = $6, last_error = $7, last_latency_ms = $8
                 where delivery_id = $1 and delivered_at is null and (attempts = $2 or $3)
                 returning next_attempt_at
             ), released as (
                 -- What waited behind it need not wait longer.
                 update delivery set next_attempt_at = least(next_attempt_at, $5)
                 where delivery_id = (
                     select delivery_id from delivery
                     where monitor_id = $9 and alert_config_id = $10 and next_attempt_at is not null
                       and delivery_id <> $1
                     order by position limit 1)
                   and attempts = 0
                   and exists (select from settled where next_attempt_at is null)
                 returning delivery_id
             )
             select (select delivery_id from released) as follower, broken_reason
             from alert_config where alert_config_id = $10",
            &[
                (&claimed.delivery_id, Type::UUID),
                (&claimed.attempts, Type::INT4),
                (&delivered, Type::BOOL),
                (&next_attempt_at, Type::TIMESTAMPTZ),
                (&now, Type::TIMESTAMPTZ),
                (&status, Type::INT2),
                (&answer.error, Type::TEXT),
                (&latency_ms, Type::INT4),
                (&claimed.monitor_id, Type::UUID),
                (&claimed.alert_config_id, Type::UUID),
            ],
        )
        .await?;
    let mut follower = None;
    // Without a row the alert config is gone, and its deliveries with it.
    if let Some(row) = rows.first() {
        follower = row.try_get("follower")?;
        let known: Option<String> = row.try_get("broken_reason")?;
        let broken =
            (!delivered && next_attempt_at.is_none()).then(|| answer.error.clone().unwrap_or_default());
        // By itself: whoever deletes an alert config holds it while waiting for its deliveries.
        if known != broken && (broken.is_some() || delivered) {
            client
                .execute_typed(
                    "update alert_config set broken_at = case when $2::text is not null then $3 end, broken_reason = $2
                     where alert_config_id = $1",
                    &[
                        (&claimed.alert_config_id, Type::UUID),
                        (&broken, Type::TEXT),
                        (&now, Type::TIMESTAMPTZ),
                    ],
                )
                .await?;
        }
    }
    let again_in = next_attempt_at.map(|next| (next - now).to_std().unwrap_or_default());
    Ok(After { delivery_id: claimed.delivery_id, again_in, follower })
}
