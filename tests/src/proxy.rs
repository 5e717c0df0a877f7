//! A proxy in front of a server that counts what a client says, and can end the conversation at any point.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
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
    turns: Arc<AtomicI64>,
    cut: Arc<Notify>,
    /// Whether nobody is let through.
    away: watch::Sender<bool>,
    /// After how many messages a connection ends, and where.
    cuts: Arc<Mutex<Option<(i64, Cut)>>>,
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What is said does not arrive.
    Message,
    /// It arrives and is answered, and the answer does not come back.
    Answer,
}

impl Proxy {
    /// A proxy in front of `127.0.0.1:<port>`.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicI64::new(-1)),
            said: Arc::default(),
            turns: Arc::default(),
            cut: Arc::default(),
            away: watch::Sender::new(false),
            cuts: Arc::default(),
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

    /// Closes the connection of the message after so many more, once. Others go on, and new ones are let through.
    pub fn cut_after(&self, messages: i64, cut: Cut) {
        *self.cuts.lock().unwrap() = Some((messages, cut));
    }

    /// Whether [`Proxy::cut_after`] has done so; from now on it does not.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.cuts.lock().unwrap().take().is_none()
    }

    fn cut_now(&self) -> Option<Cut> {
        let mut cuts = self.cuts.lock().unwrap();
        match cuts.as_mut()? {
            (0, _) => cuts.take().map(|(_, cut)| cut),
            (left, _) => {
                *left -= 1;
                None
            }
        }
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

    /// How often clients began to say something after they were answered, however much they said then.
    #[must_use]
    pub fn turns(&self) -> i64 {
        self.turns.load(Ordering::SeqCst)
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
        let (is_mute, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (keeps_it, answers_it) = (is_mute.clone(), answered.clone());
        let is_clients_turn = Arc::new(AtomicBool::new(true));
        let gives_turn = is_clients_turn.clone();
        answers.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                gives_turn.store(true, Ordering::SeqCst);
                if keeps_it.load(Ordering::SeqCst) {
                    answers_it.notify_one();
                } else if to_client.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
            drop(to_client.shutdown().await);
        });
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
            if is_clients_turn.swap(false, Ordering::SeqCst) {
                self.turns.fetch_add(1, Ordering::SeqCst);
            }
            let cut = self.cut_now();
            if cut == Some(Cut::Message) {
                break;
            }
            is_mute.store(cut.is_some(), Ordering::SeqCst);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
            if cut.is_some() {
                // What it does is done when it answers, or soon after.
                drop(tokio::time::timeout(Duration::from_secs(2), answered.notified()).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
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
