//! What the alarms of the template watch: lines in CloudWatch's embedded metric format.

use std::io::Write as _;

use database::due::Behind;
use serde_json::{Value, json};

/// The setting `METRICS_STACK`; without it none are written.
pub(crate) struct Metrics(Option<String>);

impl Metrics {
    pub(crate) fn of(stack: Option<String>) -> Self {
        Self(stack)
    }

    pub(crate) fn are_written(&self) -> bool {
        self.0.is_some()
    }

    /// How far the work is behind.
    pub(crate) fn behind(&self, behind: Behind) {
        self.write(
            &json!([
                { "Name": "JudgingBehind", "Unit": "Seconds" },
                { "Name": "DeliveryBehind", "Unit": "Seconds" },
            ]),
            json!({
                "JudgingBehind": behind.judging.num_seconds(),
                "DeliveryBehind": behind.delivery.num_seconds(),
            }),
        );
    }

    /// Whether the canary did not come through. Without the database too.
    pub(crate) fn canary(&self, fails: bool) {
        self.write(
            &json!([{ "Name": "CanaryFailing", "Unit": "Count" }]),
            json!({ "CanaryFailing": u8::from(fails) }),
        );
    }

    fn write(&self, metrics: &Value, mut line: Value) {
        let Some(stack) = &self.0 else { return };
        // CloudWatch wants to know when the line was written; nothing is judged by it.
        #[allow(clippy::disallowed_methods)]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let Some(fields) = line.as_object_mut() else { return };
        fields.insert("Stack".to_owned(), json!(stack));
        fields.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
                "CloudWatchMetrics": [{
                    "Namespace": "CronMon",
                    "Dimensions": [["Stack"]],
                    "Metrics": metrics,
                }],
            }),
        );
        drop(writeln!(std::io::stdout(), "{line}"));
    }
}
