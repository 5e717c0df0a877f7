//! The queue by which late-check wakes itself. That a message comes is all of it; what it says is for people.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::required;
use crate::sqs::Sqs;

/// What SQS takes in one call.
const MESSAGES_IN_A_CALL: usize = 10;

const CALLS_AT_ONCE: usize = 8;

/// For all of them: there is something to judge afterwards.
const TIME_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct WakeQueue {
    url: Arc<str>,
    sqs: Sqs,
}

impl WakeQueue {
    /// The setting `WAKE_QUEUE_URL`.
    ///
    /// # Errors
    /// It is missing.
    pub fn from_env() -> Result<Self, String> {
        Ok(Self { url: required("WAKE_QUEUE_URL")?.into(), sqs: Sqs::default() })
    }

    /// Sends a wake for each delay, in seconds from `now`; answers with those that were sent. Failing is only logged: every
    /// minute's tick does what a wake would have done.
    pub async fn send(&self, now: DateTime<Utc>, delays: &[i32]) -> Vec<i32> {
        if delays.is_empty() {
            return Vec::new();
        }
        let client = match self.sqs.client() {
            Ok(client) => client,
            Err(why) => {
                tracing::error!("no wakes were sent: {why}");
                return Vec::new();
            }
        };
        let end = tokio::time::Instant::now() + TIME_LIMIT;
        let calls: Vec<_> = delays
            .chunks(MESSAGES_IN_A_CALL)
            .map(|call| tokio::time::timeout_at(end, self.send_once(client, now, call)))
            .collect();
        let mut calls = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
        let mut sent = Vec::with_capacity(delays.len());
        while let Some(call) = calls.next().await {
            match call {
                Ok(some) => sent.extend(some),
                Err(_) => tracing::error!("some wakes may not have been sent: the queue is slow"),
            }
        }
        sent.sort_unstable();
        sent
    }

    async fn send_once(&self, client: &Client, now: DateTime<Utc>, delays: &[i32]) -> Vec<i32> {
        let mut call = client.send_message_batch().queue_url(&*self.url);
        for (i, delay) in delays.iter().enumerate() {
            let body = json!({ "wake_at": now + TimeDelta::seconds((*delay).into()) }).to_string();
            let entry = SendMessageBatchRequestEntry::builder().id(i.to_string()).message_body(body);
            match entry.delay_seconds(*delay).build() {
                Ok(entry) => call = call.entries(entry),
                Err(e) => tracing::error!("a wake can't be made: {e}"),
            }
        }
        match call.send().await {
            Ok(answer) => {
                if !answer.failed().is_empty() {
                    let codes: Vec<&str> = answer.failed().iter().map(BatchResultErrorEntry::code).collect();
                    tracing::error!(?codes, "some wakes were not sent: the queue refused them");
                }
                let sent = answer.successful().iter().filter_map(|sent| sent.id().parse::<usize>().ok());
                sent.filter_map(|i| delays.get(i).copied()).collect()
            }
            Err(e) => {
                tracing::error!("some wakes were not sent: {}", DisplayErrorContext(e));
                Vec::new()
            }
        }
    }
}
