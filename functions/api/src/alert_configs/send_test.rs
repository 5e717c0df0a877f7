//! A message that shows its owner whether an alert config leads anywhere. It is sent at once and kept nowhere, and an
//! alert config that is switched off can be tried too.

use axum::extract::State;
use axum::http::StatusCode;
use destinations::{Answer, DESTINATION_COLUMNS, Destination, Message, Test, Verdict};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::requests::{Caller, CallerName, Ids};
use crate::turns::to_send_a_test;

pub(crate) async fn send_test(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([alert_config_id]): Ids<1>,
    CallerName(caller): CallerName,
) -> ApiResult<StatusCode> {
    // No connection is held while it waits and sends.
    let (name, destination) = where_to(&app, &tenant, alert_config_id).await?;
    let _turn = to_send_a_test().await?;
    let message = Message::Test(Test { at: (app.clock)(), alert_config_id, name, caller });
    let answer = app.senders.send(&destination, Uuid::new_v4(), &message).await;
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

/// As `broken` says it, and for Slack with its answer.
fn what_went_wrong(answer: Answer) -> String {
    let error = answer.error.unwrap_or_default();
    match answer.body {
        Some(body) => format!("{error}\nBody: '{body}'"),
        None => error,
    }
}
