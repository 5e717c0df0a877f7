//! How long a pause and a snooze last, with what that can't be.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_pause_or_a_snooze_is_an_instant_or_seconds_within_366_days() {
    let world = World::new().await;
    for what in ["pause", "snooze"] {
        let path = format!("/monitors/{}/{what}", world.ours.monitor);
        let refused = async |field: &str, body: Value| {
            let refusal = world.refused(&Method::POST, &path, body.to_string()).await;
            assert_eq!(refusal.code, 422, "{what} {body}");
            let named = refusal.description.starts_with(&format!("{field}: "));
            assert!(named, "{what} {body}: {}", refusal.description);
        };
        for seconds in [
            json!(-1),
            json!(31_622_401),
            json!(1.5),
            json!("60"),
            json!(true),
            json!([]),
            json!(1e300),
            json!({}),
        ] {
            refused("seconds", json!({ "seconds": seconds })).await;
        }
        for until in [
            json!(""),
            json!("x"),
            json!("2026-11-22"),
            json!("2026-11-22T13:00:00"),
            json!("2026-11-22 13:00"),
            json!("infinity"),
            json!("2026-11-22T13:00:00Z\0"),
            // Now, long ago, and too far ahead: the clock stands at noon.
            json!("2026-11-22T12:00:00Z"),
            json!("2026-11-22T12:00:00.0000009Z"),
            json!("0000-01-01T00:00:00Z"),
            json!("2027-11-23T12:00:01Z"),
            json!("9999-12-31T23:59:60Z"),
            json!(1_795_348_800),
            json!(true),
            json!([]),
        ] {
            refused("until", json!({ "until": until })).await;
        }
        refused("until", json!({ "until": "2026-11-22T13:00:00Z", "seconds": 60 })).await;
        for body in ["{", "x", "\0"] {
            assert_eq!(world.refused(&Method::POST, &path, body).await.code, 400, "{what} {body}");
        }
        for body in ["[]", "1", "null", r#"{"seconds":60,"seconds":60}"#] {
            assert_eq!(world.refused(&Method::POST, &path, body).await.code, 422, "{what} {body}");
        }
    }
    let path = format!("/monitors/{}/pause", world.ours.monitor);
    let refusal = world.refused(&Method::POST, &path, r#"{"seconds":0}"#).await;
    assert_eq!(refusal.description, "seconds: a pause takes some time: at least 1");
    let path = format!("/monitors/{}/snooze", world.ours.monitor);
    for body in ["{}", r#"{"until":null}"#, r#"{"until":null,"seconds":null}"#] {
        let refusal = world.refused(&Method::POST, &path, body).await;
        assert_eq!(refusal.description, "until: give it, or seconds: a snooze has an end", "{body}");
    }
    let path = format!("/monitors/{}/resume", world.ours.monitor);
    for (body, code) in [("{", 400), ("[]", 422)] {
        assert_eq!(world.refused(&Method::POST, &path, body).await.code, code, "{body}");
    }
}
