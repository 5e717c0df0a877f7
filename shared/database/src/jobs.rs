//! A job as the API and the webhooks show it.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::DatabaseError;

/// The columns that [`Job::of`] reads, of `job j` and the body of the signal that ended it, `e`, joined by
/// [`JOB_OUTPUT`].
pub const JOB_COLUMNS: &str = "j.job_id, j.rid, j.announced, j.start_time, j.end_time, j.succeeded, \
     j.exit_status, j.due_at as job_due_at, e.body as output";

pub const JOB_OUTPUT: &str = "left join signal e on e.monitor_id = j.monitor_id and e.signal_id = j.ended_by";

/// The fields of the original API, in its forms (times are UTC without zone), and ours.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    pub job_id: Uuid,
    pub start_time: NaiveDateTime,
    pub end_time: Option<NaiveDateTime>,
    /// Whole seconds; `None` while it runs, of a run that nobody announced, and of one that was abandoned.
    pub duration: Option<i64>,
    pub in_progress: bool,
    pub late: bool,
    pub succeeded: Option<bool>,
    pub output: Option<String>,
    pub abandoned: bool,
    pub due_at: Option<DateTime<Utc>>,
    pub exit_status: Option<i16>,
    pub rid: Option<Uuid>,
}

impl Job {
    /// Reads [`JOB_COLUMNS`]; `None` where an outer join found no job.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`] when a column is missing.
    pub fn of(row: &Row, now: DateTime<Utc>) -> Result<Option<Self>, DatabaseError> {
        let Some(job_id) = row.try_get("job_id")? else { return Ok(None) };
        let start: DateTime<Utc> = row.try_get("start_time")?;
        let end: Option<DateTime<Utc>> = row.try_get("end_time")?;
        let due_at: Option<DateTime<Utc>> = row.try_get("job_due_at")?;
        let announced: bool = row.try_get("announced")?;
        let succeeded: Option<bool> = row.try_get("succeeded")?;
        let output: Option<&[u8]> = row.try_get("output")?;
        Ok(Some(Self {
            job_id,
            start_time: start.naive_utc(),
            end_time: end.map(|end| end.naive_utc()),
            duration: end
                .filter(|_| announced && succeeded.is_some())
                .map(|end| (end - start).num_seconds().abs()),
            in_progress: end.is_none(),
            late: due_at.is_some_and(|due| end.unwrap_or(now) > due),
            succeeded,
            output: output.map(|body| String::from_utf8_lossy(body).into_owned()),
            abandoned: end.is_some() && succeeded.is_none(),
            due_at,
            exit_status: row.try_get("exit_status")?,
            rid: row.try_get("rid")?,
        }))
    }
}
