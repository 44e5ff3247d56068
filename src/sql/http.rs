//! HTTP as extensions see it: requests and answers that are whole, routes to those who answer, and the database behind them.
//!
//! Nothing here listens: the server's one HTTP listener reads a request up to its bound, undoes its compression, finds the [`Route`], and
//! calls its [`Handler`]. So an extension knows nothing of sockets, nor this crate of an HTTP library.
//!
//! What must hold: a handler answers one request of a connection at a time, and never panics for what a client sent.

use crate::error::Result;
use crate::instance::{ConnectOptions, Instance};
use crate::session::Session;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The user of sessions that requests use.
const USER: &str = "lightning";

/// What a client wants done; others than these are refused before any route is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: as GET, and the body of the answer is left out.
    Head,
    /// `POST`
    Post,
}

/// A whole request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path, as it was sent.
    pub path: String,
    /// Parameters behind the `?`, decoded, in the order sent.
    pub parameters: Vec<(String, String)>,
    /// Body, decompressed.
    pub body: Bytes,
}

impl Request {
    /// The value of a parameter; the first when it was sent twice.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names and values; a length is added.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// JSON.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Response {
        Response { body: body.into(), ..Response::empty(status) }.with_header("Content-Type", "application/json")
    }

    /// The answer with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }
}

/// One HTTP connection: its requests share a session, as statements of other clients do.
#[derive(Debug)]
pub struct Client {
    instance: Arc<Instance>,
    session: Option<Session>,
}

impl Client {
    /// A connection that has asked for nothing yet.
    pub fn new(instance: Arc<Instance>) -> Client {
        Client { instance, session: None }
    }

    /// The connection's session on a database; 3D000 when there is no such one.
    pub fn session(&mut self, database: &str) -> Result<&Session> {
        let known = self.session.take().filter(|session| session.info().database == database);
        let session = match known {
            Some(session) => session,
            None => self.instance.connect(ConnectOptions {
                user: USER.to_owned(),
                database: database.to_owned(),
                settings: vec![("application_name".to_owned(), "http".to_owned())],
                local_files: false,
            })?,
        };
        Ok(self.session.insert(session))
    }
}

/// Who answers requests.
#[async_trait]
pub trait Handler: fmt::Debug + Send + Sync {
    /// Answers one.
    async fn handle(&self, request: Request, client: &mut Client) -> Response;
}

/// Which requests a handler answers.
#[derive(Clone, Debug)]
pub struct Route {
    /// Methods.
    pub methods: &'static [Method],
    /// The whole path.
    pub path: &'static str,
    /// Who answers.
    pub handler: Arc<dyn Handler>,
}

/// The parameters of a query or a form: `a=1&b=%20`, decoded. What is not UTF-8 then becomes replacement characters.
pub fn parameters(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2))),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                plain.push((high << 4 | low) as u8);
                at += 3;
            }
            None => {
                plain.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let of = |text| parameters(text);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of("db=a%20b&precision=s"), [pair("db", "a b"), pair("precision", "s")]);
        assert_eq!(
            of("q=CREATE+DATABASE+%22x%22&&empty&="),
            [pair("q", "CREATE DATABASE \"x\""), pair("empty", ""), pair("", "")]
        );
        assert_eq!(
            of("a=%C3%A9&b=%zz&c=%&d=%ff"),
            [pair("a", "é"), pair("b", "%zz"), pair("c", "%"), pair("d", "\u{fffd}")]
        );
    }
}
