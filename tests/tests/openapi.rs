//! docs/openapi.yaml and the routers say the same, and the document is served.

use std::collections::BTreeSet;

use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/openapi.yaml");

/// Management that the ping function answers.
const OF_PING: [&str; 2] =
    ["/api/v1/monitors/{monitor_id}/jobs/start", "/api/v1/monitors/{monitor_id}/jobs/{job_id}/finish"];

/// A router does not tell which methods a path answers, so each is tried. Without a token nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_path_with_every_method_that_is_answered_and_no_other() {
    let cronmon = CronMon::start().await;
    let documented = documented();
    assert!(documented.contains(&("/api/v1/monitors/{monitor_id}".to_owned(), Method::PATCH.to_string())));
    let of_routers = api::paths().chain(OF_PING).map(str::to_owned);
    let paths: BTreeSet<String> = documented.iter().map(|(path, _)| path.clone()).chain(of_routers).collect();
    let mut answered = BTreeSet::new();
    // A GET there asks for the job `start`, which is another path of the document.
    let is_another = |path: &str, method: &Method| path.ends_with("/jobs/start") && method == Method::GET;
    for path in &paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let url = format!("{}{}", cronmon.url, path.replace(['{', '}'], ""));
            let answer = cronmon.http.request(method.clone(), url).send().await.unwrap();
            let status = answer.status();
            let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
            if !is_another(path, &method) && status != 405 && error["error"]["reason"] != "Not Found" {
                answered.insert((path.clone(), method.to_string()));
            }
        }
    }
    assert_eq!(answered, documented);
}

/// Who else asks does not write the answers down.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_among_the_answers() {
    let cronmon = CronMon::start().await;
    let answer = cronmon.call(Method::GET, "/health/ready", None).await;
    assert_eq!(answer.body["data"]["parked_pings"], 0, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_without_a_token_and_without_a_content_type() {
    let cronmon = CronMon::start().await;
    for path in ["/api/v1/docs/openapi.yaml", "/api/v1/docs/openapi.yaml/"] {
        for (method, body) in [(Method::GET, DOCUMENT), (Method::HEAD, "")] {
            let url = format!("{}{path}", cronmon.url);
            let answer = cronmon.http.request(method, url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers().get("content-type"), None);
            assert_eq!(answer.headers()["content-length"], DOCUMENT.len().to_string().as_str());
            assert_eq!(answer.headers()["access-control-allow-origin"], "*");
            assert_eq!(answer.text().await.unwrap(), body);
        }
    }
    for path in ["/docs", "/docs/", "/docs/openapi.json", "/docs/openapi.yaml/x"] {
        let answer = cronmon.call(Method::GET, path, None).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["error"]["reason"], "Not Found", "{path}");
    }
}

/// The paths of the document and their methods, by how far their lines are indented.
fn documented() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut path = "";
    for line in
        DOCUMENT.lines().skip_while(|line| *line != "paths:").take_while(|line| *line != "components:")
    {
        let key = line.trim_start().trim_end_matches(':');
        match line.len() - line.trim_start().len() {
            2 if key.starts_with('/') => path = key,
            4 if ["get", "post", "put", "patch", "delete"].contains(&key) => {
                found.insert((path.to_owned(), key.to_uppercase()));
            }
            _ => {}
        }
    }
    found
}
