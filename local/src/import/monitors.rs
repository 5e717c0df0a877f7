//! Monitors with their jobs and history, and where they stand.
//!
//! A monitor's status comes from the original until something happens to it here: a ping, an edit, a verdict. All of
//! those go up `revision`, which is 0 until then. Of a monitor that is at work here only jobs are copied that are new,
//! and ends of jobs that are still open.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use domain::slug;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Copied;
use super::original::Counts;
use super::summary::Progress;

/// Rows of a batch: jobs and monitors. A monitor's jobs are never split.
const BATCH: i64 = 5_000;

pub(super) async fn copy(
    target: &mut Object,
    counts: &Counts,
    now: DateTime<Utc>,
    copied: &mut Copied,
    progress: &mut Progress,
) -> Result<(), Error> {
    let rows = target
        .query(
            "select monitor_id, (select count(*) from original_job j where j.monitor_id = m.monitor_id) as jobs
             from original_monitor m order by place",
            &[],
        )
        .await?;
    progress.begin("copying monitors with their jobs", counts.monitors);
    let mut batch = Vec::new();
    let mut size = 0;
    for (n, row) in rows.iter().enumerate() {
        batch.push(row.try_get::<_, Uuid>(0)?);
        size += 1 + row.try_get::<_, i64>(1)?;
        if size >= BATCH || n + 1 == rows.len() {
            let transaction = target.transaction().await?;
            copy_batch(&transaction, &batch, now, copied).await?;
            transaction.commit().await?;
            progress.add(batch.len());
            batch.clear();
            size = 0;
        }
    }
    Ok(())
}

async fn copy_batch(
    transaction: &Transaction<'_>,
    batch: &[Uuid],
    now: DateTime<Utc>,
    copied: &mut Copied,
) -> Result<(), Error> {
    copied.monitors += insert_monitors(transaction, batch, now).await?;
    // From here on a ping of one of them waits.
    let on_batch = [
        "insert into ours
         select m.monitor_id, m.revision = 0, m.paused_at is not null, coalesce(r.most_pings, 5000),
                $2::timestamptz - make_interval(secs => coalesce(r.history_duration, 7776000))
         from monitor m
         join original_monitor f on f.monitor_id = m.monitor_id and f.tenant = m.tenant
         left join retention r on r.tenant = m.tenant
         where m.monitor_id = any ($1) order by m.monitor_id for no key update of m",
        NEW_JOBS,
        ENDED_JOBS,
        LEFT_JOBS,
        SIGNALS,
        WHERE_THEY_STAND,
    ];
    for statement in on_batch {
        transaction
            .execute_typed(statement, &[(&batch, Type::UUID_ARRAY), (&now, Type::TIMESTAMPTZ)])
            .await?;
    }
    transaction.batch_execute(AT_WORK_HERE).await?;
    let row = transaction
        .query_one(
            "select count(*) filter (where part = 'job'), count(*) filter (where part = 'end') from arrived",
            &[],
        )
        .await?;
    copied.jobs += row.try_get::<_, i64>(0)?.unsigned_abs();
    copied.ended += row.try_get::<_, i64>(1)?.unsigned_abs();
    Ok(())
}

/// Those that are not there, each with the nicest slug that is free.
async fn insert_monitors(
    transaction: &Transaction<'_>,
    batch: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    transaction
        .execute_typed(
            "insert into remark
             select 'monitors', 'left', case when f.tenant = '' then 'they belong to nobody: the tenant is empty'
                 else 'their id is another tenant''s here' end, f.monitor_id || ' ' || left(f.name, 60)
             from original_monitor f left join monitor m on m.monitor_id = f.monitor_id
             where f.monitor_id = any ($1) and (f.tenant = '' or m.tenant <> f.tenant)",
            &[(&batch, Type::UUID_ARRAY)],
        )
        .await?;
    let mut inserted = 0;
    // A slug that looks free may be taken by a creation of the same moment; that is seen in the next turn.
    for _ in 0..10 {
        let rows = transaction
            .query_typed(
                "select monitor_id, tenant, name from original_monitor f
                 where monitor_id = any ($1) and tenant <> ''
                   and not exists (select from monitor m where m.monitor_id = f.monitor_id)
                 order by place",
                &[(&batch, Type::UUID_ARRAY)],
            )
            .await?;
        if rows.is_empty() {
            break;
        }
        let (mut ids, mut tenants, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let (id, tenant, name): (Uuid, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            for slug in slug::candidates(name, id) {
                ids.push(id);
                tenants.push(tenant);
                wanted.push(slug);
            }
        }
        let taken = transaction
            .query_typed(
                "select m.tenant, m.slug from monitor m
                 join (select distinct * from unnest($1, $2) w (tenant, slug)) w
                   on w.tenant = m.tenant and w.slug = m.slug",
                &[(&tenants, Type::TEXT_ARRAY), (&wanted, Type::TEXT_ARRAY)],
            )
            .await?;
        let mut taken: HashSet<(String, String)> =
            taken.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
        let (mut chosen_ids, mut chosen): (Vec<Uuid>, Vec<&str>) = (Vec::new(), Vec::new());
        for ((id, tenant), slug) in ids.iter().zip(&tenants).zip(&wanted) {
            if chosen_ids.last() != Some(id) && taken.insert(((*tenant).to_owned(), slug.clone())) {
                chosen_ids.push(*id);
                chosen.push(slug);
            }
        }
        inserted += transaction
            .execute_typed(
                INSERT_MONITORS,
                &[(&chosen_ids, Type::UUID_ARRAY), (&chosen, Type::TEXT_ARRAY), (&now, Type::TIMESTAMPTZ)],
            )
            .await?;
    }
    Ok(inserted)
}

const INSERT_MONITORS: &str = "
    with chosen as (
        select f.*, c.slug from unnest($1, $2) c (monitor_id, slug) join original_monitor f using (monitor_id)
    ), made as (
        insert into monitor (
            monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, expected_duration, grace_duration,
            alert_on, resume_on_ping
        )
        select monitor_id, tenant, name, slug, gen_random_uuid(), coalesce(created_at, $3), 'none',
               least(greatest(expected_duration, 0), 31622400), least(greatest(grace_duration, 0), 31622400),
               'every', false
        from chosen order by place
        on conflict do nothing
        returning monitor_id
    ), told as (
        insert into remark
        select 'monitors', 'changed', why, monitor_id || ' ' || left(name, 60)
        from chosen join made using (monitor_id), lateral (values
            ('a duration below 0 or above 31,622,400 s (366 days) became that bound',
             least(expected_duration, grace_duration) < 0 or greatest(expected_duration, grace_duration) > 31622400),
            ('a name of more than 4,096 characters was cut', name_is_cut)
        ) reason (why, applies)
        where applies
    )
    insert into arrived select monitor_id, null, 'monitor' from made";

/// What was overdue before counts as told.
const NEW_JOBS: &str = "
    with made as (
        insert into job (
            job_id, monitor_id, rid, announced, answered, start_time, end_time, succeeded, due_at, overran_at, ended_by
        )
        select job_id, j.monitor_id, job_id, true, false, start_time, end_time, succeeded, due_at,
               case when coalesce(end_time, $2) > due_at then due_at end,
               case when end_time is not null and (succeeded is not null or output is not null) then end_id end
        from original_job j join ours o using (monitor_id)
        where monitor_id = any ($1) and not (o.paused and end_time is null)
        order by j.monitor_id, start_time, job_id
        on conflict (job_id) do nothing
        returning job_id, monitor_id
    )
    insert into arrived select monitor_id, job_id, 'job' from made";

const ENDED_JOBS: &str = "
    with ended as (
        update job t set
            end_time = j.end_time, succeeded = j.succeeded,
            overran_at = coalesce(t.overran_at, case when j.end_time > t.due_at then t.due_at end),
            ended_by = case when j.succeeded is not null or j.output is not null then j.end_id end
        from original_job j join ours o using (monitor_id)
        where j.monitor_id = any ($1) and t.job_id = j.job_id and t.monitor_id = j.monitor_id
          and t.end_time is null and j.end_time is not null
        returning t.monitor_id, t.job_id
    )
    insert into arrived select monitor_id, job_id, 'end' from ended";

const LEFT_JOBS: &str = "
    insert into remark
    select 'jobs', 'left', case
            when o.monitor_id is null then 'their monitor was not copied'
            when t.job_id is not null then 'their id is that of another monitor''s job here'
            else 'they run, and their monitor is paused here' end,
        j.job_id::text
    from original_job j left join job t on t.job_id = j.job_id left join ours o on o.monitor_id = j.monitor_id
    where j.monitor_id = any ($1) and (o.monitor_id is null or t.monitor_id is distinct from j.monitor_id)";

/// Of the history what our retention keeps.
const SIGNALS: &str = "
    with event as (
        select e.*, rank() over (partition by monitor_id order by received_at desc) as place from (
            select monitor_id, job_id, job_id as signal_id, start_time as received_at, 'start' as kind
            from original_job where monitor_id = any ($1)
            union all
            select monitor_id, job_id, end_id, end_time,
                   case succeeded when true then 'success' when false then 'fail' else 'log' end
            from original_job
            where monitor_id = any ($1) and end_time is not null and (succeeded is not null or output is not null)
        ) e
    )
    insert into signal (monitor_id, signal_id, received_at, kind, rid, job_id, body)
    select monitor_id, signal_id, received_at, kind, job_id, job_id,
           case when kind <> 'start' then convert_to(output, 'UTF8') end
    from event e join ours o using (monitor_id) join arrived a using (monitor_id, job_id)
    join original_job j using (monitor_id, job_id)
    where e.place <= o.most_pings and received_at >= o.too_old and (a.part = 'job' or kind <> 'start')
    order by monitor_id, received_at
    on conflict do nothing";

/// Monitors of which something is new, and to which nothing has happened here.
const WHERE_THEY_STAND: &str = "
    update monitor m set
        armed = f.last_signal_at is not null,
        announces_starts = f.last_run_at is not null,
        status = case when f.has_failed then 'failed' when f.bad_results > 0 then 'late'
                      when f.last_success_at is not null then 'up' else 'new' end,
        bad_results = f.bad_results,
        good_results = case when f.bad_results = 0 and f.last_success_at is not null then 1 else 0 end,
        incident_id = case when f.bad_results = 0 then null
                           when m.incident_began_at = f.began_at then m.incident_id else gen_random_uuid() end,
        incident_began_at = f.began_at,
        incident_cause = f.cause,
        -- A clock that was ahead must not hold up what comes.
        last_signal_at = least(f.last_signal_at, $2),
        last_success_at = least(f.last_success_at, $2),
        last_run_at = least(f.last_run_at, $2),
        open_jobs = (select count(*) from job where job.monitor_id = m.monitor_id and end_time is null),
        due_at = (select min(job.due_at) from job
                  where job.monitor_id = m.monitor_id and end_time is null and overran_at is null)
    from original_monitor f join ours o using (monitor_id)
    where m.monitor_id = f.monitor_id and m.monitor_id = any ($1) and o.untouched
      and exists (select from arrived a where a.monitor_id = m.monitor_id)";

/// The others keep their status; what is open and when they are due may be new.
const AT_WORK_HERE: &str = "
    do $$
    declare
        m monitor;
    begin
        for m in
            select monitor.* from monitor join ours o using (monitor_id)
            where not o.untouched and exists (select from arrived a where a.monitor_id = monitor.monitor_id)
            order by monitor_id
        loop
            m.open_jobs := (select count(*) from job where job.monitor_id = m.monitor_id and end_time is null);
            call save_state(m);
        end loop;
    end
    $$";
