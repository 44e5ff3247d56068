//! VACUUM: tables without deleted rows, in blocks that do not overlap.

use super::done;
use super::target::Name;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{ACTIVE_SQL_TRANSACTION, WRONG_OBJECT_TYPE};
use crate::transaction::blocking;
use datafusion::sql::sqlparser::ast::ObjectName;
use lightning_catalog::{CATALOG_TABLE, Relation, Table};
use lightning_storage::TableId;
use std::sync::Arc;

/// Runs VACUUM of the named tables, or of all.
pub(super) async fn run(run: &Run, names: &[ObjectName]) -> Result<Outcome> {
    if run.session.transactions.in_block() && !run.session.transactions.is_implicit() {
        return Err(Error::new(ACTIVE_SQL_TRANSACTION, "VACUUM cannot run inside a transaction block"));
    }
    let context = run.session.context()?;
    let mut stored: Vec<TableId> = Vec::new();
    let add = |table: &Arc<Table>, stored: &mut Vec<TableId>| {
        stored.push(table.storage_table());
        stored.extend(table.indexes.iter().map(|index| index.storage_table()));
    };
    for name in names {
        let name = Name::new(run, name)?;
        match name.find(&context) {
            Some(Relation::Table(table)) => add(table, &mut stored),
            Some(_) => {
                let message =
                    format!("skipping \"{}\" --- cannot vacuum non-tables or special system tables", name.name);
                run.session.warn(WRONG_OBJECT_TYPE, message);
            }
            None if name.is_system(&context) => {}
            None => return Err(name.unknown()),
        }
    }
    if names.is_empty() {
        stored.push(CATALOG_TABLE);
        for relation in context.catalog.all_relations(context.database) {
            if let Relation::Table(table) = relation {
                add(table, &mut stored);
            }
        }
    }
    for table in stored {
        run.active.check()?;
        let engine = Arc::clone(run.session.instance.engine());
        blocking(move || engine.vacuum(table)).await??;
    }
    Ok(done("VACUUM"))
}
