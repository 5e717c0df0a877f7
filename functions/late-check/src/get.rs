//! A request of which only the status of its answer matters: the canary ping, and the heartbeat. By the parts of an
//! HTTP client that the function has anyway.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const AGENT: &str = concat!("CronMon/", env!("CARGO_PKG_VERSION"));

/// Where to. It may be a secret: no error repeats it.
#[derive(Clone)]
pub struct Get {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Get {
    /// For a URL with http or https. Certificates are those of public authorities.
    ///
    /// # Errors
    /// What the URL is not; without the URL.
    pub fn to(url: &str) -> Result<Self, String> {
        const NO_URL: &str = "must be an http:// or https:// URL";
        let uri: Uri = url.trim().parse().map_err(|_| NO_URL)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NO_URL)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(Arc::new(public_authorities()?)), 443),
            _ => return Err(NO_URL.to_owned()),
        };
        Ok(Self { port: uri.port_u16().unwrap_or(port), uri, host, tls })
    }

    /// The status of the answer, if it comes within `limit`. Redirects are not followed.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub async fn send(&self, limit: Duration) -> Result<StatusCode, String> {
        match timeout(limit, self.exchange()).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
        }
    }

    async fn exchange(&self) -> Result<StatusCode, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| e.to_string())?;
        let Some(tls) = &self.tls else { return self.by(TokioIo::new(stream)).await };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|_| "the URL's host has no certificate")?;
        let stream =
            TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|e| e.to_string())?;
        self.by(TokioIo::new(stream)).await
    }

    async fn by(&self, stream: impl Read + Write + Unpin + Send + 'static) -> Result<StatusCode, String> {
        let (mut requests, connection) = handshake(stream).await.map_err(|e| e.to_string())?;
        // It ends with this set.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or(self.host.as_str(), |authority| {
            authority.as_str().rsplit('@').next().unwrap_or_default()
        });
        let request = Request::get(path).header(HOST, host).header(USER_AGENT, AGENT);
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| "the URL can't be asked for")?;
        let answer = requests.send_request(request).await.map_err(|e| e.to_string())?;
        Ok(answer.status())
    }
}

fn public_authorities() -> Result<ClientConfig, String> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("can't set up TLS: {e}"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with this; and what it was asked.
    async fn asked(answer: &'static str, path: &str) -> (Result<StatusCode, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user@{}{path}", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4_096];
            let read = stream.read(&mut bytes).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            String::from_utf8_lossy(bytes.get(..read).unwrap()).into_owned()
        };
        let get = Get::to(&url).unwrap();
        tokio::join!(get.send(Duration::from_secs(1)), server)
    }

    #[tokio::test]
    async fn the_status_is_all_that_matters() {
        let (status, request) = asked("HTTP/1.1 204 No Content\r\n\r\n", "/a/b?c").await;
        assert_eq!(status, Ok(StatusCode::NO_CONTENT));
        assert!(request.starts_with("GET /a/b?c HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        let (status, _) = asked("HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\nnot all", "").await;
        assert_eq!(status, Ok(StatusCode::SERVICE_UNAVAILABLE));
    }

    #[tokio::test]
    async fn what_does_not_answer_is_not_waited_for() {
        let (status, _) = asked("", "/secret").await;
        assert_eq!(status, Err("no answer within 1 s".to_owned()));
        let (status, _) = asked("HTTP/2 what", "/secret").await;
        assert!(!status.unwrap_err().contains("secret"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for url in ["", "secret", "/secret", "ftp://secret/", "http://", "https:///secret"] {
            let why = Get::to(url).err().unwrap();
            assert_eq!(why, "must be an http:// or https:// URL", "{url}");
        }
    }
}
