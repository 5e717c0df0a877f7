//! Ours: keys with a scope and an expiry. The original's open start and finish alone, for ever.

use chrono::Duration;
use cronmon_tests::chaos::now;
use serde_json::{Value, json};

use crate::server::{Key, Server, Tenant, has, new_id, slack_config};
use cronmon_tests::slack::Slack;

crate::chapter!(
    a_key_of_scope_ping_opens_start_and_finish_alone,
    a_key_of_scope_read_reads_and_changes_nothing,
    a_key_of_scope_manage_opens_everything,
    a_key_that_has_expired_opens_nothing,
    an_unknown_key_opens_nothing,
    a_token_goes_before_a_key,
    a_scope_or_an_expiry_that_can_not_be_is_422,
    a_key_sees_its_tenant_alone,
);

async fn scoped(tenant: &Tenant<'_>, scope: &str) -> Key {
    tenant.key_of(&json!({ "name": scope, "scope": scope })).await
}

/// Reads, then changes.
fn management(monitor: &str, job: &str, config: &str) -> (Vec<String>, Vec<(&'static str, String, String)>) {
    let monitor_body = json!({ "name": "b", "expected_duration": 60, "grace_duration": 60 }).to_string();
    let config_body = slack_config("b", &Slack::channel()).to_string();
    let one = format!("/monitors/{monitor}");
    let reads = vec![
        "/monitors".to_owned(),
        one.clone(),
        format!("{one}/jobs"),
        format!("{one}/jobs/{job}"),
        format!("{one}/alert-configs"),
        "/keys".to_owned(),
        "/alert-configs".to_owned(),
        format!("/alert-configs/{config}"),
    ];
    let changes = vec![
        ("POST", "/monitors".to_owned(), monitor_body.clone()),
        ("PATCH", one.clone(), monitor_body),
        ("POST", "/keys".to_owned(), r#"{"name":"k"}"#.to_owned()),
        ("POST", "/alert-configs".to_owned(), config_body.clone()),
        ("PATCH", format!("/alert-configs/{config}"), config_body),
        ("POST", format!("/alert-configs/{config}/test"), String::new()),
        ("POST", format!("{one}/alert-configs"), json!({ "alert_config_ids": [config] }).to_string()),
        ("DELETE", format!("{one}/alert-configs/{config}"), String::new()),
        ("DELETE", format!("/alert-configs/{config}"), String::new()),
        ("DELETE", one, String::new()),
    ];
    (reads, changes)
}

async fn world(tenant: &Tenant<'_>) -> (String, String, String) {
    let (monitor, key) = (tenant.monitor("a", 60, 60).await, tenant.key().await);
    let job = tenant.server.started(&key.key, &monitor).await;
    (monitor, job, tenant.slack(&Slack::channel(), &json!({})).await)
}

async fn a_key_of_scope_ping_opens_start_and_finish_alone(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job, config) = world(&tenant).await;
    let key = scoped(&tenant, "ping").await.key;
    let (reads, changes) = management(&monitor, &job, &config);
    for path in reads {
        let answer = server.with_key(&key, "GET", &path, "").await;
        answer.refused(403, "Forbidden", "a key of scope ping opens no management");
        server.with_key(&key, "HEAD", &path, "").await.is(403, "a key of scope ping opens no management");
    }
    for (method, path, body) in changes {
        let answer = server.with_key(&key, method, &path, &body).await;
        answer.refused(403, "Forbidden", "a key of scope ping opens no management");
    }
    let finish = server.finish(&key, &monitor, &job, &json!({ "succeeded": true })).await;
    finish.data("a key of scope ping opens start and finish");
}

async fn a_key_of_scope_read_reads_and_changes_nothing(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job, config) = world(&tenant).await;
    let key = scoped(&tenant, "read").await.key;
    let (reads, changes) = management(&monitor, &job, &config);
    for path in reads {
        let answer = server.with_key(&key, "GET", &path, "").await;
        answer.data("scope read may GET");
        // The use of the key itself stands in the list of keys.
        if path != "/keys" {
            let by_token = without_what_opens_more(tenant.get(&path).await.body["data"].clone());
            assert_eq!(
                answer.body["data"], by_token,
                "it sees what a token sees, but nothing that opens more"
            );
        }
        server.with_key(&key, "HEAD", &path, "").await.is(200, "scope read may HEAD");
    }
    for (method, path, body) in changes {
        let answer = server.with_key(&key, method, &path, &body).await;
        answer.refused(403, "Forbidden", "scope read may change nothing");
    }
    server.start(&key, &monitor).await.refused(403, "Forbidden", "scope read may start nothing");
    let finish = server.finish(&key, &monitor, &job, &json!({ "succeeded": true })).await;
    finish.refused(403, "Forbidden", "scope read may finish nothing");
    has(&tenant.read_job(&monitor, &job).await, &json!({ "in_progress": true }), "nothing was finished");
    // What comes before it in the order of checks.
    let finish = format!("/monitors/{monitor}/jobs/x/finish");
    server.with_key(&key, "POST", &finish, "{}").await.unusable("422 before 403");
    server.start(&key, &new_id()).await.refused(403, "Forbidden", "403 before 404");
}

async fn a_key_of_scope_manage_opens_everything(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job, config) = world(&tenant).await;
    let key = scoped(&tenant, "manage").await.key;
    server.started(&key, &monitor).await;
    let (reads, changes) = management(&monitor, &job, &config);
    for path in reads {
        server.with_key(&key, "GET", &path, "").await.data("scope manage may everything");
    }
    for (method, path, body) in changes {
        let answer = server.with_key(&key, method, &path, &body).await;
        assert!(matches!(answer.status, 200 | 204), "scope manage may everything: {answer}");
    }
}

async fn a_key_that_has_expired_opens_nothing(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, job, _) = world(&tenant).await;
    let later = (now() + Duration::hours(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for scope in ["ping", "read", "manage"] {
        let body = json!({ "name": scope, "scope": scope, "expires_at": later });
        let key = tenant.key_of(&body).await;
        assert_eq!(tenant.read_key(&key).await["expires_at"], *later, "expires_at is shown");
        let path =
            if scope == "ping" { format!("/monitors/{monitor}/jobs/start") } else { "/monitors".to_owned() };
        let method = if scope == "ping" { "POST" } else { "GET" };
        server.with_key(&key.key, method, &path, "").await.data("it has not expired yet");
        server
            .execute(&format!(
                "update api_key set expires_at = now() - interval '1 second' where api_key_id = '{}'",
                key.id
            ))
            .await;
        let answer = server.with_key(&key.key, method, &path, "").await;
        answer.refused(401, "Unauthorized", "an expired key: 401");
        server.start(&key.key, &monitor).await.bad_key("an expired key is a wrong one");
        let finish = server.finish(&key.key, &monitor, &job, &json!({ "succeeded": true })).await;
        finish.bad_key("an expired key is a wrong one");
    }
}

async fn an_unknown_key_opens_nothing(server: &Server) {
    for key in ["", "x", &"x".repeat(32)] {
        for (method, path) in [("GET", "/monitors"), ("POST", "/keys"), ("GET", "/alert-configs")] {
            let answer = server.with_key(key, method, path, "").await;
            answer.refused(401, "Unauthorized", "an unknown key: 401");
        }
    }
}

async fn a_token_goes_before_a_key(server: &Server) {
    let tenant = server.tenant().await;
    let manage = scoped(&tenant, "manage").await.key;
    let bad = [("authorization", "Bearer x.y.z"), ("x-api-key", manage.as_str())];
    let answer = server.send("GET", "/monitors", &bad, None).await;
    answer.unauthenticated("a key opens management only without an Authorization header");
    let bearer = format!("Bearer {}", tenant.token);
    let good = [("authorization", bearer.as_str()), ("x-api-key", "wrong")];
    server.send("GET", "/monitors", &good, None).await.data("a good token needs no key");
}

async fn a_scope_or_an_expiry_that_can_not_be_is_422(server: &Server) {
    let tenant = server.tenant().await;
    for body in [
        json!({ "name": "a", "scope": "admin" }),
        json!({ "name": "a", "scope": "" }),
        json!({ "name": "a", "scope": 1 }),
        json!({ "name": "a", "expires_at": "tomorrow" }),
        json!({ "name": "a", "expires_at": 1 }),
    ] {
        tenant.post("/keys", &body).await.unusable("scope: ping, read or manage; expires_at: an instant");
    }
    let key = tenant.key_of(&json!({ "name": "a", "expires_at": null })).await;
    has(
        &tenant.read_key(&key).await,
        &json!({ "expires_at": null, "scope": "ping" }),
        "null: it never expires",
    );
}

async fn a_key_sees_its_tenant_alone(server: &Server) {
    let (tenant, other) = (server.tenant().await, server.tenant().await);
    let (monitor, _, config) = world(&other).await;
    let key = scoped(&tenant, "manage").await.key;
    let list = server.with_key(&key, "GET", "/monitors", "").await;
    assert_eq!(list.data("its own monitors"), &json!([]), "a key sees its tenant alone");
    let read = server.with_key(&key, "GET", &format!("/monitors/{monitor}"), "").await;
    read.no_monitor(&monitor, "a key sees its tenant alone");
    let read = server.with_key(&key, "DELETE", &format!("/alert-configs/{config}"), "").await;
    read.no_config(&config, "a key sees its tenant alone");
    other.get(&format!("/alert-configs/{config}")).await.data("nothing was deleted");
}

fn without_what_opens_more(mut shown: Value) -> Value {
    match &mut shown {
        Value::Array(all) => all.iter_mut().for_each(|one| *one = without_what_opens_more(one.take())),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "ping_url" | "crontab_line" => *value = Value::Null,
                    "url" => {
                        let url = value.as_str().unwrap();
                        let host = url.split('/').nth(2).unwrap();
                        *value = format!("{}//{host}/************", url.split('/').next().unwrap()).into();
                    }
                    _ => *value = without_what_opens_more(value.take()),
                }
            }
        }
        _ => {}
    }
    shown
}
