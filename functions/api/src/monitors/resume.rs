//! The end of a pause. It never alerts by itself: the next slot after now is expected, and the status is that from
//! before. Of a monitor that is not paused nothing changes.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::SubsecRound as _;
use database::signals::made_deliveries;
use domain::Schedule;
use domain::rules::first_slot;
use tokio_postgres::types::Type;

use super::change::lock;
use super::read::one_monitor;
use super::shown::ShownMonitor;
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, FieldsIfAny, Ids};

pub(crate) async fn resume(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
    FieldsIfAny(fields): FieldsIfAny,
) -> ApiResult<Data<ShownMonitor>> {
    let now = (app.clock)().trunc_subsecs(6);
    let mut unknown = Vec::new();
    fields.warn_of_rest(&[], &mut unknown);

    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let schedule = lock(&transaction, &tenant, monitor_id, now).await?.rules.schedule;
    let slots = match &schedule {
        Schedule::Cron(cron) => Some(cron.slots_after(now)),
        Schedule::None | Schedule::Every(_) => None,
    };
    transaction
        .execute_typed(
            "call resume_monitor($1, $2, $3, $4)",
            &[
                (&monitor_id, Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&first_slot(&schedule, now), Type::TIMESTAMPTZ),
                (&slots, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .await?;
    let base_url = app.public_url.base(&headers);
    let mut monitor = one_monitor(&*transaction, &tenant, monitor_id, Some(&base_url), now).await?;
    let new_deliveries = made_deliveries(&*transaction).await?;
    transaction.commit().await?;

    monitor.warnings.extend(unknown);
    Ok(Data::one(monitor).handing_over(new_deliveries))
}
