//! What its owner should know about a monitor appears, and vanishes once it is no longer true.

use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::{NEVER_PINGED, NOBODY, at, path, texts};

const NO_SCHEDULE: &str = "no schedule: a job that stops running goes unnoticed";
const NO_LIMIT: &str = "neither schedule nor expected_duration: a job that hangs goes unnoticed too";
const NO_ZONE: &str = "no timezone was given: the schedule is read in UTC";
const NO_NAME: &str = "no name: alerts will not say which job they are about";

async fn warnings(cronmon: &CronMon, monitor: &Value) -> Vec<String> {
    let read = cronmon.read(monitor).await;
    let warnings: Vec<String> = texts(&read["warnings"]).into_iter().map(Into::into).collect();
    let list = cronmon.call(Method::GET, "/monitors", None).await;
    let list = list.body["data"].as_array().unwrap();
    let listed = list.iter().find(|other| other["monitor_id"] == monitor["monitor_id"]).unwrap();
    assert_eq!(texts(&listed["warnings"]), warnings, "the list says the same");
    warnings
}

async fn change(cronmon: &CronMon, monitor: &Value, ours: Value) -> Value {
    let mut body = json!({ "name": "a", "expected_duration": 60, "grace_duration": 60 });
    body.as_object_mut().unwrap().append(&mut ours.as_object().unwrap().clone());
    let answer = cronmon.call(Method::PATCH, &path(monitor), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn alert_config(cronmon: &CronMon, switches: Value) -> String {
    let mut body = json!({ "name": "hook", "type": { "webhook": { "url": "http://127.0.0.1:1/" } } });
    body.as_object_mut().unwrap().append(&mut switches.as_object().unwrap().clone());
    let answer = cronmon.call(Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"]["alert_config_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_warning_goes_when_its_reason_goes() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": " ", "schedule": null })).await;
    let all = [NO_NAME, NO_SCHEDULE, NO_LIMIT, NOBODY, NEVER_PINGED];
    assert_eq!(texts(&monitor["warnings"]), all);
    assert_eq!(warnings(&cronmon, &monitor).await, all);

    let changed = change(&cronmon, &monitor, json!({})).await;
    assert_eq!(texts(&changed["warnings"]), [NO_SCHEDULE, NOBODY, NEVER_PINGED]);

    let changed = change(&cronmon, &monitor, json!({ "schedule": { "cron": "0 3 * * *" } })).await;
    assert_eq!(texts(&changed["warnings"]), [NO_ZONE, NOBODY, NEVER_PINGED]);
    assert_eq!(warnings(&cronmon, &monitor).await, [NO_ZONE, NOBODY, NEVER_PINGED]);

    let in_utc = json!({ "schedule": { "cron": "0 3 * * *", "timezone": "UTC" } });
    let changed = change(&cronmon, &monitor, in_utc).await;
    assert_eq!(texts(&changed["warnings"]), [NOBODY, NEVER_PINGED]);

    cronmon.ping(&monitor, "/log").await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY, NEVER_PINGED], "a log expects nothing");
    cronmon.ping(&monitor, "/start").await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY]);

    alert_config(&cronmon, json!({ "default": true })).await;
    assert!(warnings(&cronmon, &monitor).await.is_empty());

    change(&cronmon, &monitor, json!({ "schedule": null })).await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NO_SCHEDULE]);
    change(&cronmon, &monitor, json!({ "schedule": { "every": 60 } })).await;
    assert!(warnings(&cronmon, &monitor).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_armed_and_was_never_pinged_says_when_a_ping_is_expected() {
    let cronmon = CronMon::start().await;
    let in_utc = json!({ "cron": "0 15 * * *", "timezone": "UTC" });
    let monitor = cronmon.create(json!({ "name": "a", "schedule": in_utc, "armed": true })).await;
    let first = "never pinged: the next ping is expected at 2026-11-22T15:00:00Z";
    assert_eq!(texts(&monitor["warnings"]), [NOBODY, first]);
    cronmon.ping(&monitor, "/log").await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY, first], "a log is no ping in this sense");

    // It was missed, and the next one is waited for.
    cronmon.set_clock(at("2026-11-22T16:00:01Z"));
    cronmon.tick().await;
    let second = "never pinged: the next ping is expected at 2026-11-23T15:00:00Z";
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY, second]);

    let paused = cronmon.call(Method::POST, &format!("{}/pause", path(&monitor)), None).await;
    assert_eq!(paused.status, 200);
    let why = "paused since 2026-11-22T16:00:01Z: nothing is judged until it is resumed";
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY, "never pinged", why]);

    let resumed = cronmon.call(Method::POST, &format!("{}/resume", path(&monitor)), None).await;
    assert_eq!(resumed.status, 200);
    cronmon.ping(&monitor, "/start").await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY]);

    // Without a schedule there is nothing to expect, armed or not.
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null, "armed": true })).await;
    assert_eq!(texts(&monitor["warnings"]), [NO_SCHEDULE, NO_LIMIT, NOBODY, NEVER_PINGED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_hears_of_it_who_is_attached_and_active_or_else_a_default() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 } })).await;
    cronmon.ping(&monitor, "").await;
    let attached = format!("{}/alert-configs", path(&monitor));
    let attach = async |id: &str| {
        let body = json!({ "alert_config_ids": [id] });
        assert_eq!(cronmon.call(Method::POST, &attached, Some(&body)).await.status, 204);
    };
    let detach = async |id: &str| {
        assert_eq!(cronmon.call(Method::DELETE, &format!("{attached}/{id}"), None).await.status, 204);
    };
    let active = alert_config(&cronmon, json!({})).await;
    let inactive = alert_config(&cronmon, json!({ "active": false, "default": true })).await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY], "neither attached nor an active default");

    attach(&active).await;
    assert!(warnings(&cronmon, &monitor).await.is_empty());
    detach(&active).await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY]);

    let default = alert_config(&cronmon, json!({ "default": true })).await;
    assert!(warnings(&cronmon, &monitor).await.is_empty());
    attach(&inactive).await;
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY], "a default is for those without their own");
    detach(&inactive).await;
    let gone = cronmon.call(Method::DELETE, &format!("/alert-configs/{default}"), None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(warnings(&cronmon, &monitor).await, [NOBODY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_ignored_and_named() {
    let cronmon = CronMon::start().await;
    let original = json!({
        "name": "a", "expected_duration": 60, "grace_duration": 60, "shedule": { "cron": "0 3 * * *" },
    });
    let monitor = cronmon.create(original.clone()).await;
    let ignored = "unknown field 'shedule' was ignored: did you mean 'schedule'?";
    assert_eq!(texts(&monitor["warnings"]), [NO_SCHEDULE, NOBODY, NEVER_PINGED, ignored]);
    assert_eq!(monitor["schedule"], Value::Null);
    assert_eq!(monitor["expected_duration"], 60);
    assert_eq!(monitor["grace_duration"], 60);
    assert_eq!(monitor["alert_on"], "every");
    assert_eq!(warnings(&cronmon, &monitor).await, [NO_SCHEDULE, NOBODY, NEVER_PINGED], "said once");

    let changed = cronmon.call(Method::PATCH, &path(&monitor), Some(&original)).await;
    assert_eq!(changed.status, 200);
    assert!(texts(&changed.body["data"]["warnings"]).contains(&ignored));

    let monitor = cronmon
        .create(json!({
            "name": "a", "schedule": { "every": 60 }, "grace": 5, "alert_no": "every", "\u{0}": 1,
            "tenant": "globex", "status": "up", "monitor_id": "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11",
        }))
        .await;
    assert_eq!(
        texts(&monitor["warnings"])[2..],
        [
            "unknown field '\u{0}' was ignored",
            "unknown field 'alert_no' was ignored: did you mean 'alert_on'?",
            "unknown field 'grace' was ignored",
            "unknown field 'monitor_id' was ignored",
            "unknown field 'status' was ignored",
            "unknown field 'tenant' was ignored",
        ]
    );
    assert_eq!(monitor["status"], "new");
    assert_ne!(monitor["monitor_id"], "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11");
    assert_eq!(monitor["alert_on"], "first");
}
