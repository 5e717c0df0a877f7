//! A ping is one round trip and one statement, whatever its kind; and so is a list.

use cronmon_tests::contents::count;
use cronmon_tests::cronmon::{CronMon, http_client};
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::person::Person;
use cronmon_tests::process::Process;
use cronmon_tests::proxy::{Proxy, port_of};
use cronmon_tests::tokens::Issuer;
use reqwest::Method;
use serde_json::json;

const KEY: &str = "abcdefghij0123456789xy";

/// How often the client says something, and PostgreSQL begins a transaction, during one ping of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_its_kind_a_ping_is_one_message_to_postgres_and_one_transaction() {
    let database_url = new_database().await;
    let (server, database) = database_url.rsplit_once('/').unwrap();
    let (login, address) = server.rsplit_once('@').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let proxy = Proxy::before(port.parse().unwrap()).await;
    let through_the_proxy = format!("{login}@{host}:{}/{database}", proxy.port);
    let cronmon = CronMon::start_on(&through_the_proxy, Some(300)).await;
    let direct = pool(&database_url, 1);
    let insert = format!(
        "insert into ping_key (ping_key_id, tenant, name, key_hash, key_begins, created_at)
         values (gen_random_uuid(), 'acme', 'k', sha256('{KEY}'), 'abcd', now())"
    );
    direct.get().await.unwrap().batch_execute(&insert).await.unwrap();
    let receiver = cronmon_tests::Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let schedule = json!({ "cron": "*/5 * * * *", "timezone": "Europe/Riga" });
    let cron = cronmon.create(json!({ "name": "cron", "schedule": schedule })).await;
    let every = cronmon.create(json!({ "name": "every", "schedule": { "every": 60 } })).await;
    let set_keywords = "update monitor set fail_keywords = '{ERROR}' where name = 'every'";
    direct.get().await.unwrap().batch_execute(set_keywords).await.unwrap();
    let (cron, every) = (cron["ping_url"].as_str().unwrap(), every["ping_url"].as_str().unwrap());
    let by_slug = format!("{}/ping/{KEY}", cronmon.url);
    let rid = "rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    let long = "x".repeat(12_000);
    for (url, body, status) in [
        (every.to_owned(), "", 200),
        (format!("{every}/start?{rid}"), "", 200),
        (format!("{every}?{rid}"), "all well", 200),
        (format!("{every}/1"), "that makes an alert", 200),
        (every.to_owned(), "that recovers", 200),
        (every.to_owned(), "ERROR: a keyword", 200),
        (format!("{every}/log"), "a line", 200),
        (every.to_owned(), &long, 200),
        (cron.to_owned(), "", 200),
        (format!("{cron}/start"), "", 200),
        (format!("{cron}/0"), "", 200),
        (format!("{by_slug}/every"), "", 200),
        (format!("{by_slug}/cron/fail"), "", 200),
        (format!("{by_slug}/new?create=1"), "", 201),
        (format!("{by_slug}/new?create=1"), "", 200),
        (format!("{by_slug}/newer?create=1&cron=0+3+*+*+*&tz=Europe/Riga&tags=a"), "", 201),
        (format!("{by_slug}/unknown"), "", 404),
        (format!("{}/ping/{}", cronmon.url, uuid::Uuid::new_v4()), "", 404),
    ] {
        let said = proxy.said();
        let response = cronmon.http.post(&url).body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.status(), status, "{url}");
        assert_eq!(proxy.said() - said, 1, "{url}: messages to PostgreSQL");
    }
    assert_eq!(count(&direct, "select count(*) from signal").await, 16);
}

/// With whatever jobs, filters and pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_monitors_or_jobs_is_one_message_too() {
    let database_url = new_database().await;
    let proxy = Proxy::before(port_of(&database_url)).await;
    let cronmon = CronMon::start_on(&proxy.in_front_of(&database_url), None).await;
    let body = json!({ "name": "a", "schedule": { "every": 60 }, "tags": ["t"] });
    let monitors = [cronmon.create(body.clone()).await, cronmon.create(body).await];
    for suffix in ["", "/fail", "/start"] {
        cronmon.ping(&monitors[0], suffix).await;
    }
    let jobs = format!("/monitors/{}/jobs", monitors[0]["monitor_id"].as_str().unwrap());
    let cursor = async |path: &str| {
        let page = cronmon.call(Method::GET, &format!("{path}?limit=1"), None).await.body;
        page["paging"]["next_cursor"].as_str().unwrap().to_owned()
    };
    for (path, shown) in [
        ("/monitors".to_owned(), 2),
        ("/monitors?limit=1".to_owned(), 1),
        ("/monitors?name=A&status=running&tag=t".to_owned(), 1),
        ("/monitors?name=none".to_owned(), 0),
        (format!("/monitors?cursor={}", cursor("/monitors").await), 1),
        (jobs.clone(), 3),
        (format!("{jobs}?cursor={}", cursor(&jobs).await), 2),
        ("/ping-keys".to_owned(), 0),
    ] {
        let said = proxy.said();
        let answer = cronmon.call(Method::GET, &path, None).await;
        assert_eq!(proxy.said() - said, 1, "{path}: messages to PostgreSQL");
        assert_eq!(answer.body["data"].as_array().unwrap().len(), shown, "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_in_the_built_process() {
    let database_url = new_database().await;
    let issuer = Issuer::new();
    let cronmon = Process::start(&database_url, &issuer.certs_url(), None).await;
    let person = Person::new(issuer.token("acme"));
    let ping = person.creates(&cronmon.url, json!({ "name": "a", "schedule": { "every": 60 } })).await;
    for _ in 0..20 {
        let response = http_client().get(format!("{}{ping}", cronmon.url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let pool = pool(&database_url, 1);
    assert_eq!(count(&pool, "select count(*) from signal").await, 20);
    // Each ping wrote its monitor's row once.
    assert_eq!(count(&pool, "select revision::bigint from monitor").await, 21);
    assert!(cronmon.stop().await < std::time::Duration::from_secs(6));
}
