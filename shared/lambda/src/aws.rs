//! What every AWS client is made of. By hand, because looking for it as the SDK does (files, instance
//! metadata, the system's root certificates) takes longer than all else that a function does to start.

use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::{required, setting};

const AMAZON_ROOTS: &str = include_str!("../ca/amazon.pem");

pub(crate) struct Aws {
    pub(crate) http: SharedHttpClient,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) region: Region,
    /// Of all services; local stand-ins need it.
    pub(crate) endpoint: Option<String>,
    pub(crate) timeouts: TimeoutConfig,
    pub(crate) retries: RetryConfig,
}

impl Aws {
    /// From the variables that Lambda sets; `AWS_ENDPOINT_URL_<service>` and `AWS_ENDPOINT_URL` as every SDK
    /// reads them.
    pub(crate) fn from_env(service: &str) -> Result<Self, String> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            setting("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let tls = TlsContext::builder()
            .with_trust_store(TrustStore::empty().with_pem_certificate(AMAZON_ROOTS))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self {
            http: Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(tls)
                .build_https(),
            credentials: SharedCredentialsProvider::new(credentials),
            region: Region::new(required("AWS_REGION")?),
            endpoint: setting(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| setting("AWS_ENDPOINT_URL")),
            // A call holds up the answer to a request.
            timeouts: TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(2))
                .operation_timeout(Duration::from_secs(3))
                .build(),
            retries: RetryConfig::standard().with_max_attempts(2),
        })
    }
}
