//! Words by which monitors are found together.

const MOST_TAGS: usize = 20;

/// The longest tag, in characters.
const LONGEST_TAG: usize = 100;

/// Reads tags that stand in one text, with spaces or commas between. Each counts once.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    check(words.map(ToOwned::to_owned).collect())
}

/// Checks tags that were given one by one. Each counts once.
///
/// # Errors
/// What is wrong, in words.
pub fn check(given: Vec<String>) -> Result<Vec<String>, String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in given {
        let is_word = |c: char| !(c == ',' || c.is_whitespace() || c.is_control());
        if tag.is_empty() || tag.chars().count() > LONGEST_TAG || !tag.chars().all(is_word) {
            return Err(format!("a tag has 1 to {LONGEST_TAG} characters, no spaces and no commas"));
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > MOST_TAGS {
            return Err(format!("there are more than {MOST_TAGS}"));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words_and_each_counts_once() {
        assert_eq!(parse(" prod,db  prod\teu ").unwrap(), ["prod", "db", "eu"]);
        assert_eq!(parse("").unwrap(), Vec::<String>::new());
        for bad in ["", "a b", "a,b", "a\0", &"x".repeat(101)] {
            assert!(check(vec![bad.to_owned()]).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        assert_eq!(parse(&many.join(" ")).unwrap_err(), "there are more than 20");
    }
}
