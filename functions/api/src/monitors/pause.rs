//! A monitor is paused: nothing is judged, until somebody resumes it or an instant comes. Open runs are abandoned.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use database::signals::made_deliveries;
use domain::MAX_DURATION;
use tokio_postgres::types::Type;

use super::change::lock;
use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, Fields, FieldsIfAny, Given, Ids, wrong};

pub(crate) async fn pause(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
    FieldsIfAny(mut fields): FieldsIfAny,
) -> ApiResult<Data<ShownMonitor>> {
    let now = (app.clock)().trunc_subsecs(6);
    let resumes_at = match end_of(&mut fields, now)? {
        Some(end) if end <= now => return Err(wrong("seconds", &"a pause takes some time: at least 1")),
        end => end,
    };
    let mut unknown = Vec::new();
    fields.warn_of_rest(&["until", "seconds"], &mut unknown);

    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    lock(&transaction, &tenant, monitor_id, now).await?;
    transaction
        .execute_typed(
            "call pause_monitor($1, $2, $3)",
            &[(&monitor_id, Type::UUID), (&now, Type::TIMESTAMPTZ), (&resumes_at, Type::TIMESTAMPTZ)],
        )
        .await?;
    let base_url = app.public_url.base(&headers);
    let mut monitor = one_monitor(&*transaction, &tenant, monitor_id, Some(&base_url), now).await?;
    let new_deliveries = made_deliveries(&*transaction).await?;
    transaction.commit().await?;

    monitor.warnings.extend(unknown);
    Ok(Data::one(monitor).handing_over(new_deliveries))
}

/// When a quiet ends, by `until` or `seconds`, at most 366 days ahead; with neither, or null, nobody knows yet.
pub(super) fn end_of(fields: &mut Fields, now: DateTime<Utc>) -> ApiResult<Option<DateTime<Utc>>> {
    let until = fields.instant("until")?;
    let seconds = fields.optional::<i64>("seconds")?;
    match (until, seconds) {
        (Given::Value(_), Given::Value(_)) => Err(wrong("until", &"give it or seconds, not both")),
        (Given::Value(until), _) => {
            if until <= now {
                return Err(wrong("until", &"it has passed already"));
            }
            if until > now + Duration::seconds(MAX_DURATION) {
                return Err(wrong("until", &"it is more than 366 days ahead"));
            }
            Ok(Some(until))
        }
        (_, Given::Value(seconds @ 0..=MAX_DURATION)) => Ok(Some(now + Duration::seconds(seconds))),
        (_, Given::Value(_)) => {
            Err(wrong("seconds", &format!("it must be from 0 to {MAX_DURATION} seconds (366 days)")))
        }
        _ => Ok(None),
    }
}
