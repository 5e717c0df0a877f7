//! Whether CronMon is there, and whether it can do its work.

use axum::extract::State;
use chrono::{DateTime, Utc};
use database::due::behind;
use database::spool::last_seen;
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
    /// What was last seen of the spool; null before anybody looked.
    spool: Option<Spool>,
    /// Spooled pings that could not be applied; they stand in the table `parked_signal`.
    parked_pings: i64,
}

#[derive(Serialize)]
pub(crate) struct Spool {
    /// Pings that wait to be applied; on Lambda about so many.
    waiting: i64,
    seen_at: DateTime<Utc>,
    /// When it was last empty.
    empty_at: DateTime<Utc>,
}

/// Able to work: the database answers; 503 when it does not.
pub(crate) async fn ready(State(app): State<App>) -> ApiResult<Data<Ready>> {
    let behind = behind(&app.pool, Some((app.clock)())).await?;
    let (spool, parked_pings) = last_seen(&app.pool).await?;
    Ok(Data::one(Ready {
        judging_behind_duration: behind.judging.num_seconds(),
        delivery_behind_duration: behind.delivery.num_seconds(),
        spool: spool.map(|seen| Spool {
            waiting: seen.waiting,
            seen_at: seen.seen_at,
            empty_at: seen.empty_at,
        }),
        parked_pings,
    }))
}
