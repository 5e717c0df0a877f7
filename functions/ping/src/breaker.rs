//! After the database failed, pings go straight to the spool for some seconds: else each would wait for a
//! time-out of its own, and a dead database would make Lambda start ever more environments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Until the next ping tries the database again.
const PAUSE: Duration = Duration::from_secs(5);

/// Clones share what they know.
#[derive(Clone, Default)]
pub struct Breaker(Arc<Mutex<Option<Instant>>>);

impl Breaker {
    /// Whether a ping may try the database. Once the pause is over one may, and the others wait for how it fares.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut open_until = self.open_until();
        match *open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                *open_until = Some(now + PAUSE);
                true
            }
        }
    }

    pub(crate) fn failed(&self, now: Instant) {
        *self.open_until() = Some(now + PAUSE);
    }

    /// Answers with whether it had failed before.
    pub(crate) fn went_well(&self) -> bool {
        self.open_until().take().is_some()
    }

    fn open_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
