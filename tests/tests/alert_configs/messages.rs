//! What a webhook is sent.

use std::collections::BTreeSet;

use cronmon_tests::CronMon;
use cronmon_tests::webhook::Heard;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{heard_by, monitor_id, ping, seconds_later};

const RID: &str = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

/// Checks the ids of a message and takes them out.
fn without_ids(heard: &Heard) -> Value {
    let mut message = heard.message.clone();
    let fields = message.as_object_mut().unwrap();
    let mut ids = BTreeSet::new();
    for id in [fields.remove("id").unwrap(), fields.remove("incident_id").unwrap(), json!(heard.webhook_id)] {
        let id = id.as_str().unwrap();
        assert_eq!(id, id.parse::<Uuid>().unwrap().to_string());
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 3, "the alert, its incident and the delivery have each their own id");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_and_its_recovery() {
    let cronmon = CronMon::start().await;
    let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let name = "b\u{e4}ckup \"x\"";
    let monitor =
        cronmon.create(json!({ "name": name, "schedule": { "every": 300 }, "grace_duration": 60 })).await;
    let of = json!({ "monitor_id": monitor_id(&monitor), "name": name });
    ping(&cronmon, &monitor, "").await;
    seconds_later(&cronmon, 400).await;
    seconds_later(&cronmon, 20).await;
    ping(&cronmon, &monitor, "").await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(
        without_ids(&heard[0]),
        json!({
            "type": "late", "cause": "missed", "at": "2026-11-22T12:06:00Z", "monitor": of, "job": null,
            "reason": "expected 12:05:00, nothing came by 12:06:00; last success 12:00:00",
        })
    );
    let job = cronmon.read(&monitor).await["jobs"][0].clone();
    assert_eq!(
        without_ids(&heard[1]),
        json!({
            "type": "recovered", "cause": "missed", "at": "2026-11-22T12:07:00Z", "monitor": of, "job": job,
            "reason": "succeeded at 12:07:00, 1 min after it was first late at 12:06:00",
        })
    );
    assert_eq!(heard[0].message["incident_id"], heard[1].message["incident_id"]);
    assert_ne!(heard[0].message["id"], heard[1].message["id"]);
    assert_ne!(heard[0].webhook_id, heard[1].webhook_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overrun_a_failure_and_their_recovery_carry_their_job_as_the_api_shows_it() {
    let cronmon = CronMon::start().await;
    let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = cronmon
        .create(json!({ "name": "a", "schedule": null, "expected_duration": 60, "grace_duration": 30 }))
        .await;
    let of = json!({ "monitor_id": monitor_id(&monitor), "name": "a" });
    cronmon.ping(&monitor, &format!("/start?rid={RID}")).await;
    seconds_later(&cronmon, 100).await;
    let running = cronmon.read(&monitor).await["jobs"][0].clone();
    assert_eq!((&running["in_progress"], &running["late"]), (&json!(true), &json!(true)));

    let url = format!("{}/9?rid={RID}", monitor["ping_url"].as_str().unwrap());
    assert_eq!(cronmon.http.post(url).body(b"disk full\0\xff".to_vec()).send().await.unwrap().status(), 200);
    cronmon.deliver().await;
    let failed = cronmon.read(&monitor).await["jobs"][0].clone();
    assert_eq!(failed["output"], "disk full\0\u{fffd}");

    seconds_later(&cronmon, 20).await;
    ping(&cronmon, &monitor, "").await;
    let succeeded = cronmon.read(&monitor).await["jobs"][0].clone();
    assert_ne!(succeeded["job_id"], failed["job_id"]);

    let messages: Vec<Value> = receiver.heard().iter().map(without_ids).collect();
    assert_eq!(
        messages,
        [
            json!({
                "type": "late", "cause": "overran", "at": "2026-11-22T12:01:30Z", "monitor": of, "job": running,
                "reason": "started 12:00:00, still running at 12:01:30; no success before",
            }),
            json!({
                "type": "failed", "cause": "failed", "at": "2026-11-22T12:01:40Z", "monitor": of, "job": failed,
                "reason": "failed at 12:01:40 with exit status 9, 1 min 40 s after its start; no success before",
            }),
            json!({
                "type": "recovered", "cause": "overran", "at": "2026-11-22T12:02:00Z", "monitor": of,
                "job": succeeded,
                "reason": "succeeded at 12:02:00, 30 s after it was first late at 12:01:30",
            }),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_destinations_get_one_alert_by_two_deliveries() {
    let cronmon = CronMon::start().await;
    let (one, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let (other, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    ping(&cronmon, &monitor, "/fail").await;
    let (one, other) = (one.heard(), other.heard());
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_eq!(one[0].message, other[0].message);
    assert_ne!(one[0].webhook_id, other[0].webhook_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_and_output_arrive() {
    let cronmon = CronMon::start().await;
    let (receiver, _) = heard_by(&cronmon, json!({ "default": true })).await;
    let name = "\u{1f980}".repeat(4_096);
    let monitor = cronmon.create(json!({ "name": name, "schedule": null })).await;
    let url = format!("{}/fail", monitor["ping_url"].as_str().unwrap());
    let response = cronmon.http.post(url).body(vec![0xff; 2_500_000]).send().await.unwrap();
    assert_eq!(response.status(), 200);
    cronmon.deliver().await;
    assert_eq!(receiver.types_about(&name), ["failed"]);
    let output = receiver.heard()[0].message["job"]["output"].as_str().unwrap().to_owned();
    assert!(output.chars().count() > 9_900 && output.contains("[...]"));
}
