//! The opening of a connection: encryption is declined, cancel requests are served, sessions are started.
//!
//! A connection that has not become a session has no say yet: its packets are capped at 10,000 bytes, it may ask for
//! encryption once per kind, and the server gives it a limited time.

use crate::backend::{put, put_error, put_parameter, put_ready};
use crate::frontend::{PROTOCOL_VIOLATION, fatal, utf8};
use crate::input::{Input, ReadError};
use crate::output::Output;
use bytes::{Buf, BufMut, Bytes};
use lightning_sql::{ConnectOptions, Error, Instance, Result, Session, Severity, SqlState};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey};
use std::sync::Arc;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// Protocol 3.0, the newest version spoken.
const PROTOCOL_VERSION: i32 = 3 << 16;
/// Database used when the client names none.
const DEFAULT_DATABASE: &str = "lightning";

/// Settings every client is told at the start, with the value for the case that the session has none of its own.
const REPORTED: &[(&str, &str)] = &[
    ("server_version", "15.8"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("application_name", ""),
    ("is_superuser", "on"),
    ("session_authorization", ""),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
];

/// What the first packets of a connection asked for.
#[derive(Debug)]
pub enum Opening {
    /// A session with these options.
    Session(ConnectOptions),
    /// Nothing more: it was a cancel request, or the client is gone.
    Finished,
}

/// Reads the packets before a session.
pub async fn negotiate(
    input: &mut Input,
    output: &mut Output,
    instance: &Arc<Instance>,
    local_files: bool,
) -> std::result::Result<Opening, ReadError> {
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        let mut packet = input.startup_packet().await?;
        match packet.get_u32() {
            SSL_REQUEST if !ssl_asked => ssl_asked = true,
            GSS_REQUEST if !gss_asked => gss_asked = true,
            CANCEL_REQUEST => {
                if packet.len() == 8 {
                    instance.cancel(packet.get_i32(), packet.get_i32());
                }
                return Ok(Opening::Finished);
            }
            version => {
                let options = session_options(version, packet, output, local_files).map_err(ReadError::Violation)?;
                return Ok(Opening::Session(options));
            }
        }
        output.buffer.put_u8(b'N');
        output.flush().await?;
    }
}

fn session_options(version: u32, packet: Bytes, output: &mut Output, local_files: bool) -> Result<ConnectOptions> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0");
        return Err(fatal(SqlState("0A000"), message));
    }
    let mut options =
        ConnectOptions { user: String::new(), database: String::new(), settings: Vec::new(), local_files };
    let mut unsupported = Vec::new();
    for (name, value) in parameters(&packet)? {
        match name.as_str() {
            "user" => options.user = value,
            "database" => options.database = value,
            "replication" if !matches!(value.as_str(), "false" | "off" | "no" | "0") => {
                return Err(fatal(SqlState("0A000"), "replication connections are not supported"));
            }
            "replication" => {}
            "options" => options.settings.extend(command_line_settings(&value)?),
            _ if name.starts_with("_pq_.") => unsupported.push(name),
            _ => options.settings.push((name, value)),
        }
    }
    if minor > 0 || !unsupported.is_empty() {
        put(&mut output.buffer, NegotiateProtocolVersion::new(PROTOCOL_VERSION, unsupported));
    }
    if options.user.is_empty() {
        return Err(fatal(SqlState("28000"), "no PostgreSQL user name specified in startup packet"));
    }
    if options.database.is_empty() {
        options.database = DEFAULT_DATABASE.to_owned();
    }
    Ok(options)
}

/// The name and value pairs of a startup packet, each ended by a NUL, an empty name ending them all.
fn parameters(packet: &[u8]) -> Result<Vec<(String, String)>> {
    let invalid = || fatal(PROTOCOL_VIOLATION, "invalid startup packet layout: expected terminator as last byte");
    let texts = packet.strip_suffix(&[0]).ok_or_else(invalid)?;
    let Some(texts) = texts.strip_suffix(&[0]) else {
        return if texts.is_empty() { Ok(Vec::new()) } else { Err(invalid()) };
    };
    let mut pairs = Vec::new();
    let mut rest = texts.split(|byte| *byte == 0);
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(invalid)?;
        let fatal_text = |bytes| {
            utf8(bytes).map(str::to_owned).map_err(|mut error| {
                error.0.severity = Severity::Fatal;
                error
            })
        };
        pairs.push((fatal_text(name)?, fatal_text(value)?));
    }
    Ok(pairs)
}

/// Settings of the parameter `options`: `-c name=value`, `-cname=value` or `--name=value`, backslashes escaping spaces.
fn command_line_settings(options: &str) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = word.strip_prefix("--") {
            rest.replacen('-', "_", rest.split('=').next().map_or(0, |name| name.matches('-').count()))
        } else if let Some(rest) = word.strip_prefix("-c") {
            rest.to_owned()
        } else {
            return Err(fatal(SqlState("42601"), format!("invalid command-line argument for server process: {word}")));
        };
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| fatal(SqlState("42601"), format!("-c {assignment} requires a value")))?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Tells the client that its session stands.
pub fn welcome(output: &mut Output, session: &Session, user: &str) {
    let out = &mut output.buffer;
    put(out, Authentication::Ok);
    let own = session.take_parameter_changes();
    for (name, default) in REPORTED {
        let value = own.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let value = value.or_else(|| session.setting(name)).unwrap_or_else(|| (*default).to_owned());
        let value = if *name == "session_authorization" && value.is_empty() { user.to_owned() } else { value };
        put_parameter(out, name, &value);
    }
    for (name, value) in own.iter().filter(|(n, _)| !REPORTED.iter().any(|(name, _)| n.eq_ignore_ascii_case(name))) {
        put_parameter(out, name, value);
    }
    let (process_id, secret) = session.backend_key();
    put(out, BackendKeyData::new(process_id, SecretKey::I32(secret)));
    put_ready(out, session.transaction_status());
}

/// Tells a client why there will be no session, and closes.
pub async fn refuse(output: &mut Output, mut error: Error) {
    error.0.severity = Severity::Fatal;
    put_error(&mut output.buffer, &error);
    output.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_need_their_terminator() {
        assert_eq!(parameters(b"user\0a\0\0").expect("valid"), [("user".to_owned(), "a".to_owned())]);
        assert!(parameters(b"\0").expect("valid").is_empty());
        assert!(parameters(b"user\0a").is_err());
        assert!(parameters(b"user\0\0").is_err());
        assert!(parameters(b"user\0\xff\0\0").is_err());
    }

    #[test]
    fn options_set_parameters() {
        let settings = command_line_settings("-c a=1 --search-path=x\\ y -cb=2").expect("valid");
        let expected = [("a", "1"), ("search_path", "x y"), ("b", "2")];
        assert_eq!(settings, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(command_line_settings("-x").is_err());
    }
}
