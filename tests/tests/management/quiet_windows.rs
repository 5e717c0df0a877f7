//! What happens in maintenance windows: who is told of it, and when.

use reqwest::Method;
use serde_json::json;

use super::path;
use super::quiet::{NOTHING, Watched};

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_in_several_windows_is_told_once_when_the_last_of_them_ends() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db", "eu"] })).await;
    let ids = json!([it.monitor["monitor_id"]]);
    let other = it.cronmon.create(json!({ "name": "b", "schedule": null })).await;
    for (starts, ends, whom) in [
        ("12:01:00", "12:10:00", json!({ "monitor_ids": ids })),
        ("12:05:00", "12:20:00", json!({ "tags": ["web", "db"] })),
        ("12:15:00", "12:19:00", json!({ "monitor_ids": ids, "tags": ["eu"] })),
        // Not over it.
        ("12:05:00", "12:59:00", json!({ "tags": ["d", "DB", "e"] })),
        ("12:05:00", "12:59:00", json!({ "monitor_ids": [other["monitor_id"]] })),
    ] {
        let mut body = whom;
        body["starts_at"] = json!(format!("2026-11-22T{starts}Z"));
        body["ends_at"] = json!(format!("2026-11-22T{ends}Z"));
        it.window("12:00:00", body).await;
    }
    assert_eq!(it.ping("12:00:59", "/fail").await, ["failed failed"], "before the first");
    assert_eq!(it.ping("12:01:00", "").await, NOTHING);
    assert_eq!(it.ping("12:06:00", "/fail").await, NOTHING);
    assert_eq!(it.tick("12:10:01").await, NOTHING);
    assert_eq!(it.ping("12:11:00", "/fail").await, NOTHING);
    assert_eq!(it.tick("12:20:00").await, NOTHING);
    assert_eq!(it.tick("12:20:01").await, ["recovered failed", "failed failed"]);
    assert_eq!(it.tick("13:00:00").await, NOTHING);
    it.clock("12:30:00");
    it.cronmon.ping(&other, "/fail").await;
    assert_eq!(it.news().await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_comes_again_is_quiet_each_time() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    it.window("12:05:00", json!({ "cron": "0 * * * *", "timezone": "UTC", "duration": 600, "tags": ["db"] }))
        .await;
    assert_eq!(it.ping("12:06:00", "/fail").await, NOTHING, "it began before it was made");
    assert_eq!(it.tick("12:10:01").await, ["failed failed"]);
    assert_eq!(it.ping("12:11:00", "").await, ["recovered failed"]);
    assert_eq!(it.ping("12:12:00", "/fail").await, ["failed failed"]);
    assert_eq!(it.ping("13:00:00", "").await, NOTHING);
    assert_eq!(it.ping("13:09:59", "/fail").await, NOTHING);
    assert_eq!(it.tick("13:10:01").await, ["recovered failed", "failed failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_a_start_in_the_past_takes_nothing_back() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    assert_eq!(it.ping("12:00:00", "/fail").await, ["failed failed"]);
    it.window("12:05:00", json!({ "starts_at": "2026-11-22T11:00:00Z", "duration": 7200, "tags": ["db"] }))
        .await;
    assert_eq!(it.ping("12:06:00", "").await, NOTHING);
    assert_eq!(it.tick("13:00:01").await, ["recovered failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_window_goes_or_shrinks_or_covers_others_what_it_held_back_is_told() {
    for what in ["deleted", "ends earlier", "over others", "edited tags", "renamed"] {
        let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
        let hour = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 3600, "tags": ["db"] });
        let window = it.window("12:00:00", hour).await;
        assert_eq!(it.ping("12:10:00", "/fail").await, NOTHING);
        it.clock("12:20:00");
        let path = format!("/maintenance-windows/{}", window["window_id"].as_str().unwrap());
        let status = match what {
            "deleted" => it.cronmon.call(Method::DELETE, &path, None).await.status,
            "ends earlier" => {
                let body = json!({ "ends_at": "2026-11-22T12:21:00Z" });
                it.cronmon.call(Method::PATCH, &path, Some(&body)).await.status
            }
            "over others" => {
                it.cronmon.call(Method::PATCH, &path, Some(&json!({ "tags": ["x"] }))).await.status
            }
            "renamed" => it.cronmon.call(Method::PATCH, &path, Some(&json!({ "name": "x" }))).await.status,
            _ => {
                assert_eq!(it.edit("12:20:00", json!({ "tags": ["x"] })).await, NOTHING);
                reqwest::StatusCode::OK
            }
        };
        assert!(status.is_success(), "{what}: {status}");
        let (soon, later): (&[&str], &[&str]) = match what {
            "ends earlier" | "renamed" => (&[], &["failed failed"]),
            _ => (&["failed failed"], &[]),
        };
        assert_eq!(it.tick("12:20:01").await, soon, "{what}");
        if what == "ends earlier" {
            assert_eq!(it.tick("12:21:01").await, later, "{what}");
        } else {
            assert_eq!(it.tick("12:59:00").await, NOTHING, "{what}");
            assert_eq!(it.tick("13:00:01").await, later, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_window_held_back_of_a_paused_monitor_is_told_after_the_pause() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let hour = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 3600, "tags": ["db"] });
    let window = it.window("12:00:00", hour).await;
    assert_eq!(it.ping("12:10:00", "/fail").await, NOTHING);
    assert_eq!(it.does("12:15:00", "pause", json!({})).await, NOTHING);
    let path = format!("/maintenance-windows/{}", window["window_id"].as_str().unwrap());
    assert_eq!(it.cronmon.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(it.edit("12:20:00", json!({ "tags": ["x"] })).await, NOTHING);
    assert_eq!(it.tick("12:20:01").await, NOTHING);
    assert_eq!(it.stands().await, "paused");
    it.does("12:30:00", "resume", json!({})).await;
    assert_eq!(it.tick("12:30:01").await, ["failed failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_monitor_takes_along_what_was_held_back_and_its_place_in_windows() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let other = it.cronmon.create(json!({ "name": "b", "schedule": null })).await;
    let ids = json!([it.monitor["monitor_id"], other["monitor_id"]]);
    let window = it
        .window(
            "12:00:00",
            json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 60, "monitor_ids": ids }),
        )
        .await;
    assert_eq!(window["monitors"], 2);
    assert_eq!(it.ping("12:00:10", "/fail").await, NOTHING);
    assert_eq!(it.cronmon.call(Method::DELETE, &path(&it.monitor), None).await.status, 204);
    assert_eq!(it.tick("12:01:01").await, NOTHING);
    let window = format!("/maintenance-windows/{}", window["window_id"].as_str().unwrap());
    let shown = it.cronmon.call(Method::GET, &window, None).await.body;
    assert_eq!(shown["data"]["monitor_ids"], json!([other["monitor_id"]]));
    assert_eq!(shown["data"]["monitors"], 1);
}
