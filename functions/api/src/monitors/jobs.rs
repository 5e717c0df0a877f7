//! The jobs of a monitor.

use axum::extract::State;
use chrono::{DateTime, Utc};
use database::jobs::{JOB_COLUMNS, JOB_OUTPUT, Job};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::requests::{Caller, Ids};

/// How many jobs are shown of one monitor.
const NEWEST: i64 = 100;

pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
) -> ApiResult<Data<Vec<Job>>> {
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    let jobs = newest_jobs(&**client, monitor_id, (app.clock)()).await?;
    // Counted by the index job_newest_first.
    let rows = client
        .query_typed("select count(*) from job where monitor_id = $1", &[(&monitor_id, Type::UUID)])
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(Data::list(jobs, total))
}

pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id, job_id]): Ids<2>,
) -> ApiResult<Data<Job>> {
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    let statement =
        format!("select {JOB_COLUMNS} from job j {JOB_OUTPUT} where j.job_id = $1 and j.monitor_id = $2");
    let rows = client.query_typed(&statement, &[(&job_id, Type::UUID), (&monitor_id, Type::UUID)]).await?;
    let job = match rows.first() {
        Some(row) => Job::of(row, (app.clock)())?,
        None => None,
    };
    job.map(Data::one).ok_or_else(|| ApiError::no_job(job_id, monitor_id))
}

/// Bound to the tenant by who calls it. Relies on the index `job_newest_first`.
pub(super) async fn newest_jobs(
    client: &impl GenericClient,
    monitor_id: Uuid,
    now: DateTime<Utc>,
) -> ApiResult<Vec<Job>> {
    let statement = format!(
        "select {JOB_COLUMNS} from job j {JOB_OUTPUT} where j.monitor_id = $1
         order by j.start_time desc, j.job_id desc limit $2"
    );
    let rows = client.query_typed(&statement, &[(&monitor_id, Type::UUID), (&NEWEST, Type::INT8)]).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in &rows {
        jobs.extend(Job::of(row, now)?);
    }
    Ok(jobs)
}

pub(crate) async fn monitor_exists(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_id: Uuid,
) -> ApiResult<()> {
    let rows = client
        .query_typed(
            "select from monitor where monitor_id = $1 and tenant = $2",
            &[(&monitor_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    if rows.is_empty() { Err(ApiError::no_monitor(monitor_id)) } else { Ok(()) }
}
