//! Whether this process has been there. It notes the clock each second; a longer pause means that it was stopped,
//! that the machine slept, or that the clock jumped: pings of that time did not come in. Until such a pause is
//! written down ticks judge nothing, and pings wait in the spool; without a spool they and edits write it down first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::outages::write_blind;
use database::{DatabaseError, Pool};
use http_common::Clock;
use tokio::time::{MissedTickBehavior, interval};

const BEAT: Duration = Duration::from_secs(1);

/// A longer pause is one.
const LONGEST: Duration = Duration::from_secs(10);

/// Clones share what they know.
#[derive(Clone)]
pub(crate) struct Beats {
    clock: Clock,
    longest: Duration,
    state: Arc<Mutex<State>>,
    /// One writes, and who waited finds it written.
    writing: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    last: DateTime<Utc>,
    unwritten: VecDeque<Pause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    /// `None`: since an earlier process was last there.
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
}

impl Beats {
    /// The process begins. Nobody knows yet how long there was none.
    pub(crate) fn begin(clock: Clock) -> Self {
        Self::of(clock, LONGEST)
    }

    fn of(clock: Clock, longest: Duration) -> Self {
        let last = clock();
        let unwritten = [Pause { from: None, to: last }].into();
        Self {
            clock,
            longest,
            state: Arc::new(Mutex::new(State { last, unwritten })),
            writing: Arc::default(),
        }
    }

    /// Beats until it is dropped.
    pub(crate) async fn go_on(&self) {
        let mut seconds = interval(BEAT);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            self.beat();
        }
    }

    /// Notes the clock, and answers with it. Whoever judges calls it first: after a pause the process goes on where
    /// it was, and that may be anywhere.
    pub(crate) fn beat(&self) -> DateTime<Utc> {
        let now = (self.clock)();
        let longest = TimeDelta::from_std(self.longest).unwrap_or(TimeDelta::MAX);
        let mut state = self.state();
        if now - state.last > longest {
            let pause = Pause { from: Some(state.last), to: now };
            tracing::error!(
                from = %state.last, to = %now, "pings could not come in: the process stood still, or the clock jumped"
            );
            state.unwritten.push_back(pause);
        }
        state.last = now;
        now
    }

    /// Whether a pause is not written down yet. Beats, too.
    pub(crate) fn are_unwritten(&self) -> bool {
        self.beat();
        !self.state().unwritten.is_empty()
    }

    /// Writes down every pause.
    pub(crate) async fn write(&self, pool: &Pool) -> Result<(), DatabaseError> {
        let _writing = self.writing.lock().await;
        loop {
            let next = self.state().unwritten.front().copied();
            let Some(Pause { from, to }) = next else { return Ok(()) };
            write_blind(pool, from, to, self.longest).await?;
            self.state().unwritten.pop_front();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_pause_is_found_by_whoever_comes_first_after_it_and_a_clock_may_go_back() {
        let seconds = Arc::new(AtomicI64::new(0));
        let reads = seconds.clone();
        let beats = Beats::of(Arc::new(move || at(reads.load(Ordering::SeqCst))), Duration::from_secs(10));
        let found = |beats: &Beats| -> Vec<(Option<i64>, i64)> {
            let since = |at: DateTime<Utc>| at.timestamp() - 1_800_000_000;
            beats.state().unwritten.iter().map(|pause| (pause.from.map(since), since(pause.to))).collect()
        };
        // Of the start.
        assert_eq!(found(&beats), [(None, 0)]);
        beats.state().unwritten.clear();
        for second in [1, 11, 21, 15, 25] {
            seconds.store(second, Ordering::SeqCst);
            assert!(!beats.are_unwritten(), "{second}");
        }
        seconds.store(36, Ordering::SeqCst);
        assert!(beats.clone().are_unwritten());
        seconds.store(60, Ordering::SeqCst);
        beats.beat();
        assert_eq!(found(&beats), [(Some(25), 36), (Some(36), 60)]);
    }
}
