//! Monitors, their jobs and their pings.

pub(crate) mod change;
pub(crate) mod create;
mod crontab_line;
mod cursor;
mod decisions;
pub(crate) mod delete;
pub(crate) mod jobs;
mod keywords;
pub(crate) mod pause;
pub(crate) mod resume;
pub(crate) mod snooze;
pub(crate) mod list;
pub(crate) mod pings;
pub(crate) mod read;
pub(crate) mod replace_ping_url;
mod shown;
