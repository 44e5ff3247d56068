//! The receiving half of a connection: frames messages out of the byte stream, within limits.
//!
//! A length word is judged before a byte is reserved for what it announces, and the buffer then grows with the
//! bytes that really arrive, so a client can make the server hold no more than it sent.

use crate::frontend::{self, PROTOCOL_VIOLATION, fatal};
use bytes::{Buf, Bytes, BytesMut};
use lightning_sql::Error;
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// PostgreSQL's cap for startup packets and for messages without bulk content.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;
/// Bytes read ahead while a statement runs.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 4 * 1024;
/// A drained buffer larger than this is given back.
const KEPT_BUFFER_BYTES: usize = 16 * 1024;

/// What ends a connection while reading.
#[derive(Debug)]
pub enum ReadError {
    /// The client is gone.
    Closed,
    /// The client broke the protocol; it is told so, then the connection closes.
    Violation(Error),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        ReadError::Closed
    }
}

/// Buffered, framed reading.
#[derive(Debug)]
pub struct Input {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    message_bytes_max: usize,
}

impl Input {
    /// Reads from `socket`, refusing messages longer than `message_bytes_max`.
    pub fn new(socket: OwnedReadHalf, message_bytes_max: usize) -> Self {
        Input { socket, buffer: BytesMut::new(), message_bytes_max }
    }

    /// A startup packet: the body after its length word (at least the protocol number).
    pub async fn startup_packet(&mut self) -> Result<Bytes, ReadError> {
        self.fill(4).await?;
        let len = (&self.buffer[..4]).get_u32() as usize;
        if !(8..=SMALL_MESSAGE_BYTES_MAX).contains(&len) {
            return Err(ReadError::Violation(fatal(PROTOCOL_VIOLATION, "invalid length of startup packet")));
        }
        self.fill(len).await?;
        self.buffer.advance(4);
        Ok(self.buffer.split_to(len - 4).freeze())
    }

    /// The next message: its type and its body.
    pub async fn message(&mut self) -> Result<(u8, Bytes), ReadError> {
        self.shrink();
        self.fill(1).await?;
        let kind = self.buffer[0];
        if !frontend::is_known(kind) {
            let message = format!("invalid frontend message type {kind}");
            return Err(ReadError::Violation(fatal(PROTOCOL_VIOLATION, message)));
        }
        self.fill(5).await?;
        let len = (&self.buffer[1..5]).get_u32() as usize;
        let max = if frontend::may_be_large(kind) { self.message_bytes_max } else { SMALL_MESSAGE_BYTES_MAX };
        if len < 4 || len > max {
            let message = format!("invalid message length {len}, at most {max} bytes are accepted");
            return Err(ReadError::Violation(fatal(PROTOCOL_VIOLATION, message)));
        }
        self.fill(len + 1).await?;
        self.buffer.advance(5);
        Ok((kind, self.buffer.split_to(len - 4).freeze()))
    }

    /// Whether the next message has arrived already and is a Sync.
    pub fn next_is_sync(&self) -> bool {
        self.buffer.first() == Some(&b'S')
    }

    /// Resolves when the client goes away; until then reads ahead within a bound. Cancel-safe.
    pub async fn closed(&mut self) {
        loop {
            if self.buffer.len() >= READ_AHEAD_BYTES {
                return std::future::pending().await;
            }
            self.buffer.reserve(READ_BYTES);
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn fill(&mut self, len: usize) -> Result<(), ReadError> {
        while self.buffer.len() < len {
            let missing = len - self.buffer.len();
            // Room for what is missing, but never more than doubles what has arrived.
            self.buffer.reserve(missing.min(self.buffer.len().max(READ_AHEAD_BYTES)).max(READ_BYTES));
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(ReadError::Closed);
            }
        }
        Ok(())
    }

    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
    }
}
