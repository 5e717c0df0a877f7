//! Schedules that can't be.

use reqwest::Method;
use serde_json::json;

use crate::monitor_fields::{BAD_DURATIONS, refused_with};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_null_every_or_cron_and_nothing_else() {
    let world = World::new().await;
    for schedule in [
        "1",
        "true",
        "\"0 3 * * *\"",
        "\"\"",
        "[]",
        "[{\"every\":60}]",
        "{}",
        "{\"every\":null}",
        "{\"every\":{}}",
        "{\"cron\":null}",
        "{\"cron\":1}",
        "{\"cron\":[\"0\",\"3\",\"*\",\"*\",\"*\"]}",
        "{\"cron\":{}}",
        "{\"timezone\":\"UTC\"}",
        "{\"every\":60,\"timezone\":\"UTC\"}",
        "{\"every\":60,\"cron\":\"0 3 * * *\"}",
        "{\"every\":60,\"cron\":null}",
        "{\"every\":60,\"unit\":\"minutes\"}",
        "{\"Every\":60}",
        "{\"cron\":\"0 3 * * *\",\"timezome\":\"Europe/Riga\"}",
        "{\"cron\":\"0 3 * * *\",\"tz\":null}",
        "{\"systemd\":\"daily\"}",
        "{\"on_calendar\":\"*-*-* 03:00:00\"}",
        "{\"\\u0000\":1}",
    ] {
        refused_with(&world, "schedule", schedule).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_is_whole_seconds_from_1_to_366_days() {
    let world = World::new().await;
    for seconds in BAD_DURATIONS.iter().chain(&["0", "null"]) {
        refused_with(&world, "schedule", &format!("{{\"every\":{seconds}}}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_expression_that_says_nothing_is_refused() {
    let world = World::new().await;
    let long = "0,".repeat(5_000);
    for expression in [
        "",
        " ",
        "*",
        "* * * *",
        "* * * * * *",
        "0 0 3 * * ? 2027",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "-1 * * * *",
        "1.5 * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/x * * * *",
        ", * * * *",
        "1,,2 * * * *",
        "a b c d e",
        "* * * foo *",
        "@reboot",
        "@often",
        "@every 5m",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 * * \u{fc}",
        "0\u{a0}3 * * *",
        "99999999999999999999 * * * *",
        "\0",
        "0 3 * * *\0",
        "0 3 * *\0*",
        "0 3 * * * root /bin/true",
        "$(reboot) * * * *",
        &long,
    ] {
        refused_with(&world, "schedule", &json!({ "cron": expression }).to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_is_not_in_the_iana_list_is_refused() {
    let world = World::new().await;
    let long = "Europe/".repeat(100_000);
    for zone in [
        json!(""),
        json!(" "),
        json!("Mars/Olympus"),
        json!("Europe/Riga "),
        json!("Europe/Riga\0"),
        json!("\0"),
        json!("+02:00"),
        json!("UTC+2"),
        json!("../../etc/passwd"),
        json!("Europe"),
        json!(long),
        json!(0),
        json!(true),
        json!([]),
        json!({}),
    ] {
        let schedule = json!({ "cron": "0 3 * * *", "timezone": zone });
        refused_with(&world, "schedule", &schedule.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_schedule_says_what_is_wrong_with_it() {
    let world = World::new().await;
    for (schedule, said) in [
        (json!({ "cron": "0 0 30 2 *" }), "schedule: cron never comes true within five years"),
        (
            json!({ "cron": "* * * *" }),
            "schedule: cron is not an expression that can be read: \
             five fields are needed: minute, hour, day of month, month, day of week",
        ),
        (
            json!({ "cron": "0 3 * * *", "timezone": "Mars/Olympus" }),
            "schedule: timezone 'Mars/Olympus' is not an IANA time zone such as 'Europe/Riga'",
        ),
        (json!({ "every": 0 }), "schedule: every must be from 1 to 31622400 seconds, not 0"),
        (json!({ "every": 60, "tz": "UTC" }), "schedule: the field 'tz' is unknown"),
    ] {
        let body = json!({ "name": "a", "schedule": schedule });
        let refusal = world.refused(&Method::POST, "/monitors", body.to_string()).await;
        assert_eq!((refusal.code, refusal.description.as_str()), (422, said));
    }
}
