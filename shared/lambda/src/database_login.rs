//! User and password of the database from Secrets Manager, in the form that RDS keeps them.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Builder};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use database::{Login, Logins};
use futures_util::FutureExt as _;
use serde::Deserialize;

use crate::aws::Aws;

/// What a secret holds; what else it holds does not matter.
#[derive(Deserialize)]
struct Secret {
    username: String,
    password: String,
}

/// Reads the secret anew whenever it is called.
pub(crate) fn of_secret(arn: String) -> Logins {
    let arn: Arc<str> = arn.into();
    Arc::new(move || {
        let arn = Arc::clone(&arn);
        async move { read(&arn).await }.boxed()
    })
}

async fn read(arn: &str) -> Result<Login, String> {
    let aws = Aws::from_env("SECRETS_MANAGER")?;
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws.http)
        .credentials_provider(aws.credentials)
        .region(aws.region)
        .timeout_config(aws.timeouts)
        .retry_config(aws.retries);
    config.set_endpoint_url(aws.endpoint);
    let answer = Client::from_conf(config.build())
        .get_secret_value()
        .secret_id(arn)
        .send()
        .await
        .map_err(|e| DisplayErrorContext(e).to_string())?;
    // The error of the parser would repeat parts of the secret.
    let secret: Secret = serde_json::from_str(answer.secret_string().unwrap_or_default())
        .map_err(|_| "the secret is not JSON with username and password")?;
    Ok(Login { user: secret.username, password: secret.password })
}
