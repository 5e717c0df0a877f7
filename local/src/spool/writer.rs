//! One thread that writes. What comes in while it syncs shares the next sync.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::Shared;
use super::index::SEGMENT_BYTES;

pub(super) struct Append {
    pub(super) number: u64,
    pub(super) line: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<(), String>>,
}

/// When it is dropped, everything that was handed to it is written.
pub(super) struct Writer {
    queue: Option<Sender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, next_segment: u64) -> io::Result<Self> {
        let (queue, appends) = mpsc::channel();
        let work = Work { shared, next_segment, open: None, uncut: Vec::new() };
        let thread = thread::Builder::new().name("spool".to_owned()).spawn(move || work.run(&appends))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// False when there is no thread any more.
    pub(super) fn send(&self, append: Append) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(append).is_ok())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    next_segment: u64,
    open: Option<Segment>,
    /// Segments that still end in something that was refused, with the length they should have.
    uncut: Vec<Segment>,
}

struct Segment {
    id: u64,
    file: File,
    /// Of what was acknowledged.
    length: u64,
}

impl Work {
    fn run(mut self, appends: &Receiver<Append>) {
        while let Ok(first) = appends.recv() {
            let mut bytes = first.line.len() as u64;
            let mut batch = vec![first];
            while bytes < SEGMENT_BYTES
                && let Ok(another) = appends.try_recv()
            {
                bytes += another.line.len() as u64;
                batch.push(another);
            }
            let kept = self.keep(&batch);
            for append in batch {
                // A client that is gone hears nothing; its record is kept all the same.
                drop(append.answer.send(kept.clone()));
            }
        }
        self.cut_off();
    }

    fn keep(&mut self, batch: &[Append]) -> Result<(), String> {
        self.cut_off();
        let kept = self.write(batch);
        if kept.is_err() {
            self.shared.change(|index| batch.iter().for_each(|append| index.refused(append.number)));
        }
        let path = self.shared.folder.path();
        kept.map_err(|e| format!("the spool in {} can't be written: {e}", path.display()))
    }

    fn write(&mut self, batch: &[Append]) -> io::Result<()> {
        let mut segment = self.enter(batch.len())?;
        let lines: Vec<u8> = batch.iter().flat_map(|append| append.line.iter().copied()).collect();
        if let Err(e) = self.shared.folder.append(&segment.file, &lines) {
            self.abandon(segment, batch.len());
            return Err(e);
        }
        self.shared.change(|index| batch.iter().for_each(|append| index.kept(append.number, segment.id)));
        segment.length += lines.len() as u64;
        self.open = Some(segment);
        Ok(())
    }

    /// The segment for as many records: the open one, or a new one.
    fn enter(&mut self, records: usize) -> io::Result<Segment> {
        if let Some(segment) = self.open.take()
            && self.shared.change(|index| index.enter(segment.id, records))
        {
            return Ok(segment);
        }
        let id = self.next_segment;
        self.next_segment += 1;
        let file = self.shared.folder.create(id)?;
        self.shared.change(|index| {
            index.begin(id, 0);
            index.enter(id, records);
        });
        Ok(Segment { id, file, length: 0 })
    }

    /// After an error nobody knows what of the file is on the disk, except for what was synced before. What
    /// was refused must not be read again.
    fn abandon(&mut self, segment: Segment, records: usize) {
        let id = segment.id;
        self.uncut.push(segment);
        self.cut_off();
        self.shared.change(|index| {
            index.leave(id, records);
            index.seal(id);
        });
        self.shared.tidy();
    }

    fn cut_off(&mut self) {
        let folder = &self.shared.folder;
        self.uncut.retain(|segment| {
            let cut = folder.cut(&segment.file, segment.length);
            if let Err(e) = &cut {
                tracing::error!(
                    "{} ends in records that were refused, and they can't be cut off: {e}",
                    folder.segment(segment.id).display()
                );
            }
            cut.is_err()
        });
    }
}
