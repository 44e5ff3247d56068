//! REFRESH MATERIALIZED VIEW.

use super::mark;
use super::query::{Marked, Queries, ROWS, materialized, rows_table};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::named_query_plan;
use crate::provider::{StatementTables, state_with};
use crate::semantics;
use crate::session::Run;
use crate::sqlstate::WRONG_OBJECT_TYPE;
use crate::statements::insert::sources;
use crate::statements::modify::rows::{Held, read};
use crate::statements::target::Name;
use crate::transaction::WriteTxn;
use crate::write::Shape;
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::UInt64Type;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{ObjectName, Query};
use lightning_catalog::{Materialized, Relation, Table, View};
use lightning_storage::{TableId, TableMode};
use std::sync::Arc;

/// Runs the statement; rows written.
pub(crate) async fn run(run: &Run, name: &ObjectName) -> Result<Outcome> {
    let name = Name::new(run, name)?;
    let context = run.session.context()?;
    let view = match name.find(&context) {
        Some(Relation::View(view)) if view.materialized.is_some() => Arc::clone(view),
        Some(_) => {
            return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a materialized view", name.name)));
        }
        None => return Err(name.unknown()),
    };
    let mut write = run.session.write()?;
    let rows = materialized(&view)?.rows();
    // One at a time; readers go on.
    let patience = run.patience_for(&view.name, rows);
    write.lock(&patience, |txn| Ok(txn.lock_table(rows, TableMode::Exclusive))).await?;
    let (storage, catalog) = write.refresh()?;
    let context = run.session.set_context(storage, catalog);
    let Some(Relation::View(view)) = context.catalog.relation_by_oid(view.oid).cloned() else {
        return Err(name.unknown());
    };
    let marked = Marked::of(&view, &context)?;
    let written = if marked.ranges.is_empty() { 0 } else { compute(run, &view, &context, &marked, &mut write).await? };
    write.finish().await?;
    Ok(Outcome::Done { tag: "REFRESH MATERIALIZED VIEW".to_owned(), rows: written })
}

/// Puts the marked buckets, computed anew, in the place of the old ones, and takes the marks away; rows written.
pub(crate) async fn compute(
    run: &Run,
    view: &View,
    context: &Arc<StatementContext>,
    marked: &Marked,
    write: &mut WriteTxn,
) -> Result<u64> {
    let queries = Queries::new(view, context, marked)?;
    let outdated = fetch(run, view, context, &queries.outdated()?).await?.1;
    let mut places: Vec<u64> = Vec::new();
    for batch in &outdated.batches {
        places.extend_from_slice(batch.column(0).as_primitive::<UInt64Type>().values());
    }
    let computed = rows(run, view, context, &queries.computed()?).await?;
    let kept = materialized(view)?.clone();
    let (snapshot, marks) = (context.storage.clone(), marked.places());
    let count = computed.iter().map(|batch| batch.num_rows() as u64).sum();
    // Those above may have seen what was marked here, kept or not.
    let buckets = mark::batch(&marked.of_buckets(view, context)?)?;
    let above = context.catalog.materialized_views().filter_map(|above| above.materialized.as_ref());
    let above: Vec<TableId> = above.filter(|above| above.source == view.oid).map(Materialized::marks).collect();
    write
        .blocking(move |txn| {
            txn.delete(&snapshot, kept.rows(), &UInt64Array::from(places))?;
            txn.delete(&snapshot, kept.marks(), &marks)?;
            computed.into_iter().try_for_each(|batch| txn.append(kept.rows(), batch))?;
            above.into_iter().try_for_each(|marks| txn.append(marks, buckets.clone()))?;
            Ok(())
        })
        .await?;
    Ok(count)
}

/// The rows of a query as the view keeps them.
async fn rows(run: &Run, view: &View, context: &Arc<StatementContext>, query: &Query) -> Result<Vec<RecordBatch>> {
    let (sources, held) = fetch(run, view, context, query).await?;
    let shape = Shape::new(&as_table(view)?, crate::text::datetime::utc());
    let batch = |batch: &RecordBatch| {
        let columns = batch.columns().iter().enumerate();
        let columns =
            columns.map(|(at, values)| shape.assign(at, &sources[at], values)).collect::<Result<Vec<ArrayRef>>>();
        shape.batch(columns?, batch.num_rows())
    };
    held.batches.iter().map(batch).collect()
}

async fn fetch(
    run: &Run,
    view: &View,
    context: &Arc<StatementContext>,
    query: &Query,
) -> Result<(Vec<crate::write::SourceColumn>, Held)> {
    let state = state(run, view, context)?;
    let plan = named_query_plan(&state, query).await?;
    let sources = sources(&state, &plan)?;
    let held = read(run, &state, &plan, |batch| Ok((batch.num_rows() > 0).then_some(batch))).await?;
    Ok((sources, held))
}

/// What the view's own query is planned with, and its rows with their places.
fn state(run: &Run, view: &View, context: &Arc<StatementContext>) -> Result<SessionState> {
    let context = Arc::new(StatementContext { search_path: view.search_path.clone(), ..context.as_ref().clone() });
    let rows = rows_table(view, &context)?.with_places();
    let tables: StatementTables = [(ROWS.to_owned(), Arc::new(rows) as _)].into();
    let mut state = state_with(&run.session.base, &run.session.info, &context, tables);
    semantics::begin_statement(&mut state, &run.session.info);
    Ok(state)
}

/// The kept rows as a table of the catalog would describe them.
pub(crate) fn as_table(view: &View) -> Result<Arc<Table>> {
    Ok(Arc::new(Table {
        oid: view.oid,
        type_oid: view.type_oid,
        schema: view.schema,
        name: view.name.clone(),
        columns: view.columns.clone(),
        primary_key: None,
        indexes: Vec::new(),
        time: None,
        triggers: Vec::new(),
        storage_id: materialized(view)?.rows_id,
    }))
}
