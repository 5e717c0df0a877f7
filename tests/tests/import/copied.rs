//! What is copied, and how the API shows it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use cronmon_tests::databases::new_database;
use cronmon_tests::original::{End, Original};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

async fn imported(original: &Original) -> (CronMon, String) {
    let url = new_database().await;
    let said = original.import_into(&url).await;
    let cronmon = CronMon::start_on(&url, None).await;
    cronmon.set_clock(cronmon_tests::original::now());
    (cronmon, said)
}

async fn read(cronmon: &CronMon, monitor: Uuid) -> Value {
    cronmon.read(&json!({ "monitor_id": monitor })).await
}

/// As the original API writes times: UTC, without a zone.
fn written(at: DateTime<Utc>) -> String {
    serde_json::to_value(at.naive_utc()).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_monitor_keeps_its_id_and_times_to_the_microsecond() {
    let original = Original::start().await;
    let backup = original.monitor("acme", "Nightly Backup").await;
    let start = TimeDelta::microseconds(7_200_000_001);
    let older = original.job(backup, start, End::Succeeded(MINUTE * 3), None).await;
    let newer = original.job(backup, MINUTE * 90, End::Succeeded(MINUTE * 50), Some("17 tables\nfine")).await;
    let running = original.job(backup, MINUTE * 5, End::Running, None).await;
    let (cronmon, _) = imported(&original).await;

    let shown = read(&cronmon, backup).await;
    assert_eq!(shown["name"], "Nightly Backup");
    assert_eq!(shown["slug"], "nightly-backup");
    assert_eq!(
        (&shown["expected_duration"], &shown["grace_duration"], &shown["schedule"], &shown["alert_on"]),
        (&json!(1800), &json!(600), &Value::Null, &json!("every"))
    );
    assert_eq!(
        shown["created_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(),
        original.now - TimeDelta::days(200)
    );
    assert_eq!(
        (&shown["status"], &shown["running"], &shown["armed"]),
        (&json!("up"), &json!(true), &json!(true))
    );
    let ids: Vec<&str> =
        shown["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [running.to_string(), newer.to_string(), older.to_string()]);
    assert_eq!(shown["last_started_job"]["job_id"], json!(running));
    assert_eq!(shown["last_finished_job"]["job_id"], json!(newer));
    let job = &shown["jobs"][2];
    assert_eq!(job["start_time"], json!(written(original.now - start)));
    assert_eq!(job["end_time"], json!(written(original.now - start + MINUTE * 3)));
    assert_eq!(
        (&job["duration"], &job["succeeded"], &job["late"]),
        (&json!(180), &json!(true), &json!(false))
    );
    assert_eq!(job["rid"], json!(older));
    let job = &shown["jobs"][1];
    assert_eq!((&job["output"], &job["late"]), (&json!("17 tables\nfine"), &json!(true)));
    let job = &shown["jobs"][0];
    assert_eq!(
        (&job["in_progress"], &job["end_time"], &job["late"]),
        (&json!(true), &Value::Null, &json!(false))
    );
    assert_eq!(
        shown["due_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(),
        original.now + MINUTE * 35
    );
}

#[tokio::test]
async fn starts_and_ends_are_its_history_and_can_be_explained() {
    let original = Original::start().await;
    let backup = original.monitor("acme", "backup").await;
    let good = original.job(backup, MINUTE * 90, End::Succeeded(MINUTE * 2), None).await;
    let bad = original.job(backup, MINUTE * 60, End::Failed(MINUTE), Some("disk full")).await;
    let (cronmon, _) = imported(&original).await;

    let path = format!("/monitors/{backup}/pings");
    let pings = cronmon.call(Method::GET, &path, None).await.body["data"].clone();
    let told: Vec<(&str, &str)> = pings
        .as_array()
        .unwrap()
        .iter()
        .map(|ping| (ping["kind"].as_str().unwrap(), ping["job_id"].as_str().unwrap()))
        .collect();
    let (good, bad) = (good.to_string(), bad.to_string());
    assert_eq!(told, [("fail", &*bad), ("start", &*bad), ("success", &*good), ("start", &*good)]);
    assert_eq!(pings[1]["signal_id"], json!(bad));
    let answer = cronmon.call(Method::GET, &format!("/monitors/{backup}/explain"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer =
        cronmon.call(Method::GET, &format!("/monitors/{backup}/simulate?grace_duration=0"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn the_status_is_what_the_rules_make_of_all_jobs() {
    let original = Original::start().await;
    let mut expected = BTreeMap::new();
    let day = TimeDelta::days(1);
    for (name, jobs, status) in [
        ("never run", &[][..], "new"),
        ("runs for the first time", &[(MINUTE * 5, End::Running)], "new"),
        ("succeeded", &[(day, End::Failed(MINUTE)), (MINUTE * 50, End::Succeeded(MINUTE))], "up"),
        ("failed", &[(day, End::Succeeded(MINUTE)), (MINUTE * 50, End::Failed(MINUTE))], "failed"),
        // The one that started first ended last.
        (
            "overlap",
            &[(MINUTE * 30, End::Failed(MINUTE * 20)), (MINUTE * 20, End::Succeeded(MINUTE))],
            "failed",
        ),
        ("late and then good", &[(day, End::Succeeded(MINUTE * 100))], "up"),
        ("hangs", &[(day, End::Succeeded(MINUTE)), (MINUTE * 60, End::Running)], "late"),
        ("hangs first", &[(MINUTE * 60, End::Running)], "late"),
        ("hangs and goes on", &[(day, End::Running), (MINUTE * 60, End::Succeeded(MINUTE))], "up"),
        ("hangs and failed", &[(day, End::Running), (MINUTE * 60, End::Failed(MINUTE))], "failed"),
        ("without a result", &[(day, End::Succeeded(MINUTE)), (MINUTE * 60, End::Nothing(MINUTE))], "up"),
        ("long ago", &[(day * 150, End::Failed(MINUTE))], "failed"),
    ] {
        let id = original.monitor("acme", name).await;
        for (before, end) in jobs {
            original.job(id, *before, *end, None).await;
        }
        expected.insert(name, status);
    }
    let (cronmon, _) = imported(&original).await;

    let all = cronmon.call(Method::GET, "/monitors", None).await.body["data"].clone();
    let shown: BTreeMap<&str, &str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|monitor| (monitor["name"].as_str().unwrap(), monitor["status"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 0);
    let abandoned = "select count(*) from job where end_time is not null and succeeded is null";
    assert_eq!(count(&cronmon.pool, abandoned).await, 1);
}

#[tokio::test]
async fn what_the_original_let_pass_is_put_right_and_said() {
    let original = Original::start().await;
    let negative = original.monitor_with("acme", "negative", -5, -1).await;
    let endless = original.monitor_with("acme", "endless", i32::MAX, i32::MAX).await;
    let long = original.monitor("acme", &"ä".repeat(5_000)).await;
    let empty = original.monitor("acme", "").await;
    let twin = original.monitor("acme", "").await;
    original.monitor("", "nobody's").await;
    // The sum of the durations did not fit: the deadline lies before the start.
    let overflowed = original.now - TimeDelta::days(365 * 68);
    original.job_until(endless, MINUTE * 5, overflowed, End::Running, None).await;
    let (cronmon, said) = imported(&original).await;

    let shown = read(&cronmon, negative).await;
    assert_eq!((&shown["expected_duration"], &shown["grace_duration"]), (&json!(0), &json!(0)));
    let shown = read(&cronmon, endless).await;
    assert_eq!(shown["expected_duration"], json!(31_622_400));
    assert_eq!((&shown["status"], &shown["running"]), (&json!("late"), &json!(true)));
    assert_eq!(read(&cronmon, long).await["name"].as_str().unwrap().chars().count(), 4_096);
    let slugs = [read(&cronmon, empty).await["slug"].clone(), read(&cronmon, twin).await["slug"].clone()];
    assert_eq!(slugs, [json!("monitor"), json!("monitor-2")]);
    assert!(said.contains("2 monitors: a duration below 0 or above 31,622,400 s"), "{said}");
    assert!(said.contains("1 monitors: a name of more than 4,096 characters was cut"), "{said}");
    assert!(said.contains("1 monitors: they belong to nobody: the tenant is empty"), "{said}");
    let line = said.lines().find(|line| line.starts_with("monitors")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["monitors", "6", "5", "0", "1"]);
}

#[tokio::test]
async fn of_more_than_a_thousand_open_runs_the_oldest_are_abandoned() {
    let original = Original::start().await;
    let id = original.monitor("acme", "never ends").await;
    let statement = format!(
        "insert into job (job_id, monitor_id, start_time, max_end_time)
         select gen_random_uuid(), '{id}', at, at + interval '40 minutes'
         from generate_series(1, 1200) n, lateral (select '{}'::timestamp - n * interval '1 minute' as at) t",
        original.now.naive_utc()
    );
    original.sql(&statement).await;
    let (cronmon, _) = imported(&original).await;

    let shown = read(&cronmon, id).await;
    assert_eq!((&shown["status"], &shown["running"]), (&json!("late"), &json!(true)));
    let open = "select count(*) from job where end_time is null";
    assert_eq!(count(&cronmon.pool, open).await, 1_000);
    assert_eq!(count(&cronmon.pool, "select open_jobs::bigint from monitor").await, 1_000);
    // The oldest one was abandoned when the 1,001st came.
    let after = "select extract(epoch from min(end_time) - min(start_time))::bigint from job";
    assert_eq!(count(&cronmon.pool, after).await, 1_000 * 60);
}

#[tokio::test]
async fn only_what_is_kept_here_is_copied() {
    let original = Original::start().await;
    let old = original.monitor("acme", "old").await;
    original.job(old, TimeDelta::days(91), End::Succeeded(MINUTE), None).await;
    let kept = original.job(old, TimeDelta::days(89), End::Succeeded(MINUTE), None).await;
    let brief = original.monitor("brief", "keeps little").await;
    for n in 1..=10 {
        original.job(brief, TimeDelta::hours(n), End::Succeeded(MINUTE), None).await;
    }
    let url = new_database().await;
    let cronmon = CronMon::start_on(&url, None).await;
    let answer =
        cronmon.call_as("brief", Method::PATCH, "/retention", Some(&json!({ "most_pings": 4 }))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = original.import_into(&url).await;

    cronmon.set_clock(cronmon_tests::original::now());
    let shown = read(&cronmon, old).await;
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(shown["jobs"][0]["job_id"], json!(kept));
    let of_brief = format!("select count(*) from job where monitor_id = '{brief}'");
    assert_eq!(count(&cronmon.pool, &of_brief).await, 4);
    let pings = format!("select count(*) from signal where monitor_id = '{brief}'");
    assert_eq!(count(&cronmon.pool, &pings).await, 4);
    assert!(said.contains("7 jobs: they are older than CronMon keeps them"), "{said}");
    // What is deleted once it is too old has nothing to do.
    let deleted = "select deleted::bigint from prune_history(now(), 100, 10000)";
    assert_eq!(count(&cronmon.pool, deleted).await, 0);
}

#[tokio::test]
async fn keys_go_on_and_alert_configs_hear_what_their_switches_say() {
    let original = Original::start().await;
    let [first, second] = [original.monitor("acme", "first").await, original.monitor("acme", "second").await];
    let ids: [Uuid; 6] = std::array::from_fn(|_| Uuid::new_v4());
    let [key, odd, ops, off, empty, other] = ids;
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"; // of "secret"
    original
        .sql(&format!(
            "insert into api_key (api_key_id, key, tenant, name, masked, created_at, last_used,
                                  last_used_monitor_id, last_used_monitor_name)
             values ('{key}', '{hash}', 'acme', 'web1', 'abcde************vwxyz', '2025-03-01 10:11:12.131415',
                     '2025-03-02 10:11:12.131415', '{first}', 'first, then'),
                    ('{odd}', 'crnmn_plain', 'acme', 'from long ago', 'crnmn', now(), null, null, null);
             insert into alert_config (alert_config_id, name, tenant, type, active, on_late, on_error)
             values ('{ops}', 'ops', 'acme', 'slack', true, true, true),
                    ('{off}', 'quiet', 'acme', 'slack', true, false, true),
                    ('{empty}', 'no channel', 'acme', 'slack', true, true, true),
                    ('{other}', 'pager', 'acme', 'pigeon', true, true, true);
             insert into slack_alert_config (alert_config_id, slack_channel, slack_bot_oauth_token)
             values ('{ops}', '#ops', 'xoxb-1'), ('{off}', '#quiet', 'xoxb-2'), ('{other}', '#x', 'xoxb-3');
             insert into monitor_alert_config (alert_config_id, monitor_id, monitor_name)
             values ('{ops}', '{second}', ''), ('{off}', '{first}', ''), ('{ops}', '{first}', ''),
                    ('{empty}', '{first}', '')"
        ))
        .await;
    let (cronmon, said) = imported(&original).await;

    let client = cronmon.pool.get().await.unwrap();
    let row = client
        .query_one(
            "select api_key_id, encode(key_hash, 'hex'), scope, masked, name, tenant, created_at::text,
                    last_used_at::text, last_used_monitor_id, last_used_monitor_name, expires_at is null
             from api_key",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Uuid>(0), key);
    let texts: Vec<String> = (1..8).map(|n| row.get(n)).collect();
    assert_eq!(
        texts,
        [
            hash,
            "ping",
            "abcde************vwxyz",
            "web1",
            "acme",
            "2025-03-01 10:11:12.131415+00",
            "2025-03-02 10:11:12.131415+00"
        ]
    );
    assert_eq!(
        (row.get::<_, Uuid>(8), row.get::<_, &str>(9), row.get::<_, bool>(10)),
        (first, "first, then", true)
    );
    let rows = client
        .query(
            "select alert_config_id, name, active and on_error and on_recovered and on_warning and not is_default,
                    on_late, slack_channel, slack_token
             from alert_config order by name",
            &[],
        )
        .await
        .unwrap();
    let configs: Vec<(Uuid, &str, bool, bool, &str, &str)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4), r.get(5))).collect();
    assert_eq!(
        configs,
        [(ops, "ops", true, true, "#ops", "xoxb-1"), (off, "quiet", true, false, "#quiet", "xoxb-2")]
    );
    let rows = client
        .query("select monitor_id, alert_config_id from monitor_alert_config order by position", &[])
        .await
        .unwrap();
    let attached: Vec<(Uuid, Uuid)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(attached, [(second, ops), (first, off), (first, ops)]);
    for sentence in [
        "1 API keys: what is kept of them is no SHA-256 in hex",
        "1 alert configs: they have no Slack channel and token",
        "1 alert configs: their type is not known here: pigeon",
        "1 attached alert configs: their alert config was not copied",
        "1 alert configs: have a switch off (active, on_late, on_error)",
    ] {
        assert!(said.contains(sentence), "{sentence}\n{said}");
    }
}
