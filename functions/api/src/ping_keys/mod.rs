//! Ping keys: the right to ping every monitor of a tenant by its slug, and to create monitors by pinging.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
