//! What a destination is told.

use chrono::{DateTime, Utc};
use database::jobs::Job;
use domain::Alert;
use serde::Serialize;
use uuid::Uuid;

pub enum Message {
    Alert(AboutAlert),
    /// Somebody wants to see whether it arrives.
    Test(Test),
}

/// An alert as it was made, with the name of its monitor and the state of its job at the moment it is sent.
pub struct AboutAlert {
    pub alert_id: Uuid,
    pub incident_id: Uuid,
    pub alert: Alert,
    /// `None` of a notice, which is about CronMon itself.
    pub monitor: Option<MonitorOfMessage>,
    /// `None` where no run came.
    pub job: Option<Job>,
}

#[derive(Serialize)]
pub struct MonitorOfMessage {
    pub monitor_id: Uuid,
    pub name: String,
}

pub struct Test {
    pub at: DateTime<Utc>,
    pub alert_config_id: Uuid,
    /// Of the alert config.
    pub name: String,
    /// Who asked for it.
    pub caller: String,
}

impl Test {
    pub(crate) fn sentence(&self) -> String {
        format!("Test alert triggered by '{}'", self.caller)
    }
}
