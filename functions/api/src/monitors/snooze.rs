//! A monitor is snoozed: it is judged, and nobody is told. What is still wrong at the end is told then, once.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::SubsecRound as _;
use database::signals::made_deliveries;
use tokio_postgres::types::Type;

use super::change::lock;
use super::pause::end_of;
use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, Fields, Ids, wrong};

/// `seconds: 0` ends a snooze at once.
pub(crate) async fn snooze(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
    mut fields: Fields,
) -> ApiResult<Data<ShownMonitor>> {
    let now = (app.clock)().trunc_subsecs(6);
    let Some(ends_at) = end_of(&mut fields, now)? else {
        return Err(wrong("until", &"give it, or seconds: a snooze has an end"));
    };
    let mut unknown = Vec::new();
    fields.warn_of_rest(&["until", "seconds"], &mut unknown);

    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    lock(&transaction, &tenant, monitor_id, now).await?;
    transaction
        .execute_typed(
            "call snooze_monitor($1, $2, $3)",
            &[(&monitor_id, Type::UUID), (&now, Type::TIMESTAMPTZ), (&ends_at, Type::TIMESTAMPTZ)],
        )
        .await?;
    let base_url = app.public_url.base(&headers);
    let mut monitor = one_monitor(&*transaction, &tenant, monitor_id, Some(&base_url), now).await?;
    let new_deliveries = made_deliveries(&*transaction).await?;
    transaction.commit().await?;

    monitor.warnings.extend(unknown);
    Ok(Data::one(monitor).handing_over(new_deliveries))
}
