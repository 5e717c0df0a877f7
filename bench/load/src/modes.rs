//! The two ways of pinging.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::tally::Tally;

/// When the burst begins, and how many times the background's pings it has, all due within a second.
const BURST_AT: Duration = Duration::from_secs(2);
const BURST_TIMES: usize = 8;
/// A connection that meets so many ends: nothing can be measured any more.
const MOST_ERRORS: usize = 100;

/// The requests, and whose turn it is.
pub(crate) struct Load {
    turns: Vec<Vec<Vec<u8>>>,
    next: AtomicUsize,
}

impl Load {
    /// A line is a turn: the paths that one connection asks for one after the other.
    pub(crate) fn new(address: SocketAddr, lines: &str) -> Result<Arc<Self>, String> {
        let turns: Vec<Vec<_>> = lines
            .lines()
            .map(|line| line.split_whitespace().map(|path| request(address, path)).collect())
            .filter(|turn: &Vec<_>| !turn.is_empty())
            .collect();
        if turns.is_empty() {
            return Err("there is no path to ask for".to_owned());
        }
        Ok(Arc::new(Self { turns, next: AtomicUsize::new(0) }))
    }

    fn take_number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn turn(&self, number: usize) -> &[Vec<u8>] {
        self.turns.get(number % self.turns.len()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// With the headers that curl sends.
fn request(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// Each connection sends its next ping when the one before is answered.
pub(crate) async fn steady(
    load: &Arc<Load>,
    connections: Vec<Connection>,
    time: Duration,
) -> Result<Value, String> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let load = load.clone();
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while began.elapsed() < time && tally.errors() < MOST_ERRORS {
                for request in load.turn(load.take_number()) {
                    let sent = Instant::now();
                    let answer = connection.ask(request).await;
                    tally.count(answer, sent.elapsed());
                }
            }
            tally
        });
    }
    let mut total = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        total.add(tally.map_err(|e| e.to_string())?);
    }
    let took = began.elapsed().as_secs_f64();
    total.sort();
    Ok(json!({
        "pings": total.pings(),
        "seconds": took,
        "pings_per_s": total.pings() as f64 / took,
        "p50_ms": total.percentile(50),
        "p99_ms": total.percentile(99),
        "max_ms": total.percentile(100),
        "errors": total.errors(),
        "errors_by_kind": total.errors_by_kind(),
    }))
}

/// A ping that is due at an instant, whether a connection is free or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    at: Duration,
    in_burst: bool,
}

/// `rate` pings a second, evenly, and beside them a burst. What is late is so from the instant it was due.
pub(crate) async fn burst(
    load: &Arc<Load>,
    connections: Vec<Connection>,
    time: Duration,
    rate: usize,
) -> Result<Value, String> {
    let schedule = Arc::new(schedule(time, rate)?);
    // A moment to get ready.
    let began = Instant::now() + Duration::from_millis(50);
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (load, schedule) = (load.clone(), schedule.clone());
        tasks.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let number = load.take_number();
                let Some(due) = schedule.get(number) else { return answers };
                sleep_until(began + due.at).await;
                for request in load.turn(number) {
                    let answer = connection.ask(request).await;
                    answers.push((*due, began.elapsed(), answer));
                }
            }
        });
    }
    let mut all = Vec::new();
    while let Some(answers) = tasks.join_next().await {
        all.extend(answers.map_err(|e| e.to_string())?);
    }
    let drained = all
        .iter()
        .filter(|(due, ..)| due.in_burst)
        .map(|(_, answered, _)| *answered)
        .max()
        .unwrap_or_default();
    let (mut calm, mut in_burst, mut beside) = (Tally::default(), Tally::default(), Tally::default());
    for (due, answered, answer) in all {
        let tally = match due.at {
            _ if due.in_burst => &mut in_burst,
            at if at < BURST_AT => &mut calm,
            // They wait behind the burst.
            _ => &mut beside,
        };
        tally.count(answer, answered.saturating_sub(due.at));
    }
    for tally in [&mut calm, &mut in_burst, &mut beside] {
        tally.sort();
    }
    Ok(json!({
        "background_per_s": rate,
        "burst_pings": in_burst.pings(),
        "background_p50_ms": calm.percentile(50),
        "background_p99_ms": calm.percentile(99),
        "burst_p50_ms": in_burst.percentile(50),
        "burst_p99_ms": in_burst.percentile(99),
        "burst_max_ms": in_burst.percentile(100),
        "burst_drained_s": drained.saturating_sub(BURST_AT).as_secs_f64(),
        "errors": calm.errors() + in_burst.errors() + beside.errors(),
        "errors_by_kind": [calm.errors_by_kind(), in_burst.errors_by_kind(), beside.errors_by_kind()],
    }))
}

/// In the order of time.
fn schedule(time: Duration, rate: usize) -> Result<Vec<Due>, String> {
    let second = Duration::from_secs(1);
    if time < BURST_AT + second {
        return Err("a burst takes at least 3 seconds".to_owned());
    }
    let apart = |per_second: usize| second.div_f64(per_second as f64);
    let background = (0_u32..).map(|n| apart(rate) * n).take_while(|at| *at < time);
    let burst =
        (0_u32..).map(|n| apart(rate * BURST_TIMES) * n).take(rate * BURST_TIMES).map(|at| BURST_AT + at);
    let mut schedule: Vec<Due> = background.map(|at| Due { at, in_burst: false }).collect();
    schedule.extend(burst.map(|at| Due { at, in_burst: true }));
    schedule.sort_by_key(|due| due.at);
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_due_within_a_second() {
        let schedule = schedule(Duration::from_secs(6), 500).unwrap();
        assert!(schedule.is_sorted_by_key(|due| due.at));
        let (burst, background): (Vec<Due>, Vec<Due>) = schedule.iter().partition(|due| due.in_burst);
        assert_eq!((burst.len(), background.len()), (4000, 3000));
        assert!(burst.iter().all(|due| due.at >= BURST_AT && due.at < BURST_AT + Duration::from_secs(1)));
    }

    #[test]
    fn a_line_is_a_turn() {
        let load =
            Load::new("127.0.0.1:8000".parse().unwrap(), "/ping/a/start /ping/a\n\n/ping/b\n").unwrap();
        let lengths: Vec<usize> = (0..3).map(|_| load.turn(load.take_number()).len()).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert!(Load::new("127.0.0.1:8000".parse().unwrap(), " \n").is_err());
    }
}
