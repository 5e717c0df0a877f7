//! A destination that does not take what it is sent: again and in order, or broken until it is mended.

use axum::http::StatusCode;
use chrono::TimeDelta;
use cronmon_tests::CronMon;
use cronmon_tests::contents::count;
use database::due::left_deliveries;
use serde_json::{Value, json};

use super::{change, every_minute, heard_by, ping, read, seconds_later};

const OPEN: &str = "select count(*) from delivery where next_attempt_at is not null";

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_comes_again_in_its_order_under_the_same_id() {
    let cronmon = CronMon::start().await;
    let (receiver, config) = heard_by(&cronmon, json!({ "default": true })).await;
    let (healthy, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    let other = every_minute(&cronmon, "b").await;
    ping(&cronmon, &monitor, "").await;
    receiver.answer_with(StatusCode::SERVICE_UNAVAILABLE);
    seconds_later(&cronmon, 61).await;
    assert_eq!(receiver.types_about("a"), ["late"]);

    // The recovery waits for the lateness to get through, though not at another destination.
    ping(&cronmon, &monitor, "").await;
    assert_eq!(receiver.types_about("a"), ["late"]);
    assert_eq!(healthy.types_about("a"), ["late", "recovered"]);
    assert_eq!(count(&cronmon.pool, OPEN).await, 2);
    // A tick would hand over the one that can be tried, and not what waits behind it.
    let later = Some(cronmon.now() + TimeDelta::hours(1));
    assert_eq!(left_deliveries(&cronmon.pool, later, 10).await.unwrap().len(), 1);
    assert_eq!(read(&cronmon, &config).await["broken"], Value::Null, "it may pass");

    // Nor does another monitor wait for it.
    ping(&cronmon, &other, "/fail").await;
    assert_eq!(receiver.types_about("b"), ["failed"]);

    // Not before its time.
    seconds_later(&cronmon, 3).await;
    assert_eq!(receiver.types_about("a"), ["late"]);
    seconds_later(&cronmon, 4).await;
    assert_eq!(receiver.types_about("a"), ["late", "late"]);

    receiver.answer_with(StatusCode::NO_CONTENT);
    seconds_later(&cronmon, 19).await;
    assert_eq!(receiver.types_about("a"), ["late", "late", "late", "recovered"]);
    assert_eq!(count(&cronmon.pool, OPEN).await, 0);
    let about_a: Vec<_> =
        receiver.heard().into_iter().filter(|heard| heard.message["monitor"]["name"] == "a").collect();
    for repeat in &about_a[1..3] {
        assert_eq!(repeat.webhook_id, about_a[0].webhook_id);
        assert_eq!(repeat.message, about_a[0].message);
    }
    assert_ne!(about_a[3].webhook_id, about_a[0].webhook_id);

    seconds_later(&cronmon, 20).await;
    assert_eq!(receiver.types_about("a").len(), 4, "what was delivered is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_breaks_an_alert_config_and_a_success_mends_it() {
    let cronmon = CronMon::start().await;
    let (receiver, config) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    receiver.answer_with(StatusCode::GONE);
    ping(&cronmon, &monitor, "/fail").await;
    let broken = json!({ "broken_at": "2026-11-22T12:00:00Z", "reason": "answered 410" });
    assert_eq!(read(&cronmon, &config).await["broken"], broken);
    let list = cronmon.call(reqwest::Method::GET, "/alert-configs", None).await.body;
    assert_eq!(list["data"][0]["broken"], broken);

    // It is not tried again, and the next alert does not wait for it.
    assert_eq!(count(&cronmon.pool, OPEN).await, 0);
    seconds_later(&cronmon, 30).await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(receiver.types_about("a"), ["failed", "failed"]);
    assert_eq!(read(&cronmon, &config).await["broken"], broken, "since when stays the first time");

    receiver.answer_with(StatusCode::OK);
    ping(&cronmon, &monitor, "").await;
    assert_eq!(receiver.types_about("a"), ["failed", "failed", "recovered"]);
    assert_eq!(read(&cronmon, &config).await["broken"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_url_mends_a_broken_alert_config_and_a_new_name_does_not() {
    let cronmon = CronMon::start().await;
    let (receiver, config) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    receiver.answer_with(StatusCode::UNAUTHORIZED);
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(read(&cronmon, &config).await["broken"]["reason"], "answered 401");
    assert_eq!(change(&cronmon, &config, json!({ "name": "b" })).await["broken"]["reason"], "answered 401");
    let elsewhere = json!({ "type": { "webhook": { "url": format!("{}?x", receiver.url) } } });
    assert_eq!(change(&cronmon, &config, elsewhere).await["broken"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_never_called_and_breaks_its_alert_config() {
    let cronmon = CronMon::start().await;
    let switches = json!({ "default": true });
    let config =
        super::config_of(&cronmon, "acme", "http://169.254.169.254/latest/meta-data", switches).await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "/fail").await;
    let reason = "address not permitted: it is neither public nor in ALLOWED_NETWORKS";
    assert_eq!(read(&cronmon, &config).await["broken"]["reason"], reason);
}
