//! What `make bench-lateness` measures with.
//!
//! `cronmon-bench-lateness ticks` reads instants from standard input, one a line. At each it does one tick on the
//! database of `DATABASE_URL`, and prints as JSON how that went.
//! `cronmon-bench-lateness webhook` prints the URL of a webhook on this machine that takes everything, until its
//! standard input ends.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use chrono::{DateTime, Utc};
use database::due::Until;
use database::{Recycling, Target, connect};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["ticks"] => ticks().await,
        ["webhook"] => webhook().await,
        _ => Err("usage: cronmon-bench-lateness ticks | webhook".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cronmon-bench-lateness: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn ticks() -> Result<(), String> {
    let pool = connect(Target::from_env(|name| std::env::var(name).ok())?, 2, Recycling::Fast)?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let now: DateTime<Utc> = line.parse().map_err(|_| format!("'{line}' is not an instant"))?;
        let until = Until { now: Some(now), ..Until::default() };
        let mut deliveries = 0;
        let began = Instant::now();
        let ticked = late_check::tick(&pool, until, None, |ids| {
            deliveries += ids.len();
            std::future::ready(())
        })
        .await
        .map_err(|e| e.to_string())?;
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        say(&json!({
            "ms": ms, "monitors": ticked.monitors, "refilled": ticked.refilled, "deliveries": deliveries
        }))?;
    }
    Ok(())
}

async fn webhook() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    say(&json!(format!("http://{address}/hook")))?;
    // The body is read to its end, so that the connection can be kept.
    let app = Router::new().route("/hook", post(|_: String| async { StatusCode::NO_CONTENT }));
    let its_end = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    tokio::select! {
        served = axum::serve(listener, app) => served.map_err(|e| e.to_string()),
        _ = its_end => Ok(()),
    }
}

fn say(value: &Value) -> Result<(), String> {
    let mut out = std::io::stdout();
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|e| format!("nothing can be printed: {e}"))
}
