//! Where a page ended, as callers carry it to the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, Utc};
use uuid::Uuid;

/// The instant and the id of the last one that was shown, in a list that is ordered by these, descending. A position
/// and nothing else: who it is given by says in which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

impl Cursor {
    pub(crate) fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode([&written(self.at)[..], self.id.as_bytes()].concat())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (at, id) = bytes.split_first_chunk()?;
        Some(Self { at: read(*at)?, id: Uuid::from_slice(id).ok()? })
    }
}

pub(crate) fn written(at: DateTime<Utc>) -> [u8; 8] {
    at.timestamp_micros().to_be_bytes()
}

pub(crate) fn read(at: [u8; 8]) -> Option<DateTime<Utc>> {
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(at))?;
    // Others are in no list, and not all of them in what Postgres takes for a time.
    (1970..10_000).contains(&at.year()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let cursor =
            Cursor { at: "2026-11-22T12:00:00.123456Z".parse().unwrap(), id: Uuid::from_u128(u128::MAX - 5) };
        let text = cursor.encode();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
        assert_eq!(Cursor::parse(&text), Some(cursor));
    }

    #[test]
    fn what_is_none_is_refused() {
        let of = |micros: i64| {
            URL_SAFE_NO_PAD.encode([&micros.to_be_bytes()[..], Uuid::nil().as_bytes()].concat())
        };
        assert!(Cursor::parse(&of(0)).is_some());
        for bad in [
            String::new(),
            "x".into(),
            "A".repeat(31),
            "A".repeat(33),
            "A".repeat(32) + "=",
            "+".repeat(32),
            "\u{fc}".repeat(16),
            of(-1),
            of(i64::MAX),
            of(i64::MIN),
            of(253_402_300_800_000_000),
        ] {
            assert_eq!(Cursor::parse(&bad), None, "{bad}");
        }
    }
}
