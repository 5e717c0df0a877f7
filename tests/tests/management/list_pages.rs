//! The list of monitors: what narrows it, and its pages.

use std::collections::BTreeSet;

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::path;

async fn list(cronmon: &CronMon, query: &str) -> Value {
    let answer = cronmon.call(Method::GET, &format!("/monitors?{query}"), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|monitor| monitor["name"].as_str().unwrap()).collect()
}

/// The names of all pages from here, in their order.
async fn walk(cronmon: &CronMon, query: &str, first: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut page = first.clone();
    loop {
        found.extend(names(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["paging"]["next_cursor"].as_str() else { return found };
        page = list(cronmon, &format!("{query}&cursor={cursor}")).await;
    }
}

async fn a_second_passes(cronmon: &CronMon) {
    cronmon.set_clock(cronmon.now() + Duration::seconds(1));
}

async fn execute(cronmon: &CronMon, statement: &str) {
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_are_found_by_a_part_of_their_name_by_status_and_by_tags() {
    let cronmon = CronMon::start().await;
    for (name, tags, pings) in [
        ("Backup of web1", &["web", "db"] as &[_], &["/fail"] as &[_]),
        ("100% of it", &["web"], &[]),
        ("mail_digest", &["mail", "db"], &["/start"]),
        ("Pr\u{fc}fung \u{c4}", &["Db"], &["", "/start"]),
        ("nightly backup", &["db", "nightly"], &[""]),
    ] {
        let body = json!({ "name": name, "tags": tags, "schedule": { "every": 600 }, "grace_duration": 0 });
        let monitor = cronmon.create(body).await;
        for suffix in pings {
            a_second_passes(&cronmon).await;
            cronmon.ping(&monitor, suffix).await;
        }
        a_second_passes(&cronmon).await;
    }
    let paused = cronmon.create(json!({ "name": "resting", "schedule": null })).await;
    cronmon.ping(&paused, "/fail").await;
    let pause = format!("{}/pause", path(&paused));
    assert_eq!(cronmon.call(Method::POST, &pause, None).await.status, 200);
    // Nobody else's, whatever it is called.
    let theirs = json!({ "name": "backup", "tags": ["db"], "schedule": null });
    assert_eq!(cronmon.call_as("globex", Method::POST, "/monitors", Some(&theirs)).await.status, 200);
    let (web, percent, mail) = ("Backup of web1", "100% of it", "mail_digest");
    let (exam, nightly) = ("Pr\u{fc}fung \u{c4}", "nightly backup");
    for (query, found) in [
        ("", &["resting", nightly, exam, mail, web, percent] as &[_]),
        ("name=", &["resting", nightly, exam, mail, web, percent]),
        ("name=backup", &[nightly, web]),
        ("name=BACKUP%20of", &[web]),
        ("name=%20of%20", &[web, percent]),
        ("name=%25", &[percent]),
        ("name=_", &[mail]),
        ("name=\\", &[]),
        ("name=%C3%BC", &[exam]),
        ("name=xbackup", &[]),
        ("status=failed", &[web]),
        ("status=new", &[mail, percent]),
        ("status=running", &[exam, mail]),
        ("status=up", &[nightly, exam]),
        ("status=paused", &["resting"]),
        ("status=late", &[]),
        ("status=up,paused", &["resting", nightly, exam]),
        ("status=failed&status=new,failed", &[mail, web, percent]),
        ("tag=db", &[nightly, mail, web]),
        ("tag=db&tag=web", &[web]),
        ("tag=web&tag=mail", &[]),
        ("tag=Db", &[exam]),
        ("tag=d", &[]),
        ("name=I&tag=db", &[nightly, mail]),
        ("name=I&tag=db&status=running", &[mail]),
        ("name=backup&status=up,failed&tag=db", &[nightly, web]),
        ("Name=x&statuses=x&tags=x&n=%00", &["resting", nightly, exam, mail, web, percent]),
    ] {
        let all = list(&cronmon, query).await;
        assert_eq!(names(&all), found, "{query}");
        assert_eq!(all["paging"], json!({ "total": found.len(), "next_cursor": null }), "{query}");
        // Its pages go on where they ended, and each counts all.
        let first = list(&cronmon, &format!("{query}&limit=1")).await;
        assert_eq!(first["paging"]["total"], found.len(), "{query}");
        assert_eq!(walk(&cronmon, &format!("{query}&limit=1"), &first).await, found, "{query}");
    }
    // Ten minutes later none has come.
    cronmon.set_clock(cronmon.now() + Duration::seconds(601));
    cronmon.tick().await;
    assert_eq!(names(&list(&cronmon, "status=late").await), [nightly, exam, mail]);
}

/// Where Postgres knows the letters of all languages.
#[tokio::test(flavor = "multi_thread")]
async fn case_makes_no_difference_in_other_letters_either() {
    let cronmon = CronMon::start().await;
    let statement = "select exists (select from pg_collation where collname = 'und-x-icu')";
    let has_icu: bool = cronmon.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap().get(0);
    if !has_icu {
        return;
    }
    cronmon.create(json!({ "name": "Pr\u{fc}fung \u{416}", "schedule": null })).await;
    for part in ["PR%C3%9CFUNG", "pr%C3%BCfung", "%D0%96", "%D0%B6"] {
        assert_eq!(names(&list(&cronmon, &format!("name={part}")).await).len(), 1, "{part}");
    }
    assert!(names(&list(&cronmon, "name=prufung").await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_monitor_is_on_one_page_whoever_runs_meanwhile() {
    let cronmon = CronMon::start().await;
    let mut monitors = Vec::new();
    for n in 0..25 {
        // Several of one instant: the id decides.
        if n % 4 == 0 {
            a_second_passes(&cronmon).await;
        }
        monitors.push(cronmon.create(json!({ "name": format!("{n:02}"), "schedule": null })).await);
    }
    for monitor in &monitors[..15] {
        if monitor["name"].as_str().unwrap() < "10" {
            a_second_passes(&cronmon).await;
        }
        cronmon.ping(monitor, "").await;
    }
    a_second_passes(&cronmon).await;
    let all: Vec<String> = names(&list(&cronmon, "").await).into_iter().map(str::to_owned).collect();
    assert_eq!(all.len(), 25);
    for limit in [1, 7, 24, 25, 1_000] {
        let query = format!("limit={limit}");
        let first = list(&cronmon, &query).await;
        assert_eq!(first["data"].as_array().unwrap().len(), limit.min(25), "{limit}");
        assert_eq!(first["paging"]["total"], 25);
        assert_eq!(walk(&cronmon, &query, &first).await, all, "{limit}");
    }

    let first = list(&cronmon, "limit=7").await;
    assert_eq!(names(&first), all[..7]);
    // One that was shown, some that were not, one that never ran and a new one: none moves within this walk.
    for i in [0, 7, 13, 14, 24] {
        a_second_passes(&cronmon).await;
        let again = monitors.iter().find(|monitor| monitor["name"] == all[i]).unwrap();
        cronmon.ping(again, if i == 13 { "/start" } else { "" }).await;
    }
    cronmon.create(json!({ "name": "new", "schedule": null })).await;
    let mut walked = walk(&cronmon, "limit=7", &first).await;
    walked.retain(|name| name != "new");
    assert_eq!(walked, all);
    // A new walk has the order of now.
    let anew = list(&cronmon, "limit=5").await;
    let moved: Vec<&str> = [24, 14, 13, 7, 0].map(|i: usize| all[i].as_str()).into();
    assert_eq!(names(&anew), moved);

    // Where the monitor is gone at which a page ended, its place is not.
    let last = &first["data"][6];
    assert_eq!(cronmon.call(Method::DELETE, &path(last), None).await.status, 204);
    let mut walked = walk(&cronmon, "limit=7", &first).await;
    walked.retain(|name| name != "new");
    assert_eq!(walked, all);
    // Beyond the end there is nothing, and the total stays what it is.
    let before = list(&cronmon, "limit=24").await;
    let cursor = before["paging"]["next_cursor"].as_str().unwrap();
    execute(&cronmon, "delete from monitor where last_run_at is null").await;
    let beyond = list(&cronmon, &format!("cursor={cursor}")).await;
    let left = 25 - 9;
    assert_eq!(beyond, json!({ "data": [], "paging": { "total": left, "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_a_position_whoever_uses_it_and_for_whatever() {
    let cronmon = CronMon::start().await;
    for name in ["a", "b", "c"] {
        cronmon.create(json!({ "name": name, "schedule": null })).await;
        a_second_passes(&cronmon).await;
    }
    let first = list(&cronmon, "limit=1").await;
    let cursor = first["paging"]["next_cursor"].as_str().unwrap();
    assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{cursor}");
    assert_eq!(names(&list(&cronmon, &format!("cursor={cursor}")).await), ["b", "a"]);
    assert_eq!(names(&list(&cronmon, &format!("cursor={cursor}&name=a")).await), ["a"]);
    let theirs = cronmon.call_as("globex", Method::GET, &format!("/monitors?cursor={cursor}"), None).await;
    assert_eq!(theirs.body, json!({ "data": [], "paging": { "total": 0, "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_short_in_the_list_and_a_page_is_never_too_large_for_lambda() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let url = monitor["ping_url"].as_str().unwrap();
    let output = format!("x{}", "\u{1f980}".repeat(2_000));
    assert_eq!(cronmon.http.post(url).body(output.clone()).send().await.unwrap().status(), 200);
    let listed = list(&cronmon, "").await["data"][0].clone();
    // Not cut within a character.
    let shown = json!(format!("x{}", "\u{1f980}".repeat(249)));
    for job in ["last_started_job", "last_finished_job"] {
        assert_eq!((&listed[job]["output"], &listed[job]["output_truncated"]), (&shown, &json!(true)));
    }
    let read = cronmon.read(&monitor).await;
    assert_eq!(
        (&read["jobs"][0]["output"], &read["jobs"][0]["output_truncated"]),
        (&json!(output), &json!(false))
    );

    // Names and outputs that become six times as long in JSON: the least convenient monitors there can be.
    execute(
        &cronmon,
        "insert into monitor (monitor_id, tenant, name, ping_id, created_at, schedule_kind, grace_duration, alert_on, last_run_at)
         select gen_random_uuid(), 'acme', repeat(chr(1), 4096), gen_random_uuid(), '2026-11-22Z', 'none', 0, 'first', '2026-11-23Z'
         from generate_series(1, 400);
         insert into signal (monitor_id, signal_id, received_at, kind, body)
         select monitor_id, monitor_id, '2026-11-23Z', 'fail', decode(repeat('22', 10000), 'hex')
         from monitor where last_run_at = '2026-11-23Z';
         insert into job (job_id, monitor_id, announced, start_time, end_time, succeeded, answered, ended_by)
         select monitor_id, monitor_id, false, last_run_at, last_run_at, false, false, monitor_id
         from monitor where last_run_at = '2026-11-23Z'",
    )
    .await;
    let mut ids = BTreeSet::new();
    let (mut pages, mut query) = (0, String::new());
    loop {
        let page = list(&cronmon, &query).await;
        assert_eq!(page["paging"]["total"], 401);
        ids.extend(page["data"].as_array().unwrap().iter().map(|monitor| monitor["monitor_id"].to_string()));
        pages += 1;
        // As Lambda writes it: text within JSON.
        let in_lambda = Value::String(page.to_string()).to_string();
        assert!(in_lambda.len() < 6_000_000, "{}", in_lambda.len());
        let Some(cursor) = page["paging"]["next_cursor"].as_str() else { break };
        query = format!("cursor={cursor}");
    }
    assert_eq!(ids.len(), 401);
    assert!(pages > 2, "{pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_ran_since_runs_were_written_down_is_where_its_newest_job_says() {
    let cronmon = CronMon::start().await;
    for (name, pings) in [("a", &["", "/start"] as &[_]), ("b", &[""]), ("c", &[]), ("d", &["/log"])] {
        a_second_passes(&cronmon).await;
        let monitor = cronmon.create(json!({ "name": name, "schedule": null })).await;
        for suffix in pings {
            a_second_passes(&cronmon).await;
            cronmon.ping(&monitor, suffix).await;
        }
    }
    assert_eq!(names(&list(&cronmon, "").await), ["b", "a", "d", "c"]);
    // As a version before V0006 left it.
    let mut client = cronmon.pool.get().await.unwrap();
    assert_eq!(database::migrations::revert(&mut client).await.unwrap().unwrap(), "V0013__lists");
    client.batch_execute("update monitor set last_run_at = null").await.unwrap();
    database::migrations::up(&mut client).await.unwrap();
    drop(client);
    assert_eq!(names(&list(&cronmon, "").await), ["b", "a", "d", "c"]);
    let statement = "select count(*) from monitor where last_run_at is not distinct from (
         select max(start_time) from job where job.monitor_id = monitor.monitor_id)";
    assert_eq!(cronmon_tests::contents::count(&cronmon.pool, statement).await, 4);
}
