//! Where the issuer's keys come from.

use std::error::Error as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// For the whole answer, from the name lookup to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

const MAX_REDIRECTS: usize = 3;

/// The longest JWKS, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Where the JWKS is.
pub(super) enum Source {
    File(PathBuf),
    Http(reqwest::Client, Url),
}

impl Source {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("KEYCLOAK_CERTS_URL: {error}"))?;
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::File)
                .map_err(|()| "KEYCLOAK_CERTS_URL: a file's URL is file:///path".to_owned()),
            "http" | "https" => client(&url)
                .map(|client| Self::Http(client, url))
                .map_err(|error| format!("KEYCLOAK_CERTS_URL: {error}")),
            _ => Err("KEYCLOAK_CERTS_URL: neither https:// nor http:// nor file:///".to_owned()),
        }
    }

    pub(super) async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.map_err(|error| error.to_string())?
            }
            Self::Http(client, url) => read_http(client, url.clone()).await,
        }
    }
}

fn client(url: &Url) -> Result<reqwest::Client, String> {
    let secure = url.scheme() == "https";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let tls = if secure {
        tls.with_platform_verifier().map_err(|error| error.to_string())?.with_no_client_auth()
    } else {
        // Plain http:// must also work on a machine without root certificates.
        tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(secure)
        .redirect(Policy::limited(MAX_REDIRECTS))
        .timeout(TIMEOUT);
    // An issuer on this machine is not behind the proxy that HTTP_PROXY may name.
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        client = client.no_proxy();
    }
    client.build().map_err(|error| error.to_string())
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut body))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if body.len() > MAX_BYTES {
        return Err(too_long());
    }
    Ok(body)
}

async fn read_http(client: &reqwest::Client, url: Url) -> Result<Vec<u8>, String> {
    let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut response = response.map_err(describe)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_long() -> String {
    format!("the JWKS is longer than {MAX_BYTES} bytes")
}

/// With the causes, which tell the most, and without the URL, which may hold a password.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
