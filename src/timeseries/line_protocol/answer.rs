//! Answers in the words of InfluxDB's two interfaces, which their clients look for.

use super::request::Problems;
use lightning_sql::Error;
use lightning_sql::http::{Request, Response};
use serde_json::json;

/// What clients ask servers to tell of themselves.
pub(crate) const VERSION_HEADER: &str = "X-Influxdb-Version";
/// This server's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whose interface a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// InfluxDB 1: `/write?db=`
    One,
    /// InfluxDB 2: `/api/v2/write?bucket=`
    Two,
}

impl Version {
    /// The database that a request names. A bucket may be `database/retention policy`.
    pub(crate) fn database(self, request: &Request) -> Option<&str> {
        let named = match self {
            Version::One => request.parameter("db").or_else(|| request.parameter("bucket")),
            Version::Two => request.parameter("bucket").or_else(|| request.parameter("db")),
        };
        let name = named.map(|name| name.split_once('/').map_or(name, |(database, _)| database));
        name.filter(|name| !name.is_empty())
    }

    /// Everything is durable.
    pub(crate) fn written(self) -> Response {
        Response::empty(204).with_header(VERSION_HEADER, VERSION)
    }

    /// A parameter is wrong.
    pub(crate) fn invalid(self, message: &str) -> Response {
        self.error(400, "invalid", message)
    }

    /// Some lines were wrong, and others refused with them.
    pub(crate) fn partly_written(self, rows: u64, refused: usize, problems: &Problems) -> Response {
        // Clients look for these words: they do not send the same again.
        let what = if rows == 0 { "unable to parse" } else { "partial write" };
        let dropped = problems.count() + refused;
        self.error(400, "invalid", &format!("{what}: {} dropped={dropped}", problems.describe()))
    }

    /// Nothing was written.
    pub(crate) fn failed(self, error: &Error) -> Response {
        let state = error.state().0;
        if state == "3D000" {
            // Telegraf looks for these words.
            return self.error(404, "not found", &format!("database not found: {}", error.message()));
        }
        let (status, code) = match &state[..2] {
            "22" | "23" | "42" | "0A" => (400, "invalid"),
            "28" => (403, "forbidden"),
            "40" | "53" | "55" | "57" => (503, "unavailable"),
            _ => (500, "internal error"),
        };
        self.error(status, code, &format!("{} (SQLSTATE {state})", error.message()))
    }

    fn error(self, status: u16, code: &str, message: &str) -> Response {
        let body = match self {
            Version::One => json!({ "error": message }),
            Version::Two => json!({ "code": code, "message": message }),
        };
        let response = Response::json(status, body.to_string()).with_header(VERSION_HEADER, VERSION);
        // Clients wait so many seconds and send the same again.
        if status == 503 { response.with_header("Retry-After", "1") } else { response }
    }
}
