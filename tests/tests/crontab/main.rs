//! `POST /import/crontab`: a crontab comes back with pings in it and does what it did before. What it does is
//! found out by `sh`.

mod again;
mod cron;
mod edits;
mod fifty;
mod garbage;
mod many;
mod parameters;
mod post;
mod random_commands;
mod shell;
mod stub;
