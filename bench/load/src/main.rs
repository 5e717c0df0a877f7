//! Pings a CronMon on this machine and prints as JSON how that went: what `make bench-ping` measures with.
//!
//! `cronmon-bench-load ADDRESS FILE CONNECTIONS SECONDS steady` pings as fast as it is answered.
//! `cronmon-bench-load ADDRESS FILE CONNECTIONS SECONDS burst RATE` sends RATE pings a second, and once eight
//! times as many. Each line of FILE has the paths that one connection asks for one after the other. One thread,
//! and requests that are written once and sent as they are, because it shares the machine with what it measures.

mod connection;
mod modes;
mod tally;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use connection::Connection;
use modes::{Load, burst, steady};
use serde_json::Value;
use tokio::time::timeout;

const USAGE: &str = "usage: cronmon-bench-load ADDRESS FILE CONNECTIONS SECONDS steady | burst RATE";
const MOST_CONNECTIONS: usize = 1_000;
const MOST_SECONDS: u64 = 300;
const HIGHEST_RATE: usize = 10_000;
/// How long after its time the last answer may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    address: SocketAddr,
    file: PathBuf,
    connections: usize,
    time: Duration,
    mode: Mode,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Steady,
    /// Pings a second beside the burst.
    Burst(usize),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match options(&arguments) {
        Ok(options) => run(&options).await,
        Err(why) => Err(format!("{why}; {USAGE}")),
    };
    let written = result.and_then(|numbers| {
        writeln!(std::io::stdout(), "{numbers}").map_err(|e| format!("the numbers can't be printed: {e}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cronmon-bench-load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[&str]) -> Result<Options, String> {
    let [address, file, connections, seconds, mode @ ..] = arguments else {
        return Err("too few arguments".to_owned());
    };
    let address: SocketAddr = address.parse().map_err(|_| format!("{address} is not an address and port"))?;
    // Nobody else is to be loaded, by mistake or otherwise.
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not of this machine"));
    }
    let mode = match mode {
        ["steady"] => Mode::Steady,
        ["burst", rate] => Mode::Burst(number("RATE", rate, HIGHEST_RATE)?),
        _ => return Err("the mode is steady or burst RATE".to_owned()),
    };
    Ok(Options {
        address,
        file: PathBuf::from(file),
        connections: number("CONNECTIONS", connections, MOST_CONNECTIONS)?,
        time: Duration::from_secs(number("SECONDS", seconds, MOST_SECONDS)?),
        mode,
    })
}

fn number<N: Copy + std::str::FromStr + PartialOrd + From<u8> + std::fmt::Display>(
    name: &str,
    text: &str,
    most: N,
) -> Result<N, String> {
    text.parse()
        .ok()
        .filter(|number| *number >= N::from(1) && *number <= most)
        .ok_or_else(|| format!("{name} must be a number from 1 to {most}, not '{text}'"))
}

async fn run(options: &Options) -> Result<Value, String> {
    let load = Load::new(options.address, &read(&options.file)?)?;
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(Connection::open(options.address).await?);
    }
    let work = async {
        match options.mode {
            Mode::Steady => steady(&load, connections, options.time).await,
            Mode::Burst(rate) => burst(&load, connections, options.time, rate).await,
        }
    };
    timeout(options.time + PATIENCE, work)
        .await
        .map_err(|_| "the answers do not come to an end".to_owned())?
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|e| format!("{} can't be read: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Options, String> {
        options(&text.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_says_how_to_ping() {
        let expected = |mode| Options {
            address: "127.0.0.1:8000".parse().unwrap(),
            file: "paths".into(),
            connections: 16,
            time: Duration::from_secs(8),
            mode,
        };
        assert_eq!(of("127.0.0.1:8000 paths 16 8 steady"), Ok(expected(Mode::Steady)));
        assert_eq!(of("127.0.0.1:8000 paths 16 8 burst 500"), Ok(expected(Mode::Burst(500))));
    }

    #[test]
    fn it_stays_on_this_machine_and_within_bounds() {
        for wrong in [
            "192.0.2.1:80 paths 16 8 steady",
            "localhost:80 paths 16 8 steady",
            "127.0.0.1:8000 paths 0 8 steady",
            "127.0.0.1:8000 paths 16 3600 steady",
            "127.0.0.1:8000 paths 16 8 burst",
            "127.0.0.1:8000 paths 16 8 burst 1000000",
            "127.0.0.1:8000 paths 16",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
