//! The client of SQS.

use std::sync::{Arc, OnceLock};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Builder};

use crate::aws::Aws;

/// Made when it is first needed: most environments never send.
#[derive(Clone, Default)]
pub(crate) struct Sqs(Arc<OnceLock<Client>>);

impl Sqs {
    pub(crate) fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let aws = Aws::from_env("SQS")?;
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws.http)
            .credentials_provider(aws.credentials)
            .region(aws.region)
            .timeout_config(aws.timeouts)
            .retry_config(aws.retries);
        config.set_endpoint_url(aws.endpoint);
        Ok(self.0.get_or_init(|| Client::from_conf(config.build())))
    }
}
