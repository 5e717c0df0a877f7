//! §1, the calls of cron-mon-app, as its code makes them.

use serde_json::{Value, json};

use crate::server::{Answer, Server, Tenant, has_fields, text};
use cronmon_tests::slack::{Slack, TOKEN};

crate::chapter!(
    it_manages_monitors,
    it_manages_keys,
    it_manages_alert_configs,
    it_shows_the_description_of_an_error,
    a_browser_may_call_from_anywhere,
);

/// A 2xx without a Content-Length has no body to it: then it answers with nothing, and the page is empty.
async fn fetch(tenant: &Tenant<'_>, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
    let answer = browser(tenant, method, path, body).await;
    assert!((200..300).contains(&answer.status), "cron-mon-app: {answer}");
    let has_body = answer.header("content-length").is_some_and(|length| length != "0");
    has_body.then(|| answer.body["data"].clone())
}

async fn browser(tenant: &Tenant<'_>, method: &str, path: &str, body: Option<Value>) -> Answer {
    let authorization = format!("Bearer {}", tenant.token);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("origin", "https://cron-mon.example.com"),
        ("sec-fetch-mode", "cors"),
    ];
    tenant.server.send(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await
}

async fn it_manages_monitors(server: &Server) {
    let tenant = server.tenant().await;
    let body = json!({ "name": "new", "expected_duration": 1_800, "grace_duration": 600 });
    let made = fetch(&tenant, "POST", "/monitors", Some(body)).await.expect("a body");
    let path = format!("/monitors/{}", text(&made, "monitor_id"));
    let listed = fetch(&tenant, "GET", "/monitors", None).await.expect("a body");
    has_fields(
        &listed[0],
        &["last_started_job", "last_finished_job"],
        "'`last_*_job` must be there, null when empty'",
    );
    let read = fetch(&tenant, "GET", &path, None).await.expect("a body");
    assert_eq!(read["jobs"], json!([]), "'`jobs` must be there'");
    let body = json!({ "name": "renamed", "expected_duration": 1_800, "grace_duration": 600 });
    let changed = fetch(&tenant, "PATCH", &path, Some(body)).await.expect("a body");
    assert_eq!(changed["name"], "renamed");
    assert_eq!(fetch(&tenant, "DELETE", &path, None).await, None, "a deletion has no body");
}

async fn it_manages_keys(server: &Server) {
    let tenant = server.tenant().await;
    let made = fetch(&tenant, "POST", "/keys", Some(json!({ "name": "new" }))).await.expect("a body");
    assert_eq!(text(&made, "key").len(), 32, "it shows the key once");
    let listed = fetch(&tenant, "GET", "/keys", None).await.expect("a body");
    assert_eq!(listed[0]["last_used"], Value::Null, "'`last_used` must be there, null when empty'");
    has_fields(&listed[0], &["api_key_id", "created", "masked", "name", "last_used"], "ApiKey");
    let path = format!("/keys/{}", text(&listed[0], "api_key_id"));
    assert_eq!(fetch(&tenant, "DELETE", &path, None).await, None, "a deletion has no body");
}

async fn it_manages_alert_configs(server: &Server) {
    let tenant = server.tenant().await;
    let channel = Slack::channel();
    let body = json!({
        "name": "new", "active": true, "on_late": true, "on_error": false,
        "type": { "slack": { "channel": channel, "token": TOKEN } },
    });
    let made = fetch(&tenant, "POST", "/alert-configs", Some(body)).await.expect("a body");
    let path = format!("/alert-configs/{}", text(&made, "alert_config_id"));
    let listed = fetch(&tenant, "GET", "/alert-configs", None).await.expect("a body");
    assert_eq!(listed[0]["type"], "slack");
    let mut form = fetch(&tenant, "GET", &path, None).await.expect("a body");
    assert_eq!(form["monitors"], json!([]));
    // It sends the form back with what was changed.
    form["on_error"] = json!(true);
    let changed = fetch(&tenant, "PATCH", &path, Some(form)).await.expect("a body");
    assert_eq!(changed["on_error"], true);
    assert_eq!(fetch(&tenant, "POST", &format!("{path}/test"), None).await, None, "a test has no body");
    assert_eq!(server.slack.heard(&channel)[0].authorization, format!("Bearer {TOKEN}"), "the token is kept");
    assert_eq!(fetch(&tenant, "DELETE", &path, None).await, None, "a deletion has no body");
}

async fn it_shows_the_description_of_an_error(server: &Server) {
    let tenant = server.tenant().await;
    let unknown = crate::server::new_id();
    for (method, path, body) in [
        ("GET", format!("/monitors/{unknown}"), None),
        ("POST", "/monitors".to_owned(), Some(json!({ "name": "a" }))),
        ("DELETE", format!("/keys/{unknown}"), None),
        ("POST", format!("/alert-configs/{unknown}/test"), None),
    ] {
        let answer = browser(&tenant, method, &path, body).await;
        assert!(answer.status >= 400, "{answer}");
        let description = text(&answer.body["error"], "description");
        assert!(!description.is_empty(), "'It shows `error.description` of errors': {answer}");
    }
}

async fn a_browser_may_call_from_anywhere(server: &Server) {
    for (method, path) in [
        ("GET", "/monitors".to_owned()),
        ("PATCH", format!("/monitors/{}", crate::server::new_id())),
        ("DELETE", format!("/keys/{}", crate::server::new_id())),
        ("POST", format!("/alert-configs/{}/test", crate::server::new_id())),
    ] {
        let headers = [
            ("origin", "https://cron-mon.example.com"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        // What the browser reads in it is checked of every answer.
        let answer = server.send("OPTIONS", &path, &headers, None).await;
        answer.is(200, "the preflight of a call");
        assert!(answer.header("access-control-allow-methods").unwrap().contains(method), "{answer}");
    }
    // It reads the document without a token.
    let document = server.send("GET", "/docs/openapi.yaml", &[], None).await;
    document.is(200, "'Without: GET /docs/openapi.yaml'");
}
