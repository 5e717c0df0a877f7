//! The fields of a maintenance window, each with what it can't be.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::World;

/// By creation and by change.
async fn refused(world: &World, field: &str, body: Value) {
    for (method, path) in [
        (Method::POST, "/maintenance-windows".to_owned()),
        (Method::PATCH, format!("/maintenance-windows/{}", world.ours.window)),
    ] {
        refused_at(world, method, &path, field, &body).await;
    }
}

async fn refused_at(world: &World, method: Method, path: &str, field: &str, body: &Value) {
    let refusal = world.refused(&method, path, body.to_string()).await;
    assert_eq!(refusal.code, 422, "{method} {body}");
    assert_eq!(refusal.reason, "Unprocessable Entity", "{method} {body}");
    let named = refusal.description.starts_with(&format!("{field}: "));
    assert!(named, "{method} {body}: {}", refusal.description);
}

/// A good body but for these fields.
fn once(fields: &Value) -> Value {
    let mut body = json!({ "starts_at": "2026-11-22T13:00:00Z", "duration": 60, "tags": ["a"] });
    body.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    body
}

fn again(fields: &Value) -> Value {
    let mut body = json!({ "cron": "0 3 * * *", "timezone": "UTC", "duration": 60, "tags": ["a"] });
    body.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_has_its_limits() {
    let world = World::new().await;
    for duration in [
        json!(0),
        json!(-1),
        json!(31_622_401),
        json!(1.5),
        json!(1e30),
        json!("60"),
        json!(true),
        json!([]),
        json!({}),
    ] {
        refused(&world, "duration", once(&json!({ "duration": duration }))).await;
        refused(&world, "duration", again(&json!({ "duration": duration }))).await;
    }
    for instant in [
        json!(""),
        json!("x"),
        json!("2026-11-22"),
        json!("2026-11-22T13:00:00"),
        json!("2026-11-22T13:00:00Z\0"),
        json!(1_795_348_800),
        json!(true),
        json!([]),
    ] {
        refused(&world, "starts_at", once(&json!({ "starts_at": instant }))).await;
        refused(&world, "ends_at", once(&json!({ "ends_at": instant, "duration": null }))).await;
    }
    // Over already, or too far ahead: the clock stands at noon.
    refused(&world, "ends_at", once(&json!({ "starts_at": "2026-11-22T11:59:00Z" }))).await;
    refused(&world, "ends_at", once(&json!({ "starts_at": "0000-01-01T00:00:00Z", "duration": 31_622_400 })))
        .await;
    refused(&world, "starts_at", once(&json!({ "starts_at": "2027-11-23T12:00:01Z" }))).await;
    refused(&world, "starts_at", once(&json!({ "starts_at": "9999-12-31T23:59:59Z" }))).await;
    for end in [
        "2026-11-22T13:00:00Z",
        "2026-11-22T12:59:00Z",
        "2026-11-22T13:00:00.5Z",
        "2026-11-22T13:01:00.000001Z",
        "2027-11-23T13:00:01Z",
        "9999-12-31T23:59:60Z",
    ] {
        refused(&world, "ends_at", once(&json!({ "ends_at": end, "duration": null }))).await;
    }
    refused(&world, "ends_at", once(&json!({ "ends_at": "2026-11-22T13:01:01Z" }))).await;
    for cron in [
        json!(""),
        json!("x"),
        json!("* * * *"),
        json!("61 * * * *"),
        json!("0 0 30 2 *"),
        json!("@reboot"),
        json!("0 3 * * *\0"),
        json!("0 ".repeat(300)),
        json!(1),
        json!([]),
    ] {
        refused(&world, "cron", again(&json!({ "cron": cron }))).await;
    }
    for zone in [json!(""), json!("Mars"), json!("UTC\0"), json!("+02:00"), json!(1), json!([]), json!(true)]
    {
        refused(&world, "timezone", again(&json!({ "timezone": zone }))).await;
    }
    for name in [json!(1), json!(true), json!([]), json!("a\0"), json!("x".repeat(4_097))] {
        refused(&world, "name", once(&json!({ "name": name }))).await;
    }
    let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    for tags in [
        json!("db"),
        json!(1),
        json!([1]),
        json!([""]),
        json!(["a b"]),
        json!(["a,b"]),
        json!(["a\0"]),
        json!(["x".repeat(101)]),
        json!([null]),
        json!(many),
    ] {
        refused(&world, "tags", once(&json!({ "tags": tags }))).await;
    }
    let many: Vec<Uuid> = (0..101).map(|_| Uuid::new_v4()).collect();
    for ids in [
        json!("x"),
        json!(["x"]),
        json!([1]),
        json!([null]),
        json!({}),
        json!(many),
        // Nobody's, and another tenant's.
        json!([Uuid::new_v4()]),
        json!([world.ours.monitor, world.theirs.monitor]),
        json!([many[1], many[2]]),
    ] {
        refused(&world, "monitor_ids", once(&json!({ "monitor_ids": ids }))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_comes_once_or_again_and_covers_somebody() {
    let world = World::new().await;
    refused(&world, "cron", once(&json!({ "cron": "0 3 * * *" }))).await;
    refused(&world, "timezone", once(&json!({ "timezone": "UTC" }))).await;
    refused(&world, "ends_at", again(&json!({ "ends_at": "2026-11-22T13:00:00Z" }))).await;
    refused(&world, "monitor_ids", once(&json!({ "tags": [], "monitor_ids": [] }))).await;
    refused(&world, "monitor_ids", once(&json!({ "tags": null, "monitor_ids": null }))).await;
    refused(&world, "starts_at", json!({ "tags": ["a"], "cron": null })).await;

    let post = async |field: &str, body: Value| {
        refused_at(&world, Method::POST, "/maintenance-windows", field, &body).await;
    };
    post("starts_at", json!({ "tags": ["a"] })).await;
    post("starts_at", json!({ "tags": ["a"], "duration": 60 })).await;
    post("starts_at", json!({ "tags": ["a"], "ends_at": "2026-11-22T13:00:00Z" })).await;
    post("starts_at", json!({ "tags": ["a"], "timezone": "UTC", "duration": 60 })).await;
    post("duration", json!({ "tags": ["a"], "starts_at": "2026-11-22T13:00:00Z" })).await;
    post("duration", json!({ "tags": ["a"], "cron": "0 3 * * *" })).await;
    post("monitor_ids", json!({ "cron": "0 3 * * *", "duration": 60 })).await;

    // The window of the world comes again: it has neither a start nor an end.
    let path = format!("/maintenance-windows/{}", world.ours.window);
    let patch = async |field: &str, body: Value| refused_at(&world, Method::PATCH, &path, field, &body).await;
    patch("ends_at", json!({ "ends_at": "2026-11-22T13:00:00Z" })).await;
    patch("starts_at", json!({ "cron": null })).await;
    patch("monitor_ids", json!({ "monitor_ids": [] })).await;
    for body in [json!({}), json!({ "unknown": 1 })] {
        let refusal = world.refused(&Method::PATCH, &path, body.to_string()).await;
        assert_eq!(refusal.code, 422, "{body}");
        assert!(refusal.description.starts_with("The body changes nothing: "), "{}", refusal.description);
    }
}
