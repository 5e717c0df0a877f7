//! §1, API keys: how they are made, listed and deleted, and what is remembered of their use.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::server::{Key, Server, Tenant, each, has, has_fields, new_id, text};

crate::chapter!(
    a_key_is_32_alphanumerics_and_shown_once,
    the_list_shows_what_is_known_of_each_key,
    keys_are_listed_by_creation_whatever_is_used,
    a_name_is_required_and_may_be_anything,
    a_deleted_key_is_gone,
    an_unknown_key_is_404,
    a_use_is_remembered_with_the_name_of_that_time,
    a_use_is_remembered_though_finishing_fails,
    a_use_is_not_remembered_where_the_monitor_is_not_found,
    the_newest_use_is_remembered,
    ours_the_answer_of_a_creation_says_more,
);

async fn a_key_is_32_alphanumerics_and_shown_once(server: &Server) {
    let tenant = server.tenant().await;
    let mut seen = HashSet::new();
    for _ in 0..10 {
        let key = tenant.key().await.key;
        assert_eq!(key.len(), 32, "'32 characters [A-Za-z0-9]': {key}");
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric()), "'32 characters [A-Za-z0-9]': {key}");
        assert!(seen.insert(key), "every key is another");
    }
    let list = tenant.get("/keys").await;
    for key in &seen {
        assert!(!list.text.contains(key.as_str()), "'only time it is shown'");
    }
}

async fn the_list_shows_what_is_known_of_each_key(server: &Server) {
    let tenant = server.tenant().await;
    let empty = tenant.get("/keys").await;
    assert_eq!(empty.data("an empty list"), &json!([]), "an empty list");
    assert_eq!(empty.body["paging"]["total"], 0, "'\"paging\":{{\"total\":n}}'");
    let key = tenant.key_of(&json!({ "name": "of the server" })).await;
    let list = tenant.get("/keys").await;
    assert_eq!(list.body["paging"]["total"], 1, "'\"paging\":{{\"total\":n}}'");
    let masked = format!("{}************{}", &key.key[..5], &key.key[27..]);
    let shown = &list.data("GET /keys")[0];
    has(
        shown,
        &json!({ "api_key_id": key.id, "name": "of the server", "masked": masked, "last_used": null }),
        "ApiKey: masked = first 5 + 12 asterisks + last 5, last_used null",
    );
    has_fields(shown, &["created"], "ApiKey");
    assert!(!text(shown, "created").ends_with('Z'), "`created` is UTC without zone: {shown}");
    assert_eq!(shown.get("key"), None, "the list has no keys");
    has(
        shown,
        &json!({ "scope": "ping", "expires_at": null, "last_used_at": null }),
        "ours: scope, expires_at",
    );
    assert!(text(shown, "created_at").ends_with('Z'), "ours: created_at: {shown}");
}

async fn keys_are_listed_by_creation_whatever_is_used(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 60, 60).await;
    let mut keys = Vec::new();
    for name in ["first", "second", "third"] {
        keys.push(tenant.key_of(&json!({ "name": name })).await);
    }
    for key in [&keys[1], &keys[0], &keys[1]] {
        server.started(&key.key, &monitor).await;
        let list = tenant.get("/keys").await;
        let names = each(list.data("GET /keys"), "name");
        assert_eq!(names, ["first", "second", "third"], "'API keys by creation'");
    }
}

async fn a_name_is_required_and_may_be_anything(server: &Server) {
    let tenant = server.tenant().await;
    for name in ["", "a", "a", "ü日本🦀\n", &"x".repeat(4_096)] {
        let key = tenant.key_of(&json!({ "name": name })).await;
        assert_eq!(tenant.read_key(&key).await["name"], *name, "'Empty names pass'; kept as sent");
    }
    tenant.post("/keys", &json!({})).await.unusable("POST /keys `{{name:str}}`");
    // The original takes any length, and answers 500 to a NUL.
    for name in ["x".repeat(4_097), "a\0b".to_owned()] {
        tenant.post("/keys", &json!({ "name": name })).await.unusable("ours: names have limits");
    }
}

async fn a_deleted_key_is_gone(server: &Server) {
    let tenant = server.tenant().await;
    let (gone, stays) = (tenant.key().await, tenant.key().await);
    tenant.delete(&format!("/keys/{}", gone.id)).await.no_content("DELETE /keys: 204");
    let list = tenant.get("/keys").await;
    assert_eq!(each(list.data("GET /keys"), "api_key_id"), [stays.id], "DELETE /keys deletes that one");
    assert_eq!(list.body["paging"]["total"], 1, "'\"paging\":{{\"total\":n}}'");
}

async fn an_unknown_key_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let id = new_id();
    let sentence = "404 API Key Not Found, Failed to find API key with id '{k}'";
    tenant.delete(&format!("/keys/{id}")).await.no_key(&id, sentence);
}

async fn last_used(tenant: &Tenant<'_>, key: &Key) -> Value {
    tenant.read_key(key).await["last_used"].clone()
}

async fn a_use_is_remembered_with_the_name_of_that_time(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("before", 60, 60).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let start_time = text(&tenant.read_job(&monitor, &job).await, "start_time").to_owned();
    let used = last_used(&tenant, &key).await;
    let sentence = "'last_used {{monitor_id, monitor_name, time}}'";
    has(&used, &json!({ "monitor_id": monitor, "monitor_name": "before", "time": start_time }), sentence);
    assert_eq!(used.as_object().unwrap().len(), 3, "{sentence}: {used}");
    let shown = tenant.read_key(&key).await;
    assert!(text(&shown, "last_used_at").ends_with('Z'), "ours: last_used_at: {shown}");

    let body = json!({ "name": "after", "expected_duration": 60, "grace_duration": 60 });
    tenant.patch(&format!("/monitors/{monitor}"), &body).await.data("it is renamed");
    assert_eq!(last_used(&tenant, &key).await, used, "'monitor name at that time'");
    let finished = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true })).await;
    let end = finished.data("it is finished")["end_time"].clone();
    let used = last_used(&tenant, &key).await;
    has(&used, &json!({ "monitor_id": monitor, "monitor_name": "after", "time": end }), "a finish is a use");
    tenant.delete(&format!("/monitors/{monitor}")).await.no_content("it is deleted");
    assert_eq!(last_used(&tenant, &key).await, used, "a use is remembered when its monitor is gone");
}

async fn a_use_is_remembered_though_finishing_fails(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let sentence =
        "'Use is recorded BEFORE the job is started/finished, also if finishing then fails (404/400)'";
    let unknown = server.finish(&key.key, &monitor, &new_id(), &json!({ "succeeded": true })).await;
    unknown.is(404, "no such job");
    let used = last_used(&tenant, &key).await;
    has(&used, &json!({ "monitor_id": monitor, "monitor_name": "a" }), sentence);

    let (starter, job) = (tenant.key().await, tenant.monitor("b", 60, 60).await);
    let done = server.finished(&starter.key, &job, &json!({ "succeeded": true })).await;
    let again = server.finish(&key.key, &job, text(&done, "job_id"), &json!({ "succeeded": true })).await;
    again.is(400, "already finished");
    let used = last_used(&tenant, &key).await;
    has(&used, &json!({ "monitor_id": job, "monitor_name": "b" }), sentence);
    // What is refused before the key is looked at is no use of it.
    let path = format!("/monitors/{monitor}/jobs/{}/finish", new_id());
    server.with_key(&key.key, "POST", &path, "{}").await.unusable("no body");
    assert_eq!(last_used(&tenant, &key).await, used, "'body, then API key value'");
}

async fn a_use_is_not_remembered_where_the_monitor_is_not_found(server: &Server) {
    let tenant = server.tenant().await;
    let key = tenant.key().await;
    let sentence = "'Not recorded when the monitor is not found'";
    server.start(&key.key, &new_id()).await.is(404, "no such monitor");
    let finish = server.finish(&key.key, &new_id(), &new_id(), &json!({ "succeeded": true })).await;
    finish.is(404, "no such monitor");
    assert_eq!(last_used(&tenant, &key).await, Value::Null, "{sentence}");
}

async fn the_newest_use_is_remembered(server: &Server) {
    let tenant = server.tenant().await;
    let (first, second) = (tenant.monitor("a", 60, 60).await, tenant.monitor("b", 60, 60).await);
    let (key, other) = (tenant.key().await, tenant.key().await);
    for monitor in [&first, &second, &first, &second] {
        server.started(&key.key, monitor).await;
        assert_eq!(last_used(&tenant, &key).await["monitor_id"], *monitor, "the newest use");
    }
    assert_eq!(last_used(&tenant, &other).await, Value::Null, "a use of one key is none of another");
}

async fn ours_the_answer_of_a_creation_says_more(server: &Server) {
    let tenant = server.tenant().await;
    let made = tenant.post("/keys", &json!({ "name": "a" })).await;
    let made = made.data("POST /keys: 200 {\"data\":{\"key\":...}}");
    let key = text(made, "key");
    let masked = format!("{}************{}", &key[..5], &key[27..]);
    has(
        made,
        &json!({ "name": "a", "scope": "ping", "masked": masked, "expires_at": null }),
        "ours: scope and expiry",
    );
    has_fields(made, &["api_key_id", "created_at", "warnings"], "ours: the id of the key");
}
