//! §1: another tenant's object is 404 as if it did not exist, and nothing comes of it.

use std::time::{Duration, Instant};

use cronmon_tests::contents::contents;
use serde_json::{Value, json};

use crate::server::{Answer, Key, Server, Tenant, new_id, slack_config};
use cronmon_tests::slack::Slack;

crate::chapter!(
    every_call_with_ids_of_another_tenant_is_answered_as_with_unknown_ones,
    ids_of_another_tenant_take_as_long_as_unknown_ones,
    no_list_shows_what_another_tenant_has,
    what_one_tenant_does_the_other_does_not_hear,
);

struct World {
    monitor: String,
    job: String,
    config: String,
    key: Key,
}

async fn world(tenant: &Tenant<'_>) -> World {
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let job = tenant.server.started(&key.key, &monitor).await;
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    World { monitor, job, config, key }
}

/// Every call that has an id in it, with the ids of `of` in place of ours, one or all.
fn calls(mine: &World, of: [&str; 4]) -> Vec<(&'static str, String, Value)> {
    let [monitor, job, config, key] = of;
    let monitor_body = json!({ "name": "stolen", "expected_duration": 1, "grace_duration": 1 });
    let config_body = slack_config("stolen", "C1");
    let finish = json!({ "succeeded": true, "output": "stolen" });
    let one = format!("/monitors/{monitor}");
    vec![
        ("GET", one.clone(), Value::Null),
        ("PATCH", one.clone(), monitor_body),
        ("DELETE", one.clone(), Value::Null),
        ("GET", format!("{one}/jobs"), Value::Null),
        ("GET", format!("{one}/jobs/{job}"), Value::Null),
        ("GET", format!("/monitors/{}/jobs/{job}", mine.monitor), Value::Null),
        ("POST", format!("{one}/jobs/start"), Value::Null),
        ("POST", format!("{one}/jobs/{job}/finish"), finish.clone()),
        ("POST", format!("/monitors/{}/jobs/{job}/finish", mine.monitor), finish),
        ("GET", format!("{one}/pings"), Value::Null),
        ("GET", format!("{one}/explain"), Value::Null),
        ("POST", format!("{one}/pause"), Value::Null),
        ("POST", format!("{one}/resume"), Value::Null),
        ("POST", format!("{one}/snooze"), json!({ "seconds": 60 })),
        ("POST", format!("{one}/ping-url"), Value::Null),
        ("GET", format!("{one}/alert-configs"), Value::Null),
        ("POST", format!("{one}/alert-configs"), json!({ "alert_config_ids": [mine.config] })),
        (
            "POST",
            format!("/monitors/{}/alert-configs", mine.monitor),
            json!({ "alert_config_ids": [config] }),
        ),
        ("DELETE", format!("{one}/alert-configs/{}", mine.config), Value::Null),
        ("DELETE", format!("/monitors/{}/alert-configs/{config}", mine.monitor), Value::Null),
        ("GET", format!("/alert-configs/{config}"), Value::Null),
        ("PATCH", format!("/alert-configs/{config}"), config_body),
        ("POST", format!("/alert-configs/{config}/test"), Value::Null),
        ("DELETE", format!("/alert-configs/{config}"), Value::Null),
        ("DELETE", format!("/keys/{key}"), Value::Null),
    ]
}

async fn call(tenant: &Tenant<'_>, key: &Key, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    if path.ends_with("/start") || path.ends_with("/finish") {
        tenant.server.with_key(&key.key, method, path, &body).await
    } else {
        tenant.send(method, path, (!body.is_empty()).then_some(body.as_str())).await
    }
}

/// What both tenants have; a process writes elsewhere while it stands idle.
async fn what_there_is(server: &Server) -> Vec<(String, (i64, String))> {
    let wanted = [
        "monitor",
        "job",
        "signal",
        "alert_config",
        "monitor_alert_config",
        "alert",
        "delivery",
        "slot",
        "api_key",
    ];
    let all = contents(&server.pool).await;
    all.into_iter().filter(|(table, _)| wanted.contains(&table.as_str())).collect()
}

async fn every_call_with_ids_of_another_tenant_is_answered_as_with_unknown_ones(server: &Server) {
    let (me, other) = (server.tenant().await, server.tenant().await);
    let (mine, theirs) = (world(&me).await, world(&other).await);
    let unknown = [new_id(), new_id(), new_id(), new_id()];
    let ids = [&theirs.monitor, &theirs.job, &theirs.config, &theirs.key.id].map(String::as_str);
    let calls_of_theirs = calls(&mine, ids);
    let calls_of_unknown = calls(&mine, unknown.each_ref().map(String::as_str));
    for ((method, path, body), (_, unknown_path, unknown_body)) in
        calls_of_theirs.into_iter().zip(calls_of_unknown)
    {
        let key_writes_down_its_use = path.starts_with(&format!("/monitors/{}/jobs", mine.monitor));
        let before = what_there_is(server).await;
        let answer = call(&me, &mine.key, method, &path, &body).await;
        let after = what_there_is(server).await;
        let as_unknown = call(&me, &mine.key, method, &unknown_path, &unknown_body).await;
        answer.is(404, "'another tenant's object is 404 as if it did not exist'");
        as_unknown.is(404, "an unknown id");
        let in_their_words = unknown
            .iter()
            .zip(ids)
            .fold(as_unknown.text.clone(), |text, (unknown, id)| text.replace(unknown.as_str(), id));
        assert_eq!(answer.text, in_their_words, "the same as of an unknown id: {answer}");
        let names = |headers: &reqwest::header::HeaderMap| {
            headers.keys().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names(&answer.headers), names(&as_unknown.headers), "the same headers: {answer}");
        for (before, after) in before.iter().zip(&after) {
            if before.0 != "api_key" || !key_writes_down_its_use {
                assert_eq!(before, after, "nothing is changed or counted: {answer}");
            }
        }
    }
}

/// Only what would be seen by the eye: a walk over what is there, a lock that is waited for.
async fn ids_of_another_tenant_take_as_long_as_unknown_ones(server: &Server) {
    let (me, other) = (server.tenant().await, server.tenant().await);
    let (mine, theirs) = (world(&me).await, world(&other).await);
    for _ in 0..60 {
        let body = json!({ "succeeded": true, "output": "x".repeat(10_000) });
        server.finished(&theirs.key.key, &theirs.monitor, &body).await;
    }
    let ids = [&theirs.monitor, &theirs.job, &theirs.config, &theirs.key.id].map(String::as_str);
    let unknown = [new_id(), new_id(), new_id(), new_id()];
    let calls_of_unknown = calls(&mine, unknown.each_ref().map(String::as_str));
    let pairs: Vec<_> = calls(&mine, ids).into_iter().zip(calls_of_unknown).collect();
    let mut times = vec![(Vec::new(), Vec::new()); pairs.len()];
    for _ in 0..15 {
        for ((of_theirs, of_unknown), (theirs, unknown)) in pairs.iter().zip(&mut times) {
            for ((method, path, body), times) in [(of_theirs, theirs), (of_unknown, unknown)] {
                let began = Instant::now();
                call(&me, &mine.key, method, path, body).await.is(404, "none of ours");
                times.push(began.elapsed());
            }
        }
    }
    for (((method, path, _), _), (mut theirs, mut unknown)) in pairs.iter().zip(times) {
        theirs.sort_unstable();
        unknown.sort_unstable();
        let (theirs, unknown) = (theirs[theirs.len() / 2], unknown[unknown.len() / 2]);
        let most = theirs.min(unknown) * 3 / 2 + Duration::from_millis(2);
        assert!(theirs.max(unknown) <= most, "{method} {path}: {theirs:?}, and of unknown ids {unknown:?}");
    }
}

async fn no_list_shows_what_another_tenant_has(server: &Server) {
    let (me, other) = (server.tenant().await, server.tenant().await);
    let theirs = world(&other).await;
    for path in ["/monitors", "/keys", "/alert-configs", "/ping-keys", "/maintenance-windows"] {
        let list = me.get(path).await;
        assert_eq!(list.data("a list"), &json!([]), "{path} of another tenant");
        assert_eq!(list.body["paging"]["total"], 0, "{path} of another tenant");
    }
    other.get(&format!("/monitors/{}", theirs.monitor)).await.data("it is still there");
}

async fn what_one_tenant_does_the_other_does_not_hear(server: &Server) {
    let (me, other) = (server.tenant().await, server.tenant().await);
    let channel = Slack::channel();
    me.slack(&channel, &json!({ "default": true })).await;
    let (theirs, key) = (other.monitor("theirs", 60, 60).await, other.key().await);
    let (mine, my_key) = (me.monitor("mine", 60, 60).await, me.key().await);
    server.finished(&key.key, &theirs, &json!({ "succeeded": false })).await;
    server.finished(&my_key.key, &mine, &json!({ "succeeded": false })).await;
    server.until("my own alert", || !server.slack.heard(&channel).is_empty()).await;
    server.wait_for_nothing().await;
    assert_eq!(server.slack.texts_in(&channel), ["Failed 'mine' job"], "a tenant hears its own alerts alone");
    assert!(server.start(&key.key, &mine).await.status == 404, "a key opens its own tenant alone");
}
