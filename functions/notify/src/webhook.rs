//! Posts an alert to its owner's webhook.
//!
//! The URL and the name servers behind it belong to strangers, so the address is judged where the connection
//! is made: a literal here, a host name by the resolver that the client connects through.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use uuid::Uuid;

use crate::allowed_networks::AllowedNetworks;
use crate::answer::{Answer, Unresolved, Verdict, answered, not_answered};

const USER_AGENT: &str = concat!("CronMon/", env!("CARGO_PKG_VERSION"));

/// How long a connection waits for the next alert: shorter than servers wait, so that none is closed under a
/// request.
const KEPT_OPEN: Duration = Duration::from_secs(2);

/// The client for webhooks. Build it once; clones share its connections.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    allowed: Arc<AllowedNetworks>,
    limits: Limits,
    http: Client,
    // Built when first used: it reads root certificates, and a machine with http webhooks only may have none.
    https: OnceLock<Client>,
}

/// How long it waits.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
}

impl Webhooks {
    /// A client that waits 5 s for a connection and 10 s in all.
    ///
    /// # Errors
    /// The HTTP client can't be built; says why.
    pub fn new(allowed: AllowedNetworks) -> Result<Self, String> {
        let limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(10) };
        Self::with_limits(allowed, limits)
    }

    fn with_limits(allowed: AllowedNetworks, limits: Limits) -> Result<Self, String> {
        let allowed = Arc::new(allowed);
        let http = client(without_roots()?, limits, &allowed)?;
        Ok(Self(Arc::new(Inner { allowed, limits, http, https: OnceLock::new() })))
    }

    /// Posts `body`, a JSON document, once. Answers within 10 s.
    pub async fn post(&self, url: &str, delivery_id: Uuid, body: Vec<u8>) -> Answer {
        let url = match self.usable(url) {
            Ok(url) => url,
            Err(error) => return Answer::failed(error, Verdict::Permanent),
        };
        let client = match self.client_for(&url) {
            Ok(client) => client,
            Err(error) => return Answer::failed(error, Verdict::Transient),
        };
        let sent = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", delivery_id.to_string())
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) => answered(response, &url).await,
            Err(error) => not_answered(&error, self.0.limits),
        }
    }

    /// The parsed URL, if a webhook may go there. A host name is for [`PermittedAddresses`] to judge.
    fn usable(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|_| "not a usable URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only http and https URLs are used".into());
        }
        // `Url` has turned every spelling of an address (2130706433, 0x7f.1, a last dot) into the usual one.
        let host = url.host_str().ok_or("the URL has no host")?;
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if !self.0.allowed.permits(ip) => Err(Unresolved::NotPermitted.to_string()),
            _ => Ok(url),
        }
    }

    fn client_for(&self, url: &Url) -> Result<&Client, String> {
        if url.scheme() == "http" {
            return Ok(&self.0.http);
        }
        if let Some(client) = self.0.https.get() {
            return Ok(client);
        }
        let client = client(with_platform_roots()?, self.0.limits, &self.0.allowed)?;
        Ok(self.0.https.get_or_init(|| client))
    }
}

fn client(tls: ClientConfig, limits: Limits, allowed: &Arc<AllowedNetworks>) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(PermittedAddresses(Arc::clone(allowed)))
        // A proxy resolves the name itself, and a redirect may lead to a literal: both get around `allowed`.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // The deliveries table says when to try again.
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .pool_idle_timeout(KEPT_OPEN)
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| format!("can't build the HTTP client: {error}"))
}

/// For http, where no certificate is looked at.
fn without_roots() -> Result<ClientConfig, String> {
    Ok(tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn with_platform_roots() -> Result<ClientConfig, String> {
    let config = tls()?
        .with_platform_verifier()
        .map_err(|_| "this server has no root certificates to check https with")?;
    Ok(config.with_no_client_auth())
}

fn tls() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("can't set up TLS: {error}"))
}

/// Resolves a host name to the addresses that a webhook may go to. The client connects to no others.
struct PermittedAddresses(Arc<AllowedNetworks>);

impl Resolve for PermittedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 stands for the URL's port.
            let found =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Unresolved::NotFound)?;
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(Unresolved::NotFound.into());
            }
            let permitted: Vec<SocketAddr> =
                found.into_iter().filter(|address| allowed.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Unresolved::NotPermitted.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
