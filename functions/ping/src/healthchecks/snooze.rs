//! A snooze by who may ping: for so many minutes the monitor is judged, and nobody is told. Not a part of the protocol
//! of Healthchecks, but it stands beside its URLs.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::SubsecRound as _;
use database::snoozes::{Snoozed, snooze_by_ping};
use http_common::{NewDeliveries, ReceivedAt, body};
use tokio::time::timeout;

use super::BODY_LIMIT;
use super::reply::Reply;
use super::url::Snooze;
use crate::App;

/// How long the database may take.
const TIME_LIMIT: Duration = Duration::from_millis(3_500);

/// It is not spooled: a snooze that comes into force later than its sender believes is none.
pub(super) async fn snooze(
    app: App,
    parts: &Parts,
    request_body: Body,
    read: Result<Snooze, Reply>,
) -> Response {
    match parts.method {
        Method::POST => {}
        Method::OPTIONS => return Reply::Preflight.into_response(),
        _ => return Reply::OnlyPost.into_response(),
    }
    let Snooze { address, minutes } = match read {
        Ok(snooze) => snooze,
        Err(reply) => return reply.into_response(),
    };
    // Whatever it holds; but a connection is only good for more once it is read.
    match body::read(request_body, BODY_LIMIT).await {
        Ok(_) => {}
        Err(body::BodyError::TooLarge) => return Reply::TooLarge.into_response(),
        Err(body::BodyError::Incomplete) => return Reply::Incomplete.into_response(),
    }
    let now = parts.extensions.get::<ReceivedAt>().map_or_else(|| (app.clock)(), |received| received.0);
    let now = now.trunc_subsecs(6);
    let in_flight = app.in_flight.enter(now);
    // By a task of its own, as for a ping.
    let done = tokio::spawn(async move {
        let snoozed = snooze_by_ping(&app.pool, &address, now, minutes * 60, app.most_per_minute);
        let done = timeout(TIME_LIMIT, snoozed).await;
        drop(in_flight);
        done
    });
    match done.await {
        Ok(Ok(Ok(Snoozed::Done { new_deliveries }))) => {
            let mut response = Reply::Ok.into_response();
            if !new_deliveries.is_empty() {
                response.extensions_mut().insert(NewDeliveries(new_deliveries));
            }
            response
        }
        Ok(Ok(Ok(Snoozed::UnknownMonitor))) => Reply::NotFound.into_response(),
        Ok(Ok(Ok(Snoozed::Limited { retry_after }))) => Reply::RateLimited(retry_after).into_response(),
        Ok(Ok(Err(e))) => {
            tracing::error!("the database did not take a snooze: {e}");
            Reply::Unavailable.into_response()
        }
        Ok(Err(_)) => {
            tracing::error!("the database did not take a snooze: it did not answer in time");
            Reply::Unavailable.into_response()
        }
        Err(_) => Reply::Unavailable.into_response(),
    }
}
