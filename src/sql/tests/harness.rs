//! A database in memory, and statements with their results as text.

use arrow::array::timezone::Tz;
use futures::StreamExt;
use lightning_sql::extension::Extensions;
use lightning_sql::text::TextColumn;
use lightning_sql::{ConnectOptions, Error, Instance, InstanceOptions, Outcome, Session};
use lightning_storage::{Engine, Options};
use lightning_vfs::{MemoryVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

/// One database and one session.
pub struct Db {
    pub vfs: Arc<dyn Vfs>,
    pub instance: Arc<Instance>,
    pub session: Session,
}

impl Db {
    pub fn new() -> Db {
        Self::open(Arc::new(MemoryVfs::new()))
    }

    pub fn open(vfs: Arc<dyn Vfs>) -> Db {
        Self::extended(vfs, Extensions::default())
    }

    pub fn extended(vfs: Arc<dyn Vfs>, extensions: Extensions) -> Db {
        let options = Options { memory_limit_bytes: 512 << 20, threads: 2 };
        let engine = Engine::open(Arc::clone(&vfs), Path::new("/db"), options).expect("open engine");
        let options = InstanceOptions { threads: 2, spill_dir: None, extensions };
        let instance = Instance::open(engine, options).expect("open instance");
        let session = connect(&instance);
        Db { vfs, instance, session }
    }

    pub async fn run(&self, sql: &str) -> Result<String, Error> {
        run(&self.session, sql).await
    }

    /// Runs what must succeed.
    pub async fn ok(&self, sql: &str) -> String {
        match self.run(sql).await {
            Ok(text) => text,
            Err(e) => panic!("{sql}: {e} {:?}", e.0),
        }
    }

    /// Runs what must fail: SQLSTATE and message.
    pub async fn err(&self, sql: &str) -> (String, String) {
        match self.run(sql).await {
            Ok(text) => panic!("{sql} succeeded: {text}"),
            Err(e) => (e.state().0.to_owned(), e.message().to_owned()),
        }
    }

    pub async fn state(&self, sql: &str) -> String {
        self.err(sql).await.0
    }
}

pub fn connect(instance: &Arc<Instance>) -> Session {
    let options =
        ConnectOptions { user: "lightning".into(), database: "lightning".into(), settings: vec![], local_files: true };
    instance.connect(options).expect("connect")
}

/// Runs a script; the last statement's rows (`a|b` lines) or tag.
pub async fn run(session: &Session, sql: &str) -> Result<String, Error> {
    let mut last = String::new();
    for statement in session.parse(sql)? {
        last = text(session.run(&statement).await?).await?;
    }
    Ok(last)
}

pub async fn text(outcome: Outcome) -> Result<String, Error> {
    let zone: Tz = "+00:00".parse().expect("zone");
    Ok(match outcome {
        Outcome::Empty => String::new(),
        Outcome::Done { tag, .. } => tag,
        Outcome::Rows(mut rows) => {
            let mut lines = Vec::new();
            while let Some(batch) = rows.batches.next().await {
                let batch = batch?;
                assert_eq!(batch.schema(), rows.schema);
                let columns: Vec<TextColumn> =
                    batch.columns().iter().map(|c| TextColumn::new(c, zone).expect("text")).collect();
                for row in 0..batch.num_rows() {
                    let cells: Vec<String> =
                        columns.iter().map(|c| c.value(row).unwrap_or_else(|| "NULL".into())).collect();
                    lines.push(cells.join("|"));
                }
            }
            lines.join("\n")
        }
        Outcome::CopyIn(_) => "COPY IN".into(),
        Outcome::CopyOut(mut out) => {
            let mut all = Vec::new();
            while let Some(data) = out.data.next().await {
                all.extend_from_slice(data?.bytes());
            }
            String::from_utf8(all).expect("text")
        }
    })
}
