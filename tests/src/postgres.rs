//! A PostgreSQL of the test's own that may be killed and frozen. It keeps what it committed.

use std::path::Path;
use std::process::Command;

use database::migrations;

use crate::databases::pool;

/// Deleted with the last word of the test, be that a panic.
pub struct Postgres {
    name: &'static str,
    pub url: String,
}

impl Postgres {
    /// A new one; the name is one of `CLUSTERS` in `dev/postgres.py`, and one test at a time has it.
    pub async fn start(name: &'static str) -> Self {
        command(name, "delete").unwrap();
        let postgres = Self { name, url: command(name, "start").unwrap() };
        let pool = pool(&postgres.url, 1);
        migrations::up(&mut pool.get().await.unwrap()).await.unwrap();
        postgres
    }

    /// Whether processes can be found and frozen here; says so where they can't.
    #[must_use]
    pub fn can_freeze() -> bool {
        let can = Path::new("/proc/self/stat").exists();
        if !can {
            println!("skipped: there is no /proc on this machine");
        }
        can
    }

    /// SIGKILL to the server. Its children notice, and end.
    pub fn kill_9(&self) {
        send("KILL", &[self.server()]);
    }

    /// Starts it again after [`Postgres::kill_9`], where it was.
    pub async fn start_again(&self) {
        let name = self.name;
        let url = tokio::task::spawn_blocking(move || command(name, "start")).await.unwrap().unwrap();
        assert_eq!(url, self.url, "it was started elsewhere");
    }

    /// Stops all of its processes where they are: connections stay open, and nothing is answered.
    pub fn freeze(&self) {
        let server = self.server();
        // First, so that it has no children that are not seen.
        send("STOP", &[server]);
        send("STOP", &children(server));
    }

    pub fn thaw(&self) {
        let server = self.server();
        send("CONT", &children(server));
        send("CONT", &[server]);
    }

    fn server(&self) -> u32 {
        let status = command(self.name, "status").unwrap();
        status.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Frozen it would not hear that it should end.
        if let Some(server) =
            command(self.name, "status").ok().and_then(|said| said.rsplit(' ').next()?.parse().ok())
        {
            let mut all = children(server);
            all.push(server);
            drop(kill("CONT", &all));
        }
        if let Err(why) = command(self.name, "delete") {
            eprintln!("{} is left behind: {why}", self.name);
        }
    }
}

fn command(name: &str, action: &str) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/postgres.py");
    let done = Command::new("python3").args([script, action, name]).output().map_err(|e| e.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    } else {
        Err(format!("{action} {name}: {}", String::from_utf8_lossy(&done.stderr)))
    }
}

fn kill(signal: &str, processes: &[u32]) -> std::io::Result<std::process::ExitStatus> {
    Command::new("kill").arg(format!("-{signal}")).args(processes.iter().map(u32::to_string)).status()
}

fn send(signal: &str, processes: &[u32]) {
    assert!(kill(signal, processes).unwrap().success(), "{signal} was not sent");
}

fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes
        .filter_map(|process| {
            let id = process.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
            // Behind the name, which may hold anything: the state, then the parent.
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()?;
            (parent == of).then_some(id)
        })
        .collect()
}
