//! The monitors of a tenant.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::HeaderMap;
use database::jobs::{JOB_COLUMNS, JOB_OUTPUT, Job};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::shown::{MONITOR_COLUMNS, ShownMonitor};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::Caller;

const MOST: i64 = 1_000;

/// The one that started last comes first; those that never started come last, the newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
) -> ApiResult<Data<Vec<ShownMonitor>>> {
    let base_url = app.public_url.base(&headers);
    let client = app.pool.get().await?;
    // Relies on the indexes monitor_of_tenant and job_newest_first.
    let monitors = format!(
        "select {MONITOR_COLUMNS}, count(*) over () as total
         from monitor m
         left join lateral (
             select start_time from job where monitor_id = m.monitor_id order by start_time desc limit 1
         ) newest on true
         where m.tenant = $1
         order by newest.start_time desc nulls last, m.created_at desc, m.monitor_id
         limit $2"
    );
    let now = (app.clock)();
    let rows = client
        .query_typed(&monitors, &[(&tenant.0, Type::TEXT), (&MOST, Type::INT8), (&now, Type::TIMESTAMPTZ)])
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let mut shown: Vec<ShownMonitor> =
        rows.iter().map(|row| ShownMonitor::of(row, &base_url)).collect::<ApiResult<_>>()?;

    // Of each the newest job, and the newest that has ended.
    let last_jobs = format!(
        "select m.monitor_id, {JOB_COLUMNS}
         from unnest($1::uuid[]) m (monitor_id)
         cross join lateral (
             (select * from job where monitor_id = m.monitor_id
              order by start_time desc, job_id desc limit 1)
             union
             (select * from job where monitor_id = m.monitor_id and end_time is not null
              order by start_time desc, job_id desc limit 1)
         ) j
         {JOB_OUTPUT}
         order by j.start_time desc, j.job_id desc"
    );
    let ids: Vec<Uuid> = shown.iter().map(|monitor| monitor.monitor_id).collect();
    let rows = client.query_typed(&last_jobs, &[(&ids, Type::UUID_ARRAY)]).await?;
    let mut jobs: HashMap<Uuid, Vec<Job>> = HashMap::new();
    for row in &rows {
        jobs.entry(row.try_get("monitor_id")?).or_default().extend(Job::of(row, now)?);
    }
    for monitor in &mut shown {
        let newest_first = jobs.remove(&monitor.monitor_id).unwrap_or_default();
        monitor.last_started_job = newest_first.first().cloned();
        monitor.last_finished_job = newest_first.into_iter().find(|job| !job.in_progress);
    }
    Ok(Data::list(shown, total))
}
