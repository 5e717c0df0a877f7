//! What the history of a monitor says of its rules: the usual mistakes, as questions to its owner.

use chrono::{DateTime, Duration, Utc};

use crate::describe::exact;
use crate::explain::last_slot_of;
use crate::rules::{Rules, SignalKind};
use crate::schedule::{Cron, Schedule};
use crate::sentence::span;

/// Fewer pings are no habit.
const FEWEST: usize = 4;

/// How far pings may lie from what they have in common: curl waits for a busy machine.
const ABOUT: Duration = Duration::minutes(5);

/// Slots that are counted between the first and the last ping.
const MOST_SLOTS: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What kind of mistake it may be.
    pub about: &'static str,
    pub sentence: String,
}

/// What is odd about a monitor's pings, the worst first. `pings` are its newest, ascending; `runs` how many seconds
/// its newest runs took.
#[must_use]
pub fn hints(rules: &Rules, pings: &[(DateTime<Utc>, SignalKind)], runs: &[i64]) -> Vec<Hint> {
    let of = |kinds: &[SignalKind]| -> Vec<DateTime<Utc>> {
        pings.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(at, _)| *at).collect()
    };
    let starts = of(&[SignalKind::Start]);
    let ends = of(&[SignalKind::Success, SignalKind::Fail]);
    let mut hints = Vec::new();
    let mut hint = |about, sentence: String| hints.push(Hint { about, sentence });
    if starts.is_empty() && ends.is_empty() {
        if pings.len() >= FEWEST {
            hint(
                "only_logs",
                "only logs come, and they answer nothing: does the job ping when it ends?".into(),
            );
        }
        return hints;
    }
    if ends.is_empty() && starts.len() >= FEWEST {
        hint("only_starts", "only starts come, and never an end: does the job ping when it ends?".into());
    }
    // Starts tell when a job runs; without them ends do.
    let announces = starts.len() >= FEWEST;
    let marks = if announces { starts } else { ends };
    let about_slots = match &rules.schedule {
        Schedule::None => None,
        Schedule::Every(n) => rhythm(*n, rules, &marks),
        Schedule::Cron(cron) => counts(cron, &marks).or_else(|| offset(cron, rules, announces, &marks)),
    };
    hints.extend(about_slots);
    if let (Some(expected), Some(median)) = (rules.expected_duration, median(runs))
        && runs.len() >= FEWEST
        && median > expected
    {
        hints.push(Hint {
            about: "expected_duration",
            sentence: format!(
                "runs take some {}, and expected_duration is {}: is it too short?",
                about(median),
                exact(expected)
            ),
        });
    }
    hints
}

/// Whether pings come as often as an interval says.
fn rhythm(every: i64, rules: &Rules, marks: &[DateTime<Utc>]) -> Option<Hint> {
    let distances: Vec<i64> =
        marks.iter().zip(marks.iter().skip(1)).map(|(a, b)| (*b - *a).num_seconds()).collect();
    let usual = median(&distances).filter(|_| marks.len() >= FEWEST)?;
    let allowed = every + rules.start_grace_duration.unwrap_or(rules.grace_duration);
    (usual > allowed || usual * 3 < every * 2).then(|| Hint {
        about: "every",
        sentence: format!(
            "pings come some {} apart, and one is expected every {}: is that right?",
            about(usual),
            exact(every)
        ),
    })
}

/// Whether about one ping comes for each slot.
fn counts(cron: &Cron, marks: &[DateTime<Utc>]) -> Option<Hint> {
    let (first, last) = (marks.first()?, marks.last().filter(|_| marks.len() >= FEWEST)?);
    let mut slots = Vec::new();
    let mut at = *first;
    while slots.len() < MOST_SLOTS
        && let Some(slot) = cron.next_after(at).filter(|slot| slot <= last)
    {
        slots.push(slot);
        at = slot;
    }
    // Whole distances between slots, and what came in them.
    let (from, until) = (slots.first()?, slots.last()?);
    let pings = marks.iter().filter(|mark| *mark >= from && *mark < until).count();
    let (between, slots, distances) = (slots.len() - 1, slots.len(), marks.len() - 1);
    let ratio = |many: usize, few: usize| (many * 2 + few) / (few.max(1) * 2);
    // One more or less is the edge of what was counted.
    if between > 0 && pings.saturating_sub(1) * 2 >= between * 3 {
        return Some(Hint {
            about: "too_many",
            sentence: format!(
                "pings come some {} times between two slots: does something else ping too, or is the schedule \
                 wrong?",
                ratio(pings, between)
            ),
        });
    }
    (slots.saturating_sub(1) * 2 >= distances * 3).then(|| Hint {
        about: "too_few",
        sentence: format!(
            "one ping comes for some {} slots: does the job run less often than the schedule says?",
            ratio(slots, distances)
        ),
    })
}

/// Whether pings come at a distance from their slots, always the same.
fn offset(cron: &Cron, rules: &Rules, announces: bool, marks: &[DateTime<Utc>]) -> Option<Hint> {
    let mut offsets = Vec::with_capacity(marks.len());
    for mark in marks {
        let (before, after) = (last_slot_of(cron, *mark)?, cron.next_after(*mark)?);
        let (since, until) = (*mark - before, after - *mark);
        // To the nearer one; in the middle between two nobody can tell.
        offsets.push(if since <= until { since.num_seconds() } else { -until.num_seconds() });
    }
    let usual = median(&offsets).filter(|_| marks.len() >= FEWEST)?;
    let agree = offsets.iter().filter(|offset| (*offset - usual).abs() <= ABOUT.num_seconds()).count();
    if agree * 5 < offsets.len() * 4 {
        return None;
    }
    let run = if announces { 0 } else { rules.expected_duration.unwrap_or(0) };
    let allowed = run + rules.start_grace_duration.unwrap_or(rules.grace_duration);
    let side = if usual < 0 { "before" } else { "after" };
    let half_hours = (usual.abs() + 900) / 1_800;
    let from_a_zone = half_hours > 0 && (usual.abs() - half_hours * 1_800).abs() <= ABOUT.num_seconds();
    // An end that comes in time may well come an hour after its slot.
    if from_a_zone && (usual < 0 || announces || usual > allowed) {
        let length = match half_hours {
            1 => "half an hour".to_owned(),
            2 => "one hour".to_owned(),
            n if n % 2 == 0 => format!("{} hours", n / 2),
            n => format!("{} and a half hours", n / 2),
        };
        let zone = cron.zone().map_or("UTC", chrono_tz::Tz::name);
        return Some(Hint {
            about: "zone",
            sentence: format!("pings arrive {length} {side} the slot: is the zone right? It is {zone}"),
        });
    }
    let length = about(usual.abs());
    if usual > allowed {
        return Some(Hint {
            about: "grace",
            sentence: format!(
                "pings arrive some {length} after the slot, which waits {}: is the grace too short?",
                exact(allowed)
            ),
        });
    }
    (usual < -ABOUT.num_seconds()).then(|| Hint {
        about: "early",
        sentence: format!("pings arrive some {length} before the slot: is the schedule right?"),
    })
}

/// A length of time that is told as `some 20 min`: to the minute, but for short ones.
fn about(seconds: i64) -> String {
    span(Duration::seconds(if seconds < 600 { seconds } else { (seconds + 30) / 60 * 60 }))
}

fn median(values: &[i64]) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::AlertOn;
    use SignalKind::{Fail, Log, Start, Success};

    fn rules(schedule: Schedule) -> Rules {
        Rules {
            schedule,
            expected_duration: None,
            grace_duration: 600,
            start_grace_duration: None,
            early_duration: None,
            failure_threshold: 1,
            recovery_threshold: 1,
            alert_on: AlertOn::First,
            min_interval_duration: None,
            min_duration: None,
        }
    }

    fn cron(expression: &str, zone: &str) -> Rules {
        rules(Schedule::Cron(Cron::read(expression, Some(zone)).unwrap()))
    }

    /// Pings of these kinds, one after the other, `every` seconds apart, each some seconds late.
    fn pings(kinds: &[SignalKind], begin: &str, every: i64) -> Vec<(DateTime<Utc>, SignalKind)> {
        let begin: DateTime<Utc> = begin.parse().unwrap();
        let at =
            |i: usize| begin + Duration::seconds(every * i64::try_from(i).unwrap() + [2, 0, 45, 7][i % 4]);
        kinds.iter().cycle().take(12).enumerate().map(|(i, kind)| (at(i), *kind)).collect()
    }

    fn sentences(rules: &Rules, pings: &[(DateTime<Utc>, SignalKind)], runs: &[i64]) -> Vec<String> {
        hints(rules, pings, runs).into_iter().map(|hint| hint.sentence).collect()
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_zone_that_is_wrong_shows_as_whole_hours() {
        for (zone, begin, said) in [
            ("UTC", "2026-11-01T04:00:00Z", "one hour after the slot: is the zone right? It is UTC"),
            ("UTC", "2026-11-01T01:00:00Z", "2 hours before the slot: is the zone right? It is UTC"),
            ("UTC", "2026-11-01T03:30:00Z", "half an hour after the slot: is the zone right? It is UTC"),
            (
                "UTC",
                "2026-11-01T08:30:00Z",
                "5 and a half hours after the slot: is the zone right? It is UTC",
            ),
            (
                "Europe/Riga",
                "2026-11-01T03:00:00Z",
                "2 hours after the slot: is the zone right? It is Europe/Riga",
            ),
        ] {
            let pings = pings(&[Success], begin, DAY);
            let rules = cron("0 3 * * *", zone);
            assert_eq!(sentences(&rules, &pings, &[]), [format!("pings arrive {said}")], "{zone} {begin}");
        }
        let hint = &hints(&cron("0 3 * * *", "UTC"), &pings(&[Success], "2026-11-01T04:00:00Z", DAY), &[])[0];
        assert_eq!(hint.about, "zone");
    }

    #[test]
    fn an_end_that_comes_in_time_may_come_an_hour_after_its_slot() {
        let mut rules = cron("0 3 * * *", "UTC");
        rules.expected_duration = Some(5_400);
        assert_eq!(sentences(&rules, &pings(&[Success], "2026-11-01T04:00:00Z", DAY), &[]), [""; 0]);
        // But no start does.
        assert_eq!(sentences(&rules, &pings(&[Start], "2026-11-01T04:00:00Z", DAY), &[]).len(), 2);
    }

    #[test]
    fn pings_that_come_too_late_or_too_early() {
        let rules = cron("0 3 * * *", "UTC");
        assert_eq!(
            sentences(&rules, &pings(&[Success], "2026-11-01T03:20:00Z", DAY), &[]),
            ["pings arrive some 20 min after the slot, which waits 10 min: is the grace too short?"]
        );
        assert_eq!(
            sentences(&rules, &pings(&[Success], "2026-11-01T02:40:00Z", DAY), &[]),
            ["pings arrive some 20 min before the slot: is the schedule right?"]
        );
    }

    #[test]
    fn pings_that_come_more_or_less_often_than_slots() {
        let hourly = cron("0 * * * *", "UTC");
        assert_eq!(
            sentences(&hourly, &pings(&[Success], "2026-11-01T03:00:00Z", 900), &[]),
            [
                "pings come some 4 times between two slots: does something else ping too, or is the schedule wrong?"
            ]
        );
        assert_eq!(
            sentences(&hourly, &pings(&[Success, Fail], "2026-11-01T03:00:00Z", 6 * 3_600), &[]),
            ["one ping comes for some 6 slots: does the job run less often than the schedule says?"]
        );
        // Starts tell of the runs, and each has an end.
        assert_eq!(
            sentences(&hourly, &pings(&[Start, Success], "2026-11-01T03:00:00Z", 1_800), &[]),
            [""; 0]
        );
        assert_eq!(
            sentences(&rules(Schedule::Every(3_600)), &pings(&[Success], "2026-11-01T03:00:00Z", 900), &[]),
            ["pings come some 15 min apart, and one is expected every 1 h: is that right?"]
        );
        assert_eq!(
            sentences(&rules(Schedule::Every(3_600)), &pings(&[Success], "2026-11-01T03:00:00Z", 7_200), &[]),
            ["pings come some 2 h apart, and one is expected every 1 h: is that right?"]
        );
    }

    #[test]
    fn runs_that_take_long_and_ends_that_never_come() {
        let mut rules = cron("0 * * * *", "UTC");
        rules.expected_duration = Some(60);
        let healthy = pings(&[Start, Success], "2026-11-01T03:00:00Z", 1_800);
        assert_eq!(
            sentences(&rules, &healthy, &[100, 130, 120, 50, 3_000]),
            ["runs take some 2 min, and expected_duration is 1 min: is it too short?"]
        );
        assert_eq!(sentences(&rules, &healthy, &[100, 50, 60, 50]), [""; 0]);
        let starts = pings(&[Start], "2026-11-01T03:00:00Z", 3_600);
        assert_eq!(
            sentences(&rules, &starts, &[]),
            ["only starts come, and never an end: does the job ping when it ends?"]
        );
        assert_eq!(
            sentences(&rules, &pings(&[Log], "2026-11-01T03:00:00Z", 3_600), &[]),
            ["only logs come, and they answer nothing: does the job ping when it ends?"]
        );
    }

    #[test]
    fn nothing_is_said_of_what_is_as_it_should_be_or_of_too_little() {
        for zone in ["UTC", "Europe/Berlin", "America/New_York"] {
            let rules = cron("0 * * * *", zone);
            let healthy = pings(&[Success], "2026-10-25T00:00:00Z", 3_600);
            assert_eq!(sentences(&rules, &healthy, &[]), [""; 0], "{zone}");
            assert_eq!(sentences(&rules, &healthy[..1], &[1]), [""; 0]);
            assert_eq!(sentences(&rules, &[], &[]), [""; 0]);
        }
        let few = &pings(&[Success], "2026-11-01T04:00:00Z", DAY)[..3];
        assert_eq!(sentences(&cron("0 3 * * *", "UTC"), few, &[]), [""; 0]);
        let healthy = pings(&[Success], "2026-11-01T03:00:00Z", 3_600);
        assert_eq!(sentences(&rules(Schedule::Every(3_600)), &healthy, &[]), [""; 0]);
    }
}
