//! Whether the process may have been frozen since the last ping: then its connection may be dead. Told by the times of
//! receipt, for a clock of the process may stand still meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// A connection that was used this short a time ago is alive.
const SHORT: i64 = 5_000_000;

/// Clones share what they know.
#[derive(Clone, Default)]
pub struct Freezes {
    /// In microseconds since 1970.
    last_ping: Arc<AtomicI64>,
}

impl Freezes {
    pub(crate) fn may_have_happened(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_micros();
        now - self.last_ping.swap(now, Ordering::Relaxed) > SHORT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_a_pause() {
        let freezes = Freezes::default();
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let said: Vec<bool> =
            [0, 1, 5, 11, 10, 16].map(|seconds| freezes.may_have_happened(at(seconds))).into();
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
