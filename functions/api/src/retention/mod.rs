//! How much history a tenant keeps: pings and runs of each monitor.

pub(crate) mod change;
pub(crate) mod read;

use serde::Serialize;
use tokio_postgres::Row;

use crate::answers::ApiResult;

/// Of a tenant that never decided; `prune_history` in `migrations/V0005__ping_path_rules.sql` has them too.
const DEFAULT_MOST_PINGS: i32 = 5_000;
const DEFAULT_HISTORY_DURATION: i32 = 7_776_000;

#[derive(Serialize)]
pub(crate) struct Retention {
    most_pings: i32,
    /// Seconds.
    history_duration: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Retention {
    /// Reads `most_pings` and `history_duration`.
    fn of(row: Option<&Row>) -> ApiResult<Self> {
        Ok(Self {
            most_pings: row.map_or(Ok(DEFAULT_MOST_PINGS), |row| row.try_get("most_pings"))?,
            history_duration: row
                .map_or(Ok(DEFAULT_HISTORY_DURATION), |row| row.try_get("history_duration"))?,
            warnings: Vec::new(),
        })
    }
}
