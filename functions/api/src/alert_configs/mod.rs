//! Alert configs, and which monitors they are attached to.

pub(crate) mod change;
pub(crate) mod create;
mod decisions;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod of_monitor;
pub(crate) mod read;
pub(crate) mod send_test;
mod slack_token;
