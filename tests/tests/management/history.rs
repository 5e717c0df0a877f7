//! The history of a monitor, page by page.

use std::collections::BTreeSet;

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{at, path};

const RID: &str = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

async fn monitor(cronmon: &CronMon) -> Value {
    cronmon.create(json!({ "name": "a", "schedule": null })).await
}

async fn page(cronmon: &CronMon, monitor: &Value, query: &str) -> Value {
    let answer = cronmon.call(Method::GET, &format!("{}/pings?{query}", path(monitor)), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

/// What every ping of a page has in a field.
fn each<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    page["data"].as_array().unwrap().iter().map(|ping| ping[field].as_str().unwrap()).collect()
}

/// The ids of all pages, in their order; how many pages there were.
async fn walk(cronmon: &CronMon, monitor: &Value, query: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    let mut cursor = String::new();
    loop {
        let page = page(cronmon, monitor, &format!("{query}{cursor}")).await;
        ids.extend(each(&page, "signal_id").into_iter().map(str::to_owned));
        pages += 1;
        match &page["paging"]["next_cursor"] {
            Value::Null => return (ids, pages),
            next => cursor = format!("&cursor={}", next.as_str().unwrap()),
        }
    }
}

async fn execute(cronmon: &CronMon, statement: &str, monitor: &Value) {
    let id: Uuid = monitor["monitor_id"].as_str().unwrap().parse().unwrap();
    cronmon.pool.get().await.unwrap().execute(statement, &[&id]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_shown_as_it_came_with_the_run_that_it_ended() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    let post = async |rest: &str, body: &'static [u8]| {
        let url = format!("{}{rest}", monitor["ping_url"].as_str().unwrap());
        let request = cronmon.http.post(url).header("user-agent", "curl/8").body(body);
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    cronmon.set_clock(at("2026-11-22T12:00:00.123456Z"));
    post(&format!("/start?rid={RID}"), b"").await;
    cronmon.set_clock(at("2026-11-22T12:01:05Z"));
    post("/log", b"half way \xff").await;
    cronmon.set_clock(at("2026-11-22T12:02:00Z"));
    post(&format!("/7?rid={RID}"), b"disk full").await;
    cronmon.set_clock(at("2026-11-22T12:03:00Z"));
    post("", b"").await;

    let shown = page(&cronmon, &monitor, "").await;
    let ids = each(&shown, "signal_id");
    let start_id = ids[3];
    let jobs = cronmon.read(&monitor).await["jobs"].clone();
    assert_eq!((&jobs[0]["job_id"], &jobs[1]["job_id"]), (&json!(ids[0]), &json!(start_id)));
    let ping = |fields: Value| {
        let mut ping = json!({
            "rid": null, "exit_status": null, "duration": null, "ends_at": null, "source_address": null,
            "user_agent": "curl/8",
            "body": null, "body_bytes": 0, "body_truncated": false,
        });
        ping.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        ping
    };
    let all = json!([
        ping(json!({
            "signal_id": ids[0], "received_at": "2026-11-22T12:03:00Z", "kind": "success", "job_id": ids[0],
        })),
        ping(json!({
            "signal_id": ids[1], "received_at": "2026-11-22T12:02:00Z", "kind": "fail", "job_id": start_id,
            "rid": RID, "exit_status": 7, "duration": 119, "body": "disk full", "body_bytes": 9,
        })),
        ping(json!({
            "signal_id": ids[2], "received_at": "2026-11-22T12:01:05Z", "kind": "log", "job_id": null,
            "body": "half way \u{fffd}", "body_bytes": 10,
        })),
        ping(json!({
            "signal_id": start_id, "received_at": "2026-11-22T12:00:00.123456Z", "kind": "start",
            "job_id": start_id, "rid": RID,
        })),
    ]);
    assert_eq!(shown, json!({ "data": all, "paging": { "next_cursor": null } }));
    for ping in all.as_array().unwrap() {
        let one = format!("{}/pings/{}", path(&monitor), ping["signal_id"].as_str().unwrap());
        assert_eq!(cronmon.call(Method::GET, &one, None).await.body, json!({ "data": ping }));
    }
    let ping_id = monitor["ping_url"].as_str().unwrap().rsplit('/').next().unwrap();
    assert!(!shown.to_string().contains(ping_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_run_and_one_that_goes_on_have_no_duration() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    for rest in ["/start", "/start", "", &format!("/start?rid={RID}")] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(10));
        cronmon.ping(&monitor, rest).await;
    }
    let shown = page(&cronmon, &monitor, "").await;
    let durations: Vec<&Value> =
        shown["data"].as_array().unwrap().iter().map(|ping| &ping["duration"]).collect();
    assert_eq!(durations, [&json!(null), &json!(10), &json!(null), &json!(null)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_narrowed_by_kind_run_and_time() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    for (second, rest) in [
        (1, "/start".to_owned()),
        (2, "/log".to_owned()),
        (3, format!("?rid={RID}")),
        (4, "/fail".to_owned()),
        (5, format!("/log?rid={RID}")),
        (6, "/start".to_owned()),
    ] {
        cronmon.set_clock(at("2026-11-22T12:00:00Z") + Duration::seconds(second));
        cronmon.ping(&monitor, &rest).await;
    }
    for (query, seconds) in [
        ("", "654321"),
        ("kind=start", "61"),
        ("kind=start&kind=log", "6521"),
        ("kind=fail,success", "43"),
        ("kind=fail,success&kind=log,fail", "5432"),
        ("kind=start,success,fail,log", "654321"),
        (&format!("rid={RID}"), "53"),
        (&format!("rid={}", RID.to_uppercase()), "53"),
        (&format!("rid={RID}&kind=log"), "5"),
        (&format!("rid={}", Uuid::new_v4()), ""),
        ("since=2026-11-22T12:00:03Z", "6543"),
        ("until=2026-11-22T12:00:03Z", "21"),
        ("since=2026-11-22T12:00:02Z&until=2026-11-22T12:00:05Z", "432"),
        ("since=2026-11-22T14:00:02%2B02:00&until=2026-11-22T12:00:04.5Z&kind=log,fail", "42"),
        ("since=2026-11-22T12:00:03.000001Z&limit=2", "65"),
        ("since=2026-11-22T12:00:05Z&until=2026-11-22T12:00:02Z", ""),
    ] {
        let shown = page(&cronmon, &monitor, query).await;
        let found: String = each(&shown, "received_at")
            .iter()
            .map(|at| at.trim_end_matches('Z').chars().last().unwrap())
            .collect();
        assert_eq!(found, seconds, "{query}");
    }
    // The pages of what is narrowed go on where they ended.
    let (ids, pages) = walk(&cronmon, &monitor, "kind=start,log&limit=1").await;
    assert_eq!((ids.len(), pages), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ping_is_on_one_page_whatever_comes_meanwhile() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    // Many of the same instant: the id decides.
    for i in 0..60 {
        if i % 20 == 0 {
            cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        }
        cronmon.ping(&monitor, "/log").await;
    }
    let (all, pages) = walk(&cronmon, &monitor, "").await;
    assert_eq!((all.len(), pages), (60, 1));
    for limit in [1, 7, 20, 59, 60, 61, 100] {
        let walked = walk(&cronmon, &monitor, &format!("limit={limit}")).await;
        assert_eq!(walked, (all.clone(), 60_usize.div_ceil(limit)), "{limit}");
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 60);

    let first = page(&cronmon, &monitor, "limit=10").await;
    let cursor = first["paging"]["next_cursor"].as_str().unwrap();
    assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{cursor}");
    cronmon.set_clock(cronmon.now() + Duration::seconds(1));
    cronmon.ping(&monitor, "/log").await;
    let second = page(&cronmon, &monitor, &format!("limit=10&cursor={cursor}")).await;
    assert_eq!(each(&second, "signal_id"), all[10..20]);
    // Where the ping is gone that a cursor was made from, its place is not.
    execute(&cronmon, "delete from signal where monitor_id = $1 and kind = 'log'", &monitor).await;
    let gone = page(&cronmon, &monitor, &format!("cursor={cursor}")).await;
    assert_eq!(gone, json!({ "data": [], "paging": { "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_a_position_in_whichever_history_it_is_given_for() {
    let cronmon = CronMon::start().await;
    let (ours, other) = (monitor(&cronmon).await, monitor(&cronmon).await);
    let body = json!({ "name": "a", "schedule": null });
    let theirs = cronmon.call_as("globex", Method::POST, "/monitors", Some(&body)).await.body["data"].clone();
    for monitor in [&theirs, &ours, &other, &theirs] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        cronmon.ping(monitor, "").await;
    }
    let path = format!("{}/pings", path(&theirs));
    let first = cronmon.call_as("globex", Method::GET, &format!("{path}?limit=1"), None).await.body;
    let cursor = first["paging"]["next_cursor"].as_str().unwrap();
    for monitor in [&ours, &other] {
        let shown = page(&cronmon, monitor, &format!("cursor={cursor}")).await;
        assert_eq!(shown["data"].as_array().unwrap().len(), 1);
        assert_eq!(
            shown["data"][0]["received_at"],
            page(&cronmon, monitor, "").await["data"][0]["received_at"]
        );
    }
    let id = first["data"][0]["signal_id"].as_str().unwrap();
    for path in [format!("{path}?cursor={cursor}"), path.clone(), format!("{path}/{id}")] {
        let answer = cronmon.call(Method::GET, &path, None).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]["reason"]),
            (404, &json!("Monitor Not Found"))
        );
    }
    // Nor is it found in a monitor that is not its own.
    let answer = cronmon.call(Method::GET, &format!("{}/pings/{id}", super::path(&ours)), None).await;
    let ours = ours["monitor_id"].as_str().unwrap();
    assert_eq!(
        answer.body,
        json!({ "error": {
            "code": 404, "reason": "Ping Not Found",
            "description": format!("Failed to find ping with id '{id}' in Monitor('{ours}')"),
        } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_cut_in_a_list_and_whole_by_itself() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    for (body, shown) in [
        ("x".repeat(10_000), "x".repeat(10_000)),
        ("x".repeat(10_001), "x".repeat(10_000)),
        // Not cut within a character.
        ("x".to_owned() + &"\u{1f980}".repeat(3_000), "x".to_owned() + &"\u{1f980}".repeat(2_499)),
    ] {
        execute(&cronmon, "delete from signal where monitor_id = $1", &monitor).await;
        let statement = format!(
            "insert into signal (monitor_id, signal_id, received_at, kind, body)
             values ($1, gen_random_uuid(), now(), 'log', convert_to('{body}', 'UTF8'))"
        );
        execute(&cronmon, &statement, &monitor).await;
        let mut ping = page(&cronmon, &monitor, "").await["data"][0].clone();
        assert_eq!(ping["body"], shown);
        assert_eq!(ping["body_bytes"], body.len());
        assert_eq!(ping["body_truncated"], body.len() > 10_000);
        let one = format!("{}/pings/{}", path(&monitor), ping["signal_id"].as_str().unwrap());
        ping["body"] = json!(body);
        ping["body_truncated"] = json!(false);
        assert_eq!(cronmon.call(Method::GET, &one, None).await.body["data"], ping);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_stays_small_enough_for_lambda_however_large_the_bodies_are() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    for (byte, pages) in [("01", 2), ("22", 1), ("78", 1), ("ff", 1)] {
        execute(&cronmon, "delete from signal where monitor_id = $1", &monitor).await;
        let statement = format!(
            "insert into signal (monitor_id, signal_id, received_at, kind, body)
             select $1, gen_random_uuid(), '2026-11-22Z'::timestamptz + make_interval(secs => n), 'log',
                    decode(repeat('{byte}', 10000), 'hex')
             from generate_series(1, 100) n"
        );
        execute(&cronmon, &statement, &monitor).await;
        let first = page(&cronmon, &monitor, "").await.to_string();
        assert!(first.len() < 4_000_100, "{byte}: {}", first.len());
        // As Lambda writes it: text within JSON.
        let in_lambda = Value::String(first).to_string();
        assert!(in_lambda.len() < 6_000_000, "{byte}: {}", in_lambda.len());
        let (ids, walked) = walk(&cronmon, &monitor, "").await;
        assert_eq!((ids.iter().collect::<BTreeSet<_>>().len(), walked), (100, pages), "{byte}");
    }
}

/// Rows of `signal` that were read by indexes, and without.
async fn rows_read(cronmon: &CronMon) -> (i64, i64) {
    // Each connection keeps its counts to itself for a second.
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(cronmon.pool.get().await.unwrap());
    }
    for client in &clients {
        client.batch_execute("select pg_stat_force_next_flush()").await.unwrap();
    }
    let statement = "select sum(i.idx_tup_read)::bigint, min(t.seq_tup_read)
         from pg_stat_user_tables t join pg_stat_user_indexes i using (relid) where t.relname = 'signal'";
    let row = clients[0].query_one(statement, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_deep_in_a_long_history_reads_no_more_than_it_shows() {
    let cronmon = CronMon::start().await;
    let monitor = monitor(&cronmon).await;
    let statement = "insert into signal (monitor_id, signal_id, received_at, kind)
         select $1, gen_random_uuid(), '2026-11-22Z'::timestamptz - make_interval(secs => n), 'log'
         from generate_series(1, 100000) n";
    execute(&cronmon, statement, &monitor).await;
    // As autovacuum does soon.
    cronmon.pool.get().await.unwrap().batch_execute("analyze signal").await.unwrap();
    let until = (at("2026-11-22T00:00:00Z") - Duration::seconds(60_000)).to_rfc3339().replace('+', "%2B");
    let deep = page(&cronmon, &monitor, &format!("until={until}")).await;
    let cursor = deep["paging"]["next_cursor"].as_str().unwrap();
    for query in [format!("cursor={cursor}"), format!("until={until}"), String::new(), "limit=1".to_owned()] {
        let before = rows_read(&cronmon).await;
        let shown = page(&cronmon, &monitor, &query).await;
        let after = rows_read(&cronmon).await;
        let rows = i64::try_from(shown["data"].as_array().unwrap().len()).unwrap();
        assert!((rows..=rows + 10).contains(&(after.0 - before.0)), "{query}: {before:?} {after:?}");
        assert_eq!(after.1, before.1, "{query}: not the whole table");
    }
}
