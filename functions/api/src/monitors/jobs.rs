//! The jobs of a monitor.

use axum::extract::State;
use chrono::{DateTime, Utc};
use database::jobs::{JOB_OUTPUT, Job, SHOWN_OUTPUT, WHOLE_OUTPUT, job_columns};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::auth::Tenant;
use crate::cursor::Cursor;
use crate::page::{self, one_more};
use crate::requests::{Caller, Ids, Query};

/// How many jobs are shown of one monitor at once.
const MOST: usize = 100;

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    query: Query,
) -> ApiResult<Data<Vec<Job>>> {
    let limit = query.limit(MOST)?;
    let after = query.cursor(Cursor::parse)?;
    // Found and counted by the index job_newest_first. A monitor without jobs, or without more of them, is one row
    // without a job.
    let statement = format!(
        "select (select count(*) from job where monitor_id = m.monitor_id) as total, {}
         from monitor m
         left join lateral (
             select * from job
             where monitor_id = m.monitor_id
               and start_time <= coalesce($3, 'infinity')
               and (start_time, job_id) < (coalesce($3, 'infinity'), coalesce($4, job_id))
             order by start_time desc, job_id desc limit $5
         ) j on true
         {JOB_OUTPUT}
         where m.monitor_id = $1 and m.tenant = $2
         order by j.start_time desc, j.job_id desc",
        job_columns(SHOWN_OUTPUT)
    );
    let client = app.pool.get().await?;
    let rows = client
        .query_typed(
            &statement,
            &[
                (&monitor_id, Type::UUID),
                (&tenant.0, Type::TEXT),
                (&after.map(|cursor| cursor.at), Type::TIMESTAMPTZ),
                (&after.map(|cursor| cursor.id), Type::UUID),
                (&one_more(limit), Type::INT8),
            ],
        )
        .await?;
    let total = rows.first().ok_or_else(|| ApiError::no_monitor(monitor_id))?.try_get("total")?;
    let now = (app.clock)();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.extend(Job::of(row, now)?.map(|job| (position(&job), job)));
    }
    let (jobs, last) = page::fill(found, limit);
    Ok(Data::list(jobs, total, last.map(Cursor::encode)))
}

fn position(job: &Job) -> Cursor {
    Cursor { at: job.start_time.and_utc(), id: job.job_id }
}

/// One job with the whole of its output.
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id, job_id]): Ids<2>,
) -> ApiResult<Data<Job>> {
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    let columns = job_columns(WHOLE_OUTPUT);
    let statement =
        format!("select {columns} from job j {JOB_OUTPUT} where j.job_id = $1 and j.monitor_id = $2");
    let rows = client.query_typed(&statement, &[(&job_id, Type::UUID), (&monitor_id, Type::UUID)]).await?;
    let job = match rows.first() {
        Some(row) => Job::of(row, (app.clock)())?,
        None => None,
    };
    job.map(Data::one).ok_or_else(|| ApiError::no_job(job_id, monitor_id))
}

/// As many as fit beside the monitor, in one answer. Bound to the tenant by who calls it. Relies on the index
/// `job_newest_first`.
pub(super) async fn newest_jobs(
    client: &impl GenericClient,
    monitor_id: Uuid,
    now: DateTime<Utc>,
) -> ApiResult<Vec<Job>> {
    let columns = job_columns(SHOWN_OUTPUT);
    let statement = format!(
        "select {columns} from job j {JOB_OUTPUT} where j.monitor_id = $1
         order by j.start_time desc, j.job_id desc limit {MOST}"
    );
    let rows = client.query_typed(&statement, &[(&monitor_id, Type::UUID)]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.extend(Job::of(row, now)?.map(|job| ((), job)));
    }
    Ok(page::fill(found, MOST).0)
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
