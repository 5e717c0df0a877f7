use chrono::NaiveDateTime;
use chrono_tz::Tz;
use database::jobs::Job;
use domain::{Alert, Cause};
use uuid::Uuid;

use super::*;
use crate::message::MonitorOfMessage;

fn time(text: &str) -> DateTime<Utc> {
    format!("2026-11-22T{text}Z").parse().unwrap()
}

/// An alert of 16:36:33.016 about a monitor and no run.
fn alert(name: &str, fact: Fact) -> AboutAlert {
    AboutAlert {
        alert_id: Uuid::from_u128(1),
        incident_id: Uuid::from_u128(2),
        alert: Alert { at: time("16:36:33.016"), fact, last_success_at: None, zone: Tz::Europe__Riga },
        monitor: Some(MonitorOfMessage { monitor_id: Uuid::from_u128(3), name: name.to_owned() }),
        job: None,
    }
}

fn job(end: Option<&str>, succeeded: Option<bool>, output: Option<&str>) -> Job {
    let naive = |text: &str| -> NaiveDateTime { time(text).naive_utc() };
    Job {
        job_id: Uuid::from_u128(4),
        start_time: naive("16:00:00"),
        end_time: end.map(naive),
        duration: None,
        in_progress: end.is_none(),
        late: true,
        succeeded,
        output: output.map(ToOwned::to_owned),
        output_truncated: false,
        abandoned: end.is_some() && succeeded.is_none(),
        due_at: None,
        exit_status: None,
        rid: None,
    }
}

fn sent(about: AboutAlert) -> Value {
    let sent = payload("#ops", &Message::Alert(about));
    assert_limits(&sent);
    sent
}

/// What Slack refuses.
fn assert_limits(sent: &Value) {
    let text = |value: &Value| value.as_str().unwrap().encode_utf16().count();
    assert!((1..=TEXT).contains(&text(&sent["text"])));
    let blocks = sent["blocks"].as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        let most = if block["type"] == "header" { HEADER } else { SECTION };
        assert!((1..=most).contains(&text(&block["text"]["text"])), "{block}");
    }
}

fn overran() -> Fact {
    Fact::Overran { started_at: time("16:00:00.999"), succeeded_at: None }
}

fn failed() -> Fact {
    Fact::Failed { started_at: None, exit_status: Some(1) }
}

const IDS: &str =
    "Monitor ID: `00000000-0000-0000-0000-000000000003`\nJob ID: `00000000-0000-0000-0000-000000000004`";

#[test]
fn a_run_that_is_late_in_the_words_of_the_original() {
    let late = sent(AboutAlert { job: Some(job(None, None, None)), ..alert("backup", overran()) });
    assert_eq!(
        late,
        json!({ "channel": "#ops", "text": "Late 'backup' job", "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": "Late 'backup' job" } },
            { "type": "section", "text": { "type": "plain_text", "text":
                "The job started at 2026-11-22 16:00:00 UTC, and was expected to finish by 2026-11-22 16:36:33 UTC at \
                 the latest, but it hasn't reported that it's finished yet." } },
            { "type": "section", "text": { "type": "mrkdwn", "text": IDS } },
        ] })
    );
}

#[test]
fn a_run_that_has_finished_meanwhile_is_not_said_to_run() {
    let said = |about: AboutAlert| sent(about)["blocks"][1]["text"]["text"].as_str().unwrap().to_owned();
    let finished = "The job started at 2026-11-22 16:00:00 UTC, and was expected to finish by \
         2026-11-22 16:36:33 UTC at the latest, but it reported only at 2026-11-22 16:40:00 UTC that it had finished.";
    for succeeded in [true, false] {
        let job = Some(job(Some("16:40:00"), Some(succeeded), None));
        assert_eq!(said(AboutAlert { job, ..alert("a", overran()) }), finished, "{succeeded}");
    }
    let known_together =
        Fact::Overran { started_at: time("16:00:00"), succeeded_at: Some(time("16:40:00.5")) };
    assert_eq!(said(alert("a", known_together)), finished);
    // Abandoned: nobody reported anything.
    let job = Some(job(Some("16:40:00"), None, None));
    assert!(
        said(AboutAlert { job, ..alert("a", overran()) })
            .ends_with("it hasn't reported that it's finished yet.")
    );
}

#[test]
fn a_failed_run_with_its_output_and_without() {
    let with_output = |output: Option<&str>| {
        sent(AboutAlert {
            job: Some(job(Some("16:36:33"), Some(false), output)),
            ..alert("backup", failed())
        })
    };
    let header = json!({ "type": "header", "text": { "type": "plain_text", "text": "Failed 'backup' job" } });
    let section = json!({ "type": "section", "text": { "type": "plain_text", "text": "Job failed at 2026-11-22 16:36:33 UTC." } });
    let ids = json!({ "type": "section", "text": { "type": "mrkdwn", "text": IDS } });
    assert_eq!(
        with_output(Some("disk full")),
        json!({ "channel": "#ops", "text": "Failed 'backup' job", "blocks": [
            header, section,
            { "type": "section", "text": { "type": "mrkdwn", "text": "Job output: `disk full`" } },
            ids,
        ] })
    );
    for nothing in [None, Some("")] {
        assert_eq!(with_output(nothing)["blocks"], json!([header, section, ids]));
    }
}

#[test]
fn what_the_original_does_not_know_is_said_in_the_alerts_own_sentence() {
    let monitor = "Monitor ID: `00000000-0000-0000-0000-000000000003`";
    for (fact, title, sentence) in [
        (
            Fact::Missed { slot: time("16:30:00"), succeeded_at: None },
            "Late 'a' job",
            "expected 18:30:00, nothing came by 18:36:33; no success before (Europe/Riga)",
        ),
        (
            Fact::Recovered { began_at: time("16:30:00"), cause: Cause::Missed },
            "Recovered 'a' job",
            "succeeded at 18:36:33, 6 min 33 s after it was first late at 18:30:00 (Europe/Riga)",
        ),
        (
            Fact::TooOften { before: time("16:36:00"), at_least: 60 },
            "Warning 'a' job",
            "began at 18:36:33, 33 s after the run before; at least 1 min should lie between (Europe/Riga)",
        ),
    ] {
        assert_eq!(
            sent(alert("a", fact)),
            json!({ "channel": "#ops", "text": title, "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": title } },
                { "type": "section", "text": { "type": "plain_text", "text": sentence } },
                { "type": "section", "text": { "type": "mrkdwn", "text": monitor } },
            ] })
        );
    }
    let notice = Fact::NotSeen { began_at: time("16:30:00"), not_judged: 0, names: String::new() };
    let notice = sent(AboutAlert { monitor: None, ..alert("a", notice) });
    assert_eq!(notice["text"], "Notice about CronMon");
    assert_eq!(notice["blocks"].as_array().unwrap().len(), 2);
}

#[test]
fn a_test_names_the_alert_config_and_who_asked() {
    let test = |name: &str, caller: &str| {
        let (name, caller) = (name.to_owned(), caller.to_owned());
        let at = time("16:36:33");
        payload("#ops", &Message::Test(Test { at, alert_config_id: Uuid::from_u128(5), name, caller }))
    };
    assert_eq!(
        test("on-call", "Ann <ann@example.com>"),
        json!({ "channel": "#ops", "text": "Test 'on-call' alert", "blocks": [
            { "type": "section", "text": { "type": "plain_text",
                "text": "Test alert triggered by 'Ann &lt;ann@example.com&gt;'" } },
            { "type": "section", "text": { "type": "mrkdwn",
                "text": "`alert_config_id: 00000000-0000-0000-0000-000000000005`" } },
        ] })
    );
    assert_limits(&test("", ""));
    assert_limits(&test(&"<".repeat(4_096), &"&".repeat(4_096)));
}

#[test]
fn nothing_in_a_name_or_an_output_pings_anybody_or_ends_the_code() {
    let output = Some("`<!channel>` ```& done");
    let sent = sent(AboutAlert {
        job: Some(job(Some("16:36:33"), Some(false), output)),
        ..alert("<!here> & `x`", failed())
    });
    assert_eq!(sent["text"], "Failed '&lt;!here&gt; &amp; `x`' job");
    assert_eq!(sent["blocks"][0]["text"]["text"], sent["text"]);
    let shown = "Job output: `\u{2cb}&lt;!channel&gt;\u{2cb} \u{2cb}\u{2cb}\u{2cb}&amp; done`";
    assert_eq!(sent["blocks"][2]["text"]["text"], shown);
}

#[test]
fn the_longest_names_and_outputs_are_cut_to_what_slack_takes() {
    for (name, output) in [("x", "y"), ("&", "<"), ("\u{1f980}", "\u{1f980}"), ("`", "`"), ("", " ")] {
        let (name, output) = (name.repeat(4_096), output.repeat(10_000));
        let job = || Some(job(Some("16:36:33"), Some(false), Some(&output)));
        let sent = sent(AboutAlert { job: job(), ..alert(&name, failed()) });
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert!(text(&sent["blocks"][0]["text"]["text"]).ends_with("' job"));
        let shown = text(&sent["blocks"][2]["text"]["text"]);
        assert!(shown.starts_with("Job output: `") && shown.ends_with("…`"), "{shown}");
    }
    let about = alert(&"x".repeat(4_096), failed());
    let sent = sent(about);
    assert_eq!(sent["blocks"][0]["text"]["text"], format!("Failed '{}…' job", "x".repeat(136)));
    assert_eq!(sent["text"], format!("Failed '{}…' job", "x".repeat(3_986)));
}
