//! SQS. A message is a hint that carries ids; the deliveries table stays the truth, so a message that is lost
//! costs the time to the next tick and nothing else.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::required;
use crate::sqs::Sqs;

/// Few enough that a message's deliveries are sent at once, and that several notify functions share a rush.
const IDS_IN_A_MESSAGE: usize = 10;

/// What SQS takes in one call.
const MESSAGES_IN_A_CALL: usize = 10;

const CALLS_AT_ONCE: usize = 8;

/// For a whole hand-over: somebody waits for the answer to their ping.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The longest delay of SQS. What has to wait longer is left to the tick.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// The body of a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hint {
    pub delivery_ids: Vec<Uuid>,
}

/// The queue that notify reads.
#[derive(Clone)]
pub struct DeliveryQueue {
    url: Arc<str>,
    sqs: Sqs,
}

impl DeliveryQueue {
    /// The setting `DELIVERY_QUEUE_URL`.
    ///
    /// # Errors
    /// It is missing.
    pub fn from_env() -> Result<Self, String> {
        Ok(Self { url: required("DELIVERY_QUEUE_URL")?.into(), sqs: Sqs::default() })
    }

    /// Hands deliveries to notify. Failing is only logged: the tick finds what is left.
    pub async fn hand_over(&self, ids: Vec<Uuid>) {
        self.hand_over_later(ids.into_iter().map(|id| (id, Duration::ZERO)).collect()).await;
    }

    /// The same, each after its delay; those beyond the longest delay of SQS are left to the tick.
    pub async fn hand_over_later(&self, mut deliveries: Vec<(Uuid, Duration)>) {
        deliveries.retain(|(_, delay)| *delay <= LONGEST_DELAY);
        deliveries.sort_by_key(|(_, delay)| delay.as_secs());
        let messages: Vec<(Hint, i32)> = deliveries
            .chunk_by(|a, b| a.1.as_secs() == b.1.as_secs())
            .flat_map(|same_delay| same_delay.chunks(IDS_IN_A_MESSAGE))
            .map(|chunk| {
                let ids = chunk.iter().map(|(id, _)| *id).collect();
                // Whole seconds, and never early.
                let delay = chunk.first().map_or(Duration::ZERO, |(_, delay)| *delay);
                let seconds = if delay.is_zero() { 0 } else { delay.as_secs() + 1 };
                (Hint { delivery_ids: ids }, i32::try_from(seconds.min(900)).unwrap_or(900))
            })
            .collect();
        if messages.is_empty() {
            return;
        }
        let client = match self.sqs.client() {
            Ok(client) => client,
            Err(why) => {
                tracing::error!("deliveries are left to the next tick: {why}");
                return;
            }
        };
        let calls: Vec<_> = messages.chunks(MESSAGES_IN_A_CALL).map(|call| self.send(client, call)).collect();
        let sent = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).collect::<()>();
        if tokio::time::timeout(TIME_LIMIT, sent).await.is_err() {
            tracing::error!("deliveries are left to the next tick: the queue is slow");
        }
    }

    async fn send(&self, client: &Client, messages: &[(Hint, i32)]) {
        let mut call = client.send_message_batch().queue_url(&*self.url);
        for (i, (hint, seconds)) in messages.iter().enumerate() {
            let Ok(body) = serde_json::to_string(hint) else { continue };
            let entry = SendMessageBatchRequestEntry::builder().id(i.to_string()).message_body(body);
            match entry.delay_seconds(*seconds).build() {
                Ok(entry) => call = call.entries(entry),
                Err(e) => tracing::error!("a message can't be made: {e}"),
            }
        }
        match call.send().await {
            Ok(answer) if answer.failed().is_empty() => {}
            Ok(answer) => {
                let codes: Vec<&str> = answer.failed().iter().map(BatchResultErrorEntry::code).collect();
                tracing::error!(?codes, "some deliveries are left to the next tick: the queue refused them");
            }
            Err(e) => {
                tracing::error!("deliveries are left to the next tick: {}", DisplayErrorContext(e));
            }
        }
    }
}

/// The event of a queue's trigger, as far as we read it.
#[derive(Debug, Deserialize)]
pub struct QueueEvent {
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
pub struct Record {
    pub body: String,
}

/// Says that every message was dealt with.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    batch_item_failures: [(); 0],
}
