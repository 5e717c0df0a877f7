//! A part of a long list, small enough for an answer.

use serde::Serialize;

/// Bytes of a page, as Lambda sends it: it answers with 6 MB at most, and writes each quote and backslash of them twice.
const LONGEST_PAGE: usize = 4_500_000;

/// How many to look for, so that it is known whether there is more than `limit`.
pub(crate) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The first `limit` of what was found, or fewer when these are large, but one at least. Beside each stands its position;
/// that of the last one shown is answered when there is more.
pub(crate) fn fill<P, T: Serialize>(
    found: impl IntoIterator<Item = (P, T)>,
    limit: usize,
) -> (Vec<T>, Option<P>) {
    let mut page = Vec::new();
    let mut last = None;
    let mut bytes = 0;
    for (position, each) in found {
        bytes += bytes_in_lambda(&each);
        if page.len() == limit || bytes > LONGEST_PAGE && !page.is_empty() {
            return (page, last);
        }
        page.push(each);
        last = Some(position);
    }
    (page, None)
}

fn bytes_in_lambda(each: &impl Serialize) -> usize {
    let Ok(json) = serde_json::to_vec(each) else { return LONGEST_PAGE };
    json.len() + json.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(texts: &[String], limit: usize) -> (usize, Option<usize>) {
        let (page, more) = fill(texts.iter().enumerate(), limit);
        (page.len(), more)
    }

    #[test]
    fn a_page_ends_at_its_limit_or_with_the_list() {
        let texts = vec!["x".to_owned(); 3];
        assert_eq!(filled(&texts, 4), (3, None));
        assert_eq!(filled(&texts, 3), (3, None));
        assert_eq!(filled(&texts, 2), (2, Some(1)));
        assert_eq!(filled(&[], 1), (0, None));
    }

    #[test]
    fn a_page_of_large_ones_ends_before_lambda_could_not_send_it() {
        for (text, fitting) in [("x", 4), ("\"", 1), ("\u{1}", 1)] {
            let texts = vec![text.repeat(1_000_000); 6];
            assert_eq!(filled(&texts, 6), (fitting, Some(fitting - 1)), "{text:?}");
        }
        // One that is too large by itself is shown all the same.
        let texts = vec!["x".repeat(5_000_000), "x".to_owned()];
        assert_eq!(filled(&texts, 6), (1, Some(0)));
    }
}
