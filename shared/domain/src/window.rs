//! When a maintenance window begins: once, or again and again by a cron expression.

use std::collections::VecDeque;

use chrono::{DateTime, Duration, Utc};

use crate::schedule::{Cron, SLOTS_AHEAD};

/// So many starts that have passed are kept at most, the newest of them.
pub const MOST_PAST: usize = 200;

/// A deadline may be judged as late as this after it passed, for CronMon may have been away; then it must be known
/// what was in force.
const KEPT_AFTER_ITS_END: Duration = Duration::days(2);

/// The first look back for starts that have passed. Each further one is twice as long.
const FIRST_LOOK_BACK: Duration = Duration::hours(1);

/// The instants at which a window begins, and when to look for more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starts {
    /// Ascending.
    pub instants: Vec<DateTime<Utc>>,
    /// Once half of those to come have passed.
    pub refill_at: Option<DateTime<Utc>>,
}

impl Starts {
    /// Of a window that comes once.
    #[must_use]
    pub fn once(starts_at: DateTime<Utc>) -> Self {
        Self { instants: vec![starts_at], refill_at: None }
    }

    /// Of a window that is new or changed: one that would have begun before is in force now.
    #[must_use]
    pub fn new(cron: &Cron, duration: Duration, now: DateTime<Utc>) -> Self {
        Self::with_those_to_come(
            past(|after| cron.next_after(after), now - duration, now, SLOTS_AHEAD),
            cron,
            now,
        )
    }

    /// Those that may still matter, and new ones. They go on from the last that is known, though that was long ago.
    #[must_use]
    pub fn refilled(known: &[DateTime<Utc>], cron: &Cron, duration: Duration, now: DateTime<Utc>) -> Self {
        let from = now - duration - KEPT_AFTER_ITS_END;
        let mut kept: Vec<_> = known.iter().copied().filter(|start| from < *start && *start <= now).collect();
        let last_known = known.last().map_or(from, |last| from.max(*last));
        if last_known < now {
            kept.extend(past(|after| cron.next_after(after), last_known, now, MOST_PAST));
        }
        let too_many = kept.len().saturating_sub(MOST_PAST);
        kept.drain(..too_many);
        Self::with_those_to_come(kept, cron, now)
    }

    fn with_those_to_come(mut past: Vec<DateTime<Utc>>, cron: &Cron, now: DateTime<Utc>) -> Self {
        let to_come = cron.slots_after(now);
        let refill_at = to_come.get(to_come.len() / 2).copied();
        past.extend(to_come);
        Self { instants: past, refill_at }
    }

    /// Up to when one window goes over into the next without a break, if that is as far as can be seen.
    #[must_use]
    pub fn without_a_break_until(&self, duration: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let to_come = || self.instants.iter().filter(|start| **start > now);
        let breaks = to_come().zip(to_come().skip(1)).any(|(one, next)| *one + duration < *next);
        match to_come().next_back() {
            Some(last) if !breaks && to_come().nth(1).is_some() => Some(*last + duration),
            _ => None,
        }
    }
}

/// The newest starts after `from` and up to `now`, at most so many. A cron expression is only read forwards, so a
/// little is looked back first, then more and more: windows may be dense, and last for a year. Where the next look
/// would see far too many, for they are dense in one month and missing in the others, the middle is looked at.
///
/// `next_after` is asked a few thousand times at most, whatever the expression: a look ends once it has seen twice as
/// many as are wanted, none is seen twice that is kept, and halving a year leads to a span that holds so few within a
/// dozen looks.
fn past(
    mut next_after: impl FnMut(DateTime<Utc>) -> Option<DateTime<Utc>>,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    most: usize,
) -> Vec<DateTime<Utc>> {
    // Those after `known_from`.
    let mut known = VecDeque::new();
    let mut known_from = now;
    let mut too_far: Option<DateTime<Utc>> = None;
    let mut look_back = FIRST_LOOK_BACK;
    while known.len() < most && known_from > from {
        let after = match too_far {
            Some(too_far) => too_far + (known_from - too_far) / 2,
            None => from.max(now - look_back),
        };
        look_back = look_back * 2;
        match few_between(&mut next_after, after, known_from, most * 2) {
            Some(older) => {
                older.into_iter().rev().for_each(|start| known.push_front(start));
                known_from = after;
            }
            None => too_far = Some(after),
        }
    }
    let too_many = known.len().saturating_sub(most);
    known.into_iter().skip(too_many).collect()
}

/// The starts after one instant and up to another, unless they are more than `most`.
fn few_between(
    mut next_after: impl FnMut(DateTime<Utc>) -> Option<DateTime<Utc>>,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    most: usize,
) -> Option<Vec<DateTime<Utc>>> {
    let mut found = Vec::new();
    let mut last = after;
    while let Some(start) = next_after(last).filter(|start| *start <= until) {
        if found.len() == most {
            return None;
        }
        found.push(start);
        last = start;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn cron(expression: &str, zone: Option<&str>) -> Cron {
        Cron::parse(expression, zone, at("2026-01-01T00:00:00Z")).unwrap()
    }

    fn first_two(starts: &Starts) -> Vec<String> {
        starts.instants.iter().take(2).map(ToString::to_string).collect()
    }

    #[test]
    fn one_that_would_have_begun_before_is_in_force_at_once() {
        let nightly = cron("0 22 * * *", Some("Europe/Riga"));
        let now = at("2026-11-22T21:30:00Z");
        let starts = Starts::new(&nightly, Duration::hours(2), now);
        assert_eq!(first_two(&starts), ["2026-11-22 20:00:00 UTC", "2026-11-23 20:00:00 UTC"]);
        assert_eq!(starts.instants.len(), 65);
        assert_eq!(starts.refill_at, Some(starts.instants[33]));
        // Over to the second: it ends where it is not in force any more.
        let starts = Starts::new(&nightly, Duration::minutes(90), now);
        assert_eq!(first_two(&starts), ["2026-11-23 20:00:00 UTC", "2026-11-24 20:00:00 UTC"]);
    }

    #[test]
    fn a_window_that_lasts_a_year_and_comes_each_minute_is_known_by_its_newest_starts() {
        let now = at("2026-11-22T12:00:30Z");
        let starts = Starts::new(&cron("* * * * *", None), Duration::days(366), now);
        assert_eq!(starts.instants.len(), 128);
        assert_eq!(starts.instants[63], at("2026-11-22T12:00:00Z"));
        assert_eq!(starts.instants[0], at("2026-11-22T10:57:00Z"));
        let starts = Starts::new(&cron("0 0 1 1 *", None), Duration::days(366), now);
        assert_eq!(first_two(&starts), ["2026-01-01 00:00:00 UTC", "2027-01-01 00:00:00 UTC"]);
    }

    /// Every start after `from` is walked, and the newest are kept.
    fn newest_of_all(
        cron: &Cron,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
        most: usize,
    ) -> Vec<DateTime<Utc>> {
        let mut all = Vec::new();
        while let Some(start) = cron.next_after(*all.last().unwrap_or(&from)).filter(|start| *start <= now) {
            all.push(start);
        }
        all.split_off(all.len().saturating_sub(most))
    }

    const UNEVEN: [&str; 12] = [
        // Dense in one month, one day or one hour, and then nothing for long.
        "* * * 1 *",
        "* * * 11 *",
        "* * 1 1 *",
        "* * 29 2 *",
        "* 2 * * *",
        "*/7 1-3 * 3,10 0",
        "* * * * *",
        "*/5 * * * *",
        "0 * * * *",
        "30 2 * * 0",
        "0 0 1 1 *",
        "0 0 29 2 *",
    ];

    #[test]
    fn the_newest_that_passed_are_found_whatever_the_rhythm() {
        let nows = [
            "2026-12-15T12:00:30Z",
            "2026-02-01T00:00:00Z",
            "2026-01-31T23:59:59.999999Z",
            "2026-03-29T01:30:00Z",
            "2026-10-25T01:59:00Z",
            "2024-02-29T12:00:00Z",
        ];
        for expression in UNEVEN {
            for zone in [None, Some("Europe/Berlin"), Some("Australia/Lord_Howe")] {
                let cron = Cron::read(expression, zone).unwrap();
                for now in nows.map(at) {
                    for duration in [Duration::seconds(1), Duration::hours(5), Duration::days(40)] {
                        let found = past(|after| cron.next_after(after), now - duration, now, SLOTS_AHEAD);
                        let all = newest_of_all(&cron, now - duration, now, SLOTS_AHEAD);
                        assert_eq!(found, all, "{expression} {zone:?} {now} {duration}");
                    }
                }
            }
        }
        let january = cron("* * * 1 *", None);
        let now = at("2026-12-15T12:00:30Z");
        for most in [1, SLOTS_AHEAD, MOST_PAST] {
            let found = past(|after| january.next_after(after), now - Duration::days(366), now, most);
            assert_eq!(found, newest_of_all(&january, now - Duration::days(366), now, most));
            assert_eq!((found.len(), found.last()), (most, Some(&at("2026-01-31T23:59:00Z"))));
        }
    }

    #[test]
    fn a_few_thousand_steps_back_suffice_whatever_the_rhythm() {
        let mut most_steps = 0;
        for expression in UNEVEN {
            let cron = Cron::read(expression, None).unwrap();
            for days in 0..61 {
                let now = at("2026-12-15T12:00:30Z") - Duration::days(days * 6);
                for most in [SLOTS_AHEAD, MOST_PAST] {
                    let mut steps = 0;
                    let next_after = |after| {
                        steps += 1;
                        cron.next_after(after)
                    };
                    past(next_after, now - Duration::days(366), now, most);
                    most_steps = most_steps.max(steps);
                }
            }
        }
        assert!(most_steps <= 5_000, "{most_steps} steps");
    }

    #[test]
    fn a_refill_keeps_what_may_matter_and_fills_the_gap_that_nobody_looked_at() {
        let hourly = cron("0 * * * *", None);
        let known = Starts::new(&hourly, Duration::minutes(30), at("2026-11-20T00:10:00Z")).instants;
        let refilled = Starts::refilled(&known, &hourly, Duration::minutes(30), at("2026-11-24T12:10:00Z"));
        assert_eq!(first_two(&refilled), ["2026-11-22 12:00:00 UTC", "2026-11-22 13:00:00 UTC"]);
        assert_eq!(refilled.instants.len(), 49 + 64);
        for pair in refilled.instants.windows(2) {
            assert_eq!(pair[1] - pair[0], Duration::hours(1));
        }
        assert_eq!(refilled.refill_at, Some(refilled.instants[49 + 32]));
        // After weeks, and each minute: bounded, and without a hole before now.
        let minutely = cron("* * * * *", None);
        let known = Starts::new(&minutely, Duration::seconds(30), at("2026-10-01T00:00:00Z")).instants;
        let refilled = Starts::refilled(&known, &minutely, Duration::seconds(30), at("2026-11-24T12:10:30Z"));
        assert_eq!(refilled.instants.len(), MOST_PAST + 64);
        assert_eq!(refilled.instants[MOST_PAST - 1], at("2026-11-24T12:10:00Z"));
        assert_eq!(refilled.instants[0], at("2026-11-24T08:51:00Z"));
    }

    #[test]
    fn windows_that_touch_are_told_from_those_that_leave_a_gap() {
        let now = at("2026-11-22T12:00:00Z");
        let unbroken = |expression: &str, duration: Duration| {
            let starts = Starts::new(&cron(expression, None), duration, now);
            starts.without_a_break_until(duration, now).map(|end| end.to_string())
        };
        assert_eq!(
            unbroken("0 * * * *", Duration::hours(1)).as_deref(),
            Some("2026-11-25 05:00:00 UTC"),
            "up to the end of the last that is known"
        );
        assert_eq!(unbroken("0 * * * *", Duration::seconds(3_599)), None);
        assert_eq!(unbroken("0 3,4 * * *", Duration::hours(2)), None);
        assert_eq!(
            Starts::once(now + Duration::hours(1)).without_a_break_until(Duration::days(3), now),
            None
        );
    }
}
