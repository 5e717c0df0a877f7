//! What happens without a request: the tick, the replay of the spool, the deliveries, the end of old history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use database::due::Until;
use database::outages::{Ending, end_tick};
use database::spool::watch;
use database::{DatabaseError, Pool};
use destinations::Senders;
use http_common::Clock;
use late_check::heartbeat::Heartbeat;
use late_check::old_history;
use late_check::replay::replay_batch;
use ping::InFlight;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::beats::Beats;
use crate::deliveries;
use crate::ping_spool::SpoolFolder;

const TICK: Duration = Duration::from_secs(1);

/// How long one tick goes on, when much is due: the next one knows what fell due meanwhile.
const TICK_TIME: Duration = Duration::from_secs(1);

/// How often the spool is looked into.
const REPLAY_PAUSE: Duration = Duration::from_millis(500);

/// How often it is written down what is in it, when nothing changes.
const TELL_PAUSE: Duration = Duration::from_secs(30);

/// Spooled signals that are applied in one go, and how many of them side by side.
const REPLAYED: usize = 200;
const REPLAYED_AT_ONCE: usize = 3;

/// How often old history is looked for, and how long that takes at most.
const HISTORY_PAUSE: Duration = Duration::from_secs(60);
const HISTORY_TIME: Duration = Duration::from_secs(5);

/// Pings that were received and may not be in the database yet. What they may explain is not judged.
#[derive(Clone)]
pub(crate) struct PingsOnTheirWay {
    pub(crate) in_flight: InFlight,
    pub(crate) waiting: Option<WaitingPings>,
}

#[derive(Clone)]
pub(crate) struct WaitingPings {
    pub(crate) spool: SpoolFolder,
    /// When they never get through, lateness is put off for so long and no longer.
    pub(crate) hold: Duration,
}

impl PingsOnTheirWay {
    /// Up to when everything that was received is in the database. What waits is waited for as long as the hold,
    /// counted from when the database has been answering: before that nothing could be applied.
    fn all_applied_until(&self, now: DateTime<Utc>, answering_since: Option<DateTime<Utc>>) -> DateTime<Utc> {
        // In this order: a ping goes from being in flight to waiting, and must be seen on the way.
        let in_flight = self.in_flight.oldest();
        let waiting = self.waiting.as_ref().and_then(|waiting| {
            let hold = TimeDelta::from_std(waiting.hold).unwrap_or(TimeDelta::MAX);
            let is_over = |oldest| answering_since.is_some_and(|since| now - since.max(oldest) > hold);
            waiting.spool.oldest().filter(|oldest| !is_over(*oldest))
        });
        in_flight.into_iter().chain(waiting).fold(now, DateTime::min)
    }
}

/// Whether this process was there, and who is told that all is well.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) beats: Beats,
    pub(crate) heartbeat: Option<Heartbeat>,
}

/// `work` is notified of new deliveries.
pub(crate) async fn run(
    pool: Pool,
    senders: Senders,
    clock: Clock,
    pings: PingsOnTheirWay,
    watch: Watch,
    work: Arc<Notify>,
    stopped: Receiver<bool>,
) {
    let spool = pings.waiting.as_ref().map(|waiting| waiting.spool.clone());
    tokio::join!(
        ticks(pool.clone(), pings, watch.clone(), work.clone(), stopped.clone()),
        replays(pool.clone(), watch.beats, spool, work.clone(), stopped.clone()),
        history(pool.clone(), clock.clone(), stopped.clone()),
        deliveries::run(pool, senders, clock, work, stopped),
    );
}

async fn ticks(
    pool: Pool,
    pings: PingsOnTheirWay,
    watch: Watch,
    work: Arc<Notify>,
    mut stopped: Receiver<bool>,
) {
    let mut seconds = interval(TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    let mut answering_since = None;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = seconds.tick() => {}
        }
        // A ping that waits for the database came in time, whenever it gets there.
        let now = watch.beats.beat();
        let until = pings.all_applied_until(now, answering_since);
        match tick(&pool, &watch.beats, &work, now, until).await {
            Ok(ticked) => {
                if ticked.more {
                    seconds.reset_immediately();
                }
                answering_since = answering_since.or(Some(now));
                trouble.over("lateness is judged again");
                if let Some(heartbeat) = watch.heartbeat.clone().filter(|_| ticked.is_complete)
                    && heartbeat.is_due(Instant::now())
                {
                    let pool = pool.clone();
                    tokio::spawn(async move { heartbeat.call(&pool, Some(now)).await });
                }
            }
            Err(e) => {
                answering_since = None;
                trouble.is(&format!("lateness can't be judged: {e}"));
            }
        }
    }
}

struct Ticked {
    /// All that is due has been judged.
    is_complete: bool,
    /// The time of a tick was not enough.
    more: bool,
}

/// Judges what fell due before `until`; before that it writes down what is known of this process.
async fn tick(
    pool: &Pool,
    beats: &Beats,
    work: &Notify,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Ticked, DatabaseError> {
    beats.write(pool).await?;
    let hand_over = |_| {
        work.notify_one();
        std::future::ready(())
    };
    let end = Some(Instant::now() + TICK_TIME);
    let ticked =
        late_check::tick(pool, Until { now: Some(until), ..Until::default() }, end, hand_over).await?;
    let judged = ticked.judged_all();
    let ended = end_tick(pool, Ending { now: Some(now), until, judged, seen_at: Some(now) }).await?;
    if !ended.new_deliveries.is_empty() {
        work.notify_one();
    }
    Ok(Ticked { is_complete: judged && !ended.waits, more: ticked.more })
}

/// Applies what waits in the spool, for as long as the database takes it.
async fn replays(
    pool: Pool,
    beats: Beats,
    spool: Option<SpoolFolder>,
    work: Arc<Notify>,
    mut stopped: Receiver<bool>,
) {
    let Some(spool) = spool else { return };
    let mut trouble = Trouble::default();
    // Written down for who asks whether CronMon is well: what changed, and now and then that nothing did.
    let mut told: Option<(i64, Instant)> = None;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = sleep(REPLAY_PAUSE) => {}
        }
        let waiting = spool.count();
        let is_told = told.is_some_and(|(count, at)| count == waiting && at.elapsed() < TELL_PAUSE);
        if !is_told && watch(&pool, beats.beat(), waiting, waiting > 0).await.is_ok() {
            told = Some((waiting, Instant::now()));
        }
        // A pause has to be written down before what came after it is applied.
        while spool.count() > 0 && !*stopped.borrow() && !beats.are_unwritten() {
            let batch = match spool.next(REPLAYED).await {
                // What waits is only just being written.
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => batch,
                Err(why) => {
                    trouble.is(&format!("the spool can't be read: {why}"));
                    break;
                }
            };
            let replayed = replay_batch(&pool, batch, Some(beats.beat()), REPLAYED_AT_ONCE).await;
            let count = replayed.done.len();
            if !replayed.new_deliveries.is_empty() {
                work.notify_one();
            }
            if let Err(why) = spool.forget(&replayed.done).await {
                trouble.is(&format!("pings of the spool will be applied again: {why}"));
                break;
            }
            if let Some(e) = replayed.failed {
                trouble.is(&format!("pings wait in the spool: {e}"));
                break;
            }
            tracing::info!(count, "pings of the spool were applied");
            trouble.over("pings of the spool are applied again");
        }
    }
}

async fn history(pool: Pool, clock: Clock, mut stopped: Receiver<bool>) {
    let mut trouble = Trouble::default();
    loop {
        match old_history::delete(&pool, Some(clock()), Instant::now() + HISTORY_TIME).await {
            Ok(_) => trouble.over("old history is deleted again"),
            Err(e) => trouble.is(&format!("old history is not deleted: {e}")),
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = sleep(HISTORY_PAUSE) => {}
        }
    }
}

/// Says once that something is wrong, and once that it is over.
#[derive(Default)]
pub(crate) struct Trouble(bool);

impl Trouble {
    pub(crate) fn is(&mut self, what: &str) {
        if !std::mem::replace(&mut self.0, true) {
            tracing::error!("{what}");
        }
    }

    pub(crate) fn over(&mut self, what: &str) {
        if std::mem::replace(&mut self.0, false) {
            tracing::info!("{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use database::signals::{Address, ReceivedSignal};
    use database::spool::{Spool as _, Why};
    use domain::SignalKind;
    use uuid::Uuid;

    use super::*;
    use crate::ping_spool::PingsFolder;

    #[tokio::test]
    async fn lateness_waits_for_the_oldest_ping_as_long_as_the_hold_since_the_database_answers() {
        let folder = std::env::temp_dir().join(format!("cronmon-spool-{}", Uuid::new_v4()));
        let spool = SpoolFolder::open(&folder).unwrap();
        let hold = Duration::from_secs(900);
        let waiting = Some(WaitingPings { spool: spool.clone(), hold });
        let pings = PingsOnTheirWay { in_flight: InFlight::default(), waiting };
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let until =
            |now, since: Option<i64>| (pings.all_applied_until(at(now), since.map(at)) - at(0)).num_seconds();
        assert_eq!(until(50, Some(0)), 50);

        let signal = ReceivedSignal {
            address: Address::PingId(Uuid::nil()),
            signal_id: Uuid::now_v7(),
            received_at: at(0),
            kind: SignalKind::Success,
            rid: None,
            exit_status: None,
            source_address: None,
            user_agent: None,
            body: None,
            searched: None,
        };
        let beats = Beats::begin(Arc::new(move || at(0)));
        let of_pings = PingsFolder { folder: spool.clone(), beats };
        of_pings.put(&signal, Why::Away).await.unwrap();
        // Until it is written down how long there was no process, everybody's pings go there.
        assert!(of_pings.holds(&Address::PingId(Uuid::max())));
        drop(of_pings);
        assert_eq!(until(900, Some(-100)), 0);
        assert_eq!(until(901, Some(-100)), 901);
        // The database was away for longer, or has not answered yet.
        assert_eq!(until(5_000, Some(4_990)), 0);
        assert_eq!(until(5_000, None), 0);
        assert_eq!(until(6_000, Some(4_990)), 6_000);
        drop(pings);
        drop(spool);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
