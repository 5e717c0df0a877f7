//! API keys: what opens CronMon without a token.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod opens;
