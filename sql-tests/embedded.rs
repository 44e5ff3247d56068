//! A file's connection through the embedded API.

use crate::column::{Column, returns_rows, value};
use crate::failure::Failure;
use futures::TryStreamExt;
use lightning::text::TextEncoder;
use lightning::{Database, Session};
use sqllogictest::{AsyncDB, DBOutput};

/// A session of an in-process database.
#[derive(Debug)]
pub struct Embedded(Session);

impl Embedded {
    /// A session of its own.
    pub fn connect(database: &Database) -> Result<Self, Failure> {
        Ok(Embedded(database.connect()?))
    }
}

#[async_trait::async_trait]
impl AsyncDB for Embedded {
    type Error = Failure;
    type ColumnType = Column;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Column>, Failure> {
        if !returns_rows(sql) {
            return Ok(DBOutput::StatementComplete(self.0.execute(sql).await?));
        }
        let mut stream = self.0.query(sql).await?;
        let schema = stream.schema();
        let encoder = TextEncoder::new(&schema, &self.0.setting("TimeZone").unwrap_or_default());
        let mut rows = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            let mut text = encoder.bind(&batch)?;
            for row in 0..text.rows() {
                rows.push(text.row(row).iter().map(|text| value(text.as_deref())).collect());
            }
        }
        let types = schema.fields().iter().map(|field| Column::of_type(lightning::text::type_oid(field)));
        Ok(DBOutput::Rows { types: types.collect(), rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "lightning"
    }

    fn error_sql_state(e: &Failure) -> Option<String> {
        Some(e.state.clone())
    }
}
