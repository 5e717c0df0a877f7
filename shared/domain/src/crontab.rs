//! A whole crontab, and how it is written again with pings in it.
//!
//! It is read as cron reads it. What cron would not run, and what nothing can be put around, stays as it is, with a comment
//! above it that says why; so do settings and other comments, without one. A line that was written here is recognised and
//! read back, and comments of ours are written anew, so that what comes out can be sent again.

mod fields;
mod form;
mod names;
mod plain;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::Cron;
pub use form::Form;

/// How a comment of ours begins. Whatever begins so is taken out when it is read.
const OURS: &str = "# cronmon: ";

/// The longest command that cron takes, in bytes.
const LONGEST_COMMAND: usize = 998;

/// So many jobs and lines that can't be read may a crontab have.
pub const MOST_LINES: usize = 20_000;

/// Shells that read what is put around a command.
const SHELLS: [&str; 13] =
    ["sh", "bash", "dash", "ash", "ksh", "ksh93", "lksh", "mksh", "oksh", "pdksh", "posh", "yash", "zsh"];

/// What is asked of a crontab.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whether a user stands before each command, as in `/etc/crontab`.
    pub has_users: bool,
    pub form: Form,
    /// Of the lines for which the crontab names none.
    pub zone: Option<Tz>,
    /// Where pings go, without a slash at its end.
    pub base_url: String,
}

/// What was read.
#[derive(Debug)]
pub struct Crontab {
    text: String,
    asked: Asked,
    lines: Vec<Line>,
    pub jobs: Vec<Job>,
    pub left: Vec<Left>,
    /// Each once, as the jobs name them.
    pub schedules: Vec<Cron>,
    /// What its sender should know of the whole.
    pub warnings: Vec<String>,
    /// Before which line (of `lines`) what is said.
    notes: Vec<(usize, String)>,
}

#[derive(Debug)]
enum Line {
    /// From and to which byte of the text; several lines where nothing lies between.
    Kept(usize, usize),
    Job(usize),
    Left(usize),
}

/// A line that is rewritten.
#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    /// Counted from 1.
    pub line: usize,
    /// From the comment above it, or from its command.
    pub name: String,
    /// Which one of the schedules; `None` for `@reboot`.
    pub schedule: Option<usize>,
    /// Where it pings already.
    pub ping_id: Option<Uuid>,
    /// What there is to know about it.
    pub why: Option<String>,
    /// Times, user and the blanks around them, as they stood there.
    before: String,
    command: String,
    /// From the first `%` on.
    input: String,
    shell: String,
}

/// A line that stays as it is though it may be a job.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub line: usize,
    pub why: String,
    text: String,
}

/// There are more than [`MOST_LINES`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Crontab {
    /// # Errors
    /// [`TooMany`] jobs.
    pub fn read(text: String, asked: Asked, now: DateTime<Utc>) -> Result<Self, TooMany> {
        let mut reader = Reader::new(&asked, now);
        let (mut lines, mut notes) = (Vec::new(), Vec::new());
        let (mut jobs, mut left) = (Vec::new(), Vec::new());
        let mut comment: Option<&str> = None;
        let mut begin = 0;
        for (index, raw) in text.split_terminator('\n').enumerate() {
            let from = begin;
            begin += raw.len() + 1;
            // Of a file from Windows; cron would take it for a part of the command.
            let line = raw.strip_suffix('\r').unwrap_or(raw);
            let shown = line.trim_start_matches([' ', '\t']);
            let to = from + line.len();
            if shown.starts_with(OURS.trim_end()) {
                continue;
            }
            if shown.starts_with('#') {
                comment = Some(shown);
                lines.push(Line::Kept(from, to));
                continue;
            }
            let is_blank = shown.chars().all(|c| c.is_whitespace() || c == '\u{feff}');
            if is_blank || reader.takes_setting(line) {
                comment = None;
                match lines.last_mut() {
                    Some(Line::Kept(_, end)) if *end + 1 == from => *end = to,
                    _ => lines.push(Line::Kept(from, to)),
                }
                continue;
            }
            let above = lines.len() - usize::from(comment.is_some());
            match reader.job(line, index + 1, comment.take()) {
                Ok(job) => {
                    notes.extend(job.why.clone().map(|why| (above, why)));
                    lines.push(Line::Job(jobs.len()));
                    jobs.push(job);
                }
                Err(why) => {
                    notes.push((above, format!("the next line is left as it is: {why}")));
                    lines.push(Line::Left(left.len()));
                    left.push(Left { line: index + 1, why, text: raw.to_owned() });
                }
            }
            if jobs.len() + left.len() > MOST_LINES {
                return Err(TooMany);
            }
        }
        let schedules = reader.schedules;
        let mut warnings = Vec::new();
        if reader.lacks_zone {
            let why = "no timezone was given: the schedules are read in UTC; ?timezone=Europe/Riga or a line CRON_TZ says another";
            warnings.push(why.to_owned());
            notes.insert(0, (0, why.to_owned()));
        }
        if !asked.has_users && jobs.iter().any(|job| job.command.starts_with("root ")) {
            warnings.push("commands begin with 'root': if that is a user, say ?user_column=1".to_owned());
        }
        Ok(Self { text, asked, lines, jobs, left, schedules, warnings, notes })
    }

    /// Writes it again. `ping_ids` are those of the jobs, in their order; `at_the_end` is said there.
    #[must_use]
    pub fn written(&self, ping_ids: &[Uuid], at_the_end: &[String]) -> String {
        let mut written = String::with_capacity(self.text.len() + self.jobs.len() * 300);
        let mut notes = self.notes.iter().peekable();
        for (index, line) in self.lines.iter().enumerate() {
            while let Some((_, note)) = notes.next_if(|(before, _)| *before <= index) {
                push_note(&mut written, note);
            }
            match line {
                Line::Kept(from, to) => written.push_str(self.text.get(*from..*to).unwrap_or_default()),
                Line::Left(left) => written.push_str(self.left.get(*left).map_or("", |left| &left.text)),
                Line::Job(job) => {
                    if let (Some(job), Some(ping_id)) = (self.jobs.get(*job), ping_ids.get(*job)) {
                        written.push_str(&job.before);
                        written.push_str(&job.wrapped(&self.asked, *ping_id));
                    }
                }
            }
            written.push('\n');
        }
        for note in at_the_end {
            push_note(&mut written, note);
        }
        if self.jobs.is_empty() && at_the_end.is_empty() && !self.text.ends_with('\n') {
            // Nothing was rewritten.
            written.pop();
        }
        written
    }
}

impl Job {
    fn wrapped(&self, asked: &Asked, ping_id: Uuid) -> String {
        let mut line = form::wrapped(&self.command, asked.form, &self.shell, &asked.base_url, ping_id);
        line.push_str(&self.input);
        line
    }
}

/// In one line, whatever it holds.
fn push_note(written: &mut String, note: &str) {
    written.push_str(OURS);
    written.extend(note.chars().map(|c| if c.is_control() { ' ' } else { c }));
    written.push('\n');
}

/// What the lines above said, for those below.
struct Reader<'a> {
    asked: &'a Asked,
    now: DateTime<Utc>,
    shell: String,
    cron_tz: Option<String>,
    tz: Option<String>,
    lacks_zone: bool,
    schedules: Vec<Cron>,
    /// Where among them, by expression and zone; or why not.
    known: HashMap<(String, Option<String>), Result<usize, String>>,
}

impl<'a> Reader<'a> {
    fn new(asked: &'a Asked, now: DateTime<Utc>) -> Self {
        Self {
            asked,
            now,
            shell: "/bin/sh".to_owned(),
            cron_tz: None,
            tz: None,
            lacks_zone: false,
            schedules: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Whether the line is one.
    fn takes_setting(&mut self, line: &str) -> bool {
        let Some((name, value)) = fields::setting(line) else { return false };
        let zone =
            || Some(value.strip_prefix(':').unwrap_or(value).to_owned()).filter(|zone| !zone.is_empty());
        match name {
            "SHELL" => value.clone_into(&mut self.shell),
            "CRON_TZ" => self.cron_tz = zone(),
            "TZ" => self.tz = zone(),
            _ => {}
        }
        true
    }

    fn job(&mut self, line: &str, number: usize, comment: Option<&str>) -> Result<Job, String> {
        let split = fields::split(line)?;
        fields::check(&split.times)?;
        let text = if self.asked.has_users {
            let (user, text) = fields::next_word(split.rest);
            if user.contains('/') {
                return Err(format!(
                    "'{}' is no user; without a column of users say ?user_column=0",
                    fields::shown(user)
                ));
            }
            text
        } else {
            split.rest
        };
        let before = line.get(..line.len() - text.len()).unwrap_or_default();
        let (command, input) = split_input(text);
        if command.trim_matches([' ', '\t']).is_empty() {
            return Err("there is no command".to_owned());
        }
        if command.starts_with('-') {
            return Err("its command begins with '-', which is an option to some crons".to_owned());
        }
        can_wrap(&self.shell)?;
        if text.len() > LONGEST_COMMAND {
            return Err(too_long());
        }
        let (command, ping_id) = match form::unwrapped(command, &self.shell) {
            Some((command, ping_id)) => (command, Some(ping_id)),
            None if command.contains(&format!("{}/ping/", self.asked.base_url)) => {
                return Err("it pings CronMon already, in a way of its own".to_owned());
            }
            None => (command.to_owned(), None),
        };
        let (schedule, why) = match split.times.as_slice() {
            ["@reboot"] => {
                let why = "@reboot has no schedule: a start of the machine that never comes goes unnoticed";
                (None, Some(why.to_owned()))
            }
            times => (Some(self.schedule(&times.join(" "))?), None),
        };
        let name = comment.and_then(names::of_comment).unwrap_or_else(|| names::of_command(&command));
        let job = Job {
            line: number,
            name,
            schedule,
            ping_id,
            why,
            before: before.to_owned(),
            command,
            input: input.to_owned(),
            shell: self.shell.clone(),
        };
        // Ids are all of one length.
        if job.wrapped(self.asked, Uuid::nil()).len() > LONGEST_COMMAND {
            return Err(too_long());
        }
        Ok(job)
    }

    fn schedule(&mut self, expression: &str) -> Result<usize, String> {
        let given = self.cron_tz.clone().or_else(|| self.tz.clone());
        let zone = given.or_else(|| self.asked.zone.map(|zone| zone.name().to_owned()));
        let lacks_zone = zone.is_none();
        let key = (expression.to_owned(), zone);
        let found = match self.known.get(&key) {
            Some(found) => found.clone(),
            None => {
                let found = match Cron::parse(expression, key.1.as_deref(), self.now) {
                    Ok(cron) => {
                        self.schedules.push(cron);
                        Ok(self.schedules.len() - 1)
                    }
                    Err(e) => Err(e.to_string()),
                };
                self.known.insert(key, found.clone());
                found
            }
        };
        self.lacks_zone |= lacks_zone && found.is_ok();
        found
    }
}

fn too_long() -> String {
    format!("with pings its command would be longer than {LONGEST_COMMAND} characters, and cron would cut it")
}

/// The command, and its input with the `%` before it: the first one that has no backslash before it.
fn split_input(text: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (place, c) in text.char_indices() {
        if c == '%' && !is_escaped {
            return text.split_at_checked(place).unwrap_or((text, ""));
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    (text, "")
}

fn can_wrap(shell: &str) -> Result<(), String> {
    let name = shell.rsplit('/').next().unwrap_or(shell);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if SHELLS.contains(&name) && shell.chars().all(is_path) {
        return Ok(());
    }
    let shown = fields::shown(shell);
    Err(format!(
        "the shell '{shown}' may not read what would be put around its command; sh, bash and their kin do"
    ))
}

#[cfg(test)]
mod tests;
