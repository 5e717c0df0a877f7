//! Monitors, their jobs and their pings.

pub(crate) mod change;
pub(crate) mod create;
mod crontab_line;
mod cursor;
pub(crate) mod decisions;
pub(crate) mod delete;
pub(crate) mod explain;
pub(crate) mod jobs;
mod keywords;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod pings;
pub(crate) mod read;
pub(crate) mod recorded;
pub(crate) mod replace_ping_url;
pub(crate) mod resume;
pub(crate) mod shown;
pub(crate) mod snooze;
