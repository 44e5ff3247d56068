//! A client that writes HTTP as it goes over the socket, and a database in memory behind a listener.

use futures::TryStreamExt;
use lightning::arrow::array::RecordBatch;
use lightning::arrow::util::display::array_value_to_string;
use lightning::{Database, HttpServer};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer: its status, its head and its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The message of an error.
    pub fn error(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        json["error"].as_str().unwrap_or_else(|| panic!("no error in {}", self.body)).to_owned()
    }
}

/// Sends bytes on a connection of its own and reads what comes back until it is closed; nothing, when there is no server.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    // A server that has heard enough may close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Sends a request that is answered.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    try_send(address, method, path, headers, body).expect("no answer")
}

/// Sends a request; `None` when nobody answers.
pub fn try_send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let answer = exchange(address, &[head.as_bytes(), body].concat());
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok())?;
    Some(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// A database in memory behind a listener.
pub struct Served {
    pub database: Database,
    pub server: HttpServer,
}

impl Served {
    /// A new one.
    pub fn start() -> Served {
        let database = Database::builder().memory_limit(256 << 20).threads(2).memory().unwrap();
        let server = HttpServer::start(&database, "127.0.0.1:0").unwrap();
        Served { database, server }
    }

    /// Sends a body.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        send(self.server.local_addr(), "POST", path, "", body.as_bytes())
    }

    /// Writes points; all of them must be taken.
    pub fn write(&self, parameters: &str, body: &str) {
        let answer = self.post(&format!("/write?db=lightning{parameters}"), body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{body}");
    }

    /// Runs SQL.
    pub fn run(&self, sql: &str) {
        let session = self.database.connect().unwrap();
        runtime().block_on(session.execute(sql)).unwrap();
    }

    /// Rows of a query, comma-separated.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        rows_of(&self.database, sql)
    }

    /// The columns of a table and their types.
    pub fn columns(&self, table: &str) -> Vec<String> {
        self.rows(&format!(
            "select column_name || ' ' || data_type from information_schema.columns where table_name = '{table}' \
             order by ordinal_position"
        ))
    }
}

/// Rows of a query, comma-separated.
pub fn rows_of(database: &Database, sql: &str) -> Vec<String> {
    let session = database.connect().unwrap();
    let batches: Vec<RecordBatch> =
        runtime().block_on(async { session.query(sql).await.unwrap().try_collect::<Vec<_>>().await }).unwrap();
    let row = |batch: &RecordBatch, row| {
        let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join(",")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|number| row(batch, number))).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
