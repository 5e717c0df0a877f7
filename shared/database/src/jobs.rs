//! A job as the API and the webhooks show it.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::DatabaseError;

/// Bytes of an output where jobs are shown among others, and in webhooks.
pub const SHOWN_OUTPUT: i32 = 10_000;

/// Of an output that is shown whole.
pub const WHOLE_OUTPUT: i32 = i32::MAX;

/// The columns that [`Job::of`] reads, of `job j` and at most so many bytes of the body of the signal that ended it, `e`,
/// joined by [`JOB_OUTPUT`].
#[must_use]
pub fn job_columns(longest_output: i32) -> String {
    format!(
        "j.job_id, j.rid, j.announced, j.start_time, j.end_time, j.succeeded, j.exit_status, \
         j.due_at as job_due_at, substring(e.body from 1 for {longest_output}) as output, \
         octet_length(e.body) as output_bytes"
    )
}

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
    /// Whether that is only the beginning of it.
    pub output_truncated: bool,
    pub abandoned: bool,
    pub due_at: Option<DateTime<Utc>>,
    pub exit_status: Option<i16>,
    pub rid: Option<Uuid>,
}

impl Job {
    /// Reads [`job_columns`]; `None` where an outer join found no job.
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
        let output_bytes: Option<i32> = row.try_get("output_bytes")?;
        let output_truncated =
            output.zip(output_bytes).is_some_and(|(output, bytes)| i32::try_from(output.len()) != Ok(bytes));
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
            output: output.map(|output| as_text(output, output_truncated)),
            output_truncated,
            abandoned: end.is_some() && succeeded.is_none(),
            due_at,
            exit_status: row.try_get("exit_status")?,
            rid: row.try_get("rid")?,
        }))
    }
}

/// A body as it is shown, whatever bytes it has. One that was cut by us does not end within a character.
#[must_use]
pub fn as_text(body: &[u8], cut: bool) -> String {
    let whole = match std::str::from_utf8(body) {
        Err(e) if cut && e.error_len().is_none() => body.get(..e.valid_up_to()).unwrap_or(body),
        _ => body,
    };
    String::from_utf8_lossy(whole).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_ends_with_a_character() {
        let crab = "\u{1f980}".as_bytes();
        for bytes in 1..4 {
            assert_eq!(as_text(&[b"x", &crab[..bytes]].concat(), true), "x");
            // Who sent it so is shown it.
            assert_eq!(as_text(&[b"x", &crab[..bytes]].concat(), false), "x\u{fffd}");
        }
        assert_eq!(as_text(crab, true), "\u{1f980}");
        assert_eq!(as_text(b"\xffx", true), "\u{fffd}x");
        // What was no text before the cut need not end with a character.
        assert_eq!(as_text(b"\xffx\xc3", true), "\u{fffd}x\u{fffd}");
    }
}
