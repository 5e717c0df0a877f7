//! Keys that are shown once and known again by their hash.

use ring::digest::{SHA256, digest};

/// SHA-256 of a key. Enough for a key that was made at random: there is nothing to guess from.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    hash
}
