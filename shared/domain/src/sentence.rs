//! Why an alert was sent, in one sentence that a tired person understands.

use chrono::{DateTime, Datelike as _, Duration, Utc};
use chrono_tz::Tz;

use crate::alert::{Alert, Cause, Fact};

/// The sentence of an alert, without a full stop. Times are in the monitor's zone, which is named unless
/// it is UTC; a day is named unless it is the day of the alert.
#[must_use]
pub fn sentence(alert: &Alert) -> String {
    let clock = Clock { zone: alert.zone, today: alert.at };
    let at = clock.time(alert.at);
    let last_success = match alert.last_success_at {
        Some(instant) => format!("last success {}", clock.time(instant)),
        None => "no success before".to_owned(),
    };
    let text = match &alert.fact {
        Fact::Missed { slot, succeeded_at } => {
            let expected = format!("expected {}, nothing came by {at}", clock.time(*slot));
            match succeeded_at {
                Some(end) => format!("{expected}; succeeded at {}", clock.time(*end)),
                None => format!("{expected}; {last_success}"),
            }
        }
        Fact::Overran { started_at, succeeded_at } => {
            let started = format!("started {}, still running at {at}", clock.time(*started_at));
            match succeeded_at {
                Some(end) => format!("{started}; succeeded at {}", clock.time(*end)),
                None => format!("{started}; {last_success}"),
            }
        }
        Fact::Failed { started_at, exit_status } => {
            let failed = match exit_status {
                Some(status) => format!("failed at {at} with exit status {status}"),
                None => format!("failed at {at}"),
            };
            match started_at {
                Some(start) => {
                    format!("{failed}, {} after its start; {last_success}", span(alert.at - *start))
                }
                None => format!("{failed}; {last_success}"),
            }
        }
        Fact::Recovered { began_at, cause } => {
            let was = match cause {
                Cause::Failed => "failing",
                _ => "late",
            };
            let began = clock.time(*began_at);
            if alert.at < *began_at {
                // The database was away, and the ping waited.
                format!("succeeded at {at}, which was not known yet when it was first {was} at {began}")
            } else {
                format!(
                    "succeeded at {at}, {} after it was first {was} at {began}",
                    span(alert.at - *began_at)
                )
            }
        }
        Fact::TooOften { before, at_least } => format!(
            "began at {at}, {} after the run before; at least {} should lie between",
            span(alert.at - *before),
            span(Duration::seconds(*at_least))
        ),
        Fact::TooFast { started_at, at_least } => format!(
            "succeeded at {at}, {} after its start; a run should take at least {}",
            span(alert.at - *started_at),
            span(Duration::seconds(*at_least))
        ),
        Fact::NotSeen { began_at, not_judged, names } => {
            let seen =
                format!("from {} to {at} it is not known whether pings came in", clock.time(*began_at));
            match not_judged {
                0 => format!("{seen}; nothing fell due that it could have answered"),
                1 => format!("{seen}; not judged: 1 deadline ({names})"),
                n => format!("{seen}; not judged: {n} deadlines ({names})"),
            }
        }
        Fact::CameLate { began_at } => format!(
            "what was due from {} to {at} was judged only now; pings of that time were kept and count",
            clock.time(*began_at)
        ),
    };
    clock.with_zone(text)
}

/// Shows instants as the time of the day in a zone, with the day unless it is today.
pub(crate) struct Clock {
    pub(crate) zone: Tz,
    pub(crate) today: DateTime<Utc>,
}

impl Clock {
    pub(crate) fn time(&self, instant: DateTime<Utc>) -> String {
        let (local, today) = (instant.with_timezone(&self.zone), self.today.with_timezone(&self.zone));
        let format = if local.date_naive() == today.date_naive() {
            "%H:%M:%S"
        } else if local.year() == today.year() {
            "%-d %b %H:%M:%S"
        } else {
            "%-d %b %Y %H:%M:%S"
        };
        local.format(format).to_string()
    }

    /// A sentence names the zone of its times, unless it is UTC.
    pub(crate) fn with_zone(&self, text: String) -> String {
        match self.zone {
            Tz::UTC | Tz::Etc__UTC => text,
            zone => format!("{text} ({})", zone.name()),
        }
    }
}

/// A length of time in at most two units: `7 s`, `3 min 20 s`, `4 h`, `2 d 5 h`.
#[must_use]
pub fn span(length: Duration) -> String {
    let seconds = length.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |a: i64, a_unit: &str, b: i64, b_unit: &str| match b {
        0 => format!("{a} {a_unit}"),
        _ => format!("{a} {a_unit} {b} {b_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => two(m, "min", seconds % 60, "s"),
        (0, h, m) => two(h, "h", m, "min"),
        (d, h, _) => two(d, "d", h, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(at: &str, zone: Tz, last_success: Option<&str>, fact: Fact) -> String {
        sentence(&Alert {
            at: at.parse().unwrap(),
            fact,
            last_success_at: last_success.map(|t| t.parse().unwrap()),
            zone,
        })
    }

    #[test]
    fn a_miss_says_what_was_expected_and_what_last_went_well() {
        let slot = "2026-11-22T14:02:05.250Z".parse().unwrap();
        assert_eq!(
            alert(
                "2026-11-22T14:02:07.250Z",
                Tz::UTC,
                Some("2026-11-22T14:02:00.250Z"),
                Fact::Missed { slot, succeeded_at: None }
            ),
            "expected 14:02:05, nothing came by 14:02:07; last success 14:02:00"
        );
    }

    #[test]
    fn times_are_those_of_the_monitors_zone_and_other_days_are_named() {
        let started_at = "2026-11-22T21:30:00Z".parse().unwrap();
        assert_eq!(
            alert(
                "2026-11-22T22:10:00Z",
                Tz::Europe__Riga,
                Some("2025-12-31T23:00:00Z"),
                Fact::Overran { started_at, succeeded_at: None }
            ),
            "started 22 Nov 23:30:00, still running at 00:10:00; last success 1 Jan 01:00:00 (Europe/Riga)"
        );
    }

    #[test]
    fn a_notice_says_what_was_not_seen_and_what_was_not_judged() {
        let began_at = "2026-11-22T12:00:03Z".parse().unwrap();
        let seen = |not_judged, names: &str| {
            let fact = Fact::NotSeen { began_at, not_judged, names: names.to_owned() };
            alert("2026-11-22T12:24:10.5Z", Tz::UTC, None, fact)
        };
        let received = "from 12:00:03 to 12:24:10 it is not known whether pings came in";
        assert_eq!(seen(0, ""), format!("{received}; nothing fell due that it could have answered"));
        assert_eq!(seen(1, "a"), format!("{received}; not judged: 1 deadline (a)"));
        assert_eq!(seen(2, "a, b"), format!("{received}; not judged: 2 deadlines (a, b)"));
        assert_eq!(
            seen(9, "a, b, c, d, e, ..."),
            format!("{received}; not judged: 9 deadlines (a, b, c, d, e, ...)")
        );
        assert_eq!(
            alert("2026-11-23T00:20:10Z", Tz::UTC, None, Fact::CameLate { began_at }),
            "what was due from 22 Nov 12:00:03 to 00:20:10 was judged only now; \
             pings of that time were kept and count"
        );
    }

    #[test]
    fn a_length_of_time_has_at_most_two_units() {
        for (seconds, text) in [
            (-1, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3_600, "1 h"),
            (3_661, "1 h 1 min"),
            (86_400, "1 d"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::seconds(seconds)), text);
        }
    }
}
