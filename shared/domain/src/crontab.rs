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
    /// Whether a user stands before each command, as in `/etc/crontab`. Where nobody says it, a file in which it looks so
    /// is left as it is.
    pub has_users: Option<bool>,
    pub form: Form,
    /// Of the lines for which no line `CRON_TZ` says one.
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
    pub zone: ZoneIs,
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
    form: Form,
}

/// How the zone of a job's schedule is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneIs {
    /// By `CRON_TZ`, or by who sent the crontab.
    Said,
    /// From `TZ`: that is the zone of the commands, and few crons go by it themselves.
    Guessed,
    Unknown,
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
        reader.looks_like_the_system_s = asked.has_users.is_none() && text.lines().any(fields::names_a_user);
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
        Ok(Self { text, asked, lines, jobs, left, schedules, notes })
    }

    /// Writes it again. `ping_ids` are those of the jobs, in their order; `above` is said at its beginning, `below` at its
    /// end.
    #[must_use]
    pub fn written(&self, ping_ids: &[Uuid], above: &[String], below: &[String]) -> String {
        let mut written = String::with_capacity(self.text.len() + self.jobs.len() * 300);
        for note in above {
            push_note(&mut written, note);
        }
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
                        written.push_str(&job.wrapped(job.form, &self.asked.base_url, *ping_id));
                    }
                }
            }
            written.push('\n');
        }
        for note in below {
            push_note(&mut written, note);
        }
        if self.jobs.is_empty() && below.is_empty() && !self.text.ends_with('\n') {
            // Nothing was rewritten.
            written.pop();
        }
        written
    }

    /// Where a job pings.
    #[must_use]
    pub fn ping_url(&self, ping_id: Uuid) -> String {
        form::ping_url(&self.asked.base_url, ping_id)
    }
}

impl Job {
    fn wrapped(&self, form: Form, base_url: &str, ping_id: Uuid) -> String {
        let mut line = form::wrapped(&self.command, form, &self.shell, base_url, ping_id);
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
    looks_like_the_system_s: bool,
    shell: String,
    cron_tz: Option<String>,
    tz: Option<String>,
    schedules: Vec<Cron>,
    /// Where among them, by expression and zone; or why not.
    known: HashMap<(String, Option<String>), Result<usize, String>>,
}

impl<'a> Reader<'a> {
    fn new(asked: &'a Asked, now: DateTime<Utc>) -> Self {
        Self {
            asked,
            now,
            looks_like_the_system_s: false,
            shell: "/bin/sh".to_owned(),
            cron_tz: None,
            tz: None,
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
        if self.looks_like_the_system_s {
            let why = "a user seems to stand before the commands, as in /etc/crontab: say ?user_column=1, or 0 if it is none";
            return Err(why.to_owned());
        }
        let text = if self.asked.has_users == Some(true) {
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
        let (mut schedule, mut zone, mut why) = (None, ZoneIs::Unknown, None);
        match split.times.as_slice() {
            ["@reboot"] => {
                why = Some("@reboot has no schedule: a start of the machine that never comes goes unnoticed");
            }
            times => {
                let (found, is) = self.schedule(&times.join(" "))?;
                (schedule, zone) = (Some(found), is);
            }
        }
        let name = comment.and_then(names::of_comment).unwrap_or_else(|| names::of_command(&command));
        let mut job = Job {
            line: number,
            name,
            schedule,
            zone,
            ping_id,
            why: None,
            before: before.to_owned(),
            command,
            input: input.to_owned(),
            shell: self.shell.clone(),
            form: self.asked.form,
        };
        // Ids are all of one length.
        let fits = |form| job.wrapped(form, &self.asked.base_url, Uuid::nil()).len() <= LONGEST_COMMAND;
        if !fits(job.form) {
            let shorter = Form { announces: false, ..job.form };
            if !job.form.announces || !fits(shorter) {
                return Err(too_long());
            }
            job.form = shorter;
            why = why.or(Some("the command is too long for a ping before it: only its end is pinged"));
        }
        job.why = why.map(str::to_owned);
        Ok(job)
    }

    fn schedule(&mut self, expression: &str) -> Result<(usize, ZoneIs), String> {
        let said = self.cron_tz.clone().or_else(|| self.asked.zone.map(|zone| zone.name().to_owned()));
        let (zone, is) = match (said, &self.tz) {
            (Some(zone), _) => (Some(zone), ZoneIs::Said),
            (None, Some(zone)) => (Some(zone.clone()), ZoneIs::Guessed),
            (None, None) => (None, ZoneIs::Unknown),
        };
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
        found.map(|place| (place, is))
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
