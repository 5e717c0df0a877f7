//! A maintenance window is changed by its owner. What is absent keeps its value.

use axum::extract::State;
use chrono::SubsecRound as _;
use tokio_postgres::types::Type;

use super::decisions::{Said, Window, existing, none_is_missing};
use super::read::{ShownWindow, one_window};
use super::{look_again, take_turns};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Fields, Given, Ids, wrong};

pub(crate) async fn change(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([window_id]): Ids<1>,
    fields: Fields,
) -> ApiResult<Data<ShownWindow>> {
    let now = (app.clock)().trunc_subsecs(6);
    let mut said = Said::read(fields)?;
    if !said.says_something() {
        return Err(wrong("name", &"give it, or anything else that is to change"));
    }
    let unknown = std::mem::take(&mut said.warnings);
    let says_when = said.says_when();
    let given_monitors = matches!(said.monitor_ids, Given::Value(_));

    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    take_turns(&*transaction, &tenant).await?;
    let rows = transaction
        .query_typed(
            "select name, cron, timezone, duration, starts, monitor_ids, tags
             from maintenance_window where window_id = $1 and tenant = $2",
            &[(&window_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_window(window_id))?;
    let window = said.over(Some(Window::of(row)?), now)?;
    let monitor_ids = existing(&*transaction, &tenant, &window.monitor_ids).await?;
    if given_monitors {
        none_is_missing(&window.monitor_ids, &monitor_ids)?;
    }
    look_again(&*transaction, &tenant, now).await?;
    transaction
        .execute_typed(
            "update maintenance_window set name = $3, monitor_ids = $4, tags = $5
             where window_id = $1 and tenant = $2",
            &[
                (&window_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&window.name, Type::TEXT),
                (&monitor_ids, Type::UUID_ARRAY),
                (&window.tags, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    if let Some(when) = window.when.filter(|_| says_when) {
        let starts = when.starts(now);
        transaction
            .execute_typed(
                "update maintenance_window set cron = $3, timezone = $4, duration = $5, starts = $6, refill_at = $7
                 where window_id = $1 and tenant = $2",
                &[
                    (&window_id, Type::UUID),
                    (&tenant.0, Type::TEXT),
                    (&when.cron().map(domain::Cron::expression), Type::TEXT),
                    (&when.zone(), Type::TEXT),
                    // At most domain::MAX_DURATION, which fits.
                    (&i32::try_from(when.duration()).ok(), Type::INT4),
                    (&starts.instants, Type::TIMESTAMPTZ_ARRAY),
                    (&starts.refill_at, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
    }
    let mut shown = one_window(&*transaction, &tenant, window_id, now).await?;
    transaction.commit().await?;
    shown.warnings.extend(unknown);
    Ok(Data::one(shown))
}
