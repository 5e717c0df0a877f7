//! Where a page of a history ended, as callers carry it to the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, Utc};
use uuid::Uuid;

/// The last ping that was shown. A position and nothing else: who it is given by says in which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) received_at: DateTime<Utc>,
    pub(super) signal_id: Uuid,
}

impl Cursor {
    pub(super) fn encode(self) -> String {
        let at = self.received_at.timestamp_micros().to_be_bytes();
        URL_SAFE_NO_PAD.encode([&at[..], self.signal_id.as_bytes()].concat())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (at, id) = bytes.split_first_chunk()?;
        let received_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*at))?;
        // Others are in no history, and not all of them in what Postgres takes for a time.
        let known = (1970..10_000).contains(&received_at.year());
        Some(Self { received_at, signal_id: Uuid::from_slice(id).ok()? }).filter(|_| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let cursor = Cursor {
            received_at: "2026-11-22T12:00:00.123456Z".parse().unwrap(),
            signal_id: Uuid::from_u128(u128::MAX - 5),
        };
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
