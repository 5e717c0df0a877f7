//! Which alert configs are attached to which monitor, in the words of the original.

use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{attach, config_of, every_minute, id, monitor_id, read};

const URL: &str = "https://example.com/hook";

fn path(monitor: &Value) -> String {
    format!("/monitors/{}/alert-configs", monitor_id(monitor))
}

/// A request that must be refused like this, and change nothing.
async fn refused(
    cronmon: &CronMon,
    method: Method,
    path: &str,
    body: Option<&Value>,
    error: (u16, &str, String),
) {
    let before = contents(&cronmon.pool).await;
    let answer = cronmon.call(method, path, body).await;
    let (code, reason, description) = error;
    assert_eq!(answer.status, code);
    assert_eq!(
        answer.body,
        json!({ "error": { "code": code, "reason": reason, "description": description } })
    );
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_attached_listed_and_detached() {
    let cronmon = CronMon::start().await;
    let (a, b) = (every_minute(&cronmon, "a").await, every_minute(&cronmon, "b").await);
    let mut configs = Vec::new();
    for _ in 0..3 {
        configs.push(config_of(&cronmon, "acme", URL, json!({})).await);
    }
    let attached = async |monitor: &Value| -> Vec<String> {
        let list = cronmon.call(Method::GET, &path(monitor), None).await;
        assert_eq!(list.status, 200);
        let data = list.body["data"].as_array().unwrap();
        assert_eq!(list.body["paging"], json!({ "total": data.len(), "next_cursor": null }));
        data.iter().map(|config| id(config).to_owned()).collect()
    };
    assert!(attached(&a).await.is_empty());
    attach(&cronmon, &a, &[]).await;
    assert!(attached(&a).await.is_empty());

    attach(&cronmon, &b, &[&configs[1]]).await;
    attach(&cronmon, &a, &[&configs[2], &configs[1]]).await;
    let mut expected = vec![id(&configs[1]), id(&configs[2])];
    expected.sort_unstable();
    assert_eq!(attached(&a).await, expected);
    let list = cronmon.call(Method::GET, &path(&b), None).await;
    assert_eq!(
        list.body["data"],
        json!([{
            "alert_config_id": id(&configs[1]), "name": "hook", "active": true, "on_late": true, "on_error": true,
            "on_recovered": true, "on_warning": true, "default": false, "type": "webhook", "broken": null,
            "monitors": 2,
        }])
    );
    // The monitors of an alert config come in the order in which they were attached.
    assert_eq!(
        read(&cronmon, &configs[1]).await["monitors"],
        json!([
            { "monitor_id": monitor_id(&b), "name": "b" },
            { "monitor_id": monitor_id(&a), "name": "a" },
        ])
    );

    let one = format!("{}/{}", path(&a), id(&configs[1]));
    let answer = cronmon.call(Method::DELETE, &one, None).await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, json!("")));
    assert_eq!(attached(&a).await, [id(&configs[2])]);
    assert_eq!(attached(&b).await, [id(&configs[1])]);
    attach(&cronmon, &a, &[&configs[1]]).await;
    assert_eq!(attached(&a).await, expected, "and may come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_named_twice_in_a_request_is_attached_once() {
    let cronmon = CronMon::start().await;
    let monitor = every_minute(&cronmon, "a").await;
    let config = config_of(&cronmon, "acme", URL, json!({})).await;
    let upper = id(&config).to_uppercase();
    let bare = id(&config).replace('-', "");
    let body = json!({ "alert_config_ids": [id(&config), upper, id(&config), bare] });
    assert_eq!(cronmon.call(Method::POST, &path(&monitor), Some(&body)).await.status, 204);
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor_alert_config").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ones_are_named_and_nothing_is_attached() {
    let cronmon = CronMon::start().await;
    let monitor = every_minute(&cronmon, "a").await;
    let (ours, theirs) = (
        config_of(&cronmon, "acme", URL, json!({})).await,
        config_of(&cronmon, "globex", URL, json!({})).await,
    );
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    let reason = "Alert Configuration Not Found";
    for (ids, description) in [
        (json!([a]), format!("Failed to find alert configuration with id '{a}'")),
        (json!([id(&ours), a]), format!("Failed to find alert configuration with id '{a}'")),
        (json!([a, a]), format!("Failed to find alert configuration with id '{a}'")),
        (json!([b, id(&ours), a]), format!("Failed to find alert configurations with ids '[{b}, {a}]'")),
        (json!([a, b]), format!("Failed to find alert configurations with ids '[{a}, {b}]'")),
        (
            json!([id(&ours), id(&theirs)]),
            format!("Failed to find alert configuration with id '{}'", id(&theirs)),
        ),
    ] {
        let body = json!({ "alert_config_ids": ids });
        refused(&cronmon, Method::POST, &path(&monitor), Some(&body), (404, reason, description)).await;
    }
    for id in [a.to_string(), id(&theirs).to_owned()] {
        let description = format!("Failed to find alert configuration with id '{id}'");
        let one = format!("{}/{id}", path(&monitor));
        refused(&cronmon, Method::DELETE, &one, None, (404, reason, description)).await;
    }
    // The monitor is looked for first.
    let reason = "Monitor Not Found";
    let description = format!("Failed to find monitor with id '{a}'");
    let body = json!({ "alert_config_ids": [b] });
    let path = format!("/monitors/{a}/alert-configs");
    let error = || (404, reason, description.clone());
    refused(&cronmon, Method::POST, &path, Some(&body), error()).await;
    refused(&cronmon, Method::POST, &path, Some(&json!({ "alert_config_ids": [] })), error()).await;
    refused(&cronmon, Method::GET, &path, None, error()).await;
    refused(&cronmon, Method::DELETE, &format!("{path}/{b}"), None, error()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_twice_and_detaching_what_is_not_attached_are_told_as_the_original_does() {
    let cronmon = CronMon::start().await;
    let monitor = every_minute(&cronmon, "a").await;
    let (a, b, c) = (
        config_of(&cronmon, "acme", URL, json!({})).await,
        config_of(&cronmon, "acme", URL, json!({})).await,
        config_of(&cronmon, "acme", URL, json!({})).await,
    );
    attach(&cronmon, &monitor, &[&a, &b]).await;
    let m = monitor_id(&monitor);
    let reason = "Alert Configuration Error";
    let twice = |id: &str| {
        format!(
            "{id}: Failed to configure alert: Monitor('{m}') is already associated with Alert Configuration('{id}')"
        )
    };
    let head = "Failed to configure alert: Failed to associate Monitor with AlertConfig(s): ";
    for (ids, description) in [
        (json!([id(&a)]), format!("{head}{}", twice(id(&a)))),
        (json!([id(&c), id(&b)]), format!("{head}{}", twice(id(&b)))),
        (json!([id(&b), id(&c), id(&a)]), format!("{head}{}, {}", twice(id(&b)), twice(id(&a)))),
    ] {
        let body = json!({ "alert_config_ids": ids });
        refused(&cronmon, Method::POST, &path(&monitor), Some(&body), (500, reason, description)).await;
    }
    let description = format!(
        "Failed to configure alert: Monitor('{m}') is not associated with Alert Configuration('{}')",
        id(&c)
    );
    let one = format!("{}/{}", path(&monitor), id(&c));
    refused(&cronmon, Method::DELETE, &one, None, (500, reason, description)).await;
}
