//! The built `cronmon` as a process that can be killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub struct Process {
    pub url: String,
    child: Child,
}

impl Process {
    /// Starts `cronmon` against a database and waits until it listens. A port that is given is taken again.
    pub async fn start(database_url: &str, certs_url: &str, port: Option<u16>) -> Self {
        Self::start_with(database_url, certs_url, port, &[]).await.expect("cronmon ended before it listened")
    }

    /// The same with more settings; `None` when it ends before it listens.
    pub async fn start_with(
        database_url: &str,
        certs_url: &str,
        port: Option<u16>,
        settings: &[(&str, &str)],
    ) -> Option<Self> {
        let binary = std::env::var("CRONMON_BIN").expect("CRONMON_BIN is missing: run `make test`");
        let mut child = Command::new(binary)
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("KEYCLOAK_CERTS_URL", certs_url)
            .env("ALLOWED_NETWORKS", "127.0.0.0/8")
            .env("PORT", port.unwrap_or(0).to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line =
                tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap();
            let line = line?;
            if let Some(url) = line.strip_prefix("CronMon listens on ") {
                break url.to_owned();
            }
        };
        // Somebody has to read on, else the process blocks when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { url, child })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Sends it a signal such as `STOP`.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap();
        assert!(sent.success(), "{signal} was not sent");
    }

    /// Kills it with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it with SIGTERM and waits; answers with how long that took.
    pub async fn stop(mut self) -> Duration {
        let began = Instant::now();
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
        began.elapsed()
    }
}
