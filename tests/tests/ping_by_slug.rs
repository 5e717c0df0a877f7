//! Pings by a ping key and a slug, end to end, and monitors that come into being by them.

use std::collections::BTreeMap;

use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

async fn new_key(cronmon: &CronMon, tenant: &str) -> Value {
    let answer = cronmon.call_as(tenant, Method::POST, "/ping-keys", Some(&json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

/// Pings by a key's template; `rest` is the slug and what follows.
async fn ping(cronmon: &CronMon, key: &Value, rest: &str) -> (u16, String) {
    let url = key["ping_url_template"].as_str().unwrap().replace("<slug>", rest);
    let response = cronmon.http.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn ok() -> (u16, String) {
    (200, "OK".to_owned())
}

fn created() -> (u16, String) {
    (201, "Created".to_owned())
}

fn not_found() -> (u16, String) {
    (404, "not found".to_owned())
}

/// The only monitor of `acme`.
async fn only_monitor(cronmon: &CronMon) -> Value {
    let list = cronmon.call(Method::GET, "/monitors", None).await.body;
    assert_eq!(list["paging"]["total"], 1, "{list}");
    cronmon.read(&list["data"][0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_suffix_of_a_slug_records_its_signal() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    let monitor = cronmon.create(json!({ "name": "DB backup", "schedule": { "every": 600 } })).await;
    assert_eq!(monitor["slug"], "db-backup");
    let rid = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    for rest in [
        "db-backup/start".to_owned(),
        "db-backup".to_owned(),
        "db-backup/fail".to_owned(),
        "db-backup/log".to_owned(),
        "db-backup/0".to_owned(),
        "db-backup/7".to_owned(),
        format!("db-backup/start?rid={rid}"),
        // Of a monitor that is there, create=1 changes nothing.
        "db-backup?create=1&period=60".to_owned(),
    ] {
        cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
        assert_eq!(ping(&cronmon, &key, &rest).await, ok(), "{rest}");
    }
    let path = format!("/monitors/{}/pings", monitor["monitor_id"].as_str().unwrap());
    let pings = cronmon.call(Method::GET, &path, None).await.body;
    let said: Vec<(&str, &Value)> = pings["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ping| (ping["kind"].as_str().unwrap(), &ping["exit_status"]))
        .collect();
    let null = Value::Null;
    assert_eq!(
        said,
        [
            ("success", &null),
            ("start", &null),
            ("fail", &json!(7)),
            ("success", &json!(0)),
            ("log", &null),
            ("fail", &null),
            ("success", &null),
            ("start", &null),
        ]
    );
    assert_eq!(pings["data"][1]["rid"], rid);
    assert_eq!(pings["data"][6]["duration"], 1);
    assert_eq!(only_monitor(&cronmon).await["schedule"], json!({ "every": 600 }));
    // The same monitor as by its own URL.
    cronmon.ping(&monitor, "/log").await;
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_tenants_monitors_until_it_is_revoked() {
    let cronmon = CronMon::start().await;
    let (key, theirs) = (new_key(&cronmon, "acme").await, new_key(&cronmon, "globex").await);
    let second = new_key(&cronmon, "acme").await;
    cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    assert_eq!(ping(&cronmon, &key, "backup").await, ok());
    assert_eq!(ping(&cronmon, &second, "backup").await, ok());

    let revoke = format!("/ping-keys/{}", key["ping_key_id"].as_str().unwrap());
    assert_eq!(cronmon.call(Method::DELETE, &revoke, None).await.status, 204);
    let before = contents(&cronmon.pool).await;
    let mut wrong = json!({});
    for template in [
        key["ping_url_template"].as_str().unwrap().to_owned(),
        theirs["ping_url_template"].as_str().unwrap().to_owned(),
        format!("{}/ping/abcdefghij0123456789xy/<slug>", cronmon.url),
        format!("{}/ping/x/<slug>", cronmon.url),
        second["ping_url_template"]
            .as_str()
            .unwrap()
            .to_uppercase()
            .replace("HTTP", "http")
            .replace("/PING/", "/ping/")
            .replace("<SLUG>", "<slug>"),
    ] {
        wrong["ping_url_template"] = json!(template);
        assert_eq!(ping(&cronmon, &wrong, "backup").await, not_found(), "{template}");
    }
    for slug in ["backups", "backup-2", "-"] {
        assert_eq!(ping(&cronmon, &second, slug).await, not_found(), "{slug}");
    }
    wrong["ping_url_template"] = key["ping_url_template"].clone();
    assert_eq!(ping(&cronmon, &wrong, "new?create=1").await, not_found());
    assert_eq!(contents(&cronmon.pool).await, before, "nothing was recorded");
    assert_eq!(ping(&cronmon, &second, "backup").await, ok());
    assert_eq!(ping(&cronmon, &second, "Backup").await, (400, "invalid url format".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_goes_on_working_when_its_monitor_is_renamed_or_gets_another_url() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    let mut body = json!({ "name": "restore", "expected_duration": null, "grace_duration": 60 });
    assert_eq!(cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    assert_eq!(ping(&cronmon, &key, "backup").await, ok());
    assert_eq!(ping(&cronmon, &key, "restore").await, not_found());
    assert_eq!(cronmon.call(Method::POST, &format!("{path}/ping-url"), None).await.status, 200);
    assert_eq!(ping(&cronmon, &key, "backup").await, ok());
    body["slug"] = json!("restore");
    assert_eq!(cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    assert_eq!(ping(&cronmon, &key, "backup").await, not_found());
    assert_eq!(ping(&cronmon, &key, "restore").await, ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn create_makes_a_monitor_with_the_defaults_of_the_protocol() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    assert_eq!(ping(&cronmon, &key, "nightly_backup?create=1").await, created());
    let mut monitor = only_monitor(&cronmon).await;
    let fields = monitor.as_object_mut().unwrap();
    for random in ["monitor_id", "ping_url", "crontab_line", "jobs", "last_started_job", "last_finished_job"]
    {
        fields.remove(random).unwrap();
    }
    assert_eq!(
        monitor,
        json!({
            "name": "nightly_backup", "slug": "nightly_backup", "tags": [], "schedule": { "every": 86400 },
            "expected_duration": 0, "grace_duration": 3600, "start_grace_duration": null, "early_duration": null,
            "failure_threshold": 1, "recovery_threshold": 1, "alert_on": "first", "status": "up",
            "min_interval_duration": null, "min_duration": null, "paused_at": null, "resumes_at": null,
            "snooze_ends_at": null, "quiet_ends_at": null, "running": false, "armed": true, "resume_on_ping": true, "keywords": null,
            "created_at": "2026-11-22T12:00:00Z", "next_expected_at": "2026-11-23T12:00:00Z",
            "due_at": "2026-11-23T13:00:00Z",
            "warnings": ["nobody hears of it: attach an active alert config, or make one the default"],
        })
    );
    assert_eq!(ping(&cronmon, &key, "nightly_backup?create=1").await, ok());
    assert_eq!(ping(&cronmon, &key, "nightly_backup").await, ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_query_says_is_taken() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    for (slug, query, fields) in [
        (
            "a",
            "period=300&grace=0&tags=prod%20db,eu+prod",
            json!({ "schedule": { "every": 300 }, "grace_duration": 0, "tags": ["prod", "db", "eu"] }),
        ),
        (
            "b",
            "cron=0+3+*+*+*&tz=Europe%2FRiga&grace=60",
            json!({
                "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Riga" }, "grace_duration": 60,
                "next_expected_at": "2026-11-23T01:00:00Z", "due_at": "2026-11-23T01:01:00Z",
            }),
        ),
        ("c", "cron=@hourly", json!({ "schedule": { "cron": "@hourly", "timezone": "UTC" } })),
    ] {
        assert_eq!(ping(&cronmon, &key, &format!("{slug}?create=1&{query}")).await, created(), "{query}");
        let list = cronmon.call(Method::GET, "/monitors", None).await.body;
        let made = list["data"].as_array().unwrap().iter().find(|monitor| monitor["slug"] == slug).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            assert_eq!(&made[field], value, "{query} {field}");
        }
    }
    // By another signal too.
    for (slug, status, running) in
        [("d/start", "new", true), ("e/fail", "failed", false), ("f/log", "new", false)]
    {
        assert_eq!(ping(&cronmon, &key, &format!("{slug}?create=1")).await, created(), "{slug}");
        let list = cronmon.call(Method::GET, "/monitors", None).await.body;
        let made = list["data"].as_array().unwrap().iter().find(|m| m["slug"] == slug[..1]).unwrap();
        assert_eq!((&made["status"], &made["running"]), (&json!(status), &json!(running)), "{slug}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_creates_nothing() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    let before = contents(&cronmon.pool).await;
    for (rest, status) in [
        ("x?create=1&rid=x", 400),
        ("x?rid=&create=1", 400),
        ("x?create=1&period=0", 400),
        ("x?create=1&grace=-1", 400),
        ("x?create=1&cron=x", 400),
        ("x?create=1&cron=@daily&period=60", 400),
        ("x?create=1&tz=Europe/Riga", 400),
        ("x?create=1&tags=%00", 400),
        ("x/256?create=1", 400),
        ("X?create=1", 400),
        (&format!("{}?create=1", "x".repeat(101)), 400),
        ("x/stop?create=1", 404),
        ("x?create=0", 404),
        ("x?create=true", 404),
        ("x", 404),
    ] {
        assert_eq!(ping(&cronmon, &key, rest).await.0, status, "{rest}");
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_first_pings_at_once_one_creates_the_monitor_and_all_are_recorded() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    for (slug, many) in [("two", 2), ("sixteen", 16)] {
        for round in 0..5 {
            let rest = format!("{slug}-{round}?create=1");
            let replies = join_all((0..many).map(|_| ping(&cronmon, &key, &rest))).await;
            let mut counts = BTreeMap::new();
            for reply in replies {
                *counts.entry(reply).or_insert(0) += 1;
            }
            assert_eq!(counts, BTreeMap::from([(created(), 1), (ok(), many - 1)]), "{rest}");
        }
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor").await, 10);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 5 * (2 + 16));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_and_a_creation_of_one_name_at_once_never_share_a_slug() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    for round in 0..10 {
        let slug = format!("job-{round}");
        let rest = format!("{slug}?create=1");
        let (pinged, made) = tokio::join!(
            ping(&cronmon, &key, &rest),
            cronmon.create(json!({ "name": slug, "schedule": null })),
        );
        // Whoever was first has it: the ping then is the first of that monitor, or of one of its own.
        let expected = if made["slug"] == json!(slug) { ok() } else { created() };
        assert_eq!(pinged, expected, "{}", made["slug"]);
        assert!([json!(slug), json!(format!("{slug}-2"))].contains(&made["slug"]), "{}", made["slug"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_config_of_the_tenant_hears_of_a_monitor_that_a_ping_created() {
    let cronmon = CronMon::start().await;
    let key = new_key(&cronmon, "acme").await;
    let config =
        |name: &str| json!({ "name": name, "type": { "webhook": { "url": "http://127.0.0.1:1/" } } });
    for (tenant, name) in [("acme", "a"), ("acme", "b"), ("globex", "c")] {
        let answer = cronmon.call_as(tenant, Method::POST, "/alert-configs", Some(&config(name))).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(ping(&cronmon, &key, "x/fail?create=1").await, created());
    let monitor = only_monitor(&cronmon).await;
    assert_eq!(monitor["warnings"], json!([]));
    let path = format!("/monitors/{}/alert-configs", monitor["monitor_id"].as_str().unwrap());
    let attached = cronmon.call(Method::GET, &path, None).await.body;
    let mut names: Vec<&str> =
        attached["data"].as_array().unwrap().iter().map(|config| config["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
    let all = "select count(*) from monitor_alert_config";
    assert_eq!(count(&cronmon.pool, all).await, 2, "and no other tenant's");
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 2, "the fail already");
}
