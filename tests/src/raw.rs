//! HTTP as bytes, for what no decent client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TIME_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// From the status line to the last header.
    pub head: String,
    pub body: Vec<u8>,
}

/// The first final answer to a request, or nothing when the connection was closed without one. `url` says
/// where; only its host and port count.
pub async fn exchange(url: &str, request: &[u8]) -> Option<Reply> {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let (mut from_server, mut to_server) = connection.split();
    let sent = async {
        // The server may answer and close before it has read everything.
        drop(to_server.write_all(request).await);
        // Closing this side too would look as if the client had gone.
        std::future::pending::<()>().await;
    };
    let received = async {
        let mut bytes = Vec::new();
        loop {
            if let Some(reply) = whole(&bytes, false) {
                return Some(reply);
            }
            match from_server.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return whole(&bytes, true),
                Ok(_) => {}
            }
        }
    };
    tokio::select! {
        () = sent => None,
        reply = tokio::time::timeout(TIME_LIMIT, received) => reply.unwrap_or(None),
    }
}

/// The first final answer among these bytes, once it is there up to its end.
fn whole(bytes: &[u8], closed: bool) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), &bytes[end + 4..]);
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status < 200 {
        return whole(rest, closed);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    match length {
        Some(length) if rest.len() >= length => Some(Reply { status, head, body: rest[..length].to_vec() }),
        _ => closed.then(|| Reply { status, head, body: rest.to_vec() }),
    }
}
