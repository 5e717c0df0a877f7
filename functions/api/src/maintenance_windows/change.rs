//! A maintenance window is changed by its owner. What is absent keeps its value.

use axum::extract::State;
use chrono::SubsecRound as _;
use tokio_postgres::types::Type;

use super::decisions::{KNOWN_FIELDS, Said, Window, existing, none_is_missing};
use super::look_again;
use super::read::{ShownWindow, one_window};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::requests::{Caller, Fields, Given, Ids};
use crate::turns::{Made, before_a_connection, take_turns};

pub(crate) async fn change(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([window_id]): Ids<1>,
    fields: Fields,
) -> ApiResult<Data<ShownWindow>> {
    let now = (app.clock)().trunc_subsecs(6);
    let mut said = Said::read(fields)?;
    if !said.says_something() {
        return Err(nothing_to_change(&said.warnings));
    }
    let unknown = std::mem::take(&mut said.warnings);
    let says_when = said.says_when();
    let given_monitors = matches!(said.monitor_ids, Given::Value(_));
    let given_tags = matches!(said.tags, Given::Value(_) | Given::Null);

    let turn = before_a_connection().await?;
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    take_turns(&*transaction, &tenant, Made::MaintenanceWindows).await?;
    let rows = transaction
        .query_typed(
            "select name, cron, timezone, duration, starts, monitor_ids, tags
             from maintenance_window where window_id = $1 and tenant = $2",
            &[(&window_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_window(window_id))?;
    let old = Window::of(row)?;
    let window = said.over(Some(old.clone()), now)?;
    let monitor_ids = existing(&*transaction, &tenant, &window.monitor_ids).await?;
    if given_monitors {
        none_is_missing(&window.monitor_ids, &monitor_ids)?;
    }
    let at_other_times = window.when != old.when;
    // Said again is looked at again: so whoever was cut off can go on.
    let look_anew = says_when || given_monitors || given_tags || monitor_ids != old.monitor_ids;
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
        let starts = if at_other_times { Some(when.starts(now)) } else { None };
        transaction
            .execute_typed(
                "update maintenance_window set
                     cron = $3, timezone = $4, duration = $5, starts = coalesce($6, starts),
                     refill_at = case when $6 is null then refill_at else $7 end
                 where window_id = $1 and tenant = $2",
                &[
                    (&window_id, Type::UUID),
                    (&tenant.0, Type::TEXT),
                    (&when.cron().map(domain::Cron::expression), Type::TEXT),
                    (&when.zone(), Type::TEXT),
                    // At most domain::MAX_DURATION, which fits.
                    (&i32::try_from(when.duration()).ok(), Type::INT4),
                    (&starts.as_ref().map(|starts| &starts.instants), Type::TIMESTAMPTZ_ARRAY),
                    (&starts.as_ref().and_then(|starts| starts.refill_at), Type::TIMESTAMPTZ),
                ],
            )
            .await?;
    }
    let mut shown = one_window(&*transaction, &tenant, window_id, now).await?;
    transaction.commit().await?;
    drop(turn);
    if look_anew {
        look_again(client, tenant, now).await;
    }
    shown.warnings.extend(unknown);
    Ok(Data::one(shown))
}

/// Of a body that names no field of a window.
fn nothing_to_change(unknown: &[String]) -> ApiError {
    let mut fields = KNOWN_FIELDS.join(", ");
    if !unknown.is_empty() {
        fields = format!("{fields} ({})", unknown.join(", "));
    }
    ApiError::unprocessable(format!("The body changes nothing: give at least one of {fields}."))
}
