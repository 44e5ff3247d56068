//! Bodies of HTTP requests: read whole, decompressed, and bounded before and after that.
//!
//! What a client sends costs memory only as it arrives, and is paid from the database's budget: a body that does not fit is refused (413 when it is
//! too large for any server like this, 503 when others need the memory now), and a small body that decompresses to a large one is stopped on the way.

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use lightning_storage::budget::Reservation;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one body, as sent and decompressed.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
/// Time a client has for each piece of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// Larger bodies are decompressed on a thread that may be busy for a while.
const SHORT_BYTES_MAX: usize = 1 << 14;
/// Bytes decompressed at a time.
const PIECE_BYTES: usize = 1 << 18;
/// Bytes of memory for each of a body: itself, and what its reader makes of it.
const MEMORY_FACTOR: usize = 2;

/// Why a request is not answered by its handler: status and message.
pub(crate) type Refusal = (u16, String);

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

/// Reads a body to its end. `memory` holds what it costs.
pub(crate) async fn read(headers: &HeaderMap, mut body: Incoming, memory: &Arc<Reservation>) -> Result<Bytes, Refusal> {
    let encoding = encoding(headers)?;
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = next_frame(&mut body).await? {
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        reserve(memory, data.len())?;
        read.extend_from_slice(&data);
    }
    let read = read.freeze();
    match encoding {
        Encoding::Identity => Ok(read),
        Encoding::Gzip if read.len() <= SHORT_BYTES_MAX => decompress(&read, memory),
        Encoding::Gzip => {
            let memory = Arc::clone(memory);
            let decompressed = tokio::task::spawn_blocking(move || decompress(&read, &memory)).await;
            decompressed.unwrap_or_else(|_| Err((503, "the server is shutting down".to_owned())))
        }
    }
}

async fn next_frame(body: &mut Incoming) -> Result<Option<hyper::body::Frame<Bytes>>, Refusal> {
    match tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(e))) => Err((400, format!("could not read the body: {e}"))),
        Err(_) => Err((408, "the body did not arrive in time".to_owned())),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err((415, format!("content encoding \"{other}\" is not understood; use gzip or identity"))),
    }
}

fn too_large() -> Refusal {
    (413, format!("the body is larger than {} MiB; send it in pieces", BODY_BYTES_MAX >> 20))
}

fn reserve(memory: &Reservation, bytes: usize) -> Result<(), Refusal> {
    memory.try_grow(bytes * MEMORY_FACTOR).map_err(|e| (503, e.to_string()))
}

fn decompress(compressed: &[u8], memory: &Reservation) -> Result<Bytes, Refusal> {
    // InfluxDB's client of version 1 says so of requests without a body, too.
    if compressed.is_empty() {
        return Ok(Bytes::new());
    }
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut plain = Vec::new();
    loop {
        reserve(memory, PIECE_BYTES)?;
        let before = plain.len();
        let piece = decoder.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut plain);
        piece.map_err(|e| (400, format!("the body is not valid gzip: {e}")))?;
        if plain.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if plain.len() == before {
            return Ok(plain.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lightning_storage::budget::MemoryBudget;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_undone_within_bounds() {
        let memory = MemoryBudget::new(1 << 30).register("test");
        let twice = [gzip(b"a b=1\n"), gzip(b"a b=2\n")].concat();
        assert_eq!(decompress(&twice, &memory).unwrap(), "a b=1\na b=2\n");
        let cut = gzip(b"a b=1\n");
        assert_eq!(decompress(&cut[..cut.len() - 9], &memory).unwrap_err().0, 400);
        assert_eq!(decompress(b"no gzip", &memory).unwrap_err().0, 400);
        assert_eq!(decompress(b"", &memory).unwrap(), "");
        let bomb = gzip(&vec![b'\n'; BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < 4 << 20, "{} bytes", bomb.len());
        assert_eq!(decompress(&bomb, &memory).unwrap_err().0, 413);
        let little = MemoryBudget::new(4 << 20).register("test");
        assert_eq!(decompress(&bomb, &little).unwrap_err().0, 503);
    }
}
