//! The history of a monitor, as the model plays it again.

use chrono::{DateTime, Utc};
use domain::replay::Event;
use domain::{Signal, SignalKind};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::answers::ApiResult;

/// A signal of the history, or what its owner did.
#[derive(Clone, Serialize)]
pub(crate) struct Recorded {
    pub(crate) signal_id: Uuid,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) kind: String,
    pub(crate) rid: Option<Uuid>,
    pub(crate) exit_status: Option<i16>,
    pub(crate) job_id: Option<Uuid>,
    /// Of a snooze or a pause.
    pub(crate) ends_at: Option<DateTime<Utc>>,
}

/// What the rules look at, in the order of the history; a snooze is nothing to them, but keeps its place.
pub(crate) fn events_of(history: &[Recorded]) -> Vec<(DateTime<Utc>, Event)> {
    history.iter().map(|recorded| (recorded.received_at, recorded.event())).collect()
}

impl Recorded {
    /// Reads `signal_id`, `received_at`, `kind`, `rid`, `exit_status`, `job_id` and `ends_at` of a signal.
    pub(crate) fn of(row: &Row) -> ApiResult<Self> {
        Ok(Self {
            signal_id: row.try_get("signal_id")?,
            received_at: row.try_get("received_at")?,
            kind: row.try_get("kind")?,
            rid: row.try_get("rid")?,
            exit_status: row.try_get("exit_status")?,
            job_id: row.try_get("job_id")?,
            ends_at: row.try_get("ends_at")?,
        })
    }

    fn event(&self) -> Event {
        match (self.kind.as_str(), SignalKind::from_name(&self.kind)) {
            ("pause", _) => Event::Pause { until: self.ends_at },
            ("resume", _) => Event::Resume,
            (_, kind) => Event::Signal(Signal {
                kind: kind.unwrap_or(SignalKind::Log),
                rid: self.rid,
                exit_status: self.exit_status,
            }),
        }
    }
}
