//! What the spool knows by heart: which records wait and where they stand. Not what they say: that may be
//! more than the memory holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// A segment that has as much is not written to any more.
pub(super) const SEGMENT_BYTES: u64 = 1_000_000;

/// What may wait to be written. When the disk hangs, refusing is better than running out of memory.
const MOST_QUEUED_BYTES: u64 = 32_000_000;

#[derive(Default)]
pub(super) struct Index {
    last_number: u64,
    records: BTreeMap<u64, Record>,
    groups: HashMap<Arc<str>, usize>,
    received: BTreeSet<(DateTime<Utc>, u64)>,
    segments: BTreeMap<u64, Segment>,
    /// Of all segments.
    bytes: u64,
    /// Of what has no place yet.
    queued_bytes: u64,
}

struct Record {
    group: Arc<str>,
    received_at: DateTime<Utc>,
    length: usize,
    /// None until it is on the disk.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
}

#[derive(Default)]
struct Segment {
    bytes: u64,
    /// That wait or are being written.
    records: usize,
    sealed: bool,
}

impl Index {
    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    pub(super) fn holds(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.received.first().map(|(received_at, _)| *received_at)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.queued_bytes
    }

    /// A new record, which has no place yet.
    pub(super) fn add(
        &mut self,
        group: &str,
        received_at: DateTime<Utc>,
        length: usize,
        most_bytes: u64,
    ) -> Result<u64, String> {
        let bytes = length as u64;
        if self.bytes + self.queued_bytes + bytes > most_bytes {
            return Err(format!("the spool is full: {most_bytes} bytes are the most it may have"));
        }
        if self.queued_bytes + bytes > MOST_QUEUED_BYTES {
            return Err("the spool's disk does not keep up".to_owned());
        }
        self.queued_bytes += bytes;
        Ok(self.insert(group, received_at, length, None))
    }

    /// A record that an earlier process left.
    pub(super) fn found(&mut self, group: &str, received_at: DateTime<Utc>, place: Place) {
        self.insert(group, received_at, place.length, Some(place));
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.records += 1;
        }
    }

    fn insert(
        &mut self,
        group: &str,
        received_at: DateTime<Utc>,
        length: usize,
        place: Option<Place>,
    ) -> u64 {
        let group = match self.groups.get_key_value(group) {
            Some((known, _)) => known.clone(),
            None => group.into(),
        };
        self.last_number += 1;
        *self.groups.entry(group.clone()).or_default() += 1;
        self.received.insert((received_at, self.last_number));
        self.records.insert(self.last_number, Record { group, received_at, length, place });
        self.last_number
    }

    fn remove(&mut self, number: u64) -> Option<Record> {
        let record = self.records.remove(&number)?;
        self.received.remove(&(record.received_at, number));
        if let Some(count) = self.groups.get_mut(&record.group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&record.group);
            }
        }
        Some(record)
    }

    /// A segment that has as many bytes.
    pub(super) fn begin(&mut self, segment: u64, bytes: u64) {
        self.bytes += bytes;
        self.segments.insert(segment, Segment { bytes, ..Segment::default() });
    }

    pub(super) fn seal(&mut self, segment: u64) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.sealed = true;
        }
    }

    /// As many records are about to be written into the segment, which is not deleted meanwhile. False when
    /// it takes no more.
    pub(super) fn enter(&mut self, segment: u64, records: usize) -> bool {
        match self.segments.get_mut(&segment) {
            Some(segment) if !segment.sealed && segment.bytes < SEGMENT_BYTES => {
                segment.records += records;
                true
            }
            _ => false,
        }
    }

    /// They came to nothing.
    pub(super) fn leave(&mut self, segment: u64, records: usize) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.records -= records;
        }
    }

    /// One that had entered is on the disk, behind everything that the segment has.
    pub(super) fn kept(&mut self, number: u64, segment: u64) {
        let (Some(record), Some(state)) = (self.records.get_mut(&number), self.segments.get_mut(&segment))
        else {
            return;
        };
        record.place = Some(Place { segment, offset: state.bytes, length: record.length });
        let bytes = record.length as u64;
        state.bytes += bytes;
        self.bytes += bytes;
        self.queued_bytes -= bytes;
    }

    /// One that has no place gets none.
    pub(super) fn refused(&mut self, number: u64) {
        if let Some(record) = self.remove(number) {
            self.queued_bytes -= record.length as u64;
        }
    }

    /// Their segments are sealed: no more than these would be read again after a crash.
    pub(super) fn done(&mut self, numbers: &[u64]) {
        for number in numbers {
            let Some(place) = self.records.get(number).and_then(|record| record.place) else { continue };
            self.remove(*number);
            if let Some(segment) = self.segments.get_mut(&place.segment) {
                segment.records -= 1;
                segment.sealed = true;
            }
        }
    }

    pub(super) fn waits(&self, number: u64) -> bool {
        self.records.contains_key(&number)
    }

    /// The first one after `number` that is on the disk.
    pub(super) fn first_after(&self, number: u64) -> Option<(u64, Arc<str>, Place)> {
        let (number, record) = self.records.range((Bound::Excluded(number), Bound::Unbounded)).next()?;
        Some((*number, record.group.clone(), record.place?))
    }

    /// Segments of which nothing waits and to which nothing is written any more.
    pub(super) fn finished(&self) -> Vec<u64> {
        let finished = self.segments.iter().filter(|(_, segment)| segment.sealed && segment.records == 0);
        finished.map(|(id, _)| *id).collect()
    }

    /// The segment's file is deleted.
    pub(super) fn forget(&mut self, segment: u64) {
        if let Some(segment) = self.segments.remove(&segment) {
            self.bytes -= segment.bytes;
        }
    }
}
