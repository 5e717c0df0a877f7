//! Posts an alert to its owner's webhook.
//!
//! The URL and the name servers behind it belong to strangers, so the address is judged where the connection
//! is made: a literal here, a host name by the resolver that the client connects through.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::jobs::Job;
use domain::sentence::sentence;
use reqwest::{Url, header};
use serde::Serialize;
use uuid::Uuid;

use crate::allowed_networks::AllowedNetworks;
use crate::answer::{Answer, Unresolved, Verdict, answered, not_answered};
use crate::client::{Clients, LIMITS, Limits, Reach};
use crate::message::{Message, MonitorOfMessage};

/// What is posted. Of a test every field is there that an alert has, so that who can read an alert can read it.
#[derive(Serialize)]
struct Body<'a> {
    /// The alert's id, the same for every destination.
    id: Uuid,
    r#type: &'static str,
    cause: &'static str,
    incident_id: Uuid,
    at: DateTime<Utc>,
    /// Null in a notice and in a test.
    monitor: Option<&'a MonitorOfMessage>,
    job: Option<&'a Job>,
    reason: String,
}

pub(crate) fn body(message: &Message) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&match message {
        Message::Alert(about) => Body {
            id: about.alert_id,
            r#type: about.alert.fact.alert_type().name(),
            cause: about.alert.fact.cause().name(),
            incident_id: about.incident_id,
            at: about.alert.at,
            monitor: about.monitor.as_ref(),
            job: about.job.as_ref(),
            reason: sentence(&about.alert),
        },
        Message::Test(test) => Body {
            id: Uuid::new_v4(),
            r#type: "test",
            cause: "test",
            incident_id: Uuid::new_v4(),
            at: test.at,
            monitor: None,
            job: None,
            reason: test.sentence(),
        },
    })
}

/// The client for webhooks. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Webhooks(Arc<Clients>);

impl Webhooks {
    /// A client that waits 5 s for a connection and 10 s in all.
    ///
    /// # Errors
    /// The HTTP client can't be built; says why.
    pub(crate) fn new(allowed: AllowedNetworks) -> Result<Self, String> {
        Self::with_limits(allowed, LIMITS)
    }

    fn with_limits(allowed: AllowedNetworks, limits: Limits) -> Result<Self, String> {
        Ok(Self(Arc::new(Clients::new(Reach::Permitted(Arc::new(allowed)), limits)?)))
    }

    /// Posts `body`, a JSON document, once. Answers within 10 s.
    pub(crate) async fn post(&self, url: &str, delivery_id: Uuid, body: Vec<u8>) -> Answer {
        let url = match self.usable(url) {
            Ok(url) => url,
            Err(error) => return Answer::failed(error, Verdict::Permanent),
        };
        let client = match self.0.for_url(&url) {
            Ok(client) => client,
            Err(error) => return Answer::failed(error, Verdict::Transient),
        };
        let sent = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", delivery_id.to_string())
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) => answered(response, &url).await,
            Err(error) => not_answered(&error, self.0.limits),
        }
    }

    /// The parsed URL, if a webhook may go there. A host name is for the resolver to judge.
    fn usable(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|_| "not a usable URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only http and https URLs are used".into());
        }
        // `Url` has turned every spelling of an address (2130706433, 0x7f.1, a last dot) into the usual one.
        let host = url.host_str().ok_or("the URL has no host")?;
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if !self.0.reach.permits(ip) => Err(Unresolved::NotPermitted.to_string()),
            _ => Ok(url),
        }
    }
}

#[cfg(test)]
mod tests;
