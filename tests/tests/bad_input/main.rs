//! Bad input: each gets its 4xx in the one error shape, none a 5xx, and nothing is changed.

mod alert_config_fields;
mod bodies;
mod history_parameters;
mod ids;
mod list_parameters;
mod monitor_fields;
mod quiet_fields;
mod random_bytes;
mod retention_and_keys;
mod schedules;
mod tenants;
mod tokens;
mod why;
mod window_fields;
mod world;
