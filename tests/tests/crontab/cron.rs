//! What cron does: it reads the lines of a crontab, and runs a command in an environment of almost nothing.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use uuid::Uuid;

/// A line that is a job.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counted from 1.
    pub line: usize,
    pub times: String,
    pub user: Option<String>,
    pub command: String,
    /// Of the lines above, the last of each name.
    pub environment: BTreeMap<String, String>,
    /// The comment directly above.
    pub comment: Option<String>,
}

/// The jobs of a crontab; those of `/etc/crontab` have a user.
pub fn entries(crontab: &str, has_users: bool) -> Vec<Entry> {
    let (mut entries, mut environment, mut comment) = (Vec::new(), BTreeMap::new(), None);
    for (index, line) in crontab.lines().enumerate() {
        let line = line.trim_start_matches([' ', '\t']);
        let above = comment.take();
        if let Some(text) = line.strip_prefix('#') {
            comment = Some(text.trim().to_owned());
        } else if let Some((name, value)) = assignment(line) {
            environment.insert(name, value);
        } else if let Some((times, rest)) = words(line, if line.starts_with('@') { 1 } else { 5 }) {
            let (user, command) = match words(rest, 1).filter(|_| has_users) {
                Some((user, command)) => (Some(user), command),
                None => (None, rest),
            };
            entries.push(Entry {
                line: index + 1,
                times,
                user,
                command: command.to_owned(),
                environment: environment.clone(),
                comment: above,
            });
        }
    }
    entries
}

/// So many words with one space between, and what follows; none where nothing does.
fn words(line: &str, count: usize) -> Option<(String, &str)> {
    let (mut words, mut rest) = (Vec::new(), line);
    for _ in 0..count {
        let (word, after) = rest.split_once([' ', '\t'])?;
        words.push(word);
        rest = after.trim_start_matches([' ', '\t']);
    }
    (!rest.is_empty()).then(|| (words.join(" "), rest))
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (name, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].split_once(quote)?,
        _ => line.split_at(line.find([' ', '\t', '='])?),
    };
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some((name.to_owned(), unquoted.unwrap_or(value).to_owned()))
}

/// They differ in what a backslash may take away of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cron {
    /// Vixie's, as Linux has it: only before `%`.
    Vixie,
    /// FreeBSD's: before another one too.
    FreeBsd,
}

impl Cron {
    /// Those that differ about one of these commands: there is no use in a second run of the same.
    pub fn all_for(texts: [&str; 2]) -> Vec<Self> {
        let is_same = texts
            .iter()
            .all(|text| Self::Vixie.command_and_input(text) == Self::FreeBsd.command_and_input(text));
        if is_same { vec![Self::Vixie] } else { vec![Self::Vixie, Self::FreeBsd] }
    }

    /// What the shell is given, and what it reads: from the first `%` on, with line breaks for the others.
    pub fn command_and_input(self, text: &str) -> (String, String) {
        let mut command = String::new();
        let mut chars = text.chars();
        let mut has_input = false;
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('%') => command.push('%'),
                    Some('\\') if self == Self::FreeBsd => command.push('\\'),
                    next => command.extend(std::iter::once('\\').chain(next)),
                },
                '%' => {
                    has_input = true;
                    break;
                }
                _ => command.push(c),
            }
        }
        let mut input = chars.as_str().replace("\\%", "\0").replace('%', "\n").replace('\0', "%");
        if has_input && !input.is_empty() && !input.ends_with('\n') {
            input.push('\n');
        }
        (command, input)
    }
}

/// A folder in which one job runs after another; nobody else has it.
pub struct Place {
    folder: PathBuf,
    /// Programs that come before those of the machine.
    pub programs: PathBuf,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    /// Empty where both went one way, as they do into a mail.
    pub stderr: String,
    pub files: BTreeMap<PathBuf, String>,
}

impl Place {
    pub fn new() -> Self {
        let place = std::env::temp_dir().join(format!("cronmon-test-cron-{}", Uuid::new_v4()));
        let (folder, programs) = (place.join("home"), place.join("programs"));
        std::fs::create_dir_all(&programs).unwrap();
        Self { folder, programs }
    }

    /// Runs a job in a folder without files. What it leaves in the background is waited for.
    pub fn run(&self, cron: Cron, entry: &Entry) -> Ran {
        let mut command = self.shell(entry, &cron.command_and_input(&entry.command).0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let group = child.id();
        give(child.stdin.take(), &cron.command_and_input(&entry.command).1);
        let output = child.wait_with_output().unwrap();
        wait_for_background(entry, group);
        Ran {
            status: output.status,
            stdout: output.stdout.escape_ascii().to_string(),
            stderr: output.stderr.escape_ascii().to_string(),
            files: self.files(),
        }
    }

    /// The same with what it says in the order in which it says it: cron's mail.
    pub fn run_for_mail(&self, cron: Cron, entry: &Entry) -> Ran {
        let (text, input) = cron.command_and_input(&entry.command);
        let (mut mail, writer) = std::io::pipe().unwrap();
        let mut command = self.shell(entry, &text);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        // It holds the pipe open.
        drop(command);
        give(child.stdin.take(), &input);
        let mut said = Vec::new();
        mail.read_to_end(&mut said).unwrap();
        let status = child.wait().unwrap();
        wait_for_background(entry, child.id());
        Ran { status, stdout: said.escape_ascii().to_string(), stderr: String::new(), files: self.files() }
    }

    fn shell(&self, entry: &Entry, text: &str) -> Command {
        drop(std::fs::remove_dir_all(&self.folder));
        std::fs::create_dir_all(&self.folder).unwrap();
        let shell = entry.environment.get("SHELL").map_or("/bin/sh", String::as_str);
        let mut command = Command::new(shell);
        command
            .args(["-c", text])
            .env_clear()
            .env("HOME", &self.folder)
            .env("TMPDIR", &self.folder)
            .env("SHELL", shell)
            .env("PATH", format!("{}:/usr/bin:/bin", self.programs.display()))
            .envs(&entry.environment)
            .current_dir(&self.folder)
            // Who kills a whole group does not mean the tests.
            .process_group(0)
            .stdin(Stdio::piped());
        command
    }

    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        list(&self.folder, &self.folder, &mut files);
        files
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(self.folder.parent().unwrap()));
    }
}

/// What holds no pipe may still write files.
fn wait_for_background(entry: &Entry, group: u32) {
    while entry.command.contains(" &") && is_running(group) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process of the group is more than a zombie, of which some machines are not rid for seconds.
fn is_running(group: u32) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok()).any(|stat| {
        // After the program's name in parentheses: state, parent, group.
        let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.next() != Some("Z") && fields.nth(1) == Some(group.to_string().as_str())
    })
}

/// A job need not read what it is given.
fn give(stdin: Option<std::process::ChildStdin>, input: &str) {
    drop(stdin.unwrap().write_all(input.as_bytes()));
}

fn list(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            list(root, &path, files);
            files.insert(name, "a folder".to_owned());
        } else {
            let content =
                std::fs::read(&path).map_or("unreadable".to_owned(), |c| c.escape_ascii().to_string());
            files.insert(name, content);
        }
    }
}

/// So that what the tests say of cron can be believed.
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_ends_the_command_unless_a_backslash_is_before_it() {
        for (text, command, input) in [
            ("date", "date", ""),
            (r"date +\%F", "date +%F", ""),
            ("cat%a%b", "cat", "a\nb\n"),
            ("cat%", "cat", ""),
            (r"cat%100\% %", "cat", "100% \n"),
            (r"echo \\ a\\%b", r"echo \\ a\\", "b\n"),
            (r"echo \", r"echo \", ""),
        ] {
            assert_eq!(Cron::Vixie.command_and_input(text), (command.to_owned(), input.to_owned()), "{text}");
        }
        assert_eq!(Cron::FreeBsd.command_and_input(r"a\\b\%c\d").0, r"a\b%c\d");
        assert_eq!(Cron::all_for([r"a\%b", "b"]).len(), 1);
        assert_eq!(Cron::all_for(["b", r"a\\b"]).len(), 2);
    }

    #[test]
    fn jobs_have_the_environment_and_the_comment_above() {
        let crontab = "A = 'x y' \n# m\n\"B\"=2\n\t0\t3  * * *  \tdo it\n#  n  \n@daily a=b\n\n0 3 * * *\nA=z\n@reboot c d\n";
        let entries = entries(crontab, false);
        let shown: Vec<_> = entries
            .iter()
            .map(|e| {
                (
                    e.line,
                    e.times.as_str(),
                    e.command.as_str(),
                    e.comment.as_deref(),
                    e.environment["A"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (4, "0 3 * * *", "do it", None, "x y"),
                (6, "@daily", "a=b", Some("n"), "x y"),
                (10, "@reboot", "c d", None, "z"),
            ]
        );
    }
}
