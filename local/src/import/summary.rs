//! What a person sees of an import: how far it is, and in the end what became of everything.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio_postgres::Error;

use super::Copied;
use super::original::Counts;

const BETWEEN_LINES: Duration = Duration::from_millis(500);

/// Examples of each remark.
const SHOWN: usize = 5;

/// A line on a terminal that is written over and over; nothing elsewhere.
pub(super) struct Progress {
    is_terminal: bool,
    what: String,
    of: u64,
    done: u64,
    began: Instant,
    shown_at: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_terminal, what: String::new(), of: 0, done: 0, began: Instant::now(), shown_at: None }
    }

    pub(super) fn begin(&mut self, what: &str, of: i64) {
        self.clear();
        what.clone_into(&mut self.what);
        self.of = of.unsigned_abs();
        self.done = 0;
        self.began = Instant::now();
        self.show();
    }

    pub(super) fn add(&mut self, rows: usize) {
        self.done += rows as u64;
        if self.shown_at.is_some_and(|at| at.elapsed() >= BETWEEN_LINES) {
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown_at = Some(Instant::now());
        if !self.is_terminal {
            return;
        }
        let rate = self.done.saturating_mul(1000)
            / u64::try_from(self.began.elapsed().as_millis().max(1)).unwrap_or(1);
        let (done, of, rate) = (grouped(self.done), grouped(self.of), grouped(rate));
        // Nobody has to be told when the terminal is gone.
        drop(write!(std::io::stderr(), "\r\x1b[K{}: {done} of {of}, {rate} a second", self.what));
    }

    pub(super) fn clear(&mut self) {
        if self.is_terminal && self.shown_at.take().is_some() {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

struct Remark {
    about: String,
    kind: String,
    why: String,
    count: u64,
    names: Vec<String>,
}

pub(super) async fn print(target: &Object, counts: &Counts, copied: &Copied) -> Result<(), Error> {
    let rows = target
        .query(
            "select about, kind, why, count(*), (array_agg(name order by name))[1:6]
             from remark group by 1, 2, 3 order by 1, 4 desc, 3",
            &[],
        )
        .await?;
    let mut remarks: Vec<Remark> = Vec::new();
    for row in rows {
        remarks.push(Remark {
            about: row.try_get(0)?,
            kind: row.try_get(1)?,
            why: row.try_get(2)?,
            count: row.try_get::<_, i64>(3)?.unsigned_abs(),
            names: row.try_get(4)?,
        });
    }
    let row = target.query_one("select count(*) from original_job", &[]).await?;
    let read = row.try_get::<_, i64>(0)?;
    let jobs_left = |why: &str, count: i64| Remark {
        about: "jobs".to_owned(),
        kind: "left".to_owned(),
        why: why.to_owned(),
        count: count.unsigned_abs(),
        names: Vec::new(),
    };
    remarks.push(jobs_left("they have a time outside of the years 1 to 9999", counts.unreadable_jobs));
    remarks.push(jobs_left(
        "they are older than CronMon keeps them: the newest 5,000 of a monitor and 90 days, unless the tenant's \
         retention says otherwise",
        counts.jobs - counts.unreadable_jobs - read,
    ));
    remarks.retain(|remark| remark.count > 0);
    for line in lines(counts, copied, &remarks) {
        crate::say(&line);
    }
    Ok(())
}

fn lines(counts: &Counts, copied: &Copied, remarks: &[Remark]) -> Vec<String> {
    let mut lines =
        vec![table_line(["", "in the original", "copied", "there already", "not copied"].map(String::from))];
    for (what, all, copied) in [
        ("monitors", counts.monitors, copied.monitors),
        ("jobs", counts.jobs, copied.jobs),
        ("API keys", counts.keys, copied.keys),
        ("alert configs", counts.configs, copied.configs),
        ("attached alert configs", counts.attached, copied.attached),
    ] {
        let all = all.unsigned_abs();
        let left: u64 = remarks.iter().filter(|r| r.about == what && r.kind == "left").map(|r| r.count).sum();
        let there = all.saturating_sub(copied).saturating_sub(left);
        lines.push(table_line([
            what.to_owned(),
            grouped(all),
            grouped(copied),
            grouped(there),
            grouped(left),
        ]));
    }
    if copied.ended > 0 {
        lines.push(String::new());
        lines.push(format!(
            "{} of the jobs there already were running here and have ended.",
            grouped(copied.ended)
        ));
    }
    for (kind, title) in [("left", "Not copied:"), ("changed", "Changed on the way:"), ("note", "To know:")] {
        let of_kind: Vec<&Remark> = remarks.iter().filter(|remark| remark.kind == kind).collect();
        if !of_kind.is_empty() {
            lines.push(String::new());
            lines.push(title.to_owned());
        }
        for remark in of_kind {
            lines.push(format!("  {} {}: {}", grouped(remark.count), remark.about, remark.why));
            for name in remark.names.iter().take(SHOWN) {
                lines.push(format!("      {}", plain(name)));
            }
            if remark.names.len() > SHOWN {
                lines.push("      ...".to_owned());
            }
        }
    }
    lines.push(String::new());
    lines.extend(NEXT.lines().map(String::from));
    lines
}

const NEXT: &str = "\
What to do next:
  1. Let clients call this CronMon instead of the original: the paths, the API keys and the ids are the same.
  2. Stop the original's monitor service, or both of them alert.
  3. Run the import once more: what started or ended in the meantime is copied, nothing else changes.
  4. Look at the monitors, send a test of each alert config (POST /api/v1/alert-configs/{id}/test), and give the
     monitors a schedule: the original did not notice a job that never started.
Late and failed jobs from before count as told: nobody hears of them, nor of their recovery.";

fn table_line(columns: [String; 5]) -> String {
    let [what, all, copied, there, left] = columns;
    format!("{what:<24}{all:>16}{copied:>12}{there:>16}{left:>13}")
}

/// A name must not move the cursor or colour the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_in_groups() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_is_neither_copied_nor_left_was_there() {
        let counts =
            Counts { monitors: 5, jobs: 1_200, unreadable_jobs: 0, keys: 0, configs: 0, attached: 0 };
        let copied = Copied { monitors: 2, jobs: 1_000, ..Copied::default() };
        let left = Remark {
            about: "monitors".into(),
            kind: "left".into(),
            why: "their id is another tenant's here".into(),
            count: 1,
            names: vec!["a\u{1b}[2J".into()],
        };
        let lines = lines(&counts, &copied, &[left]);
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["monitors", "5", "2", "2", "1"]);
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["jobs", "1,200", "1,000", "200", "0"]);
        assert_eq!(lines[7], "Not copied:");
        assert_eq!(lines[8], "  1 monitors: their id is another tenant's here");
        assert_eq!(lines[9], "      a\u{fffd}[2J");
    }
}
