//! A client that writes bytes and reads messages.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: char,
    /// Its body.
    pub body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse.
    pub fn field(&self, code: char) -> Option<String> {
        let mut rest = self.body.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            let end = tail.iter().position(|b| *b == 0)?;
            if *first == code as u8 {
                return Some(String::from_utf8_lossy(&tail[..end]).into_owned());
            }
            rest = &tail[end + 1..];
        }
        None
    }
}

/// A raw connection.
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// A socket on which nothing was said.
    pub async fn open(address: SocketAddr) -> Raw {
        Raw { stream: TcpStream::connect(address).await.expect("connected") }
    }

    /// A session that is ready; also gives process id and secret.
    pub async fn start(address: SocketAddr) -> (Raw, [u8; 8]) {
        let mut raw = Raw::open(address).await;
        raw.send(&startup(&[("user", "tester"), ("database", "lightning")])).await;
        let mut key = [0; 8];
        loop {
            let message = raw.message().await.expect("startup goes on");
            match message.kind {
                'K' => key.copy_from_slice(&message.body),
                'Z' => return (raw, key),
                'E' => panic!("refused: {:?}", message.field('M')),
                _ => {}
            }
        }
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
    }

    /// The next message; `None` at the end of the connection.
    pub async fn message(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.ok()?;
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; len - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Message { kind: head[0] as char, body })
    }

    /// One byte (the answer to a request for encryption).
    pub async fn byte(&mut self) -> u8 {
        self.stream.read_u8().await.expect("a byte")
    }

    /// Messages up to and including ReadyForQuery, as their types.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await.expect("the connection goes on");
            let ready = message.kind == 'Z';
            messages.push(message);
            if ready {
                return messages;
            }
        }
    }
}

/// The types of messages.
pub fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|message| message.kind).collect()
}

/// A startup packet of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(format!("{name}\0{value}\0").bytes());
    }
    body.push(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

/// A message.
pub fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A Query message.
pub fn query(sql: &str) -> Vec<u8> {
    message('Q', format!("{sql}\0").as_bytes())
}

/// Parse, Bind and Execute of an unnamed statement without parameters.
pub fn execute(sql: &str, max_rows: u32) -> Vec<u8> {
    let mut bytes = message('P', format!("\0{sql}\0\0\0").as_bytes());
    bytes.extend(message('B', b"\0\0\0\0\0\0\0\0"));
    bytes.extend(run(max_rows));
    bytes
}

/// Execute of the unnamed portal.
pub fn run(max_rows: u32) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(max_rows.to_be_bytes());
    message('E', &body)
}

/// A Sync message.
pub fn sync() -> Vec<u8> {
    message('S', b"")
}
