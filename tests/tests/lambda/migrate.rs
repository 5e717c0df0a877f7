//! The custom resource that brings the schema up.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::put;
use cronmon_tests::contents::count;
use cronmon_tests::databases::{empty_database, pool};
use cronmon_tests::lambda::{Function, Settings, can_run, sample};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// CloudFormation's side: a URL for one answer.
struct CloudFormation {
    url: String,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl CloudFormation {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/answer?X-Amz-Signature=secret", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<Value>>>::default();
        let keep = heard.clone();
        let answer =
            async move |body: String| keep.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        let app = Router::new().route("/answer", put(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heard }
    }

    /// What the function answers to a sample event.
    async fn ask(&self, migrate: &Function, name: &str) -> Value {
        let mut event: Value = serde_json::from_str(&sample(name)).unwrap();
        event["ResponseURL"] = self.url.as_str().into();
        migrate.invoke(&event).await;
        let answer = self.heard.lock().unwrap().pop().expect("it did not answer");
        for field in ["StackId", "RequestId", "LogicalResourceId"] {
            assert_eq!(answer[field], event[field], "{field}");
        }
        answer
    }
}

async fn migrate(database_url: &str) -> Function {
    Function::start("migrate", &Settings::from([("DATABASE_URL".into(), database_url.into())])).await
}

const TABLES: &str = "select count(*) from pg_tables where schemaname = 'public'";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_brings_the_schema_up_and_a_deletion_leaves_it() {
    if !can_run() {
        return;
    }
    let database_url = empty_database().await;
    let (migrate, cloudformation) = (migrate(&database_url).await, CloudFormation::start().await);
    let created = cloudformation.ask(&migrate, "migrate-create").await;
    assert_eq!(
        (&created["Status"], &created["PhysicalResourceId"]),
        (&json!("SUCCESS"), &json!("cronmon-schema"))
    );
    let pool = pool(&database_url, 1);
    let tables = count(&pool, TABLES).await;
    assert!(tables > 5);

    let updated = cloudformation.ask(&migrate, "migrate-update").await;
    assert_eq!((&updated["Status"], &updated["Reason"]), (&json!("SUCCESS"), &json!("nothing was missing")));
    // A rollback: the schema is ahead of the code that is called.
    let ahead = "insert into refinery_schema_history select 9999, 'of_tomorrow', applied_on, checksum
                 from refinery_schema_history limit 1";
    pool.get().await.unwrap().batch_execute(ahead).await.unwrap();
    assert_eq!(cloudformation.ask(&migrate, "migrate-update").await["Status"], "SUCCESS");

    // By hand, as after a change of DATABASE_URL.
    assert_eq!(migrate.invoke(&json!({})).await, "nothing was missing");
    assert_eq!(cloudformation.ask(&migrate, "migrate-delete").await["Status"], "SUCCESS");
    assert_eq!(count(&pool, TABLES).await, tables);
    assert!(!migrate.log().contains("X-Amz-Signature"), "the URL is a right to answer");
}

/// What failed may be the database itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_needs_no_database() {
    if !can_run() {
        return;
    }
    let (migrate, cloudformation) =
        (migrate("postgres://127.0.0.1:1/x").await, CloudFormation::start().await);
    let answer = cloudformation.ask(&migrate, "migrate-rollback").await;
    assert_eq!(
        (&answer["Status"], &answer["Reason"]),
        (&json!("SUCCESS"), &json!("the schema stays as it is"))
    );
    assert_eq!(cloudformation.ask(&migrate, "migrate-update").await["Status"], "FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_is_told_with_postgres_words() {
    if !can_run() {
        return;
    }
    let database_url = empty_database().await;
    let pool = pool(&database_url, 1);
    pool.get().await.unwrap().batch_execute("create table alert (x integer)").await.unwrap();
    let answer = CloudFormation::start().await.ask(&migrate(&database_url).await, "migrate-create").await;
    assert_eq!(answer["Status"], "FAILED");
    let told = answer["Reason"].as_str().unwrap();
    assert!(told.contains(r#"42P07 relation "alert" already exists"#), "{told}");
    assert_eq!(count(&pool, "select count(*) from pg_tables where tablename = 'monitor'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_can_not_reach_the_database_is_told_so() {
    if !can_run() {
        return;
    }
    let cloudformation = CloudFormation::start().await;
    let (user, rest) =
        empty_database().await.split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let other_password = format!("{}:hunter2@{rest}", user.rsplit_once(':').unwrap().0);
    for (url, reason) in [
        ("postgres://user:hunter2@127.0.0.1:1/x", "the database can't be reached"),
        (&other_password, "the database can't be reached"),
        ("nonsense://hunter2", "DATABASE_URL is not a Postgres URL"),
        ("", "DATABASE_URL is missing"),
    ] {
        let migrate = migrate(url).await;
        let answer = cloudformation.ask(&migrate, "migrate-create").await;
        assert_eq!(answer["Status"], "FAILED");
        let told = answer["Reason"].as_str().unwrap();
        if url == other_password {
            assert!(told.contains("28P01 password authentication failed"), "{told}");
        }
        assert!(told.starts_with(reason), "{told}");
        assert!(!told.contains("hunter2") && !migrate.log().contains("hunter2"), "{told}");
    }
}

/// For a database that nobody else can reach.
#[tokio::test(flavor = "multi_thread")]
async fn by_hand_it_makes_an_api_key() {
    if !can_run() {
        return;
    }
    let database_url = empty_database().await;
    let migrate = migrate(&database_url).await;
    migrate.invoke(&json!({})).await;
    let pool = pool(&database_url, 1);
    let first = json!({ "new_key": { "tenant": "main", "scope": "manage", "first": true } });
    let key = migrate.invoke(&first).await;
    let key = key.as_str().unwrap();
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    let known = format!(
        "select count(*) from api_key where tenant = 'main' and scope = 'manage' and expires_at is null
         and key_hash = sha256('{key}')"
    );
    assert_eq!(count(&pool, &known).await, 1);
    assert_eq!(migrate.invoke(&first).await, "", "there is one already");
    let more =
        migrate.invoke(&json!({ "new_key": { "tenant": "acme", "scope": "ping", "name": "n" } })).await;
    assert_eq!(more.as_str().unwrap().len(), 32);
    for (new_key, why) in [
        (
            json!({ "tenant": "", "scope": "ping" }),
            "new_key: a tenant has 1 to 255 characters, none of them NUL",
        ),
        (json!({ "tenant": "acme", "scope": "all" }), "new_key: the scope must be ping, read or manage"),
        (json!({ "tenant": "acme" }), "new_key: missing field `scope`"),
        (json!({ "tenant": "acme", "scope": "ping", "frist": true }), "new_key: unknown field `frist`"),
    ] {
        let answer = migrate.try_invoke(&json!({ "new_key": new_key })).await;
        assert!(answer["errorMessage"].as_str().unwrap().starts_with(why), "{answer}");
    }
    assert_eq!(count(&pool, "select count(*) from api_key").await, 2);
    assert!(!migrate.log().contains(key));
}
