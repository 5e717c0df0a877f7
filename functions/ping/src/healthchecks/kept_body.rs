//! What is kept of a ping's body.

/// As clients know it from the `Ping-Body-Limit` header, in bytes.
const KEPT: usize = 10_000;

const MARK: &[u8] = b"\n[...]\n";

/// The whole body up to the limit, else its head and its tail with a mark between: an error message
/// stands at the end of the output.
pub(super) fn head_and_tail(body: &[u8]) -> Vec<u8> {
    if body.len() <= KEPT {
        return body.to_vec();
    }
    let half = (KEPT - MARK.len()) / 2;
    let (head, _) = body.split_at(half);
    let (_, tail) = body.split_at(body.len() - half);
    [head, MARK, tail].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_body_is_kept_whole_and_a_long_one_keeps_both_ends() {
        assert_eq!(head_and_tail(&[b'x'; KEPT]), [b'x'; KEPT]);
        let mut long = vec![b'x'; 1_000_000];
        long.extend_from_slice(b"Error: disk full");
        let kept = head_and_tail(&long);
        assert!(kept.len() <= KEPT);
        assert!(kept.ends_with(b"Error: disk full"));
        assert!(kept.starts_with(b"xxxx"));
        assert!(kept.windows(MARK.len()).any(|w| w == MARK));
    }
}
