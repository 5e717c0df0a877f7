//! What a job is called.

use super::fields;
use super::plain::unescaped;

/// The longest name that is made, in characters.
const LONGEST: usize = 100;
const LONGEST_OF_COMMAND: usize = 60;

/// The name that a comment gives to the line below it, unless it is something else: a line that was switched off, an
/// ornament, the heading of the columns.
pub(super) fn of_comment(comment: &str) -> Option<String> {
    let text = comment.trim_matches(|c: char| c == '#' || c.is_whitespace() || c.is_control());
    let is_heading = ["dom", "dow"].iter().all(|column| text.split_whitespace().any(|word| word == *column));
    let says_something = text.chars().any(char::is_alphanumeric);
    if !says_something || is_heading || is_switched_off(text) {
        return None;
    }
    Some(shortened(text, LONGEST))
}

/// A job or a setting that became a comment.
fn is_switched_off(text: &str) -> bool {
    let is_setting = fields::setting(text).is_some_and(|(name, _)| {
        name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    });
    is_setting || fields::split(text).is_ok_and(|split| fields::check(&split.times).is_ok())
}

/// The file name of the program, and its first argument that is no option.
pub(super) fn of_command(command: &str) -> String {
    let command = unescaped(command, "%");
    let words = words(&command);
    let is_setting = |word: &&String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let mut words = words.iter().skip_while(is_setting);
    let Some(program) = words.next() else { return shortened(&command, LONGEST_OF_COMMAND) };
    let mut arguments = words.clone().filter(|word| !word.starts_with('-'));
    let argument = arguments.next().or(words.next());
    let file = program.rsplit('/').next().unwrap_or(program);
    let name = match argument {
        Some(argument) => format!("{file} {argument}"),
        None => file.to_owned(),
    };
    if name.trim().is_empty() {
        shortened(&command, LONGEST_OF_COMMAND)
    } else {
        shortened(&name, LONGEST_OF_COMMAND)
    }
}

/// The words of the first command that is more than a change of folder, without quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some('\''), _) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (_, '\\') => word.extend(chars.next()),
            (Some(_), _) => word.push(c),
            (None, ' ' | '\t') => end_word(&mut words, &mut word),
            // What is written to is no argument; nor is the number before it.
            (None, '<' | '>') => break,
            (None, ';' | '&' | '|' | '(' | ')' | '{' | '}') => {
                end_word(&mut words, &mut word);
                let is_beside = words.is_empty() || words.first().is_some_and(|first| first == "cd");
                if !is_beside || chars.peek().is_none() {
                    break;
                }
                words.clear();
            }
            (None, _) => word.push(c),
        }
    }
    end_word(&mut words, &mut word);
    words
}

fn end_word(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// In one line, with one space between words.
fn shortened(text: &str, longest: usize) -> String {
    let is_space = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    let short: String = words.join(" ").chars().take(longest).collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_a_name_unless_it_is_something_else() {
        for (comment, name) in [
            ("# nightly backup", Some("nightly backup")),
            ("###  Nightly\tbackup  ###", Some("Nightly backup")),
            ("#", None),
            ("# ------------", None),
            ("# m h  dom mon dow   command", None),
            ("#0 3 * * * /old/job", None),
            ("# @daily /old/job", None),
            ("# *  *  *  *  * user-name  command to be executed", None),
            ("#MAILTO=root", None),
            ("# every 5 minutes, or 6", Some("every 5 minutes, or 6")),
            ("# резервная копия", Some("резервная копия")),
        ] {
            assert_eq!(of_comment(comment).as_deref(), name, "{comment}");
        }
        assert_eq!(of_comment(&"x ".repeat(500)).unwrap().chars().count(), 99);
    }

    #[test]
    fn a_command_is_called_by_its_program_and_first_argument() {
        for (command, name) in [
            ("/usr/local/bin/backup.sh", "backup.sh"),
            ("/usr/bin/php /var/www/artisan schedule:run >> /dev/null 2>&1", "php /var/www/artisan"),
            ("run-parts --report /etc/cron.daily", "run-parts /etc/cron.daily"),
            ("cd / && run-parts --report /etc/cron.hourly", "run-parts /etc/cron.hourly"),
            ("cd /srv", "cd /srv"),
            ("A=1 B='2 3' \"/opt/my job/run\" -v", "run -v"),
            ("( sleep 5; echo )", "sleep 5"),
            ("date +\\%F > f", "date +%F"),
            ("echo hi>f", "echo hi"),
            ("A=1", "A=1"),
            ("'", "'"),
            (";", ";"),
        ] {
            assert_eq!(of_command(command), name, "{command}");
        }
        assert!(of_command(&format!("echo {}", "x".repeat(500))).len() <= 60);
    }
}
