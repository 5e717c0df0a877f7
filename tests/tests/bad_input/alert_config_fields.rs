//! The fields of an alert config and of an association, each with what it can't be.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, good_alert_config};

/// Sends a body with this value in a field, to create and to change.
async fn refused_with(world: &World, field: &str, value: Value) {
    let mut body = good_alert_config();
    body[field] = value;
    let body = body.to_string();
    let one = format!("/alert-configs/{}", world.ours.free);
    for (method, path) in [(Method::POST, "/alert-configs"), (Method::PATCH, &one)] {
        let refusal = world.refused(&method, path, body.clone()).await;
        assert_eq!(refusal.code, 422, "{method} {body}: {}", refusal.description);
        assert_eq!(refusal.reason, "Unprocessable Entity", "{method} {body}");
        let named = refusal.description.starts_with(&format!("{field}: "));
        assert!(named, "{method} {body}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_true_or_false() {
    let world = World::new().await;
    for switch in ["active", "on_late", "on_error", "on_recovered", "on_warning", "default"] {
        for value in [json!(null), json!("true"), json!(1), json!(0), json!([]), json!({}), json!("")] {
            refused_with(&world, switch, value).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_name_is_text_of_at_most_4096_characters_without_nul() {
    let world = World::new().await;
    for value in [json!(null), json!(1), json!([]), json!({}), json!("a\0"), json!("x".repeat(4_097))] {
        refused_with(&world, "name", value).await;
    }
    let mut body = good_alert_config();
    body["name"] = json!("\u{1f980}".repeat(4_096));
    let answer = world.cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["data"]["name"], body["name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_type_is_one_of_webhook_and_slack() {
    let world = World::new().await;
    let url = "https://example.com/";
    for value in [
        json!(null),
        json!("webhook"),
        json!(1),
        json!([]),
        json!({}),
        json!([{ "webhook": { "url": url } }]),
        json!({ "slack": null }),
        json!({ "slack": {} }),
        json!({ "slack": ["#a", "xoxb-1"] }),
        json!({ "Slack": { "channel": "#a", "token": "xoxb-1" } }),
        json!({ "Webhook": { "url": url } }),
        json!({ "pigeon": {} }),
        json!({ "\0": {} }),
        json!({ "x".repeat(900_000): {} }),
        json!({ "webhook": { "url": url }, "slack": { "channel": "#a", "token": "t" } }),
        json!({ "webhook": null }),
        json!({ "webhook": url }),
        json!({ "webhook": [] }),
        json!({ "webhook": {} }),
        json!({ "webhook": { "uri": url } }),
        json!({ "webhook": { "url": url, "method": "GET" } }),
        json!({ "webhook": { "url": null } }),
        json!({ "webhook": { "url": 1 } }),
        json!({ "webhook": { "url": [url] } }),
    ] {
        refused_with(&world, "type", value).await;
    }
    let body = json!({ "name": "a", "type": { "pigeon": { "loft": 1 } } });
    let refusal = world.refused(&Method::POST, "/alert-configs", body.to_string()).await;
    assert_eq!(
        refusal.description,
        "type: the alert type 'pigeon' is unknown; there are 'webhook' and 'slack'"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_wants_a_channel_and_a_token_that_a_header_takes() {
    let world = World::new().await;
    let slack = |channel: Value, token: Value| json!({ "slack": { "channel": channel, "token": token } });
    for channel in [json!(null), json!(1), json!([]), json!(""), json!("#a\0"), json!("x".repeat(257))] {
        refused_with(&world, "type", slack(channel, json!("xoxb-1"))).await;
    }
    let too_long = "x".repeat(513);
    for token in
        ["", " ", "xoxb 1", " xoxb-1", "xoxb-1\n", "xoxb-\r\nhost: x", "xoxb-\0", "xoxb-\u{e4}", &too_long]
    {
        refused_with(&world, "type", slack(json!("#a"), json!(token))).await;
    }
    for token in [json!(null), json!(1), json!({}), json!(["xoxb-1"])] {
        refused_with(&world, "type", slack(json!("#a"), token)).await;
    }
    for (fields, why) in [
        (json!({ "channel": "#a" }), "type: the token of slack is missing"),
        (json!({ "token": "xoxb-1" }), "type: the channel of slack is missing"),
        (json!({ "channel": "", "token": "xoxb-1" }), "type: the channel must have 1 to 256 characters"),
        (
            json!({ "channel": "#a", "token": "xoxb 1" }),
            "type: the token must be 1 to 512 printable ASCII characters without spaces",
        ),
    ] {
        let body = json!({ "name": "a", "type": { "slack": fields } });
        let refusal = world.refused(&Method::POST, "/alert-configs", body.to_string()).await;
        assert_eq!(refusal.description, why);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_a_webhook_is_one_that_can_be_posted_to() {
    let world = World::new().await;
    for url in [
        "",
        " ",
        "x",
        "example.com",
        "//example.com/",
        "/hook",
        "http://",
        "http:///",
        "http:// /",
        "https://:443/",
        "http://a b/",
        "http://[::1/",
        "http://[1:2]/",
        "http://example.com:99999/",
        "http://256.256.256.256/",
        "http://exa\0mple.com/",
        "http://example.com/\0",
        "\0http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "mailto:a@example.com",
        "gopher://example.com/",
        "httpx://example.com/",
        &format!("https://example.com/{}", "x".repeat(2_048)),
    ] {
        refused_with(&world, "type", json!({ "webhook": { "url": url } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_type_are_required() {
    let world = World::new().await;
    let one = format!("/alert-configs/{}", world.ours.free);
    for (method, path) in [(Method::POST, "/alert-configs"), (Method::PATCH, &one)] {
        for field in ["name", "type"] {
            let mut body = good_alert_config();
            body.as_object_mut().unwrap().remove(field);
            let refusal = world.refused(&method, path, body.to_string()).await;
            assert_eq!(refusal.code, 422, "{method} {field}");
            assert_eq!(refusal.description, format!("{field}: the field is missing"), "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_names_alert_configs_by_their_uuids() {
    let world = World::new().await;
    let path = format!("/monitors/{}/alert-configs", world.ours.monitor);
    let free = &world.ours.free;
    for value in [
        json!(null),
        json!(free),
        json!(1),
        json!(true),
        json!({}),
        json!({ free.as_str(): true }),
        json!(["x"]),
        json!([""]),
        json!([1]),
        json!([null]),
        json!([[free]]),
        json!([free, "x"]),
        json!([free, format!("{free}\0")]),
        json!([{ "alert_config_id": free }]),
    ] {
        let body = json!({ "alert_config_ids": value });
        let refusal = world.refused(&Method::POST, &path, body.to_string()).await;
        assert_eq!(refusal.code, 422, "{body}");
        assert!(refusal.description.starts_with("alert_config_ids: "), "{}", refusal.description);
    }
    let refusal = world.refused(&Method::POST, &path, json!({ "ids": [free] }).to_string()).await;
    assert_eq!(refusal.description, "alert_config_ids: the field is missing");
}
