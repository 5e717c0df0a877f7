//! The name of a monitor in a ping's path, made from its name.

use unicode_normalization::UnicodeNormalization as _;

/// So that a number can still be put behind it; a slug has at most 100 characters.
const LONGEST: usize = 80;

/// Lower case letters, digits, `_` and `-`: accents are dropped, everything else becomes one `-`. A name that
/// leaves nothing becomes `monitor`.
#[must_use]
pub fn of_name(name: &str) -> String {
    let mut slug = String::new();
    for c in name.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).flat_map(char::to_lowercase) {
        if slug.len() == LONGEST {
            break;
        }
        match c {
            'a'..='z' | '0'..='9' | '_' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "monitor".to_owned() } else { slug.to_owned() }
}

/// Whether a text is one.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The slugs that a name may get, the nicest first; the last one has the id in it and is free.
#[must_use]
pub fn candidates(name: &str, monitor_id: uuid::Uuid) -> Vec<String> {
    let slug = of_name(name);
    let numbered = (2..10).map(|n| format!("{slug}-{n}"));
    let by_id = format!("{slug}-{}", &monitor_id.simple().to_string().get(..12).unwrap_or_default());
    std::iter::once(slug.clone()).chain(numbered).chain([by_id]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_what_is_left_of_a_name() {
        for (name, slug) in [
            ("nightly backup", "nightly-backup"),
            ("  DB_dump: prod (eu)  ", "db_dump-prod-eu"),
            ("Übersicht für Zoë", "ubersicht-fur-zoe"),
            ("---", "monitor"),
            ("", "monitor"),
            ("резервная копия", "monitor"),
            ("\0\n", "monitor"),
        ] {
            assert_eq!(of_name(name), slug, "{name}");
        }
        assert_eq!(of_name(&"ab ".repeat(4_000)).len(), 80);
    }

    #[test]
    fn every_candidate_is_a_slug() {
        let all = candidates(&"x".repeat(4_000), uuid::Uuid::nil());
        assert_eq!(all.len(), 10);
        assert!(all.iter().all(|slug| is_slug(slug)), "{all:?}");
        assert!(!is_slug("") && !is_slug("A") && !is_slug("a b") && !is_slug(&"a".repeat(101)));
    }
}
