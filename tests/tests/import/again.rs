//! An import that is run again: after it was done, after it was killed, after the original went on.

use std::time::Duration;

use chrono::TimeDelta;
use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::original::{End, Original};
use database::Pool;
use serde_json::json;
use uuid::Uuid;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// With as many monitors as that, each with 201 jobs of which one runs, some keys and an alert config.
async fn large(monitors: i32) -> Original {
    let original = Original::start().await;
    let now = original.now.naive_utc();
    original
        .sql(&format!(
            "insert into monitor (monitor_id, tenant, name, expected_duration, grace_duration)
             select md5('monitor' || n)::uuid, 'acme', 'job ' || n % 7, 1800, 600 from generate_series(1, {monitors}) n;
             insert into job (job_id, monitor_id, start_time, end_time, succeeded, max_end_time, output)
             select md5('job' || m || ' ' || n)::uuid, md5('monitor' || m)::uuid, at,
                    case when n > 0 then at + interval '1 minute' end, case when n > 0 then n % 5 <> 1 end,
                    at + interval '40 minutes', case when n % 3 = 0 then repeat('x', n) end
             from generate_series(1, {monitors}) m, generate_series(0, 200) n,
                  lateral (select '{now}'::timestamp - n * interval '1 hour' - interval '5 minutes' as at) t;
             insert into api_key (api_key_id, key, tenant, name, masked)
             select md5('key' || n)::uuid, encode(sha256(('key' || n)::bytea), 'hex'), 'acme', 'key ' || n, 'abcde'
             from generate_series(1, 20) n;
             insert into alert_config (alert_config_id, name, tenant, type, active, on_late, on_error)
             values (md5('config')::uuid, 'ops', 'acme', 'slack', true, true, true);
             insert into slack_alert_config (alert_config_id, slack_channel, slack_bot_oauth_token)
             values (md5('config')::uuid, '#ops', 'xoxb-1');
             insert into monitor_alert_config (alert_config_id, monitor_id, monitor_name)
             select md5('config')::uuid, monitor_id, name from monitor"
        ))
        .await;
    original
}

/// All that an import decides; ids that are made at random, and when things were written, are left out.
async fn decided(pool: &Pool) -> String {
    let client = pool.get().await.unwrap();
    let row = client
        .query_one(
            "select concat_ws(' ',
                 (select count(*) || md5(string_agg(concat_ws('|', monitor_id, tenant, name, slug, created_at,
                      expected_duration, grace_duration, status, armed, announces_starts, bad_results, good_results,
                      open_jobs, incident_began_at, incident_cause, last_signal_at, last_success_at, last_run_at,
                      due_at, revision), '/' order by monitor_id)) from monitor),
                 (select count(*) || md5(string_agg(job::text, '/' order by job_id)) from job),
                 (select count(*) || md5(string_agg(signal::text, '/' order by signal_id)) from signal),
                 (select count(*) || md5(string_agg(api_key::text, '/' order by api_key_id)) from api_key),
                 (select count(*) || md5(string_agg(concat_ws('|', monitor_id, alert_config_id), '/'
                      order by position)) from monitor_alert_config))",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let original = large(30).await;
    let url = new_database().await;
    original.import_into(&url).await;
    let pool = pool(&url, 1);
    let before = contents(&pool).await;
    let said = original.import_into(&url).await;
    assert_eq!(contents(&pool).await, before);
    let columns: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        &["monitors", "30", "0", "30", "0"][..],
        &["jobs", "6,030", "0", "6,030", "0"],
        &["API", "keys", "20", "0", "20", "0"],
        &["alert", "configs", "1", "0", "1", "0"],
        &["attached", "alert", "configs", "30", "0", "30", "0"],
    ] {
        assert!(columns.iter().any(|columns| columns == line), "{line:?}\n{said}");
    }
}

#[tokio::test]
async fn killed_anywhere_and_run_again_it_comes_to_the_same_end() {
    let original = large(150).await;
    let whole = new_database().await;
    original.import_into(&whole).await;
    let expected = decided(&pool(&whole, 1)).await;

    let url = new_database().await;
    let ours = pool(&url, 1);
    let mut seen = Vec::new();
    // While it reads, then after each so many monitors.
    for monitors in [0, 1, 40, 90, 130] {
        let mut import = original.begin_import(&url);
        if monitors == 0 {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        while count(&ours, "select count(*) from monitor").await < monitors {
            assert!(import.try_wait().unwrap().is_none(), "it ended before it could be killed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        import.kill().await.unwrap();
        seen.push(count(&ours, "select count(*) from monitor").await);
        let torn = "select count(*) from monitor m
                    where (select count(*) from job where job.monitor_id = m.monitor_id) <> 201
                       or (select count(*) from signal s where s.monitor_id = m.monitor_id) <> 401";
        assert_eq!(count(&ours, torn).await, 0);
    }
    assert!(seen.iter().any(|monitors| (1..150).contains(monitors)), "{seen:?}");
    original.import_into(&url).await;
    assert_eq!(decided(&ours).await, expected);
}

#[tokio::test]
async fn what_started_and_ended_since_is_copied_by_the_next_run() {
    let original = Original::start().await;
    let monitor = original.monitor("acme", "goes on").await;
    let runs = original.job(monitor, MINUTE * 5, End::Running, None).await;
    let url = new_database().await;
    original.import_into(&url).await;

    let ended = (original.now - MINUTE).naive_utc();
    original
        .sql(&format!(
            "update job set end_time = '{ended}', succeeded = false, output = 'no' where job_id = '{runs}'"
        ))
        .await;
    let newer = original.job(monitor, MINUTE * 3, End::Running, None).await;
    let late_comer = original.monitor("acme", "came later").await;
    let said = original.import_into(&url).await;

    let cronmon = CronMon::start_on(&url, None).await;
    cronmon.set_clock(original.now);
    let shown = cronmon.read(&json!({ "monitor_id": monitor })).await;
    assert_eq!((&shown["status"], &shown["running"]), (&json!("failed"), &json!(true)));
    let jobs: Vec<(&str, &str)> = shown["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["job_id"].as_str().unwrap(), job["output"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(jobs, [(&*newer.to_string(), ""), (&*runs.to_string(), "no")]);
    assert_eq!(cronmon.read(&json!({ "monitor_id": late_comer })).await["status"], "new");
    assert!(said.contains("1 of the jobs there already were running here and have ended."), "{said}");
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 3);
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 0);
}

#[tokio::test]
async fn a_monitor_that_is_at_work_here_keeps_its_status() {
    let original = Original::start().await;
    let id = original.monitor("acme", "moved").await;
    original.job(id, MINUTE * 90, End::Succeeded(MINUTE), None).await;
    let url = new_database().await;
    original.import_into(&url).await;
    let cronmon = CronMon::start_on(&url, None).await;
    cronmon.set_clock(original.now);
    let monitor = cronmon.read(&json!({ "monitor_id": id })).await;
    cronmon.ping(&monitor, "/start").await;

    original.job(id, MINUTE * 3, End::Failed(MINUTE), None).await;
    let runs = original.job(id, MINUTE * 2, End::Running, None).await;
    let hangs = original.job(id, MINUTE * 60, End::Running, None).await;
    original.import_into(&url).await;
    cronmon.tick().await;
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["status"], "up");
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 5);
    assert_eq!(count(&cronmon.pool, "select open_jobs::bigint from monitor").await, 3);
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 0);
    // It is watched all the same.
    cronmon.set_clock(original.now + MINUTE * 39);
    cronmon.tick().await;
    let about = format!("select count(*) from alert where type = 'late' and job_id = '{runs}'");
    assert_eq!(count(&cronmon.pool, &about).await, 1);
    let about = format!("select count(*) from alert where job_id = '{hangs}'");
    assert_eq!(count(&cronmon.pool, &about).await, 0);
}

#[tokio::test]
async fn ids_that_somebody_else_has_here_are_left_to_them() {
    let original = Original::start().await;
    let taken = original.monitor("acme", "taken").await;
    original.job(taken, MINUTE * 90, End::Succeeded(MINUTE), None).await;
    let free = original.monitor("acme", "free").await;
    let job = original.job(free, MINUTE * 80, End::Succeeded(MINUTE), None).await;
    let url = new_database().await;
    let cronmon = CronMon::start_on(&url, None).await;
    let here: Uuid =
        cronmon.create(json!({ "name": "here" })).await["monitor_id"].as_str().unwrap().parse().unwrap();
    let client = cronmon.pool.get().await.unwrap();
    client
        .batch_execute(&format!(
            "insert into monitor (monitor_id, tenant, name, ping_id, created_at, schedule_kind, grace_duration, alert_on)
             values ('{taken}', 'other', 'theirs', gen_random_uuid(), now(), 'none', 0, 'first');
             insert into job (job_id, monitor_id, announced, answered, start_time)
             values ('{job}', '{here}', true, false, now())"
        ))
        .await
        .unwrap();
    let said = original.import_into(&url).await;

    assert_eq!(count(&cronmon.pool, "select count(*) from job").await, 1);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 0);
    let theirs = format!("select count(*) from monitor where monitor_id = '{taken}' and name = 'theirs'");
    assert_eq!(count(&cronmon.pool, &theirs).await, 1);
    for sentence in [
        "1 monitors: their id is another tenant's here",
        "1 jobs: their monitor was not copied",
        "1 jobs: their id is that of another monitor's job here",
    ] {
        assert!(said.contains(sentence), "{sentence}\n{said}");
    }
}
