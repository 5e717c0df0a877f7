//! Whether parentheses can be put around a command as it is.

/// How deep substitutions may lie in each other; deeper ones are quoted like everything that is hard to read.
const DEEPEST: usize = 16;

/// Words that begin or end something, or leave it. At the beginning of a command they mean more than a program.
const RESERVED: [&str; 22] = [
    "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "{", "}", "!",
    "[[", "function", "select", "coproc", "return", "break", "continue",
];

/// Whether a shell reads the command as simple commands with operators between, ends it where it ends, and would do
/// the same with ` )` behind it. Whatever is not certain is no: it is quoted then.
pub(super) fn is_plain(command: &str) -> bool {
    // In parentheses $$ is still the shell around them, which would be killed in the command's place.
    !command.contains("$$")
        // To some shells other blanks are blanks too.
        && !command.contains(|c: char| c.is_whitespace() && c != ' ' && c != '\t')
        // Some crons take one of two backslashes away, and all of them the one before a percent sign.
        && reads_to_its_end(command)
        && reads_to_its_end(&unescaped(command, "%"))
        && reads_to_its_end(&unescaped(command, "%\\"))
}

fn reads_to_its_end(text: &str) -> bool {
    Reader { rest: text }.list(0, false).is_some_and(str::is_empty)
}

/// Without the backslashes before these characters.
pub(super) fn unescaped(text: &str, what: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some(next) if what.contains(next) => result.push(next),
            Some(next) => result.extend([c, next]),
            None => result.push(c),
        }
    }
    result
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Commands with operators between, to the end or to the parenthesis that closes them, which stays.
    fn list(mut self, depth: usize, is_within: bool) -> Option<&'a str> {
        if depth > DEEPEST {
            return None;
        }
        loop {
            self.command(depth)?;
            self.blanks();
            let may_end = if self.take("&&") || self.take("||") || self.take("|") {
                false
            } else if self.take(";") || self.take("&") {
                true
            } else {
                // Only an end can follow.
                return self.at_end(is_within).then_some(self.rest);
            };
            self.blanks();
            if self.at_end(is_within) {
                return may_end.then_some(self.rest);
            }
        }
    }

    fn at_end(&self, is_within: bool) -> bool {
        self.peek().map_or(!is_within, |c| is_within && c == ')')
    }

    /// A simple command, or a list in parentheses; with redirections.
    fn command(&mut self, depth: usize) -> Option<()> {
        self.blanks();
        let is_list = self.peek() == Some('(');
        if is_list {
            self.next();
            // Two of them may begin arithmetic.
            if self.peek() == Some('(') {
                return None;
            }
            self.rest = Reader { rest: self.rest }.list(depth + 1, true)?;
            self.next();
        }
        let mut parts = usize::from(is_list);
        loop {
            self.blanks();
            self.number_of_redirection();
            match self.peek() {
                None | Some(';' | '&' | '|' | ')') => return (parts > 0).then_some(()),
                Some('<' | '>') => {
                    self.redirection()?;
                    self.word(depth)?;
                }
                Some(_) if is_list => return None,
                Some(_) => {
                    // Elsewhere they are words like others.
                    let word = self.word(depth)?;
                    if parts == 0 && RESERVED.contains(&word) {
                        return None;
                    }
                }
            }
            parts += 1;
        }
    }

    /// `2` of `2>&1`.
    fn number_of_redirection(&mut self) {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.starts_with(['<', '>']) {
            self.rest = rest;
        }
    }

    fn redirection(&mut self) -> Option<()> {
        if self.rest.starts_with("<<") {
            return None;
        }
        let _ = [">>", ">&", ">|", "<&", "<>", ">", "<"].iter().any(|operator| self.take(operator));
        self.blanks();
        Some(())
    }

    /// At least one character that is no operator and begins no comment.
    fn word(&mut self, depth: usize) -> Option<&'a str> {
        let begin = self.rest;
        if self.peek() == Some('#') {
            return None;
        }
        loop {
            match self.peek() {
                None | Some(' ' | '\t' | ';' | '&' | '|' | '<' | '>' | ')') => break,
                Some('(' | '\n' | '\r') => return None,
                Some('\'') => {
                    self.next();
                    let (_, rest) = self.rest.split_once('\'')?;
                    self.rest = rest;
                }
                Some('"') => {
                    self.next();
                    self.double_quoted(depth)?;
                }
                Some('\\') => {
                    self.next();
                    self.next()?;
                }
                Some('$') => self.dollar(depth, false)?,
                Some('`') => self.backticks(depth)?,
                Some(_) => {
                    self.next();
                }
            }
        }
        let length = begin.len() - self.rest.len();
        if length == 0 { None } else { begin.get(..length) }
    }

    fn double_quoted(&mut self, depth: usize) -> Option<()> {
        loop {
            match self.peek()? {
                '"' => {
                    self.next();
                    return Some(());
                }
                '\\' => {
                    self.next();
                    self.next()?;
                }
                '$' => self.dollar(depth, true)?,
                '`' => self.backticks(depth)?,
                _ => {
                    self.next();
                }
            }
        }
    }

    fn dollar(&mut self, depth: usize, is_quoted: bool) -> Option<()> {
        self.next();
        match self.peek() {
            // Only some shells have more to say there.
            Some('\'' | '"') if !is_quoted => None,
            Some('(') if self.rest.starts_with("((") => {
                let (inner, rest) = self.rest.get(2..)?.split_once("))")?;
                let is_simple = |c: char| c.is_ascii_alphanumeric() || "_ +-*/%<>=!&|^~?:,$".contains(c);
                self.rest = rest;
                inner.chars().all(is_simple).then_some(())
            }
            Some('(') => {
                self.next();
                self.rest = Reader { rest: self.rest }.list(depth + 1, true)?;
                self.next().map(|_| ())
            }
            Some('{') => {
                let (inner, rest) = self.rest.split_once('}')?;
                self.rest = rest;
                (!inner.contains(['\'', '"', '`', '\\', '(', '$'])).then_some(())
            }
            // $# and $$ have two characters, and the second one is no beginning of anything.
            Some('#' | '$') => self.next().map(|_| ()),
            _ => Some(()),
        }
    }

    fn backticks(&mut self, depth: usize) -> Option<()> {
        self.next();
        let (inner, rest) = self.rest.split_once('`')?;
        self.rest = rest;
        if inner.contains(['\\', '\'', '"', '#']) {
            return None;
        }
        Reader { rest: inner }.list(depth + 1, false)?.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_commands_with_operators_between_are_plain() {
        for command in [
            "true",
            "/usr/bin/php /var/www/artisan schedule:run >> /dev/null 2>&1",
            "cd / && run-parts --report /etc/cron.hourly",
            "A=1 B=\"two words\" sh -c 'echo \"$A\"; exit 7' zero one",
            "pg_dump shop | gzip > /b/$(date +\\%F).gz",
            "(sleep 1; echo later > f) > /dev/null 2>&1 &",
            "echo done fi esac",
            "echo $# a#b \\# ${#HOME} ${HOME#/} '# no' \"# no\"",
            "echo \"$(echo \")\")\" `echo b`",
            "false || echo rescued;",
            "2>&1 sh -c 'echo out'",
            "echo $((1 << 2)) $!",
            "echo a\tb\t",
            "find . -exec rm {} \\; ; echo",
            "exit",
        ] {
            assert!(is_plain(command), "{command}");
        }
    }

    #[test]
    fn what_ends_elsewhere_or_is_hard_to_read_is_not() {
        for command in [
            "",
            " ",
            ";",
            "&",
            "; a",
            "a ;; b",
            "a & ; b",
            "a &&",
            "a |",
            "| a",
            "a ||",
            "# c",
            "a # c",
            "a;#b",
            "a\\",
            "a \\\\\\",
            "'a",
            "\"a",
            "`a",
            "$(a",
            "${a",
            "(",
            ")",
            "a )",
            "( a",
            "()",
            "(a) b",
            "f() { a; }",
            "{ a; }",
            "} ; a ; {",
            "if true; then a",
            "for i in 1; do a; done",
            "case x in x) a;; esac",
            "cat <<E",
            "cat <<<a",
            "a > ",
            "a >& ",
            "diff <(a) <(b)",
            "((1))",
            "$((1",
            "! a",
            "a $'b\\'c'",
            "echo \"`echo \\`a\\``\"",
            "return 3",
            "a $(b # c)",
            "$( )",
            "kill $$",
            "a\rb",
            "a\u{3000}#b",
            // Where cron takes a backslash away, the quote is one.
            "echo \\\\'a b'",
            "echo \\\\'a",
        ] {
            assert!(!is_plain(command), "{command}");
        }
        assert!(!is_plain(&format!("{}a{}", "(a;".repeat(50), ")".repeat(50))));
    }

    #[test]
    fn backslashes_are_taken_away_as_cron_does() {
        assert_eq!(unescaped(r"a\\%b\%c\d\", "%"), r"a\\%b%c\d\");
        assert_eq!(unescaped(r"a\\b\%c\d\", "%\\"), r"a\b%c\d\");
    }
}
