//! The fields of retention and of ping keys, each with what it can't be.

use reqwest::Method;
use serde_json::json;

use crate::world::World;

async fn refused_with(world: &World, method: Method, path: &str, field: &str, body: String) {
    let refusal = world.refused(&method, path, body.clone()).await;
    assert_eq!(refusal.code, 422, "{body}");
    assert_eq!(refusal.reason, "Unprocessable Entity", "{body}");
    assert!(refusal.description.starts_with(&format!("{field}: ")), "{body}: {}", refusal.description);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_much_is_kept_has_its_limits() {
    let world = World::new().await;
    for (field, other, values) in [
        ("most_pings", "history_duration", &["0", "1000001"]),
        ("history_duration", "most_pings", &["86399", "31622401"]),
    ] {
        for value in ["-1", "1.5", "100000.0", "1e5", "\"100000\"", "true", "[]", "{}", "2147483648", "1e30"]
            .iter()
            .chain(values)
        {
            let body = format!(r#"{{"{field}":{value}}}"#);
            refused_with(&world, Method::PATCH, "/retention", field, body).await;
            let body = format!(r#"{{"{other}":100000,"{field}":{value}}}"#);
            refused_with(&world, Method::PATCH, "/retention", field, body).await;
        }
    }
    refused_with(&world, Method::PATCH, "/retention", "most_pings", r#"{"most_ping":1}"#.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_ping_key_is_text_of_at_most_4096_characters_without_nul() {
    let world = World::new().await;
    for value in [json!(1), json!(true), json!([]), json!({}), json!("a\0"), json!("x".repeat(4_097))] {
        let body = json!({ "name": value }).to_string();
        refused_with(&world, Method::POST, "/ping-keys", "name", body).await;
    }
}
