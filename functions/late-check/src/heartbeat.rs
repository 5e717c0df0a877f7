//! Who watches CronMon: a URL that is called while all is well, so that somebody else notices when it is not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use database::Pool;
use database::due::behind;

use crate::get::Get;

/// How long the call may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Between two calls at least; a little less than between two events of the schedule.
const PAUSE: Duration = Duration::from_secs(55);

/// More behind it is not well.
const LONGEST_JUDGING: TimeDelta = TimeDelta::seconds(60);
const LONGEST_DELIVERY: TimeDelta = TimeDelta::minutes(5);

/// The setting `HEARTBEAT_URL`. Never logged: it may be a secret.
#[derive(Clone)]
pub struct Heartbeat {
    get: Get,
    called: Arc<Mutex<Option<Instant>>>,
}

impl Heartbeat {
    /// None when the setting is not given.
    ///
    /// # Errors
    /// It is no URL.
    pub fn of(given: Option<&str>) -> Result<Option<Self>, String> {
        let Some(url) = given else { return Ok(None) };
        let get = Get::to(url).map_err(|why| format!("HEARTBEAT_URL {why}"))?;
        Ok(Some(Self { get, called: Arc::default() }))
    }

    /// Whether the next call is due. Says so once; then it counts as made.
    pub fn is_due(&self, now: Instant) -> bool {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = called.is_none_or(|before| now.duration_since(before) >= PAUSE);
        if is_due {
            *called = Some(now);
        }
        is_due
    }

    /// After a tick that judged all that was due: calls, unless deliveries lag. `None` is Postgres' clock.
    pub async fn call(&self, pool: &Pool, now: Option<DateTime<Utc>>) {
        match behind(pool, now).await {
            Ok(behind) if behind.judging <= LONGEST_JUDGING && behind.delivery <= LONGEST_DELIVERY => {}
            Ok(_) => {
                tracing::warn!("HEARTBEAT_URL is not called: alerts are behind");
                return;
            }
            Err(e) => {
                tracing::error!("HEARTBEAT_URL is not called: {e}");
                return;
            }
        }
        match self.get.send(TIME_LIMIT).await {
            Ok(status) if status.is_success() => {}
            Ok(status) => tracing::warn!(status = status.as_u16(), "HEARTBEAT_URL did not answer well"),
            Err(why) => tracing::warn!("HEARTBEAT_URL did not answer: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_due_55_seconds_after_the_one_before() {
        let heartbeat = Heartbeat::of(Some("https://example.com/a")).unwrap().unwrap();
        let now = Instant::now();
        let due = [0, 1, 54, 56, 60, 111].map(|s| heartbeat.is_due(now + Duration::from_secs(s)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_wrong_url_is_not_repeated() {
        assert!(Heartbeat::of(None).unwrap().is_none());
        let why = Heartbeat::of(Some("secret")).err().unwrap();
        assert_eq!(why, "HEARTBEAT_URL must be an http:// or https:// URL");
    }
}
