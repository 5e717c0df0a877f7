//! Databases that are no original, or not ours.

use cronmon_tests::contents::{contents, count};
use cronmon_tests::databases::{empty_database, new_database, pool};
use cronmon_tests::original::{Original, import};

async fn refused(from: &str, into: &str) -> String {
    let output = import(from, into).await;
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_is_no_original_is_refused_before_anything_is_written() {
    let original = Original::start().await;
    original.sql("drop table slack_alert_config; alter table job drop column output").await;
    let into = empty_database().await;
    let why = refused(&original.url, &into).await;
    assert!(why.contains("is not an original CronMon's; nothing was written"), "{why}");
    assert!(why.contains("lacks job.output, slack_alert_config.alert_config_id"), "{why}");
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(count(&pool(&into, 1), tables).await, 0);
}

#[tokio::test]
async fn a_database_of_this_cronmon_is_no_original_either() {
    let ours = new_database().await;
    let before = contents(&pool(&ours, 1)).await;
    let why = refused(&ours, &ours).await;
    assert!(why.contains("is one of this CronMon, not of an original one"), "{why}");
    assert_eq!(contents(&pool(&ours, 1)).await, before);
}

#[tokio::test]
async fn an_original_is_never_written_to() {
    let original = Original::start().await;
    original.monitor("acme", "a").await;
    let before = contents(&original.pool).await;
    let why = refused(&original.url, &original.url).await;
    assert!(why.contains("DATABASE_URL is an original CronMon's database"), "{why}");
    assert_eq!(contents(&original.pool).await, before);
    original.import_into(&new_database().await).await;
    assert_eq!(contents(&original.pool).await, before);
}

#[tokio::test]
async fn a_url_that_leads_nowhere_says_whose_it_is() {
    let into = empty_database().await;
    let why = refused("postgres://cronmon:hunter2@127.0.0.1:9/nothing", &into).await;
    assert!(why.contains("the original's database can't be reached"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    let why = refused("mysql://hunter2", &into).await;
    assert!(why.contains("the original's database: its URL is not a Postgres URL"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
}
