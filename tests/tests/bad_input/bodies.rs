//! Bodies that are no JSON object, or hold a field twice, or are huge.

use reqwest::Method;
use serde_json::json;

use crate::world::{World, good_alert_config, good_monitor, routes};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_400() {
    let world = World::new().await;
    let mut long_nonsense = b"{\"name\": \"".to_vec();
    long_nonsense.extend_from_slice(&vec![b'x'; 900_000]);
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"}".to_vec(),
        b"{\"name\"".to_vec(),
        b"{\"name\":".to_vec(),
        b"{\"name\":\"a\"".to_vec(),
        b"{\"name\":\"a\",}".to_vec(),
        b"{name:\"a\"}".to_vec(),
        b"{'name':'a'}".to_vec(),
        b"{\"name\":\"a\"}}".to_vec(),
        b"{\"name\":\"a\"} x".to_vec(),
        b"name=a&schedule=".to_vec(),
        b"nul".to_vec(),
        b"\0".to_vec(),
        b"\xff".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"name\":\"\xff\"}".to_vec(),
        b"{\"\xc3\":1}".to_vec(),
        b"{\"name\":\"a\nb\"}".to_vec(),
        b"{\"name\":\"\\ud800\"}".to_vec(),
        b"{\"name\":\"\\x\"}".to_vec(),
        b"{\"grace_duration\":1e999}".to_vec(),
        b"{\"grace_duration\":01}".to_vec(),
        b"{\"grace_duration\":NaN}".to_vec(),
        b"{\"grace_duration\":+1}".to_vec(),
        b"{\"a\":".repeat(100_000),
        [b"{\"a\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat(),
        [b"{\"name\":".to_vec(), b"[".repeat(500), b"]".repeat(500), b"}".to_vec()].concat(),
        long_nonsense,
    ];
    for route in routes().iter().filter(|route| route.takes_body) {
        let path = route.to(&world.ours);
        for body in &bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            let refusal = world.refused(&route.method, &path, body.clone()).await;
            assert_eq!(refusal.code, 400, "{} {path} {shown}", route.method);
            assert_eq!(refusal.reason, "Bad Request", "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_no_object_is_422() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.takes_body) {
        let path = route.to(&world.ours);
        for body in ["[]", "null", "true", "1", "-1.5", "\"a\"", r#"["a",1,2]"#, r#"[{"name":"a"}]"#, "{}"] {
            // A ping key needs no name.
            if body == "{}" && route.parts[0] == "/ping-keys" {
                continue;
            }
            let refusal = world.refused(&route.method, &path, body).await;
            assert_eq!(refusal.code, 422, "{} {path} {body}", route.method);
            assert_eq!(refusal.reason, "Unprocessable Entity", "{body}");
        }
        // Known from its first byte, however deep it goes on.
        let deep = "[".repeat(100_000);
        assert_eq!(world.refused(&route.method, &path, deep).await.code, 422, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_given_twice_is_refused_and_named() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.takes_body) {
        let path = route.to(&world.ours);
        let good = route.good_body(&world.ours);
        for (field, value) in good.as_object().unwrap() {
            let mut body = good.to_string();
            body.truncate(body.len() - 1);
            let body = format!("{body},\"{field}\":{value}}}");
            let refusal = world.refused(&route.method, &path, body.clone()).await;
            assert_eq!(refusal.code, 422, "{} {path} {body}", route.method);
            assert!(refusal.description.contains(&format!("'{field}'")), "{}", refusal.description);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_within_a_field_that_is_given_twice_is_refused() {
    let world = World::new().await;
    let (one_monitor, one_config) =
        (format!("/monitors/{}", world.ours.monitor), format!("/alert-configs/{}", world.ours.free));
    for schedule in [
        r#"{"every":60,"every":3600}"#,
        r#"{"cron":"0 3 * * *","cron":"0 4 * * *"}"#,
        r#"{"cron":"0 3 * * *","timezone":"Europe/Riga","timezone":"UTC"}"#,
    ] {
        let body =
            format!(r#"{{"name":"a","schedule":{schedule},"expected_duration":1,"grace_duration":2}}"#);
        for (method, path) in [(Method::POST, "/monitors"), (Method::PATCH, &one_monitor)] {
            assert_eq!(world.refused(&method, path, body.clone()).await.code, 422, "{method} {body}");
        }
    }
    let body = r#"{"name":"a","type":{"webhook":{"url":"http://a.example/","url":"http://b.example/"}}}"#;
    for (method, path) in [(Method::POST, "/alert-configs"), (Method::PATCH, &one_config)] {
        assert_eq!(world.refused(&method, path, body).await.code, 422, "{method} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_are_413_and_their_sender_hears_it() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.takes_body) {
        let path = route.to(&world.ours);
        // Valid JSON, but for its length.
        let mut body = route.good_body(&world.ours).to_string().into_bytes();
        body.resize(20_000_000, b' ');
        let refusal = world.refused(&route.method, &path, body).await;
        assert_eq!(refusal.code, 413, "{} {path}", route.method);
        assert_eq!(refusal.reason, "Payload Too Large");
        assert_eq!(refusal.description, "The body is larger than 1048576 bytes.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_twenty_megabytes_where_something_else_is_wrong_hears_that() {
    let world = World::new().await;
    let huge = vec![b' '; 20_000_000];
    for route in routes().iter().filter(|route| route.takes_body) {
        let path = route.to(&world.ours);
        assert_eq!(world.refused_as(None, &route.method, &path, huge.clone()).await.code, 401, "{path}");
        if route.id_count() > 0 {
            let path = route.with(&["x"]);
            assert_eq!(world.refused(&route.method, &path, huge.clone()).await.code, 422, "{path}");
        }
    }
    assert_eq!(world.refused(&Method::POST, "/nowhere", huge.clone()).await.code, 404);
    assert_eq!(world.refused(&Method::PUT, "/monitors", huge).await.code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mebibyte_is_taken_and_a_byte_more_is_not() {
    let world = World::new().await;
    for (path, body) in [("/monitors", good_monitor()), ("/alert-configs", good_alert_config())] {
        let mut body = body.to_string().into_bytes();
        body.resize(1024 * 1024 + 1, b' ');
        assert_eq!(world.refused(&Method::POST, path, body).await.code, 413, "{path}");
    }
    let mut body = good_monitor().to_string().into_bytes();
    body.resize(1024 * 1024, b' ');
    let request = world.cronmon.http.post(format!("{}/api/v1/monitors", world.cronmon.url)).body(body);
    let authorization = format!("Bearer {}", world.cronmon.issuer.token("acme"));
    let response = request.header("authorization", authorization).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_without_a_body_ignore_whatever_comes() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.method == Method::GET) {
        let path = route.to(&world.ours);
        for body in [json!([]), json!({ "name": "\0" })] {
            let answer = world.cronmon.call(Method::GET, &path, Some(&body)).await;
            assert_eq!(answer.status, 200, "{path}");
        }
    }
    world.nothing_changed("reading").await;
}
