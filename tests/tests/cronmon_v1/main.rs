//! The original CronMon's HTTP API, version 1, seen from outside: a case for each thing that its clients may rely on,
//! against the built `cronmon` and against the built functions behind a gateway. `docs/protocols/cronmon-v1.md` says
//! what differs on purpose; cases about that have `ours_` in front of their names.

mod alert_configs;
mod associations;
mod auth;
mod errors;
mod every_answer;
mod faults;
mod finish;
mod frontend;
mod issuer;
mod keys;
mod monitors;
mod scopes;
mod server;
mod slack_alerts;
mod start;
mod tenancy;
mod times;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// One case: its name, which says what must hold, and what it does.
type Case<'a> = (&'static str, BoxFuture<'a, ()>);

/// Each case is written once and plays on both hosts; a chapter shares a server, and each case has tenants of its own.
macro_rules! chapter {
    ($($case:ident),+ $(,)?) => {
        fn cases(server: &crate::server::Server) -> Vec<crate::Case<'_>> {
            use futures_util::FutureExt as _;
            vec![$((stringify!($case), $case(server).boxed())),+]
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn on_one_machine() {
            let server = crate::server::Server::on_one_machine().await;
            crate::play(cases(&server)).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn on_lambda() {
            if cronmon_tests::lambda::can_run() {
                let server = crate::server::Server::on_lambda().await;
                crate::play(cases(&server)).await;
            }
        }
    };
}
use chapter;

/// Plays every case, whatever became of those before it, and says which did not hold.
async fn play(cases: Vec<Case<'_>>) {
    let count = cases.len();
    let mut failed = Vec::new();
    for (name, case) in cases {
        let began = Instant::now();
        let case = tokio::time::timeout(Duration::from_secs(60), case);
        match AssertUnwindSafe(case).catch_unwind().await {
            Ok(Ok(())) => println!("{name}: {:.2} s", began.elapsed().as_secs_f64()),
            Ok(Err(_)) => failed.push(format!("{name} (it did not end)")),
            Err(_) => failed.push(name.to_owned()),
        }
    }
    assert!(failed.is_empty(), "{} of {count} do not hold:\n  {}", failed.len(), failed.join("\n  "));
}
