//! The paths that Telegraf and InfluxDB's clients use.

use super::answer::{VERSION, VERSION_HEADER, Version};
use super::write::write;
use async_trait::async_trait;
use lightning_sql::http::{Client, Handler, Method, Request, Response, Route};
use serde_json::json;
use std::sync::Arc;

/// All of them.
pub(crate) fn routes() -> Vec<Route> {
    let write = |path, version| Route { methods: &[Method::Post], path, handler: Arc::new(Write(version)) };
    vec![
        write("/write", Version::One),
        write("/api/v2/write", Version::Two),
        Route { methods: &[Method::Get, Method::Head], path: "/ping", handler: Arc::new(Ping) },
        Route { methods: &[Method::Get, Method::Head], path: "/health", handler: Arc::new(Health) },
        Route { methods: &[Method::Post], path: "/query", handler: Arc::new(Query) },
    ]
}

/// Stores points.
#[derive(Debug)]
struct Write(Version);

#[async_trait]
impl Handler for Write {
    async fn handle(&self, request: Request, client: &mut Client) -> Response {
        write(self.0, request, client).await
    }
}

/// Says that the server is there.
#[derive(Debug)]
struct Ping;

#[async_trait]
impl Handler for Ping {
    async fn handle(&self, _: Request, _: &mut Client) -> Response {
        Response::empty(204).with_header(VERSION_HEADER, VERSION)
    }
}

/// Says that the server is well.
#[derive(Debug)]
struct Health;

#[async_trait]
impl Handler for Health {
    async fn handle(&self, _: Request, _: &mut Client) -> Response {
        let body = json!({
            "name": "lightning",
            "message": "ready for queries and writes",
            "status": "pass",
            "checks": [],
            "version": VERSION,
        });
        Response::json(200, body.to_string()).with_header(VERSION_HEADER, VERSION)
    }
}

/// Takes the CREATE DATABASE that Telegraf sends before it writes. Queries are SQL, over the PostgreSQL protocol.
#[derive(Debug)]
struct Query;

#[async_trait]
impl Handler for Query {
    async fn handle(&self, request: Request, client: &mut Client) -> Response {
        let of_body = || form_value(&request.body, "q");
        let text = request.parameter("q").map(str::to_owned).or_else(of_body).unwrap_or_default();
        let Some(name) = created_database(&text) else {
            let message = "only CREATE DATABASE is understood here; send queries over the PostgreSQL protocol";
            return Response::json(400, json!({ "error": message }).to_string()).with_header(VERSION_HEADER, VERSION);
        };
        let result = match client.session(&name) {
            Ok(_) => json!({}),
            // Writing to it says so again, as an error.
            Err(e) => json!({ "messages": [{ "level": "warning", "text": e.message() }] }),
        };
        let body = json!({ "results": [result] });
        Response::json(200, body.to_string()).with_header(VERSION_HEADER, VERSION)
    }
}

/// The name in `CREATE DATABASE name …`.
fn created_database(text: &str) -> Option<String> {
    let mut rest = text.trim();
    for word in ["create", "database"] {
        let (first, after) = rest.split_once(char::is_whitespace)?;
        if !first.eq_ignore_ascii_case(word) {
            return None;
        }
        rest = after.trim_start();
    }
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(|c: char| c.is_whitespace() || c == ';').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

/// A value of a form in a body.
fn form_value(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let values = lightning_sql::http::parameters(body);
    values.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telegrafs_create_database_is_understood() {
        let of = |text| created_database(text);
        assert_eq!(of("CREATE DATABASE \"telegraf\"").as_deref(), Some("telegraf"));
        assert_eq!(of(" create  database lightning;").as_deref(), Some("lightning"));
        assert_eq!(of("CREATE DATABASE x WITH DURATION 3d").as_deref(), Some("x"));
        for text in ["", "SHOW DATABASES", "CREATE DATABASE", "DROP DATABASE x", "CREATE DATABASE \"\""] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(form_value(b"a=1&q=CREATE+DATABASE+%22x%22", "q").as_deref(), Some("CREATE DATABASE \"x\""));
    }
}
