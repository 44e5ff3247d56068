//! CREATE INDEX and DROP INDEX, and the indexes of UNIQUE constraints.
//!
//! An index is built under a lock on its table that keeps writers out and lets readers in, of the newest committed rows.

use super::done;
use super::target::{Name, folded};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{
    ACTIVE_SQL_TRANSACTION, DEPENDENT_OBJECTS_STILL_EXIST, DUPLICATE_TABLE, INVALID_PARAMETER_VALUE,
    SERIALIZATION_FAILURE, SUCCESSFUL_COMPLETION, TOO_MANY_COLUMNS, UNDEFINED_COLUMN, UNDEFINED_OBJECT,
    WRONG_OBJECT_TYPE,
};
use crate::transaction::WriteTxn;
use crate::types::PgType;
use crate::unique::UniqueKey;
use datafusion::sql::sqlparser::ast::{CreateIndex, Expr, Ident, IndexColumn as Written, IndexType, ObjectName};
use lightning_catalog::{Edit, IndexColumn, NewIndex, ObjectKind, Oid, Snapshot, Table};
use lightning_storage::TableMode;
use std::sync::Arc;

/// Columns of an index, as in PostgreSQL.
const COLUMNS_MAX: usize = 32;
/// Bytes of an identifier.
const NAME_BYTES_MAX: usize = 63;

/// An index to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its name, when it was given one.
    pub(super) name: Option<String>,
    pub(super) columns: Vec<IndexColumn>,
    pub(super) is_unique: bool,
    pub(super) is_constraint: bool,
}

/// CREATE INDEX.
pub(super) async fn create(run: &Run, create: &CreateIndex) -> Result<Outcome> {
    refuse(create)?;
    if create.concurrently && run.session.transactions.in_block() {
        let message = "CREATE INDEX CONCURRENTLY cannot run inside a transaction block";
        return Err(Error::new(ACTIVE_SQL_TRANSACTION, message));
    }
    let name = create.name.as_ref().map(|name| Name::new(run, name)).transpose()?;
    let table_name = Name::new(run, &create.table_name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let table = table_name.table(&context, "create index on")?;
    let wanted = Wanted {
        name: name.map(|name| name.name),
        columns: create.columns.iter().map(|column| index_column(run, &table, column)).collect::<Result<_>>()?,
        is_unique: create.unique,
        is_constraint: false,
    };
    if let Some(name) = wanted.name.as_ref().filter(|name| context.catalog.taken_by(table.schema, name).is_some()) {
        if !create.if_not_exists {
            return Err(Error::new(DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
        }
        let message = format!("relation \"{name}\" already exists, skipping");
        run.session.notice("NOTICE", DUPLICATE_TABLE, message);
        write.finish().await?;
        return Ok(done("CREATE INDEX"));
    }
    let id = table.storage_table();
    write.lock(&run.patience(&table), |txn| Ok(txn.lock_table(id, TableMode::Share))).await?;
    write.refresh()?;
    if write.level()?.keeps_snapshot() {
        let txn = &write.txn()?.storage;
        if txn.newest()?.timestamp() != txn.snapshot().timestamp() {
            let message = "could not create the index because other transactions committed since this one began";
            return Err(Error::new(SERIALIZATION_FAILURE, message).with_hint("Run the transaction again."));
        }
    }
    let mut edit = Edit::new(&context.catalog);
    build(run, &mut write, &mut edit, &table, wanted).await?;
    write.apply(edit)?;
    write.finish().await?;
    Ok(done("CREATE INDEX"))
}

fn refuse(create: &CreateIndex) -> Result<()> {
    let method = match &create.using {
        None | Some(IndexType::BTree) => None,
        Some(other) => Some(other.to_string().to_lowercase()),
    };
    if let Some(method) = method {
        return Err(match method.as_str() {
            "hash" | "gist" | "gin" | "spgist" | "brin" => Error::unsupported(format!("access method \"{method}\"")),
            _ => Error::new(UNDEFINED_OBJECT, format!("access method \"{method}\" does not exist")),
        });
    }
    let what = if create.predicate.is_some() {
        "a partial index"
    } else if !create.include.is_empty() {
        "an index with INCLUDE"
    } else if create.nulls_distinct == Some(false) {
        "NULLS NOT DISTINCT"
    } else if let Some(option) = create.with.first() {
        return fillfactor(option);
    } else {
        return Ok(());
    };
    Err(Error::unsupported(what))
}

/// `fillfactor` means nothing here and is accepted, as tables accept it.
fn fillfactor(option: &Expr) -> Result<()> {
    match option {
        Expr::BinaryOp { left, .. } if left.to_string().eq_ignore_ascii_case("fillfactor") => Ok(()),
        other => Err(Error::new(INVALID_PARAMETER_VALUE, format!("unrecognized parameter \"{other}\""))),
    }
}

fn index_column(run: &Run, table: &Table, written: &Written) -> Result<IndexColumn> {
    let Expr::Identifier(ident) = &written.column.expr else {
        return Err(Error::unsupported("an index over an expression"));
    };
    if let Some(class) = &written.operator_class {
        return Err(Error::unsupported(format!("operator class \"{class}\"")));
    }
    let column = find_column(run, table, ident)?;
    let descending = written.column.options.asc == Some(false);
    let nulls_first = written.column.options.nulls_first.unwrap_or(descending);
    Ok(IndexColumn { column, descending, nulls_first })
}

fn find_column(run: &Run, table: &Table, ident: &Ident) -> Result<usize> {
    let name = folded(ident);
    table.column_index(&name).ok_or_else(|| {
        Error::new(UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
            .with_position(run.parsed.position(ident.span.start))
    })
}

/// Builds an index of a table that is locked against writers.
pub(super) async fn build(
    run: &Run,
    write: &mut WriteTxn,
    edit: &mut Edit,
    table: &Arc<Table>,
    wanted: Wanted,
) -> Result<()> {
    if wanted.columns.len() > COLUMNS_MAX {
        let message = format!("cannot use more than {COLUMNS_MAX} columns in an index");
        return Err(Error::new(TOO_MANY_COLUMNS, message));
    }
    wanted.columns.iter().try_for_each(|column| check_type(table, column.column))?;
    let label = if wanted.is_constraint { "key" } else { "idx" };
    let columns: Vec<usize> = wanted.columns.iter().map(|column| column.column).collect();
    let name = match wanted.name {
        Some(name) => name,
        None => {
            let names: Vec<&str> = columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
            free_name(edit.current(), table.schema, &table.name, &names.join("_"), label)
        }
    };
    let id = table.storage_table();
    let key = wanted.is_unique.then(|| UniqueKey::of_columns(table, &name, columns.clone(), run.session.zone()));
    let storage_table = write
        .blocking(move |txn| {
            if let Some(key) = key {
                key.check_table(&txn.snapshot())?;
            }
            Ok(txn.create_index(id, &columns)?)
        })
        .await?;
    let Wanted { columns, is_unique, is_constraint, .. } = wanted;
    edit.create_index(table.oid, NewIndex { name, columns, is_unique, is_constraint, storage_table })?;
    Ok(())
}

/// Refuses types whose values PostgreSQL cannot order, or we cannot.
fn check_type(table: &Table, column: usize) -> Result<()> {
    const JSON: u32 = 114;
    const JSONB: u32 = 3802;
    let column = &table.columns[column];
    let Some(pg) = PgType::by_oid(column.type_oid.0) else { return Ok(()) };
    if pg.oid == JSON {
        let message = "data type json has no default operator class for access method \"btree\"";
        return Err(Error::new(UNDEFINED_OBJECT, message).with_hint(
            "You must specify an operator class for the index or define a default operator class for the data type.",
        ));
    }
    if pg.oid == JSONB || pg.element().is_some() {
        return Err(Error::unsupported(format!("an index over a column of type {}", pg.sql_name())));
    }
    Ok(())
}

/// `table_columns_label`, cut to what an identifier holds, with a number behind it when that is taken.
pub(super) fn free_name(catalog: &Snapshot, schema: Oid, table: &str, columns: &str, label: &str) -> String {
    for number in 0.. {
        let label = if number == 0 { label.to_owned() } else { format!("{label}{number}") };
        let name = object_name(table, columns, &label);
        if catalog.taken_by(schema, &name).is_none() {
            return name;
        }
    }
    unreachable!("numbers do not end")
}

/// The longer of the two names loses its end until all of it fits.
fn object_name(first: &str, second: &str, label: &str) -> String {
    let joints = 1 + usize::from(!second.is_empty());
    let room = NAME_BYTES_MAX - label.len() - joints;
    let (mut first_bytes, mut second_bytes) = (first.len(), second.len());
    while first_bytes + second_bytes > room {
        if first_bytes > second_bytes { first_bytes -= 1 } else { second_bytes -= 1 }
    }
    let cut = |text: &str, bytes: usize| text[..text.floor_char_boundary(bytes)].to_owned();
    let parts = [cut(first, first_bytes), cut(second, second_bytes), label.to_owned()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// DROP INDEX.
pub(super) async fn drop(run: &Run, names: &[ObjectName], if_exists: bool) -> Result<Outcome> {
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let mut edit = Edit::new(&catalog);
    for name in names {
        let name = Name::new(run, name)?;
        let catalog = Arc::new(edit.current().clone());
        let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
        let Some(table) = find_table(&name, &context) else {
            if let Some(relation) = name.find(&context) {
                let kind = relation.kind();
                let hint = format!("Use DROP {} to remove a {kind}.", kind.noun().to_uppercase());
                let message = format!("\"{}\" is not an {}", name.name, ObjectKind::Index);
                return Err(Error::new(WRONG_OBJECT_TYPE, message).with_hint(hint));
            }
            if !if_exists {
                let message = format!("index \"{}\" does not exist", name.display());
                return Err(Error::new(UNDEFINED_OBJECT, message));
            }
            let message = format!("index \"{}\" does not exist, skipping", name.display());
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
            continue;
        };
        let index = table.index(&name.name).filter(|index| index.constraint.is_none()).cloned();
        let Some(index) = index else {
            let (name, table) = (&name.name, &table.name);
            let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
            let hint = format!("You can drop constraint {name} on table {table} instead.");
            return Err(Error::new(DEPENDENT_OBJECTS_STILL_EXIST, message).with_hint(hint));
        };
        let id = table.storage_table();
        write.lock(&run.patience(&table), |txn| Ok(txn.lock_table(id, TableMode::AccessExclusive))).await?;
        write.refresh()?;
        write.txn()?.storage.drop_table(index.storage_table())?;
        edit.drop_index(table.oid, index.oid)?;
    }
    write.apply(edit)?;
    write.finish().await?;
    Ok(done("DROP INDEX"))
}

/// The table that has an index of this name.
pub(super) fn find_table(name: &Name, context: &StatementContext) -> Option<Arc<Table>> {
    let path = match &name.schema {
        Some(schema) => std::slice::from_ref(schema),
        None => &context.search_path,
    };
    let mut schemas = path.iter().filter_map(|schema| context.catalog.schema(context.database, schema));
    let found = schemas.find(|schema| context.catalog.taken_by(schema.oid, &name.name).is_some())?;
    context.catalog.indexed_table(found.oid, &name.name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_postgresql_cuts_them() {
        assert_eq!(object_name("t", "a_b", "idx"), "t_a_b_idx");
        assert_eq!(object_name("t", "", "pkey"), "t_pkey");
        let (table, column) = ("t".repeat(60), "c".repeat(40));
        let name = object_name(&table, &column, "key");
        assert_eq!(name.len(), 63);
        assert_eq!(name, format!("{}_{}_key", "t".repeat(29), "c".repeat(29)));
        assert_eq!(object_name(&"é".repeat(40), "", "pkey").len(), 1 + 4 + 58);
    }
}
