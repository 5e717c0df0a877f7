//! Pings in the spool: what the folder of records means to them.

use std::path::Path;

use chrono::{DateTime, Utc};
use database::signals::{Address, ReceivedSignal};
use database::spool::{Spool as PingSpool, Waiting, Why, group, to_text};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::beats::Beats;
use crate::spool::Spool;

/// A folder may have this many bytes: some millions of pings. Then pings are refused, for a disk that is full
/// stops more than pings.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Clone)]
pub(crate) struct SpoolFolder(Spool);

impl SpoolFolder {
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let spool = Spool::open(folder, MOST_BYTES)?;
        let count = spool.count();
        if count > 0 {
            tracing::info!(count, "pings wait in the spool");
        }
        Ok(Self(spool))
    }

    pub(crate) fn count(&self) -> i64 {
        i64::try_from(self.0.count()).unwrap_or(i64::MAX)
    }

    /// When the oldest of them was received.
    pub(crate) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.0.oldest()
    }

    pub(crate) async fn next(&self, most: usize) -> Result<Vec<Waiting<u64>>, String> {
        let waiting = self.0.next(most).await?.into_iter().map(|waiting| Waiting {
            handle: waiting.number,
            group: waiting.group,
            // Whatever is no text is no signal either, and is parked.
            text: String::from_utf8_lossy(&waiting.record).into_owned(),
        });
        Ok(waiting.collect())
    }

    /// They were applied or parked.
    pub(crate) async fn forget(&self, numbers: &[u64]) -> Result<(), String> {
        self.0.done(numbers).await
    }
}

/// The folder as pings see it: they go into it, too, while a pause of this process is not written down. A ping judges
/// what fell due before it, and must not judge what could not come in.
pub(crate) struct PingsFolder {
    pub(crate) folder: SpoolFolder,
    pub(crate) beats: Beats,
}

impl PingSpool for PingsFolder {
    fn put<'a>(&'a self, signal: &'a ReceivedSignal, why: Why) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let text = to_text(signal, why)?;
            self.folder.0.append(&group(&signal.address), signal.received_at, text.as_bytes()).await
        }
        .boxed()
    }

    fn holds(&self, address: &Address) -> bool {
        // Nothing waits most of the time, and making a group takes longer than asking that.
        let Self { folder: SpoolFolder(folder), beats } = self;
        beats.are_unwritten() || folder.count() > 0 && folder.holds(&group(address))
    }

    fn is_shared(&self) -> bool {
        false
    }
}
