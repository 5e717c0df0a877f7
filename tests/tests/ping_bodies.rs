//! What a job says in a ping's body: kept byte for byte, head and tail when it is long, refused when huge.

use std::time::Duration;

use cronmon_tests::contents::{contents, count};
use cronmon_tests::{CronMon, raw};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const LIMIT: usize = 2_500_000;

async fn cronmon_with_monitor() -> (CronMon, Value) {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    (cronmon, monitor)
}

async fn post(cronmon: &CronMon, monitor: &Value, rest: &str, body: Vec<u8>) -> (u16, String) {
    let url = format!("{}{rest}", monitor["ping_url"].as_str().unwrap());
    let length = body.len();
    let response = cronmon.http.post(url).body(body).send().await;
    let response = response.unwrap_or_else(|e| panic!("{length} bytes to {rest}: {e:?}"));
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The body of the newest signal as it is kept, and as the API shows it.
async fn kept(cronmon: &CronMon, monitor: &Value) -> (Option<Vec<u8>>, Value) {
    let statement = "select body from signal order by signal_id desc limit 1";
    let row = cronmon.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap();
    (row.get(0), cronmon.read(monitor).await["jobs"][0]["output"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_hold_any_bytes_and_is_the_output_of_the_job_that_it_ends() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for (i, body) in [
        b"disk full".to_vec(),
        "\u{fc}ml\u{e4}ut \u{1f980}\r\n\ttab".into(),
        b"a\0b".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"cut inside a character \xc3".to_vec(),
        b"{\"looks\": \"like json\"}".to_vec(),
        b" ".to_vec(),
        every_byte,
    ]
    .into_iter()
    .enumerate()
    {
        cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
        let rest = if i % 2 == 0 { "/fail" } else { "" };
        assert_eq!(post(&cronmon, &monitor, rest, body.clone()).await, (200, "OK".to_owned()));
        let shown = json!(String::from_utf8_lossy(&body));
        assert_eq!(kept(&cronmon, &monitor).await, (Some(body), shown));
    }
    // The output is what the job said at its end, not at its start.
    let rest = "?rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
    post(&cronmon, &monitor, &format!("/start{rest}"), b"begin".to_vec()).await;
    assert_eq!(kept(&cronmon, &monitor).await, (Some(b"begin".to_vec()), Value::Null));
    post(&cronmon, &monitor, &format!("/0{rest}"), b"end".to_vec()).await;
    assert_eq!(kept(&cronmon, &monitor).await, (Some(b"end".to_vec()), json!("end")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_body_there_is_no_output() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    assert_eq!(post(&cronmon, &monitor, "", Vec::new()).await, (200, "OK".to_owned()));
    assert_eq!(kept(&cronmon, &monitor).await, (None, Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_bytes_are_kept_whole_and_of_more_head_and_tail() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let body = |length: usize| -> Vec<u8> { (b'a'..=b'z').cycle().take(length).collect() };
    for length in [9_999, 10_000] {
        cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
        assert_eq!(post(&cronmon, &monitor, "/1", body(length)).await.0, 200);
        assert_eq!(kept(&cronmon, &monitor).await.0, Some(body(length)), "{length}");
    }
    for length in [10_001, 123_456, LIMIT] {
        cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
        let mut sent = body(length);
        sent.extend_from_slice(b"\nerror: disk full");
        sent.drain(..17);
        assert_eq!(sent.len(), length);
        assert_eq!(post(&cronmon, &monitor, "/1", sent.clone()).await.0, 200);
        let (stored, shown) = kept(&cronmon, &monitor).await;
        let stored = stored.unwrap();
        assert!((9_990..=10_000).contains(&stored.len()), "{}", stored.len());
        let mark = b"\n[...]\n";
        let at = stored.windows(mark.len()).position(|window| window == mark).unwrap();
        assert_eq!(stored[..at], sent[..at]);
        let tail = &stored[at + mark.len()..];
        assert_eq!(tail, &sent[sent.len() - tail.len()..]);
        assert!(at > 4_900 && tail.len() > 4_900, "{at} and {}", tail.len());
        assert!(shown.as_str().unwrap().ends_with("\nerror: disk full"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_that_is_cut_inside_its_characters_is_shown() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    for body in ["\u{1f980}".repeat(5_000), format!("x{}", "\u{20ac}".repeat(5_000))] {
        cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
        assert_eq!(post(&cronmon, &monitor, "/fail", body.clone().into_bytes()).await.0, 200);
        let shown = kept(&cronmon, &monitor).await.1;
        let shown = shown.as_str().unwrap();
        let (head, tail) = shown.split_once("\n[...]\n").unwrap();
        assert!(body.starts_with(head.trim_end_matches('\u{fffd}')));
        assert!(body.ends_with(tail.trim_start_matches('\u{fffd}')));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused_and_not_recorded() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let before = contents(&cronmon.pool).await;
    let too_large = (413, "the body is over 2500000 bytes".to_owned());
    for length in [LIMIT + 1, 20_000_000] {
        for rest in ["", "/start", "/log"] {
            assert_eq!(
                post(&cronmon, &monitor, rest, vec![b'x'; length]).await,
                too_large,
                "{length} {rest}"
            );
        }
    }
    // The length need not be known beforehand.
    let path = monitor["ping_url"].as_str().unwrap().strip_prefix(&cronmon.url).unwrap();
    let mut request =
        format!("PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..20 {
        request.extend_from_slice(b"f4240\r\n");
        request.extend_from_slice(&vec![b'x'; 1_000_000]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let reply = raw::exchange(&cronmon.url, &request).await.unwrap();
    assert_eq!((reply.status, String::from_utf8(reply.body).unwrap()), too_large);
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_much_to_a_wrong_url_hears_what_is_wrong() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let before = contents(&cronmon.pool).await;
    for (rest, status, text) in [
        ("/256", 400, "invalid url format"),
        ("?rid=x", 400, "invalid uuid format"),
        ("/stop", 404, "not found"),
    ] {
        for length in [1_000_000, 20_000_000] {
            let reply = post(&cronmon, &monitor, rest, vec![b'x'; length]).await;
            assert_eq!(reply, (status, text.to_owned()), "{length} to {rest}");
        }
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_not_recorded() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let path = monitor["ping_url"].as_str().unwrap().strip_prefix(&cronmon.url).unwrap().to_owned();
    for request in [
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"),
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ] {
        let address = cronmon.url.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(connection);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 0);
    assert_eq!(post(&cronmon, &monitor, "", b"whole".to_vec()).await.0, 200);
    assert_eq!(kept(&cronmon, &monitor).await.1, "whole");
}
