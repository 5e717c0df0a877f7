//! Pings that were received and are not applied yet. Lateness is not judged past the oldest of them: it may
//! have come in time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// When each was received; the id tells apart those of one instant.
type Received = BTreeSet<(DateTime<Utc>, Uuid)>;

/// Clones share what they count.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<Received>>);

/// One ping in flight, until it is dropped.
pub(crate) struct Entered {
    all: InFlight,
    this: (DateTime<Utc>, Uuid),
}

impl InFlight {
    /// When the oldest of them was received.
    #[must_use]
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.all().first().map(|(received_at, _)| *received_at)
    }

    pub(crate) fn enter(&self, received_at: DateTime<Utc>) -> Entered {
        let this = (received_at, Uuid::now_v7());
        self.all().insert(this);
        Entered { all: self.clone(), this }
    }

    fn all(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.all().remove(&self.this);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_counts_until_it_is_done() {
        let in_flight = InFlight::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let (later, older) = (in_flight.enter(at(20)), in_flight.enter(at(10)));
        assert_eq!(in_flight.oldest(), Some(at(10)));
        drop(older);
        assert_eq!(in_flight.oldest(), Some(at(20)));
        drop(later);
        assert_eq!(in_flight.oldest(), None);
    }
}
