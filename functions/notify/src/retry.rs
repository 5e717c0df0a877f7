//! When a delivery that failed is tried again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long a delivery is tried for.
const TRIED_FOR: TimeDelta = TimeDelta::days(1);

/// A destination may ask for no longer wait than this, or it could bury an alert.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// When to try again after a transient error, or `None` to give up: the day since `since` is over.
///
/// `attempts` counts those made so far; `since` is when the delivery was first tried.
/// `retry_after` is what the destination asked for. `jitter`, 0 to 1 and different in each delivery, keeps those that
/// failed together from coming back together.
pub fn next_attempt(
    attempts: u32,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Option<DateTime<Utc>> {
    let last = since.checked_add_signed(TRIED_FOR)?;
    if now >= last {
        return None;
    }
    let delay = match retry_after {
        Some(asked) => jittered(attempts, jitter).max(asked.min(LONGEST_RETRY_AFTER)),
        None => jittered(attempts, jitter),
    };
    let delay = TimeDelta::from_std(delay).ok()?;
    let next = now.checked_add_signed(delay)?;
    // The last attempt lies at the end of the day: no delay leaps over it, and none stops just short of it.
    let next = if last - next < delay / 2 { last } else { next };
    Some(next)
}

/// The delay of this many attempts, times 0.8 to 1.2.
fn jittered(attempts: u32, jitter: f64) -> Duration {
    let seconds = match attempts {
        0 | 1 => 5,
        2 => 15,
        3 => 60,
        4 => 3 * 60,
        5 => 10 * 60,
        6 => 30 * 60,
        _ => 60 * 60,
    };
    let jitter = if jitter.is_nan() { 0.5 } else { jitter.clamp(0.0, 1.0) };
    Duration::from_secs(seconds).mul_f64(0.8 + 0.4 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn delay(attempts: u32, retry_after: Option<u64>, jitter: f64) -> f64 {
        let next = next_attempt(attempts, start(), start(), retry_after.map(Duration::from_secs), jitter);
        (next.unwrap() - start()).as_seconds_f64()
    }

    #[test]
    fn delays_grow_and_then_stay_at_an_hour() {
        let delays: Vec<f64> = (1..=8).map(|attempts| delay(attempts, None, 0.5)).collect();
        assert_eq!(delays, [5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 3600.0]);
        assert_eq!(delay(u32::MAX, None, 0.5), 3600.0);
    }

    #[test]
    fn jitter_moves_a_delay_by_a_fifth() {
        assert_eq!(delay(3, None, 0.0), 48.0);
        assert_eq!(delay(3, None, 1.0), 72.0);
    }

    #[test]
    fn a_jitter_out_of_range_does_no_harm() {
        assert_eq!(delay(3, None, -5.0), 48.0);
        assert_eq!(delay(3, None, f64::INFINITY), 72.0);
        assert_eq!(delay(3, None, f64::NAN), 60.0);
    }

    #[test]
    fn retry_after_lengthens_a_delay_up_to_an_hour() {
        assert_eq!(delay(1, Some(120), 0.5), 120.0);
        assert_eq!(delay(1, Some(9_999_999), 0.5), 3600.0);
        assert_eq!(delay(1, Some(u64::MAX), 0.5), 3600.0);
    }

    #[test]
    fn retry_after_never_shortens_a_delay() {
        assert_eq!(delay(4, Some(0), 0.5), 180.0);
        assert_eq!(delay(8, Some(3600), 1.0), 4320.0);
    }

    #[test]
    fn the_last_attempt_lies_at_the_end_of_the_day() {
        for jitter in [0.0, 0.3, 0.5, 0.77, 1.0] {
            let (mut attempts, mut last, mut gap) = (1, start(), TimeDelta::zero());
            while let Some(next) = next_attempt(attempts, start(), last, None, jitter) {
                (attempts, last, gap) = (attempts + 1, next, next - last);
                assert!(gap > TimeDelta::zero());
            }
            assert_eq!(last, start() + TimeDelta::days(1), "{jitter}");
            assert!((25..=36).contains(&attempts), "{jitter}: {attempts}");
            assert!(gap > TimeDelta::minutes(20), "{jitter}: {gap}");
        }
    }

    #[test]
    fn after_a_day_it_gives_up() {
        let day = start() + TimeDelta::days(1);
        assert_eq!(next_attempt(9, start(), day, None, 0.5), None);
        assert_eq!(
            next_attempt(1, start(), day + TimeDelta::hours(5), Some(Duration::from_secs(60)), 0.5),
            None
        );
        let just_before = day - TimeDelta::seconds(1);
        assert_eq!(next_attempt(9, start(), just_before, None, 0.5), Some(day));
    }

    #[test]
    fn a_date_at_the_end_of_time_does_not_panic() {
        let end = DateTime::<Utc>::MAX_UTC;
        assert_eq!(next_attempt(1, end, end, None, 0.5), None);
    }
}
