//! What the query says, and who may import.

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cron::entries;
use crate::fifty::FIFTY;
use crate::post::{import, import_in_detail, monitors, results, send, send_as};

const DAILY: &str = "# a\n0 3 * * * echo a\n";

/// With every ping id, or what stands in its place, taken out.
fn without_ids(crontab: &str) -> String {
    let mut parts = crontab.split("/ping/");
    let mut shown = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(['/', ' ', '\n', '"', '\'']).unwrap_or(part.len());
        shown.push_str("/ping/...");
        shown.push_str(&part[end..]);
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_saves_nothing_and_shows_the_same() {
    let cronmon = CronMon::start().await;
    let empty = contents(&cronmon.pool).await;
    let dry = import_in_detail(&cronmon, "?dry_run=1&tags=x", FIFTY).await;
    let text = import(&cronmon, "?dry_run=1&tags=x", FIFTY).await;
    assert_eq!(contents(&cronmon.pool).await, empty);
    assert_eq!(dry["crontab"], *text);
    let real = import_in_detail(&cronmon, "?tags=x", FIFTY).await;
    assert_eq!(without_ids(&text), without_ids(real["crontab"].as_str().unwrap()));
    let lines = dry["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 50);
    for (dry, real) in lines.iter().zip(real["lines"].as_array().unwrap()) {
        for field in ["line", "result", "slug", "name", "schedule", "why"] {
            assert_eq!(dry[field], real[field], "{dry}");
        }
        assert_eq!((&dry["monitor_id"], &dry["ping_url"]), (&Value::Null, &Value::Null), "{dry}");
        assert!(real["monitor_id"].is_string());
    }
    assert_eq!((&dry["gone"], &dry["warnings"]), (&real["gone"], &real["warnings"]));

    // Where they exist they are shown, and so is what would change.
    let now = contents(&cronmon.pool).await;
    let changed = FIFTY.replace("*/5 * * * *", "*/6 * * * *").replace("0 9 1,15 * *", "# 0 9 1,15 * *");
    let dry = import_in_detail(&cronmon, "?dry_run=1&tags=x", &changed).await;
    assert_eq!(contents(&cronmon.pool).await, now);
    assert_eq!(results(&dry).iter().filter(|result| **result == "changed").count(), 1);
    assert_eq!(dry["gone"].as_array().unwrap().len(), 1);
    let real = import_in_detail(&cronmon, "?tags=x", &changed).await;
    assert_eq!(dry, real);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_style_the_crontab_comes_back_as_it_was() {
    let cronmon = CronMon::start().await;
    for query in ["", "?style=short", "?output=1"] {
        let rewritten = import(&cronmon, query, FIFTY).await;
        let now = contents(&cronmon.pool).await;
        assert_eq!(import(&cronmon, "?style=none", &rewritten).await, FIFTY, "{query}");
        assert_eq!(import(&cronmon, "?style=none", FIFTY).await, FIFTY);
        assert_eq!(contents(&cronmon.pool).await, now);
    }
    let system_s = "17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly\n";
    let rewritten = import(&cronmon, "?user_column=1", system_s).await;
    assert_eq!(import(&cronmon, "?user_column=1&style=none", &rewritten).await, system_s);
}

/// Where nobody hears of its beginning, a run that takes long must not look late.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_which_only_the_end_is_heard_has_more_grace() {
    let cronmon = CronMon::start().await;
    let crontab = "# a\n*/5 * * * * a\n# b\n0 * * * * b\n# c\n0 3 * * * c\n# d\n@monthly d\n# e\n@reboot e\n";
    import(&cronmon, "?tags=long", crontab).await;
    import(&cronmon, "?tags=short&style=short", crontab).await;
    let too_long = format!("# f\n0 3 * * * echo {}\n", "x".repeat(800));
    import(&cronmon, "?tags=f", &too_long).await;
    let all = monitors(&cronmon).await;
    let graces: Vec<(&str, i64)> = all
        .iter()
        .map(|monitor| (monitor["slug"].as_str().unwrap(), monitor["grace_duration"].as_i64().unwrap()))
        .collect();
    let expected = [
        ("a", 60),
        ("a-2", 150),
        ("b", 360),
        ("b-2", 1_800),
        ("c", 3_600),
        ("c-2", 21_600),
        ("d", 3_600),
        ("d-2", 21_600),
        ("e", 60),
        ("e-2", 60),
        ("f", 21_600),
    ];
    assert_eq!(graces, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_given_to_all() {
    let cronmon = CronMon::start().await;
    import(&cronmon, "?tags=web1,db", DAILY).await;
    import(&cronmon, "", "# b\n0 3 * * * echo b\n").await;
    let tags = |monitor: &Value| {
        let mut tags: Vec<String> = serde_json::from_value(monitor["tags"].clone()).unwrap();
        tags.sort_unstable();
        tags
    };
    let all = monitors(&cronmon).await;
    assert_eq!(tags(&all[0]), ["crontab", "db", "web1"]);
    assert_eq!(tags(&all[1]), ["crontab"]);
    let by_tag = cronmon.call(Method::GET, "/monitors?tag=crontab&tag=db", None).await;
    assert_eq!(by_tag.body["paging"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_users_stays_where_it_is() {
    let cronmon = CronMon::start().await;
    let crontab =
        "# a\n17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily  www-data echo b\n";
    let data = import_in_detail(&cronmon, "?user_column=1", crontab).await;
    assert_eq!(results(&data), ["created"; 2]);
    let rewritten = data["crontab"].as_str().unwrap();
    let (before, after) = (entries(crontab, true), entries(rewritten, true));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.times, &before.user), (&after.times, &after.user));
        assert!(
            after.command.contains("/ping/") && after.command.contains(&before.command),
            "{}",
            after.command
        );
    }
    let names: Vec<&Value> = data["lines"].as_array().unwrap().iter().map(|line| &line["name"]).collect();
    assert_eq!(names[0], "a");
    assert!(!names[1].as_str().unwrap().contains("www-data"), "{data}");
    assert_eq!(import(&cronmon, "?user_column=1", rewritten).await, rewritten);
    assert_eq!(monitors(&cronmon).await.len(), 2);
    // A line without a command is none.
    let data = import_in_detail(&cronmon, "?user_column=1&dry_run=1", "0 3 * * * root\n").await;
    assert_eq!(results(&data), ["skipped"]);
}

/// Else the user would be called as a program, which fails.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_about_its_column_the_system_s_crontab_stays_as_it_is() {
    let cronmon = CronMon::start().await;
    let crontab =
        "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily  www-data echo b\n";
    let rewritten = import(&cronmon, "?user_column=1", crontab).await;
    let before = monitors(&cronmon).await;
    for text in [crontab, &rewritten] {
        let data = import_in_detail(&cronmon, "", text).await;
        assert_eq!(results(&data), ["skipped"; 2], "{data}");
        let left = data["crontab"].as_str().unwrap();
        assert_eq!(left.matches("say ?user_column=1").count(), 2, "{left}");
        let without_comments = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_comments(left), without_comments(text));
    }
    assert_eq!(monitors(&cronmon).await, before);
    // There are programs of such names.
    let data = import_in_detail(&cronmon, "?dry_run=1&user_column=0", crontab).await;
    assert_eq!(results(&data), ["created"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zone_is_the_line_s_then_the_parameter_s_then_a_guess_with_a_warning() {
    let cronmon = CronMon::start().await;
    let crontab = "0 3 * * * echo a\nCRON_TZ=Asia/Kolkata\n0 3 * * * echo b\n";
    let zones = |data: &Value| {
        let lines = data["lines"].as_array().unwrap().clone();
        lines.iter().map(|line| line["schedule"]["timezone"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let data = import_in_detail(&cronmon, "?dry_run=1&tags=a", crontab).await;
    assert_eq!(zones(&data), ["UTC", "Asia/Kolkata"]);
    assert!(
        data["warnings"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("UTC")),
        "{data}"
    );
    let data = import_in_detail(&cronmon, "?dry_run=1&tags=a&timezone=Europe/Riga", crontab).await;
    assert_eq!(zones(&data), ["Europe/Riga", "Asia/Kolkata"]);
    assert_eq!(data["warnings"], json!([]));
    // Few crons go by TZ, which is the zone of the commands.
    let with_tz = format!("TZ=Europe/Berlin\n{crontab}");
    let data = import_in_detail(&cronmon, "?dry_run=1&tags=a&timezone=Europe/Riga", &with_tz).await;
    assert_eq!(
        (zones(&data), &data["warnings"]),
        (vec!["Europe/Riga".into(), "Asia/Kolkata".into()], &json!([]))
    );
    let data = import_in_detail(&cronmon, "?dry_run=1&tags=a", &with_tz).await;
    assert_eq!(zones(&data), ["Europe/Berlin", "Asia/Kolkata"]);
    let warnings = data["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("TZ"), "{data}");
    assert!(
        data["crontab"]
            .as_str()
            .unwrap()
            .starts_with(&format!("# cronmon: {}\n", warnings[0].as_str().unwrap()))
    );
    // A zone that nobody knows: its lines can't be watched.
    let data = import_in_detail(&cronmon, "", format!("CRON_TZ=Europe/Rīga\n{DAILY}")).await;
    assert_eq!(results(&data), ["skipped"], "{data}");
    assert!(data["crontab"].as_str().unwrap().contains(DAILY), "{data}");
    assert!(monitors(&cronmon).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_at_the_start_of_the_machine_has_no_schedule_and_that_is_said() {
    let cronmon = CronMon::start().await;
    let data = import_in_detail(&cronmon, "?timezone=UTC", "# boot\n@reboot echo a\n").await;
    assert_eq!(results(&data), ["created"]);
    assert_eq!(data["lines"][0]["schedule"], Value::Null);
    let said = format!("{} {}", data["warnings"], data["lines"][0]["why"]);
    assert!(said.contains("@reboot") || said.contains("no schedule"), "{data}");
    assert_eq!(monitors(&cronmon).await[0]["schedule"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_refused_and_named() {
    let cronmon = CronMon::start().await;
    let before = contents(&cronmon.pool).await;
    let many_tags: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    let long = "x".repeat(101);
    for (name, values) in [
        ("user_column", vec!["2", "yes", "x", "-1", "1%00"]),
        ("style", vec!["x", "SHORT", "short,long", "1", "%00"]),
        // A misspelt one must not be taken for an absent one: this would save.
        ("dryrun", vec!["1"]),
        ("tag", vec!["a"]),
        ("tz", vec!["UTC"]),
        ("output", vec!["2", "x", "-1"]),
        ("dry_run", vec!["2", "x", "-1", "1%20x"]),
        ("tags", vec!["a%00", &long, &many_tags.join(",")]),
        ("timezone", vec!["x", "Europe/Atlantis", "%00", "+02:00", "Europe/Riga%20x"]),
    ] {
        for value in values {
            let reply = send_as(&cronmon, "acme", "*/*", &format!("?{name}={value}"), DAILY).await;
            assert_eq!(reply.status, 422, "{name}={value}: {}", reply.text);
            assert!(reply.refusal().contains(name), "{name}={value}: {}", reply.refusal());
        }
    }
    let reply = send_as(&cronmon, "acme", "*/*", "?dryrun=1", DAILY).await;
    assert_eq!(reply.refusal(), "dryrun: there is no such parameter: did you mean 'dry_run'?");
    for name in ["user_column=1", "style=short", "output=1", "dry_run=1", "timezone=UTC"] {
        let reply = send_as(&cronmon, "acme", "*/*", &format!("?{name}&{name}"), DAILY).await;
        assert_eq!(reply.status, 422, "{name} twice: {}", reply.text);
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_manage_may_import() {
    let cronmon = CronMon::start().await;
    let keys =
        [cronmon.new_key("read").await, cronmon.new_key("ping").await, cronmon.new_key("manage").await];
    let before = contents(&cronmon.pool).await;
    for (headers, status) in [
        (vec![], 401),
        (vec![("authorization", "Bearer x")], 401),
        (vec![("x-api-key", "")], 401),
        (vec![("x-api-key", "x")], 401),
        (vec![("x-api-key", keys[0].as_str())], 403),
        (vec![("x-api-key", keys[1].as_str())], 403),
    ] {
        for query in ["", "?dry_run=1", "?style=x"] {
            let reply = send(&cronmon, &headers, query, DAILY).await;
            assert_eq!(reply.status, status, "{headers:?} {query}: {}", reply.text);
            reply.refusal();
        }
    }
    let after = contents(&cronmon.pool).await;
    assert_eq!(after["monitor"], before["monitor"]);
    let reply = send(&cronmon, &[("x-api-key", &keys[2])], "", DAILY).await;
    assert_eq!((reply.status, reply.content_type.as_str()), (200, "text/plain; charset=utf-8"));
    assert_eq!(monitors(&cronmon).await.len(), 1);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = cronmon.call(method.clone(), "/import/crontab", None).await;
        assert_eq!(answer.status, 405, "{method}");
    }
}

/// As the README has it, but for the files and the parameters.
#[tokio::test(flavor = "multi_thread")]
async fn one_command_answers_with_the_crontab_and_its_pings() {
    let cronmon = CronMon::start().await;
    let key = cronmon.new_key("manage").await;
    let command =
        "curl -sS --fail-with-body --data-binary @- -H \"X-API-Key: $KEY\" $HOST/api/v1/import/crontab";
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("KEY", &key)
        .env("HOST", &cronmon.url)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(FIFTY.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), import(&cronmon, "", FIFTY).await);
    assert_eq!(monitors(&cronmon).await.len(), 50);
}
