//! What a change of the clocks does to a schedule: which times do not exist that day, which come twice, and what
//! is expected instead.

use chrono::{DateTime, Duration, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::JobType;

use crate::describe::joined;
use crate::schedule::Cron;

/// How far ahead changes are looked for: each of a year's is seen, whenever one asks.
const HORIZON: Duration = Duration::days(400);

/// Changes that are looked at. Most zones have two a year, Morocco has four in some.
const MOST_CHANGES: usize = 4;

/// Times of one change that are told.
const MOST_TIMES: usize = 64;

/// Times of one change that its sentence names.
const MOST_NAMED: usize = 3;

/// Clocks change at `at`: before it they are `before` seconds ahead of UTC, then `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockChange {
    pub at: DateTime<Utc>,
    pub before: i32,
    pub after: i32,
}

/// What a change does to a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub change: ClockChange,
    pub times: Vec<AffectedTime>,
}

/// A time of the schedule that does not exist that day, or comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedTime {
    /// As clocks would show it.
    pub local: NaiveDateTime,
    /// When a run is expected for it: once, twice or not at all.
    pub expected_at: Vec<DateTime<Utc>>,
}

/// The changes of a zone's clocks after an instant, within [`HORIZON`].
#[must_use]
pub fn changes_after(zone: Tz, after: DateTime<Utc>) -> Vec<ClockChange> {
    changes_between(zone, after, after + HORIZON)
}

/// The changes of a zone's clocks in `from < at <= until`, at most [`MOST_CHANGES`].
#[must_use]
pub fn changes_between(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<ClockChange> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let mut changes = Vec::new();
    let mut at = from;
    while at < until && changes.len() < MOST_CHANGES {
        // No zone changes its clocks and takes that back within half a day.
        let next = (at + Duration::hours(12)).min(until);
        let (before, after) = (offset(at), offset(next));
        if before != after {
            let (mut low, mut high) = (at, next);
            while high - low > Duration::seconds(1) {
                let middle = low + Duration::seconds((high - low).num_seconds() / 2);
                if offset(middle) == before { low = middle } else { high = middle }
            }
            // A change lies on a whole second; where the search began need not.
            let whole = DateTime::from_timestamp(high.timestamp(), 0).unwrap_or(high);
            changes.push(ClockChange { at: whole, before, after });
        }
        at = next;
    }
    changes
}

impl ClockChange {
    /// Whether clocks go forward, so that times are left out.
    #[must_use]
    pub fn skips(&self) -> bool {
        self.after > self.before
    }

    /// Where clocks go that day, without what it does to a schedule.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (from, to) = self.shown();
        let moved = if self.skips() { "forward" } else { "back" };
        let day = from.format("%-d %b %Y");
        format!("clocks go {moved} on {day} from {} to {}", from.format("%H:%M"), to.format("%H:%M"))
    }

    fn shift(&self) -> Duration {
        Duration::seconds(i64::from((self.after - self.before).abs()))
    }

    /// What clocks show just before the change, and just after it.
    #[must_use]
    pub fn shown(&self) -> (NaiveDateTime, NaiveDateTime) {
        let utc = self.at.naive_utc();
        (utc + Duration::seconds(self.before.into()), utc + Duration::seconds(self.after.into()))
    }

    /// What the change does to a schedule in its zone. Nothing, when a rhythm such as every half hour goes on
    /// through it as if it were not there.
    #[must_use]
    pub fn effect_on(self, cron: &Cron) -> Option<Effect> {
        let (shown_before, shown_after) = self.shown();
        // What is skipped, or comes twice.
        let (first, end) = (shown_before.min(shown_after), shown_before.max(shown_after));
        let mut locals = Vec::new();
        let mut last = first - Duration::seconds(1);
        while locals.len() < MOST_TIMES
            && let Ok(local) = cron.pattern.find_next_occurrence(&last, false)
            && local < end
        {
            locals.push(local);
            last = local;
        }
        let fixed = cron.pattern.determine_job_type() == JobType::FixedTime;
        let goes_on =
            |local: &NaiveDateTime| cron.pattern.is_time_matching(&(*local + self.shift())).unwrap_or(false);
        if locals.is_empty() || !fixed && locals.iter().all(goes_on) {
            return None;
        }
        let is_slot = |at: &DateTime<Utc>| cron.next_after(*at - Duration::seconds(1)) == Some(*at);
        let times = locals.into_iter().map(|local| {
            let instants = if self.skips() {
                if fixed { vec![self.at] } else { vec![] }
            } else {
                [self.before, self.after]
                    .map(|offset| (local - Duration::seconds(offset.into())).and_utc())
                    .to_vec()
            };
            AffectedTime { local, expected_at: instants.into_iter().filter(is_slot).collect() }
        });
        Some(Effect { change: self, times: times.collect() })
    }
}

impl Effect {
    /// What happens that day, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (begins, (_, to)) = (self.change.sentence(), self.change.shown());
        let times = named(self.times.iter().map(|time| time.local));
        let several = self.times.len() > 1;
        let expected: Vec<&DateTime<Utc>> = self.times.iter().flat_map(|time| &time.expected_at).collect();
        if self.change.skips() {
            let exist = if several { "do not exist" } else { "does not exist" };
            match expected.first() {
                Some(_) => {
                    format!("{begins}: {times} {exist}, so the run is expected at {}", to.format("%H:%M"))
                }
                None => format!("{begins}: {times} {exist}, and no run is expected for {}", pronoun(several)),
            }
        } else {
            let come = if several { "come" } else { "comes" };
            if expected.len() > self.times.len() {
                format!("{begins}: {times} {come} twice, and a run is expected each time")
            } else {
                format!("{begins}: {times} {come} twice, and a run is expected the first time only")
            }
        }
    }
}

fn pronoun(several: bool) -> &'static str {
    if several { "them" } else { "it" }
}

fn named(locals: impl ExactSizeIterator<Item = NaiveDateTime>) -> String {
    let more = locals.len().saturating_sub(MOST_NAMED);
    let mut shown: Vec<String> =
        locals.take(MOST_NAMED).map(|local| local.format("%H:%M").to_string()).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    joined(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// What the changes of the zone's clocks in the 400 days after an instant do.
    fn effects(expression: &str, zone: &str, after: &str) -> Vec<Effect> {
        let cron = Cron::read(expression, Some(zone)).unwrap();
        let changes = changes_after(zone.parse().unwrap(), utc(after));
        changes.into_iter().filter_map(|change| change.effect_on(&cron)).collect()
    }

    fn sentences(expression: &str, zone: &str) -> Vec<String> {
        effects(expression, zone, "2026-06-01T12:00:00.5Z").iter().map(Effect::sentence).collect()
    }

    #[test]
    fn changes_are_found_to_the_second() {
        let changes = changes_after(Tz::Europe__Berlin, utc("2026-06-01T12:34:56.789Z"));
        assert_eq!(
            changes,
            [
                ClockChange { at: utc("2026-10-25T01:00:00Z"), before: 7_200, after: 3_600 },
                ClockChange { at: utc("2027-03-28T01:00:00Z"), before: 3_600, after: 7_200 },
            ]
        );
        let lord_howe = changes_after(Tz::Australia__Lord_Howe, utc("2026-06-01T00:00:00Z"));
        assert_eq!(
            lord_howe.first(),
            Some(&ClockChange { at: utc("2026-10-03T15:30:00Z"), before: 37_800, after: 39_600 })
        );
        assert_eq!(changes_after(Tz::Asia__Kolkata, utc("2026-06-01T00:00:00Z")), []);
        assert_eq!(changes_after(Tz::UTC, utc("2026-06-01T00:00:00Z")), []);
        // At the change itself it has happened.
        assert_eq!(changes_after(Tz::Europe__Berlin, utc("2026-10-25T01:00:00Z")).len(), 2);
        assert_eq!(changes_after(Tz::Europe__Berlin, utc("2026-10-25T00:59:59.9Z")).len(), 3);
    }

    #[test]
    fn a_fixed_time_is_moved_in_spring_and_expected_once_in_autumn() {
        assert_eq!(
            sentences("30 2 * * *", "Europe/Berlin"),
            [
                "clocks go back on 25 Oct 2026 from 03:00 to 02:00: 02:30 comes twice, and a run is expected the \
                 first time only",
                "clocks go forward on 28 Mar 2027 from 02:00 to 03:00: 02:30 does not exist, so the run is \
                 expected at 03:00",
            ]
        );
        let effects = effects("30 2 * * *", "Europe/Berlin", "2026-06-01T00:00:00Z");
        let expected: Vec<_> = effects.iter().flat_map(|effect| &effect.times).collect();
        assert_eq!(expected[0].expected_at, [utc("2026-10-25T00:30:00Z")]);
        assert_eq!(expected[0].local.to_string(), "2026-10-25 02:30:00");
        assert_eq!(expected[1].expected_at, [utc("2027-03-28T01:00:00Z")]);
    }

    #[test]
    fn several_times_of_a_day_are_left_out_in_spring_and_expected_twice_in_autumn() {
        assert_eq!(
            sentences("0,30 2 * * *", "Europe/Berlin"),
            [
                "clocks go back on 25 Oct 2026 from 03:00 to 02:00: 02:00 and 02:30 come twice, and a run is \
                 expected each time",
                "clocks go forward on 28 Mar 2027 from 02:00 to 03:00: 02:00 and 02:30 do not exist, and no run \
                 is expected for them",
            ]
        );
        assert_eq!(
            sentences("*/10 2 * * *", "Europe/Berlin")[1],
            "clocks go forward on 28 Mar 2027 from 02:00 to 03:00: 02:00, 02:10, 02:20 and 3 more do not exist, \
             and no run is expected for them"
        );
    }

    #[test]
    fn a_rhythm_that_goes_on_is_not_worth_a_word() {
        for expression in ["* * * * *", "*/30 * * * *", "0 * * * *", "5 * * * 0", "30 3 * * *", "30 2 1 1 *"]
        {
            assert_eq!(sentences(expression, "Europe/Berlin"), [""; 0], "{expression}");
        }
        // Clocks shift by half an hour there.
        assert_eq!(sentences("*/15 * * * *", "Australia/Lord_Howe"), [""; 0]);
        assert_eq!(sentences("0 * * * *", "Australia/Lord_Howe").len(), 1);
        // Every second hour: the one that is left out leaves a hole.
        assert_eq!(sentences("0 */2 * * *", "Europe/Berlin").len(), 2);
    }

    #[test]
    fn what_is_told_is_what_the_schedule_does() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"] {
            for expression in ["15 2 * * *", "15 0 * * *", "0 2 * * *", "*/20 1-2 * * *", "45 1 * * *"] {
                let cron = Cron::read(expression, Some(zone)).unwrap();
                for effect in effects(expression, zone, "2026-01-01T00:00:00Z") {
                    for time in &effect.times {
                        for at in &time.expected_at {
                            assert_eq!(cron.next_after(*at - Duration::seconds(1)), Some(*at));
                        }
                    }
                    let told = effect.times.iter().flat_map(|time| &time.expected_at).count();
                    assert!(effect.change.skips() || told >= effect.times.len(), "{expression} {zone}");
                }
            }
        }
    }
}
