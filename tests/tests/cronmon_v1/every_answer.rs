//! §1, what every path has in common: headers, slashes, HEAD, OPTIONS, methods.

use cronmon_tests::raw::exchange;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, Tenant, new_id, slack_config};
use cronmon_tests::slack::Slack;

crate::chapter!(
    health_is_pong_in_plain_text_for_everybody,
    a_slash_at_the_end_matches_too,
    head_works_where_get_does,
    creation_answers_200_and_has_no_location,
    deletion_answers_204_without_a_body,
    ours_a_method_that_a_known_path_has_not_is_405,
    an_unknown_path_is_404,
    options_of_anything_is_200_and_empty,
    json_has_a_content_length_and_is_never_chunked_or_compressed,
    the_openapi_document_is_there_for_everybody,
);

/// One of each thing, and every path that GET answers.
async fn world(tenant: &Tenant<'_>) -> Vec<String> {
    let monitor = tenant.monitor("a", 10, 10).await;
    let key = tenant.key().await;
    let job = tenant.server.started(&key.key, &monitor).await;
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    vec![
        "/health".to_owned(),
        "/docs/openapi.yaml".to_owned(),
        "/monitors".to_owned(),
        format!("/monitors/{monitor}"),
        format!("/monitors/{monitor}/jobs/{job}"),
        "/keys".to_owned(),
        "/alert-configs".to_owned(),
        format!("/alert-configs/{config}"),
        format!("/monitors/{monitor}/alert-configs"),
    ]
}

async fn health_is_pong_in_plain_text_for_everybody(server: &Server) {
    let answer = server.send("GET", "/health", &[], None).await;
    answer.is(200, "GET /health");
    assert_eq!(answer.text, "pong", "GET /health: 200 text/plain `pong`");
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain"), "GET /health: 200 text/plain `pong`: {kind}");
}

async fn a_slash_at_the_end_matches_too(server: &Server) {
    let tenant = server.tenant().await;
    let sentence = "'A trailing slash matches too'";
    for path in world(&tenant).await {
        let (plain, slashed) = (tenant.get(&path).await, tenant.get(&format!("{path}/")).await);
        plain.is(200, &path);
        slashed.is(200, sentence);
        assert_eq!(slashed.text, plain.text, "{sentence}: {path}");
    }
    let monitor = tenant.monitor("b", 10, 10).await;
    let one = format!("/monitors/{monitor}");
    let body = json!({ "name": "c", "expected_duration": 1, "grace_duration": 1 });
    tenant.post("/monitors/", &body).await.data(sentence);
    tenant.patch(&format!("{one}/"), &body).await.data(sentence);
    let key = tenant.post("/keys/", &json!({ "name": "k" })).await.data(sentence)["key"].clone();
    let key = key.as_str().unwrap();
    let started = server.with_key(key, "POST", &format!("{one}/jobs/start/"), "").await;
    let job = started.data(sentence)["job_id"].as_str().unwrap().to_owned();
    let finish = format!("{one}/jobs/{job}/finish/");
    server.with_key(key, "POST", &finish, r#"{"succeeded":true}"#).await.data(sentence);
    let config = slack_config("d", &Slack::channel());
    let made = tenant.post("/alert-configs/", &config).await;
    let id = made.data(sentence)["alert_config_id"].as_str().unwrap();
    tenant.patch(&format!("/alert-configs/{id}/"), &config).await.data(sentence);
    tenant.send("POST", &format!("/alert-configs/{id}/test/"), None).await.no_content(sentence);
    let ids = json!({ "alert_config_ids": [id] });
    tenant.post(&format!("{one}/alert-configs/"), &ids).await.no_content(sentence);
    tenant.delete(&format!("{one}/alert-configs/{id}/")).await.no_content(sentence);
    tenant.delete(&format!("/alert-configs/{id}/")).await.no_content(sentence);
    tenant.delete(&format!("{one}/")).await.no_content(sentence);
    tenant.delete(&format!("/keys/{}/", new_id())).await.refused(404, "API Key Not Found", sentence);
}

async fn head_works_where_get_does(server: &Server) {
    let tenant = server.tenant().await;
    for path in world(&tenant).await {
        let (get, head) = (tenant.get(&path).await, tenant.send("HEAD", &path, None).await);
        head.is(200, "'HEAD works where GET does'");
        assert_eq!(head.text, "", "'HEAD works where GET does': {path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "HEAD {path}");
        // The gateway of the tests can't say how long a body is that it does not have.
        if server.stack().is_none() {
            let length = get.text.len().to_string();
            assert_eq!(head.header("content-length"), Some(length.as_str()), "HEAD {path}");
        }
    }
    server.send("HEAD", "/monitors", &[], None).await.is(401, "HEAD needs what GET does");
    tenant.send("HEAD", &format!("/monitors/{}", new_id()), None).await.is(404, "HEAD answers as GET does");
}

async fn creation_answers_200_and_has_no_location(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = json!({ "name": "a", "expected_duration": 1, "grace_duration": 1 });
    let config = slack_config("b", &Slack::channel());
    for (path, body) in
        [("/monitors", monitor), ("/keys", json!({ "name": "k" })), ("/alert-configs", config)]
    {
        let answer = tenant.post(path, &body).await;
        assert!(answer.data("'creation answers 200, not 201'").is_object(), "{answer}");
        assert_eq!(answer.header("location"), None, "'no `Location`': {answer}");
    }
}

async fn deletion_answers_204_without_a_body(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    for path in
        [format!("/monitors/{monitor}"), format!("/keys/{}", key.id), format!("/alert-configs/{config}")]
    {
        tenant.delete(&path).await.no_content("DELETE: 204 empty");
        tenant.delete(&path).await.is(404, "what is deleted is not there");
    }
}

/// The original says 404 here.
async fn ours_a_method_that_a_known_path_has_not_is_405(server: &Server) {
    let tenant = server.tenant().await;
    let (id, other) = (new_id(), new_id());
    for (method, path) in [
        ("POST", "/health".to_owned()),
        ("POST", "/docs/openapi.yaml".to_owned()),
        ("DELETE", "/monitors".to_owned()),
        ("PUT", format!("/monitors/{id}")),
        ("POST", format!("/monitors/{id}")),
        ("DELETE", format!("/monitors/{id}/jobs/{other}")),
        ("POST", format!("/monitors/{id}/jobs/{other}")),
        ("PATCH", "/keys".to_owned()),
        ("GET", format!("/keys/{id}")),
        ("PUT", "/alert-configs".to_owned()),
        ("POST", format!("/alert-configs/{id}")),
        ("GET", format!("/alert-configs/{id}/test")),
        ("PATCH", format!("/monitors/{id}/alert-configs")),
        ("GET", format!("/monitors/{id}/alert-configs/{other}")),
    ] {
        let answer = tenant.send(method, &path, None).await;
        answer.refused(405, "Method Not Allowed", "405 where the path is there and the method is not");
    }
}

async fn an_unknown_path_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let id = new_id();
    for path in [
        "",
        "/",
        "/monitor",
        "/Monitors",
        "/docs",
        "/docs/",
        "/docs/openapi.yml",
        "/docs/index.html",
        "/keys/a/b",
        &format!("/monitors/{id}/job"),
        &format!("/monitors/{id}/jobs/{id}/x"),
        &format!("/alert-configs/{id}/tests"),
    ] {
        for answer in [tenant.get(path).await, server.send("GET", path, &[], None).await] {
            let description = "The requested resource could not be found.";
            answer.error(404, "Not Found", description, "'unknown path': 404 before auth");
        }
    }
    // Those go to the ping function, which knows no such path either; and others than POST go to the api function,
    // which has no paths that are only posted to.
    let answer = server.with_key("x", "POST", &format!("/monitors/{id}/jobs/{id}/end"), "{}").await;
    answer.refused(404, "Not Found", "'unknown path': 404");
    for method in ["GET", "PATCH", "DELETE"] {
        let answer = tenant.send(method, &format!("/monitors/{id}/jobs/{id}/finish"), None).await;
        answer.refused(404, "Not Found", "'Unknown method on a known path: 404'");
    }
}

async fn options_of_anything_is_200_and_empty(server: &Server) {
    let id = new_id();
    for path in [
        "",
        "/",
        "/monitors",
        "/monitors/",
        "/keys",
        "/nowhere/at/all",
        "/docs/openapi.yaml",
        &format!("/monitors/{id}/jobs/start"),
        &format!("/monitors/{id}/jobs/{id}/finish"),
        "/monitors/x/jobs/y/finish",
    ] {
        let asked = [("origin", "https://example.com"), ("access-control-request-method", "POST")];
        let answer = server.send("OPTIONS", path, &asked, None).await;
        answer.is(200, "'OPTIONS anything': 200");
        assert_eq!(answer.text, "", "'OPTIONS anything': 200 empty, any path: {answer}");
    }
}

async fn json_has_a_content_length_and_is_never_chunked_or_compressed(server: &Server) {
    let tenant = server.tenant().await;
    let sentence = "'a Content-Length on every JSON answer: no chunked JSON, no compression'";
    let mut paths: Vec<(Method, String)> =
        world(&tenant).await.into_iter().map(|path| (Method::GET, path)).collect();
    paths.push((Method::GET, format!("/monitors/{}", new_id())));
    paths.push((Method::GET, "/nowhere".to_owned()));
    paths.push((Method::POST, format!("/monitors/{}/jobs/start", new_id())));
    for (method, path) in paths {
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: cronmon\r\nauthorization: Bearer {}\r\nx-api-key: x\r\n\
             accept-encoding: gzip, deflate, br\r\ncontent-length: 0\r\n\r\n",
            tenant.token
        );
        let reply = exchange(&server.url, request.as_bytes()).await.expect("an answer");
        let head = reply.head.to_ascii_lowercase();
        assert!(
            head.contains(&format!("\r\ncontent-length: {}", reply.body.len())),
            "{sentence}: {path}: {head}"
        );
        assert!(!head.contains("transfer-encoding"), "{sentence}: {path}: {head}");
        assert!(!head.contains("content-encoding"), "{sentence}: {path}: {head}");
        if let Some(stack) = server.stack() {
            // The gateway counts what it is given whole, and given as text.
            let event = json!({
                "rawPath": format!("/api/v1{path}"), "requestContext": { "http": { "method": method.as_str() } },
                "headers": { "authorization": format!("Bearer {}", tenant.token), "x-api-key": "x" },
            });
            let function = if method == Method::POST { &stack.functions.ping } else { &stack.functions.api };
            let answer = function.invoke(&event).await;
            assert_eq!(answer["isBase64Encoded"], json!(false), "{sentence}: {path}");
            assert_eq!(answer["body"].as_str().unwrap().len(), reply.body.len(), "{sentence}: {path}");
            assert_eq!(answer["headers"]["transfer-encoding"], Value::Null, "{sentence}: {path}");
        }
    }
}

async fn the_openapi_document_is_there_for_everybody(server: &Server) {
    let answer = server.send("GET", "/docs/openapi.yaml", &[], None).await;
    answer.is(200, "GET /docs/openapi.yaml: 200, the file, no auth");
    assert_eq!(answer.header("content-type"), None, "GET /docs/openapi.yaml: 'NO content-type'");
    assert!(answer.text.starts_with("openapi: 3.1"), "the file: {answer}");
    for path in ["/monitors/{monitor_id}/jobs/start", "/keys", "/alert-configs/{alert_config_id}/test"] {
        assert!(answer.text.contains(path), "it says everything there is: {path}");
    }
}
