//! Keywords: what a ping's body says by them, end to end.

use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::path;

/// Posts a body and answers with the kind of the signal that it became.
async fn kind(cronmon: &CronMon, monitor: &Value, rest: &str, body: &[u8]) -> String {
    cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(1));
    let url = format!("{}{rest}", monitor["ping_url"].as_str().unwrap());
    let reply = cronmon.http.post(url).body(body.to_vec()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap()), (200, "OK".to_owned()));
    let pings = cronmon.call(Method::GET, &format!("{}/pings?limit=1", path(monitor)), None).await.body;
    pings["data"][0]["kind"].as_str().unwrap().to_owned()
}

async fn with_keywords(cronmon: &CronMon, keywords: Value) -> Value {
    cronmon.create(json!({ "name": "a", "schedule": null, "keywords": keywords })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyword_says_more_than_the_url_fail_before_success_before_start() {
    let cronmon = CronMon::start().await;
    let all = json!({ "fail": ["ERROR", "\u{fc}bel"], "success": ["all good"], "start": ["beginning"] });
    let monitor = with_keywords(&cronmon, all.clone()).await;
    assert_eq!(monitor["keywords"], all);
    for (rest, body, expected) in [
        ("", "some ERROR here", "fail"),
        ("", "some error here", "success"),
        ("", "all good, beginning, ERROR", "fail"),
        ("/fail", "beginning, all good", "success"),
        ("/0", "beginning", "start"),
        ("/fail", "beginning", "start"),
        ("/start", "ERROR", "fail"),
        ("/start", "nothing of it", "start"),
        ("/7", "nothing of it", "fail"),
        ("/7", "all good", "success"),
        ("", "", "success"),
        ("/log", "ERROR", "log"),
        ("/log", "all good", "log"),
        ("", "das ist \u{fc}bel", "fail"),
    ] {
        assert_eq!(kind(&cronmon, &monitor, rest, body.as_bytes()).await, expected, "{rest} {body}");
    }
    // Found in bytes that are no text, and in the middle of a body of which only the ends are kept.
    assert_eq!(kind(&cronmon, &monitor, "", b"\xff\0ERROR\xfe").await, "fail");
    assert_eq!(kind(&cronmon, &monitor, "", b"\xff\xfe\0").await, "success");
    let mut long = vec![b'x'; 100_000];
    assert_eq!(kind(&cronmon, &monitor, "", &long).await, "success");
    long[50_000..50_005].copy_from_slice(b"ERROR");
    assert_eq!(kind(&cronmon, &monitor, "", &long).await, "fail");
    let kept = cronmon.call(Method::GET, &format!("{}/pings?limit=1", path(&monitor)), None).await.body;
    assert!(!kept["data"][0]["body"].as_str().unwrap().contains("ERROR"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyword_makes_a_run_and_an_incident_of_its_own() {
    let cronmon = CronMon::start().await;
    let monitor = with_keywords(&cronmon, json!({ "fail": ["disk full"] })).await;
    kind(&cronmon, &monitor, "/start", b"").await;
    kind(&cronmon, &monitor, "", b"disk full").await;
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["jobs"][0]["succeeded"], false);
    assert_eq!(shown["jobs"][0]["duration"], 1);
    kind(&cronmon, &monitor, "", b"plenty of room").await;
    assert_eq!(cronmon.read(&monitor).await["status"], "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keywords_or_once_they_are_cleared_the_url_decides() {
    let cronmon = CronMon::start().await;
    for none in
        [json!(null), json!({}), json!({ "fail": [] }), json!({ "fail": null, "success": [], "start": [] })]
    {
        let monitor = with_keywords(&cronmon, none.clone()).await;
        assert_eq!(monitor["keywords"], Value::Null, "{none}");
        assert_eq!(kind(&cronmon, &monitor, "", b"ERROR").await, "success", "{none}");
    }
    let monitor = with_keywords(&cronmon, json!({ "fail": ["ERROR"] })).await;
    let change = async |keywords: Option<Value>| {
        let mut body = json!({ "name": "a", "expected_duration": null, "grace_duration": 60 });
        if let Some(keywords) = keywords {
            body["keywords"] = keywords;
        }
        let answer = cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"]["keywords"].clone()
    };
    assert_eq!(change(None).await, json!({ "fail": ["ERROR"], "success": null, "start": null }));
    assert_eq!(kind(&cronmon, &monitor, "", b"ERROR").await, "fail");
    let success = json!({ "success": ["done"] });
    assert_eq!(change(Some(success)).await, json!({ "fail": null, "success": ["done"], "start": null }));
    assert_eq!(kind(&cronmon, &monitor, "/fail", b"ERROR done").await, "success");
    assert_eq!(change(Some(Value::Null)).await, Value::Null);
    assert_eq!(kind(&cronmon, &monitor, "/fail", b"done").await, "fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_keywords_of_two_hundred_characters_are_taken() {
    let cronmon = CronMon::start().await;
    let many: Vec<String> = (0..20).map(|n| format!("{n:0>199}\u{1f980}")).collect();
    let keywords = json!({ "fail": many, "success": many, "start": many });
    let monitor = with_keywords(&cronmon, keywords.clone()).await;
    assert_eq!(monitor["keywords"], keywords);
    assert_eq!(kind(&cronmon, &monitor, "", format!("... {} ...", many[19]).as_bytes()).await, "fail");
}
