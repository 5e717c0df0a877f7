//! A schedule in plain words: `at 03:00 on Monday to Friday`.
//!
//! Said of the values that an expression stands for, not of how it is written: `*/7` is not every seven minutes,
//! for it begins anew with each hour.

use crate::schedule::{Cron, Schedule};

/// How croner marks the values of a field that depend on the month. It does not name them; the tests hold them.
const LAST: u8 = 1 << 6;
const NEAREST_WORKING_DAY: u8 = 1 << 7;

/// More times of a day than these are not listed one by one.
const MOST_TIMES: usize = 8;

/// So few are, though they come evenly within their hours.
const FEW_TIMES: usize = 4;

/// The schedule in words, without its zone and without a full stop.
#[must_use]
pub fn describe(schedule: &Schedule) -> String {
    match schedule {
        Schedule::None => "no schedule".to_owned(),
        Schedule::Every(seconds) => format!("every {}, counted from the last run", exact(*seconds)),
        Schedule::Cron(cron) => describe_cron(cron),
    }
}

fn describe_cron(cron: &Cron) -> String {
    let pattern = &cron.pattern.pattern;
    let months = pattern.months.values();
    let times = times(&pattern.minutes.values(), &pattern.hours.values());
    // That a rhythm goes on every day need not be said; of a time of the day it is.
    let is_rhythm = times.starts_with("every") || times.ends_with("every hour");
    let mut parts = vec![times];
    parts.extend(days(cron).or_else(|| (!is_rhythm).then(|| "every day".to_owned())));
    if months.len() < 12 {
        parts.push(format!("in {}", list(&months, |month| name(&MONTHS, month - 1))));
    }
    parts.join(" ")
}

fn times(minutes: &[u16], hours: &[u16]) -> String {
    let all_hours = hours.len() == 24;
    let every_minutes = match (minutes, even_step(minutes, 60)) {
        ([_], _) | (_, None) => None,
        (_, Some(1)) => Some("every minute".to_owned()),
        (_, Some(step)) => Some(match minutes.first() {
            Some(0) | None => format!("every {step} minutes"),
            Some(first) => format!("every {step} minutes from minute {first}"),
        }),
    };
    let listed = || {
        let times: Vec<String> = hours
            .iter()
            .flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}")))
            .collect();
        format!("at {}", joined(&times))
    };
    match (every_minutes, minutes, hours) {
        (Some(every), ..) if all_hours => every,
        (Some(_), ..) if minutes.len() * hours.len() <= FEW_TIMES => listed(),
        (Some(every), _, [hour]) => format!("{every} of the hour {hour:02}:00"),
        (Some(every), ..) => format!("{every} of the hours {}", list(hours, |hour| format!("{hour:02}:00"))),
        (None, [0], _) if all_hours => "every hour on the hour".to_owned(),
        (None, [minute], _) if all_hours => format!("every hour at minute {minute}"),
        (None, [minute], [first, _, _, ..]) if even_step(hours, 24).is_some() => {
            format!("every {} hours from {first:02}:{minute:02}", 24 / hours.len())
        }
        _ if minutes.len() * hours.len() <= MOST_TIMES => listed(),
        _ => {
            let minutes =
                format!("at {} {}", plural("minute", minutes.len()), list(minutes, |m| m.to_string()));
            match hours {
                _ if all_hours => format!("{minutes} of every hour"),
                [hour] => format!("{minutes} of the hour {hour:02}:00"),
                _ => format!("{minutes} of the hours {}", list(hours, |hour| format!("{hour:02}:00"))),
            }
        }
    }
}

/// Nothing when it is every day.
fn days(cron: &Cron) -> Option<String> {
    let pattern = &cron.pattern.pattern;
    let (of_month, of_week) = (days_of_month(cron), days_of_week(cron));
    match (of_month, of_week) {
        (None, None) => None,
        (Some(days), None) if pattern.is_dow_wildcard() || pattern.matches_dom_and_dow() => {
            Some(format!("on {days} of the month"))
        }
        (None, Some(days)) if pattern.is_dom_wildcard() || pattern.matches_dom_and_dow() => {
            Some(format!("on {days}"))
        }
        // Either, and one of them is any day.
        (None, Some(_)) | (Some(_), None) => None,
        (Some(of_month), Some(of_week)) if pattern.matches_dom_and_dow() => {
            Some(format!("on {of_month} of the month, if that is {of_week}"))
        }
        (Some(of_month), Some(of_week)) => Some(format!("on {of_month} of the month, and on {of_week}")),
    }
}

/// `day 1`, `days 1 and 15 and the last day`; nothing when it is any day.
fn days_of_month(cron: &Cron) -> Option<String> {
    let field = &cron.pattern.pattern.days;
    let plain = field.values();
    if plain.len() == 31 {
        return None;
    }
    let mut parts = Vec::new();
    if !plain.is_empty() {
        parts.push(format!("{} {}", plural("day", plain.len()), list(&plain, |day| day.to_string())));
    }
    if field.is_feature_enabled(LAST) {
        let last = if field.is_feature_enabled(NEAREST_WORKING_DAY) {
            "the last working day"
        } else {
            "the last day"
        };
        parts.push(last.to_owned());
    }
    let nearest = field.get_set_values(NEAREST_WORKING_DAY);
    if !nearest.is_empty() {
        let days = list(&nearest, |day| day.to_string());
        parts.push(format!("the working day nearest to {} {days}", plural("day", nearest.len())));
    }
    Some(joined(&parts))
}

/// `Monday to Friday`, `the second Tuesday of the month`; nothing when it is any day.
fn days_of_week(cron: &Cron) -> Option<String> {
    let field = &cron.pattern.pattern.days_of_week;
    let plain = field.values();
    if plain.len() == 7 {
        return None;
    }
    let weekdays = |values: &[u16]| {
        // A week that begins with Monday: Saturday and Sunday go together.
        let mut values: Vec<u16> = values.iter().map(|day| if *day == 0 { 7 } else { *day }).collect();
        values.sort_unstable();
        list(&values, |day| name(&WEEKDAYS, day - 1))
    };
    let mut parts = Vec::new();
    if !plain.is_empty() {
        parts.push(weekdays(&plain));
    }
    for (n, nth) in ["first", "second", "third", "fourth", "fifth"].into_iter().enumerate() {
        let days = field.get_set_values(1 << (n + 1));
        if !days.is_empty() {
            parts.push(format!("the {nth} {} of the month", weekdays(&days)));
        }
    }
    let last = field.get_set_values(LAST);
    if !last.is_empty() {
        parts.push(format!("the last {} of the month", weekdays(&last)));
    }
    Some(joined(&parts))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn name(names: &[&str], index: u16) -> String {
    names.get(usize::from(index)).copied().unwrap_or_default().to_owned()
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// The distance, when the values lie evenly around the whole cycle.
fn even_step(values: &[u16], cycle: u16) -> Option<u16> {
    let count = u16::try_from(values.len()).ok().filter(|n| *n > 0 && cycle.is_multiple_of(*n))?;
    let step = cycle / count;
    values.iter().zip(values.iter().skip(1)).all(|(a, b)| b - a == step).then_some(step)
}

/// `1, 3 and 5 to 9`.
fn list(values: &[u16], show: impl Fn(u16) -> String) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = values;
    while let Some(first) = rest.first() {
        let run = rest.iter().enumerate().take_while(|(i, v)| usize::from(**v - *first) == *i).count();
        let (these, others) = rest.split_at(run);
        match these {
            [first, _, .., last] => parts.push(format!("{} to {}", show(*first), show(*last))),
            _ => parts.extend(these.iter().map(|value| show(*value))),
        }
        rest = others;
    }
    joined(&parts)
}

/// `a, b and c`.
#[must_use]
pub(crate) fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A length of time to the second, whatever units it needs: `1 h 1 min 1 s`.
#[must_use]
pub fn exact(seconds: i64) -> String {
    let parts: Vec<String> = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    .into_iter()
    .filter(|(n, _)| *n != 0)
    .map(|(n, unit)| format!("{n} {unit}"))
    .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use chrono::{DateTime, Utc};

    fn words(expression: &str) -> String {
        describe(&Schedule::Cron(Cron::read(expression, None).unwrap()))
    }

    #[test]
    fn an_expression_is_said_in_plain_words() {
        for (expression, said) in [
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("5-59/15 * * * *", "every 15 minutes from minute 5"),
            ("0,30 * * * *", "every 30 minutes"),
            ("*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
            ("0 * * * *", "every hour on the hour"),
            ("@hourly", "every hour on the hour"),
            ("17 * * * *", "every hour at minute 17"),
            ("5 */6 * * *", "every 6 hours from 00:05"),
            ("0 1-23/2 * * *", "every 2 hours from 01:00"),
            ("0 3 * * *", "at 03:00 every day"),
            ("@daily", "at 00:00 every day"),
            ("0,30 2 * * *", "at 02:00 and 02:30 every day"),
            ("0 2,14 * * *", "at 02:00 and 14:00 every day"),
            ("*/20 9-17 * * 1-5", "every 20 minutes of the hours 09:00 to 17:00 on Monday to Friday"),
            ("* 3 * * *", "every minute of the hour 03:00"),
            ("1,2,5 8-18 * * *", "at minutes 1, 2 and 5 of the hours 08:00 to 18:00 every day"),
            ("0-10 3 * * *", "at minutes 0 to 10 of the hour 03:00 every day"),
            ("0 9 * * mon-fri", "at 09:00 on Monday to Friday"),
            ("0 9 * * 6,0", "at 09:00 on Saturday and Sunday"),
            ("0 9 * * 5-7", "at 09:00 on Friday to Sunday"),
            ("0 0 * * 7", "at 00:00 on Sunday"),
            ("@weekly", "at 00:00 on Sunday"),
            ("0 0 1 * *", "at 00:00 on day 1 of the month"),
            ("@yearly", "at 00:00 on day 1 of the month in January"),
            ("0 0 1,15 3-5,7 *", "at 00:00 on days 1 and 15 of the month in March to May and July"),
            ("0 0 L * *", "at 00:00 on the last day of the month"),
            ("0 0 LW * *", "at 00:00 on the last working day of the month"),
            ("0 0 15W * *", "at 00:00 on the working day nearest to day 15 of the month"),
            ("0 0 1,L * *", "at 00:00 on day 1 and the last day of the month"),
            ("0 0 * * 5L", "at 00:00 on the last Friday of the month"),
            ("0 0 * * 2#2", "at 00:00 on the second Tuesday of the month"),
            ("0 0 13 * 5", "at 00:00 on day 13 of the month, and on Friday"),
            ("0 9 1-7 * */7", "at 09:00 on days 1 to 7 of the month, if that is Sunday"),
            ("0 3 */1 * 1", "at 03:00 on Monday"),
            ("0 3 1-31 * 1", "at 03:00 every day"),
            ("0 3 1-31 * *", "at 03:00 every day"),
            ("0 3 * * 0-6", "at 03:00 every day"),
            ("*/10 * * 12 *", "every 10 minutes in December"),
        ] {
            assert_eq!(words(expression), said, "{expression}");
        }
    }

    #[test]
    fn an_interval_is_said_to_the_second() {
        for (seconds, said) in [(1, "1 s"), (300, "5 min"), (3_661, "1 h 1 min 1 s"), (172_800, "2 d")] {
            let said = format!("every {said}, counted from the last run");
            assert_eq!(describe(&Schedule::Every(seconds)), said);
        }
        assert_eq!(describe(&Schedule::None), "no schedule");
    }

    /// Two expressions that are said alike come true alike.
    #[test]
    fn the_words_tell_every_two_schedules_apart() {
        let now: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
        let mut slots_of: HashMap<String, (String, Vec<DateTime<Utc>>)> = HashMap::new();
        let minutes = ["*", "0", "7", "*/15", "*/7", "3-59/15", "0,30", "0,1,30", "5-9"];
        let hours = ["*", "0", "3", "*/6", "*/5", "1-23/2", "9-17", "2,14", "0-22"];
        let days = ["*", "1", "1,15", "*/2", "1-31", "L", "LW", "15W", "1,L", "31", "?", "*/31"];
        let months = ["*", "1", "2-4,9"];
        let weekdays = ["*", "1", "1-5", "0,6", "7", "5L", "2#2", "1,5#3", "*/7", "0-6", "*/2", "1,L"];
        for minute in minutes {
            for hour in hours {
                for day in days {
                    for weekday in weekdays {
                        // Not every product: the days and months with one time, the times on every day.
                        let (one_time, every_day) =
                            ((minute, hour) == ("7", "3"), (day, weekday) == ("*", "*"));
                        let months = match (one_time, every_day) {
                            (true, _) => &months[..],
                            (false, true) => &months[..1],
                            (false, false) => &[],
                        };
                        for month in months {
                            let expression = format!("{minute} {hour} {day} {month} {weekday}");
                            let cron = Cron::read(&expression, None).unwrap();
                            let mut at = now;
                            let slots: Vec<_> = (0..40)
                                .map_while(|_| {
                                    // Steps of some length, so that 40 of them reach months and weeks.
                                    let slot = cron.next_after(at)?;
                                    at = slot + chrono::Duration::minutes(1_003);
                                    Some(slot)
                                })
                                .collect();
                            let said = describe(&Schedule::Cron(cron));
                            match slots_of.get(&said) {
                                Some((other, others)) => {
                                    assert_eq!(&slots, others, "{expression} and {other}: {said}");
                                }
                                None => drop(slots_of.insert(said, (expression, slots))),
                            }
                        }
                    }
                }
            }
        }
        assert!(slots_of.len() > 350, "{}", slots_of.len());
    }
}
