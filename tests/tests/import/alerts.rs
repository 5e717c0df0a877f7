//! Whom an import alerts: nobody; and what is told afterwards.

use chrono::TimeDelta;
use cronmon_tests::contents::count;
use cronmon_tests::databases::new_database;
use cronmon_tests::original::{End, Original};
use cronmon_tests::{CronMon, Receiver};
use serde_json::json;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

#[tokio::test]
async fn what_went_wrong_before_is_told_nobody_and_neither_is_its_recovery() {
    let original = Original::start().await;
    let failing = original.monitor("acme", "failing").await;
    original.job(failing, MINUTE * 90, End::Failed(MINUTE), None).await;
    let hanging = original.monitor("acme", "hanging").await;
    let hangs = original.job(hanging, MINUTE * 90, End::Running, None).await;
    let url = new_database().await;
    let cronmon = CronMon::start_on(&url, None).await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    original.import_into(&url).await;

    cronmon.set_clock(original.now + MINUTE * 2);
    cronmon.tick().await;
    cronmon.deliver().await;
    assert_eq!(count(&cronmon.pool, "select count(*) from alert").await, 0);
    let failing = cronmon.read(&json!({ "monitor_id": failing })).await;
    let hanging = cronmon.read(&json!({ "monitor_id": hanging })).await;
    assert_eq!((&failing["status"], &hanging["status"]), (&json!("failed"), &json!("late")));
    cronmon.ping(&failing, "").await;
    cronmon.ping(&hanging, &format!("?rid={hangs}")).await;
    cronmon.deliver().await;
    assert_eq!(cronmon.read(&failing).await["status"], "up");
    let hanging = cronmon.read(&hanging).await;
    assert_eq!((&hanging["status"], &hanging["running"]), (&json!("up"), &json!(false)));
    assert_eq!(hanging["jobs"][0]["job_id"], json!(hangs));
    assert_eq!(count(&cronmon.pool, "select count(*) from alert where type = 'recovered'").await, 2);
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 0);

    // From now on it is as any other.
    cronmon.ping(&failing, "/1").await;
    cronmon.ping(&failing, "").await;
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("failing"), ["failed", "recovered"]);
}

#[tokio::test]
async fn a_run_that_overruns_later_is_told_once() {
    let original = Original::start().await;
    let monitor = original.monitor("acme", "runs").await;
    original.job(monitor, MINUTE * 60, End::Running, None).await;
    original.job(monitor, MINUTE * 30, End::Running, None).await;
    let url = new_database().await;
    original.import_into(&url).await;
    let cronmon = CronMon::start_on(&url, None).await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;

    cronmon.set_clock(original.now + MINUTE * 10);
    cronmon.tick().await;
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("runs"), Vec::<String>::new());
    for later in [11, 12, 100] {
        cronmon.set_clock(original.now + MINUTE * later);
        cronmon.tick().await;
        cronmon.deliver().await;
    }
    assert_eq!(receiver.types_about("runs"), ["late"]);
    // A second import has nothing to say to it either.
    original.import_into(&url).await;
    cronmon.tick().await;
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("runs"), ["late"]);
}
