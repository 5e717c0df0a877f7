//! Text as Slack takes it: what controls it is escaped, and none is longer than its place allows.

/// The text that Slack shows as this one, in at most so many characters. One that is longer ends in an ellipsis.
///
/// Only `&`, `<` and `>` control Slack
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>): without them nothing is a mention or a link.
/// A character counts as what it takes in UTF-16, for Slack does not say how it counts, and that is never less.
pub(super) fn shown(text: &str, most: usize) -> String {
    within(text, most, |c| match c {
        '&' => Piece::Entity("&amp;"),
        '<' => Piece::Entity("&lt;"),
        '>' => Piece::Entity("&gt;"),
        '\n' | '\t' => Piece::Itself(c),
        c if c.is_control() => Piece::Itself('\u{fffd}'),
        c => Piece::Itself(c),
    })
}

/// The same between two backticks. Slack has no escape for a backtick in there, so another character that looks like
/// one stands for it.
pub(super) fn shown_as_code(text: &str, most: usize) -> String {
    shown(&text.replace('`', "\u{2cb}"), most)
}

/// `before`, the text and `after`, of which only the text is cut.
pub(super) fn framed(before: &str, text: &str, after: &str, most: usize) -> String {
    let frame = length(before) + length(after);
    format!("{before}{}{after}", shown(text, most.saturating_sub(frame)))
}

pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What stands for one character, and is never cut in two.
enum Piece {
    Entity(&'static str),
    Itself(char),
}

fn within(text: &str, most: usize, piece_of: impl Fn(char) -> Piece) -> String {
    let mut shown = String::new();
    let mut long = 0;
    // Up to where an ellipsis would still fit behind it.
    let mut before_ellipsis = 0;
    for c in text.chars() {
        let before = shown.len();
        let more = match piece_of(c) {
            Piece::Entity(entity) => {
                shown.push_str(entity);
                entity.len()
            }
            Piece::Itself(c) => {
                shown.push(c);
                c.len_utf16()
            }
        };
        if long + more > most {
            shown.truncate(before.min(before_ellipsis));
            if most > 0 {
                shown.push('…');
            }
            return shown;
        }
        long += more;
        if long < most {
            before_ellipsis = shown.len();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_slack_is_escaped() {
        assert_eq!(shown("<!channel> & <@U1> > 1", 100), "&lt;!channel&gt; &amp; &lt;@U1&gt; &gt; 1");
        assert_eq!(shown("&lt;!channel&gt;", 100), "&amp;lt;!channel&amp;gt;");
        assert_eq!(shown("a\nb\tc\0\u{1b}[2J\r", 100), "a\nb\tc\u{fffd}\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn a_backtick_does_not_end_what_is_shown_as_code() {
        assert_eq!(shown_as_code("a` <!here> ```b", 100), "a\u{2cb} &lt;!here&gt; \u{2cb}\u{2cb}\u{2cb}b");
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_ends_in_an_ellipsis() {
        assert_eq!(shown("abcde", 5), "abcde");
        assert_eq!(shown("abcdef", 5), "abcd…");
        assert_eq!(shown("", 5), "");
        assert_eq!(shown("ab", 1), "…");
        assert_eq!(shown("ab", 0), "");
    }

    #[test]
    fn an_entity_is_never_cut_in_two() {
        assert_eq!(shown("a&b", 7), "a&amp;b");
        assert_eq!(shown("a&b", 6), "a…");
        assert_eq!(shown("a&bc", 7), "a&amp;…");
        assert_eq!(shown("a<<", 8), "a&lt;…");
        for most in 0..40 {
            let cut = shown(&"x<&>".repeat(20), most);
            assert!(length(&cut) <= most, "{most}: {cut}");
            let left = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            assert!(!left.contains('&'), "{most}: {cut}");
        }
    }

    #[test]
    fn a_character_of_two_units_counts_as_two_and_stays_whole() {
        let crabs = "\u{1f980}".repeat(10);
        assert_eq!(shown(&crabs, 20), crabs);
        assert_eq!(shown(&crabs, 19), format!("{}…", "\u{1f980}".repeat(9)));
        assert_eq!(shown(&crabs, 18), format!("{}…", "\u{1f980}".repeat(8)));
    }

    #[test]
    fn of_framed_text_the_frame_stays() {
        assert_eq!(framed("Late '", "backup", "' job", 150), "Late 'backup' job");
        assert_eq!(framed("Late '", "backup", "' job", 16), "Late 'back…' job");
        assert_eq!(framed("Late '", "", "' job", 150), "Late '' job");
        assert_eq!(length(&framed("Late '", &"&".repeat(4_096), "' job", 150)), 147);
    }
}
