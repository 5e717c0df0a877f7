//! A whole crontab, and how it is written again with pings in it.
//!
//! It is read as cron reads it. What cron would not run, and what nothing can be put around, stays as it is, with a comment
//! above it that says why; so do settings and other comments, without one. A line that was written here is recognised and
//! read back, and comments of ours are written anew, so that what comes out can be sent again.

mod fields;
mod form;
mod names;
mod plain;
mod reader;
mod words;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::Cron;
pub use form::Form;
use reader::{Reader, ping_ids};

/// How a comment of ours begins. Whatever begins so is taken out when it is read.
const OURS: &str = "# cronmon: ";

/// So many jobs and lines that can't be read may a crontab have.
pub const MOST_LINES: usize = 20_000;

/// A text of one line that is longer, in bytes, is no comment or setting.
const LONGEST_ONLY_LINE: usize = 200;

/// Shells that read what is put around a command.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "ksh93", "lksh", "mksh", "zsh"];

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
    /// What its command pings by itself.
    pub pings_by_hand: Vec<Uuid>,
    /// What there is to know about it.
    pub whys: Vec<&'static str>,
    pub form: Form,
    /// Where in the crontab's `lines` that is said: above the comment that names it.
    above: usize,
    /// Times, user and the blanks around them, as they stood there.
    before: String,
    command: String,
    /// From the first `%` on.
    input: String,
    shell: Arc<str>,
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
    /// Where it pings, if it does so in a way of its own.
    pub ping_ids: Vec<Uuid>,
    above: usize,
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
        let mut lines = Vec::new();
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
                    lines.push(Line::Job(jobs.len()));
                    jobs.push(Job { above, ..job });
                }
                Err(why) => {
                    lines.push(Line::Left(left.len()));
                    let (ping_ids, text) = (ping_ids(line), raw.to_owned());
                    left.push(Left { line: index + 1, why, ping_ids, above, text });
                }
            }
            if jobs.len() + left.len() > MOST_LINES {
                return Err(TooMany);
            }
        }
        let schedules = reader.schedules;
        Ok(Self { text, asked, lines, jobs, left, schedules })
    }

    /// Writes it again. `pings` are those of the jobs, in their order; `above` is said at its beginning, `below` at its end.
    #[must_use]
    pub fn written(&self, pings: &[Ping<'_>], above: &[String], below: &[String]) -> String {
        let mut written = String::with_capacity(self.text.len() + self.jobs.len() * 300);
        for note in above {
            push_note(&mut written, note);
        }
        let notes = self.notes(pings);
        let mut notes = notes.iter().peekable();
        for (index, line) in self.lines.iter().enumerate() {
            while let Some((_, note)) = notes.next_if(|(above, _)| *above <= index) {
                push_note(&mut written, note);
            }
            match line {
                Line::Job(job) => {
                    if let (Some(job), Some(ping)) = (self.jobs.get(*job), pings.get(*job)) {
                        written.push_str(&job.before);
                        written.push_str(&job.wrapped(job.form, &self.asked.base_url, ping.id));
                    }
                }
                other => self.push_other(&mut written, other),
            }
            written.push('\n');
        }
        for note in below {
            push_note(&mut written, note);
        }
        self.end_as_it_ended(&mut written, below.is_empty());
        written
    }

    /// Whether it is one line that was several: curl's `-d` takes their ends away.
    #[must_use]
    pub fn has_lost_its_line_ends(&self) -> bool {
        let is_no_job = self.jobs.is_empty() && self.left.is_empty();
        !self.text.contains('\n')
            && (is_no_job && self.text.len() > LONGEST_ONLY_LINE || fields::has_glued_times(&self.text))
    }

    /// Writes it as it was before anything was put into it.
    #[must_use]
    pub fn without_pings(&self) -> String {
        let mut written = String::with_capacity(self.text.len());
        for line in &self.lines {
            match line {
                Line::Job(job) => {
                    if let Some(job) = self.jobs.get(*job) {
                        written.extend([job.before.as_str(), &job.command, &job.input]);
                    }
                }
                other => {
                    self.push_why_it_still_pings(&mut written, other);
                    self.push_other(&mut written, other);
                }
            }
            written.push('\n');
        }
        self.end_as_it_ended(&mut written, true);
        written
    }

    /// Before which of the lines what is said.
    fn notes(&self, pings: &[Ping<'_>]) -> Vec<(usize, String)> {
        let mut notes = Vec::new();
        for line in &self.lines {
            match line {
                Line::Kept(..) => {}
                Line::Left(left) => notes.extend(
                    self.left
                        .get(*left)
                        .map(|left| (left.above, format!("the next line is left as it is: {}", left.why))),
                ),
                Line::Job(job) => {
                    if let (Some(job), Some(ping)) = (self.jobs.get(*job), pings.get(*job)) {
                        let whys = ping.whys.iter().map(String::as_str).chain(job.whys.iter().copied());
                        notes.extend(whys.map(|why| (job.above, why.to_owned())));
                    }
                }
            }
        }
        notes
    }

    fn push_why_it_still_pings(&self, written: &mut String, line: &Line) {
        if let Line::Left(left) = line
            && let Some(left) = self.left.get(*left).filter(|left| !left.ping_ids.is_empty())
        {
            push_note(written, &format!("the next line is left as it is: {}", left.why));
        }
    }

    fn push_other(&self, written: &mut String, line: &Line) {
        match line {
            Line::Kept(from, to) => written.push_str(self.text.get(*from..*to).unwrap_or_default()),
            Line::Left(left) => written.push_str(self.left.get(*left).map_or("", |left| &left.text)),
            Line::Job(_) => {}
        }
    }

    /// Where nothing was rewritten a last line that has no end gets none.
    fn end_as_it_ended(&self, written: &mut String, is_its_last_line: bool) {
        if self.jobs.is_empty() && is_its_last_line && !self.text.ends_with('\n') {
            written.pop();
        }
    }

    /// Where a job pings.
    #[must_use]
    pub fn ping_url(&self, ping_id: Uuid) -> String {
        form::ping_url(&self.asked.base_url, ping_id)
    }
}

/// Where a job pings from now on, and what there is to say about that.
#[derive(Debug, Clone, Copy)]
pub struct Ping<'a> {
    pub id: Uuid,
    pub whys: &'a [String],
}

impl Job {
    /// What it is called by its command, whatever the comment says.
    #[must_use]
    pub fn name_of_command(&self) -> String {
        names::of_command(&self.command)
    }

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

#[cfg(test)]
mod tests;
