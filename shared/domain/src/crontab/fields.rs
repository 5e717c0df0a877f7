//! The parts of a line, as cron reads them.

use std::ops::RangeInclusive;

const BLANKS: [char; 2] = [' ', '\t'];

/// The names that stand for five fields. cron takes them in lower case alone.
const NAMES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A line that may be a job.
pub(super) struct Split<'a> {
    /// Five fields or a name.
    pub(super) times: Vec<&'a str>,
    /// What follows them.
    pub(super) rest: &'a str,
}

/// `NAME = value`, with or without quotes around both.
pub(super) fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(BLANKS);
    let quote = line.chars().next().filter(|c| ['"', '\''].contains(c));
    let (name, rest) = match quote {
        Some(quote) => line.get(1..)?.split_once(quote)?,
        None => line.split_at_checked(line.find([' ', '\t', '='])?)?,
    };
    let value = rest.trim_start_matches(BLANKS).strip_prefix('=')?.trim_matches(BLANKS);
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    (!name.is_empty()).then_some((name, unquoted.unwrap_or(value)))
}

/// # Errors
/// What is missing, in words.
pub(super) fn split(line: &str) -> Result<Split<'_>, String> {
    let mut rest = line.trim_start_matches(BLANKS);
    let count = if rest.starts_with('@') { 1 } else { 5 };
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let (word, after) = next_word(rest);
        if word.is_empty() {
            return Err("it is neither five fields and a command nor a setting".to_owned());
        }
        times.push(word);
        rest = after;
    }
    Ok(Split { times, rest })
}

/// The next word, and what follows it without the blanks between.
pub(super) fn next_word(text: &str) -> (&str, &str) {
    let end = text.find(BLANKS).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (word, rest.trim_start_matches(BLANKS))
}

/// Whether cron would take them. `@reboot` is among what it takes.
///
/// # Errors
/// What it would not take, in words.
pub(super) fn check(times: &[&str]) -> Result<(), String> {
    let [minute, hour, day, month, weekday] = times else {
        let name = times.first().copied().unwrap_or_default();
        return match NAMES.contains(&name) || name == "@reboot" {
            true => Ok(()),
            false => Err(format!("'{}' is not a name for times that every cron knows", shown(name))),
        };
    };
    check_field(minute, "minute", 0..=59, &[], 0)?;
    check_field(hour, "hour", 0..=23, &[], 0)?;
    check_field(day, "day of the month", 1..=31, &[], 0)?;
    check_field(month, "month", 1..=12, &MONTHS, 1)?;
    check_field(weekday, "day of the week", 0..=7, &WEEKDAYS, 0)
}

/// A list of stars, numbers and ranges, the stars and ranges with a step or without. `names` count from `first`.
fn check_field(
    field: &str,
    what: &str,
    limits: RangeInclusive<u32>,
    names: &[&str],
    first: u32,
) -> Result<(), String> {
    let number = |text: &str| -> Option<u32> {
        if let Some(place) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return u32::try_from(place).ok().map(|place| place + first);
        }
        let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten().filter(|n| limits.contains(n))
    };
    let is_item = |item: &str| {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let has_good_step = step.is_none_or(|step| {
            step.len() <= 4
                && step.bytes().all(|b| b.is_ascii_digit())
                && step.parse::<u32>().is_ok_and(|n| n > 0)
        });
        has_good_step
            && match range.split_once('-') {
                Some((from, to)) => {
                    matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to)
                }
                None if range == "*" => true,
                // A step after a number means something else to each cron.
                None => step.is_none() && number(range).is_some(),
            }
    };
    match field.split(',').find(|item| !is_item(item)) {
        None => Ok(()),
        Some(item) => Err(format!("'{}' is not a {what} that every cron knows", shown(item))),
    }
}

/// Whether times stand within a line, the minute at the end of some other word: two lines became one.
pub(super) fn has_glued_times(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    words.windows(5).any(|times| {
        let [before, rest @ ..] = times else { return false };
        let before = before.trim_start_matches('#');
        let is_glued = before.starts_with(|c: char| !c.is_ascii_digit() && c != '*');
        is_glued
            && before.ends_with(|c: char| c.is_ascii_digit() || c == '*')
            && check(&[&["0"], rest].concat()).is_ok()
    })
}

/// Whether times stand somewhere in a comment: a job that was switched off.
pub(super) fn holds_times(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    words.windows(5).any(|times| check(times).is_ok())
}

/// Users as which jobs of the system run, and after whom programs are seldom called: CERN's ROOT is, with options.
const USERS: [&str; 3] = ["root", "www-data", "nobody"];

/// Others, who are taken for users only where a path, a test or a condition follows.
const OTHER_USERS: [&str; 38] = [
    "admin",
    "amavis",
    "apache",
    "app",
    "backup",
    "borg",
    "centos",
    "daemon",
    "debian",
    "debian-spamd",
    "deploy",
    "ec2-user",
    "git",
    "gitlab",
    "grafana",
    "jenkins",
    "list",
    "logcheck",
    "mail",
    "man",
    "munin",
    "mysql",
    "nagios",
    "news",
    "nginx",
    "pi",
    "postgres",
    "prometheus",
    "proxy",
    "redis",
    "smmsp",
    "tomcat",
    "ubuntu",
    "uucp",
    "vagrant",
    "vmail",
    "www",
    "zabbix",
];

/// Whether a user seems to stand before the command, as in `/etc/crontab` and `/etc/cron.d`.
pub(super) fn names_a_user(line: &str) -> bool {
    let Ok(split) = split(line) else { return false };
    let (user, command) = next_word(split.rest);
    let is_user = USERS.contains(&user) && command.starts_with(|c| !"-<>|&;\r".contains(c))
        || OTHER_USERS.contains(&user)
            && ["/", "[ ", "test ", "if ", "cd "].iter().any(|begin| command.starts_with(begin));
    is_user && check(&split.times).is_ok()
}

/// The beginning of a text that somebody wrote, fit for a sentence.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(32).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_name_and_a_value_with_quotes_or_without() {
        for (line, found) in [
            ("A=b", Some(("A", "b"))),
            (" A = 'b c' ", Some(("A", "b c"))),
            ("\"A B\"=\"c", Some(("A B", "\"c"))),
            ("A=", Some(("A", ""))),
            ("0 3 * * * a=b", None),
            ("=b", None),
            ("A", None),
            ("", None),
        ] {
            assert_eq!(setting(line), found, "{line}");
        }
    }

    #[test]
    fn two_lines_in_one_are_seen() {
        for (line, are_two) in [
            ("# nightly backup0 3 * * * /usr/local/bin/backup --all17 4 * * * certbot renew -q", true),
            ("MAILTO=ops@example.com0 3 * * * a", true),
            ("0 3 * * * a --all*/5 * * * * b", true),
            ("0 3 * * * a --all", false),
            ("0 3 * * * a 1 2 3 4 5", false),
            ("# 0 3 * * * a", false),
            ("#0 3 * * * a", false),
            ("# every 5 * * * *", false),
            ("", false),
        ] {
            assert_eq!(has_glued_times(line), are_two, "{line}");
        }
    }

    #[test]
    fn a_user_is_seen_before_a_command() {
        for (line, is_one) in [
            ("17 * * * * root cd / && run-parts /etc/cron.hourly", true),
            (" @daily\twww-data\t[ -x /usr/bin/php ] && php -f cron.php", true),
            ("0 3 * * * nobody /usr/bin/true", true),
            ("0 3 * * * root -b -q macro.C", false),
            ("0 3 * * * root", false),
            ("0 3 * * * root\r", false),
            ("0 3 * * * root > log", false),
            ("0 3 * * * /usr/bin/root a", false),
            ("0 3 * * * rootkit-check a", false),
            ("0 3 * * * mysql shop", false),
            ("*/10 * * * * postgres /usr/bin/pg_backup", true),
            ("2 * * * * logcheck if [ -x /usr/sbin/logcheck ]; then nice /usr/sbin/logcheck; fi", true),
            ("2 * * * * backup --all", false),
            ("*/5 * * * * deploy cd /srv/app && ./cron.sh", true),
            ("# 0 3 * * * root a", false),
            ("61 3 * * * root a", false),
            ("A=root a", false),
        ] {
            assert_eq!(names_a_user(line), is_one, "{line}");
        }
    }

    #[test]
    fn times_that_cron_takes_are_taken() {
        for times in [
            "* * * * *",
            "*/5 0-23/2 1,15 jan,JUL mon-fri",
            "5-55/10 8-18/2 * * 1-7",
            "00 03 * * 7",
            "*/90 * * * *",
            "@daily",
            "@reboot",
        ] {
            assert_eq!(check(&split(&format!("{times} a")).unwrap().times), Ok(()), "{times}");
        }
    }

    #[test]
    fn times_that_cron_does_not_take_are_not() {
        for times in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "1, * * * *",
            "5/10 * * * *",
            "? * * * *",
            "* * L * *",
            "* * * * 1#2",
            "* * * january *",
            "* * * * fri-mon",
            "0~30 * * * *",
            "-* * * * *",
            "1-2-3 * * * *",
            "*/5/2 * * * *",
            "+1 * * * *",
            "@DAILY",
            "@often",
            "@every_minute",
            "** * * * *",
        ] {
            assert!(check(&split(&format!("{times} a")).unwrap().times).is_err(), "{times}");
        }
        assert!(split("0 3 * *").is_err());
        assert!(split("").is_err());
    }
}
