//! Whether CronMon is there, and whether it can do its work.

use axum::extract::State;
use serde::Serialize;

use crate::App;
use crate::answers::{ApiResult, Data};

/// There: says nothing of the database.
pub(crate) async fn health() -> &'static str {
    "pong"
}

#[derive(Serialize)]
pub(crate) struct Ready {
    /// How long the longest due monitor waits to be judged; seconds.
    judging_behind_duration: i64,
    /// How long the longest due delivery waits to be tried; seconds.
    delivery_behind_duration: i64,
}

/// Able to work: the database answers; 503 when it does not. Relies on the indexes `monitor_due` and
/// `delivery_due`.
pub(crate) async fn ready(State(app): State<App>) -> ApiResult<Data<Ready>> {
    let now = (app.clock)();
    let row = app
        .pool
        .get()
        .await?
        .query_typed(
            "select (select min(due_at) from monitor where due_at is not null) as due_at,
                    (select min(next_attempt_at) from delivery where next_attempt_at is not null) as next_attempt_at",
            &[],
        )
        .await?;
    let behind = |column: &str| -> Result<i64, tokio_postgres::Error> {
        let Some(row) = row.first() else { return Ok(0) };
        let due: Option<chrono::DateTime<chrono::Utc>> = row.try_get(column)?;
        Ok(due.map_or(0, |due| (now - due).num_seconds().max(0)))
    };
    Ok(Data::one(Ready {
        judging_behind_duration: behind("due_at")?,
        delivery_behind_duration: behind("next_attempt_at")?,
    }))
}
