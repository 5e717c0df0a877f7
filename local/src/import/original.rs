//! The original's database: whether it is one, and reading it into temporary tables of ours.

use std::pin::pin;

use chrono::{DateTime, SecondsFormat, Utc};
use database::explain;
use deadpool_postgres::Object;
use futures_util::{SinkExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::SESSION;
use super::summary::Progress;

/// What is read of it. The order of its columns does not matter, nor what else it has.
const TABLES: [(&str, &str); 6] = [
    ("monitor", "monitor_id tenant name created_at expected_duration grace_duration"),
    ("job", "job_id monitor_id start_time end_time succeeded max_end_time output"),
    (
        "api_key",
        "api_key_id tenant name key masked created_at last_used last_used_monitor_id last_used_monitor_name",
    ),
    ("alert_config", "alert_config_id tenant name created_at type active on_late on_error"),
    ("slack_alert_config", "alert_config_id slack_channel slack_bot_oauth_token"),
    ("monitor_alert_config", "monitor_id alert_config_id"),
];

/// How many rows it has.
pub(super) struct Counts {
    pub(super) monitors: i64,
    pub(super) jobs: i64,
    /// Of the jobs: with a time that no calendar has.
    pub(super) unreadable_jobs: i64,
    pub(super) keys: i64,
    pub(super) configs: i64,
    pub(super) attached: i64,
}

/// Times from the years that have four digits; others can't be told to clients.
const READABLE: &str = "start_time between '0001-01-01' and '9999-12-31' \
     and max_end_time between '0001-01-01' and '9999-12-31' \
     and (end_time is null or end_time between '0001-01-01' and '9999-12-31')";

/// Begins the one snapshot in which everything is read, and counts.
pub(super) async fn open(source: &Object, now: DateTime<Utc>) -> Result<Counts, String> {
    try_to_open(source, now).await.map_err(|e| format!("the original's database: {}", explain(&e)))?
}

async fn try_to_open(
    source: &Object,
    now: DateTime<Utc>,
) -> Result<Result<Counts, String>, tokio_postgres::Error> {
    source.batch_execute(SESSION).await?;
    source.batch_execute("begin isolation level repeatable read read only").await?;
    if has_column(source, "monitor", "ping_id").await? {
        return Ok(Err("the database to import from is one of this CronMon, not of an original one; \
                       pg_dump and pg_restore move it"
            .to_owned()));
    }
    let mut missing = Vec::new();
    for (table, columns) in TABLES {
        for column in columns.split(' ') {
            if !has_column(source, table, column).await? {
                missing.push(format!("{table}.{column}"));
            }
        }
    }
    if !missing.is_empty() {
        return Ok(Err(format!(
            "the database to import from is not an original CronMon's; nothing was written. It lacks {}",
            missing.join(", ")
        )));
    }
    let now = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    source.execute("select set_config('cronmon_import.now', $1, false)", &[&now]).await?;
    let row = source
        .query_one(
            &format!(
                "select (select count(*) from monitor), count(*), count(*) filter (where not ({READABLE})),
                        (select count(*) from api_key), (select count(*) from alert_config),
                        (select count(*) from monitor_alert_config), (select count(*) from slack_alert_config)
                 from job"
            ),
            &[],
        )
        .await?;
    Ok(Ok(Counts {
        monitors: row.get(0),
        jobs: row.get(1),
        unreadable_jobs: row.get(2),
        keys: row.get(3),
        configs: row.get(4),
        attached: row.get(5),
    }))
}

/// Whether a database is an original's.
pub(super) async fn is_one(client: &Object) -> Result<bool, String> {
    let is_one = async {
        Ok(has_column(client, "monitor", "monitor_id").await?
            && !has_column(client, "monitor", "ping_id").await?)
    };
    is_one.await.map_err(|e: tokio_postgres::Error| explain(&e))
}

async fn has_column(client: &Object, table: &str, column: &str) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "select exists (select from pg_attribute
                            where attrelid = to_regclass($1) and attname = $2 and not attisdropped)",
            &[&table, &column],
        )
        .await?;
    Ok(row.get(0))
}

/// Where it is read into. `began_at`, `cause` and `bad_results` are of the bad facts since the last success.
const STAGE: &str = "
    create temp table original_monitor (
        place bigint generated always as identity, monitor_id uuid primary key, tenant text, name text,
        name_is_cut boolean, created_at timestamptz, expected_duration bigint, grace_duration bigint,
        last_success_at timestamptz, last_run_at timestamptz, last_signal_at timestamptz,
        bad_results bigint, began_at timestamptz, cause text, has_failed boolean
    );
    create temp table original_job (
        monitor_id uuid, job_id uuid, start_time timestamptz, end_time timestamptz, succeeded boolean,
        due_at timestamptz, output text,
        -- Of the signal that ended it; always the same one of a job.
        end_id uuid generated always as (overlay(overlay(
            encode(substring(sha256(uuid_send(job_id) || '\\x656e64'::bytea) from 1 for 16), 'hex')
            placing '8' from 13) placing 'a' from 17)::uuid) stored
    );
    create temp table original_key (
        place bigint generated always as identity, api_key_id uuid, tenant text, name text, key text, masked text,
        created_at timestamptz, last_used_at timestamptz, last_used_monitor_id uuid, last_used_monitor_name text
    );
    create temp table original_config (
        place bigint generated always as identity, alert_config_id uuid, tenant text, name text,
        created_at timestamptz, type text, active boolean, on_late boolean, on_error boolean,
        slack_channel text, slack_token text
    );
    create temp table original_attached (
        place bigint generated always as identity, monitor_id uuid, alert_config_id uuid
    );
    -- What people have to be told: about what, whether it was left, changed or is only to be known, and why.
    create temp table remark (about text, kind text, why text, name text);
    -- The monitors of a batch that are ours now, and what was new of them.
    create temp table ours (
        monitor_id uuid primary key, untouched boolean, paused boolean, most_pings integer, too_old timestamptz
    ) on commit delete rows;
    create temp table arrived (monitor_id uuid, job_id uuid, part text) on commit delete rows;
";

/// Where each monitor stands by all its jobs, as the rules would have it: a success ends what was bad, a failed run
/// or one past its deadline is bad. A run that ended without a result says nothing.
const MONITORS: &str = "
    with run as (
        select monitor_id, start_time, end_time, case when end_time is not null then succeeded end as succeeded,
               max_end_time as due_at
        from job where {readable}
    ), good as (
        select monitor_id, max(end_time) filter (where succeeded) as last_success_at, max(start_time) as last_run_at,
               max(greatest(start_time, end_time)) as last_signal_at
        from run group by monitor_id
    ), bad as (
        select b.monitor_id, count(*) as bad_results, min(b.at) as began_at,
               (array_agg(b.cause order by b.at, b.cause desc))[1] as cause, bool_or(b.cause = 'failed') as has_failed
        from (
            select monitor_id, end_time as at, 'failed' as cause from run where succeeded = false
            union all
            select monitor_id, greatest(due_at, start_time), 'overran' from run
            where (end_time is null or succeeded is not null)
              and coalesce(end_time, current_setting('cronmon_import.now')::timestamptz) > due_at
        ) b join good on good.monitor_id = b.monitor_id
        where last_success_at is null or b.at > last_success_at
        group by b.monitor_id
    )
    select m.monitor_id, tenant, left(name, 4096), char_length(name) > 4096,
           case when created_at between '0001-01-01' and '9999-12-31' then created_at
                else current_setting('cronmon_import.now')::timestamptz end::timestamptz,
           expected_duration, grace_duration, last_success_at::timestamptz, last_run_at::timestamptz,
           last_signal_at::timestamptz, coalesce(bad_results, 0), began_at::timestamptz, cause, has_failed
    from monitor m
    left join good on good.monitor_id = m.monitor_id left join bad on bad.monitor_id = m.monitor_id
    order by created_at, m.monitor_id";

/// What our retention keeps, and what runs. Of more than 1,000 open runs the older ones are abandoned, each when the
/// one came that was too many.
const JOBS: &str = "
    with kept as (
        select * from json_to_recordset(current_setting('cronmon_import.retention')::json)
            as (tenant text, most_pings integer, history_duration integer)
    ), run as (
        select j.monitor_id, job_id, start_time, end_time, succeeded, max_end_time, output, tenant,
               case when end_time is null then lead(start_time, 1000) over (
                   partition by j.monitor_id, end_time is null order by start_time, job_id) end as abandoned_at,
               rank() over (partition by j.monitor_id order by start_time desc) as place
        from job j join monitor m on m.monitor_id = j.monitor_id
        where {readable}
    )
    select monitor_id, job_id, start_time::timestamptz, coalesce(end_time, abandoned_at)::timestamptz,
           case when end_time is not null then succeeded end, max_end_time::timestamptz, output
    from run left join kept on kept.tenant = run.tenant
    where end_time is null and abandoned_at is null
       or place <= coalesce(most_pings, 5000)
          and start_time::timestamptz >= current_setting('cronmon_import.now')::timestamptz
              - make_interval(secs => coalesce(history_duration, 7776000))";

const KEYS: &str = "
    select api_key_id, tenant, left(name, 4096), key, left(masked, 200), created_at::timestamptz,
           last_used::timestamptz, last_used_monitor_id, last_used_monitor_name
    from api_key order by created_at, api_key_id";

const CONFIGS: &str = "
    select c.alert_config_id, tenant, left(name, 4096), c.created_at::timestamptz, type, active, on_late, on_error,
           slack_channel, slack_bot_oauth_token
    from alert_config c left join slack_alert_config s on s.alert_config_id = c.alert_config_id
    order by c.created_at, c.alert_config_id";

/// In the order in which they were attached, as far as it is known.
const ATTACHED: &str = "select monitor_id, alert_config_id from monitor_alert_config order by ctid";

/// Reads all of it, which takes two sorts of its jobs, and lets it go. Rows pass one by one.
pub(super) async fn read(
    source: &Object,
    target: &Object,
    counts: &Counts,
    progress: &mut Progress,
) -> Result<(), String> {
    try_to_read(source, target, counts, progress)
        .await
        .map_err(|e| format!("reading the original's database: {}", explain(&e)))
}

async fn try_to_read(
    source: &Object,
    target: &Object,
    counts: &Counts,
    progress: &mut Progress,
) -> Result<(), tokio_postgres::Error> {
    target.batch_execute(STAGE).await?;
    let kept = target.query("select tenant, most_pings, history_duration from retention", &[]).await?;
    let kept: Vec<Value> = kept
        .iter()
        .map(|row| {
            let (tenant, most, seconds): (&str, i32, i32) = (row.get(0), row.get(1), row.get(2));
            json!({ "tenant": tenant, "most_pings": most, "history_duration": seconds })
        })
        .collect();
    let kept = Value::from(kept).to_string();
    source.execute("select set_config('cronmon_import.retention', $1, false)", &[&kept]).await?;

    let readable = |query: &str| query.replace("{readable}", READABLE);
    for (what, of, query, into) in [
        (
            "monitors",
            counts.monitors,
            readable(MONITORS),
            "original_monitor (monitor_id, tenant, name, name_is_cut, created_at, expected_duration, grace_duration, \
             last_success_at, last_run_at, last_signal_at, bad_results, began_at, cause, has_failed)",
        ),
        (
            "jobs",
            counts.jobs,
            readable(JOBS),
            "original_job (monitor_id, job_id, start_time, end_time, succeeded, due_at, output)",
        ),
        (
            "API keys",
            counts.keys,
            KEYS.to_owned(),
            "original_key (api_key_id, tenant, name, key, masked, created_at, last_used_at, \
             last_used_monitor_id, last_used_monitor_name)",
        ),
        (
            "alert configs",
            counts.configs,
            CONFIGS.to_owned(),
            "original_config (alert_config_id, tenant, name, created_at, type, active, on_late, on_error, \
             slack_channel, slack_token)",
        ),
        (
            "attached alert configs",
            counts.attached,
            ATTACHED.to_owned(),
            "original_attached (monitor_id, alert_config_id)",
        ),
    ] {
        progress.begin(&format!("reading {what}"), of);
        let mut rows = pin!(source.copy_out(&format!("copy ({query}) to stdout")).await?);
        let mut sink = pin!(target.copy_in(&format!("copy {into} from stdin")).await?);
        // Each message is a row.
        while let Some(row) = rows.try_next().await? {
            sink.feed(row).await?;
            progress.add(1);
        }
        sink.finish().await?;
    }
    source.batch_execute("commit").await?;
    target
        .batch_execute(
            "create index on original_job (monitor_id);
             analyze original_monitor; analyze original_job; analyze original_key; analyze original_config;
             analyze original_attached",
        )
        .await
}
