//! What somebody wants to know: the facts that alerts are made of.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// What an alert is about: the three causes of bad news, and those of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A slot passed and nothing came.
    Missed,
    /// A run lasted past its deadline.
    Overran,
    /// A run said that it failed.
    Failed,
    /// A run began too soon after the one before.
    TooOften,
    /// A run succeeded suspiciously soon after its start.
    TooFast,
    /// Of a notice: pings could not come in.
    Blind,
    /// Of a notice: pings were kept, and judged late.
    Delayed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertType {
    Late,
    Failed,
    Recovered,
    /// Something is odd about a run; the monitor's status stays.
    Warning,
    /// About CronMon itself, and no monitor.
    Notice,
}

/// One fact, with what its sentence needs. All instants are exact; [`crate::sentence`] rounds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The instant it turned bad or good: a deadline, or the receipt of a signal.
    pub at: DateTime<Utc>,
    pub fact: Fact,
    /// When the monitor last succeeded before this.
    pub last_success_at: Option<DateTime<Utc>>,
    /// The zone the monitor's owner thinks in.
    pub zone: Tz,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Nothing answered `slot` by the alert's `at`. `succeeded_at` is given when the success that ended
    /// the lateness became known together with it.
    Missed { slot: DateTime<Utc>, succeeded_at: Option<DateTime<Utc>> },
    /// The run that began at `started_at` was still going at the alert's `at`.
    Overran { started_at: DateTime<Utc>, succeeded_at: Option<DateTime<Utc>> },
    /// `started_at` is the beginning of the run, when it was announced.
    Failed { started_at: Option<DateTime<Utc>>, exit_status: Option<i16> },
    /// The incident that began at `began_at` with `cause` is over.
    Recovered { began_at: DateTime<Utc>, cause: Cause },
    /// A run began though the one before began at `before`, and so many seconds are to lie between.
    TooOften { before: DateTime<Utc>, at_least: i64 },
    /// The run that began at `started_at` succeeded, and should have taken so many seconds.
    TooFast { started_at: DateTime<Utc>, at_least: i64 },
    /// From `began_at` to the alert's `at` no ping could come in, so that many deadlines were not judged; `names` are
    /// some of their monitors'.
    NotSeen { began_at: DateTime<Utc>, not_judged: i32, names: String },
    /// What fell due from `began_at` to the alert's `at` was judged only then.
    CameLate { began_at: DateTime<Utc> },
}

impl Fact {
    #[must_use]
    pub fn alert_type(&self) -> AlertType {
        match self {
            Self::Missed { .. } | Self::Overran { .. } => AlertType::Late,
            Self::Failed { .. } => AlertType::Failed,
            Self::Recovered { .. } => AlertType::Recovered,
            Self::TooOften { .. } | Self::TooFast { .. } => AlertType::Warning,
            Self::NotSeen { .. } | Self::CameLate { .. } => AlertType::Notice,
        }
    }

    /// The cause of the bad news; of a recovery, the cause that its incident began with.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Missed { .. } => Cause::Missed,
            Self::Overran { .. } => Cause::Overran,
            Self::Failed { .. } => Cause::Failed,
            Self::Recovered { cause, .. } => *cause,
            Self::TooOften { .. } => Cause::TooOften,
            Self::TooFast { .. } => Cause::TooFast,
            Self::NotSeen { .. } => Cause::Blind,
            Self::CameLate { .. } => Cause::Delayed,
        }
    }
}

/// The names that SQL, the API and the stories use.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use names;

names!(Cause {
    Missed = "missed",
    Overran = "overran",
    Failed = "failed",
    TooOften = "too_often",
    TooFast = "too_fast",
    Blind = "blind",
    Delayed = "delayed",
});
names!(AlertType {
    Late = "late",
    Failed = "failed",
    Recovered = "recovered",
    Warning = "warning",
    Notice = "notice",
});
