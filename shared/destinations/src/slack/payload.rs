//! A message as `chat.postMessage` takes it.

use chrono::{DateTime, Utc};
use domain::sentence::sentence;
use domain::{AlertType, Fact};
use serde_json::{Value, json};

use crate::message::{AboutAlert, Message, Test};
use crate::slack::text::{framed, length, shown, shown_as_code};

/// The longest texts, in characters: of a header (<https://docs.slack.dev/reference/block-kit/blocks/header-block>), of
/// a text object (<https://docs.slack.dev/reference/block-kit/composition-objects/text-object>), and what Slack advises
/// for what it shows where there is no place for blocks
/// (<https://api.slack.com/changelog/2018-04-truncating-really-long-messages>).
const HEADER: usize = 150;
const SECTION: usize = 3_000;
const TEXT: usize = 4_000;

pub(super) fn payload(channel: &str, message: &Message) -> Value {
    match message {
        Message::Alert(about) => of_alert(channel, about),
        Message::Test(test) => of_test(channel, test),
    }
}

fn of_alert(channel: &str, about: &AboutAlert) -> Value {
    let what = match about.alert.fact.alert_type() {
        AlertType::Late => "Late",
        AlertType::Failed => "Failed",
        AlertType::Recovered => "Recovered",
        AlertType::Warning => "Warning",
        AlertType::Notice => "Notice",
    };
    let title = |most| match &about.monitor {
        Some(monitor) => framed(&format!("{what} '"), &monitor.name, "' job", most),
        None => format!("{what} about CronMon"),
    };
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": title(HEADER) } }),
        plain_section(&what_happened(about)),
    ];
    if about.alert.fact.alert_type() == AlertType::Failed {
        blocks.extend(output(about));
    }
    blocks.extend(ids(about));
    json!({ "channel": channel, "text": title(TEXT), "blocks": blocks })
}

fn of_test(channel: &str, test: &Test) -> Value {
    json!({
        "channel": channel,
        "text": framed("Test '", &test.name, "' alert", TEXT),
        "blocks": [
            plain_section(&test.sentence()),
            mrkdwn_section(&format!("`alert_config_id: {}`", test.alert_config_id)),
        ],
    })
}

/// In the original's words where it has some.
fn what_happened(about: &AboutAlert) -> String {
    match &about.alert.fact {
        Fact::Overran { started_at, succeeded_at } => {
            let begin = format!(
                "The job started at {}, and was expected to finish by {} at the latest, but it",
                shown_time(*started_at),
                shown_time(about.alert.at)
            );
            match succeeded_at.or_else(|| reported_at(about)) {
                Some(end) => format!("{begin} reported only at {} that it had finished.", shown_time(end)),
                None => format!("{begin} hasn't reported that it's finished yet."),
            }
        }
        Fact::Failed { .. } => format!("Job failed at {}.", shown_time(about.alert.at)),
        _ => sentence(&about.alert),
    }
}

/// When the run said how it ended. One that was abandoned never said.
fn reported_at(about: &AboutAlert) -> Option<DateTime<Utc>> {
    let job = about.job.as_ref().filter(|job| job.succeeded.is_some())?;
    Some(job.end_time?.and_utc())
}

/// `None` where there is none: Slack takes no empty text.
fn output(about: &AboutAlert) -> Option<Value> {
    let output = about.job.as_ref()?.output.as_deref().filter(|output| !output.is_empty())?;
    let (before, after) = ("Job output: `", "`");
    let most = SECTION - length(before) - length(after);
    Some(mrkdwn_section(&format!("{before}{}{after}", shown_as_code(output, most))))
}

/// `None` of a notice, which is about no monitor.
fn ids(about: &AboutAlert) -> Option<Value> {
    let monitor = about.monitor.as_ref()?;
    let of_monitor = format!("Monitor ID: `{}`", monitor.monitor_id);
    Some(mrkdwn_section(&match &about.job {
        Some(job) => format!("{of_monitor}\nJob ID: `{}`", job.job_id),
        None => of_monitor,
    }))
}

fn plain_section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "text": shown(text, SECTION) } })
}

fn mrkdwn_section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

fn shown_time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests;
