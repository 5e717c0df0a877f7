//! How a record stands in a file: one line, so that a person can read it, with a checksum that finds what is
//! torn or damaged.
//!
//!     0d485e83f6fc720a {"group":"a","received_at":"2026-01-01T00:00:00Z","record":"aGVsbG8="}
//!
//! The checksum is the beginning of the SHA-256 of what stands behind the space; the record is Base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// With a blank line, so that a damaged newline costs one record and not two.
const END: &[u8] = b"\n\n";

#[derive(Serialize, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    group: Cow<'a, str>,
    received_at: DateTime<Utc>,
    #[serde(borrow)]
    record: Cow<'a, str>,
}

/// What a line says.
pub(super) struct Line {
    pub(super) group: String,
    pub(super) received_at: DateTime<Utc>,
    pub(super) record: Vec<u8>,
}

/// The line with its end.
pub(super) fn write(group: &str, received_at: DateTime<Utc>, record: &[u8]) -> Result<Vec<u8>, String> {
    let fields = Fields { group: group.into(), received_at, record: STANDARD.encode(record).into() };
    let json = serde_json::to_vec(&fields).map_err(|e| format!("a record can't be written down: {e}"))?;
    Ok([checksum(&json).as_bytes(), b" ", &json, END].concat())
}

/// None when it is not whole.
pub(super) fn read(line: &[u8]) -> Option<Line> {
    let line = line.trim_ascii();
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (sum, json) = line.split_at_checked(space)?;
    let json = json.strip_prefix(b" ")?;
    if sum != checksum(json).as_bytes() {
        return None;
    }
    let fields: Fields = serde_json::from_slice(json).ok()?;
    let record = STANDARD.decode(&*fields.record).ok()?;
    Some(Line { group: fields.group.into_owned(), received_at: fields.received_at, record })
}

fn checksum(json: &[u8]) -> String {
    let sum = digest(&SHA256, json);
    format!("{:016x}", sum.as_ref().first_chunk().map_or(0, |begin| u64::from_be_bytes(*begin)))
}

/// The lines of a file.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    /// With where each begins.
    pub(super) whole: Vec<(usize, &'a [u8], Line)>,
    pub(super) damaged: Vec<&'a [u8]>,
    /// The last one was being written when the process ended, so nobody was told that it is kept.
    pub(super) torn: bool,
}

pub(super) fn sort(file: &[u8]) -> Sorted<'_> {
    let mut sorted = Sorted::default();
    let mut begin = 0;
    let mut bad: Option<&[u8]> = None;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let at = begin;
        begin += line.len();
        if line == b"\n" {
            continue;
        }
        // Something stands behind it: it is not the torn one.
        sorted.damaged.extend(bad.take());
        match read(line) {
            Some(said) => sorted.whole.push((at, line, said)),
            None => bad = Some(line),
        }
    }
    sorted.torn = bad.is_some();
    sorted
}

/// A file of these lines.
pub(super) fn join<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    lines.into_iter().flat_map(|line| [line.trim_ascii(), END].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> [Vec<u8>; 3] {
        let at = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        [write("a", at, b"first"), write("b\n\"", at, &[0, 10, 255]), write("", at, b"")].map(Result::unwrap)
    }

    fn said(file: &[u8]) -> Vec<(String, Vec<u8>)> {
        sort(file).whole.into_iter().map(|(_, _, line)| (line.group, line.record)).collect()
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let example =
            br#"0d485e83f6fc720a {"group":"a","received_at":"2026-01-01T00:00:00Z","record":"aGVsbG8="}"#;
        assert_eq!(read(example).unwrap().record, b"hello");
        let all = said(&lines().concat());
        let first = ("a".to_owned(), b"first".to_vec());
        assert_eq!(all, [first, ("b\n\"".to_owned(), vec![0, 10, 255]), (String::new(), Vec::new())]);
        let at = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        assert_eq!(read(&lines()[0]).unwrap().received_at, at);
    }

    #[test]
    fn a_flipped_bit_anywhere_costs_one_record_at_most() {
        let file = lines().concat();
        let whole = said(&file);
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                let left = said(&damaged);
                assert!(left.len() >= 2, "{at} {bit}");
                assert!(left.iter().all(|one| whole.contains(one)), "{at} {bit}");
                let sorted = sort(&damaged);
                let told = sorted.torn || !sorted.damaged.is_empty();
                assert!(told || left == whole, "{at} {bit}");
            }
        }
    }

    #[test]
    fn a_file_that_ends_anywhere_keeps_what_is_whole() {
        let lines = lines();
        let file = lines.concat();
        let ends: Vec<usize> = (1..=3).map(|n| lines[..n].concat().len() - END.len()).collect();
        for length in 0..file.len() {
            let sorted = sort(&file[..length]);
            let whole = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(sorted.whole.len(), whole, "{length}");
            assert!(sorted.damaged.is_empty(), "{length}");
        }
    }
}
