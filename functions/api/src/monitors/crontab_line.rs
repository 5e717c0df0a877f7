//! The line to paste into a crontab so that a job pings its monitor.

use domain::Schedule;

const CURL: &str = "curl -fsS -m 10 --retry 5 -o /dev/null";

/// A start, the command, and its exit status. The command is the reader's to put in.
pub(super) fn crontab_line(schedule: &Schedule, ping_url: &str) -> String {
    format!("{} {CURL} {ping_url}/start; your-command; {CURL} {ping_url}/$?", times(schedule))
}

/// The time fields. What a crontab can't say (every 7 minutes, no schedule) is every minute, for the
/// reader to change.
fn times(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron(cron) => cron.expression().to_owned(),
        Schedule::Every(seconds) => match (seconds % 60, seconds / 60) {
            (0, minutes) if minutes > 1 && minutes < 60 && 60 % minutes == 0 => {
                format!("*/{minutes} * * * *")
            }
            (0, 60) => "0 * * * *".to_owned(),
            (0, minutes) if minutes % 60 == 0 && minutes < 1_440 && 1_440 % minutes == 0 => {
                format!("0 */{} * * *", minutes / 60)
            }
            (0, 1_440) => "0 0 * * *".to_owned(),
            (0, 10_080) => "0 0 * * 0".to_owned(),
            _ => "* * * * *".to_owned(),
        },
        Schedule::None => "* * * * *".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_becomes_time_fields_where_a_crontab_can_say_it() {
        for (seconds, fields) in [
            (5, "* * * * *"),
            (60, "* * * * *"),
            (300, "*/5 * * * *"),
            (420, "* * * * *"),
            (3_600, "0 * * * *"),
            (14_400, "0 */4 * * *"),
            (18_000, "* * * * *"),
            (86_400, "0 0 * * *"),
            (604_800, "0 0 * * 0"),
        ] {
            assert_eq!(times(&Schedule::Every(seconds)), fields, "{seconds}");
        }
    }
}
