//! Messages to the client, appended to an output buffer.
//!
//! Control messages are pgwire's types; rows are written by [`crate::encode`] straight into the same buffer. A NUL byte
//! would end a field of a message early, so texts are cut at the first one.

use bytes::BytesMut;
use lightning_sql::{Error, Notice, Severity, TransactionStatus};
use pgwire::messages::response::{ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as WireStatus};
use pgwire::messages::{Message, response, startup};

/// Appends `message`. Encoding fails only for messages longer than the protocol allows, which none of ours is.
pub fn put<M: Message>(out: &mut BytesMut, message: M) {
    let start = out.len();
    if message.encode(out).is_err() {
        out.truncate(start);
    }
}

/// `ErrorResponse` with every field the error has.
pub fn put_error(out: &mut BytesMut, error: &Error) {
    let error = &error.0;
    let severity = match error.severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.state.0.to_owned()),
        (b'M', clean(&error.message)),
    ];
    let mut optional = |code: u8, value: &Option<String>| {
        if let Some(value) = value {
            fields.push((code, clean(value)));
        }
    };
    optional(b'D', &error.detail);
    optional(b'H', &error.hint);
    optional(b'P', &error.position.map(|p| p.to_string()));
    optional(b'W', &error.context);
    optional(b't', &error.table);
    optional(b'c', &error.column);
    optional(b'n', &error.constraint);
    put(out, ErrorResponse::new(fields));
}

/// `NoticeResponse`.
pub fn put_notice(out: &mut BytesMut, notice: &Notice) {
    let fields = vec![
        (b'S', notice.severity.to_owned()),
        (b'V', notice.severity.to_owned()),
        (b'C', notice.state.0.to_owned()),
        (b'M', clean(&notice.message)),
    ];
    put(out, NoticeResponse::new(fields));
}

/// `ReadyForQuery`.
pub fn put_ready(out: &mut BytesMut, status: TransactionStatus) {
    let status = match status {
        TransactionStatus::Idle => WireStatus::Idle,
        TransactionStatus::InTransaction => WireStatus::Transaction,
        TransactionStatus::Failed => WireStatus::Error,
    };
    put(out, ReadyForQuery::new(status));
}

/// `CommandComplete`.
pub fn put_complete(out: &mut BytesMut, tag: &str) {
    put(out, response::CommandComplete::new(clean(tag)));
}

/// `ParameterStatus`.
pub fn put_parameter(out: &mut BytesMut, name: &str, value: &str) {
    put(out, startup::ParameterStatus::new(clean(name), clean(value)));
}

/// The text up to its first NUL.
pub fn clean(text: &str) -> String {
    text.split('\0').next().unwrap_or_default().to_owned()
}
