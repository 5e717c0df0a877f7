//! After the database failed, pings go straight to the spool for some seconds: else each would wait for a
//! time-out of its own, and a dead database would make Lambda start ever more environments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use database::signals::Address;
use database::spool::group;

/// Until the next ping tries the database again.
const PAUSE: Duration = Duration::from_secs(5);

/// Clones share what they know.
#[derive(Clone, Default)]
pub struct Breaker(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    open_until: Option<Instant>,
    /// The group to which the last ping was that had no answer in time, with none since that had one.
    silent: Option<String>,
}

impl Breaker {
    /// Whether a ping may try the database. Once the pause is over one may, and the others wait for how it fares.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + PAUSE);
                true
            }
        }
    }

    /// The database could not be reached, or does not work.
    pub fn failed(&self, now: Instant) {
        self.state().open_until = Some(now + PAUSE);
    }

    /// A ping to this address had no answer in time. Somebody may hold that one monitor, which is no reason to take
    /// the database from all others; two monitors in a row are.
    pub(crate) fn had_no_answer(&self, address: &Address, now: Instant) {
        let monitor = group(address);
        let mut state = self.state();
        if state.silent.as_ref().is_some_and(|before| *before != monitor) || state.open_until.is_some() {
            state.open_until = Some(now + PAUSE);
        }
        state.silent = Some(monitor);
    }

    /// Answers with whether it had failed before.
    pub(crate) fn went_well(&self) -> bool {
        let mut state = self.state();
        state.silent = None;
        state.open_until.take().is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_monitor_that_somebody_holds_does_not_open_it_and_two_in_a_row_do() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let [one, other] = [1, 2].map(|n| Address::PingId(uuid::Uuid::from_u128(n)));
        breaker.had_no_answer(&one, now);
        breaker.had_no_answer(&one, now);
        assert!(breaker.lets_through(now));
        assert!(!breaker.went_well());
        breaker.had_no_answer(&other, now);
        assert!(breaker.lets_through(now));
        breaker.had_no_answer(&one, now);
        assert!(!breaker.lets_through(now));
        // The one that tries again meets the same silence.
        assert!(breaker.lets_through(now + PAUSE));
        breaker.had_no_answer(&one, now + PAUSE);
        assert!(!breaker.lets_through(now + PAUSE + Duration::from_secs(4)));
    }

    #[test]
    fn after_a_failure_one_at_a_time_tries_again() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.lets_through(now));
        breaker.failed(now);
        assert!(!breaker.lets_through(now + Duration::from_secs(4)));
        let later = now + PAUSE;
        assert!(breaker.lets_through(later));
        assert!(!breaker.lets_through(later));
        assert!(breaker.went_well());
        assert!(breaker.lets_through(later));
        assert!(!breaker.went_well());
    }
}
