//! When runs are expected, and the slots that follow from it.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use crate::MAX_DURATION;

/// How many slots stand ready in the database for a cron schedule.
pub const SLOTS_AHEAD: usize = 64;

/// An expression without a slot in this time is refused.
const MUST_HAVE_A_SLOT_WITHIN: Duration = Duration::days(5 * 366);

/// Slots are looked for this far ahead; 29 February is eight years apart around 2100.
const HORIZON: Duration = Duration::days(12 * 366);

const LONGEST_EXPRESSION: usize = 256;

/// When runs are expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Nothing is expected; only runs that were announced have a deadline.
    None,
    /// A run every so many seconds, counted from the last one.
    Every(i64),
    Cron(Cron),
}

/// A cron expression in a time zone.
#[derive(Clone)]
pub struct Cron {
    expression: String,
    /// `None` was not given, and then means UTC.
    zone: Option<Tz>,
    pub(crate) pattern: Box<croner::Cron>,
}

/// Why a schedule is refused, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleError {
    Every(i64),
    Expression(String),
    NoSlot,
    Zone(String),
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(n) => write!(f, "every must be from 1 to {MAX_DURATION} seconds, not {n}"),
            Self::Expression(why) => write!(f, "cron is not an expression that can be read: {why}"),
            Self::NoSlot => f.write_str("cron never comes true within five years"),
            Self::Zone(zone) => {
                write!(f, "timezone '{zone}' is not an IANA time zone such as 'Europe/Riga'")
            }
        }
    }
}

impl std::error::Error for ScheduleError {}

impl Schedule {
    /// # Errors
    /// [`ScheduleError::Every`] unless `seconds` is from 1 to [`MAX_DURATION`].
    pub fn every(seconds: i64) -> Result<Self, ScheduleError> {
        match seconds {
            1..=MAX_DURATION => Ok(Self::Every(seconds)),
            _ => Err(ScheduleError::Every(seconds)),
        }
    }

    /// The distance between slots: the smallest among those to come, for it decides how much grace fits.
    #[must_use]
    pub fn gap(&self, now: DateTime<Utc>) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Every(n) => Some(Duration::seconds(*n)),
            Self::Cron(cron) => smallest_gap(&cron.slots_after(now)),
        }
    }
}

/// The smallest distance between slots that follow each other.
#[must_use]
pub fn smallest_gap(slots: &[DateTime<Utc>]) -> Option<Duration> {
    slots.iter().zip(slots.iter().skip(1)).map(|(a, b)| *b - *a).min()
}

impl Cron {
    /// Reads five fields or one of `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly` and their kin.
    ///
    /// # Errors
    /// [`ScheduleError`] when the expression or the zone can't be read, or when no slot comes within
    /// five years of `now`.
    pub fn parse(expression: &str, zone: Option<&str>, now: DateTime<Utc>) -> Result<Self, ScheduleError> {
        let cron = Self::read(expression, zone)?;
        match cron.next_after(now) {
            Some(slot) if slot - now <= MUST_HAVE_A_SLOT_WITHIN => Ok(cron),
            _ => Err(ScheduleError::NoSlot),
        }
    }

    /// Reads an expression that was checked by [`Cron::parse`] when it was saved.
    ///
    /// # Errors
    /// [`ScheduleError`] when the expression or the zone can't be read.
    pub fn read(expression: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = zone
            .map(|z| Tz::from_str(z).map_err(|_| ScheduleError::Zone(z.chars().take(64).collect())))
            .transpose()?;
        // One blank between fields, whatever stood there: it is pasted into crontabs.
        let expression = expression.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let fields = spell_out(&expression)?;
        let pattern = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(&fields)
            .map_err(|e| ScheduleError::Expression(e.to_string()))?;
        Ok(Self { expression, zone, pattern: Box::new(pattern) })
    }

    /// The expression as its author wrote it, but for the blanks.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone as given; without one, slots are in UTC.
    #[must_use]
    pub fn zone(&self) -> Option<Tz> {
        self.zone
    }

    /// The first slot later than `after`, or nothing within twelve years.
    ///
    /// On the day a clock goes forward, a fixed time that is skipped fires when the gap ends; on the day
    /// it goes back, a fixed time fires once and an interval goes on through both hours.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone = self.zone.unwrap_or(Tz::UTC);
        // Slots lie on whole seconds, so the search may start from one.
        let mut from = after.trunc_subsecs(0);
        // One search suffices but for the hour that a clock repeats, where it may answer with an instant
        // that has passed already.
        for _ in 0..3 {
            let slot = self
                .pattern
                .find_next_occurrence(&from.with_timezone(&zone), false)
                .ok()?
                .with_timezone(&Utc);
            if slot > after {
                return (slot - after <= HORIZON).then_some(slot);
            }
            from += Duration::hours(1);
        }
        None
    }

    /// The slots later than `after`, at most [`SLOTS_AHEAD`], at least two where two exist.
    #[must_use]
    pub fn slots_after(&self, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        self.first_slots_after(after, SLOTS_AHEAD)
    }

    /// The same, at most so many.
    #[must_use]
    pub fn first_slots_after(&self, after: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::with_capacity(most);
        let mut last = after;
        while slots.len() < most {
            // A rare slot costs a long search: two of them are enough to stand ready.
            if slots.len() >= 2 && last - after > MUST_HAVE_A_SLOT_WITHIN {
                break;
            }
            match self.next_after(last) {
                Some(slot) => {
                    slots.push(slot);
                    last = slot;
                }
                None => break,
            }
        }
        slots
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        // Without a zone it is UTC, so saying so changes nothing.
        self.expression == other.expression && self.zone.unwrap_or(Tz::UTC) == other.zone.unwrap_or(Tz::UTC)
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?}, {:?})", self.expression, self.zone)
    }
}

/// Turns an expression into five fields that the parser can take at its word: it lets empty lists pass,
/// and a field that matches nothing would be searched for through millennia.
fn spell_out(expression: &str) -> Result<String, ScheduleError> {
    let wrong = |why: &str| Err(ScheduleError::Expression(why.to_owned()));
    if expression.len() > LONGEST_EXPRESSION {
        return wrong("it is longer than 256 characters");
    }
    if expression.starts_with('@') {
        return match expression.to_ascii_lowercase().as_str() {
            "@yearly" | "@annually" => Ok("0 0 1 1 *".to_owned()),
            "@monthly" => Ok("0 0 1 * *".to_owned()),
            "@weekly" => Ok("0 0 * * 0".to_owned()),
            "@daily" | "@midnight" => Ok("0 0 * * *".to_owned()),
            "@hourly" => Ok("0 * * * *".to_owned()),
            "@reboot" => wrong("@reboot has no time; leave the schedule out"),
            _ => wrong("the names are @yearly, @monthly, @weekly, @daily and @hourly"),
        };
    }
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let [_, _, day, _, weekday] = fields.as_slice() else {
        return wrong("five fields are needed: minute, hour, day of month, month, day of week");
    };
    // As cron reads it: a day of month and a day of week mean either, unless one of them begins with a star.
    let both = (day.starts_with('*') || weekday.starts_with('*')) && *day != "*" && *weekday != "*";
    for field in &fields {
        let known = |c: char| c.is_ascii_alphanumeric() || "*,-/#?".contains(c);
        if let Some(c) = field.chars().find(|c| !known(*c)) {
            return Err(ScheduleError::Expression(format!("'{}' has no meaning", c.escape_default())));
        }
        if field.split(',').any(str::is_empty) {
            return wrong("a list has an empty place");
        }
    }
    let spelled = fields.join(" ");
    match (both, spelled.rsplit_once(' ')) {
        // The parser's mark for both.
        (true, Some((first, weekday))) => Ok(format!("{first} +{weekday}")),
        _ => Ok(spelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{NaiveDateTime, TimeZone as _};
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn cron(expression: &str, zone: &str) -> Cron {
        Cron::parse(expression, Some(zone), utc("2026-01-01T00:00:00Z")).unwrap()
    }

    /// The slots that lie between two instants, as local times with their offset.
    fn slots(expression: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let cron = cron(expression, zone);
        let tz: Tz = zone.parse().unwrap();
        let (mut at, until) = (utc(from), utc(until));
        let mut found = Vec::new();
        while let Some(slot) = cron.next_after(at).filter(|s| *s <= until) {
            found.push(slot.with_timezone(&tz).format("%H:%M%z").to_string());
            at = slot;
        }
        found
    }

    #[test]
    fn berlin_skips_half_past_two_in_march_and_the_run_is_expected_when_the_gap_ends() {
        let day = ("2026-03-28T23:30:00Z", "2026-03-29T21:00:00Z");
        assert_eq!(slots("30 2 * * *", "Europe/Berlin", day.0, day.1), ["03:00+0200"]);
    }

    #[test]
    fn berlin_repeats_half_past_two_in_october_and_the_run_is_expected_once() {
        let day = ("2026-10-24T22:30:00Z", "2026-10-25T22:00:00Z");
        assert_eq!(slots("30 2 * * *", "Europe/Berlin", day.0, day.1), ["02:30+0200"]);
    }

    #[test]
    fn new_york_goes_on_every_half_hour_through_the_repeated_hour() {
        let hours = ("2026-11-01T04:45:00Z", "2026-11-01T07:15:00Z");
        assert_eq!(
            slots("*/30 * * * *", "America/New_York", hours.0, hours.1),
            ["01:00-0400", "01:30-0400", "01:00-0500", "01:30-0500", "02:00-0500"]
        );
    }

    #[test]
    fn sydney_changes_its_clock_in_the_southern_spring() {
        let day = ("2026-10-03T14:30:00Z", "2026-10-04T12:00:00Z");
        assert_eq!(slots("15 2 * * *", "Australia/Sydney", day.0, day.1), ["03:00+1100"]);
        let day = ("2026-04-04T14:00:00Z", "2026-04-05T12:00:00Z");
        assert_eq!(slots("15 2 * * *", "Australia/Sydney", day.0, day.1), ["02:15+1100"]);
    }

    #[test]
    fn lord_howe_shifts_by_half_an_hour() {
        let day = ("2026-10-03T14:00:00Z", "2026-10-04T12:00:00Z");
        assert_eq!(slots("10 2 * * *", "Australia/Lord_Howe", day.0, day.1), ["02:30+1100"]);
        let hours = ("2026-04-04T14:15:00Z", "2026-04-04T15:45:00Z");
        assert_eq!(
            slots("*/15 * * * *", "Australia/Lord_Howe", hours.0, hours.1),
            ["01:30+1100", "01:45+1100", "01:30+1030", "01:45+1030", "02:00+1030", "02:15+1030"]
        );
    }

    #[test]
    fn an_impossible_or_too_sparse_expression_is_an_error() {
        let now = utc("2026-11-22T00:00:00Z");
        for (expression, error) in
            [("0 0 30 2 *", ScheduleError::NoSlot), ("0 0 31 4,6,9,11 *", ScheduleError::NoSlot)]
        {
            assert_eq!(Cron::parse(expression, None, now), Err(error), "{expression}");
        }
        // The next 29 February after 2096 is in 2104.
        assert_eq!(Cron::parse("0 0 29 2 *", None, utc("2096-03-01T00:00:00Z")), Err(ScheduleError::NoSlot));
        assert_eq!(Cron::parse("0 0 29 2 *", None, now).unwrap().slots_after(now).len(), 2);
    }

    #[test]
    fn what_is_not_an_expression_is_an_error_in_words() {
        let now = utc("2026-11-22T00:00:00Z");
        for expression in [
            "",
            " ",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            ", * * * *",
            "1, * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "a b c d e",
            "@reboot",
            "@often",
            "@daily @daily",
            "\0 * * * *",
            "0 0 * * ü",
            "-1 * * * *",
            "# * * * *",
            "* * * * #",
            "99999999999999999999 * * * *",
            "* * * * 1#6",
            "L * * * *",
            "W W W W W",
        ] {
            assert!(
                matches!(
                    Cron::parse(expression, None, now),
                    Err(ScheduleError::Expression(_) | ScheduleError::NoSlot)
                ),
                "{expression:?}"
            );
        }
        assert!(Cron::parse(&"0,".repeat(9_999), None, now).is_err());
        assert_eq!(
            Cron::parse("* * * * *", Some("Mars/Olympus"), now),
            Err(ScheduleError::Zone("Mars/Olympus".into()))
        );
    }

    #[test]
    fn names_and_nicknames_are_understood() {
        let now = utc("2026-11-22T12:00:00Z"); // a Sunday
        for (expression, next) in [
            ("@daily", "2026-11-23T00:00:00Z"),
            ("@HOURLY", "2026-11-22T13:00:00Z"),
            ("0 9 * * mon-fri", "2026-11-23T09:00:00Z"),
            ("0 0 1 jan *", "2027-01-01T00:00:00Z"),
            ("0 0 * * 7", "2026-11-29T00:00:00Z"),
            ("0 0 13 * 5", "2026-11-27T00:00:00Z"), // a day of month or a day of week, as in crontab(5)
            ("0 9 1-7 * */7", "2026-12-06T09:00:00Z"), // the first Sunday: both, for one begins with a star
            ("0 3 */2 * 1", "2026-11-23T03:00:00Z"),
            ("0 0 L * *", "2026-11-30T00:00:00Z"),
        ] {
            assert_eq!(
                Cron::parse(expression, None, now).unwrap().next_after(now),
                Some(utc(next)),
                "{expression}"
            );
        }
    }

    fn any_zone() -> impl Strategy<Value = Tz> {
        prop::sample::select(vec![
            Tz::UTC,
            Tz::Europe__Berlin,
            Tz::Europe__Riga,
            Tz::America__New_York,
            Tz::America__St_Johns,
            Tz::Australia__Sydney,
            Tz::Australia__Lord_Howe,
            Tz::America__Santiago,
            Tz::Pacific__Chatham,
            Tz::Asia__Kolkata,
            Tz::Africa__Casablanca,
        ])
    }

    fn any_expression() -> impl Strategy<Value = String> {
        let minute = prop_oneof![
            Just("*".to_owned()),
            (0..60u8).prop_map(|m| m.to_string()),
            (1..60u8).prop_map(|s| format!("*/{s}")),
            (0..30u8, 30..60u8).prop_map(|(a, b)| format!("{a},{b}")),
        ];
        let hour = prop_oneof![
            3 => Just("*".to_owned()),
            3 => (0..4u8).prop_map(|h| h.to_string()),
            1 => (0..24u8).prop_map(|h| h.to_string()),
            1 => (1..24u8).prop_map(|s| format!("*/{s}")),
            1 => (0..4u8, 4..24u8).prop_map(|(a, b)| format!("{a}-{b}")),
        ];
        let day = prop_oneof![4 => Just("*".to_owned()), 1 => (1..29u8).prop_map(|d| d.to_string())];
        let month = prop_oneof![4 => Just("*".to_owned()), 1 => (1..13u8).prop_map(|m| m.to_string())];
        let weekday = prop_oneof![4 => Just("*".to_owned()), 1 => (0..8u8).prop_map(|d| d.to_string())];
        (minute, hour, day, month, weekday).prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
    }

    /// Instants that crowd around the days on which clocks change.
    fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
        let changes = [
            "2026-03-08",
            "2026-03-29",
            "2026-04-05",
            "2026-09-06",
            "2026-09-27",
            "2026-10-04",
            "2026-10-25",
            "2026-11-01",
            "2027-02-14",
            "2027-03-21",
        ];
        let near = (prop::sample::select(changes.to_vec()), -90_000_000i64..180_000_000).prop_map(
            |(day, millis)| {
                let midnight: NaiveDateTime = format!("{day}T00:00:00").parse().unwrap();
                Utc.from_utc_datetime(&midnight) + Duration::milliseconds(millis)
            },
        );
        let far = (1_700_000_000i64..2_200_000_000).prop_map(|s| Utc.timestamp_opt(s, 0).unwrap());
        prop_oneof![3 => near, 1 => far]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn the_next_slot_is_after_now_and_after_the_slot_it_follows(
            expression in any_expression(), zone in any_zone(), now in any_instant()
        ) {
            let cron = Cron::read(&expression, Some(zone.name())).unwrap();
            let mut last = now;
            for _ in 0..12 {
                let Some(slot) = cron.next_after(last) else { break };
                prop_assert!(slot > last, "{expression} {zone}: {slot} does not follow {last}");
                last = slot;
            }
        }

        #[test]
        fn no_slot_lies_between_an_instant_and_its_next_slot(
            expression in any_expression(), zone in any_zone(), now in any_instant(), part in 0..100i32
        ) {
            let cron = Cron::read(&expression, Some(zone.name())).unwrap();
            if let Some(slot) = cron.next_after(now) {
                let between = now + (slot - now) / 100 * part;
                prop_assert_eq!(cron.next_after(between.min(slot - Duration::milliseconds(1))), Some(slot));
            }
        }

        #[test]
        fn any_text_is_a_schedule_or_an_error_and_never_a_hang(text in "\\PC{0,40}", fields in "[-0-9*/,#LW?a-c ]{0,24}") {
            let now = Utc.timestamp_opt(1_800_000_000, 0).unwrap();
            for text in [text, fields] {
                if let Ok(cron) = Cron::parse(&text, None, now) {
                    prop_assert!(cron.next_after(now).is_some());
                }
            }
        }
    }
}
