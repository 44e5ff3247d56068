//! A file's connection over the wire protocol: values by the simple protocol, types by the extended one.

use crate::column::{Column, returns_rows, value};
use crate::failure::Failure;
use sqllogictest::{AsyncDB, DBOutput};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A client of a server, Lightning's or PostgreSQL's.
pub struct Wire {
    client: Client,
    engine: &'static str,
}

impl Wire {
    /// Connects. `engine` is what `onlyif` and `skipif` lines call the server.
    pub async fn connect(config: &Config, engine: &'static str) -> Result<Self, Failure> {
        let (client, connection) = config.connect(NoTls).await?;
        // The task ends with its connection; errors reach the statement that meets them.
        tokio::spawn(connection);
        Ok(Wire { client, engine })
    }

    /// Types of a query's columns, when it can be prepared.
    async fn types(&self, sql: &str) -> Option<Vec<Column>> {
        let statement = self.client.prepare(sql).await.ok()?;
        Some(statement.columns().iter().map(|column| Column::of_type(column.type_().oid())).collect())
    }
}

#[async_trait::async_trait]
impl AsyncDB for Wire {
    type Error = Failure;
    type ColumnType = Column;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Column>, Failure> {
        let messages = self.client.simple_query(sql).await?;
        let mut rows = Vec::new();
        let mut columns = None;
        let mut affected = 0;
        for message in &messages {
            match message {
                SimpleQueryMessage::RowDescription(description) => columns = Some(description.len()),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|column| value(row.get(column))).collect::<Vec<_>>());
                }
                SimpleQueryMessage::CommandComplete(count) => affected = *count,
                _ => {}
            }
        }
        match columns {
            Some(columns) if returns_rows(sql) => {
                let types = self.types(sql).await.unwrap_or_else(|| vec![Column::Unknown; columns]);
                Ok(DBOutput::Rows { types, rows })
            }
            _ => Ok(DBOutput::StatementComplete(affected)),
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.engine
    }

    fn error_sql_state(e: &Failure) -> Option<String> {
        Some(e.state.clone())
    }
}
