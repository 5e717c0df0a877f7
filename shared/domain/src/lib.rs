//! Schedules, slots, deadlines, the rules of the state machine and the sentences of the alerts.
//!
//! Pure: no I/O and no clock of its own, `now` is always an argument. The words are those of
//! `docs/design.md`. The database decides (`migrations/`), [`rules`] is the same contract as a model
//! that the stories in `tests/` hold it to.

pub mod alert;
pub mod clock_change;
pub mod crontab;
pub mod describe;
pub mod explain;
pub mod hints;
pub mod key;
pub mod replay;
pub mod rules;
pub mod schedule;
pub mod sentence;
pub mod slug;
pub mod tags;
pub mod window;

pub use alert::{Alert, AlertType, Cause, Fact};
pub use rules::{AlertOn, Monitor, Rules, Signal, SignalKind, Status};
pub use schedule::{Cron, Schedule, ScheduleError};

/// The longest duration anybody can ask for, in seconds: 366 days.
pub const MAX_DURATION: i64 = 366 * 24 * 60 * 60;
