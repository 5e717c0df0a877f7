//! A tenant decides how much history it keeps. What is too much goes with the next walk of late-check.

use std::ops::RangeInclusive;

use axum::extract::State;
use tokio_postgres::types::Type;

use super::{DEFAULT_HISTORY_DURATION, DEFAULT_MOST_PINGS, Retention};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::{Caller, Fields, Given, wrong};

const MOST_PINGS: RangeInclusive<i32> = 1..=1_000_000;

/// From a day to 366 days.
const HISTORY_DURATION: RangeInclusive<i32> = 86_400..=31_622_400;

pub(crate) async fn change(
    State(app): State<App>,
    Caller(tenant): Caller,
    mut fields: Fields,
) -> ApiResult<Data<Retention>> {
    if !fields.has("most_pings") && !fields.has("history_duration") {
        return Err(wrong("most_pings", &"give it, or history_duration, or both"));
    }
    let most_pings = number(&mut fields, "most_pings", MOST_PINGS, DEFAULT_MOST_PINGS)?;
    let duration = number(&mut fields, "history_duration", HISTORY_DURATION, DEFAULT_HISTORY_DURATION)?;
    let mut warnings = Vec::new();
    fields.warn_of_rest(&["most_pings", "history_duration"], &mut warnings);

    let rows = app
        .pool
        .get()
        .await?
        .query_typed(
            "insert into retention (tenant, most_pings, history_duration)
             values ($1, coalesce($2, $4), coalesce($3, $5))
             on conflict (tenant) do update set
                 most_pings = coalesce($2, retention.most_pings),
                 history_duration = coalesce($3, retention.history_duration)
             returning most_pings, history_duration",
            &[
                (&tenant.0, Type::TEXT),
                (&most_pings, Type::INT4),
                (&duration, Type::INT4),
                (&DEFAULT_MOST_PINGS, Type::INT4),
                (&DEFAULT_HISTORY_DURATION, Type::INT4),
            ],
        )
        .await?;
    let mut retention = Retention::of(rows.first())?;
    retention.warnings = warnings;
    Ok(Data::one(retention))
}

/// `None` keeps it; null is the default.
fn number(
    fields: &mut Fields,
    name: &str,
    allowed: RangeInclusive<i32>,
    default: i32,
) -> ApiResult<Option<i32>> {
    match fields.optional(name)? {
        Given::Absent => Ok(None),
        Given::Null => Ok(Some(default)),
        Given::Value(n) if allowed.contains(&n) => Ok(Some(n)),
        Given::Value(_) => {
            Err(wrong(name, &format!("it must be from {} to {}", allowed.start(), allowed.end())))
        }
    }
}
