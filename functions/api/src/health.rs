//! Whether CronMon is there, and whether it can do its work.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use database::due::{Behind, behind};
use database::outages::{Health, health as health_of_late_check};
use database::spool::last_seen;
use serde::Serialize;

use crate::App;
use crate::answers::{ApiResult, Data};

/// There: says nothing of the database.
pub(crate) async fn health() -> &'static str {
    "pong"
}

/// No tick for longer than that, or what waits for longer, is not well.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(150);
const LONGEST_DELIVERY: TimeDelta = TimeDelta::minutes(5);
/// Longer than it may have to wait for the spool.
const LONGEST_JUDGING: TimeDelta = TimeDelta::minutes(20);

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
    /// When all that was due had last been judged; null before the first tick.
    ticked_at: Option<DateTime<Utc>>,
    /// Up to when it is known that pings come in, or written down that they did not; null when nobody knows.
    ingest_seen_at: Option<DateTime<Utc>>,
    /// When a canary ping last came through. On one machine there is none.
    canary_seen_at: Option<DateTime<Utc>>,
    /// Since when pings can't come in; null while they can.
    blind_since: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
pub(crate) struct Spool {
    /// Pings that wait to be applied; on Lambda about so many.
    waiting: i64,
    seen_at: DateTime<Utc>,
    /// When it was last empty.
    empty_at: DateTime<Utc>,
}

/// Able to work, and at work: 503 when the database does not answer, and with all that is known when ticks do not
/// come, pings can't come in or alerts do not go out.
pub(crate) async fn ready(State(app): State<App>) -> ApiResult<(StatusCode, Data<Ready>)> {
    let now = (app.clock)();
    let behind = behind(&app.pool, Some(now)).await?;
    let health = health_of_late_check(&app.pool).await?;
    let (spool, parked_pings) = last_seen(&app.pool).await?;
    let status =
        if is_well(now, &behind, &health) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ready = Data::one(Ready {
        judging_behind_duration: behind.judging.num_seconds(),
        delivery_behind_duration: behind.delivery.num_seconds(),
        spool: spool.map(|seen| Spool {
            waiting: seen.waiting,
            seen_at: seen.seen_at,
            empty_at: seen.empty_at,
        }),
        parked_pings,
        ticked_at: health.ticked_at,
        ingest_seen_at: health.ingest_seen_at,
        canary_seen_at: health.canary_seen_at,
        blind_since: health.blind_since,
    });
    Ok((status, ready))
}

fn is_well(now: DateTime<Utc>, behind: &Behind, health: &Health) -> bool {
    health.ticked_at.is_none_or(|ticked_at| now - ticked_at <= LONGEST_PAUSE)
        && health.blind_since.is_none()
        && behind.judging <= LONGEST_JUDGING
        && behind.delivery <= LONGEST_DELIVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_is_who_ticks_sees_pings_and_delivers() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let well = |ticked_at: Option<i64>, blind_since: Option<i64>, judging: i64, delivery: i64| {
            let health = Health {
                ticked_at: ticked_at.map(at),
                ingest_seen_at: None,
                canary_seen_at: None,
                blind_since: blind_since.map(at),
            };
            let (judging, delivery) = (TimeDelta::seconds(judging), TimeDelta::seconds(delivery));
            is_well(at(0), &Behind { judging, delivery }, &health)
        };
        assert!(well(None, None, 0, 0));
        assert!(well(Some(-150), None, 1_200, 300));
        assert!(!well(Some(-151), None, 0, 0));
        assert!(!well(Some(0), Some(-1), 0, 0));
        assert!(!well(Some(0), None, 1_201, 0));
        assert!(!well(Some(0), None, 0, 301));
    }
}
