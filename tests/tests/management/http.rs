//! What every answer has in common.

use cronmon_tests::CronMon;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{at, path};

async fn request(cronmon: &CronMon, method: Method, path: &str, body: Option<&str>) -> Response {
    let mut request = cronmon
        .http
        .request(method, format!("{}{path}", cronmon.url))
        .header("authorization", format!("bearer {}", cronmon.issuer.token("acme")));
    if let Some(body) = body {
        request = request.body(body.to_owned());
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_of_the_original() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let gone = cronmon.create(json!({ "name": "b", "schedule": null })).await;
    let one = format!("/api/v1{}", path(&monitor));
    let unknown = Uuid::new_v4();
    for (method, path, body, status) in [
        (Method::GET, "/api/v1/health".to_owned(), None, 200),
        (Method::GET, "/api/v1/health/ready".to_owned(), None, 200),
        (Method::GET, "/api/v1/monitors".to_owned(), None, 200),
        (Method::POST, "/api/v1/monitors".to_owned(), Some(r#"{"name":"c","schedule":null}"#), 200),
        (Method::POST, "/api/v1/monitors".to_owned(), Some("{"), 400),
        (Method::POST, "/api/v1/monitors".to_owned(), Some("{}"), 422),
        (Method::GET, one.clone(), None, 200),
        (Method::HEAD, one.clone(), None, 200),
        (Method::DELETE, format!("/api/v1{}", path(&gone)), None, 204),
        (Method::PUT, one.clone(), None, 405),
        (Method::GET, format!("{one}/jobs"), None, 200),
        (Method::GET, format!("{one}/pings"), None, 200),
        (Method::GET, format!("{one}/pings?limit=0"), None, 422),
        (Method::POST, format!("{one}/ping-url"), None, 200),
        (Method::GET, format!("{one}/alert-configs"), None, 200),
        (Method::GET, format!("/api/v1/monitors/{unknown}"), None, 404),
        (Method::GET, "/api/v1/monitors/x".to_owned(), None, 422),
        (Method::GET, "/api/v1/alert-configs".to_owned(), None, 200),
        (Method::GET, "/api/v1/ping-keys".to_owned(), None, 200),
        (Method::POST, "/api/v1/ping-keys".to_owned(), Some("{}"), 200),
        (Method::DELETE, format!("/api/v1/ping-keys/{unknown}"), None, 404),
        (Method::GET, "/api/v1/retention".to_owned(), None, 200),
        (Method::PATCH, "/api/v1/retention".to_owned(), Some(r#"{"most_pings":1}"#), 200),
        (Method::GET, "/api/v1/nothing".to_owned(), None, 404),
        (Method::GET, "/".to_owned(), None, 404),
        (Method::OPTIONS, one.clone(), None, 200),
    ] {
        let response = request(&cronmon, method.clone(), &path, body).await;
        let what = format!("{method} {path}");
        assert_eq!(response.status(), status, "{what}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "DELETE, GET, OPTIONS, PATCH, POST"),
            ("access-control-allow-headers", "*"),
            ("access-control-allow-credentials", "true"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("permissions-policy", "interest-cohort=()"),
        ] {
            assert_eq!(header(&response, name), Some(value), "{what}: {name}");
        }
        assert_eq!(header(&response, "transfer-encoding"), None, "{what}");
        let length = header(&response, "content-length").map(|length| length.parse::<usize>().unwrap());
        if method != Method::OPTIONS && status != 204 && !path.ends_with("/health") {
            assert_eq!(header(&response, "content-type"), Some("application/json"), "{what}");
        }
        let text = response.text().await.unwrap();
        match method {
            Method::HEAD => assert!(length.unwrap() > 100, "{what}"),
            _ if status == 204 => assert_eq!(text, "", "{what}"),
            _ => assert_eq!(length, Some(text.len()), "{what}"),
        }
    }
    // Also when nobody is known to ask.
    let response = cronmon.http.get(format!("{}/api/v1/monitors", cronmon.url)).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    let length = header(&response, "content-length").unwrap().to_owned();
    assert_eq!(length, response.text().await.unwrap().len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn options_is_200_on_any_path_without_a_token_and_does_nothing() {
    let cronmon = CronMon::start().await;
    for path in ["/", "/api/v1/monitors", "/api/v1/monitors/x/y/z", "/api/v1/health/", "/nowhere", "/%ff"] {
        let response =
            cronmon.http.request(Method::OPTIONS, format!("{}{path}", cronmon.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-length"), Some("0"), "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(response.text().await.unwrap(), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_changes_nothing_and_head_works_where_get_does() {
    let cronmon = CronMon::start().await;
    let config = cronmon.hear_everything_at("http://127.0.0.1:1/").await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.ping(&monitor, "").await;
    let one = format!("/api/v1{}", path(&monitor));
    let job = cronmon.read(&monitor).await["jobs"][0]["job_id"].as_str().unwrap().to_owned();
    for path in [
        "/api/v1/health".to_owned(),
        "/api/v1/health/ready".to_owned(),
        "/api/v1/monitors".to_owned(),
        one.clone(),
        format!("{one}/jobs"),
        format!("{one}/jobs/{job}"),
        format!("{one}/pings"),
        format!("{one}/pings/{job}"),
        "/api/v1/ping-keys".to_owned(),
        "/api/v1/retention".to_owned(),
        format!("{one}/alert-configs"),
        "/api/v1/alert-configs".to_owned(),
        format!("/api/v1/alert-configs/{}", config["alert_config_id"].as_str().unwrap()),
    ] {
        let plain = request(&cronmon, Method::GET, &path, None).await;
        assert_eq!(plain.status(), 200, "{path}");
        let text = plain.text().await.unwrap();
        let slashed = request(&cronmon, Method::GET, &format!("{path}/"), None).await;
        assert_eq!(
            (slashed.status().as_u16(), slashed.text().await.unwrap()),
            (200, text.clone()),
            "{path}/"
        );
        let queried = request(&cronmon, Method::GET, &format!("{path}?a=%00&b"), None).await;
        assert_eq!(
            (queried.status().as_u16(), queried.text().await.unwrap()),
            (200, text.clone()),
            "{path}?"
        );
        let head = request(&cronmon, Method::HEAD, &path, None).await;
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(header(&head, "content-length"), Some(text.len().to_string().as_str()), "{path}");
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
    for (path, body) in [
        ("/api/v1/monitors/".to_owned(), r#"{"name":"a","schedule":null}"#),
        (format!("{one}/"), r#"{"name":"b","expected_duration":1,"grace_duration":2}"#),
    ] {
        let method = if path.ends_with("monitors/") { Method::POST } else { Method::PATCH };
        assert_eq!(request(&cronmon, method, &path, Some(body)).await.status(), 200, "{path}");
    }
    assert_eq!(request(&cronmon, Method::DELETE, &format!("{one}/"), None).await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_or_path_is_refused_in_the_one_error_shape() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let one = path(&monitor);
    for (method, path) in [
        (Method::DELETE, "/monitors".to_owned()),
        (Method::PUT, one.clone()),
        (Method::POST, one.clone()),
        (Method::POST, format!("{one}/jobs")),
        (Method::PATCH, format!("{one}/alert-configs")),
        (Method::POST, "/health".to_owned()),
        (Method::DELETE, "/health/ready".to_owned()),
        (Method::PUT, "/alert-configs".to_owned()),
        (Method::POST, format!("{one}/pings")),
        (Method::GET, format!("{one}/ping-url")),
        (Method::PATCH, "/ping-keys".to_owned()),
        (Method::GET, format!("/ping-keys/{}", Uuid::new_v4())),
        (Method::POST, "/retention".to_owned()),
    ] {
        let answer = cronmon.call(method.clone(), &path, None).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.body["error"]["code"], 405, "{method} {path}");
        assert_eq!(answer.body["error"]["reason"], "Method Not Allowed", "{method} {path}");
    }
    let not_found = json!({ "error": {
        "code": 404, "reason": "Not Found", "description": "The requested resource could not be found.",
    } });
    for path in ["/", "", "/monitor", "/Monitors", "/healthz", "/health/ready/x", "/../x"] {
        let answer = cronmon.call(Method::GET, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.body), (404, not_found.clone()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_pong_and_ready_says_how_far_behind_the_work_is() {
    let cronmon = CronMon::start().await;
    let health = cronmon.http.get(format!("{}/api/v1/health", cronmon.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert!(header(&health, "content-type").unwrap().starts_with("text/plain"));
    assert_eq!(health.text().await.unwrap(), "pong");

    let ready = async || -> Value {
        let ready = cronmon.http.get(format!("{}/api/v1/health/ready", cronmon.url)).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        serde_json::from_str(&ready.text().await.unwrap()).unwrap()
    };
    let behind = |judging: i64, delivery: i64| {
        json!({ "data": {
            "judging_behind_duration": judging, "delivery_behind_duration": delivery, "spool": null,
            "parked_pings": 0, "ticked_at": null, "ingest_seen_at": null, "canary_seen_at": null, "blind_since": null,
        } })
    };
    assert_eq!(ready().await, behind(0, 0));
    cronmon.hear_everything_at("http://127.0.0.1:1/").await;
    let monitor =
        cronmon.create(json!({ "name": "a", "schedule": { "every": 60 }, "grace_duration": 0 })).await;
    cronmon.ping(&monitor, "").await;
    assert_eq!(ready().await, behind(0, 0));
    cronmon.set_clock(at("2026-11-22T12:01:30Z"));
    assert_eq!(ready().await, behind(30, 0));
    cronmon.tick().await;
    assert_eq!(ready().await, behind(0, 0));
    cronmon.set_clock(at("2026-11-22T12:01:40Z"));
    assert_eq!(ready().await, behind(0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_callers_are_told_to_come_again() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    cronmon.pool.close();
    let unavailable = json!({ "error": {
        "code": 503, "reason": "Service Unavailable",
        "description": "The database can't be reached at the moment; try again in some seconds.",
    } });
    for path in ["/health/ready", "/monitors", &path(&monitor), "/alert-configs", "/ping-keys", "/retention"]
    {
        let response = request(&cronmon, Method::GET, &format!("/api/v1{path}"), None).await;
        assert_eq!(response.status(), 503, "{path}");
        assert_eq!(header(&response, "retry-after"), Some("5"), "{path}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body, unavailable, "{path}");
    }
    assert_eq!(request(&cronmon, Method::GET, "/api/v1/health", None).await.text().await.unwrap(), "pong");
}
