//! Ping keys: shown once, kept as a hash, revoked at once.

use std::collections::BTreeSet;

use chrono::Duration;
use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

async fn create(cronmon: &CronMon, body: Value) -> Value {
    let answer = cronmon.call(Method::POST, "/ping-keys", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_then_only_its_first_characters() {
    let cronmon = CronMon::start().await;
    let mut new = create(&cronmon, json!({ "name": "crontabs of web1" })).await;
    let key = new["key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 22);
    assert!(key.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()), "{key}");
    let id: Uuid = new["ping_key_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        new,
        json!({
            "ping_key_id": id, "name": "crontabs of web1", "key": key, "key_begins": key[..4],
            "created_at": "2026-11-22T12:00:00Z",
            "ping_url_template": format!("{}/ping/{key}/<slug>", cronmon.url), "warnings": [],
        })
    );
    let statement = "select key_hash, key_begins, row_to_json(k)::text from ping_key k";
    let row = cronmon.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), domain::key::hash(&key));
    assert_eq!(row.get::<_, String>(1), key[..4]);
    assert!(!row.get::<_, String>(2).contains(&key[4..]), "the key is nowhere in the row");

    let list = cronmon.call(Method::GET, "/ping-keys", None).await.body;
    let fields = new.as_object_mut().unwrap();
    for shown_once in ["key", "ping_url_template", "warnings"] {
        fields.remove(shown_once);
    }
    assert_eq!(list, json!({ "data": [new], "paging": { "total": 1, "next_cursor": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_comes_first_and_a_thousand_are_listed() {
    let cronmon = CronMon::start().await;
    for name in ["a", "b", "c"] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        create(&cronmon, json!({ "name": name })).await;
    }
    let list = cronmon.call(Method::GET, "/ping-keys", None).await.body;
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "b", "a"]);

    let statement = "insert into ping_key
         select gen_random_uuid(), 'acme', 'old', sha256(n::text::bytea), 'abcd', '2020-01-01Z'
         from generate_series(1, 1000) n";
    cronmon.pool.get().await.unwrap().execute(statement, &[]).await.unwrap();
    let list = cronmon.call(Method::GET, "/ping-keys", None).await.body;
    assert_eq!(list["paging"]["total"], 1003);
    assert_eq!(list["data"].as_array().unwrap().len(), 1_000);
    assert_eq!(list["data"][0]["name"], "c");
    let mut ids = BTreeSet::new();
    let mut pages = 0;
    let mut query = "limit=300".to_owned();
    loop {
        let page = cronmon.call(Method::GET, &format!("/ping-keys?{query}"), None).await.body;
        ids.extend(page["data"].as_array().unwrap().iter().map(|key| key["ping_key_id"].to_string()));
        pages += 1;
        assert_eq!(page["paging"]["total"], 1003);
        let Some(cursor) = page["paging"]["next_cursor"].as_str() else { break };
        query = format!("limit=300&cursor={cursor}");
    }
    assert_eq!((ids.len(), pages), (1_003, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_needed_and_an_unknown_field_is_warned_of() {
    let cronmon = CronMon::start().await;
    for body in [json!({}), json!({ "name": null }), json!({ "name": "" })] {
        let new = create(&cronmon, body.clone()).await;
        assert_eq!((&new["name"], &new["warnings"]), (&json!(""), &json!([])), "{body}");
    }
    let new = create(&cronmon, json!({ "nam": "a", "key": "mine" })).await;
    let warnings = super::texts(&new["warnings"]);
    assert!(warnings.contains(&"unknown field 'nam' was ignored: did you mean 'name'?"), "{warnings:?}");
    assert!(warnings.contains(&"unknown field 'key' was ignored"), "{warnings:?}");
    assert_eq!(count(&cronmon.pool, "select count(distinct key_hash) from ping_key").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_gone_and_another_tenants_is_not_found() {
    let cronmon = CronMon::start().await;
    let new = create(&cronmon, json!({ "name": "a" })).await;
    let id = new["ping_key_id"].as_str().unwrap();
    let path = format!("/ping-keys/{id}");
    let not_found = json!({ "error": {
        "code": 404, "reason": "Ping Key Not Found", "description": format!("Failed to find ping key with id '{id}'"),
    } });
    let before = contents(&cronmon.pool).await;
    let answer = cronmon.call_as("globex", Method::DELETE, &path, None).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (404, &not_found));
    assert_eq!(contents(&cronmon.pool).await, before);

    let answer = cronmon.call(Method::DELETE, &path, None).await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, json!("")));
    assert_eq!(count(&cronmon.pool, "select count(*) from ping_key").await, 0);
    let answer = cronmon.call(Method::DELETE, &path, None).await;
    assert_eq!((answer.status.as_u16(), answer.body), (404, not_found));
}
