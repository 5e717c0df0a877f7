//! Created, read, listed, changed, deleted.

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{attach, change, config_of, every_minute, id, read, with};

const URL: &str = "https://example.com/hook?key=s%C3%A9cret";

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_type_suffice_and_then_it_hears_everything_of_what_it_is_attached_to() {
    let cronmon = CronMon::start().await;
    let mut config = config_of(&cronmon, "acme", URL, json!({})).await;
    assert_eq!(read(&cronmon, &config).await, config);
    config.as_object_mut().unwrap().remove("alert_config_id").unwrap();
    assert_eq!(
        config,
        json!({
            "name": "hook",
            "active": true,
            "on_late": true,
            "on_error": true,
            "on_recovered": true,
            "on_warning": true,
            "default": false,
            "type": { "webhook": { "url": URL } },
            "broken": null,
            "monitors": [],
            "warnings": [],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_switch_may_be_given_and_an_unknown_field_is_named() {
    let cronmon = CronMon::start().await;
    for switch in ["active", "on_late", "on_error", "on_recovered", "on_warning", "default"] {
        for value in [true, false] {
            let config = config_of(&cronmon, "acme", URL, json!({ switch: value })).await;
            assert_eq!(config[switch], value, "{switch}");
            assert_eq!(read(&cronmon, &config).await, config, "{switch}");
        }
    }
    let config = config_of(&cronmon, "acme", URL, json!({ "on_eror": false, "x": 1 })).await;
    assert_eq!(config["on_error"], true);
    assert_eq!(
        config["warnings"],
        json!([
            "unknown field 'on_eror' was ignored: did you mean 'on_error'?",
            "unknown field 'x' was ignored",
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_comes_by_id_with_how_many_monitors_each_has() {
    let cronmon = CronMon::start().await;
    let (a, b) = (every_minute(&cronmon, "a").await, every_minute(&cronmon, "b").await);
    let mut summaries = Vec::new();
    for attached in [vec![], vec![&a], vec![&a, &b], vec![]] {
        let name = format!("to {}", attached.len());
        let config = config_of(&cronmon, "acme", URL, json!({ "name": name, "on_late": false })).await;
        for monitor in &attached {
            attach(&cronmon, monitor, &[&config]).await;
        }
        summaries.push(json!({
            "alert_config_id": id(&config), "name": name, "active": true, "on_late": false, "on_error": true,
            "on_recovered": true, "on_warning": true, "default": false, "type": "webhook", "broken": null,
            "monitors": attached.len(),
        }));
    }
    config_of(&cronmon, "globex", URL, json!({})).await;
    summaries.sort_by_key(|summary| summary["alert_config_id"].to_string());
    let list = cronmon.call(Method::GET, "/alert-configs", None).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.body, json!({ "data": summaries, "paging": { "total": 4, "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_keeps_what_it_does_not_mention_and_what_it_is_attached_to() {
    let cronmon = CronMon::start().await;
    let monitor = every_minute(&cronmon, "a").await;
    let off = json!({ "active": false, "on_late": false, "on_recovered": false, "on_warning": false, "default": true });
    let config = config_of(&cronmon, "acme", URL, off).await;
    attach(&cronmon, &monitor, &[&config]).await;
    let config = read(&cronmon, &config).await;
    assert_eq!(config["monitors"], json!([{ "monitor_id": monitor["monitor_id"], "name": "a" }]));

    let url = "http://example.org:8080/";
    let renamed = json!({ "name": "other", "type": { "webhook": { "url": url } } });
    assert_eq!(change(&cronmon, &config, renamed.clone()).await, with(config.clone(), &renamed));

    let switches = json!({ "active": true, "on_late": true, "on_error": false, "on_recovered": true, "on_warning": true, "default": false });
    let changed = change(&cronmon, &config, with(renamed.clone(), &switches)).await;
    assert_eq!(changed, with(with(config.clone(), &renamed), &switches));
    assert_eq!(read(&cronmon, &config).await, changed);

    let body = json!({ "name": "b", "expected_duration": null, "grace_duration": 0 });
    let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    assert_eq!(cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    assert_eq!(read(&cronmon, &config).await["monitors"][0]["name"], "b", "a new name is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_one_is_gone_and_its_monitors_stay() {
    let cronmon = CronMon::start().await;
    let monitor = every_minute(&cronmon, "a").await;
    let kept = config_of(&cronmon, "acme", URL, json!({})).await;
    attach(&cronmon, &monitor, &[&kept]).await;
    let before = contents(&cronmon.pool).await;

    let config = config_of(&cronmon, "acme", URL, json!({})).await;
    attach(&cronmon, &monitor, &[&config]).await;
    let path = format!("/alert-configs/{}", id(&config));
    let deleted = cronmon.call(Method::DELETE, &path, None).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (204, json!("")));
    assert_eq!(contents(&cronmon.pool).await, before);

    let body = json!({ "name": "a", "type": { "webhook": { "url": URL } } });
    for (method, body) in [(Method::GET, None), (Method::PATCH, Some(&body)), (Method::DELETE, None)] {
        let answer = cronmon.call(method.clone(), &path, body).await;
        assert_eq!((answer.status.as_u16(), answer.body), (404, not_found(id(&config))), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_at_most_100_of_a_tenant() {
    let cronmon = CronMon::start().await;
    config_of(&cronmon, "acme", URL, json!({})).await;
    let copies = "insert into alert_config select (jsonb_populate_record(c, jsonb_build_object(
            'alert_config_id', gen_random_uuid()))).*
        from alert_config c, generate_series(1, 95)";
    cronmon.pool.get().await.unwrap().batch_execute(copies).await.unwrap();
    // The last four places are taken by four of ten that come at once.
    let body = json!({ "name": "hook", "type": { "webhook": { "url": URL } } });
    let ten = (0..10).map(|_| cronmon.call(Method::POST, "/alert-configs", Some(&body)));
    let mut made: Vec<u16> = join_all(ten).await.iter().map(|answer| answer.status.as_u16()).collect();
    made.sort_unstable();
    assert_eq!(made, [200, 200, 200, 200, 422, 422, 422, 422, 422, 422]);
    let list = cronmon.call(Method::GET, "/alert-configs", None).await.body;
    assert_eq!(list["paging"]["total"], 100);

    let refused = cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.body),
        (
            422,
            json!({ "error": {
                "code": 422, "reason": "Unprocessable Entity",
                "description": "There are 100 alert configs already, and no more may be; delete one.",
            } })
        )
    );
    let one = &list["data"][0];
    let renamed = json!({ "name": "other", "type": { "webhook": { "url": URL } } });
    assert_eq!(change(&cronmon, one, renamed).await["name"], "other", "those that are there can be changed");
    config_of(&cronmon, "globex", URL, json!({})).await;

    let deleted = cronmon.call(Method::DELETE, &format!("/alert-configs/{}", id(one)), None).await;
    assert_eq!(deleted.status, 204);
    config_of(&cronmon, "acme", URL, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_was_is_not_found() {
    let cronmon = CronMon::start().await;
    let unknown = Uuid::new_v4().to_string();
    let answer = cronmon.call(Method::GET, &format!("/alert-configs/{unknown}"), None).await;
    assert_eq!((answer.status.as_u16(), answer.body), (404, not_found(&unknown)));
}

fn not_found(id: &str) -> Value {
    json!({ "error": {
        "code": 404,
        "reason": "Alert Configuration Not Found",
        "description": format!("Failed to find alert configuration with id '{id}'"),
    } })
}
