//! The spool: records that wait on the disk until they can be dealt with, in a folder of this machine.
//!
//! Records are appended to segments, `00000001.spool` and so on, and acknowledged once they are synced. A
//! segment is deleted when all of its records are done. Nothing else is written down about what is done: after
//! a crash a done record is read again when one that is not done stands in the same segment. A segment takes no
//! more records once one of its own is done, or once it has about a megabyte.

mod earlier;
mod folder;
mod index;
mod line;
mod next;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use folder::Folder;
use index::Index;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use writer::{Append, Writer};

/// One record that waits.
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) group: String,
    pub(crate) record: Vec<u8>,
}

/// Clones are the same spool. The folder is let go with the last one.
#[derive(Clone)]
pub(crate) struct Spool {
    writer: Arc<Writer>,
    shared: Arc<Shared>,
}

struct Shared {
    folder: Folder,
    most_bytes: u64,
    index: Mutex<Index>,
    /// How many the index has; most of the time none, and nobody needs the lock to know it.
    count: AtomicUsize,
}

impl Spool {
    /// Opens the folder, creates it if need be, and reads what an earlier process left. Two processes never
    /// have the same one.
    pub(crate) fn open(path: &Path, most_bytes: u64) -> Result<Self, String> {
        let wrong = |e| format!("the spool in {} can't be opened: {e}", path.display());
        let folder = Folder::open(path)?;
        let (index, next_segment) = earlier::read(&folder).map_err(wrong)?;
        let count = AtomicUsize::new(index.count());
        let shared = Arc::new(Shared { folder, most_bytes, index: Mutex::new(index), count });
        shared.tidy();
        let writer = Arc::new(Writer::start(shared.clone(), next_segment).map_err(wrong)?);
        Ok(Self { writer, shared })
    }

    /// Returns once the record is on the disk. After an error it does not count as kept and is not read
    /// later. Whoever stops waiting for the answer may find it kept.
    pub(crate) async fn append(
        &self,
        group: &str,
        received_at: DateTime<Utc>,
        record: &[u8],
    ) -> Result<(), String> {
        const NO_WRITER: &str = "the spool's writer ended by a fault";
        let line = line::write(group, received_at, record)?;
        let (answer, answered) = oneshot::channel();
        // The queue is in the order of the numbers, for both are given under the lock.
        self.shared.change(|index| {
            let number = index.add(group, received_at, line.len(), self.shared.most_bytes)?;
            if !self.writer.send(Append { number, line, answer }) {
                index.refused(number);
                return Err(NO_WRITER.to_owned());
            }
            Ok(())
        })?;
        answered.await.unwrap_or_else(|_| Err(NO_WRITER.to_owned()))
    }

    /// Whether something of this group waits or is being appended: a later one must go behind it.
    pub(crate) fn holds(&self, group: &str) -> bool {
        self.count() != 0 && self.shared.index().holds(group)
    }

    /// How many wait or are being appended.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Acquire)
    }

    /// When the oldest of them was received.
    pub(crate) fn oldest(&self) -> Option<DateTime<Utc>> {
        if self.count() == 0 { None } else { self.shared.index().oldest() }
    }

    /// The next ones in the order in which they were appended: at most `most`, at most about 4 MB. They stay
    /// until they are done. Without an error there may be none although some wait: those are being appended.
    pub(crate) async fn next(&self, most: usize) -> Result<Vec<Waiting>, String> {
        let shared = self.shared.clone();
        blocking(move || next::next(&shared, most)).await
    }

    /// These were dealt with. That holds for this process even after an error, which leaves files that are
    /// deleted next time.
    pub(crate) async fn done(&self, numbers: &[u64]) -> Result<(), String> {
        self.shared.change(|index| index.done(numbers));
        let shared = self.shared.clone();
        blocking(move || shared.delete_finished()).await
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index();
        let result = change(&mut index);
        self.count.store(index.count(), Ordering::Release);
        result
    }

    /// For those to whom it does not matter whether files can be deleted now.
    fn tidy(&self) {
        if let Err(e) = self.delete_finished() {
            tracing::error!("{e}");
        }
    }

    fn delete_finished(&self) -> Result<(), String> {
        let finished = self.index().finished();
        if finished.is_empty() {
            return Ok(());
        }
        self.folder.delete(&finished).map_err(|e| {
            format!("files of the spool in {} can't be deleted: {e}", self.folder.path().display())
        })?;
        self.change(|index| finished.iter().for_each(|segment| index.forget(*segment)));
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work).await.unwrap_or_else(|e| Err(format!("the spool's work ended by a fault: {e}")))
}
