//! Messages from the client, decoded from one framed body with every read checked.
//!
//! The message types are pgwire's; the decoding is ours, because pgwire 0.42's decoders read past the end of a
//! body that is shorter than its fields claim, which is a panic on network bytes. Here a short or overlong body is a
//! protocol violation (08P01) and text that is not UTF-8 is 22021. Counts are checked against the bytes that are
//! left before anything is allocated for them.

use bytes::{Buf, Bytes};
use lightning_sql::{Error, Result, Severity, SqlState};
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::copy::{CopyData, CopyDone, CopyFail};
use pgwire::messages::extendedquery::{Bind, Close, Describe, Execute, Flush, Parse, Sync};
use pgwire::messages::simplequery::Query;
use pgwire::messages::terminate::Terminate;

/// `protocol_violation`.
pub const PROTOCOL_VIOLATION: SqlState = SqlState("08P01");

/// Messages other than these carry names and counts only, and PostgreSQL caps them at 10,000 bytes.
pub fn may_be_large(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'd' | b'F')
}

/// Whether `kind` opens a message that this protocol knows.
pub fn is_known(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'd' | b'c' | b'f' | b'F' | b'p')
}

/// An error after which the connection cannot go on.
pub fn fatal(state: SqlState, message: impl Into<String>) -> Error {
    let mut error = Error::new(state, message);
    error.0.severity = Severity::Fatal;
    error
}

/// Decodes the body of a message of type `kind` (length word already removed).
pub fn decode(kind: u8, body: Bytes) -> Result<Message> {
    let mut body = Body { bytes: body };
    let message = match kind {
        b'Q' => Message::Query(Query::new(body.text()?)),
        b'P' => Message::Parse(parse(&mut body)?),
        b'B' => Message::Bind(bind(&mut body)?),
        b'D' => Message::Describe(Describe::new(body.u8()?, body.name()?)),
        b'C' => Message::Close(Close::new(body.u8()?, body.name()?)),
        b'E' => Message::Execute(Execute::new(body.name()?, body.i32()?)),
        b'H' => Message::Flush(Flush::new()),
        b'S' => Message::Sync(Sync::new()),
        b'X' => return Ok(Message::Terminate(Terminate::new())),
        b'd' => return Ok(Message::CopyData(CopyData::new(body.bytes))),
        b'c' => Message::CopyDone(CopyDone::new()),
        b'f' => Message::CopyFail(CopyFail::new(body.text()?)),
        b'F' => return Err(Error::new(SqlState("0A000"), "function call messages are not supported")),
        _ => return Err(fatal(PROTOCOL_VIOLATION, format!("invalid frontend message type {kind}"))),
    };
    body.finish()?;
    Ok(message)
}

fn parse(body: &mut Body) -> Result<Parse> {
    let name = body.name()?;
    let query = body.text()?;
    let count = body.count(4)?;
    let mut oids = Vec::with_capacity(count);
    for _ in 0..count {
        oids.push(body.i32()? as u32);
    }
    Ok(Parse::new(name, query, oids))
}

fn bind(body: &mut Body) -> Result<Bind> {
    let portal = body.name()?;
    let statement = body.name()?;
    let parameter_formats = body.codes()?;
    let count = body.count(4)?;
    let mut parameters = Vec::with_capacity(count);
    for _ in 0..count {
        parameters.push(match body.i32()? {
            -1 => None,
            len => Some(body.take(usize::try_from(len).map_err(|_| malformed())?)?),
        });
    }
    let result_formats = body.codes()?;
    Ok(Bind::new(portal, statement, parameter_formats, parameters, result_formats))
}

/// A cursor over one message body.
struct Body {
    bytes: Bytes,
}

impl Body {
    fn take(&mut self, len: usize) -> Result<Bytes> {
        if len > self.bytes.len() {
            return Err(malformed());
        }
        Ok(self.bytes.split_to(len))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?.get_u8())
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(self.take(2)?.get_i16())
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(self.take(4)?.get_i32())
    }

    /// An element count, each element being at least `element_bytes` long.
    fn count(&mut self, element_bytes: usize) -> Result<usize> {
        let count = usize::from(self.i16()? as u16);
        if count * element_bytes > self.bytes.len() {
            return Err(malformed());
        }
        Ok(count)
    }

    fn codes(&mut self) -> Result<Vec<i16>> {
        let count = self.count(2)?;
        (0..count).map(|_| self.i16()).collect()
    }

    /// A text up to its terminating NUL.
    fn text(&mut self) -> Result<String> {
        let end = self.bytes.iter().position(|b| *b == 0).ok_or_else(malformed)?;
        let text = self.bytes.split_to(end);
        self.bytes.advance(1);
        utf8(&text).map(str::to_owned)
    }

    /// The name of a statement or portal; the empty one is the unnamed one.
    fn name(&mut self) -> Result<Option<String>> {
        let name = self.text()?;
        Ok((!name.is_empty()).then_some(name))
    }

    fn finish(self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

fn malformed() -> Error {
    Error::new(PROTOCOL_VIOLATION, "invalid message format")
}

/// The bytes as text, or 22021 naming the first byte that is wrong.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let byte = bytes[e.valid_up_to()];
        Error::new(SqlState("22021"), format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(result: Result<Message>) -> &'static str {
        result.expect_err("must be refused").0.state.0
    }

    #[test]
    fn truncated_bodies_are_protocol_violations() {
        let whole = b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x02hi\0\x01\0\x01";
        assert!(matches!(decode(b'B', Bytes::from_static(whole)), Ok(Message::Bind(_))));
        for len in 0..whole.len() {
            assert_eq!(state(decode(b'B', Bytes::copy_from_slice(&whole[..len]))), "08P01", "length {len}");
        }
    }

    #[test]
    fn counts_beyond_the_body_are_refused_before_allocation() {
        assert_eq!(state(decode(b'P', Bytes::from_static(b"\0select 1\0\xff\xff"))), "08P01");
        assert_eq!(state(decode(b'B', Bytes::from_static(b"\0\0\0\0\0\x01\x7f\xff\xff\xff"))), "08P01");
    }

    #[test]
    fn text_that_is_not_utf8_is_named() {
        let error = decode(b'Q', Bytes::from_static(b"select '\xff'\0")).expect_err("not UTF-8");
        assert_eq!(error.0.state.0, "22021");
        assert_eq!(error.0.message, "invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(error.0.severity, Severity::Error);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(state(decode(b'S', Bytes::from_static(b"x"))), "08P01");
    }
}
