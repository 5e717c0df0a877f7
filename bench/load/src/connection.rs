//! One connection that is kept open, with as much HTTP/1.1 as a ping needs.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer to a ping has some 300 bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

pub(crate) struct Connection {
    address: SocketAddr,
    /// None after trouble; the next request opens another.
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        Ok(Self { address, stream: Some(stream(address).await?), received: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads the answer to its end. Anything but a 200 is an error.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => stream(self.address).await?,
        };
        stream.write_all(request).await.map_err(|e| e.to_string())?;
        self.received.clear();
        loop {
            if let Some(whole) = length(&self.received)?
                && self.received.len() >= whole
            {
                break;
            }
            if self.received.len() > LONGEST_ANSWER {
                return Err("an answer does not end".to_owned());
            }
            if stream.read_buf(&mut self.received).await.map_err(|e| e.to_string())? == 0 {
                return Err("closed before the end of an answer".to_owned());
            }
        }
        // Only a connection that is at the beginning of the next answer is used again.
        self.stream = Some(stream);
        if self.received.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        let line = self.received.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Err(String::from_utf8_lossy(line).into_owned())
    }
}

async fn stream(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| format!("{address} can't be reached: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    Ok(stream)
}

/// How long an answer is with its head; `None` until the head is there.
fn length(received: &[u8]) -> Result<Option<usize>, String> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default());
    let body = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or("an answer without content-length")?;
    Ok(Some(end + END.len() + body))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), Ok(None));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
        assert_eq!(length(answer), Ok(Some(answer.len())));
        assert!(length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn what_is_not_a_200_is_an_error_and_the_connection_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in [
                &["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 2\r\n\r\nO", "K"][..],
                &["HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nlater"],
                &["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
                &["HTTP/1.1 200 OK\r\n"],
            ] {
                let mut request = [0; 3];
                stream.read_exact(&mut request).await.unwrap();
                for part in answer {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        };
        let client = async {
            let mut connection = Connection::open(address).await.unwrap();
            assert_eq!(connection.ask(b"GET").await, Ok(()));
            assert_eq!(connection.ask(b"GET").await, Err("HTTP/1.1 503 Service Unavailable".to_owned()));
            assert_eq!(connection.ask(b"GET").await, Ok(()));
            assert_eq!(connection.ask(b"GET").await, Err("closed before the end of an answer".to_owned()));
            assert!(connection.stream.is_none());
        };
        tokio::join!(server, client);
    }
}
