//! What is kept of a ping's body.

use bytes::Bytes;

use crate::request::{MARK, both_ends, searched};

/// As clients know it from the `Ping-Body-Limit` header, in bytes.
const KEPT: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeptBody {
    /// The whole body up to the limit, else its head and its tail with a mark between: an error message stands
    /// at the end of the output. `None` when there is no body.
    pub(super) kept: Option<Vec<u8>>,
    /// Where the monitor's keywords are looked for, when that is more: all of it, or much of both ends.
    pub(super) searched: Option<Vec<u8>>,
}

pub(super) fn keep(body: Bytes) -> KeptBody {
    if body.is_empty() {
        return KeptBody { kept: None, searched: None };
    }
    if body.len() <= KEPT {
        return KeptBody { kept: Some(body.into()), searched: None };
    }
    let kept = both_ends(&body, (KEPT - MARK.len()) / 2);
    let searched = searched(&body).unwrap_or_else(|| body.into());
    KeptBody { kept: Some(kept), searched: Some(searched) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_body_is_kept_whole_and_a_long_one_keeps_both_ends() {
        assert_eq!(keep(Bytes::new()), KeptBody { kept: None, searched: None });
        let short = vec![b'x'; KEPT];
        assert_eq!(keep(short.clone().into()), KeptBody { kept: Some(short), searched: None });
        let mut long = vec![b'x'; 1_000_000];
        long.extend_from_slice(b"Error: disk full");
        let body = keep(long.clone().into());
        let kept = body.kept.unwrap();
        assert!(kept.len() <= KEPT);
        assert!(kept.ends_with(b"Error: disk full"));
        assert!(kept.starts_with(b"xxxx"));
        assert!(kept.windows(MARK.len()).any(|w| w == MARK));
        let searched = body.searched.unwrap();
        assert_eq!(searched.len(), 120_007);
        assert!(searched.ends_with(b"Error: disk full"));
        long.truncate(120_000);
        assert_eq!(keep(long.clone().into()).searched, Some(long));
    }
}
