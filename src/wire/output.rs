//! The sending half of a connection: one buffer, written out about every 64 KiB, waiting for a slow client.

use bytes::BytesMut;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// Bytes collected before they are written.
pub const FLUSH_BYTES: usize = 64 * 1024;

/// Buffered writing.
#[derive(Debug)]
pub struct Output {
    socket: OwnedWriteHalf,
    /// What is to be sent next; messages are appended here.
    pub buffer: BytesMut,
}

impl Output {
    /// Writes to `socket`.
    pub fn new(socket: OwnedWriteHalf) -> Self {
        Output { socket, buffer: BytesMut::new() }
    }

    /// Writes everything out.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.socket.write_all(&self.buffer).await?;
            self.buffer.clear();
        }
        if self.buffer.capacity() > 4 * FLUSH_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// Writes out when enough has gathered; this is where a slow client slows its statement down.
    pub async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Gives memory back before an idle wait.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > FLUSH_BYTES / 4 {
            self.buffer = BytesMut::new();
        }
    }

    /// Ends the connection.
    pub async fn close(&mut self) {
        // The client may be gone already; there is nobody to tell.
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
    }
}
