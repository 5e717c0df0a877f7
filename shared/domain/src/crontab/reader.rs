//! A crontab's lines, one after another.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{Asked, Form, Job, SHELLS, ZoneIs, fields, form, names};
use crate::Cron;
use crate::schedule::ScheduleError;

/// The longest command that cron takes, in bytes.
const LONGEST_COMMAND: usize = 998;

/// The longest value of a setting that cron reads, in bytes. What is longer can be no zone and no shell.
pub(super) const LONGEST_VALUE: usize = 1_000;

/// A schedule that never comes true is searched for years. Nobody has so many of them.
const MOST_WITHOUT_SLOTS: usize = 100;

/// An expression and the zone in which it is read.
type Times = (String, Option<Arc<str>>);

/// What the lines above said, for those below.
pub(super) struct Reader<'a> {
    asked: &'a Asked,
    now: DateTime<Utc>,
    pub(super) looks_like_the_system_s: bool,
    shell: Arc<str>,
    cron_tz: Option<Arc<str>>,
    /// Only one that somebody knows: it may be the zone of commands that no cron needs to know.
    tz: Option<Arc<str>>,
    pub(super) schedules: Vec<Cron>,
    without_slots: usize,
    /// Where among them; or why not.
    known: HashMap<Times, Result<usize, String>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(asked: &'a Asked, now: DateTime<Utc>) -> Self {
        Self {
            asked,
            now,
            looks_like_the_system_s: false,
            shell: "/bin/sh".into(),
            cron_tz: None,
            tz: None,
            schedules: Vec::new(),
            without_slots: 0,
            known: HashMap::new(),
        }
    }

    /// Whether the line is one.
    pub(super) fn takes_setting(&mut self, line: &str) -> bool {
        let Some((name, value)) = fields::setting(line) else { return false };
        let value = value.get(..value.floor_char_boundary(LONGEST_VALUE)).unwrap_or(value);
        let zone = || Some(value.strip_prefix(':').unwrap_or(value)).filter(|zone| !zone.is_empty());
        match name {
            "SHELL" => self.shell = value.into(),
            "CRON_TZ" => self.cron_tz = zone().map(Arc::from),
            "TZ" => self.tz = zone().filter(|zone| zone.parse::<Tz>().is_ok()).map(Arc::from),
            _ => {}
        }
        true
    }

    pub(super) fn job(&mut self, line: &str, number: usize, comment: Option<&str>) -> Result<Job, String> {
        if line.starts_with('\u{feff}') {
            return Err("a byte order mark stands before it, which cron does not take".to_owned());
        }
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
        if !input.is_empty() && is_cut(command) {
            return Err("cron ends its command at the first %, and begins its input there; where % is meant, write \\%".to_owned());
        }
        if command.starts_with('-') {
            return Err("its command begins with '-', which is an option to some crons".to_owned());
        }
        if command.starts_with("* ") {
            return Err("its command begins with '*': are there six fields?".to_owned());
        }
        can_wrap(&self.shell, &self.asked.base_url)?;
        if text.len() > LONGEST_COMMAND {
            return Err(too_long());
        }
        let (command, ping_id) = match form::unwrapped(command, &self.shell) {
            Some((command, ping_id)) => (command, Some(ping_id)),
            None if command.contains(&format!("{}/ping/", self.asked.base_url)) => {
                return Err("it pings CronMon already, in a way of its own (in a line that was rewritten, the parentheses are the \
                            place for more)".to_owned());
            }
            None => (command.to_owned(), None),
        };
        let (mut schedule, mut zone, mut whys) = (None, ZoneIs::Unknown, Vec::new());
        match split.times.as_slice() {
            ["@reboot"] => {
                whys.push("@reboot has no schedule: a start of the machine that never comes goes unnoticed");
            }
            times => {
                let (found, is) = self.schedule(&times.join(" "))?;
                (schedule, zone) = (Some(found), is);
            }
        }
        if names::ends_with_a_test(&command) {
            whys.push(
                "when the test says no, its status is not 0, which counts as a failure; with 'if ...; then ...; fi' it is 0",
            );
        }
        let text = command.trim_end_matches([' ', '\t']);
        if text.ends_with('&') && !text.ends_with("&&") {
            whys.push("it goes on in the background: how that ends is not seen");
        }
        let name = comment.and_then(names::of_comment).unwrap_or_else(|| names::of_command(&command));
        let mut job = Job {
            line: number,
            name,
            schedule,
            zone,
            ping_id,
            pings_by_hand: ping_ids(&command),
            whys,
            form: self.asked.form,
            above: 0,
            before: before.to_owned(),
            command,
            input: input.to_owned(),
            shell: self.shell.clone(),
        };
        // Ids are all of one length.
        let fits = |form| job.wrapped(form, &self.asked.base_url, Uuid::nil()).len() <= LONGEST_COMMAND;
        if !fits(job.form) {
            let shorter = Form { announces: false, ..job.form };
            if !job.form.announces || !fits(shorter) {
                return Err(too_long());
            }
            job.form = shorter;
            job.whys.push("the command is too long for a ping before it: only its end is pinged");
        }
        Ok(job)
    }

    fn schedule(&mut self, expression: &str) -> Result<(usize, ZoneIs), String> {
        let said = self.cron_tz.clone().or_else(|| self.asked.zone.map(|zone| Arc::from(zone.name())));
        let (zone, is) = match (said, &self.tz) {
            (Some(zone), _) => (Some(zone), ZoneIs::Said),
            (None, Some(zone)) => (Some(zone.clone()), ZoneIs::Guessed),
            (None, None) => (None, ZoneIs::Unknown),
        };
        let key = (expression.to_owned(), zone);
        let found = match self.known.get(&key) {
            Some(found) => found.clone(),
            None => {
                if self.without_slots > MOST_WITHOUT_SLOTS {
                    return Err(format!(
                        "more than {MOST_WITHOUT_SLOTS} schedules never come true, so this one was not read"
                    ));
                }
                let found = match Cron::parse(expression, key.1.as_deref(), self.now) {
                    Ok(cron) => {
                        self.schedules.push(cron);
                        Ok(self.schedules.len() - 1)
                    }
                    Err(e) => {
                        self.without_slots += usize::from(e == ScheduleError::NoSlot);
                        Err(e.to_string())
                    }
                };
                self.known.insert(key, found.clone());
                found
            }
        };
        found.map(|place| (place, is))
    }
}

fn too_long() -> String {
    format!("with pings its command would be longer than {LONGEST_COMMAND} bytes, and cron would cut it")
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

/// Whether a command that ends before a `%` was meant to go on: in a quote, or as the format of `date`.
fn is_cut(command: &str) -> bool {
    let (mut quote, mut is_escaped) = (None, false);
    for c in command.chars() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => is_escaped = true,
            (Some(_), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    quote.is_some() || command.ends_with('+')
}

/// Of every ping URL in a text, whoever's it is.
pub(super) fn ping_ids(text: &str) -> Vec<Uuid> {
    let behind = text.split("/ping/").skip(1);
    behind.filter_map(|rest| Uuid::try_parse(rest.get(..36)?).ok()).collect()
}

fn can_wrap(shell: &str, base_url: &str) -> Result<(), String> {
    let name = shell.rsplit('/').next().unwrap_or(shell);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if name == "zsh" && base_url.contains('[') {
        return Err("its shell reads the [ of the ping URL as a pattern".to_owned());
    }
    if SHELLS.contains(&name) && shell.chars().all(is_path) {
        return Ok(());
    }
    let shown = fields::shown(shell);
    Err(format!(
        "the shell '{shown}' may not read what would be put around its command; sh, bash and their kin do"
    ))
}
