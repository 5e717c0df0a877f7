//! An import does to a monitor what its creation or an edit by hand would have done.

use chrono::{DateTime, Duration, Utc};
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use crate::post::{import_in_detail, results};

const BEFORE: &str = "0 13 * * *";

/// Two that began the same way, one by an import and one by hand.
struct Twins {
    cronmon: CronMon,
    imported: Value,
    by_hand: Value,
}

impl Twins {
    async fn new() -> Self {
        let cronmon = CronMon::start().await;
        let data = import_in_detail(&cronmon, "", format!("# imported\n{BEFORE} echo a\n")).await;
        let imported = cronmon.read(&data["lines"][0]).await;
        let schedule = json!({ "cron": BEFORE, "timezone": null });
        let by_hand = cronmon.create(json!({ "name": "by hand", "schedule": schedule, "armed": true })).await;
        Self { cronmon, imported, by_hand }
    }

    async fn both(&self, what: impl AsyncFn(&Value)) {
        what(&self.imported).await;
        what(&self.by_hand).await;
    }

    /// The schedule becomes another one; null is none.
    async fn change(&self, times: &str, schedule: Value) {
        let data = import_in_detail(&self.cronmon, "", format!("# imported\n{times} echo a\n")).await;
        assert_eq!(results(&data), ["changed"]);
        let path = format!("/monitors/{}", self.by_hand["monitor_id"].as_str().unwrap());
        let grace = self.cronmon.read(&self.imported).await["grace_duration"].clone();
        let body = json!({
            "name": "by hand", "expected_duration": null, "grace_duration": grace,
            "schedule": schedule,
        });
        assert_eq!(self.cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    }

    /// Where they stand, once it is the same.
    async fn state(&self, what: &str) -> Value {
        let statement = "select (to_jsonb(m) - '{monitor_id,ping_id,name,slug,tags,revision,incident_id}'::text[] \
             || jsonb_build_object( \
                 'slots', (select to_jsonb(slots) from slots_to_come s where s.monitor_id = m.monitor_id), \
                 'alerts', (select count(*) from alert a where a.monitor_id = m.monitor_id)))::text \
             from monitor m order by m.name";
        let rows = self.cronmon.pool.get().await.unwrap().query(statement, &[]).await.unwrap();
        let states: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
        assert_eq!(states.len(), 2);
        assert_eq!(states[0], states[1], "{what}");
        states[0].clone()
    }

    fn later(&self, duration: Duration) {
        self.cronmon.set_clock(self.cronmon.now() + duration);
    }
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_expects_what_an_armed_one_would() {
    let twins = Twins::new().await;
    let state = twins.state("created").await;
    assert_eq!(instant(&state["next_slot"]), "2026-11-22T13:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(instant(&state["due_at"]), "2026-11-22T14:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(state["slots"].as_array().unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_a_change_is_judged_by_the_rules_as_they_were() {
    // Within the slots that stand ready, and long after them.
    for hours in [3, 24 * 200] {
        let twins = Twins::new().await;
        twins.later(Duration::hours(hours));
        twins.change("0 16 * * *", json!({ "cron": "0 16 * * *" })).await;
        let state = twins.state("late").await;
        assert_eq!((&state["status"], &state["alerts"]), (&json!("late"), &json!(1)), "{hours}");
        let next = instant(&state["next_slot"]);
        assert!(
            next > twins.cronmon.now() && next < twins.cronmon.now() + Duration::days(1),
            "{hours}: {next}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_that_runs_or_is_paused_or_snoozed_or_failed_is_an_edit() {
    let twins = Twins::new().await;
    let post = async |monitor: &Value, what: &str, body: Value| {
        let path = format!("/monitors/{}/{what}", monitor["monitor_id"].as_str().unwrap());
        assert_eq!(twins.cronmon.call(Method::POST, &path, Some(&body)).await.status, 200);
    };
    // As one that could not be judged.
    let put_off = "update monitor set put_off_from = due_at";
    twins.cronmon.pool.get().await.unwrap().execute(put_off, &[]).await.unwrap();
    twins.both(async |monitor| twins.cronmon.ping(monitor, "/start").await).await;
    twins.cronmon.pool.get().await.unwrap().execute(put_off, &[]).await.unwrap();
    twins.change("0 16 * * *", json!({ "cron": "0 16 * * *" })).await;
    let state = twins.state("running").await;
    assert_eq!((&state["open_jobs"], &state["put_off_from"]), (&json!(1), &Value::Null));

    twins.later(Duration::hours(1));
    twins.both(async |monitor| twins.cronmon.ping(monitor, "/3").await).await;
    twins.both(async |monitor| post(monitor, "snooze", json!({ "seconds": 7200 })).await).await;
    twins.change("0 17 * * *", json!({ "cron": "0 17 * * *" })).await;
    assert_eq!(twins.state("snoozed").await["status"], "failed");

    twins.both(async |monitor| post(monitor, "pause", json!({ "seconds": 7200 })).await).await;
    twins.change("0 18 * * *", json!({ "cron": "0 18 * * *" })).await;
    assert!(twins.state("paused").await["paused_at"].is_string());
    twins.change("@reboot", Value::Null).await;
    assert_eq!(twins.state("without a schedule").await["slots"], Value::Null);
    twins.later(Duration::hours(3));
    twins.change("*/10 * * * *", json!({ "cron": "*/10 * * * *" })).await;
    let state = twins.state("resumed").await;
    assert_eq!((&state["paused_at"], &state["status"]), (&Value::Null, &json!("failed")));
}

/// By other tags another maintenance window may cover it, so what is held back is looked at again.
#[tokio::test(flavor = "multi_thread")]
async fn tags_that_come_to_one_that_is_snoozed_are_an_edit_of_its_tags() {
    let twins = Twins::new().await;
    twins
        .both(async |monitor| {
            let path = format!("/monitors/{}/snooze", monitor["monitor_id"].as_str().unwrap());
            let body = json!({ "seconds": 7200 });
            assert_eq!(twins.cronmon.call(Method::POST, &path, Some(&body)).await.status, 200);
            twins.cronmon.ping(monitor, "/fail").await;
        })
        .await;
    assert!(twins.state("snoozed").await["held_until"].is_string());
    twins.later(Duration::minutes(1));
    let line = format!("# imported\n{BEFORE} echo a\n");
    let data = import_in_detail(&twins.cronmon, "?tags=web1", line).await;
    assert_eq!(results(&data), ["changed"]);
    let path = format!("/monitors/{}", twins.by_hand["monitor_id"].as_str().unwrap());
    let body = json!({
        "name": "by hand", "expected_duration": null, "grace_duration": twins.by_hand["grace_duration"],
        "tags": ["crontab", "web1"],
    });
    assert_eq!(twins.cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    let state = twins.state("with tags").await;
    assert!(instant(&state["held_until"]) <= twins.cronmon.now(), "{state}");
    assert_eq!(twins.cronmon.read(&twins.imported).await["tags"], json!(["crontab", "web1"]));
}
