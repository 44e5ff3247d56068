//! Rows that triggers look at, and expressions over them.
//!
//! Old and new rows are batches in the table's columns in which any value may be NULL: what a column refuses is found out after the
//! last BEFORE trigger. Expressions see them as two sets of rows, `old` and `new`, row by row; the set that an event does not
//! have consists of NULLs.

use crate::clauses;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::parser::calls::identifier;
use crate::parser::trigger_body::row_column;
use crate::plan::named_query_plan;
use crate::prepared::bind;
use crate::provider::{StatementTables, arrow_schema, state_with};
use crate::semantics;
use crate::session::Run;
use crate::sqlstate::INTERNAL_ERROR;
use crate::statements::insert::sources;
use crate::statements::modify::rows::read;
use crate::statements::modify::rowset::{RowSet, joined, tables};
use crate::write::SourceColumn;
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, sort_to_indices, take, take_record_batch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Visit, Visitor};
use lightning_catalog::Table;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The columns of a table, any of which may be NULL.
pub(crate) fn loose_schema(table: &Table) -> SchemaRef {
    let strict = arrow_schema(&table.columns);
    let loose = strict.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(loose.collect::<Vec<_>>()))
}

/// Rows that change, as they were and as they will be or are: row n of one is row n of the other.
#[derive(Clone, Debug)]
pub(crate) struct ChangedRows {
    pub(crate) old: Option<RecordBatch>,
    pub(crate) new: Option<RecordBatch>,
}

impl ChangedRows {
    pub(crate) fn inserted(new: RecordBatch) -> ChangedRows {
        ChangedRows { old: None, new: Some(new) }
    }

    pub(crate) fn deleted(old: RecordBatch) -> ChangedRows {
        ChangedRows { old: Some(old), new: None }
    }

    pub(crate) fn updated(old: RecordBatch, new: RecordBatch) -> ChangedRows {
        ChangedRows { old: Some(old), new: Some(new) }
    }

    pub(crate) fn len(&self) -> usize {
        self.new.as_ref().or(self.old.as_ref()).map_or(0, RecordBatch::num_rows)
    }

    /// Some of the rows.
    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<ChangedRows> {
        let take = |batch: &Option<RecordBatch>| batch.as_ref().map(|b| take_record_batch(b, rows)).transpose();
        Ok(ChangedRows { old: take(&self.old)?, new: take(&self.new)? })
    }

    /// One of them.
    pub(crate) fn row(&self, row: usize) -> ChangedRows {
        let slice = |batch: &Option<RecordBatch>| batch.as_ref().map(|batch| batch.slice(row, 1));
        ChangedRows { old: slice(&self.old), new: slice(&self.new) }
    }

    /// The same in columns that may be NULL.
    pub(crate) fn loosened(self, schema: &SchemaRef) -> Result<ChangedRows> {
        let loosen = |batch: Option<RecordBatch>| batch.map(|batch| loosened(batch, schema)).transpose();
        Ok(ChangedRows { old: loosen(self.old)?, new: loosen(self.new)? })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = |batch: &Option<RecordBatch>| batch.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        bytes(&self.old) + bytes(&self.new)
    }
}

/// A batch of the table's columns under the loose schema.
pub(super) fn loosened(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    with_columns(schema, batch.columns().to_vec(), batch.num_rows())
}

/// A batch of columns under a schema.
pub(super) fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The rows under their two names, each in a table of the statement's whose name has `depth` in it.
pub(super) fn row_sets(schema: &SchemaRef, rows: &ChangedRows, depth: usize) -> Result<[RowSet; 2]> {
    let set = |alias: &str, batch: &Option<RecordBatch>| {
        let columns = match batch {
            Some(batch) => batch.columns().to_vec(),
            None => schema.fields().iter().map(|field| new_null_array(field.data_type(), rows.len())).collect(),
        };
        RowSet::new(&format!("trigger {depth} {alias}"), &identifier(alias), schema.fields().to_vec(), vec![columns])
    };
    Ok([set("new", &rows.new)?, set("old", &rows.old)?])
}

/// Those of the two sets that an expression reads; never none.
pub(super) fn read_sets<'a>(sets: &[RowSet; 2], parts: impl Iterator<Item = &'a Expr>) -> Vec<RowSet> {
    struct Read([bool; 2]);
    impl Visitor for Read {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match row_column(expr) {
                Some((true, _)) => self.0[0] = true,
                Some((false, _)) => self.0[1] = true,
                None => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut read = Read([false; 2]);
    for expr in parts {
        let _ = expr.visit(&mut read);
    }
    if read.0 == [false, false] {
        read.0[0] = true;
    }
    sets.iter().zip(read.0).filter(|(_, is_read)| *is_read).map(|(set, _)| set.clone()).collect()
}

/// Values of expressions, for rows that satisfy a condition.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// Numbers of the rows, ascending.
    pub(super) rows: UInt32Array,
    /// One array an expression, with what it is of.
    pub(super) values: Vec<(ArrayRef, SourceColumn)>,
}

/// What expressions are evaluated in.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) run: &'a Run,
    pub(super) context: &'a Arc<StatementContext>,
    /// What errors call the place of the expression.
    pub(super) clause: &'a str,
}

impl Evaluation<'_> {
    /// Evaluates expressions over rows that satisfy a condition.
    pub(super) async fn over(
        &self,
        sets: &[RowSet; 2],
        exprs: Vec<Expr>,
        condition: Option<Expr>,
    ) -> Result<Evaluated> {
        let sets = read_sets(sets, exprs.iter().chain(&condition));
        let number = sets.first().map(RowSet::number);
        let items = number.into_iter().chain(exprs);
        let (plan, state) = self.plan(items.collect(), condition, Some(&sets)).await?;
        let sources = sources(&state, &plan)?;
        let held = read(self.run, &state, &plan, |batch| Ok(Some(batch))).await?;
        let schema = held.batches.first().map_or(held.schema, |batch| batch.schema());
        let batch = concat_batches(&schema, &held.batches)?;
        let numbers = batch
            .column(0)
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| Error::new(INTERNAL_ERROR, "rows must be numbered by integers"))?;
        let rows = UInt32Array::from_iter_values(numbers.values().iter().map(|number| *number as u32));
        let columns = batch.columns()[1..].iter().cloned();
        if rows.values().is_sorted() {
            return Ok(Evaluated { rows, values: columns.zip(sources.into_iter().skip(1)).collect() });
        }
        let order = sort_to_indices(&rows, None, None)?;
        let columns = columns.map(|column| Ok(take(&column, &order, None)?)).collect::<Result<Vec<_>>>()?;
        let rows = take(&rows, &order, None)?.as_primitive().clone();
        Ok(Evaluated { rows, values: columns.into_iter().zip(sources.into_iter().skip(1)).collect() })
    }

    /// Whether a condition that looks at no row is satisfied.
    pub(super) async fn holds(&self, condition: Expr) -> Result<bool> {
        let one = crate::parser::parse_expression("1")?;
        let (plan, state) = self.plan(vec![one], Some(condition), None).await?;
        let held = read(self.run, &state, &plan, |batch| Ok(Some(batch))).await?;
        Ok(held.batches.iter().any(|batch| batch.num_rows() > 0))
    }

    /// The types of expressions.
    pub(super) async fn sources(&self, sets: Option<&[RowSet; 2]>, exprs: Vec<Expr>) -> Result<Vec<SourceColumn>> {
        let (plan, state) = self.plan(exprs, None, sets.map(|sets| sets.as_slice())).await?;
        sources(&state, &plan)
    }

    async fn plan(
        &self,
        items: Vec<Expr>,
        condition: Option<Expr>,
        sets: Option<&[RowSet]>,
    ) -> Result<(datafusion::logical_expr::LogicalPlan, datafusion::execution::session_state::SessionState)> {
        let session = &self.run.session;
        let of_sets = sets.map_or_else(StatementTables::new, tables);
        let mut state = state_with(&session.base, &session.info, self.context, of_sets);
        semantics::begin_statement(&mut state, &session.info);
        // One partition keeps the rows in their order.
        state.config_mut().options_mut().execution.target_partitions = 1;
        for expr in items.iter().chain(&condition) {
            clauses::refuse(&state, expr, self.clause)?;
        }
        let query = query(items, condition, sets)?;
        let plan = bind(named_query_plan(&state, &query).await?, self.run, None)?;
        Ok((plan, state))
    }
}

/// `SELECT items FROM sets WHERE condition`.
pub(super) fn query(items: Vec<Expr>, condition: Option<Expr>, sets: Option<&[RowSet]>) -> Result<Query> {
    let mut query = crate::parser::parse_query("SELECT NULL")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let item = |(index, expr)| SelectItem::ExprWithAlias {
            expr,
            alias: identifier(&crate::parser::names::marked("", index)),
        };
        select.projection = items.into_iter().enumerate().map(item).collect();
        select.from = sets.map_or_else(Vec::new, joined);
        select.selection = condition;
    }
    Ok(query)
}
