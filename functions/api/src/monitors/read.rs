//! One monitor with its newest jobs.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use database::jobs::Job;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::jobs::newest_jobs;
use super::shown::{ShownMonitor, monitor_columns};
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Ids};

pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    headers: HeaderMap,
) -> ApiResult<Data<ShownMonitor>> {
    let client = app.pool.get().await?;
    let base_url = app.public_url.base(&headers);
    one_monitor(&**client, &tenant, monitor_id, &base_url, (app.clock)()).await.map(Data::one)
}

/// The monitor as it is shown after every use case that is about one.
pub(super) async fn one_monitor(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
    base_url: &str,
    now: DateTime<Utc>,
) -> ApiResult<ShownMonitor> {
    let columns = monitor_columns("quiet_until(m, $3)");
    let statement = format!("select {columns} from monitor m where m.monitor_id = $1 and m.tenant = $2");
    let rows = client
        .query_typed(
            &statement,
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_monitor(monitor_id))?;
    let mut monitor = ShownMonitor::of(row, base_url)?;
    let jobs = newest_jobs(client, monitor_id, now).await?;
    monitor.last_started_job = jobs.first().cloned();
    monitor.last_finished_job = jobs.iter().find(|job: &&Job| !job.in_progress).cloned();
    monitor.jobs = Some(jobs);
    Ok(monitor)
}
