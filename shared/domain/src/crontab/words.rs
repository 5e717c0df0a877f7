//! The words of a command, to find out what it is about. What runs it is the shell; this need not read it all.

use super::plain::unescaped;

/// One command without operators.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Simple {
    /// Without quotes, redirections and what is substituted.
    pub(super) words: Vec<String>,
    pub(super) then: Then,
}

/// What stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    And,
    Or,
    Pipe,
    Other,
}

/// The commands of a line, as far as they can be told.
pub(super) fn simple_commands(command: &str) -> Vec<Simple> {
    let command = unescaped(command, "%");
    let mut reader =
        Reader { rest: &command, all: Vec::new(), words: Vec::new(), word: None, is_target: false };
    reader.read();
    reader.all
}

struct Reader<'a> {
    rest: &'a str,
    all: Vec<Simple>,
    words: Vec<String>,
    /// One that has begun.
    word: Option<String>,
    /// Whether the next one is where something is read from or written to.
    is_target: bool,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(c) = self.next() {
            match c {
                ' ' | '\t' => self.end_word(),
                '#' if self.word.is_none() => break,
                '\'' => {
                    let (inner, rest) = self.rest.split_once('\'').unwrap_or((self.rest, ""));
                    self.word.get_or_insert_default().push_str(inner);
                    self.rest = rest;
                }
                '"' => self.double_quoted(),
                '\\' => {
                    let next = self.next();
                    self.word.get_or_insert_default().extend(next);
                }
                '$' if self.rest.starts_with('(') => self.skip_parentheses(),
                '`' => self.rest = self.rest.split_once('`').map_or("", |(_, rest)| rest),
                '<' | '>' => self.redirection(),
                '&' if self.take('&') => self.end_command(Then::And),
                '|' if self.take('|') => self.end_command(Then::Or),
                '|' => self.end_command(Then::Pipe),
                ';' | '&' | '(' | ')' | '\n' => self.end_command(Then::Other),
                c => self.word.get_or_insert_default().push(c),
            }
        }
        self.end_command(Then::Other);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if !std::mem::take(&mut self.is_target) && !word.is_empty() {
            self.words.push(word);
        }
    }

    fn end_command(&mut self, then: Then) {
        self.end_word();
        self.is_target = false;
        if !self.words.is_empty() {
            self.all.push(Simple { words: std::mem::take(&mut self.words), then });
        }
    }

    fn double_quoted(&mut self) {
        self.word.get_or_insert_default();
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => {
                    let next = self.next();
                    self.word.get_or_insert_default().extend(next);
                }
                '$' if self.rest.starts_with('(') => self.skip_parentheses(),
                c => self.word.get_or_insert_default().push(c),
            }
        }
    }

    fn skip_parentheses(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.next() {
            depth = match c {
                '(' => depth + 1,
                ')' => depth.saturating_sub(1),
                _ => depth,
            };
            if depth == 0 {
                return;
            }
        }
    }

    /// The number before it and the word behind it are no arguments.
    fn redirection(&mut self) {
        let is_number = self
            .word
            .as_ref()
            .is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()));
        if is_number {
            self.word = None;
        }
        self.end_word();
        self.rest = self.rest.trim_start_matches(['<', '>', '&', '|', ' ', '\t']);
        self.is_target = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fall_into_words_and_operators() {
        let shown = |command: &str| {
            let all = simple_commands(command).into_iter();
            all.map(|one| format!("{} {:?}", one.words.join("|"), one.then)).collect::<Vec<_>>()
        };
        for (command, all) in [
            (
                "a b && c 'd e' || f | g; h & i",
                vec!["a|b And", "c|d e Or", "f Pipe", "g Other", "h Other", "i Other"],
            ),
            ("a 2>&1 >> log b", vec!["a|b Other"]),
            ("a\"b $(c d) e\"f `g` h\\ i # j", vec!["ab  ef|h i Other"]),
            ("a $(b $(c) d) e", vec!["a|e Other"]),
            ("(a; b)", vec!["a Other", "b Other"]),
            ("a '' 'b", vec!["a|b Other"]),
            ("a \\", vec!["a Other"]),
            ("", vec![]),
        ] {
            assert_eq!(shown(command), all, "{command}");
        }
    }
}
