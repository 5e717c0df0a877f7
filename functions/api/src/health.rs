//! Whether CronMon is there, and whether it can do its work.

use axum::extract::State;
use database::due::behind;
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

/// Able to work: the database answers; 503 when it does not.
pub(crate) async fn ready(State(app): State<App>) -> ApiResult<Data<Ready>> {
    let behind = behind(&app.pool, Some((app.clock)())).await?;
    Ok(Data::one(Ready {
        judging_behind_duration: behind.judging.num_seconds(),
        delivery_behind_duration: behind.delivery.num_seconds(),
    }))
}
