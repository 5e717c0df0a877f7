//! The migrate function: called while the stack is deployed, or by hand.

use std::time::Duration;

use cronmon_migrate::respond;
use lambda::LambdaEvent;
use serde_json::Value;

/// What is kept of a run's time for the answer and its repeats.
const TIME_TO_ANSWER: Duration = Duration::from_secs(40);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::log_as_json();
    lambda::run(async |event: LambdaEvent<Value>| {
        let time = lambda::time_left(&event).saturating_sub(TIME_TO_ANSWER);
        // Settings that can't be used are an answer too: without one CloudFormation waits for an hour.
        // The only clock of the process.
        #[allow(clippy::disallowed_methods)]
        let now = chrono::Utc::now();
        Ok(respond(event.payload, lambda::database_target(), time, now).await?)
    })
    .await
}
