//! What is put around a command, and how it is found again.
//!
//! The command runs in a shell of its own, so that `cd`, `exit`, `exec` and traps stay its own; its exit status, output
//! and input are what they were. What a shell could read otherwise with something behind it goes into quotes.

use std::fmt::Write as _;

use uuid::Uuid;

use super::plain::is_plain;

const CURL: &str = "curl -fsS -m 10 --retry 5 -o /dev/null";

/// The command waits for this one, so it gives up sooner: after some 20 s, also where an answer asks for more patience.
const CURL_BEFORE: &str = "curl -fsS -m 5 --retry 3 --retry-max-time 15 -o /dev/null";

/// A hidden one, which no `*` of the command finds (mktemp makes a name of its own of the X); under a name that no crontab
/// has a variable of.
const MAKE_FILE: &str = "cronmon_o=$(mktemp -t .XXXXXXXXXX); exec 4>&1; ";
const BEFORE_WITH_OUTPUT: &str = "s=$({ { ( ";
/// Of an output its end is sent: the server would refuse more than 2.5 MB, and with it the ping.
const AFTER_WITH_OUTPUT: &str =
    " ) 2>&1 3>&- 4>&-; echo $? >&3; } | tee \"$cronmon_o\" >&4; } 3>&1); tail -c 1000000 \"$cronmon_o\" | ";
/// Without a status nothing is known to have succeeded.
const END_WITH_OUTPUT: &str = "/${s:-1}; rm -f \"$cronmon_o\"; exit ${s:-1}";
const BEFORE: &str = "( ";
const AFTER: &str = " ); s=$?; ";
const END: &str = "/$s; exit $s";

/// Which pings a line gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Whether the beginning is pinged too, and not the end alone.
    pub announces: bool,
    /// Whether the output goes along.
    pub sends_output: bool,
}

/// A command as it stands in a line, with pings around it; `base_url` is where they go, `shell` reads the line.
pub(super) fn wrapped(command: &str, form: Form, shell: &str, base_url: &str, ping_id: Uuid) -> String {
    around(&in_parentheses(command, shell), form, &ping_url(base_url, ping_id))
}

fn around(command: &str, form: Form, url: &str) -> String {
    let mut line = String::new();
    if form.announces {
        // Its failure is not the command's to see, in $?.
        push(&mut line, format_args!("{CURL_BEFORE} {url}/start || :; "));
    }
    if form.sends_output {
        push(&mut line, format_args!("{MAKE_FILE}{BEFORE_WITH_OUTPUT}{command}{AFTER_WITH_OUTPUT}"));
        push(&mut line, format_args!("{CURL} --data-binary @- {url}{END_WITH_OUTPUT}"));
    } else {
        push(&mut line, format_args!("{BEFORE}{command}{AFTER}{CURL} {url}{END}"));
    }
    line
}

pub(super) fn ping_url(base_url: &str, ping_id: Uuid) -> String {
    format!("{base_url}/ping/{ping_id}")
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = line.write_fmt(text);
}

/// The command and the ping id of a line that [`wrapped`] made, wherever its pings go: CronMon may have moved since.
pub(super) fn unwrapped(line: &str, shell: &str) -> Option<(String, Uuid)> {
    let line = line.trim_end_matches([' ', '\t']);
    let (rest, sends_output) = match line.strip_suffix(END_WITH_OUTPUT) {
        Some(rest) => (rest, true),
        None => (line.strip_suffix(END)?, false),
    };
    let (rest, id) = rest.split_at_checked(rest.len().checked_sub(36)?)?;
    let ping_id = Uuid::try_parse(id).ok()?;
    let rest = rest.strip_suffix("/ping/")?;
    let (_, base_url) = rest.rsplit_once(' ').filter(|(_, url)| url.starts_with("http"))?;
    let rest = rest.strip_suffix(base_url)?;
    let rest = match sends_output {
        true => {
            rest.strip_suffix(" --data-binary @- ")?.strip_suffix(CURL)?.strip_suffix(AFTER_WITH_OUTPUT)?
        }
        false => rest.strip_suffix(' ')?.strip_suffix(CURL)?.strip_suffix(AFTER)?,
    };
    let start = format!("{CURL_BEFORE} {base_url}/ping/{ping_id}/start || :; ");
    let without_start = rest.strip_prefix(&start);
    let rest = without_start.unwrap_or(rest);
    let command = match sends_output {
        true => rest.strip_prefix(MAKE_FILE)?.strip_prefix(BEFORE_WITH_OUTPUT)?,
        false => rest.strip_prefix(BEFORE)?,
    };
    let form = Form { announces: without_start.is_some(), sends_output };
    if around(command, form, &ping_url(base_url, ping_id)) != line {
        return None;
    }
    let original = out_of_parentheses(command, shell);
    // Somebody may have put more into it that only looks as if it were within: ( a ) && ( b ). One without quotes may be
    // from before the crontab named another shell.
    (is_plain(command) || in_parentheses(&original, shell) == command).then_some((original, ping_id))
}

fn in_parentheses(command: &str, shell: &str) -> String {
    // What looks as if it had been quoted is quoted, so that there is one way back.
    // To zsh more characters have a meaning, { and } among them.
    let is_zsh = shell.ends_with("zsh");
    if is_plain(command) && !is_zsh && !command.starts_with(&opening(shell)) {
        return command.to_owned();
    }
    format!("{}{}'", opening(shell), command.replace('\'', r"'\''"))
}

fn out_of_parentheses(command: &str, shell: &str) -> String {
    let quoted = command.strip_prefix(&opening(shell)).and_then(|rest| rest.strip_suffix('\''));
    let original = quoted.map(|quoted| quoted.replace(r"'\''", "'"));
    match original {
        Some(original) if in_parentheses(&original, shell) == command => original,
        _ => command.to_owned(),
    }
}

/// As cron calls it.
fn opening(shell: &str) -> String {
    format!("{shell} -c '")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "https://cronmon.example";
    const FORMS: [Form; 4] = [
        Form { announces: true, sends_output: false },
        Form { announces: false, sends_output: false },
        Form { announces: true, sends_output: true },
        Form { announces: false, sends_output: true },
    ];

    #[test]
    fn a_plain_command_stands_in_parentheses_and_another_in_quotes() {
        let id = Uuid::nil();
        let long = wrapped("backup --all", FORMS[0], "/bin/sh", BASE, id);
        assert_eq!(
            long,
            "curl -fsS -m 5 --retry 3 --retry-max-time 15 -o /dev/null https://cronmon.example/ping/00000000-0000-0000-0000-000000000000/start || :; \
             ( backup --all ); s=$?; \
             curl -fsS -m 10 --retry 5 -o /dev/null https://cronmon.example/ping/00000000-0000-0000-0000-000000000000/$s; exit $s"
        );
        let short = wrapped("echo it's # odd", FORMS[1], "/bin/sh", BASE, id);
        assert!(short.starts_with(r"( /bin/sh -c 'echo it'\''s # odd' ); s=$?; curl "), "{short}");
    }

    #[test]
    fn for_zsh_every_command_stands_in_quotes() {
        let line = wrapped("echo {a,b}", FORMS[1], "/bin/zsh", BASE, Uuid::nil());
        assert!(line.starts_with("( /bin/zsh -c 'echo {a,b}' ); s=$?; curl "), "{line}");
        assert_eq!(unwrapped(&line, "/bin/zsh"), Some(("echo {a,b}".to_owned(), Uuid::nil())));
    }

    #[test]
    fn what_was_wrapped_comes_back() {
        let id = Uuid::from_u128(7);
        for command in [
            "true",
            "a # b",
            "a\\",
            "'",
            "/bin/sh -c 'echo a'",
            "/bin/sh -c 'echo a # b'",
            "/bin/sh -c '",
            " ",
            "a )",
            "exit 3; ",
        ] {
            for form in FORMS {
                let line = wrapped(command, form, "/bin/sh", BASE, id);
                assert_eq!(unwrapped(&line, "/bin/sh"), Some((command.to_owned(), id)), "{line}");
                assert_eq!(unwrapped(&format!("{line} "), "/bin/sh"), Some((command.to_owned(), id)));
                let moved = line.replace(BASE, "http://127.0.0.1:8000/cronmon");
                assert_eq!(unwrapped(&moved, "/bin/sh"), Some((command.to_owned(), id)));
                assert_eq!(unwrapped(&line.replace("https://", "ftp://"), "/bin/sh"), None);
                // Wrapped again it is a command like any other.
                let twice = wrapped(&line, form, "/bin/sh", BASE, Uuid::from_u128(8));
                assert_eq!(unwrapped(&twice, "/bin/sh"), Some((line, Uuid::from_u128(8))));
            }
        }
        for line in ["", "true", "( true ); s=$?; curl", "é".repeat(40).as_str(), END] {
            assert_eq!(unwrapped(line, "/bin/sh"), None, "{line}");
        }
    }

    #[test]
    fn a_line_is_ours_though_its_shell_became_another() {
        let line = wrapped("a --b", FORMS[0], "/bin/sh", BASE, Uuid::from_u128(7));
        assert_eq!(unwrapped(&line, "/bin/zsh"), Some(("a --b".to_owned(), Uuid::from_u128(7))));
    }

    #[test]
    fn a_line_into_which_somebody_put_more_is_not_ours_any_more() {
        let line = wrapped("a", FORMS[0], "/bin/sh", BASE, Uuid::from_u128(7));
        assert!(unwrapped(&line, "/bin/sh").is_some());
        for (from, to) in [
            ("( a )", "( a ) && ( b )"),
            ("( a )", "( a ); ( b )"),
            ("( a )", "( a ) > log"),
            ("( a )", "( a # )"),
            ("( a )", "( a"),
            ("-m 10", "-m 30"),
            ("exit $s", "exit $s > log"),
        ] {
            let edited = line.replace(from, to);
            assert_ne!(edited, line);
            assert_eq!(unwrapped(&edited, "/bin/sh"), None, "{edited}");
        }
    }

    proptest! {
        #[test]
        fn any_command_comes_back(command in "[a-c'\"\\\\ #()$;&|%/-]{1,40}", form in 0_usize..4) {
            let line = wrapped(&command, FORMS[form], "/bin/sh", BASE, Uuid::from_u128(9));
            prop_assert_eq!(unwrapped(&line, "/bin/sh"), Some((command, Uuid::from_u128(9))));
        }
    }
}
