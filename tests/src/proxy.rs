//! A proxy in front of a server that counts what a client says, and can end the conversation at any point.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    /// What the client may still say; negative: anything.
    left: Arc<AtomicI64>,
    said: Arc<AtomicI64>,
    cut: Arc<Notify>,
    /// Whether nobody is let through.
    away: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy in front of `127.0.0.1:<port>`.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicI64::new(-1)),
            said: Arc::default(),
            cut: Arc::default(),
            away: watch::Sender::new(false),
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move {
                    let mut away = this.away.subscribe();
                    tokio::select! {
                        biased;
                        _ = away.wait_for(|away| *away) => {}
                        () = this.carry(client, port) => {}
                    }
                });
            }
        });
        proxy
    }

    /// From now on a client may say so much: what it says after that does not arrive, and
    /// [`Proxy::was_cut`] returns.
    pub fn allow(&self, messages: i64) {
        self.left.store(messages, Ordering::SeqCst);
    }

    pub fn allow_everything(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    /// Ends every conversation, and each new one before it begins, until [`Proxy::accept`].
    pub async fn refuse(&self) {
        self.away.send_replace(true);
        // The other ends hear of it at their next word or before; what they said until now is not lost.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    pub fn accept(&self) {
        self.away.send_replace(false);
    }

    /// `postgres://...` or `http://...` with this proxy's port instead of the one it is in front of.
    #[must_use]
    pub fn in_front_of(&self, url: &str) -> String {
        url.replace(&format!(":{}", port_of(url)), &format!(":{}", self.port))
    }

    /// How much clients have said so far.
    #[must_use]
    pub fn said(&self) -> i64 {
        self.said.load(Ordering::SeqCst)
    }

    /// Waits until somebody said more than was allowed.
    pub async fn was_cut(&self) {
        self.cut.notified().await;
    }

    async fn carry(&self, client: TcpStream, port: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut answers = JoinSet::new();
        answers.spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let left = self.left.load(Ordering::SeqCst);
            if left == 0 {
                self.cut.notify_one();
                // Neither answered nor refused: as if the other end were gone.
                std::future::pending::<()>().await;
            }
            if left > 0 {
                self.left.store(left - 1, Ordering::SeqCst);
            }
            self.said.fetch_add(1, Ordering::SeqCst);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    }
}

/// The port in a URL.
#[must_use]
pub fn port_of(url: &str) -> u16 {
    let rest = url.rsplit('@').next().unwrap().trim_start_matches("http://");
    rest.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}
