//! What a job is called.

use super::SHELLS;
use super::fields;
use super::words::{Simple, Then, simple_commands};

/// The longest name that is made, in characters.
const LONGEST: usize = 100;
const LONGEST_OF_COMMAND: usize = 60;

/// What only prepares the command that a line is about, or asks whether it shall run.
const PREPARING: [&str; 23] = [
    "[", "[[", "test", "command", "which", "type", "sleep", "source", ".", "set", "trap", "export", "umask",
    "ulimit", "cd", ":", "true", "exec", "for", "case", "date", "echo", "printf",
];

/// What they are given is a text, which may be a secret for the next command.
const SAYING: [&str; 2] = ["echo", "printf"];

/// Words before a command that begin something bigger.
const RESERVED: [&str; 9] = ["if", "then", "else", "elif", "while", "until", "do", "{", "!"];

/// Programs that run another one: which of their options (of one letter) take a value, and how many words stand before
/// the other one's name.
const RUNNERS: [(&str, &str, usize); 19] = [
    ("nice", "n", 0),
    ("ionice", "cn", 0),
    ("chrt", "", 1),
    ("flock", "wE", 1),
    ("timeout", "ks", 1),
    ("sudo", "ugCp", 0),
    ("doas", "uC", 0),
    ("env", "uC", 0),
    ("nohup", "", 0),
    ("setsid", "", 0),
    ("chronic", "", 0),
    ("cronic", "", 0),
    ("sshpass", "pfd", 0),
    ("stdbuf", "ioe", 0),
    ("exec", "a", 0),
    ("eval", "", 0),
    ("time", "fo", 0),
    ("runuser", "ug", 0),
    ("bundle", "", 1),
];

/// Long options of these with a value in the next word.
const LONG_WITH_VALUE: [&str; 9] = [
    "--user",
    "--group",
    "--signal",
    "--kill-after",
    "--wait",
    "--timeout",
    "--adjustment",
    "--class",
    "--classdata",
];

/// Programs whose first argument says more than their name; they may have a version behind it.
const INTERPRETERS: [&str; 6] = ["python", "php", "perl", "ruby", "node", "java"];

/// Programs of which two words say what they do.
const WITH_SUBCOMMANDS: [&str; 12] = [
    "aws",
    "az",
    "composer",
    "docker",
    "gcloud",
    "git",
    "helm",
    "kubectl",
    "npm",
    "podman",
    "systemctl",
    "yarn",
];

/// Words of the heading of the columns.
const COLUMNS: [&str; 15] = [
    "m", "h", "dom", "mon", "dow", "min", "minute", "hour", "mday", "wday", "month", "day", "command",
    "user", "weekday",
];

/// How comments begin that other programs write.
const OF_PROGRAMS: [&str; 6] =
    ["Begin Whenever", "End Whenever", "vim:", "(Cron version", "DO NOT EDIT", "Edit this file"];

/// Programs that are given URLs, also without a scheme.
const FETCHERS: [&str; 4] = ["curl", "wget", "http", "https"];

/// The name that a comment gives to the line below it, unless it is something else: a line that was switched off, an
/// ornament, the heading of the columns.
pub(super) fn of_comment(comment: &str) -> Option<String> {
    let text = comment.trim_matches(|c: char| c == '#' || c.is_whitespace() || c.is_control());
    let columns = text.split_whitespace().filter(|word| COLUMNS.contains(word)).count();
    let is_a_program_s = OF_PROGRAMS.iter().any(|begin| text.starts_with(begin));
    let says_something = text.chars().any(char::is_alphabetic);
    if !says_something || columns >= 4 || is_a_program_s || is_switched_off(text) {
        return None;
    }
    Some(shortened(text, LONGEST))
}

/// A job or a setting that became a comment.
fn is_switched_off(text: &str) -> bool {
    let is_setting = fields::setting(text).is_some_and(|(name, _)| {
        name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    });
    let has_name =
        fields::split(text).is_ok_and(|split| split.times.len() == 1 && fields::check(&split.times).is_ok());
    is_setting || has_name || fields::holds_times(text)
}

/// The program that a line is about, with an argument that tells it from others. Names stand in alerts, so nothing that
/// may be a secret is in them: no value of an option, no setting, no text with blanks, and of a URL its host.
pub(super) fn of_command(command: &str) -> String {
    let name = of_text(command, DEEPEST);
    if name.is_empty() { "job".to_owned() } else { shortened(&name, LONGEST_OF_COMMAND) }
}

/// So many commands within each other are looked into.
const DEEPEST: usize = 3;

fn of_text(command: &str, depth: usize) -> String {
    let all = simple_commands(command);
    let called =
        all.iter().map(|simple| (called(simple), simple.then)).filter(|(words, _)| !words.is_empty());
    let called: Vec<(&[String], Then)> = called.collect();
    let is_more = |(words, then): &&(&[String], Then)| {
        let program = words.first().map_or("", String::as_str);
        // perl -e 'sleep ...' && certbot renew
        let is_code = is_interpreter(file_name(program)) && words.get(1).is_some_and(|word| is_code(word));
        let only_waits = is_code && *then != Then::Pipe;
        !PREPARING.contains(&program) && !only_waits
    };
    let words = called.iter().find(is_more).or(called.last()).map(|(words, _)| *words);
    words.map_or_else(String::new, |words| named(words, depth))
}

/// From the program's name on, without what runs it.
fn called(simple: &Simple) -> &[String] {
    let mut words = simple.words.as_slice();
    while let Some((first, rest)) = words.split_first() {
        let runner = RUNNERS.iter().find(|(name, ..)| file_name(first) == *name);
        if let Some((_, with_value, before)) = runner {
            let inner = behind_options(rest, with_value, *before);
            // By itself it is the program.
            if inner.is_empty() {
                break;
            }
            words = inner;
        } else if RESERVED.contains(&first.as_str()) || is_setting(first) {
            words = rest;
        } else {
            break;
        }
    }
    words
}

fn behind_options<'a>(mut words: &'a [String], with_value: &str, mut before: usize) -> &'a [String] {
    while let Some((first, rest)) = words.split_first() {
        let takes_next = match first.strip_prefix('-') {
            Some(long) if long.starts_with('-') => LONG_WITH_VALUE.contains(&first.as_str()),
            Some(letters) => letters.chars().next_back().is_some_and(|letter| with_value.contains(letter)),
            None if is_setting(first) => false,
            None if before > 0 => {
                before -= 1;
                false
            }
            None => break,
        };
        words = if takes_next { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

fn named(words: &[String], depth: usize) -> String {
    let Some((program, arguments)) = words.split_first() else { return String::new() };
    let inner = |text: &str| if depth > 0 { of_text(text, depth - 1) } else { String::new() };
    // A command as one word, as a runner or the option -c of a shell is given it.
    if program.contains([' ', '\t']) {
        return inner(program);
    }
    if SHELLS.contains(&file_name(program)) || file_name(program) == "su" {
        let is_su = file_name(program) == "su";
        let ends_in_c = |option: &str| !option.starts_with("--") && option.ends_with('c');
        if let Some(text) = behind_option(arguments, is_su, ends_in_c) {
            return inner(text);
        }
    }
    let file = file_name(program);
    if is_interpreter(file) || SHELLS.contains(&file) {
        if arguments.first().is_some_and(|word| is_code(word)) {
            return file.to_owned();
        }
        if let Some(module) = behind_option(arguments, false, |option| option == "-m" || option == "-jar") {
            return of_program(std::slice::from_ref(module));
        }
        if arguments.first().is_some_and(|script| !script.starts_with('-')) {
            return of_program(arguments);
        }
    }
    of_program(words)
}

/// The word behind such an option: one that stands before all other words, unless it may stand anywhere.
fn behind_option(arguments: &[String], anywhere: bool, is_it: impl Fn(&str) -> bool) -> Option<&String> {
    let mut place = 0;
    while let Some(word) = arguments.get(place) {
        if word.starts_with('-') && is_it(word) {
            return arguments.get(place + 1);
        }
        // The name of an option of the shell stands behind -o.
        let has_value = word.starts_with('-') && word.ends_with('o');
        if !anywhere && !word.starts_with('-') {
            return None;
        }
        place += if has_value { 2 } else { 1 };
    }
    None
}

fn of_program(words: &[String]) -> String {
    let Some((program, arguments)) = words.split_first() else { return String::new() };
    let file = file_name(program);
    let first = arguments.first().filter(|word| !word.starts_with('-'));
    let argument = match file {
        _ if SAYING.contains(&file) => None,
        _ if FETCHERS.contains(&file) => {
            host(arguments).or_else(|| first?.split(['/', '?', ':', '@']).next())
        }
        "ssh" => {
            let login = arguments.iter().find_map(|word| word.split_once('@'));
            login
                .map(|(_, host)| host)
                .or(first.map(String::as_str))
                .filter(|host| !host.contains([' ', '/']))
        }
        _ => telling(arguments).or_else(|| host(arguments)),
    };
    let more = arguments.get(1).filter(|word| !word.starts_with('-') && may_be_shown(word));
    if WITH_SUBCOMMANDS.contains(&file)
        && let (Some(first), Some(more)) = (first.filter(|word| may_be_shown(word)), more)
    {
        return format!("{file} {first} {more}");
    }
    match argument.filter(|argument| !argument.is_empty()) {
        Some(argument) => format!("{file} {argument}"),
        None => file.to_owned(),
    }
}

fn host(arguments: &[String]) -> Option<&str> {
    arguments.iter().find_map(|word| {
        let (_, rest) = word.split_once("://")?;
        rest.rsplit('@').next()?.split(['/', '?', '#']).next()
    })
}

/// The first word, else a path: behind an option any other word may be its value.
fn telling(arguments: &[String]) -> Option<&str> {
    let first = arguments.first().filter(|word| !word.starts_with('-') && may_be_shown(word));
    let path = || {
        let is_path = |word: &&String| ["/", "./", "../", "~/"].iter().any(|begin| word.starts_with(begin));
        arguments.iter().filter(is_path).find(|word| may_be_shown(word))
    };
    first.or_else(path).map(String::as_str)
}

fn may_be_shown(word: &str) -> bool {
    !word.contains(['=', '@', '?', '&', ' ', '\t']) && !word.contains("://") && word != "/dev/null"
}

/// Also of a version: `php8.2`.
fn is_interpreter(file: &str) -> bool {
    INTERPRETERS.contains(&file.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

/// Whether an option says that the next word is a program.
fn is_code(option: &str) -> bool {
    ["-e", "-E", "-r"].contains(&option)
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Whether the command ends with the status of a test that says no, which is no failure of anything: `[ ... ] && job`.
pub(super) fn ends_with_a_test(command: &str) -> bool {
    let all = simple_commands(command);
    let is_test = |simple: &Simple| {
        let program = simple.words.first().map_or("", String::as_str);
        ["[", "[[", "test", "command", "which", "type", "pgrep", "pidof"].contains(&file_name(program))
    };
    let Some((last, before)) = all.split_last() else { return false };
    before.first().is_some_and(|first| is_test(first) && first.then == Then::And)
        && before.iter().all(|one| matches!(one.then, Then::And | Then::Pipe))
        && last.then == Then::Other
        && !command.trim_end().ends_with('&')
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
            ("# minute hour mday month wday command", None),
            ("# (0-59) (0-23) (1-31)", None),
            ("# Begin Whenever generated tasks for: app at: 2026-11-01 10:00:00 +0000", None),
            ("#disabled 2025: 0 3 * * * mysqldump -pS3cret shop", None),
            ("# vim: set ft=crontab", None),
            ("#MAILTO=root", None),
            ("# every 5 minutes, or 6", Some("every 5 minutes, or 6")),
            ("# резервная копия", Some("резервная копия")),
        ] {
            assert_eq!(of_comment(comment).as_deref(), name, "{comment}");
        }
        assert_eq!(of_comment(&"x ".repeat(500)).unwrap().chars().count(), 99);
    }

    #[test]
    fn a_command_is_called_by_its_program_and_what_tells_it_from_others() {
        for (command, name) in [
            ("/usr/local/bin/backup.sh", "backup.sh"),
            ("/usr/bin/php /var/www/artisan schedule:run >> /dev/null 2>&1", "artisan schedule:run"),
            ("/usr/bin/php -f /var/www/nextcloud/cron.php", "php /var/www/nextcloud/cron.php"),
            ("python3 /srv/app/manage.py clearsessions", "manage.py clearsessions"),
            ("run-parts --report /etc/cron.daily", "run-parts /etc/cron.daily"),
            ("cd / && run-parts --report /etc/cron.hourly", "run-parts /etc/cron.hourly"),
            ("cd /srv", "cd /srv"),
            ("A=1 B='2 3' \"/opt/my job/run\" -v", "my job/run"),
            ("( sleep 5; echo )", "echo"),
            ("/bin/bash -l -c 'cd /srv/app && RAILS_ENV=production bundle exec rake foo'", "rake foo"),
            ("python3 -m app.sync", "app.sync"),
            ("bash -o pipefail -c 'a | b'", "a"),
            ("sh /opt/sync.sh -c /etc/sync.conf", "sync.sh /etc/sync.conf"),
            ("python3 /opt/sync.py -m fast", "sync.py"),
            ("java -Xmx1g -jar /opt/app.jar", "app.jar"),
            ("php8.2 artisan schedule:run", "artisan schedule:run"),
            ("sudo --user postgres /usr/bin/vacuumdb --all", "vacuumdb"),
            ("sudo -iu www /opt/x", "x"),
            ("timeout --signal KILL 60 /opt/x", "x"),
            ("flock --wait 5 /tmp/l /opt/x", "x"),
            ("for i in a b; do backup --all; done", "backup"),
            ("[ -f /x ] && . /x", ". /x"),
            ("sleep 5", "sleep 5"),
            ("date +\\%F > f", "date +%F"),
            ("echo hi>f", "echo"),
            ("docker exec web ./x", "docker exec web"),
            ("docker exec -t web ./x", "docker exec"),
            ("npm run cron", "npm run cron"),
            ("aws s3 sync /data s3://bucket/data", "aws s3 sync"),
            ("systemctl restart nginx", "systemctl restart nginx"),
            ("kubectl --token S3cret get pods", "kubectl"),
            ("borg create ssh://borg@host/./repo::a /srv", "borg create"),
            ("runuser -u postgres -- pg_dump shop", "pg_dump shop"),
            ("ssh -p 2222 -i /root/.ssh/id deploy@example.com 'systemctl restart app'", "ssh example.com"),
            ("ssh example.com uptime", "ssh example.com"),
            ("test -x /usr/bin/certbot && perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot"),
            ("perl -e 'print 1'", "perl"),
            ("{ date; /opt/rep; }", "rep"),
            ("/usr/bin/echo a; /opt/b c", "echo"),
            ("nice -n 19 ionice -c2 -n7 borg create /srv", "borg create"),
            ("flock -n /tmp/sync.lock rsync -a /a b:/c", "rsync /a"),
            ("timeout -k 5 3600 /opt/job one", "job one"),
            ("sudo -u www-data php /var/www/cron.php", "cron.php"),
            ("sleep $((RANDOM \\% 60)); certbot renew -q", "certbot renew"),
            ("[ \"$(date +\\%d -d tomorrow)\" = 01 ] && /opt/monthly", "monthly"),
            (
                "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
                "run-parts /etc/cron.daily",
            ),
            ("if [ -x /usr/bin/mrtg ]; then /usr/bin/mrtg /etc/mrtg.cfg; fi", "mrtg /etc/mrtg.cfg"),
            ("bash -lc 'cd /srv && ./run.sh fast'", "run.sh fast"),
            ("report.sh   # daily report", "report.sh"),
            ("wget -q -O /dev/null https://example.com/cron.php", "wget example.com"),
            ("", "job"),
            ("A=1", "job"),
            ("'", "job"),
            (";", "job"),
            ("$(cat /etc/command)", "job"),
        ] {
            assert_eq!(of_command(command), name, "{command}");
        }
        assert!(of_command(&format!("echo {}", "x".repeat(500))).len() <= 60);
    }

    #[test]
    fn a_test_that_says_no_is_told_from_a_failure() {
        for (command, is_one) in [
            ("[ -x /opt/a ] && /opt/a", true),
            ("test $(date +\\%u) -eq 1 && /opt/a --b > log 2>&1", true),
            ("command -v a > /dev/null && a && b | c", true),
            ("[ -x /opt/a ] || exit 0; /opt/a", false),
            // Its author has seen to it.
            ("[ -x /opt/a ] && /opt/a || true", false),
            ("[ -x /opt/a ] && /opt/a; exit 0", false),
            ("if [ -x /opt/a ]; then /opt/a; fi", false),
            ("[ -x /opt/a ] && /opt/a &", false),
            ("/opt/a && [ -e b ]", false),
            ("[ -x /opt/a ]", false),
            ("", false),
        ] {
            assert_eq!(ends_with_a_test(command), is_one, "{command}");
        }
    }

    #[test]
    fn a_secret_of_a_command_is_not_in_its_name() {
        for (command, name) in [
            ("mysqldump -pS3cret > /b/all.sql", "mysqldump"),
            ("mysqldump -u root --password=S3cret shop", "mysqldump"),
            ("curl -u admin:S3cret https://example.com/a", "curl example.com"),
            ("curl 'https://example.com/cron.php?key=S3cret'", "curl example.com"),
            ("curl https://admin:S3cret@example.com/cron", "curl example.com"),
            ("wget 'https://example.com?key=S3cret'", "wget example.com"),
            ("sshpass -p S3cret rsync -a /a b:/c", "rsync /a"),
            ("env TOKEN=S3cret /usr/local/bin/job", "job"),
            ("TOKEN=S3cret", "job"),
            ("tool --token S3cret /srv", "tool /srv"),
            ("tool token=S3cret", "tool"),
            ("flock -n /tmp/l -c '/opt/sync --token S3cret'", "sync"),
            ("su - postgres -c '/usr/bin/pg_backup --password S3cret'", "pg_backup"),
            ("/bin/bash -l -c '/opt/x --token S3cret'", "x"),
            ("ssh -p 22 root@h '/opt/x -p S3cret'", "ssh h"),
            ("eval 'mysqldump -pS3cret'", "mysqldump"),
            ("flock /tmp/l '/opt/x --quiet S3cret'", "x"),
            ("eval \"eval 'eval \\\"eval \\\\\\\"a S3cret\\\\\\\"\\\"'\"", "job"),
            ("echo 'user:S3cret' | chpasswd", "chpasswd"),
            ("echo S3cret | sudo -S /opt/x", "x"),
            ("echo S3cret", "echo"),
            ("tool <<< 'x S3cret'", "tool"),
            ("tool > 'x S3cret' a", "tool a"),
            ("curl example.com/hooks/S3cret", "curl example.com"),
            ("curl https://u:p/w@example.com/x", "curl example.com"),
            ("curl -X POST --data '/S3cret' h", "curl"),
            ("mongodump mongodb://admin:S3cret@db/shop", "mongodump db"),
        ] {
            assert_eq!(of_command(command), name, "{command}");
        }
    }
}
