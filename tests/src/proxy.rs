//! A proxy in front of a server that counts what a client says, and can end the conversation at any point.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    /// What the client may still say; negative: anything.
    left: Arc<AtomicI64>,
    said: Arc<AtomicI64>,
    cut: Arc<Notify>,
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
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move { this.carry(client, port).await });
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
        let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
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
        answers.abort();
    }
}
