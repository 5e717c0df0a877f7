//! A ping URL that somebody knows who should not is replaced.

use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use reqwest::Method;
use serde_json::{Value, json};

use super::path;

#[tokio::test(flavor = "multi_thread")]
async fn the_old_url_is_404_at_once_and_the_new_one_pings_the_same_monitor() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 600 } })).await;
    let other = cronmon.create(json!({ "name": "b", "schedule": null })).await;
    cronmon.ping(&monitor, "/start").await;
    let before = cronmon.read(&monitor).await;
    for body in [None, Some(json!([])), Some(json!({ "ping_url": "mine" }))] {
        let old = cronmon.read(&monitor).await["ping_url"].clone();
        let answer = cronmon.call(Method::POST, &format!("{}/ping-url", path(&monitor)), body.as_ref()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let replaced = &answer.body["data"];
        assert_ne!(replaced["ping_url"], old);
        assert_eq!(replaced, &cronmon.read(&monitor).await);
        let reply = cronmon.http.get(old.as_str().unwrap()).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.text().await.unwrap()), (404, "not found".to_owned()));
    }
    let mut after = cronmon.read(&monitor).await;
    let url = after["ping_url"].as_str().unwrap().to_owned();
    assert_eq!(after["crontab_line"].as_str().unwrap().matches(&url).count(), 2);
    for field in ["ping_url", "crontab_line"] {
        after[field] = before[field].clone();
    }
    assert_eq!(after, before, "nothing else was touched");

    cronmon.set_clock(cronmon.now() + chrono::Duration::seconds(7));
    cronmon.ping(&json!({ "ping_url": url }), "").await;
    assert_eq!(cronmon.read(&monitor).await["jobs"][0]["duration"], 7, "the run goes on");
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 2);
    cronmon.ping(&other, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_monitor_keeps_its_url() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let path = format!("{}/ping-url", path(&monitor));
    let answer = cronmon.call_as("globex", Method::POST, &path, None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["reason"]), (404, &json!("Monitor Not Found")));
    assert_eq!(cronmon.read(&monitor).await["ping_url"], monitor["ping_url"]);
    assert_ne!(monitor["ping_url"], Value::Null);
}
