//! Monitors and their jobs.

pub(crate) mod change;
pub(crate) mod create;
mod crontab_line;
mod decisions;
pub(crate) mod delete;
pub(crate) mod jobs;
pub(crate) mod list;
pub(crate) mod read;
mod shown;
