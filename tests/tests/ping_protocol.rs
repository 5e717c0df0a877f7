//! The ping protocol of Healthchecks, to the byte, and what of it is recorded.

use cronmon_tests::contents::{contents, count};
use cronmon_tests::{CronMon, Receiver, raw};
use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

const SIGNALS: &str = "select count(*) from signal";
const RID: &str = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

async fn cronmon_with_monitor() -> (CronMon, Value) {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    (cronmon, monitor)
}

fn ping_url(monitor: &Value, rest: &str) -> String {
    format!("{}{rest}", monitor["ping_url"].as_str().unwrap())
}

fn ping_id(monitor: &Value) -> &str {
    monitor["ping_url"].as_str().unwrap().rsplit('/').next().unwrap()
}

async fn send(cronmon: &CronMon, method: Method, url: &str) -> Response {
    cronmon.http.request(method, url).send().await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// Sends a request whose reply must be this, and nothing recorded.
async fn refused(cronmon: &CronMon, method: Method, url: &str, status: u16, text: &str) {
    let before = contents(&cronmon.pool).await;
    let response = send(cronmon, method.clone(), url).await;
    assert_eq!(response.status(), status, "{method} {url}");
    assert_eq!(header(response.headers(), "content-type"), Some("text/plain"), "{method} {url}");
    assert_eq!(header(response.headers(), "ping-body-limit"), None, "{method} {url}");
    let body = response.text().await.unwrap();
    assert_eq!(body, if method == Method::HEAD { "" } else { text }, "{method} {url}");
    assert_eq!(contents(&cronmon.pool).await, before, "{method} {url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ping_is_answered_ok_with_the_headers_that_clients_know() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let mut sent = 0;
    for suffix in ["", "/", "/start", "/fail", "/log", "/0", "/1", "/255"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            let what = format!("{method} {suffix}");
            let response = send(&cronmon, method.clone(), &ping_url(&monitor, suffix)).await;
            assert_eq!(response.status(), 200, "{what}");
            for (name, value) in [
                ("content-type", "text/plain"),
                ("content-length", "2"),
                ("ping-body-limit", "10000"),
                ("access-control-allow-origin", "*"),
                ("cache-control", "max-age=0, no-cache, no-store, must-revalidate, private"),
            ] {
                assert_eq!(header(response.headers(), name), Some(value), "{what}: {name}");
            }
            let body = response.text().await.unwrap();
            assert_eq!(body, if method == Method::HEAD { "" } else { "OK" }, "{what}");
            sent += 1;
            assert_eq!(count(&cronmon.pool, SIGNALS).await, sent, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_and_a_client_that_waits_for_100_continue_are_served() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let path = format!("/ping/{}", ping_id(&monitor));
    let reply = raw::exchange(&cronmon.url, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"OK".as_slice()));
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    let reply = raw::exchange(&cronmon.url, request.as_bytes()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"OK".as_slice()));
    assert_eq!(count(&cronmon.pool, "select count(*) from signal where kind = 'success'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn suffixes_and_exit_statuses_0_to_255_are_recorded_as_what_they_mean() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let mut expected = Vec::new();
    for (suffix, kind) in [("start", "start"), ("", "success"), ("fail", "fail"), ("log", "log")] {
        cronmon.ping(&monitor, &format!("/{suffix}")).await;
        expected.push((kind.to_owned(), None));
    }
    for (text, status) in [("000", 0), ("007", 7), ("0255", 255)] {
        cronmon.ping(&monitor, &format!("/{text}")).await;
        expected.push((if status == 0 { "success" } else { "fail" }.to_owned(), Some(status)));
    }
    let (cronmon, monitor) = (&cronmon, &monitor);
    join_all((0..=255).map(|status| async move { cronmon.ping(monitor, &format!("/{status}")).await })).await;
    for status in 0..=255 {
        expected.push((if status == 0 { "success" } else { "fail" }.to_owned(), Some(status)));
    }
    let rows = cronmon.pool.get().await.unwrap().query("select kind, exit_status from signal", &[]).await;
    let mut recorded: Vec<(String, Option<i16>)> =
        rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    recorded.sort();
    expected.sort();
    assert_eq!(recorded, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_statuses_over_255_are_refused() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    for status in ["256", "257", "999", "00256", "65536", "4294967296", "99999999999999999999999999"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            let url = ping_url(&monitor, &format!("/{status}"));
            refused(&cronmon, method, &url, 400, "invalid url format").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_rid_is_refused_and_a_good_one_is_kept() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    for rid in [
        "",
        "1",
        "not-a-uuid",
        "%00",
        "%ff",
        "5b8a1c0e7d7c4a0b9c590f3f1e6f1a11",
        "%7B5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11%7D",
        "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a1",
        "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a111",
        "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a1g",
    ] {
        for suffix in ["", "/", "/start", "/fail", "/log", "/3"] {
            let url = ping_url(&monitor, &format!("{suffix}?rid={rid}"));
            refused(&cronmon, Method::POST, &url, 400, "invalid uuid format").await;
        }
        let url = ping_url(&monitor, &format!("?a=b&rid={rid}&c"));
        refused(&cronmon, Method::GET, &url, 400, "invalid uuid format").await;
    }
    // Nor is it asked first whether the monitor exists.
    let unknown = format!("{}/ping/{}?rid=x", cronmon.url, Uuid::new_v4());
    refused(&cronmon, Method::GET, &unknown, 400, "invalid uuid format").await;

    cronmon.ping(&monitor, &format!("/start?create=1&rid={}&x", RID.to_uppercase())).await;
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["jobs"][0]["rid"], RID);
    cronmon.ping(&monitor, &format!("/0?rid={RID}")).await;
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(shown["jobs"][0]["succeeded"], true);
    assert_eq!(shown["jobs"][0]["exit_status"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_monitor_or_no_signal_is_not_found() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let id = ping_id(&monitor).to_owned();
    let (unknown, upper, bare) = (Uuid::new_v4().to_string(), id.to_uppercase(), id.replace('-', ""));
    let monitor_id = monitor["monitor_id"].as_str().unwrap();
    assert_ne!(id, upper);
    for path in [
        unknown.clone(),
        format!("{unknown}/start"),
        format!("{unknown}/3"),
        monitor_id.to_owned(),
        upper.clone(),
        format!("{upper}/fail"),
        bare,
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        format!("{id}/stop"),
        format!("{id}/START"),
        format!("{id}/start/"),
        format!("{id}/fail/x"),
        format!("{id}/-1"),
        format!("{id}/+1"),
        format!("{id}/1.0"),
        format!("{id}/0x1"),
        format!("{id}/%31"),
        format!("{id}/%00"),
        format!("{id}/%ff"),
        format!("{id}//"),
        format!("{id}%2Fstart"),
        format!("{id}x"),
        "x".to_owned(),
        "%00".to_owned(),
    ] {
        let url = format!("{}/ping/{path}", cronmon.url);
        for method in [Method::GET, Method::HEAD, Method::POST] {
            refused(&cronmon, method, &url, 404, "not found").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_and_is_no_ping() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let before = contents(&cronmon.pool).await;
    for suffix in ["", "/start", "/fail", "/1", "/256", "?rid=x"] {
        let response = send(&cronmon, Method::OPTIONS, &ping_url(&monitor, suffix)).await;
        assert_eq!(response.status(), 200, "{suffix}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, OPTIONS"),
            ("access-control-allow-headers", "*"),
            ("content-length", "0"),
        ] {
            assert_eq!(header(response.headers(), name), Some(value), "{suffix}: {name}");
        }
        assert_eq!(response.text().await.unwrap(), "");
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_and_are_no_pings() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let url = ping_url(&monitor, "");
    for method in ["DELETE", "PATCH", "TRACE", "PROPFIND", "get", "X"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        refused(&cronmon, method.clone(), &url, 405, "ping with GET, HEAD, POST or PUT").await;
        let response = send(&cronmon, method, &url).await;
        assert_eq!(header(response.headers(), "allow"), Some("GET, HEAD, POST, PUT, OPTIONS"));
    }
    assert_eq!(count(&cronmon.pool, SIGNALS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_counts_once_for_each_monitor() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let other = cronmon.create(json!({ "name": "other", "schedule": null })).await;
    for (monitor, suffix, key, total) in [
        (&monitor, "/fail", "a", 1),
        (&monitor, "/fail", "a", 1),
        (&monitor, "/fail", "A", 2),
        (&monitor, "/fail", "a b", 3),
        (&other, "/fail", "a", 4),
        (&other, "/fail", "a", 4),
        (&monitor, "/log", "a log", 5),
        (&monitor, "/log", "a log", 5),
        (&monitor, "/start", "a start", 6),
        (&monitor, "/start", "a start", 6),
    ] {
        let url = ping_url(monitor, suffix);
        let response = cronmon.http.post(url).header("idempotency-key", key).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (200, "OK".to_owned()));
        assert_eq!(count(&cronmon.pool, SIGNALS).await, total, "{key}");
    }
    // Without one each counts, and one that is no text does no harm.
    cronmon.ping(&monitor, "/log").await;
    cronmon.ping(&monitor, "/log").await;
    let key = reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let response =
        cronmon.http.get(ping_url(&monitor, "/log")).header("idempotency-key", key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(count(&cronmon.pool, SIGNALS).await, 9);
    let jobs = cronmon.read(&monitor).await["jobs"].as_array().unwrap().len();
    assert_eq!(jobs, 4, "three fails and one start");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_characters_of_the_user_agent_are_kept() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let url = ping_url(&monitor, "/log");
    let long = "ü".repeat(300);
    for (agent, kept) in [
        (b"runitor/1.0".to_vec(), "runitor/1.0".to_owned()),
        (long.into_bytes(), "ü".repeat(200)),
        (b"a\xffb".to_vec(), "a\u{fffd}b".to_owned()),
    ] {
        let value = reqwest::header::HeaderValue::from_bytes(&agent).unwrap();
        let response = cronmon.http.get(&url).header("user-agent", value).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let statement = "select user_agent from signal order by signal_id desc limit 1";
        let row = cronmon.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_a_ping_is_told_to_come_again() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    cronmon.pool.close();
    let response = send(&cronmon, Method::POST, &ping_url(&monitor, "")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(header(response.headers(), "retry-after"), Some("5"));
    assert_eq!(response.text().await.unwrap(), "not recorded, try again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_id_is_told_to_nobody_but_the_reader_of_its_monitor() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    let config = cronmon.hear_everything_at(&receiver.url).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": { "every": 60 } })).await;
    let id = ping_id(&monitor).to_owned();
    assert_ne!(id, monitor["monitor_id"].as_str().unwrap());

    cronmon.ping(&monitor, "/start").await;
    cronmon.ping(&monitor, "/3").await;
    cronmon.ping(&monitor, "").await;
    cronmon.set_clock(cronmon.now() + chrono::Duration::hours(1));
    cronmon.tick().await;
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("backup"), ["failed", "recovered", "late"]);
    for heard in receiver.heard() {
        assert!(!heard.message.to_string().contains(&id), "{}", heard.message);
    }

    let monitor_path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    let config_path = format!("/alert-configs/{}", config["alert_config_id"].as_str().unwrap());
    let (wrong, unknown) = (json!({ "name": 1 }), Uuid::new_v4());
    let ids = json!({ "alert_config_ids": [unknown] });
    for (method, path, body) in [
        (Method::PATCH, monitor_path.clone(), Some(&wrong)),
        (Method::GET, format!("{monitor_path}/jobs/{unknown}"), None),
        (Method::GET, format!("{monitor_path}/jobs/x"), None),
        (Method::POST, format!("{monitor_path}/alert-configs"), Some(&ids)),
        (Method::DELETE, format!("{monitor_path}{config_path}"), None),
        (Method::PUT, monitor_path.clone(), None),
        (Method::PATCH, config_path.clone(), Some(&wrong)),
    ] {
        let answer = cronmon.call(method.clone(), &path, body).await;
        assert!(answer.status.as_u16() >= 400, "{method} {path}: {}", answer.status);
        assert!(!answer.body.to_string().contains(&id), "{method} {path}: {}", answer.body);
    }
    for rest in ["/256", "/stop", "?rid=x"] {
        let reply = send(&cronmon, Method::GET, &ping_url(&monitor, rest)).await.text().await.unwrap();
        assert!(!reply.contains(&id), "{reply}");
    }
}
