//! Where a page of the list of monitors ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::cursor::{read, written};

/// The last monitor that was shown, and where it stood. Monitors move when they run: all pages of one walk have the
/// order that they had at `as_of`, when the first one was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MonitorCursor {
    pub(super) as_of: DateTime<Utc>,
    /// The start of its newest run; `None` of one that never ran.
    pub(super) ran_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) monitor_id: Uuid,
}

/// In place of an instant, which is never one before 1970.
const NEVER: [u8; 8] = i64::MIN.to_be_bytes();

impl MonitorCursor {
    pub(super) fn encode(self) -> String {
        let instants = [written(self.as_of), self.ran_at.map_or(NEVER, written), written(self.created_at)];
        URL_SAFE_NO_PAD.encode([&instants.concat()[..], self.monitor_id.as_bytes()].concat())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (as_of, rest) = bytes.split_first_chunk()?;
        let (ran_at, rest) = rest.split_first_chunk()?;
        let (created_at, id) = rest.split_first_chunk()?;
        Some(Self {
            as_of: read(*as_of)?,
            ran_at: if *ran_at == NEVER { None } else { Some(read(*ran_at)?) },
            created_at: read(*created_at)?,
            monitor_id: Uuid::from_slice(id).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(ran_at: Option<&str>) -> MonitorCursor {
        MonitorCursor {
            as_of: "2026-11-22T12:00:01Z".parse().unwrap(),
            ran_at: ran_at.map(|at| at.parse().unwrap()),
            created_at: "2026-11-22T12:00:00.123456Z".parse().unwrap(),
            monitor_id: Uuid::from_u128(u128::MAX - 5),
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for cursor in [cursor(None), cursor(Some("2026-11-22T12:00:00.654321Z"))] {
            let text = cursor.encode();
            assert_eq!(text.len(), 54);
            assert_eq!(MonitorCursor::parse(&text), Some(cursor));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let text = cursor(None).encode();
        for bad in ["", "x", &text[..53], &format!("{text}A"), &"A".repeat(53), &"_".repeat(54)] {
            assert_eq!(MonitorCursor::parse(bad), None, "{bad}");
        }
    }
}
