//! How a schedule stands in its columns.

use chrono_tz::Tz;
use domain::{Cron, Schedule};
use tokio_postgres::Row;

use crate::DatabaseError;

/// The columns `schedule_kind`, `every_seconds`, `cron` and `timezone` of a monitor.
pub struct ScheduleColumns<'a> {
    pub kind: &'static str,
    pub every_seconds: Option<i32>,
    pub cron: Option<&'a str>,
    pub timezone: Option<&'static str>,
}

impl<'a> From<&'a Schedule> for ScheduleColumns<'a> {
    fn from(schedule: &'a Schedule) -> Self {
        let mut columns = Self { kind: "none", every_seconds: None, cron: None, timezone: None };
        match schedule {
            Schedule::None => {}
            Schedule::Every(seconds) => {
                columns.kind = "every";
                // At most domain::MAX_DURATION, which fits.
                columns.every_seconds = i32::try_from(*seconds).ok();
            }
            Schedule::Cron(cron) => {
                columns.kind = "cron";
                columns.cron = Some(cron.expression());
                columns.timezone = cron.zone().map(Tz::name);
            }
        }
        columns
    }
}

/// Reads the four columns by their names.
///
/// # Errors
/// [`DatabaseError::Data`] when they hold no schedule that this version can read.
pub fn schedule_of(row: &Row) -> Result<Schedule, DatabaseError> {
    let every: Option<i32> = row.try_get("every_seconds")?;
    let cron: Option<&str> = row.try_get("cron")?;
    match (every, cron) {
        (Some(seconds), _) => Ok(Schedule::Every(seconds.into())),
        (_, Some(expression)) => Ok(Schedule::Cron(cron_of(expression, row.try_get("timezone")?)?)),
        _ => Ok(Schedule::None),
    }
}

/// # Errors
/// [`DatabaseError::Data`] when this version can't read what was saved.
pub fn cron_of(expression: &str, zone: Option<&str>) -> Result<Cron, DatabaseError> {
    Cron::read(expression, zone)
        .map_err(|e| DatabaseError::Data(format!("a saved schedule can't be read any more: {e}")))
}

/// The zone of a monitor as saved; UTC without one.
#[must_use]
pub fn zone_of(zone: Option<&str>) -> Tz {
    zone.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}
