//! The fields of a monitor, each with what it can't be.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, good_monitor};

/// What is no duration, as JSON text: some of it has no place in a `Value`.
pub(crate) const BAD_DURATIONS: [&str; 15] = [
    "-1",
    "31622401",
    "1e30",
    "1.5",
    "10.0",
    "1e2",
    "\"60\"",
    "\"\"",
    "true",
    "[]",
    "[60]",
    "{}",
    "2147483648",
    "9223372036854775808",
    "-9223372036854775809",
];

/// Sends a body with this text in place of a field's value, to create and to change.
pub(crate) async fn refused_with(world: &World, field: &str, value: &str) {
    let mut good = good_monitor();
    good.as_object_mut().unwrap().remove(field);
    let mut body = good.to_string();
    body.truncate(body.len() - 1);
    let body = format!("{body},\"{field}\":{value}}}");
    let one = format!("/monitors/{}", world.ours.monitor);
    for (method, path) in [(Method::POST, "/monitors"), (Method::PATCH, &one)] {
        let refusal = world.refused(&method, path, body.clone()).await;
        assert_eq!(refusal.code, 422, "{method} {body}: {}", refusal.description);
        assert_eq!(refusal.reason, "Unprocessable Entity", "{method} {body}");
        let named = refusal.description.starts_with(&format!("{field}: "));
        assert!(named, "{method} {body}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_is_whole_seconds_from_0_to_366_days() {
    let world = World::new().await;
    for field in [
        "expected_duration",
        "grace_duration",
        "start_grace_duration",
        "early_duration",
        "min_interval_duration",
        "min_duration",
    ] {
        for value in BAD_DURATIONS {
            refused_with(&world, field, value).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_from_1_to_1000() {
    let world = World::new().await;
    for field in ["failure_threshold", "recovery_threshold"] {
        for value in ["0", "-1", "1001", "1.5", "1.0", "\"1\"", "true", "[]", "{}", "2147483648", "1e30"] {
            refused_with(&world, field, value).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_text_of_at_most_4096_characters_without_nul() {
    let world = World::new().await;
    let long = |c: &str, count: usize| json!(c.repeat(count)).to_string();
    let values = [
        "null".to_owned(),
        "1".to_owned(),
        "true".to_owned(),
        "[]".to_owned(),
        "[\"a\"]".to_owned(),
        "{}".to_owned(),
        "\"\\u0000\"".to_owned(),
        "\"before\\u0000after\"".to_owned(),
        long("x", 4_097),
        long("\u{1f980}", 4_097),
        long("x", 1_000_000),
    ];
    for value in &values {
        refused_with(&world, "name", value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_on_is_every_or_first() {
    let world = World::new().await;
    for value in ["\"\"", "\"Every\"", "\"never\"", "\"every \"", "\"first\\u0000\"", "1", "true", "[]", "{}"]
    {
        refused_with(&world, "alert_on", value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn armed_is_true_or_false() {
    let world = World::new().await;
    for value in ["\"true\"", "1", "0", "[]", "{}", "\"\""] {
        let body = format!(r#"{{"name":"a","schedule":null,"armed":{value}}}"#);
        let refusal = world.refused(&Method::POST, "/monitors", body.clone()).await;
        assert_eq!(refusal.code, 422, "{body}");
        assert!(refusal.description.starts_with("armed: "), "{}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let world = World::new().await;
    let one = format!("/monitors/{}", world.ours.monitor);
    for (method, path, body, missing) in [
        (Method::POST, "/monitors", json!({}), "name"),
        (Method::POST, "/monitors", json!({ "schedule": null }), "name"),
        (Method::POST, "/monitors", json!({ "name": "a" }), "expected_duration"),
        (Method::POST, "/monitors", json!({ "name": "a", "expected_duration": 1 }), "grace_duration"),
        (Method::POST, "/monitors", json!({ "name": "a", "grace_duration": 1 }), "expected_duration"),
        (Method::POST, "/monitors", json!({ "name": "a", "shedule": { "every": 60 } }), "expected_duration"),
        (Method::PATCH, &one, json!({}), "name"),
        (Method::PATCH, &one, json!({ "name": "a", "schedule": null }), "expected_duration"),
    ] {
        let refusal = world.refused(&method, path, body.to_string()).await;
        assert_eq!(refusal.code, 422, "{method} {body}");
        let named = refusal.description.starts_with(&format!("{missing}: the field is missing"));
        assert!(named, "{method} {body}: {}", refusal.description);
    }
    // Through the original's door, and in a change, null is no duration.
    for (method, path, field) in [
        (Method::POST, "/monitors", "expected_duration"),
        (Method::POST, "/monitors", "grace_duration"),
        (Method::PATCH, &one, "grace_duration"),
    ] {
        let mut body = json!({ "name": "a", "expected_duration": 1, "grace_duration": 1 });
        body[field] = Value::Null;
        assert_eq!(world.refused(&method, path, body.to_string()).await.code, 422, "{method} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_field_among_good_ones_changes_none_of_them() {
    let world = World::new().await;
    let one = format!("/monitors/{}", world.ours.monitor);
    // The deadline has passed, but not even that is written down by a change that is refused.
    world.cronmon.set_clock(world.cronmon.now() + chrono::Duration::days(3));
    let body = json!({
        "name": "new", "expected_duration": 5, "grace_duration": 6, "schedule": null, "alert_on": "sometimes",
    });
    assert_eq!(world.refused(&Method::PATCH, &one, body.to_string()).await.code, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_of_1_to_100_small_letters_digits_and_two_marks() {
    let world = World::new().await;
    let long = json!("a".repeat(101)).to_string();
    let huge = json!("a".repeat(1_000_000)).to_string();
    for value in [
        "\"\"",
        "\"A\"",
        "\"a b\"",
        "\"\u{fc}\"",
        "\"a/b\"",
        "\"a.b\"",
        "\"a\\u0000\"",
        "1",
        "true",
        "[]",
        "{}",
    ] {
        refused_with(&world, "slug", value).await;
    }
    refused_with(&world, "slug", &long).await;
    refused_with(&world, "slug", &huge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_at_most_20_words() {
    let world = World::new().await;
    let long = json!(["x".repeat(101)]).to_string();
    let many = json!((0..21).map(|n| n.to_string()).collect::<Vec<_>>()).to_string();
    let huge = json!("x".repeat(1_000_000)).to_string();
    for value in [
        "\"prod\"",
        "1",
        "true",
        "{}",
        "[1]",
        "[null]",
        "[[]]",
        "[\"\"]",
        "[\"a b\"]",
        "[\"a,b\"]",
        "[\"a\\n\"]",
        "[\"a\\u0000\"]",
        "[\"a\", 1]",
        &long,
        &many,
        &huge,
    ] {
        refused_with(&world, "tags", value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_on_ping_is_true_or_false() {
    let world = World::new().await;
    for value in ["\"true\"", "1", "0", "[]", "{}", "\"\""] {
        refused_with(&world, "resume_on_ping", value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keywords_are_at_most_20_texts_of_each_of_three_kinds() {
    let world = World::new().await;
    let mut values: Vec<Value> = vec![
        json!("error"),
        json!(1),
        json!(true),
        json!([]),
        json!(["error"]),
        json!({ "failed": ["error"] }),
        json!({ "Fail": ["error"] }),
        json!({ "log": ["x"] }),
        json!({ "fail": ["error"], "x".repeat(900_000): [] }),
    ];
    for kind in ["fail", "success", "start"] {
        for bad in [
            json!("error"),
            json!(1),
            json!({}),
            json!([1]),
            json!([null]),
            json!([["error"]]),
            json!([""]),
            json!(["x", ""]),
            json!(["a\0"]),
            json!(["x".repeat(201)]),
            json!(["\u{1f980}".repeat(201)]),
            json!(vec!["x"; 21]),
        ] {
            values.push(json!({ kind: bad }));
        }
    }
    for value in values {
        refused_with(&world, "keywords", &value.to_string()).await;
    }
    let body = json!({ "name": "a", "schedule": null, "keywords": { "fails": ["x"] } });
    let refusal = world.refused(&Method::POST, "/monitors", body.to_string()).await;
    assert_eq!(refusal.description, "keywords: the field 'fails' is unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_is_taken_is_409() {
    let world = World::new().await;
    let mut body = good_monitor();
    body["slug"] = json!("watched");
    let refusal = world.refused(&Method::POST, "/monitors", body.to_string()).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (409, "Slug Taken"));
    assert_eq!(refusal.description, "Another monitor has the slug 'watched'");
    // Their own they keep, and another tenant's is free.
    let path = format!("/monitors/{}", world.ours.monitor);
    for (tenant, method, path) in
        [("acme", Method::PATCH, path.as_str()), ("initech", Method::POST, "/monitors")]
    {
        let answer = world.cronmon.call_as(tenant, method, path, Some(&body)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["data"]["slug"]), (200, &json!("watched")));
    }
}
