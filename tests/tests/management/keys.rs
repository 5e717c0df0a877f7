//! API keys: shown once, kept as a hash, for a scope and a time.

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::path;

async fn create(cronmon: &CronMon, body: Value) -> Value {
    let answer = cronmon.call(Method::POST, "/keys", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn listed(cronmon: &CronMon) -> Vec<Value> {
    let answer = cronmon.call(Method::GET, "/keys", None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_then_only_its_ends() {
    let cronmon = CronMon::start().await;
    let new = create(&cronmon, json!({ "name": "web1" })).await;
    let key = new["key"].as_str().unwrap().to_owned();
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    let id: Uuid = new["api_key_id"].as_str().unwrap().parse().unwrap();
    let masked = format!("{}************{}", &key[..5], &key[27..]);
    assert_eq!(
        new,
        json!({
            "api_key_id": id, "name": "web1", "scope": "ping", "key": key, "masked": masked,
            "created_at": "2026-11-22T12:00:00Z", "expires_at": null, "warnings": [],
        })
    );
    let shown = json!({
        "api_key_id": id, "name": "web1", "scope": "ping", "masked": masked,
        "created": "2026-11-22T12:00:00", "created_at": "2026-11-22T12:00:00Z", "expires_at": null,
        "last_used": null, "last_used_at": null,
    });
    assert_eq!(listed(&cronmon).await, [shown]);
    let statement = "select key_hash, row_to_json(k)::text from api_key k";
    let row = cronmon.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), domain::key::hash(&key));
    assert!(!row.get::<_, String>(1).contains(&key[5..27]), "the key is nowhere in the row");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_in_the_order_of_their_creation() {
    let cronmon = CronMon::start().await;
    for name in ["b", "a", "c"] {
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
        create(&cronmon, json!({ "name": name })).await;
    }
    let names: Vec<Value> = listed(&cronmon).await.iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_a_thousand_keys_at_most() {
    let cronmon = CronMon::start().await;
    let statement = "insert into api_key (api_key_id, tenant, name, scope, key_hash, masked, created_at)
         select gen_random_uuid(), 'acme', '', 'ping', sha256(n::text::bytea), '', now()
         from generate_series(1, 1000) n";
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    let answer = cronmon.call(Method::POST, "/keys", Some(&json!({ "name": "more" }))).await;
    assert_eq!(answer.status, 422);
    let why = "There are 1000 API keys already, and no more may be; delete one.";
    assert_eq!(answer.body["error"]["description"], why);
    let other = cronmon.call_as("globex", Method::POST, "/keys", Some(&json!({ "name": "first" }))).await;
    assert_eq!(other.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_opens_is_its_scope() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    let (monitors, one, start) = ("/monitors", path(&monitor), path(&monitor) + "/jobs/start");
    let new = json!({ "name": "b", "schedule": null });
    for (scope, read, change, ping) in
        [("ping", 403, 403, 200), ("read", 200, 403, 403), ("manage", 200, 200, 200)]
    {
        let key = cronmon.new_key(scope).await;
        for (method, path, body, code) in [
            (Method::GET, monitors, None, read),
            (Method::HEAD, monitors, None, read),
            (Method::GET, one.as_str(), None, read),
            (Method::POST, monitors, Some(&new), change),
            (
                Method::DELETE,
                "/keys/8a2c6f6e-7c3b-4c43-9d5c-1f3b1d0e9a11",
                None,
                if change == 200 { 404 } else { 403 },
            ),
            (Method::POST, start.as_str(), None, ping),
        ] {
            let answer = cronmon.call_by_key(&key, method.clone(), path, body).await;
            assert_eq!(answer.status, code, "{scope}: {method} {path}: {}", answer.body);
            if code == 403 && method != Method::HEAD {
                assert_eq!(answer.body["error"]["reason"], "Forbidden");
                let why = answer.body["error"]["description"].as_str().unwrap();
                assert!(why.starts_with(&format!("This API key has the scope '{scope}'; ")), "{why}");
            }
        }
    }
    // What one tenant's key opens is that tenant's.
    let body = json!({ "name": "theirs", "scope": "manage" });
    let theirs = cronmon.call_as("globex", Method::POST, "/keys", Some(&body)).await.body;
    let theirs = theirs["data"]["key"].as_str().unwrap();
    assert_eq!(cronmon.call_by_key(theirs, Method::GET, monitors, None).await.body["data"], json!([]));
    assert_eq!(cronmon.call_by_key(theirs, Method::GET, &one, None).await.status, 404);
    assert_eq!(cronmon.call_by_key(theirs, Method::POST, &start, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_is_shown_nothing_that_opens_more() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    let (read, manage) = (cronmon.new_key("read").await, cronmon.new_key("manage").await);
    for path in [path(&monitor), "/monitors".to_owned()] {
        let shown = async |key: &str| {
            let data = cronmon.call_by_key(key, Method::GET, &path, None).await.body["data"].clone();
            let one = data.get(0).unwrap_or(&data).clone();
            (one["ping_url"].clone(), one["crontab_line"].clone())
        };
        assert_eq!(shown(&read).await, (Value::Null, Value::Null), "{path}");
        assert_eq!(shown(&manage).await, (monitor["ping_url"].clone(), monitor["crontab_line"].clone()));
    }
    for (url, shown) in [
        (
            "https://user:secret@hooks.example.com:8443/services/T0/B0?key=secret",
            "https://hooks.example.com:8443",
        ),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://example.com", "https://example.com"),
    ] {
        let config = cronmon.hear_everything_at(url).await;
        let path = format!("/alert-configs/{}", config["alert_config_id"].as_str().unwrap());
        let told = async |key: &str| {
            let config = cronmon.call_by_key(key, Method::GET, &path, None).await.body["data"].clone();
            config["type"]["webhook"]["url"].as_str().unwrap().to_owned()
        };
        assert_eq!(told(&read).await, format!("{shown}/************"));
        assert_eq!(told(&manage).await, url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_unknown_revoked_or_expired_opens_nothing() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    let start = path(&monitor) + "/jobs/start";
    let refused = async |key: &str| {
        for (method, path) in [(Method::GET, "/monitors"), (Method::POST, start.as_str())] {
            let answer = cronmon.call_by_key(key, method, path, None).await;
            assert_eq!(answer.status, 401, "{path}");
            let error = json!({
                "code": 401, "reason": "Unauthorized", "description": "Unauthorized: Invalid API key",
            });
            assert_eq!(answer.body, json!({ "error": error }), "{path}");
        }
    };
    for unknown in ["", "x", &"x".repeat(4_000), "11111111-2222-3333-4444-555555555555"] {
        refused(unknown).await;
    }
    let body = json!({ "name": "a", "scope": "manage", "expires_at": "2026-11-22T13:00:00+01:00" });
    assert_eq!(cronmon.call(Method::POST, "/keys", Some(&body)).await.status, 422, "it has passed already");
    let body = json!({ "name": "a", "scope": "manage", "expires_at": "2026-11-22T13:00:01+01:00" });
    let expiring = create(&cronmon, body).await;
    assert_eq!(expiring["expires_at"], "2026-11-22T12:00:01Z");
    let key = expiring["key"].as_str().unwrap();
    assert_eq!(cronmon.call_by_key(key, Method::GET, "/monitors", None).await.status, 200);
    assert_eq!(cronmon.call_by_key(key, Method::POST, &start, None).await.status, 200);
    cronmon.set_clock(cronmon.now() + Duration::seconds(1));
    refused(key).await;
    assert_eq!(listed(&cronmon).await.len(), 1, "it is still there to be seen");

    let revoked = create(&cronmon, json!({ "name": "b", "scope": "manage" })).await;
    let key = revoked["key"].as_str().unwrap();
    let path = format!("/keys/{}", revoked["api_key_id"].as_str().unwrap());
    assert_eq!(cronmon.call_as("globex", Method::DELETE, &path, None).await.status, 404);
    assert_eq!(cronmon.call_by_key(key, Method::GET, "/monitors", None).await.status, 200);
    assert_eq!(cronmon.call(Method::DELETE, &path, None).await.status, 204);
    refused(key).await;
    let again = cronmon.call(Method::DELETE, &path, None).await;
    assert_eq!(again.status, 404);
    assert_eq!(again.body["error"]["reason"], "API Key Not Found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_before_a_key() {
    let cronmon = CronMon::start().await;
    let key = cronmon.new_key("manage").await;
    let request = |token: &str| {
        let request = cronmon.http.get(format!("{}/api/v1/monitors", cronmon.url));
        request.header("x-api-key", &key).header("authorization", format!("Bearer {token}")).send()
    };
    assert_eq!(request("nonsense").await.unwrap().status(), 401);
    assert_eq!(request(&cronmon.issuer.token("globex")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_use_is_written_down_managing_to_the_minute() {
    let cronmon = CronMon::start().await;
    let key = cronmon.new_key("read").await;
    let used_at = async || listed(&cronmon).await[0]["last_used_at"].clone();
    assert_eq!(used_at().await, Value::Null);
    for (second, written) in
        [(0, "2026-11-22T12:00:00Z"), (59, "2026-11-22T12:00:00Z"), (61, "2026-11-22T12:01:01Z")]
    {
        cronmon.set_clock("2026-11-22T12:00:00Z".parse().unwrap());
        cronmon.set_clock(cronmon.now() + Duration::seconds(second));
        assert_eq!(cronmon.call_by_key(&key, Method::GET, "/monitors", None).await.status, 200);
        assert_eq!(used_at().await, written, "at second {second}");
    }
    // What was refused is no use.
    cronmon.set_clock(cronmon.now() + Duration::hours(1));
    let ping = cronmon.new_key("ping").await;
    assert_eq!(cronmon.call_by_key(&ping, Method::GET, "/monitors", None).await.status, 403);
    let keys = listed(&cronmon).await;
    assert_eq!((&keys[0]["last_used"], &keys[1]["last_used_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_a_key_is_refused_by_its_field() {
    let cronmon = CronMon::start().await;
    for (body, field) in [
        (json!({}), "name: "),
        (json!({ "name": 1 }), "name: "),
        (json!({ "name": "a\0" }), "name: "),
        (json!({ "name": "a", "scope": "admin" }), "scope: it must be 'ping', 'read' or 'manage'"),
        (json!({ "name": "a", "scope": ["read"] }), "scope: "),
        (json!({ "name": "a", "expires_at": "tomorrow" }), "expires_at: it must be an instant like "),
        (json!({ "name": "a", "expires_at": "2026-11-22T12:00:00Z" }), "expires_at: it has passed already"),
    ] {
        let answer = cronmon.call(Method::POST, "/keys", Some(&body)).await;
        assert_eq!(answer.status, 422, "{body}");
        let why = answer.body["error"]["description"].as_str().unwrap();
        assert!(why.starts_with(field), "{body}: {why}");
    }
    let nulls = create(&cronmon, json!({ "name": "", "scope": null, "expires_at": null, "scop": 1 })).await;
    assert_eq!((&nulls["scope"], &nulls["expires_at"]), (&json!("ping"), &Value::Null));
    assert_eq!(nulls["warnings"], json!(["unknown field 'scop' was ignored: did you mean 'scope'?"]));
}
