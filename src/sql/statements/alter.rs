//! ALTER TABLE … ADD COLUMN.
//!
//! Rows move: a table's form in storage is fixed from its creation on, so the rows are written again, wider, into a new one,
//! its indexes are built over them, and the table's name leads there when the transaction commits. Meanwhile the table is
//! locked against writers, and readers go on with what their snapshot has. The price is that of writing the table once.

use super::target::Name;
use super::{create, done};
use crate::context::StatementContext;
use crate::defaults::RowlessExpr;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::named_query_plan;
use crate::provider::{arrow_schema, state_for};
use crate::session::Run;
use crate::sqlstate::{
    DUPLICATE_COLUMN, FEATURE_NOT_SUPPORTED, NOT_NULL_VIOLATION, SERIALIZATION_FAILURE, SUCCESSFUL_COMPLETION,
    TOO_MANY_COLUMNS, WRONG_OBJECT_TYPE,
};
use crate::transaction::WriteTxn;
use crate::write::Shape;
use crate::{parser, semantics};
use datafusion::common::Column as PlanColumn;
use datafusion::sql::sqlparser::ast::{AlterTable, AlterTableOperation, ColumnDef};
use lightning_catalog::{Edit, NewColumn, Relation, Table, View};
use lightning_storage::{ScanSpec, TableDefinition, TableId, TableMode, Transaction};
use std::sync::Arc;

/// ALTER TABLE.
pub(super) async fn table(run: &Run, alter: &AlterTable) -> Result<Outcome> {
    let definitions = definitions(alter)?;
    let name = Name::new(run, &alter.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let before = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    if alter.if_exists && name.find(&before).is_none() {
        let message = format!("relation \"{}\" does not exist, skipping", name.display());
        return skip(run, write, message).await;
    }
    if let Some(relation @ (Relation::View(_) | Relation::Graph(_))) = name.find(&before) {
        let message = format!("ALTER action ADD COLUMN cannot be performed on relation \"{}\"", relation.name());
        let detail = format!("This operation is not supported for {}s.", relation.kind());
        return Err(Error::new(WRONG_OBJECT_TYPE, message).with_detail(detail));
    }
    let table = name.table(&before, "alter")?;
    let mut columns: Vec<NewColumn> = Vec::new();
    for (definition, if_not_exists) in definitions {
        let column = create::added_column(run, &table.name, definition).await?;
        let is_taken = table.column_index(&column.name).is_some() || columns.iter().any(|c| c.name == column.name);
        let taken = || format!("column \"{}\" of relation \"{}\" already exists", column.name, table.name);
        match (is_taken, if_not_exists) {
            (false, _) => columns.push(column),
            (true, true) => {
                let message = format!("{}, skipping", taken());
                run.session.notice("NOTICE", DUPLICATE_COLUMN, message);
            }
            (true, false) => return Err(Error::new(DUPLICATE_COLUMN, taken()).with_column(&column.name)),
        }
    }
    if table.columns.len() + columns.len() > create::COLUMNS_MAX {
        let message = format!("tables can have at most {} columns", create::COLUMNS_MAX);
        return Err(Error::new(TOO_MANY_COLUMNS, message));
    }
    if !columns.is_empty() {
        lock(run, &mut write, &table).await?;
        add(run, &mut write, &before, &table, columns).await?;
    }
    write.finish().await?;
    Ok(done("ALTER TABLE"))
}

/// The columns to add, and whether each may be there already.
fn definitions(alter: &AlterTable) -> Result<Vec<(&ColumnDef, bool)>> {
    let of = |operation| match operation {
        &AlterTableOperation::AddColumn { if_not_exists, ref column_def, column_position: None, .. } => {
            Ok((column_def, if_not_exists))
        }
        AlterTableOperation::SetOptionsParens { .. } => {
            Err(Error::unsupported("ALTER TABLE with SET (…) and other actions at once"))
        }
        other => Err(Error::unsupported(format!("ALTER TABLE {other}"))),
    };
    if alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
        return Err(Error::unsupported("this form of ALTER TABLE"));
    }
    alter.operations.iter().map(of).collect()
}

async fn skip(run: &Run, write: WriteTxn, message: String) -> Result<Outcome> {
    run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
    write.finish().await?;
    Ok(done("ALTER TABLE"))
}

/// Keeps others from writing to the table, and moves to a snapshot with all they have written.
async fn lock(run: &Run, write: &mut WriteTxn, table: &Table) -> Result<()> {
    let id = table.storage_table();
    write.lock(&run.patience(table), |txn| Ok(txn.lock_table(id, TableMode::AccessExclusive))).await?;
    write.refresh()?;
    if write.level()?.keeps_snapshot() {
        let txn = &write.txn()?.storage;
        if txn.newest()?.timestamp() != txn.snapshot().timestamp() {
            let message = "could not change the table because other transactions committed since this one began";
            return Err(Error::new(SERIALIZATION_FAILURE, message).with_hint("Run the transaction again."));
        }
    }
    Ok(())
}

/// Adds columns to a table that is locked.
async fn add(
    run: &Run,
    write: &mut WriteTxn,
    before: &Arc<StatementContext>,
    table: &Arc<Table>,
    columns: Vec<NewColumn>,
) -> Result<()> {
    let mut defaults = Vec::with_capacity(columns.len());
    for column in &columns {
        defaults.push(RowlessExpr::default_of(run, &create::catalog_column(column)).await?);
    }
    let mut edit = Edit::new(&before.catalog);
    let wider = edit.add_columns(table.oid, columns)?;
    let known = write.txn()?.storage.snapshot().table(table.storage_table())?.definition;
    // The columns that are there stay as storage has them, whatever else is said of them.
    let described = arrow_schema(&wider.columns);
    let fields = known.schema.fields().iter().chain(&described.fields()[table.columns.len()..]).cloned();
    let schema = Arc::new(arrow::datatypes::Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        known.schema.metadata().clone(),
    ));
    let definition = TableDefinition { schema, ..known };
    let shape = Shape::new(&wider, run.session.zone());
    let (moving, active) = (Arc::clone(&wider), Arc::clone(&run.active));
    let check = move || active.check();
    let (to, indexes_to) =
        write.blocking(move |txn| move_rows(txn, &moving, definition, &shape, &defaults, check)).await?;
    edit.move_rows(table.oid, to, &indexes_to)?;
    let dependents = edit.dependents_of(table.oid);
    let catalog = Arc::new(edit.current().clone());
    write.apply(edit)?;
    let after = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    for dependent in dependents {
        // A graph has the columns that are written out in its definition, whatever is added.
        if let Relation::View(view) = dependent {
            check_view(run, &view, table, before, &after).await?;
        }
    }
    Ok(())
}

/// Writes the rows of a table again with the columns it has now, and makes its indexes; where both are then.
fn move_rows(
    txn: &mut Transaction,
    table: &Table,
    definition: TableDefinition,
    shape: &Shape,
    defaults: &[Option<RowlessExpr>],
    check: impl Fn() -> Result<()>,
) -> Result<(TableId, Vec<TableId>)> {
    let (from, snapshot) = (table.storage_table(), txn.snapshot());
    let to = txn.create_table(definition)?;
    let kept = table.columns.len() - defaults.len();
    let scan = snapshot.scan(from, ScanSpec { projection: (0..kept).collect(), ..ScanSpec::default() })?;
    let mut appender = txn.appender(to)?;
    for batch in scan.reader() {
        check()?;
        let batch = batch?;
        let rows = batch.num_rows();
        if rows == 0 {
            continue;
        }
        let mut columns = batch.columns().to_vec();
        for (column, default) in (kept..).zip(defaults) {
            let definition = &table.columns[column];
            if definition.not_null && default.is_none() {
                let message =
                    format!("column \"{}\" of relation \"{}\" contains null values", definition.name, table.name);
                return Err(Error::new(NOT_NULL_VIOLATION, message).with_column(&definition.name));
            }
            columns.push(match default {
                Some(default) => shape.assign(column, &default.source, &default.evaluate(rows)?)?,
                None => shape.nulls(column, rows),
            });
        }
        appender.push(shape.batch(columns, rows)?)?;
    }
    appender.finish(txn)?;
    let indexes = table.indexes.iter().map(|index| txn.create_index(to, &index.column_indexes()));
    let indexes = indexes.collect::<lightning_storage::Result<Vec<_>>>()?;
    txn.drop_table(from)?;
    Ok((to, indexes))
}

/// Refuses a column that would change what a view is: one whose query says `*` reads the new column, too, and the columns behind it
/// would come out under other names.
async fn check_view(
    run: &Run,
    view: &View,
    table: &Table,
    before: &Arc<StatementContext>,
    after: &Arc<StatementContext>,
) -> Result<()> {
    let had = view_columns(run, view, before).await?;
    let refused = || {
        let message =
            format!("cannot add a column to table \"{}\" because view \"{}\" reads it", table.name, view.name);
        Error::new(FEATURE_NOT_SUPPORTED, message)
            .with_detail("The columns of the view would not be the same any more.")
            .with_hint("Drop the view and create it again, with the columns it reads named one by one.")
    };
    match view_columns(run, view, after).await {
        Ok(has) if has.starts_with(&had) => Ok(()),
        _ => Err(refused()),
    }
}

/// What a view's query yields.
pub(super) async fn view_columns(run: &Run, view: &View, context: &Arc<StatementContext>) -> Result<Vec<PlanColumn>> {
    let context = StatementContext { search_path: view.search_path.clone(), ..context.as_ref().clone() };
    let mut state = state_for(&run.session.base, &run.session.info, &Arc::new(context));
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = named_query_plan(&state, &parser::parse_query(&view.definition)?).await?;
    Ok(plan.schema().columns())
}
