//! Where alerts go, and how they are sent there: one message by one request, and what became of it.
//! Claiming, settling and trying again are the notify function's.

pub mod allowed_networks;
mod answer;
mod client;
mod message;
mod slack;
mod webhook;

use database::DatabaseError;
use database::settings::given;
use reqwest::Url;
use tokio_postgres::Row;
use uuid::Uuid;

use allowed_networks::AllowedNetworks;
pub use answer::{Answer, Verdict};
pub use message::{AboutAlert, Message, MonitorOfMessage, Test};
use slack::Slack;
use webhook::Webhooks;

/// Where Slack answers when nobody says otherwise.
const SLACK_API_URL: &str = "https://slack.com/api";

/// What its operator says about sending.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where webhooks may go besides public addresses.
    pub allowed_networks: AllowedNetworks,
    /// What the methods of Slack's API begin with. The operator chose it: it may be anywhere.
    pub slack_api_url: Url,
}

impl Settings {
    /// The settings `ALLOWED_NETWORKS` and `SLACK_API_URL`.
    ///
    /// # Errors
    /// Names the one that can't be used.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let slack_api_url = given(&get, "SLACK_API_URL");
        let slack_api_url = Url::parse(slack_api_url.as_deref().unwrap_or(SLACK_API_URL).trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or("SLACK_API_URL must be an https:// or http:// URL, as https://slack.com/api")?;
        let allowed_networks = given(&get, "ALLOWED_NETWORKS").unwrap_or_default().parse()?;
        Ok(Self { allowed_networks, slack_api_url })
    }
}

/// Where an alert config leads. There is no `Debug`: what it holds opens something.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    Webhook { url: String },
    Slack { channel: String, token: String },
}

/// The columns of `alert_config c` that [`Destination::of`] reads.
pub const DESTINATION_COLUMNS: &str = "c.type as destination_type, c.url, c.slack_channel, c.slack_token";

impl Destination {
    /// Reads [`DESTINATION_COLUMNS`].
    ///
    /// # Errors
    /// [`DatabaseError::Data`] when they hold no destination that this version knows.
    pub fn of(row: &Row) -> Result<Self, DatabaseError> {
        match row.try_get("destination_type")? {
            "webhook" => Ok(Self::Webhook { url: row.try_get("url")? }),
            "slack" => {
                Ok(Self::Slack { channel: row.try_get("slack_channel")?, token: row.try_get("slack_token")? })
            }
            _ => Err(DatabaseError::Data("a destination of a kind that this version does not know".into())),
        }
    }

    /// The name of its kind, in the API and in the column `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
        }
    }
}

/// Sends to destinations of every kind. Build it once; clones share its connections.
#[derive(Clone)]
pub struct Senders {
    webhooks: Webhooks,
    slack: Slack,
}

impl Senders {
    /// # Errors
    /// An HTTP client can't be built; says why.
    pub fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self {
            webhooks: Webhooks::new(settings.allowed_networks)?,
            slack: Slack::new(&settings.slack_api_url)?,
        })
    }

    /// Sends a message once, and answers within 10 s. A webhook knows a repeat by `delivery_id`; Slack knows none.
    pub async fn send(&self, to: &Destination, delivery_id: Uuid, message: &Message) -> Answer {
        match to {
            Destination::Webhook { url } => match webhook::body(message) {
                Ok(body) => self.webhooks.post(url, delivery_id, body).await,
                Err(e) => Answer::failed(format!("the message can't be written: {e}"), Verdict::Transient),
            },
            Destination::Slack { channel, token } => self.slack.post(channel, token, message).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack_api_url(setting: &str) -> Result<String, String> {
        let get = |name: &str| (name == "SLACK_API_URL").then(|| setting.to_owned());
        Settings::from_env(get).map(|settings| settings.slack_api_url.to_string())
    }

    #[test]
    fn slack_is_where_it_always_was_unless_the_operator_says_otherwise() {
        assert_eq!(slack_api_url(""), Ok("https://slack.com/api".to_owned()));
        assert_eq!(slack_api_url("http://127.0.0.1:9/api/"), Ok("http://127.0.0.1:9/api/".to_owned()));
        for bad in ["slack.com/api", "ftp://slack.com/api", "http://", "https://slack.com/api?x=1"] {
            assert!(slack_api_url(bad).unwrap_err().starts_with("SLACK_API_URL must be"), "{bad}");
        }
    }
}
