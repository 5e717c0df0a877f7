//! The HTTP clients that send: no redirects, no proxies, no repeats, and not for long.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::allowed_networks::AllowedNetworks;
use crate::answer::Unresolved;

const USER_AGENT: &str = concat!("CronMon/", env!("CARGO_PKG_VERSION"));

/// How long a connection waits for the next alert: shorter than servers wait, so that none is closed under a
/// request.
const KEPT_OPEN: Duration = Duration::from_secs(2);

/// How long it waits.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
}

pub(crate) const LIMITS: Limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(10) };

/// To which addresses a client may connect.
#[derive(Clone)]
pub(crate) enum Reach {
    /// The operator said where.
    Anywhere,
    /// A stranger said where.
    Permitted(Arc<AllowedNetworks>),
}

impl Reach {
    pub(crate) fn permits(&self, ip: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Permitted(allowed) => allowed.permits(ip),
        }
    }
}

/// One client for http, and one for https.
pub(crate) struct Clients {
    pub(crate) reach: Reach,
    pub(crate) limits: Limits,
    http: Client,
    // Built when first used: it reads root certificates, and a machine that needs http only may have none.
    https: OnceLock<Client>,
}

impl Clients {
    pub(crate) fn new(reach: Reach, limits: Limits) -> Result<Self, String> {
        let http = client(without_roots()?, limits, &reach)?;
        Ok(Self { reach, limits, http, https: OnceLock::new() })
    }

    pub(crate) fn for_url(&self, url: &Url) -> Result<&Client, String> {
        if url.scheme() == "http" {
            return Ok(&self.http);
        }
        if let Some(client) = self.https.get() {
            return Ok(client);
        }
        let client = client(with_platform_roots()?, self.limits, &self.reach)?;
        Ok(self.https.get_or_init(|| client))
    }
}

fn client(tls: ClientConfig, limits: Limits, reach: &Reach) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(WithinReach(reach.clone()))
        // A proxy resolves the name itself, and a redirect may lead to a literal: both get around `reach`.
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

/// Resolves a host name to the addresses within reach. The client connects to no others.
struct WithinReach(Reach);

impl Resolve for WithinReach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            // Port 0 stands for the URL's port.
            let found =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Unresolved::NotFound)?;
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(Unresolved::NotFound.into());
            }
            let permitted: Vec<SocketAddr> =
                found.into_iter().filter(|address| reach.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Unresolved::NotPermitted.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
