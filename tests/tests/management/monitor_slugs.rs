//! Slugs: made from the name, one for each monitor of a tenant, whoever creates at the same moment.

use std::collections::BTreeSet;

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::path;

async fn slug_of(cronmon: &CronMon, name: &str) -> String {
    let monitor = cronmon.create(json!({ "name": name, "schedule": null })).await;
    monitor["slug"].as_str().unwrap().to_owned()
}

fn with_slug(slug: Value) -> Value {
    json!({ "name": "a", "schedule": null, "expected_duration": null, "grace_duration": 60, "slug": slug })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_made_from_the_name_and_numbered_where_it_is_taken() {
    let cronmon = CronMon::start().await;
    assert_eq!(slug_of(&cronmon, "Nightly Backup (db)").await, "nightly-backup-db");
    for n in 2..10 {
        assert_eq!(slug_of(&cronmon, "nightly backup: DB").await, format!("nightly-backup-db-{n}"));
    }
    let monitor = cronmon.create(json!({ "name": "nightly backup db", "schedule": null })).await;
    let id = monitor["monitor_id"].as_str().unwrap().replace('-', "");
    assert_eq!(monitor["slug"], format!("nightly-backup-db-{}", &id[..12]));
    assert_eq!(slug_of(&cronmon, "").await, "monitor");
    assert_eq!(slug_of(&cronmon, "x-3").await, "x-3");
    for slug in ["x", "x-2", "x-4"] {
        assert_eq!(slug_of(&cronmon, "x").await, slug);
    }
    // Another tenant's are its own.
    let body = json!({ "name": "x", "schedule": null });
    let theirs = cronmon.call_as("globex", Method::POST, "/monitors", Some(&body)).await.body;
    assert_eq!(theirs["data"]["slug"], "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_creations_of_one_name_at_once_give_twenty_slugs() {
    let cronmon = CronMon::start().await;
    let all = join_all((0..20).map(|_| slug_of(&cronmon, "backup"))).await;
    let slugs: BTreeSet<&String> = all.iter().collect();
    assert_eq!(slugs.len(), 20, "{all:?}");
    assert!(slugs.contains(&"backup".to_owned()), "{all:?}");
    assert!((2..10).all(|n| slugs.contains(&format!("backup-{n}"))), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_that_want_one_slug_at_once_one_gets_it() {
    let cronmon = CronMon::start().await;
    let body = with_slug(json!("mine"));
    let answers = join_all((0..10).map(|_| cronmon.call(Method::POST, "/monitors", Some(&body)))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![409; 9]].concat());
    let mut monitors = Vec::new();
    for _ in 0..10 {
        monitors.push(cronmon.create(json!({ "name": "a", "schedule": null })).await);
    }
    let body = with_slug(json!("wanted"));
    let paths: Vec<String> = monitors.iter().map(path).collect();
    let answers = join_all(paths.iter().map(|path| cronmon.call(Method::PATCH, path, Some(&body)))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![409; 9]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_swap_their_slugs_at_once_hear_that_they_are_taken() {
    let cronmon = CronMon::start().await;
    let a = cronmon.create(with_slug(json!("a"))).await;
    let b = cronmon.create(with_slug(json!("b"))).await;
    for _ in 0..20 {
        let (to_b, to_a) = (with_slug(json!("b")), with_slug(json!("a")));
        let (path_a, path_b) = (path(&a), path(&b));
        let (first, second) = tokio::join!(
            cronmon.call(Method::PATCH, &path_a, Some(&to_b)),
            cronmon.call(Method::PATCH, &path_b, Some(&to_a)),
        );
        for answer in [first, second] {
            assert_eq!(answer.status, 409, "{}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_stays_when_the_monitor_is_renamed_and_changes_when_that_is_said() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    let other = cronmon.create(json!({ "name": "other", "schedule": null })).await;
    let change = async |body: Value| cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await;
    let renamed = json!({ "name": "restore", "expected_duration": null, "grace_duration": 60 });
    assert_eq!(change(renamed).await.body["data"]["slug"], "backup");
    for (given, slug) in [
        (json!(null), "backup"),
        (json!("db_backup"), "db_backup"),
        (json!("db_backup"), "db_backup"),
        (json!("-"), "-"),
        (json!("a".repeat(100)), &"a".repeat(100)),
    ] {
        let answer = change(with_slug(given.clone())).await;
        assert_eq!((answer.status.as_u16(), &answer.body["data"]["slug"]), (200, &json!(slug)), "{given}");
    }
    let before = contents(&cronmon.pool).await;
    let answer = change(with_slug(json!("other"))).await;
    assert_eq!(answer.status, 409);
    assert_eq!(
        answer.body,
        json!({ "error": {
            "code": 409, "reason": "Slug Taken", "description": "Another monitor has the slug 'other'",
        } })
    );
    assert_eq!(contents(&cronmon.pool).await, before, "nothing was changed");
    // What a deleted monitor had is free.
    assert_eq!(cronmon.call(Method::DELETE, &path(&other), None).await.status, 204);
    assert_eq!(change(with_slug(json!("other"))).await.body["data"]["slug"], "other");
    assert_eq!(slug_of(&cronmon, "backup").await, "backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_given_twice_counts_once() {
    let cronmon = CronMon::start().await;
    let body = json!({ "name": "a", "schedule": null, "tags": ["prod", "db", "prod"] });
    assert_eq!(cronmon.create(body).await["tags"], json!(["prod", "db"]));
}
