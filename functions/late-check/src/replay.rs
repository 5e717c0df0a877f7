//! What waited in the spool is applied, and until that is done nothing is judged that it might explain.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::due::Until;
use database::spool::{Replayed, Waiting, Watched, replay};
use database::{DatabaseError, Pool};
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

/// What became of a batch.
#[derive(Debug)]
pub struct BatchReplayed<Handle> {
    /// Applied or parked: the spool may forget them.
    pub done: Vec<Handle>,
    /// They have to wait longer; why is in `failed`.
    pub left: Vec<Handle>,
    pub new_deliveries: Vec<Uuid>,
    pub failed: Option<DatabaseError>,
}

impl<Handle> BatchReplayed<Handle> {
    fn nothing() -> Self {
        Self { done: Vec::new(), left: Vec::new(), new_deliveries: Vec::new(), failed: None }
    }
}

/// Applies a batch, `at_once` groups side by side. One that can't be applied is parked and holds nobody up; one
/// that the database can't deal with now holds up its group.
pub async fn replay_batch<Handle>(
    pool: &Pool,
    batch: Vec<Waiting<Handle>>,
    now: Option<DateTime<Utc>>,
    at_once: usize,
) -> BatchReplayed<Handle> {
    let mut groups: HashMap<String, Vec<(Handle, String)>> = HashMap::new();
    for waiting in batch {
        groups.entry(waiting.group).or_default().push((waiting.handle, waiting.text));
    }
    let replays = groups.into_values().map(async |group| {
        let mut total = BatchReplayed::nothing();
        for (handle, text) in group {
            if total.failed.is_some() {
                total.left.push(handle);
                continue;
            }
            match replay(pool, &text, now).await {
                Ok(Replayed::Applied(deliveries)) => total.new_deliveries.extend(deliveries),
                Ok(Replayed::Parked) => {}
                Err(e) => {
                    total.failed = Some(e);
                    total.left.push(handle);
                    continue;
                }
            }
            total.done.push(handle);
        }
        total
    });
    let replays: Vec<_> = replays.collect();
    let mut all = BatchReplayed::nothing();
    let mut replayed = stream::iter(replays).buffer_unordered(at_once);
    while let Some(group) = replayed.next().await {
        all.done.extend(group.done);
        all.left.extend(group.left);
        all.new_deliveries.extend(group.new_deliveries);
        all.failed = all.failed.or(group.failed);
    }
    all
}

/// How long a ping may be on its way from the gateway into the database or the spool, when something is wrong; and
/// how long after the spool had something that may still be so. As in `apply_signal`.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(10);
const TROUBLE: TimeDelta = TimeDelta::seconds(30);

/// What a tick saw of a spool that others fill.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When it was looked into, by Postgres' clock.
    pub looked_at: DateTime<Utc>,
    pub watched: Watched,
}

/// Up to when may be judged. Whatever was received before has been applied then; but when the spool never gets
/// empty, lateness is not put off for longer than `hold`, which counts from when ticks have been working: before
/// that nothing could be applied.
#[must_use]
pub fn until(seen: Seen, ticking_since: DateTime<Utc>, hold: Duration) -> Until {
    let hold = TimeDelta::from_std(hold).unwrap_or(TimeDelta::MAX);
    let Watched { empty_at, some_at } = seen.watched;
    let not_after = if seen.looked_at - empty_at.max(ticking_since) > hold {
        seen.looked_at
    } else if some_at.is_some_and(|some_at| seen.looked_at - some_at < TROUBLE) {
        empty_at - ON_ITS_WAY
    } else {
        empty_at
    };
    Until { now: None, not_after: Some(not_after), looked_at: Some(seen.looked_at) }
}

/// The setting `SPOOL_HOLD_SECONDS`: how long lateness may wait for the spool, 900 when it is not given.
///
/// # Errors
/// It is not a number of seconds up to a day.
pub fn hold(given: Option<&str>) -> Result<Duration, String> {
    let Some(text) = given else { return Ok(Duration::from_secs(900)) };
    match text.trim().parse() {
        Ok(seconds @ 0..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("SPOOL_HOLD_SECONDS must be a number from 0 to 86400, not '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_judged_that_a_spooled_ping_might_explain_for_as_long_as_the_hold() {
        let at = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap();
        let judged_since = |since, looked_at, empty_at, some_at: Option<i64>| {
            let watched = Watched { empty_at: at(empty_at), some_at: some_at.map(at) };
            let seen = Seen { looked_at: at(looked_at), watched };
            (until(seen, at(since), Duration::from_secs(900)).not_after.unwrap() - at(0)).num_seconds()
        };
        let judged_up_to = |looked_at, empty_at, some_at| judged_since(-9_999, looked_at, empty_at, some_at);
        assert_eq!(judged_up_to(0, 0, None), 0);
        // Emptied just now: who put that in may be putting in more.
        assert_eq!(judged_up_to(0, 0, Some(0)), -10);
        assert_eq!(judged_up_to(29, 29, Some(0)), 19);
        assert_eq!(judged_up_to(30, 30, Some(0)), 30);
        assert_eq!(judged_up_to(900, 0, Some(900)), -10);
        assert_eq!(judged_up_to(901, 0, Some(901)), 901);
        // The database was away, and nobody could apply anything.
        assert_eq!(judged_since(1_200, 1_200, 0, Some(0)), 0);
        assert_eq!(judged_since(1_200, 2_100, 0, Some(2_100)), -10);
        assert_eq!(judged_since(1_200, 2_101, 0, Some(2_101)), 2_101);
    }

    #[test]
    fn a_wrong_hold_says_what_it_should_be() {
        assert_eq!(hold(None), Ok(Duration::from_secs(900)));
        assert_eq!(hold(Some("5")), Ok(Duration::from_secs(5)));
        assert_eq!(
            hold(Some("15m")),
            Err("SPOOL_HOLD_SECONDS must be a number from 0 to 86400, not '15m'".to_owned())
        );
    }
}
