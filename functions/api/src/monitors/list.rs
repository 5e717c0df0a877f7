//! The monitors of a tenant.

use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use database::jobs::{JOB_OUTPUT, Job, job_columns};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::cursor::MonitorCursor;
use super::shown::{ShownMonitor, monitor_columns};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::page::{self, one_more};
use crate::requests::{Caller, LONGEST_NAME, Query, no_nul, wrong};

/// Monitors of one page.
const MOST: usize = 1_000;

/// Bytes of an output in this list.
const SHOWN_OUTPUT: i32 = 1_000;

/// What a monitor may be found by: its status as it is shown, or that a job of it runs.
const STATUSES: [&str; 6] = ["new", "up", "late", "failed", "paused", "running"];

/// The one that started last comes first; those that never started come last, the newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    query: Query,
) -> ApiResult<Data<Vec<ShownMonitor>>> {
    let wanted = Wanted::read(&query)?;
    let now = (app.clock)();
    let after = wanted.after.as_ref();
    let statement = statement();
    let client = app.pool.get().await?;
    let rows = client
        .query_typed(
            &statement,
            &[
                (&tenant.0, Type::TEXT),
                (&one_more(wanted.limit), Type::INT8),
                (&now, Type::TIMESTAMPTZ),
                (&wanted.name, Type::TEXT),
                (&wanted.statuses, Type::TEXT_ARRAY),
                (&wanted.tags, Type::TEXT_ARRAY),
                (&after.map(|cursor| cursor.as_of), Type::TIMESTAMPTZ),
                (&after.and_then(|cursor| cursor.ran_at), Type::TIMESTAMPTZ),
                (&after.map(|cursor| cursor.created_at), Type::TIMESTAMPTZ),
                (&after.map(|cursor| cursor.monitor_id), Type::UUID),
            ],
        )
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let as_of = after.map_or(now, |cursor| cursor.as_of);
    let found = monitors_of(&rows, &app.public_url.base(&headers), as_of, now)?;
    let (page, last) = page::fill(found, wanted.limit);
    Ok(Data::list(page, total, last.map(MonitorCursor::encode)))
}

/// What `quiet_until` says of one monitor, with the windows of the tenant looked at once.
const QUIET_UNTIL: &str = "greatest( \
     case when m.snooze_ends_at > $3 then m.snooze_ends_at end, \
     (select max(ends_at) from in_force w where m.monitor_id = any (w.monitor_ids) or w.tags && m.tags))";

/// First which monitors are on the page, by the index monitor_of_tenant; only of these what is dear to find, and of each
/// the newest job and, while that one runs, the newest that has ended, by the index `job_newest_first`. There is a row
/// for each of these jobs, and one for a monitor without any; without monitors there is one for the total.
///
/// Within one statement a row keeps its place in the table, so that it is found again without an index.
///
/// Who ran since the first page is where it stood then: by its newest job of that time.
fn statement() -> String {
    format!(
        "with matching as (
             select m.ctid as place, m.monitor_id, m.created_at, coalesce(
                 case when m.last_run_at > $7 then (
                     select max(start_time) from job where monitor_id = m.monitor_id and start_time <= $7)
                 else m.last_run_at end, '-infinity') as ran_at
             from monitor m
             where m.tenant = $1
               and ($4::text is null or position(folded($4) in folded(m.name)) > 0)
               and ($5::text[] is null
                    or case when m.paused_at is null then m.status else 'paused' end = any ($5)
                    or m.open_jobs > 0 and 'running' = any ($5))
               and ($6::text[] is null or m.tags @> $6)
         ), page as (
             select * from matching
             where $10::uuid is null
                or (ran_at, created_at) < (coalesce($8, '-infinity'), $9)
                or (ran_at, created_at) = (coalesce($8, '-infinity'), $9) and monitor_id > $10
             order by ran_at desc, created_at desc, monitor_id limit $2
         ), in_force as materialized (
             select monitor_ids, tags, ends_at
             from maintenance_window w
             cross join lateral (
                 select starts[width_bucket($3, starts)] + make_interval(secs => duration) as ends_at) last
             where tenant = $1 and ends_at > $3
         )
         select total, {}, nullif(page.ran_at, '-infinity') as ran_at, {}
         from (select count(*) as total from matching) counted
         left join (page join monitor m on m.ctid = page.place) on true
         left join lateral (
             with newest as (
                 select * from job where monitor_id = m.monitor_id order by start_time desc, job_id desc limit 1
             )
             select * from newest
             union all
             (select * from job
              where monitor_id = m.monitor_id and end_time is not null and (select end_time is null from newest)
              order by start_time desc, job_id desc limit 1)
         ) j on true
         {JOB_OUTPUT}
         order by page.ran_at desc, page.created_at desc, page.monitor_id, j.start_time desc, j.job_id desc",
        monitor_columns(QUIET_UNTIL),
        job_columns(SHOWN_OUTPUT)
    )
}

/// The rows of one monitor follow each other, its newest job first.
fn monitors_of(
    rows: &[Row],
    base_url: &str,
    as_of: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ApiResult<Vec<(MonitorCursor, ShownMonitor)>> {
    let mut found: Vec<(MonitorCursor, ShownMonitor)> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(monitor_id) = row.try_get("monitor_id")? else { continue };
        let job = Job::of(row, now)?;
        let ended = job.clone().filter(|job| !job.in_progress);
        if let Some((_, before)) = found.last_mut().filter(|(cursor, _)| cursor.monitor_id == monitor_id) {
            before.last_finished_job = ended;
            continue;
        }
        let (ran_at, created_at) = (row.try_get("ran_at")?, row.try_get("created_at")?);
        let mut monitor = ShownMonitor::of(row, base_url)?;
        monitor.last_finished_job = ended;
        monitor.last_started_job = job;
        found.push((MonitorCursor { as_of, ran_at, created_at, monitor_id }, monitor));
    }
    Ok(found)
}

/// What the query asks for.
struct Wanted {
    name: Option<String>,
    statuses: Option<Vec<&'static str>>,
    tags: Option<Vec<String>>,
    limit: usize,
    after: Option<MonitorCursor>,
}

impl Wanted {
    fn read(query: &Query) -> ApiResult<Self> {
        let name = query.one("name")?;
        if name.is_some_and(|name| name.chars().count() > LONGEST_NAME) {
            return Err(wrong("name", &format!("it is longer than {LONGEST_NAME} characters")));
        }
        no_nul("name", name.unwrap_or_default())?;
        let statuses: Vec<&str> = query
            .all("status")
            .flat_map(|value| value.split(','))
            .map(|given| {
                STATUSES
                    .into_iter()
                    .find(|status| *status == given)
                    .ok_or_else(|| wrong("status", &"it is one of new, up, late, failed, paused and running"))
            })
            .collect::<ApiResult<_>>()?;
        let tags = domain::tags::check(query.all("tag").map(ToOwned::to_owned).collect());
        let tags = tags.map_err(|why| wrong("tag", &why))?;
        Ok(Self {
            name: name.map(ToOwned::to_owned),
            statuses: Some(statuses).filter(|statuses| !statuses.is_empty()),
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            limit: query.limit(MOST)?,
            after: query.cursor(MonitorCursor::parse)?,
        })
    }
}
