//! Who hears of what.

use cronmon_tests::contents::count;
use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::json;

use super::{attach, change, config_of, every_minute, heard_by, id, monitor_id, ping, seconds_later};

#[tokio::test(flavor = "multi_thread")]
async fn the_attached_ones_hear_and_else_the_defaults() {
    let cronmon = CronMon::start().await;
    let (attached, attached_config) = heard_by(&cronmon, json!({})).await;
    let (default, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let (neither, _) = heard_by(&cronmon, json!({})).await;
    let (both, both_config) = heard_by(&cronmon, json!({ "default": true })).await;
    let (a, b) = (every_minute(&cronmon, "a").await, every_minute(&cronmon, "b").await);
    attach(&cronmon, &a, &[&attached_config, &both_config]).await;
    for monitor in [&a, &b] {
        ping(&cronmon, monitor, "/fail").await;
    }
    for (receiver, of_a, of_b) in [(&attached, 1, 0), (&default, 0, 1), (&neither, 0, 0), (&both, 1, 1)] {
        assert_eq!(receiver.types_about("a").len(), of_a);
        assert_eq!(receiver.types_about("b").len(), of_b);
    }
    // From the moment on that nothing is attached any more, the defaults hear.
    for config in [&attached_config, &both_config] {
        let path = format!("/monitors/{}/alert-configs/{}", monitor_id(&a), id(config));
        assert_eq!(cronmon.call(Method::DELETE, &path, None).await.status, 204);
    }
    ping(&cronmon, &a, "/fail").await;
    for (receiver, of_a) in [(&attached, 1), (&default, 1), (&neither, 0), (&both, 2)] {
        assert_eq!(receiver.types_about("a").len(), of_a);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_where_only_an_inactive_one_is_attached() {
    let cronmon = CronMon::start().await;
    let (default, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let (inactive, config) = heard_by(&cronmon, json!({ "active": false })).await;
    let monitor = every_minute(&cronmon, "a").await;
    attach(&cronmon, &monitor, &[&config]).await;
    ping(&cronmon, &monitor, "/fail").await;
    assert!(inactive.heard().is_empty() && default.heard().is_empty());
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 1, "it is on record all the same");
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 0);

    change(&cronmon, &config, json!({ "active": true })).await;
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(inactive.types_about("a"), ["failed"], "only what comes from then on");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_switch_silences_its_type() {
    let cronmon = CronMon::start().await;
    let all = json!({ "default": true });
    let (hears_all, _) = heard_by(&cronmon, all).await;
    let (not_late, _) = heard_by(&cronmon, json!({ "default": true, "on_late": false })).await;
    let (not_error, _) = heard_by(&cronmon, json!({ "default": true, "on_error": false })).await;
    let (not_recovered, _) = heard_by(&cronmon, json!({ "default": true, "on_recovered": false })).await;
    let off = json!({ "default": true, "on_late": false, "on_error": false, "on_recovered": false });
    let (nothing, _) = heard_by(&cronmon, off).await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "").await;
    seconds_later(&cronmon, 61).await;
    ping(&cronmon, &monitor, "/fail").await;
    ping(&cronmon, &monitor, "").await;
    assert_eq!(hears_all.types_about("a"), ["late", "failed", "recovered"]);
    assert_eq!(not_late.types_about("a"), ["failed", "recovered"]);
    assert_eq!(not_error.types_about("a"), ["late", "recovered"]);
    assert_eq!(not_recovered.types_about("a"), ["late", "failed"]);
    assert!(nothing.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn recovered_goes_to_those_who_heard_of_that_incident() {
    let cronmon = CronMon::start().await;
    let (not_late, _) = heard_by(&cronmon, json!({ "default": true, "on_late": false })).await;
    let (before, before_config) = heard_by(&cronmon, json!({ "default": true })).await;
    let (silenced, silenced_config) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "").await;
    seconds_later(&cronmon, 61).await;
    assert_eq!(before.types_about("a"), ["late"]);

    // Who comes later has not heard of it; who is detached since has; who is inactive hears nothing.
    let (after, after_config) = heard_by(&cronmon, json!({ "default": true })).await;
    attach(&cronmon, &monitor, &[&after_config]).await;
    change(&cronmon, &before_config, json!({ "default": false })).await;
    change(&cronmon, &silenced_config, json!({ "active": false })).await;
    ping(&cronmon, &monitor, "").await;
    assert_eq!(before.types_about("a"), ["late", "recovered"]);
    assert_eq!(silenced.types_about("a"), ["late"]);
    assert!(not_late.heard().is_empty());
    assert!(after.heard().is_empty());

    // The next incident is another.
    seconds_later(&cronmon, 61).await;
    ping(&cronmon, &monitor, "").await;
    assert_eq!(after.types_about("a"), ["late", "recovered"]);
    assert_eq!(before.types_about("a"), ["late", "recovered"]);
    assert!(not_late.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_hears_nothing() {
    let cronmon = CronMon::start().await;
    let theirs = Receiver::start().await;
    config_of(&cronmon, "globex", &theirs.url, json!({ "default": true })).await;
    config_of(&cronmon, "ACME", &theirs.url, json!({ "default": true })).await;
    config_of(&cronmon, "acme ", &theirs.url, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    ping(&cronmon, &monitor, "").await;
    seconds_later(&cronmon, 61).await;
    ping(&cronmon, &monitor, "/fail").await;
    ping(&cronmon, &monitor, "").await;
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 3);
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 0);
    assert!(theirs.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_switched_off_hears_nothing_of_what_was_on_its_way_not_even_later() {
    let cronmon = CronMon::start().await;
    let (receiver, config) = heard_by(&cronmon, json!({ "default": true })).await;
    let (other, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    cronmon.ping(&monitor, "/fail").await;
    change(&cronmon, &config, json!({ "active": false })).await;
    cronmon.deliver().await;
    assert!(receiver.heard().is_empty());
    assert_eq!(other.types_about("a"), ["failed"]);
    change(&cronmon, &config, json!({ "active": true })).await;
    seconds_later(&cronmon, 30).await;
    assert!(receiver.heard().is_empty());
    ping(&cronmon, &monitor, "/fail").await;
    assert_eq!(receiver.types_about("a"), ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_hears_nothing_of_what_was_on_its_way() {
    let cronmon = CronMon::start().await;
    let (receiver, config) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = every_minute(&cronmon, "a").await;
    cronmon.ping(&monitor, "/fail").await;
    let deleted = cronmon.call(Method::DELETE, &format!("/alert-configs/{}", id(&config)), None).await;
    assert_eq!(deleted.status, 204);
    cronmon.deliver().await;
    assert!(receiver.heard().is_empty());
}
