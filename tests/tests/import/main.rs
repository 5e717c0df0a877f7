//! `cronmon import`: the database of an original CronMon becomes ours, and nothing of ours is harmed.

mod again;
mod alerts;
mod copied;
mod refused;
