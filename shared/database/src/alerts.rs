//! How an alert stands in its columns.

use domain::{Alert, AlertType, Cause, Fact};
use tokio_postgres::Row;

use crate::DatabaseError;
use crate::schedules::zone_of;

/// The columns of `alert a` that [`alert_of`] reads, by their names here.
pub const ALERT_COLUMNS: &str = "a.type as alert_type, a.cause, a.at, a.slot, a.started_at, a.succeeded_at, \
     a.exit_status as alert_exit_status, a.began_at, a.last_success_at, a.timezone, a.at_least, \
     a.not_judged, a.names";

/// Reads [`ALERT_COLUMNS`].
///
/// # Errors
/// [`DatabaseError::Data`] when they hold no alert that this version knows.
pub fn alert_of(row: &Row) -> Result<Alert, DatabaseError> {
    let unknown = || DatabaseError::Data("an alert of a kind that this version does not know".into());
    let alert_type = AlertType::from_name(row.try_get("alert_type")?).ok_or_else(unknown)?;
    let cause = Cause::from_name(row.try_get("cause")?).ok_or_else(unknown)?;
    let succeeded_at = row.try_get("succeeded_at")?;
    let fact = match (alert_type, cause) {
        (AlertType::Recovered, cause) => Fact::Recovered { began_at: row.try_get("began_at")?, cause },
        (AlertType::Notice, Cause::Blind) => Fact::NotSeen {
            began_at: row.try_get("began_at")?,
            not_judged: row.try_get::<_, Option<i32>>("not_judged")?.unwrap_or_default(),
            names: row.try_get::<_, Option<String>>("names")?.unwrap_or_default(),
        },
        (AlertType::Notice, _) => Fact::CameLate { began_at: row.try_get("began_at")? },
        (_, Cause::Missed) => Fact::Missed { slot: row.try_get("slot")?, succeeded_at },
        (_, Cause::Overran) => Fact::Overran { started_at: row.try_get("started_at")?, succeeded_at },
        (_, Cause::Failed) => Fact::Failed {
            started_at: row.try_get("started_at")?,
            exit_status: row.try_get("alert_exit_status")?,
        },
        (_, Cause::TooOften) => Fact::TooOften {
            before: row.try_get("started_at")?,
            at_least: row.try_get::<_, i32>("at_least")?.into(),
        },
        (_, Cause::TooFast) => Fact::TooFast {
            started_at: row.try_get("started_at")?,
            at_least: row.try_get::<_, i32>("at_least")?.into(),
        },
        (_, Cause::Blind | Cause::Delayed) => return Err(unknown()),
    };
    Ok(Alert {
        at: row.try_get("at")?,
        fact,
        last_success_at: row.try_get("last_success_at")?,
        zone: zone_of(row.try_get("timezone")?),
    })
}
