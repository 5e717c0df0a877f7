//! Who has no good token gets 401 on every path, whatever else is wrong with the request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cronmon_tests::tokens::Issuer;
use serde_json::json;

use crate::world::{World, routes};

const LATER: u64 = 4_000_000_000;

fn bad_tokens(world: &World) -> Vec<(&'static str, Option<String>)> {
    let issuer = &world.cronmon.issuer;
    let good = issuer.token("acme");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let now = world.cronmon.now().timestamp();
    let signed = |claims: serde_json::Value| Some(format!("Bearer {}", issuer.sign(&claims)));
    let altered = |header: serde_json::Value| {
        Some(format!("Bearer {}.{claims}.{signature}", BASE64.encode(header.to_string())))
    };
    let other_claims =
        BASE64.encode(json!({ "aud": ["cron-mon"], "tenant": "globex", "exp": LATER }).to_string());
    vec![
        ("no header", None),
        ("an empty header", Some(String::new())),
        ("a word", Some("Bearer".into())),
        ("no token", Some("Bearer ".into())),
        ("garbage", Some("Bearer garbage".into())),
        ("dots", Some("Bearer ..".into())),
        ("more dots", Some("Bearer ....".into())),
        ("not UTF-8 inside", Some("Bearer \u{fc}.\u{fc}.\u{fc}".into())),
        ("another scheme", Some(format!("Basic {good}"))),
        ("no scheme", Some(good.clone())),
        ("two spaces", Some(format!("Bearer  {good}"))),
        ("a part too many", Some(format!("Bearer {good}.x"))),
        ("no signature", Some(format!("Bearer {message}."))),
        ("half a signature", Some(format!("Bearer {message}.{}", &signature[..40]))),
        ("other claims under the signature", Some(format!("Bearer {header}.{other_claims}.{signature}"))),
        ("alg none", Some(format!("Bearer {}", issuer.unsigned("acme")))),
        ("alg HS256", altered(json!({ "alg": "HS256", "kid": "x" }))),
        ("an unknown kid", altered(json!({ "alg": "ES256", "kid": "x" }))),
        ("a kid that is no text", altered(json!({ "alg": "ES256", "kid": 1 }))),
        ("a long token", Some(format!("Bearer {}", "x".repeat(50_000)))),
        ("signed by another", Some(format!("Bearer {}", Issuer::new().token("acme")))),
        ("signed by another under our kid", {
            Some(format!("Bearer {}", Issuer::new().impersonating(issuer).token("acme")))
        }),
        ("expired", signed(json!({ "aud": ["cron-mon"], "tenant": "acme", "exp": now - 61 }))),
        ("no exp", signed(json!({ "aud": ["cron-mon"], "tenant": "acme" }))),
        ("exp is no number", signed(json!({ "aud": ["cron-mon"], "tenant": "acme", "exp": "4000000000" }))),
        ("not valid yet", {
            signed(json!({ "aud": ["cron-mon"], "tenant": "acme", "exp": LATER, "nbf": now + 61 }))
        }),
        ("another audience", signed(json!({ "aud": ["account"], "tenant": "acme", "exp": LATER }))),
        ("part of the audience", signed(json!({ "aud": "cron-mon-2", "tenant": "acme", "exp": LATER }))),
        ("no audience", signed(json!({ "tenant": "acme", "exp": LATER }))),
        ("no tenant", signed(json!({ "aud": ["cron-mon"], "exp": LATER }))),
        ("an empty tenant", signed(json!({ "aud": ["cron-mon"], "tenant": "", "exp": LATER }))),
        (
            "a tenant that is no text",
            signed(json!({ "aud": ["cron-mon"], "tenant": ["acme"], "exp": LATER })),
        ),
        ("a tenant with NUL", signed(json!({ "aud": ["cron-mon"], "tenant": "acme\0", "exp": LATER }))),
        ("a long tenant", signed(json!({ "aud": ["cron-mon"], "tenant": "x".repeat(256), "exp": LATER }))),
        ("claims that are no object", signed(json!(["cron-mon", "acme"]))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_opens_no_path() {
    let world = World::new().await;
    for (what, authorization) in bad_tokens(&world) {
        for route in routes() {
            let (path, body) = (route.to(&world.ours), route.good_body(&world.ours).to_string());
            let refusal = world.refused_as(authorization.as_deref(), &route.method, &path, body).await;
            assert_eq!(refusal.code, 401, "{what}: {} {path}", route.method);
            assert_eq!(refusal.reason, "Unauthorized", "{what}");
            assert_eq!(refusal.description, "The request requires user authentication.", "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_looked_at_before_the_path_and_the_body() {
    let world = World::new().await;
    for route in routes() {
        let path = route.with(&["x", "y"]);
        let refusal = world.refused_as(None, &route.method, &path, "{").await;
        assert_eq!(refusal.code, 401, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_opens_whatever_the_case_of_bearer_and_within_a_minute_of_its_end() {
    let world = World::new().await;
    let now = world.cronmon.now().timestamp();
    let good = world.cronmon.issuer.token("acme");
    let claims = |exp: i64| json!({ "aud": "cron-mon", "tenant": "acme", "exp": exp });
    for authorization in [
        format!("Bearer {good}"),
        format!("bearer {good}"),
        format!("BEARER {good}"),
        format!("Bearer {}", world.cronmon.issuer.sign(&claims(now + 1))),
        format!("Bearer {}", world.cronmon.issuer.sign(&claims(now - 59))),
    ] {
        let url = format!("{}/api/v1/monitors", world.cronmon.url);
        let response =
            world.cronmon.http.get(url).header("authorization", &authorization).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}
