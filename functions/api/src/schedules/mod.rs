//! Schedules that no monitor has yet.

pub(crate) mod preview;
