//! The tables and columns that points need and that are not there.

use super::columns::ColumnRows;
use super::request::Points;
use super::tables::{TIME_COLUMN, TableRows};
use lightning_sql::extension::quoted;
use lightning_sql::{Result, Session, SqlState};

/// The schema that measurements are tables of.
pub(crate) const SCHEMA: &str = "public";

/// Creates what is missing, each table in a transaction of its own; whether anything was.
pub(crate) async fn create_missing(session: &Session, points: &Points) -> Result<bool> {
    let mut created = false;
    for table in &points.tables {
        let columns: Vec<String> = table.new_columns().map(declared).collect();
        let sql = match &table.table {
            None => create_table(table, &columns),
            Some(_) if columns.is_empty() => continue,
            Some(_) => {
                let added: Vec<String> =
                    columns.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}")).collect();
                format!("ALTER TABLE {} {}", qualified(&table.name), added.join(", "))
            }
        };
        for statement in session.parse(&sql)? {
            session.run(&statement).await?;
        }
        created = true;
    }
    session.take_notices();
    Ok(created)
}

/// The table of a measurement that is new.
fn create_table(table: &TableRows, columns: &[String]) -> String {
    let time = format!("{} timestamp with time zone NOT NULL", quoted(TIME_COLUMN));
    let columns: Vec<&str> = std::iter::once(time.as_str()).chain(columns.iter().map(String::as_str)).collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({}) {TABLE_OPTIONS}", qualified(&table.name), columns.join(", "))
}

/// What is said of new tables behind their columns.
const TABLE_OPTIONS: &str = "WITH (time_column = 'time', partition_by = '1 day')";

fn declared(column: &ColumnRows) -> String {
    format!("{} {}", quoted(&column.name), column.pg.sql_name())
}

fn qualified(table: &str) -> String {
    format!("{}.{}", quoted(SCHEMA), quoted(table))
}

/// Whether a failure is that of somebody who was faster: the next attempt sees what they did.
pub(crate) fn is_race(state: SqlState) -> bool {
    // Serialization failure, deadlock, undefined table, duplicate table, duplicate column, duplicate object.
    matches!(state.0, "40001" | "40P01" | "42P01" | "42P07" | "42701" | "42710")
}
