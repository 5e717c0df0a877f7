//! The late-check function: a tick for each event of the schedule, and for each message of the wake queue by which
//! something is due.

mod canary;
mod metrics;
mod spool;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cronmon_late_check::heartbeat::Heartbeat;
use cronmon_late_check::replay::until;
use cronmon_late_check::{old_history, replay, tick};
use database::due::{Until, behind, left_deliveries};
use database::outages::{Ended, Ending, begin_tick, end_tick, see_ingest};
use database::wakes::Wanted;
use database::{DatabaseError, Pool, wakes};
use lambda::LambdaEvent;
use lambda::queues::{Acknowledged, DeliveryQueue};
use lambda::spool_queue::SpoolQueue;
use lambda::wake_queue::WakeQueue;
use serde_json::Value;
use tokio::time::timeout;

use canary::Canary;
use metrics::Metrics;

/// What is kept of a run's time for looking after what is left: the longest batch and hand-over, and some more.
const TIME_TO_END: Duration = Duration::from_secs(25);

/// Connections for what is applied side by side; all but one are only opened when the spool has something.
const CONNECTIONS: usize = 4;

/// Of the deliveries that nobody took, how many one tick hands over again at most.
const MOST_LEFT: i64 = 1_000;

/// How long the first statements may take: a canary is sent though the database does not answer.
const FIRST_STATEMENTS: Duration = Duration::from_secs(3);

/// In how many seconds is looked again at what somebody held, and at what has to wait.
const HELD: i32 = 1;
const WAITING: i32 = 5;

struct LateCheck {
    pool: Pool,
    deliveries: DeliveryQueue,
    spool: SpoolQueue,
    hold: Duration,
    wakes: WakeQueue,
    canary: Canary,
    heartbeat: Option<Heartbeat>,
    metrics: Metrics,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    let late_check = Arc::new(LateCheck {
        deliveries: DeliveryQueue::from_env()?,
        spool: SpoolQueue::from_env()?,
        hold: replay::hold(lambda::setting("SPOOL_HOLD_SECONDS").as_deref())?,
        wakes: WakeQueue::from_env()?,
        canary: Canary::through(lambda::setting("PUBLIC_URL").as_deref())?,
        heartbeat: Heartbeat::of(lambda::setting("HEARTBEAT_URL").as_deref())?,
        metrics: Metrics::of(lambda::setting("METRICS_STACK")),
        pool: lambda::connect_database(CONNECTIONS).await?,
    });
    lambda::run(move |event: LambdaEvent<Value>| {
        let late_check = late_check.clone();
        async move {
            let end = Instant::now() + lambda::time_left(&event).saturating_sub(TIME_TO_END);
            // A wake looks at one second; the schedule's event looks after everything.
            if event.payload.get("Records").is_some() {
                late_check.woken(end).await;
            } else {
                late_check
                    .scheduled(end)
                    .await
                    .inspect_err(|e| tracing::error!("the tick did not end: {e}"))?;
            }
            Ok(Acknowledged::default())
        }
    })
    .await
}

impl LateCheck {
    /// A wake. What becomes of it is only logged: it need not come again, for the schedule's event does.
    async fn woken(&self, end: Instant) {
        let done = match wakes::is_due(&self.pool).await {
            Ok(false) => return,
            Ok(true) => self.tick(end).await.map(drop),
            Err(e) => Err(e),
        };
        if let Err(e) = done {
            tracing::error!("the tick of a wake did not end: {e}");
        }
    }

    async fn scheduled(&self, end: Instant) -> Result<(), DatabaseError> {
        match timeout(FIRST_STATEMENTS, self.send_wakes()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!("no wakes were sent: {e}"),
            Err(_) => tracing::error!("no wakes were sent: the database or the queue is slow"),
        }
        let ticked = self.tick(end).await;
        // Whatever became of the tick, what it left has to be looked after, and told.
        self.metrics.canary(self.canary.fails());
        let looked_after = self.look_after(end).await;
        let is_complete = ticked?;
        looked_after?;
        if let Some(heartbeat) = self.heartbeat.as_ref().filter(|_| is_complete)
            && heartbeat.is_due(Instant::now())
        {
            heartbeat.call(&self.pool, None).await;
        }
        Ok(())
    }

    async fn send_wakes(&self) -> Result<(), DatabaseError> {
        let wanted = wakes::wanted(&self.pool, None).await?;
        self.send(wanted.looked_at, &wanted.delays).await
    }

    async fn send(&self, now: DateTime<Utc>, delays: &[i32]) -> Result<(), DatabaseError> {
        let sent = Wanted { looked_at: now, delays: self.wakes.send(now, delays).await };
        if sent.delays.is_empty() {
            return Ok(());
        }
        wakes::remember(&self.pool, &sent).await
    }

    /// Applies what is in the spool, then judges what that leaves due. When the database was slow in between, pings
    /// may have been spooled meanwhile: then it begins again. Answers with whether the spool could be read and all
    /// that was due was judged.
    async fn tick(&self, end: Instant) -> Result<bool, DatabaseError> {
        loop {
            let begun = timeout(FIRST_STATEMENTS, begin_tick(&self.pool, self.canary.is_sent())).await;
            // It is sent though the database is away: then it waits in the spool, like any ping of that time.
            let came_through = self.canary.send().await;
            let begun = begun.map_err(|_| DatabaseError::Data("the database does not answer".into()))??;
            let seen = spool::empty(&self.pool, &self.spool, &self.deliveries, CONNECTIONS, end).await?;
            let until = until(seen.seen, begun.ticking_since, self.hold);
            let looked_into = until.not_after.unwrap_or(begun.at);
            let proved_at = came_through.then_some(begun.at);
            let ingest = see_ingest(&self.pool, looked_into, proved_at, self.canary.is_sent()).await?;
            self.canary.was_seen(ingest);
            let until = Until { not_after: Some(ingest.judges_until), ..until };
            let ticked = tick(&self.pool, until, Some(end), |ids| self.deliveries.hand_over(ids)).await?;
            if ticked.too_late && Instant::now() <= end {
                continue;
            }
            if ticked.too_late {
                tracing::error!("what is due was not judged: the database or the spool is too slow");
            }
            let ending =
                Ending { now: None, until: ingest.judges_until, judged: ticked.judged_all(), seen_at: None };
            let ended = end_tick(&self.pool, ending).await?;
            self.look_again(&ended).await?;
            let is_complete =
                seen.is_read && ticked.judged_all() && !ended.waits && ingest.blind_since.is_none();
            self.deliveries.hand_over(ended.new_deliveries).await;
            return Ok(is_complete);
        }
    }

    /// Wakes itself for what is due and was not judged, for as long as there is such.
    async fn look_again(&self, ended: &Ended) -> Result<(), DatabaseError> {
        let delay = match ended {
            Ended { still_due: true, .. } => HELD,
            Ended { waits: true, .. } => WAITING,
            Ended { .. } => return Ok(()),
        };
        match wakes::unless_one_comes_within(&self.pool, delay).await? {
            Some(now) => self.send(now, &[delay]).await,
            None => Ok(()),
        }
    }

    /// Hands over again what nobody took, deletes old history, and writes down how far the work is behind.
    async fn look_after(&self, end: Instant) -> Result<(), DatabaseError> {
        let left = left_deliveries(&self.pool, None, MOST_LEFT).await?;
        if !left.is_empty() {
            tracing::info!(count = left.len(), "deliveries are handed over again");
            self.deliveries.hand_over(left).await;
        }
        if let Err(e) = old_history::delete(&self.pool, None, end).await {
            tracing::error!("old history was not deleted: {e}");
        }
        if self.metrics.are_written() {
            self.metrics.behind(behind(&self.pool, None).await?);
        }
        Ok(())
    }
}
