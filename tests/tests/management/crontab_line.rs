//! The line for the crontab works as it is pasted.

use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use serde_json::json;
use tokio::process::Command;

const CURL: &str = "curl -fsS -m 10 --retry 5 -o /dev/null";

#[tokio::test(flavor = "multi_thread")]
async fn it_announces_the_start_and_tells_the_exit_status() {
    let cronmon = CronMon::start().await;
    for (command, kind, exit_status) in [
        ("true", "success", 0),
        ("(exit 3)", "fail", 3),
        ("false", "fail", 1),
        ("no-such-command", "fail", 127),
    ] {
        let monitor =
            cronmon.create(json!({ "name": command, "schedule": { "cron": "*/5 1-3 * * 1,2" } })).await;
        let line = monitor["crontab_line"].as_str().unwrap();
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        assert_eq!(fields[..5], ["*/5", "1-3", "*", "*", "1,2"]);
        let shell = fields[5].replace("your-command", command);
        assert_ne!(shell, fields[5]);
        let ended = Command::new("sh").args(["-c", &shell]).status().await.unwrap();
        assert!(ended.success(), "{shell}: {ended}");

        let client = cronmon.pool.get().await.unwrap();
        let rows = client
            .query("select kind, exit_status from signal order by signal_id desc limit 2", &[])
            .await
            .unwrap();
        let heard: Vec<(&str, Option<i16>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(heard, [(kind, Some(exit_status)), ("start", None)], "{command}");
        let job = &cronmon.read(&monitor).await["jobs"][0];
        assert_eq!(job["succeeded"], exit_status == 0, "{command}");
        assert_eq!(job["exit_status"], exit_status, "{command}");
        assert_eq!(job["in_progress"], false, "{command}");
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_header_puts_no_commands_into_it() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let url = format!("{}/api/v1/monitors", cronmon.url);
    for host in
        ["x;reboot", "$(reboot)", "`reboot`", "x y", "x%y", "x\"y", "x'y", "x|y", "x&y", "x>y", "x/y", ""]
    {
        let authorization = format!("Bearer {}", cronmon.issuer.token("acme"));
        let request = cronmon.http.get(&url).header("authorization", authorization).header("host", host);
        let list: serde_json::Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        let id = monitor["ping_url"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(list["data"][0]["ping_url"], format!("http://127.0.0.1/ping/{id}"), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_one_line_for_every_schedule() {
    let cronmon = CronMon::start().await;
    for (schedule, times) in [
        (json!(null), "* * * * *"),
        (json!({ "every": 5 }), "* * * * *"),
        (json!({ "every": 300 }), "*/5 * * * *"),
        (json!({ "every": 3600 }), "0 * * * *"),
        (json!({ "every": 86400 }), "0 0 * * *"),
        (json!({ "cron": "@daily" }), "@daily"),
        (json!({ "cron": " 0 3 * * * " }), "0 3 * * *"),
        (json!({ "cron": "0 3 * * mon-fri", "timezone": "Asia/Kolkata" }), "0 3 * * mon-fri"),
        // A line break in a crontab would end the line in the middle of its times.
        (json!({ "cron": "0\n3 *\r\n* *" }), "0 3 * * *"),
        (json!({ "cron": "0\t3  *\u{c}* *" }), "0 3 * * *"),
    ] {
        let monitor = cronmon.create(json!({ "name": "a", "schedule": schedule })).await;
        let url = monitor["ping_url"].as_str().unwrap();
        let line = format!("{times} {CURL} {url}/start; your-command; {CURL} {url}/$?");
        assert_eq!(monitor["crontab_line"], line, "{schedule}");
    }
}
