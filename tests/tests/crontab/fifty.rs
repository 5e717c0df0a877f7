//! Fifty lines as people have them: parsed, rewritten, run by `sh` with curl, heard, and sent again.

use std::sync::Arc;

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use domain::slug;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cron::{Cron, Entry, Place, Ran, entries};
use crate::post::{import, import_in_detail, monitors, results, slugs};

pub const FIFTY: &str = include_str!("fifty.crontab");

/// What a job's pings said, oldest first: kind, exit status, and what came along.
async fn heard(cronmon: &CronMon, monitor_id: &Value) -> Vec<(String, Option<i64>, String)> {
    let path = format!("/monitors/{}/pings", monitor_id.as_str().unwrap());
    let answer = cronmon.call(Method::GET, &path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let pings = answer.body["data"].as_array().unwrap().iter().rev();
    let heard = pings.map(|ping| {
        let kind = ping["kind"].as_str().unwrap().to_owned();
        (kind, ping["exit_status"].as_i64(), ping["body"].as_str().unwrap_or_default().to_owned())
    });
    heard.collect()
}

/// In a thread where it may block: the server that it pings needs this one.
async fn ran(place: &Arc<Place>, entry: &Entry, for_mail: bool) -> Ran {
    let (place, entry) = (place.clone(), entry.clone());
    let run = move || {
        if for_mail { place.run_for_mail(Cron::Vixie, &entry) } else { place.run(Cron::Vixie, &entry) }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn the_round_trip(query: &str) {
    let (announces, sends_output) = (!query.contains("short"), query.contains("output"));
    let cronmon = CronMon::start().await;
    let data = import_in_detail(&cronmon, query, FIFTY).await;
    assert_eq!(results(&data), ["created"; 50]);
    let rewritten = data["crontab"].as_str().unwrap();
    let (before, after) = (entries(FIFTY, false), entries(rewritten, false));
    assert_eq!((before.len(), after.len()), (50, 50));
    let place = Arc::new(Place::new());

    for ((before, after), line) in before.iter().zip(&after).zip(data["lines"].as_array().unwrap()) {
        let shown = format!("{query}: {} became {}", before.command, after.command);
        assert_eq!(line["line"], before.line, "{shown}");
        assert_eq!((&before.times, &before.environment), (&after.times, &after.environment), "{shown}");
        assert_ne!(before.command, after.command);

        let expected = ran(&place, before, sends_output).await;
        let found = ran(&place, after, sends_output).await;
        assert_eq!(found, expected, "{shown}");

        let status = i64::from(expected.status.code().unwrap());
        let kind = if status == 0 { "success" } else { "fail" };
        let heard = heard(&cronmon, &line["monitor_id"]).await;
        let said: Vec<_> = heard.iter().map(|(kind, status, _)| (kind.as_str(), *status)).collect();
        let start: &[(&str, Option<i64>)] = if announces { &[("start", None)] } else { &[] };
        assert_eq!(said, [start, &[(kind, Some(status))]].concat(), "{shown}");
        let output = heard.last().unwrap().2.as_bytes().escape_ascii().to_string();
        let said = if sends_output { expected.stdout.trim_end_matches("\\n") } else { "" };
        assert_eq!(output.trim_end_matches("\\n"), said, "{shown}");

        let monitor = cronmon.read(line).await;
        assert_eq!(monitor["status"], if status == 0 { "up" } else { "failed" }, "{shown}");
        assert_eq!(monitor["running"], false, "{shown}");
        assert_eq!(monitor["jobs"][0]["exit_status"], status, "{shown}");
    }

    // And again, unchanged.
    let now = contents(&cronmon.pool).await;
    for again in [rewritten, FIFTY] {
        assert_eq!(import(&cronmon, query, again).await, rewritten, "{query}");
        assert_eq!(results(&import_in_detail(&cronmon, query, again).await), ["unchanged"; 50]);
    }
    assert_eq!(contents(&cronmon.pool).await, now, "{query}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_do_what_they_did_and_tell_start_and_end() {
    the_round_trip("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_do_what_they_did_and_tell_their_end() {
    the_round_trip("?style=short").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_do_what_they_did_and_send_what_they_said() {
    the_round_trip("?output=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_do_what_they_did_and_send_what_they_said_with_their_end() {
    the_round_trip("?style=short&output=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_a_monitor_with_its_schedule_and_zone() {
    let cronmon = CronMon::start().await;
    let data = import_in_detail(&cronmon, "?tags=web1", FIFTY).await;
    let jobs = entries(FIFTY, false);
    let lines = data["lines"].as_array().unwrap();
    for (job, line) in jobs.iter().zip(lines) {
        let monitor = cronmon.read(line).await;
        let shown = format!("{}: {monitor}", job.command);
        let zone = job.environment.get("CRON_TZ").map_or("UTC", String::as_str);
        let schedule = match job.times.as_str() {
            "@reboot" => Value::Null,
            times => json!({ "cron": times, "timezone": zone }),
        };
        assert_eq!(monitor["schedule"], schedule, "{shown}");
        assert_eq!(line["schedule"], schedule, "{shown}");
        for field in ["slug", "name", "ping_url"] {
            assert_eq!(line[field], monitor[field], "{shown}");
        }
        assert_eq!(monitor["armed"], true, "{shown}");
        assert_eq!(monitor["expected_duration"], Value::Null, "{shown}");
        assert_eq!(monitor["alert_on"], "first", "{shown}");
        let grace = monitor["grace_duration"].as_i64().unwrap();
        assert!((60..=3_600).contains(&grace), "{shown}");
        let mut tags: Vec<&str> =
            monitor["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        tags.sort_unstable();
        assert_eq!(tags, ["crontab", "web1"], "{shown}");
        // What stands above the first jobs of many crontabs is no name.
        if let Some(comment) = job.comment.as_ref().filter(|comment| !comment.starts_with("m h ")) {
            assert_eq!(monitor["name"], **comment, "{shown}");
            assert!(monitor["slug"].as_str().unwrap().starts_with(&slug::of_name(comment)), "{shown}");
        }
    }
    let all = monitors(&cronmon).await;
    assert_eq!(all.len(), 50);
    // Sorted, and each other than the one before.
    assert!(slugs(&all).windows(2).all(|two| two[0] < two[1]), "{:?}", slugs(&all));
    let named: Vec<&str> =
        slugs(&all).into_iter().filter(|slug| slug.starts_with("nightly-backup")).collect();
    assert_eq!(named, ["nightly-backup", "nightly-backup-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_stays_where_it_was() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", FIFTY).await;
    let jobs: Vec<usize> = entries(FIFTY, false).iter().map(|job| job.line).collect();
    let mut after = rewritten.lines();
    for (index, line) in FIFTY.lines().enumerate() {
        if jobs.contains(&(index + 1)) {
            assert!(after.any(|other| other.contains("/ping/")), "{line}");
        } else {
            assert!(after.any(|other| other == line), "{line}");
        }
    }
    assert!(rewritten.ends_with('\n'));
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_line_ends_make_no_difference() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", FIFTY).await;
    let from_windows = import(&cronmon, "", FIFTY.replace('\n', "\r\n")).await;
    // A carriage return would be a part of the command.
    for entry in entries(&from_windows.replace("\r\n", "\n"), false) {
        assert!(!entry.command.contains('\r'), "{}", entry.command);
    }
    assert_eq!(from_windows.replace("\r\n", "\n"), rewritten);
    assert_eq!(monitors(&cronmon).await.len(), 50);
}
