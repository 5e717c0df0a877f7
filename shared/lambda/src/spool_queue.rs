//! The spool on Lambda: a FIFO queue, in groups by what the ping names. A message is a signal that nothing
//! else has; it goes when it was applied or parked, and not before.

use std::sync::Arc;

use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName};
use database::signals::{Address, ReceivedSignal};
use database::spool::{Spool, Waiting, Why, group, to_text};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

use crate::required;
use crate::sqs::Sqs;

/// What SQS gives and takes in one call.
const MESSAGES_IN_A_CALL: i32 = 10;
const FORGOTTEN_IN_A_CALL: usize = 10;

/// So that a long queue ends soon: while it lasts, pings that come go behind what waits. And because one call asks only
/// some of SQS' servers.
const CALLS_AT_ONCE: usize = 4;

/// How long a message that was received and not forgotten stays away, in seconds. One that comes again while it is
/// still being applied changes nothing.
const COMES_AGAIN: i32 = 30;

#[derive(Clone)]
pub struct SpoolQueue {
    url: Arc<str>,
    sqs: Sqs,
}

/// What a message that was received is forgotten by.
pub type Receipt = String;

impl SpoolQueue {
    /// The setting `SPOOL_QUEUE_URL`.
    ///
    /// # Errors
    /// It is missing.
    pub fn from_env() -> Result<Self, String> {
        Ok(Self { url: required("SPOOL_QUEUE_URL")?.into(), sqs: Sqs::default() })
    }

    async fn send(&self, signal: &ReceivedSignal, why: Why) -> Result<(), String> {
        self.sqs
            .client()?
            .send_message()
            .queue_url(&*self.url)
            .message_body(to_text(signal, why)?)
            .message_group_id(group(&signal.address))
            // SQS drops what is sent again, as its client does when an answer gets lost.
            .message_deduplication_id(signal.signal_id.to_string())
            .send()
            .await
            .map_err(|e| DisplayErrorContext(e).to_string())?;
        Ok(())
    }

    /// Some of what waits; none when there is nothing, or nothing that no other receiver has before it.
    ///
    /// # Errors
    /// The queue can't be read.
    pub async fn receive(&self) -> Result<Vec<Waiting<Receipt>>, String> {
        let received = join_all((0..CALLS_AT_ONCE).map(|_| self.receive_once())).await;
        let (mut waiting, mut failed) = (Vec::new(), None);
        for one in received {
            match one {
                Ok(some) => waiting.extend(some),
                Err(why) => failed = Some(why),
            }
        }
        match failed {
            Some(why) if waiting.is_empty() => Err(why),
            _ => Ok(waiting),
        }
    }

    async fn receive_once(&self) -> Result<Vec<Waiting<Receipt>>, String> {
        let received = self
            .sqs
            .client()?
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(MESSAGES_IN_A_CALL)
            .visibility_timeout(COMES_AGAIN)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .send()
            .await
            .map_err(|e| DisplayErrorContext(e).to_string())?;
        let waiting = received.messages.unwrap_or_default().into_iter().filter_map(|message| {
            Some(Waiting {
                handle: message.receipt_handle?,
                group: message
                    .attributes?
                    .remove(&MessageSystemAttributeName::MessageGroupId)
                    .unwrap_or_default(),
                text: message.body.unwrap_or_default(),
            })
        });
        Ok(waiting.collect())
    }

    /// About how many messages there are, those with another receiver among them.
    ///
    /// # Errors
    /// The queue can't be read.
    pub async fn waiting(&self) -> Result<i64, String> {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self
            .sqs
            .client()?
            .get_queue_attributes()
            .queue_url(&*self.url)
            .set_attribute_names(Some(wanted.to_vec()))
            .send()
            .await
            .map_err(|e| DisplayErrorContext(e).to_string())?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| attributes.get(name).and_then(|text| text.parse::<i64>().ok());
        wanted.iter().map(number).sum::<Option<i64>>().ok_or_else(|| "the queue has no number".to_owned())
    }

    /// They were dealt with. One that can't be forgotten comes again, and changes nothing then.
    pub async fn forget(&self, receipts: Vec<Receipt>) {
        join_all(receipts.chunks(FORGOTTEN_IN_A_CALL).map(|some| self.forget_once(some))).await;
    }

    async fn forget_once(&self, receipts: &[Receipt]) {
        let Ok(client) = self.sqs.client() else { return };
        let mut call = client.delete_message_batch().queue_url(&*self.url);
        for (i, receipt) in receipts.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(i.to_string()).receipt_handle(receipt);
            if let Ok(entry) = entry.build() {
                call = call.entries(entry);
            }
        }
        match call.send().await {
            Ok(answer) if answer.failed().is_empty() => {}
            Ok(_) => tracing::error!("some messages of the spool were not deleted and come again"),
            Err(e) => tracing::error!("messages of the spool come again: {}", DisplayErrorContext(e)),
        }
    }
}

impl SpoolQueue {
    /// They could not be dealt with: the next receiver gets them at once. One that can't be put back comes by
    /// itself, later.
    pub async fn put_back(&self, receipts: Vec<Receipt>) {
        let Ok(client) = self.sqs.client() else { return };
        for receipt in receipts {
            let back = client.change_message_visibility().queue_url(&*self.url).receipt_handle(receipt);
            if let Err(e) = back.visibility_timeout(0).send().await {
                tracing::error!("a message of the spool comes again later: {}", DisplayErrorContext(e));
                return;
            }
        }
    }
}

impl Spool for SpoolQueue {
    fn put<'a>(&'a self, signal: &'a ReceivedSignal, why: Why) -> BoxFuture<'a, Result<(), String>> {
        self.send(signal, why).boxed()
    }

    /// Nobody knows: the queue has no way to ask. A signal that overtakes an earlier one is applied first, and
    /// the earlier one goes into the history at its time.
    fn holds(&self, _: &Address) -> bool {
        false
    }

    fn is_shared(&self) -> bool {
        true
    }
}
