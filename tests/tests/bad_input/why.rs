//! Explanations, previews and simulations: what they are asked with, each with what it can't be.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, good_simulation};

const BAD_INSTANTS: [&str; 14] = [
    "",
    "x",
    "0",
    "now",
    "2026-11-22",
    "2026-11-22T12:00:00",
    "2026-11-22T12:00:00+02:00",
    "2026-13-22T12:00:00Z",
    "0000-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-11-22T12:00:00Z%00",
    "infinity",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_422_and_named() {
    let world = World::new().await;
    let explain = format!("/monitors/{}/explain?", world.ours.monitor);
    let simulate = format!("/monitors/{}/simulate?", world.ours.monitor);
    let preview = "/schedules/preview?";
    let mut cases: Vec<(String, &str)> = Vec::new();
    for value in BAD_INSTANTS {
        cases.push((format!("{explain}at={value}"), "at"));
        cases.push((format!("{simulate}since={value}"), "since"));
        cases.push((format!("{simulate}until={value}"), "until"));
        cases.push((format!("{preview}every=60&from={value}"), "from"));
    }
    let duration = ["-1", "31622401", "1.5", "x", "", "9223372036854775808"];
    for value in duration.iter().chain(&["0"]) {
        cases.push((format!("{preview}every={value}"), "every"));
    }
    for value in duration {
        for name in ["grace_duration", "expected_duration", "early_duration"] {
            cases.push((format!("{preview}every=60&{name}={value}"), name));
            cases.push((format!("{simulate}{name}={value}"), name));
        }
    }
    for value in ["", "0", "-1", "65", "1.5", "x", "99999999999999999999"] {
        cases.push((format!("{preview}every=60&count={value}"), "count"));
    }
    for value in ["", "%00", "*", "60+*+*+*+*", "0+0+30+2+*", "@reboot", "%FF+*+*+*+*"] {
        cases.push((format!("{preview}cron={value}"), "cron"));
    }
    for value in ["", "%00", "Mars", "europe/riga%00"] {
        cases.push((format!("{preview}cron=@daily&timezone={value}"), "timezone"));
    }
    for value in ["", "0", "1001", "x", "null%00"] {
        cases.push((format!("{simulate}failure_threshold={value}"), "failure_threshold"));
    }
    cases.push((format!("{simulate}alert_on=%00"), "alert_on"));
    cases.push((format!("{simulate}every=60&every=60"), "every"));
    for (path, name) in cases {
        let refusal = world.refused(&Method::GET, &path, "").await;
        assert_eq!(refusal.code, 422, "{path}");
        let named = refusal.description.starts_with(&format!("{name}: "));
        assert!(named, "{path}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_field_of_a_simulation_is_422_and_named() {
    let world = World::new().await;
    let instant = "2026-11-22T00:30:00Z";
    for (field, value) in [
        ("signals", json!(null)),
        ("signals", json!({})),
        ("signals", json!("start")),
        ("signals", json!([null])),
        ("signals", json!([[]])),
        ("signals", json!([{}])),
        ("signals", json!([{ "at": instant }])),
        ("signals", json!([{ "at": instant, "kind": "Start" }])),
        ("signals", json!([{ "at": 1, "kind": "start" }])),
        ("signals", json!([{ "at": instant, "kind": "start", "rid": "x" }])),
        ("signals", json!([{ "at": instant, "kind": "fail", "exit_status": 256 }])),
        ("signals", json!([{ "at": instant, "kind": "fail", "exit_status": -1 }])),
        ("signals", json!([{ "at": instant, "kind": "start", "x": 1 }])),
        ("signals", json!([{ "at": "\0", "kind": "start" }])),
        ("created_at", json!(1)),
        ("created_at", json!("x")),
        ("until", json!("2026-11-22")),
        ("until", json!("9999-12-31T23:59:59Z")),
        ("until", json!("2028-11-22T00:00:00Z")),
        ("armed", json!("yes")),
        ("schedule", json!({ "every": 0 })),
        ("grace_duration", json!(-1)),
        ("tags", json!("x")),
        ("slug", json!("No")),
        ("name", json!(1)),
    ] {
        let mut body = good_simulation();
        body[field] = value.clone();
        let refusal = world.refused(&Method::POST, "/simulate", body.to_string()).await;
        assert_eq!(refusal.code, 422, "{field} {value}");
        let named = refusal.description.starts_with(&format!("{field}: "));
        assert!(named, "{field} {value}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_furthest_instants_and_everything_at_once_are_answered() {
    let world = World::new().await;
    let mut paths = Vec::new();
    for at in ["1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999999999Z", "2026-11-22T12:00:00.000001Z"] {
        paths.push(format!("/monitors/{}/explain?at={at}", world.ours.monitor));
        paths.push(format!("/schedules/preview?every=31622400&count=64&from={at}"));
        for expression in
            ["*+*+*+*+*", "0+0+29+2+*", "0+0+*/31+1+1", "30+2+*+*+*", "0-59+0-23+1-31,L,15W+*+*/7"]
        {
            for zone in ["UTC", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll", "Asia/Kathmandu"] {
                let query = format!("cron={expression}&timezone={zone}&count=64&from={at}");
                paths.push(format!("/schedules/preview?{query}"));
            }
        }
    }
    paths.push(format!("/monitors/{}/simulate?unknown=%00&=&&&", world.ours.monitor));
    for path in paths {
        let answer = world.cronmon.call(Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_ne!(answer.body["data"], Value::Null, "{path}");
    }
    world.nothing_changed("reading").await;
}
