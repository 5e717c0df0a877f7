//! Random bytes in every place of a request, over a bare connection: no 5xx, nothing changed, and the
//! server goes on.

use cronmon_tests::contents::count;
use cronmon_tests::raw::exchange;
use futures_util::StreamExt as _;
use futures_util::stream;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use uuid::Uuid;

use crate::world::World;

const STRINGS: usize = 500;

/// Bytes of all kinds, of text, and of what means something somewhere.
fn random_strings(seed: u64) -> Vec<Vec<u8>> {
    const MEANINGFUL: &[u8] = b"{}[]\":,0123456789-+.eE\\ux%/?&=#;'<>| \t\r\n\0\x1b\x7f\x80\xc3\xed\xf4\xff";
    let mut random = StdRng::seed_from_u64(seed);
    (0..STRINGS)
        .map(|i| {
            let length = random.random_range(1..=if i % 10 == 0 { 2_000 } else { 60 });
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            for byte in &mut bytes {
                match i % 3 {
                    0 => {}
                    1 => *byte = b' ' + *byte % 95,
                    _ => *byte = MEANINGFUL[usize::from(*byte) % MEANINGFUL.len()],
                }
            }
            bytes
        })
        .collect()
}

/// What may stand in a header's value without ending it.
fn in_a_header(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

fn request(method: &str, path: &[u8], headers: &[&[u8]], body: &[u8]) -> Vec<u8> {
    let mut request = [method.as_bytes(), b" ", path, b" HTTP/1.1\r\nHost: x\r\n"].concat();
    for header in headers {
        request.extend_from_slice(header);
        request.extend_from_slice(b"\r\n");
    }
    request
        .extend_from_slice(format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    request
}

/// Sends them, some at a time; answers with their statuses. A connection that is closed without an answer
/// is one that the server gave up in the middle.
async fn statuses(world: &World, requests: Vec<Vec<u8>>) -> Vec<u16> {
    let url = &world.cronmon.url;
    let statuses: Vec<u16> = stream::iter(requests)
        .map(|request| async move {
            let reply = exchange(url, &request).await;
            let shown = || request.escape_ascii().to_string();
            let reply = reply.unwrap_or_else(|| panic!("no answer to {}", shown()));
            assert!((200..500).contains(&reply.status), "{} to {}", reply.status, shown());
            reply.status
        })
        .buffered(16)
        .collect()
        .await;
    assert_eq!(statuses.len() % STRINGS, 0);
    let alive = exchange(url, b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!((alive.status, alive.body.as_slice()), (200, b"pong".as_slice()));
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_path_and_the_query() {
    let world = World::new().await;
    let authorization = format!("Authorization: Bearer {}", world.cronmon.issuer.token("acme"));
    let headers: [&[u8]; 1] = [authorization.as_bytes()];
    let ping_path = world.ours.ping_url.strip_prefix(&world.cronmon.url).unwrap();
    let mut requests = Vec::new();
    for bytes in random_strings(1) {
        for before in [
            "/".to_owned(),
            "/ping/".to_owned(),
            "/api/v1/".to_owned(),
            "/api/v1/monitors/".to_owned(),
            format!("/api/v1/monitors/{}/jobs/", world.ours.monitor),
            format!("/api/v1/alert-configs/{}x", world.ours.free),
            format!("{ping_path}/x"),
            format!("/ping/{}?", Uuid::new_v4()),
            "/ping/x?rid=".to_owned(),
            "/api/v1/monitors?".to_owned(),
            format!("/api/v1/monitors/{}/pings/", world.ours.monitor),
            format!("/api/v1/monitors/{}/pings?", world.ours.monitor),
            format!("/api/v1/monitors/{}/pings?cursor=", world.ours.monitor),
            format!("/api/v1/monitors/{}/pings?kind=", world.ours.monitor),
            format!("/api/v1/monitors/{}/pings?since=", world.ours.monitor),
            format!("/api/v1/monitors/{}/explain?at=", world.ours.monitor),
            format!("/api/v1/monitors/{}/simulate?", world.ours.monitor),
            "/api/v1/schedules/preview?".to_owned(),
            "/api/v1/schedules/preview?cron=".to_owned(),
            "/api/v1/schedules/preview?cron=@daily&timezone=".to_owned(),
            "/ping/abcdefghij0123456789xy/".to_owned(),
            "/ping/abcdefghij0123456789xy/x?create=1&".to_owned(),
        ] {
            requests.push(request("GET", &[before.as_bytes(), &bytes].concat(), &headers, b""));
        }
    }
    statuses(&world, requests).await;
    world.nothing_changed("random paths and queries").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_values_of_headers() {
    let world = World::new().await;
    let authorization = format!("Authorization: Bearer {}", world.cronmon.issuer.token("acme")).into_bytes();
    let unknown = format!("/ping/{}/fail", Uuid::new_v4()).into_bytes();
    let mut requests = Vec::new();
    for bytes in random_strings(2) {
        let bytes = in_a_header(&bytes);
        let with = |name: &str| [name.as_bytes(), b": ", &bytes].concat();
        for name in ["Idempotency-Key", "User-Agent", "X-Forwarded-For", "Content-Type", "Expect"] {
            requests.push(request("POST", &unknown, &[&with(name)], b"x"));
        }
        requests.push(request("GET", b"/api/v1/monitors", &[&with("Authorization")], b""));
        let bearer = [b"Authorization: Bearer ", bytes.as_slice()].concat();
        requests.push(request("POST", b"/api/v1/monitors", &[&bearer], b"{}"));
        for name in ["Host", "X-Forwarded-Host", "Accept-Encoding", "Range", "If-None-Match"] {
            requests.push(request("GET", b"/api/v1/monitors", &[&with(name), &authorization], b""));
        }
    }
    statuses(&world, requests).await;
    world.nothing_changed("random headers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_body_of_management() {
    let world = World::new().await;
    let authorization = format!("Authorization: Bearer {}", world.cronmon.issuer.token("acme"));
    let headers: [&[u8]; 1] = [authorization.as_bytes()];
    let ours = &world.ours;
    let mut requests = Vec::new();
    for bytes in random_strings(3) {
        let in_text: String = String::from_utf8_lossy(&bytes).into_owned();
        let quoted = serde_json::Value::String(in_text).to_string();
        for (method, path) in [
            ("POST", "/api/v1/monitors".to_owned()),
            ("PATCH", format!("/api/v1/monitors/{}", ours.monitor)),
            ("POST", "/api/v1/alert-configs".to_owned()),
            ("POST", "/api/v1/ping-keys".to_owned()),
            ("PATCH", "/api/v1/retention".to_owned()),
            ("POST", "/api/v1/simulate".to_owned()),
            ("PATCH", format!("/api/v1/alert-configs/{}", ours.free)),
            ("POST", format!("/api/v1/monitors/{}/alert-configs", ours.monitor)),
        ] {
            requests.push(request(method, path.as_bytes(), &headers, &bytes));
        }
        for body in [
            format!(r#"{{"name":"a","schedule":{{"cron":{quoted}}}}}"#),
            format!(r#"{{"name":"a","schedule":{{"cron":"0 3 * * *","timezone":{quoted}}}}}"#),
            format!(r#"{{"name":"a","schedule":null,"slug":{}}}"#, quoted.replacen('"', "\".", 1)),
            format!(r#"{{"name":"a","schedule":null,"tags":[{}]}}"#, quoted.replacen('"', "\",", 1)),
            format!(r#"{{"name":"a","schedule":null,"keywords":{{{quoted}:["x"]}}}}"#),
        ] {
            requests.push(request("POST", b"/api/v1/monitors", &headers, body.as_bytes()));
        }
        let url = format!(r#"{{"name":"a","type":{{"webhook":{{"url":{quoted}}}}}}}"#);
        requests.push(request("POST", b"/api/v1/alert-configs", &headers, url.as_bytes()));
    }
    let statuses = statuses(&world, requests).await;
    assert!(statuses.iter().all(|status| matches!(status, 400 | 422)), "{statuses:?}");
    world.nothing_changed("random bodies").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_pings_of_a_known_monitor_each_200_is_one_signal() {
    let world = World::new().await;
    let ping_path = world.ours.ping_url.strip_prefix(&world.cronmon.url).unwrap();
    let before = count(&world.cronmon.pool, "select count(*) from signal").await;
    let mut requests = Vec::new();
    for bytes in random_strings(4) {
        let header = in_a_header(&bytes);
        let with = |name: &str| [name.as_bytes(), b": ", &header].concat();
        requests.push(request("POST", format!("{ping_path}/log").as_bytes(), &[], &bytes));
        requests.push(request("PUT", ping_path.as_bytes(), &[&with("User-Agent")], &bytes));
        let [forwarded, length] = [with("X-Forwarded-For"), with("Content-Length")];
        requests.push(request("POST", format!("{ping_path}/fail").as_bytes(), &[&forwarded], &bytes));
        requests.push(request("POST", format!("{ping_path}/start").as_bytes(), &[&length], b""));
        requests.push(request("GET", &[ping_path.as_bytes(), b"?", &bytes].concat(), &[], b""));
        requests.push(request("GET", &[ping_path.as_bytes(), b"?rid=", &bytes].concat(), &[], b""));
        requests.push(request("GET", &[ping_path.as_bytes(), b"/", &bytes].concat(), &[], b""));
    }
    let statuses = statuses(&world, requests).await;
    let recorded = count(&world.cronmon.pool, "select count(*) from signal").await - before;
    let ok = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(recorded, i64::try_from(ok).unwrap());
    assert!(ok > STRINGS, "only {ok} were taken");
    let shown =
        world.cronmon.call(reqwest::Method::GET, &format!("/monitors/{}", world.ours.monitor), None).await;
    assert_eq!(shown.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn and_request_lines_of_other_forms() {
    let world = World::new().await;
    let url = world.cronmon.url.clone();
    for line in [
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT example.com:443 HTTP/1.1",
        "GET http://example.com/api/v1/health HTTP/1.1",
        "GET http://example.com HTTP/1.1",
        "GET /api/v1/monitors HTTP/9.9",
        "GET /api/v1/monitors",
        "GET",
        "\u{16}\u{3}\u{1}",
        "PRI * HTTP/2.0",
        "G\0T / HTTP/1.1",
    ] {
        let reply =
            exchange(&url, format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let status = reply.map_or(0, |reply| reply.status);
        assert!((200..500).contains(&status), "{status} to {line:?}");
    }
    let long = format!("GET /ping/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let reply = exchange(&url, long.as_bytes()).await.unwrap();
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    let reply = exchange(&url, many.as_bytes()).await.unwrap();
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    world.nothing_changed("odd request lines").await;
}
