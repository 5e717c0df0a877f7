//! A message that shows its owner whether an alert config leads anywhere. It is sent at once and kept nowhere, and an
//! alert config that is switched off can be tried too.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use database::DatabaseError;
use destinations::{Answer, DESTINATION_COLUMNS, Destination, Message, Test, Verdict};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::requests::{Caller, CallerName, Ids};
use crate::turns::to_send_a_test;

/// Tests of a tenant on their way at once.
const AT_ONCE: i64 = 2;

/// Seconds after which one is over, whatever became of who sent it.
const LONGEST_TEST: f64 = 20.0;

/// Seconds after which another try is worth it.
const RETRY_AFTER: i32 = 5;

pub(crate) async fn send_test(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([alert_config_id]): Ids<1>,
    CallerName(caller): CallerName,
) -> ApiResult<StatusCode> {
    let now = (app.clock)();
    // No connection is held while it waits and sends.
    let (name, destination) = where_to(&app, &tenant, alert_config_id).await?;
    begin(&app, &tenant, alert_config_id, now).await?;
    let message = Message::Test(Test { at: now, alert_config_id, name, caller });
    let answer = match to_send_a_test().await {
        Ok(_turn) => Ok(app.senders.send(&destination, Uuid::new_v4(), &message).await),
        Err(busy) => Err(busy),
    };
    if let Err(e) = end(&app, &tenant, alert_config_id).await {
        // It counts until its time is over.
        tracing::error!("the end of a test could not be written down: {e}");
    }
    let answer = answer?;
    if answer.verdict == Verdict::Delivered {
        return Ok(StatusCode::NO_CONTENT);
    }
    tracing::info!(%alert_config_id, error = answer.error.as_deref(), "a test was not delivered");
    Err(ApiError::not_delivered(&what_went_wrong(answer)))
}

async fn where_to(app: &App, tenant: &Tenant, alert_config_id: Uuid) -> ApiResult<(String, Destination)> {
    let statement = format!(
        "select c.name, {DESTINATION_COLUMNS} from alert_config c where c.alert_config_id = $1 and c.tenant = $2"
    );
    let rows = app
        .pool
        .get()
        .await?
        .query_typed(&statement, &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)])
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_alert_configs(&[alert_config_id]))?;
    Ok((row.try_get("name")?, Destination::of(row)?))
}

/// A destination that never answers takes one of the few requests that management has at once, so few tests of a tenant
/// may be on their way. Two that begin at once may pass the limit by one.
async fn begin(app: &App, tenant: &Tenant, alert_config_id: Uuid, now: DateTime<Utc>) -> ApiResult<()> {
    // Relies on the primary key and the index alert_config_of_tenant.
    let begun = app
        .pool
        .get()
        .await?
        .execute_typed(
            "update alert_config set testing_since = $3
             where alert_config_id = $1 and tenant = $2
               and (testing_since is null or testing_since <= $3 - make_interval(secs => $4))
               and (select count(*) from alert_config c
                    where c.tenant = $2 and c.testing_since > $3 - make_interval(secs => $4)) < $5",
            &[
                (&alert_config_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&LONGEST_TEST, Type::FLOAT8),
                (&AT_ONCE, Type::INT8),
            ],
        )
        .await?;
    if begun == 0 {
        let why = format!("A test of it, or {AT_ONCE} of others, are on their way; wait for their end.");
        return Err(ApiError::too_often(RETRY_AFTER, why));
    }
    Ok(())
}

/// The next one need not wait any more.
async fn end(app: &App, tenant: &Tenant, alert_config_id: Uuid) -> Result<(), DatabaseError> {
    app.pool
        .get()
        .await?
        .execute_typed(
            "update alert_config set testing_since = null where alert_config_id = $1 and tenant = $2",
            &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    Ok(())
}

/// As `broken` says it, and for Slack with its answer.
fn what_went_wrong(answer: Answer) -> String {
    let error = answer.error.unwrap_or_default();
    match answer.body {
        Some(body) => format!("{error}\nBody: '{body}'"),
        None => error,
    }
}
