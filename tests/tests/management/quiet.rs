//! Pause and snooze end to end: what is judged, who is told, and when.

use cronmon_tests::contents::{contents, count};
use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, path, texts};

/// A monitor whose news somebody hears.
pub(super) struct Watched {
    pub(super) cronmon: CronMon,
    pub(super) monitor: Value,
    receiver: Receiver,
    heard: usize,
}

impl Watched {
    pub(super) async fn of(body: Value) -> Self {
        let cronmon = CronMon::start().await;
        let receiver = Receiver::start().await;
        cronmon.hear_everything_at(&receiver.url).await;
        let monitor = cronmon.create(body).await;
        Self { cronmon, monitor, receiver, heard: 0 }
    }

    /// Late a minute after a ping without another.
    pub(super) async fn every_minute() -> Self {
        Self::of(json!({ "name": "a", "schedule": { "every": 60 }, "grace_duration": 0 })).await
    }

    pub(super) fn clock(&self, time: &str) {
        self.cronmon.set_clock(at(&format!("2026-11-22T{time}Z")));
    }

    /// What is heard since the last time, as `failed failed`.
    pub(super) async fn news(&mut self) -> Vec<String> {
        self.cronmon.deliver().await;
        let heard = self.receiver.heard();
        let new =
            heard[self.heard..].iter().map(|heard| format!("{} {}", heard.text("type"), heard.text("cause")));
        let new = new.collect();
        self.heard = heard.len();
        new
    }

    fn last_reason(&self) -> String {
        self.receiver.heard().last().unwrap().text("reason").to_owned()
    }

    pub(super) async fn tick(&mut self, time: &str) -> Vec<String> {
        self.clock(time);
        self.cronmon.tick().await;
        self.news().await
    }

    pub(super) async fn ping(&mut self, time: &str, rest: &str) -> Vec<String> {
        self.clock(time);
        self.cronmon.ping(&self.monitor, rest).await;
        self.news().await
    }

    /// `pause`, `resume` or `snooze`.
    pub(super) async fn does(&mut self, time: &str, what: &str, body: Value) -> Vec<String> {
        self.clock(time);
        let path = format!("{}/{what}", path(&self.monitor));
        let answer = self.cronmon.call(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(self.cronmon.read(&self.monitor).await, answer.body["data"]);
        self.news().await
    }

    pub(super) async fn edit(&mut self, time: &str, fields: Value) -> Vec<String> {
        self.clock(time);
        let mut body = json!({ "name": "a", "expected_duration": null, "grace_duration": 0 });
        body.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        let answer = self.cronmon.call(Method::PATCH, &path(&self.monitor), Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.news().await
    }

    /// A new maintenance window.
    pub(super) async fn window(&mut self, time: &str, body: Value) -> Value {
        self.clock(time);
        let answer = self.cronmon.call(Method::POST, "/maintenance-windows", Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"].clone()
    }

    /// `up`, `up running`, `paused, due 12:10:00`
    pub(super) async fn stands(&self) -> String {
        let shown = self.cronmon.read(&self.monitor).await;
        let time = |field: &str| shown[field].as_str().map(|text| text[11..19].to_owned());
        let mut text = shown["status"].as_str().unwrap().to_owned();
        if shown["running"] == true {
            text.push_str(" running");
        }
        for (field, word) in [("next_expected_at", "next"), ("due_at", "due")] {
            if let Some(time) = time(field) {
                text.push_str(&format!(", {word} {time}"));
            }
        }
        text
    }

    async fn history(&self) -> Vec<String> {
        let page = self.cronmon.call(Method::GET, &format!("{}/pings", path(&self.monitor)), None).await.body;
        let shown = |ping: &Value| {
            let end =
                ping["ends_at"].as_str().map(|end| format!(" until {}", &end[11..19])).unwrap_or_default();
            format!(
                "{} {}{end}",
                &ping["received_at"].as_str().unwrap()[11..19],
                ping["kind"].as_str().unwrap()
            )
        };
        page["data"].as_array().unwrap().iter().map(shown).collect()
    }
}

pub(super) const NOTHING: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_monitor_is_not_judged_and_what_comes_is_recorded() {
    let mut it = Watched::every_minute().await;
    assert_eq!(it.ping("12:00:00", "").await, NOTHING);
    assert_eq!(it.does("12:00:30", "pause", json!({})).await, NOTHING);
    assert_eq!(it.stands().await, "paused");
    assert_eq!(it.tick("13:00:00").await, NOTHING);
    assert_eq!(it.ping("13:00:10", "/fail").await, NOTHING);
    assert_eq!(it.tick("13:00:20").await, NOTHING);
    assert_eq!(it.stands().await, "paused");
    assert_eq!(it.does("13:01:00", "resume", json!({})).await, NOTHING);
    assert_eq!(
        it.stands().await,
        "up, next 13:02:00, due 13:02:00",
        "as before the pause, and the slot after now"
    );
    assert_eq!(it.tick("13:02:01").await, ["late missed"]);
    assert_eq!(it.last_reason(), "expected 13:02:00, nothing came by 13:02:00; last success 12:00:00");
    assert_eq!(
        it.history().await,
        ["13:01:00 resume", "13:00:10 fail", "12:00:30 pause", "12:00:00 success"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_a_pause_is_told() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    assert_eq!(it.does("12:05:00", "pause", json!({ "seconds": 60 })).await, ["late missed"]);
    assert_eq!(it.does("12:05:30", "pause", json!({ "until": null })).await, NOTHING, "only its end moves");
    assert_eq!(it.tick("12:30:00").await, NOTHING);
    assert_eq!(it.does("12:30:00", "resume", json!({})).await, NOTHING);
    assert_eq!(it.stands().await, "late, next 12:31:00, due 12:31:00");
    assert_eq!(it.ping("12:30:10", "").await, ["recovered missed"]);
    assert_eq!(
        it.history().await,
        [
            "12:30:10 success",
            "12:30:00 resume",
            "12:05:30 pause",
            "12:05:00 pause until 12:06:00",
            "12:00:00 success",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_abandons_the_runs_that_are_open() {
    let mut it =
        Watched::of(json!({ "name": "a", "schedule": null, "expected_duration": 60, "grace_duration": 0 }))
            .await;
    let rid = "rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    it.ping("12:00:00", &format!("/start?{rid}")).await;
    it.ping("12:00:10", "/start").await;
    assert_eq!(it.stands().await, "new running, due 12:01:00");
    it.does("12:00:30", "pause", json!({})).await;
    assert_eq!(it.stands().await, "paused");
    let jobs = it.cronmon.read(&it.monitor).await["jobs"].clone();
    for job in jobs.as_array().unwrap() {
        assert_eq!((&job["abandoned"], &job["in_progress"]), (&json!(true), &json!(false)));
        assert_eq!(job["end_time"], "2026-11-22T12:00:30");
    }
    assert_eq!(it.tick("12:05:00").await, NOTHING);
    it.does("12:05:00", "resume", json!({})).await;
    assert_eq!(it.tick("12:06:00").await, NOTHING);
    assert_eq!(it.ping("12:06:10", &format!("/9?{rid}")).await, ["failed failed"]);
    assert_eq!(
        it.last_reason(),
        "failed at 12:06:10 with exit status 9; no success before",
        "a run of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_until_an_instant_ends_by_itself() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "pause", json!({ "until": "2026-11-22T14:10:00+02:00" })).await;
    assert_eq!(it.stands().await, "paused, due 12:10:00");
    assert_eq!(it.tick("12:10:00").await, NOTHING);
    assert_eq!(it.stands().await, "paused, due 12:10:00");
    assert_eq!(it.tick("12:10:01").await, NOTHING);
    assert_eq!(it.stands().await, "up, next 12:11:00, due 12:11:00");
    assert_eq!(it.tick("12:11:01").await, ["late missed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_ended_long_ago_is_judged_from_its_end_on() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "pause", json!({ "seconds": 570 })).await;
    assert_eq!(
        it.ping("12:30:00", "").await,
        ["late missed"],
        "nobody had looked since, and it is told with its end"
    );
    assert_eq!(it.last_reason(), "expected 12:11:00, nothing came by 12:11:00; succeeded at 12:30:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_ping_ends_a_pause_if_it_may() {
    for (resume_on_ping, rest, stands, news) in [
        (true, "/start", "up running, next 12:06:00, due 12:06:00", &[][..]),
        (true, "", "up, next 12:06:00, due 12:06:00", &[]),
        (true, "/fail", "failed, next 12:06:00, due 12:06:00", &["failed failed"]),
        (true, "/3", "failed, next 12:06:00, due 12:06:00", &["failed failed"]),
        (true, "/log", "paused", &[]),
        (false, "/start", "paused", &[]),
        (false, "", "paused", &[]),
        (false, "/fail", "paused", &[]),
        (false, "/log", "paused", &[]),
    ] {
        let mut it = Watched::of(json!({
            "name": "a", "schedule": { "every": 60 }, "grace_duration": 0, "resume_on_ping": resume_on_ping,
        }))
        .await;
        it.ping("12:00:00", "").await;
        it.does("12:00:30", "pause", json!({})).await;
        assert_eq!(it.ping("12:05:00", rest).await, news, "{resume_on_ping} {rest}");
        assert_eq!(it.stands().await, stands, "{resume_on_ping} {rest}");
        assert_eq!(it.history().await.len(), 3, "{resume_on_ping} {rest}: it is recorded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_leaves_a_paused_monitor_paused() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "pause", json!({})).await;
    assert_eq!(it.edit("12:05:00", json!({ "schedule": { "every": 120 } })).await, NOTHING);
    assert_eq!(it.stands().await, "paused");
    assert_eq!(it.tick("12:09:00").await, NOTHING);
    it.does("12:10:00", "resume", json!({})).await;
    assert_eq!(it.stands().await, "up, next 12:12:00, due 12:12:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_what_is_not_paused_changes_nothing() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    let before = contents(&it.cronmon.pool).await;
    it.does("12:00:30", "resume", json!({})).await;
    assert_eq!(contents(&it.cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_wrong_when_a_snooze_ends_is_told_then_once() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "snooze", json!({ "seconds": 600 })).await;
    assert_eq!(it.tick("12:01:01").await, NOTHING);
    assert_eq!(it.stands().await, "late, next 12:02:00, due 12:02:00", "it is judged");
    assert_eq!(it.ping("12:04:00", "/fail").await, NOTHING);
    assert_eq!(it.tick("12:10:30").await, NOTHING);
    assert_eq!(it.tick("12:10:31").await, ["failed failed"], "how it stands, not all that happened");
    assert_eq!(it.last_reason(), "failed at 12:04:00; last success 12:00:00");
    assert_eq!(it.tick("12:20:00").await, NOTHING);
    assert_eq!(it.ping("12:20:00", "").await, ["recovered missed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_in_which_all_was_mended_says_nothing() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "snooze", json!({ "until": "2026-11-22T12:05:30Z" })).await;
    assert_eq!(it.tick("12:01:01").await, NOTHING);
    assert_eq!(it.ping("12:05:00", "").await, NOTHING);
    assert_eq!(it.tick("12:05:31").await, NOTHING);
    assert_eq!(it.stands().await, "up, next 12:06:00, due 12:06:00");
    assert_eq!(count(&it.cronmon.pool, "select count(*) from alert").await, 2, "the facts are on record");
    assert_eq!(count(&it.cronmon.pool, "select count(*) from delivery").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_heard_of_an_incident_before_a_snooze_hears_of_its_end_after_it() {
    let mut it = Watched::every_minute().await;
    assert_eq!(it.ping("12:00:00", "/fail").await, ["failed failed"]);
    it.does("12:00:30", "snooze", json!({ "seconds": 30 })).await;
    assert_eq!(it.ping("12:00:40", "").await, NOTHING);
    assert_eq!(it.tick("12:01:01").await, ["recovered failed"]);
    assert_eq!(it.last_reason(), "succeeded at 12:00:40, 40 s after it was first failing at 12:00:00");
    assert_eq!(it.tick("12:01:30").await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_ended_and_another_that_began_in_a_snooze_are_both_told() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null })).await;
    assert_eq!(it.ping("12:00:00", "/fail").await, ["failed failed"]);
    it.does("12:00:30", "snooze", json!({ "seconds": 30 })).await;
    for rest in ["", "/fail", "", "/2"] {
        assert_eq!(it.ping("12:00:40", rest).await, NOTHING);
    }
    assert_eq!(it.tick("12:01:01").await, ["recovered failed", "failed failed"]);
    assert_eq!(it.last_reason(), "failed at 12:00:40 with exit status 2; last success 12:00:40");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_goes_on_through_a_snooze_is_told_again_only_if_something_was_new() {
    for (alert_on, at_the_end) in [("first", &[][..]), ("every", &["failed failed"])] {
        let mut it = Watched::of(json!({ "name": "a", "schedule": null, "alert_on": alert_on })).await;
        assert_eq!(it.ping("12:00:00", "/fail").await, ["failed failed"]);
        it.does("12:00:30", "snooze", json!({ "seconds": 30 })).await;
        assert_eq!(it.ping("12:00:40", "/fail").await, NOTHING);
        assert_eq!(it.ping("12:00:50", "/fail").await, NOTHING);
        assert_eq!(it.tick("12:01:01").await, at_the_end, "{alert_on}");
        assert_eq!(it.ping("12:02:00", "").await, ["recovered failed"], "{alert_on}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_that_is_ended_early_tells_at_once() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "snooze", json!({ "seconds": 600 })).await;
    it.tick("12:01:01").await;
    assert_eq!(it.does("12:05:00", "snooze", json!({ "seconds": 0 })).await, ["late missed"]);
    assert_eq!(it.tick("12:11:00").await, NOTHING);
    assert_eq!(
        it.history().await,
        ["12:05:00 snooze until 12:05:00", "12:00:30 snooze until 12:10:30", "12:00:00 success"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_snooze_takes_the_place_of_the_first() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:30", "snooze", json!({ "seconds": 600 })).await;
    it.tick("12:01:01").await;
    it.does("12:05:00", "snooze", json!({ "seconds": 1200 })).await;
    assert_eq!(it.tick("12:10:31").await, NOTHING);
    assert_eq!(it.tick("12:25:01").await, ["late missed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_in_a_quiet_time_is_told_neither_then_nor_later() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "min_interval_duration": 60 })).await;
    it.ping("12:00:00", "").await;
    it.does("12:00:05", "snooze", json!({ "seconds": 60 })).await;
    assert_eq!(it.ping("12:00:10", "").await, NOTHING);
    assert_eq!(it.tick("12:01:06").await, NOTHING);
    assert_eq!(count(&it.cronmon.pool, "select count(*) from alert where type = 'warning'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_says_why_it_is_quiet_and_until_when() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": { "every": 60 }, "tags": ["db"] })).await;
    it.ping("12:00:00", "").await;
    let shown = async |it: &Watched| {
        let read = it.cronmon.read(&it.monitor).await;
        let list = it.cronmon.call(Method::GET, "/monitors", None).await.body["data"][0].clone();
        let mut quiet = Vec::new();
        for field in ["paused_at", "resumes_at", "snooze_ends_at", "quiet_ends_at"] {
            assert_eq!(read[field], list[field], "{field}");
            quiet.push(read[field].as_str().map_or("-", |text| &text[11..19]).to_owned());
        }
        assert_eq!(read["warnings"], list["warnings"]);
        (quiet.join(" "), texts(&read["warnings"]).join("; "))
    };
    let says = |fields: &str, warning: &str| (fields.to_owned(), warning.to_owned());
    assert_eq!(shown(&it).await, says("- - - -", ""));
    it.does("12:00:10", "snooze", json!({ "seconds": 50 })).await;
    let snoozed = "snoozed until 2026-11-22T12:01:00Z: nobody is told anything";
    assert_eq!(shown(&it).await, says("- - 12:01:00 12:01:00", snoozed));
    it.window("12:00:20", json!({ "starts_at": "2026-11-22T12:00:30Z", "duration": 60, "tags": ["db"] }))
        .await;
    assert_eq!(shown(&it).await, says("- - 12:01:00 12:01:00", snoozed));
    it.clock("12:00:30");
    let in_window = "in a maintenance window until 2026-11-22T12:01:30Z: nobody is told anything";
    assert_eq!(shown(&it).await, says("- - 12:01:00 12:01:30", in_window));
    it.clock("12:01:00");
    assert_eq!(shown(&it).await, says("- - - 12:01:30", in_window));
    it.does("12:01:10", "pause", json!({ "seconds": 50 })).await;
    let paused = "paused since 2026-11-22T12:01:10Z: nothing is judged until 2026-11-22T12:02:00Z";
    assert_eq!(shown(&it).await, says("12:01:10 12:02:00 - 12:01:30", paused));
    it.does("12:01:30", "pause", json!({})).await;
    let paused = "paused since 2026-11-22T12:01:10Z: nothing is judged until it is resumed";
    assert_eq!(shown(&it).await, says("12:01:10 - - -", paused));
    it.does("12:01:40", "resume", json!({})).await;
    assert_eq!(shown(&it).await, says("- - - -", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_can_be_asked_for_what_its_owner_did() {
    let mut it = Watched::every_minute().await;
    it.ping("12:00:00", "").await;
    it.does("12:00:10", "snooze", json!({ "seconds": 3600 })).await;
    it.does("12:00:20", "pause", json!({ "until": "2026-11-22T13:30:00.5Z" })).await;
    it.does("12:00:30", "resume", json!({})).await;
    let page = async |kinds: &str| {
        let path = format!("{}/pings?kind={kinds}", path(&it.monitor));
        it.cronmon.call(Method::GET, &path, None).await.body["data"].clone()
    };
    let ping = |received: &str, kind: &str, ends_at: Value| {
        json!({
            "received_at": format!("2026-11-22T{received}Z"), "kind": kind, "ends_at": ends_at, "rid": null,
            "exit_status": null, "duration": null, "job_id": null, "source_address": null, "user_agent": null,
            "body": null, "body_bytes": 0, "body_truncated": false,
        })
    };
    let mut owners = page("resume,pause,snooze").await;
    for ping in owners.as_array_mut().unwrap() {
        let signal_id = ping.as_object_mut().unwrap().remove("signal_id").unwrap();
        let one = format!("{}/pings/{}", path(&it.monitor), signal_id.as_str().unwrap());
        assert_eq!(it.cronmon.call(Method::GET, &one, None).await.body["data"]["kind"], ping["kind"]);
    }
    assert_eq!(
        owners,
        json!([
            ping("12:00:30", "resume", json!(null)),
            ping("12:00:20", "pause", json!("2026-11-22T13:30:00.500Z")),
            ping("12:00:10", "snooze", json!("2026-11-22T13:00:10Z")),
        ])
    );
    let success = page("success").await;
    assert_eq!((success.as_array().unwrap().len(), &success[0]["ends_at"]), (1, &json!(null)));
    assert_eq!(page("pause&kind=success").await.as_array().unwrap().len(), 2);
}
