//! INSERT.
//!
//! `VALUES` lists made of literals and parameters take a short path: each cell is read by its column's text input, without
//! planning anything. Everything else is planned as a query whose columns are cast for assignment.

use super::modify::conflict::{self, NewBatches};
use super::modify::rows::memory;
use super::target::{Name, folded};
use crate::context::StatementContext;
use crate::defaults::{RowlessExpr, is_literal};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::{named_query_plan, physical_plan, start};
use crate::prepared::{bind, column_parameter, infer};
use crate::provider::{column_type, state_for};
use crate::session::{Prepared, Run};
use crate::sqlstate::{
    DUPLICATE_COLUMN, INTERNAL_ERROR, SYNTAX_ERROR, UNDEFINED_COLUMN, UNDEFINED_PARAMETER, WRONG_OBJECT_TYPE,
};
use crate::text::{ColumnBuilder, InputOptions};
use crate::transaction::WriteTxn;
use crate::triggers::{Events, Firings, TriggeredSink};
use crate::types::{self, PgType};
use crate::unique::UniqueKey;
use crate::write::{Shape, Sink, SourceColumn, append, source_of};
use crate::{parser, semantics};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentList, FunctionArguments, Ident, Insert, ObjectName, ObjectNamePart, Query,
    SelectItem, SetExpr, SetOperator, SetQuantifier, TableObject, UnaryOperator, Value, Visit, Visitor, With,
};
use futures::StreamExt;
use lightning_catalog::{Relation, Table};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rows of a VALUES list with sub-queries: each is a level of the plan.
const UNION_ROWS_MAX: usize = 400;

/// Where rows go: the table and, for each source column, the column it fills.
#[derive(Debug)]
struct Target {
    table: Arc<Table>,
    columns: Vec<usize>,
}

/// INSERT INTO.
pub(super) async fn run(run: &Run, insert: &Insert, prepared: Option<&Prepared>) -> Result<Outcome> {
    refuse(insert)?;
    loop {
        let context = run.session.context()?;
        let target = match target(run, insert, &context) {
            // The rows are looked at before the kind of relation.
            Err(e) if e.state() == WRONG_OBJECT_TYPE => {
                if let Some(query) = insert.source.as_deref().filter(|query| literal_rows(query).is_none()) {
                    let mut state = state_for(&run.session.base, &run.session.info, &context);
                    semantics::begin_statement(&mut state, &run.session.info);
                    named_query_plan(&state, query).await?;
                }
                return Err(e);
            }
            target => target?,
        };
        check_target(run, insert, &target.table)?;
        let mut write = run.session.write()?;
        let context = match write.lock_target(run, &target.table).await? {
            Some((storage, catalog)) => run.session.set_context(storage, catalog),
            // It is another table now.
            None => {
                write.finish().await?;
                continue;
            }
        };
        return run_into(run, insert, prepared, target, context, write).await;
    }
}

/// Inserts into a table that is locked against being dropped.
async fn run_into(
    run: &Run,
    insert: &Insert,
    prepared: Option<&Prepared>,
    target: Target,
    context: Arc<StatementContext>,
    write: WriteTxn,
) -> Result<Outcome> {
    if let Some(firings) = firings(run, insert, &target.table, &context)? {
        return Box::pin(run_triggered(run, insert, prepared, target, context, write, firings)).await;
    }
    let shape = Shape::new(&target.table, run.session.zone());
    if insert.on.is_some() || insert.returning.is_some() {
        let held = match insert.source.as_deref() {
            None => vec![default_values(run, &target, &shape).await?],
            Some(query) => match literal_rows(query) {
                Some(rows) => vec![literals(run, &target, &shape, &rows).await?],
                None => Incoming::plan(run, &target, shape, query, &context).await?.hold(run).await?,
            },
        };
        let held = NewBatches::from(held);
        return Box::pin(conflict::insert(run, insert, &target.table, context, held, write, prepared)).await;
    }
    let keys = UniqueKey::all(&target.table, run.session.zone());
    let rows = match insert.source.as_deref().map(|query| (query, literal_rows(query))) {
        Some((query, None)) => {
            let incoming = Incoming::plan(run, &target, shape, query, &context).await?;
            incoming.write(run, write, keys).await?
        }
        source => {
            let batch = match source {
                Some((_, Some(rows))) => literals(run, &target, &shape, &rows).await?,
                _ => default_values(run, &target, &shape).await?,
            };
            append(write, &run.patience(&target.table), keys, batch).await?
        }
    };
    Ok(Outcome::Done { tag: format!("INSERT 0 {rows}"), rows })
}

/// Refuses a table whose rows are being changed by the statement that a trigger of it runs in.
fn check_target(run: &Run, insert: &Insert, table: &Table) -> Result<()> {
    let firing = &run.session.info.firing;
    firing.check_change(table.oid, &table.name, true)?;
    if conflict::updates(insert).is_some() { firing.check_change(table.oid, &table.name, false) } else { Ok(()) }
}

/// The triggers it fires. What the table has now counts, whatever it had when it was looked up.
fn firings(run: &Run, insert: &Insert, table: &Arc<Table>, context: &StatementContext) -> Result<Option<Firings>> {
    let now = match context.catalog.relation_by_oid(table.oid) {
        Some(Relation::Table(now)) => now,
        _ => table,
    };
    if now.triggers.is_empty() {
        return Ok(None);
    }
    let updates = conflict::updates(insert).map(|update| conflict::columns_set(now, update));
    Firings::of(run, context, now, &Events { inserts: true, updates, deletes: false })
}

/// The same as [`run_into`] for a table whose triggers fire.
async fn run_triggered(
    run: &Run,
    insert: &Insert,
    prepared: Option<&Prepared>,
    target: Target,
    context: Arc<StatementContext>,
    mut write: WriteTxn,
    mut firings: Firings,
) -> Result<Outcome> {
    firings.before_statement(&mut write).await?;
    let shape = match &firings.insert {
        Some(fired) => fired.shape(),
        None => Shape::new(&target.table, run.session.zone()),
    };
    let mut incoming = match insert.source.as_deref() {
        None => Source::Batch(default_values(run, &target, &shape).await?),
        Some(query) => match literal_rows(query) {
            Some(rows) => Source::Batch(literals(run, &target, &shape, &rows).await?),
            None => Source::Query(Box::new(Incoming::plan(run, &target, shape, query, &context).await?)),
        },
    };
    if insert.on.is_none() && insert.returning.is_none() {
        let Some(fired) = firings.insert else {
            return Err(Error::new(INTERNAL_ERROR, "INSERT fires triggers of INSERT"));
        };
        let keys = UniqueKey::all(&target.table, run.session.zone());
        let mut sink = TriggeredSink::start(run, fired, &context, write, keys);
        while let Some(batch) = incoming.next(run).await? {
            sink.push(batch).await?;
        }
        let rows = sink.finish().await?;
        return Ok(Outcome::Done { tag: format!("INSERT 0 {rows}"), rows });
    }
    let mut held = match incoming {
        Source::Query(incoming) => incoming.hold(run).await?,
        Source::Batch(batch) => vec![batch],
        Source::Stream(..) | Source::End => Vec::new(),
    };
    if let Some(fired) = firings.insert.as_mut().filter(|fired| fired.has_before_rows()) {
        for batch in &mut held {
            *batch = fired.before_inserts(&mut write, batch.clone()).await?;
        }
    }
    let held = NewBatches { batches: held, firings: Some(firings) };
    Box::pin(conflict::insert(run, insert, &target.table, context, held, write, prepared)).await
}

/// Where new rows come from, batch by batch.
enum Source {
    Batch(RecordBatch),
    Query(Box<Incoming>),
    Stream(Box<Incoming>, SendableRecordBatchStream),
    End,
}

impl Source {
    async fn next(&mut self, run: &Run) -> Result<Option<RecordBatch>> {
        if let Source::Query(_) = self
            && let Source::Query(incoming) = std::mem::replace(self, Source::End)
        {
            let stream = start(&incoming.state, Arc::clone(&incoming.physical))?;
            *self = Source::Stream(incoming, stream);
        }
        match self {
            Source::Stream(incoming, stream) => match stream.next().await {
                Some(batch) => {
                    run.active.check()?;
                    incoming.complete(&batch?).map(Some)
                }
                None => Ok(None),
            },
            Source::Batch(_) => match std::mem::replace(self, Source::End) {
                Source::Batch(batch) => Ok(Some(batch)),
                _ => Ok(None),
            },
            Source::Query(_) | Source::End => Ok(None),
        }
    }
}

fn refuse(insert: &Insert) -> Result<()> {
    if insert.or.is_some() || insert.overwrite || insert.replace_into || insert.ignore || insert.partitioned.is_some() {
        return Err(Error::new(SYNTAX_ERROR, "this form of INSERT does not exist"));
    }
    Ok(())
}

fn target(run: &Run, insert: &Insert, context: &StatementContext) -> Result<Target> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT into anything but a table"));
    };
    let table = Name::new(run, name)?.table(context, "insert into")?;
    let names: Vec<&Ident> = insert.columns.iter().filter_map(last_ident).collect();
    let columns = column_indexes(run, &table, &names)?;
    Ok(Target { table, columns })
}

fn last_ident(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|p| p.as_ident())
}

/// The table's columns `names` are, or all of them.
pub(crate) fn column_indexes(run: &Run, table: &Table, names: &[&Ident]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for ident in names {
        let name = folded(ident);
        let position = run.parsed.position(ident.span.start);
        let index = table.column_index(&name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            Error::new(UNDEFINED_COLUMN, message).with_position(position)
        })?;
        if columns.contains(&index) {
            return Err(Error::new(DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
                .with_position(position));
        }
        columns.push(index);
    }
    Ok(columns)
}

/// One cell of a VALUES list that needs no planning.
enum Cell<'a> {
    Null,
    Default,
    Text(&'a str),
    Number(String),
    Bool(bool),
    Parameter(usize),
    /// `CURRENT_TIMESTAMP`, `now()`.
    Now,
}

/// The rows, if every cell is a literal, a parameter or DEFAULT.
fn literal_rows(query: &Query) -> Option<Vec<Vec<Cell<'_>>>> {
    let SetExpr::Values(values) = query.body.as_ref() else { return None };
    let plain =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if !plain {
        return None;
    }
    values.rows.iter().map(|row| row.content.iter().map(cell).collect()).collect()
}

fn cell(expr: &Expr) -> Option<Cell<'_>> {
    match expr {
        Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") => {
            Some(Cell::Default)
        }
        Expr::Value(value) => match &value.value {
            Value::Null => Some(Cell::Null),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(Cell::Text(text)),
            Value::Number(number, _) => Some(Cell::Number(number.clone())),
            Value::Boolean(value) => Some(Cell::Bool(*value)),
            Value::Placeholder(name) => {
                Some(Cell::Parameter(name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?))
            }
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => Some(Cell::Number(format!("-{number}"))),
                _ => None,
            },
            _ => None,
        },
        Expr::Function(function) if is_now(function) => Some(Cell::Now),
        _ => None,
    }
}

fn is_now(function: &Function) -> bool {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return false };
    match (folded(name).as_str(), &function.args) {
        ("current_timestamp", FunctionArguments::None) => name.quote_style.is_none(),
        ("now", FunctionArguments::List(list)) => *list == FunctionArgumentList { args: vec![], ..list.clone() },
        _ => false,
    }
}

/// What PostgreSQL takes a number without quotes for.
fn number_type(text: &str) -> PgType {
    match text.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => types::INT4,
        Ok(_) => types::INT8,
        Err(_) => types::NUMERIC,
    }
}

async fn literals(run: &Run, target: &Target, shape: &Shape, rows: &[Vec<Cell<'_>>]) -> Result<RecordBatch> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Err(Error::new(SYNTAX_ERROR, "VALUES lists must all be the same length"));
    }
    check_width(target, width, || run.parsed.position_of("values"))?;
    let mut filled: Vec<Option<ArrayRef>> = vec![None; target.table.columns.len()];
    let now = ColumnBuilder::one(types::TIMESTAMPTZ, Some("now"), InputOptions { zone: run.session.zone() })?;
    for (index, column) in target.columns.iter().take(width).enumerate() {
        let cells: Vec<&Cell<'_>> = rows.iter().map(|row| &row[index]).collect();
        filled[*column] = Some(literal_column(run, target, shape, *column, &cells, &now).await?);
    }
    complete(run, target, shape, filled, rows.len()).await
}

fn check_width(target: &Target, width: usize, position: impl Fn() -> Option<usize>) -> Result<()> {
    let wanted = target.columns.len();
    if width > wanted {
        return Err(
            Error::new(SYNTAX_ERROR, "INSERT has more expressions than target columns").with_position(position())
        );
    }
    // Without a column list, columns at the end may be left out.
    let implicit = target.columns.iter().copied().eq(0..target.table.columns.len());
    if width < wanted && !implicit {
        return Err(
            Error::new(SYNTAX_ERROR, "INSERT has more target columns than expressions").with_position(position())
        );
    }
    Ok(())
}

async fn literal_column(
    run: &Run,
    target: &Target,
    shape: &Shape,
    column: usize,
    cells: &[&Cell<'_>],
    now: &ArrayRef,
) -> Result<ArrayRef> {
    let definition = &target.table.columns[column];
    let pg = column_type(definition);
    let zone = run.session.zone();
    let default = match cells.iter().any(|c| matches!(c, Cell::Default)) {
        true => RowlessExpr::default_of(run, definition).await?,
        false => None,
    };
    let mut builder = ColumnBuilder::new(pg, cells.len(), InputOptions { zone })?;
    let mut pieces: Vec<ArrayRef> = Vec::new();
    let mut rest = cells;
    while let [cell, others @ ..] = rest {
        rest = others;
        let value = match cell {
            Cell::Null => {
                builder.append_null();
                continue;
            }
            Cell::Text(text) => {
                builder.append(text).map_err(|e| e.with_column(&definition.name))?;
                continue;
            }
            Cell::Number(text) if pg.oid == types::NUMERIC.oid || pg.oid == types::FLOAT8.oid || pg.is_string() => {
                builder.append(text).map_err(|e| e.with_column(&definition.name))?;
                continue;
            }
            Cell::Number(text) => {
                let from = number_type(text);
                let integer = matches!(pg.oid, 20 | 21 | 23) && from.oid != types::NUMERIC.oid;
                if integer {
                    builder.append(text).map_err(|e| integer_out_of_range(e, pg))?;
                    continue;
                }
                shape.check(column, &SourceColumn { pg: from })?;
                let value = ColumnBuilder::one(from, Some(text), InputOptions { zone })?;
                shape.assign(column, &SourceColumn { pg: from }, &value)?
            }
            Cell::Bool(value) => {
                shape.check(column, &SourceColumn { pg: types::BOOL })?;
                builder.append(if *value { "true" } else { "false" })?;
                continue;
            }
            Cell::Now => {
                let source = SourceColumn { pg: types::TIMESTAMPTZ };
                shape.check(column, &source)?;
                shape.assign(column, &source, now)?
            }
            Cell::Default => match &default {
                Some(default) => {
                    shape.check(column, &default.source)?;
                    shape.assign(column, &default.source, &default.evaluate(1)?)?
                }
                None => shape.nulls(column, 1),
            },
            Cell::Parameter(index) => {
                let first = parameter(run, *index)?;
                let data_type = first.data_type();
                // Parameters of one type that stand below one another are one array.
                let mut values = vec![first.clone()];
                while let [Cell::Parameter(index), others @ ..] = rest
                    && let value = parameter(run, *index)?
                    && value.data_type() == data_type
                {
                    values.push(value.clone());
                    rest = others;
                }
                let source = types::from_arrow(&data_type);
                // Text for a column of another type was sent as such by the client.
                let source = if source.is_string() { types::UNKNOWN } else { source };
                shape.check(column, &SourceColumn { pg: source })?;
                shape.assign(column, &SourceColumn { pg: source }, &ScalarValue::iter_to_array(values)?)?
            }
        };
        pieces.push(builder.finish()?);
        pieces.push(value);
    }
    pieces.push(builder.finish()?);
    pieces.retain(|p| !p.is_empty());
    match pieces.as_slice() {
        [] => builder.finish(),
        [one] => Ok(Arc::clone(one)),
        many => Ok(concat(&many.iter().map(|a| a.as_ref()).collect::<Vec<_>>())?),
    }
}

/// The value of the parameter with this number, counted from 0.
fn parameter(run: &Run, index: usize) -> Result<&ScalarValue> {
    let value = run.parameters.get(index);
    value.ok_or_else(|| Error::new(UNDEFINED_PARAMETER, format!("there is no parameter ${}", index + 1)))
}

/// A number literal too large for its column is `integer out of range`, not a malformed text.
fn integer_out_of_range(e: Error, pg: PgType) -> Error {
    if e.state() == crate::sqlstate::NUMERIC_VALUE_OUT_OF_RANGE {
        Error::new(crate::sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", pg.base_name()))
    } else {
        e
    }
}

/// Adds defaults for the columns left out and checks NOT NULL.
async fn complete(
    run: &Run,
    target: &Target,
    shape: &Shape,
    filled: Vec<Option<ArrayRef>>,
    rows: usize,
) -> Result<RecordBatch> {
    let defaults = Defaults::plan(run, &target.table, |column| filled[column].is_some()).await?;
    defaults.complete(shape, filled, rows)
}

/// Defaults of the columns a statement leaves out.
#[derive(Debug)]
pub(crate) struct Defaults {
    by_column: Vec<Option<RowlessExpr>>,
}

impl Defaults {
    /// Plans the defaults of all columns but those `given`.
    pub(crate) async fn plan(run: &Run, table: &Table, given: impl Fn(usize) -> bool) -> Result<Defaults> {
        let mut by_column = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let default = if given(index) { None } else { RowlessExpr::default_of(run, column).await? };
            by_column.push(default);
        }
        Ok(Defaults { by_column })
    }

    /// A whole batch of the table from the columns that were given.
    pub(crate) fn complete(&self, shape: &Shape, filled: Vec<Option<ArrayRef>>, rows: usize) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(filled.len());
        for (column, values) in filled.into_iter().enumerate() {
            columns.push(match (values, &self.by_column[column]) {
                (Some(values), _) => values,
                (None, Some(default)) => {
                    shape.check(column, &default.source)?;
                    shape.assign(column, &default.source, &default.evaluate(rows)?)?
                }
                (None, None) => shape.nulls(column, rows),
            });
        }
        shape.batch(columns, rows)
    }
}

async fn default_values(run: &Run, target: &Target, shape: &Shape) -> Result<RecordBatch> {
    let filled = vec![None; target.table.columns.len()];
    complete(run, target, shape, filled, 1).await
}

/// Rows of a query on their way into the table.
struct Incoming {
    shape: Shape,
    table: Arc<Table>,
    state: SessionState,
    physical: Arc<dyn ExecutionPlan>,
    sources: Vec<SourceColumn>,
    given: Vec<usize>,
    defaults: Defaults,
}

impl Incoming {
    async fn plan(
        run: &Run,
        target: &Target,
        shape: Shape,
        query: &Query,
        context: &Arc<StatementContext>,
    ) -> Result<Incoming> {
        let mut state = state_for(&run.session.base, &run.session.info, context);
        semantics::begin_statement(&mut state, &run.session.info);
        let query = with_defaults(target, query)?;
        let plan = bind(named_query_plan(&state, &query).await?, run, None)?;
        let width = plan.schema().fields().len();
        check_width(target, width, || None)?;
        let sources = sources(&state, &plan)?;
        for (source, column) in sources.iter().zip(&target.columns) {
            shape.check(*column, source)?;
        }
        let given = target.columns[..width].to_vec();
        let defaults = Defaults::plan(run, &target.table, |c| given.contains(&c)).await?;
        let physical = physical_plan(&state, &plan).await?;
        Ok(Incoming { shape, table: Arc::clone(&target.table), state, physical, sources, given, defaults })
    }

    fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut filled: Vec<Option<ArrayRef>> = vec![None; self.table.columns.len()];
        for ((values, source), column) in batch.columns().iter().zip(&self.sources).zip(&self.given) {
            filled[*column] = Some(self.shape.assign(*column, source, values)?);
        }
        self.defaults.complete(&self.shape, filled, batch.num_rows())
    }

    /// Writes the rows as they come.
    async fn write(self, run: &Run, write: WriteTxn, keys: Vec<UniqueKey>) -> Result<u64> {
        let mut stream = start(&self.state, Arc::clone(&self.physical))?;
        let mut sink = Sink::start(write, run.patience(&self.table), keys);
        while let Some(batch) = stream.next().await {
            run.active.check()?;
            sink.push(self.complete(&batch?)?).await?;
        }
        sink.finish().await
    }

    /// All rows, in memory.
    async fn hold(self, run: &Run) -> Result<Vec<RecordBatch>> {
        let memory = memory(&self.state);
        let mut stream = start(&self.state, Arc::clone(&self.physical))?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            run.active.check()?;
            let batch = self.complete(&batch?)?;
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// The types of a plan's columns after analysis.
pub(crate) fn sources(
    state: &datafusion::execution::session_state::SessionState,
    plan: &LogicalPlan,
) -> Result<Vec<SourceColumn>> {
    let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let fields = analyzed.schema().fields();
    Ok(fields.iter().enumerate().map(|(i, field)| source_of(field, is_literal(plan, i))).collect())
}

/// Puts the text of defaults where a VALUES list says DEFAULT, and casts literals to the columns they go to.
fn with_defaults(target: &Target, query: &Query) -> Result<Query> {
    let mut query = query.clone();
    if let SetExpr::Values(values) = query.body.as_mut() {
        let has_subquery = values.visit(&mut FindQuery).is_break();
        let several = values.rows.len() > 1;
        for row in &mut values.rows {
            for (expr, column) in row.content.iter_mut().zip(&target.columns) {
                if let Some(Cell::Default) = cell(expr) {
                    *expr = match &target.table.columns[*column].default {
                        Some(text) => parser::parse_expression(text)?,
                        None => Expr::value(Value::Null),
                    };
                } else if let Some(Cell::Text(_) | Cell::Null) = cell(expr) {
                    let pg = column_type(&target.table.columns[*column]);
                    // Lengths and digits of seconds come when rows are assigned, as to expressions beside the literals.
                    let numeric = pg.oid == types::NUMERIC.oid;
                    type_literal(expr, if numeric { pg } else { pg.with_modifier(-1) })?;
                }
                // Each row is assigned by itself: a number in one does not make numbers of the strings in others.
                if several && column_type(&target.table.columns[*column]).is_string() {
                    as_text(expr)?;
                }
            }
        }
        if has_subquery {
            let rows = values.rows.iter().map(|row| row.content.clone()).collect();
            *query.body = union_of(rows)?;
        }
    }
    Ok(query)
}

/// Gives a string literal the type of the column it goes to, so that it agrees with the expressions above and below it.
fn type_literal(expr: &mut Expr, pg: PgType) -> Result<()> {
    if pg.is_string() {
        return Ok(());
    }
    let mut typed = parser::parse_expression(&format!("NULL::{}", pg.sql_name()))?;
    if let Expr::Cast { expr: inner, .. } = &mut typed {
        std::mem::swap(inner.as_mut(), expr);
        *expr = typed;
    }
    if pg.oid == types::NUMERIC.oid {
        parser::values::plain(expr);
    }
    Ok(())
}

/// Casts what is not a literal or parameter to text.
fn as_text(expr: &mut Expr) -> Result<()> {
    if matches!(cell(expr), Some(Cell::Null | Cell::Text(_) | Cell::Parameter(_))) {
        return Ok(());
    }
    let mut typed = parser::parse_expression("NULL::text")?;
    if let Expr::Cast { expr: inner, .. } = &mut typed {
        std::mem::swap(inner.as_mut(), expr);
        *expr = typed;
    }
    Ok(())
}

/// Stops at the first sub-query.
struct FindQuery;

impl Visitor for FindQuery {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Rows as `SELECT … UNION ALL SELECT …`: DataFusion evaluates a VALUES list before its sub-queries ran.
fn union_of(rows: Vec<Vec<Expr>>) -> Result<SetExpr> {
    if rows.len() > UNION_ROWS_MAX {
        return Err(parser::too_deep());
    }
    let mut union: Option<SetExpr> = None;
    for row in rows {
        let mut query = parser::parse_query("SELECT NULL")?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = row.into_iter().map(SelectItem::UnnamedExpr).collect();
        }
        union = Some(match union {
            None => *query.body,
            Some(left) => SetExpr::SetOperation {
                left: Box::new(left),
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                right: query.body,
            },
        });
    }
    union.ok_or_else(|| Error::new(SYNTAX_ERROR, "VALUES lists must not be empty"))
}

/// The columns RETURNING gives, and the types of parameters.
pub(crate) async fn describe(run: &Run, insert: &Insert, types: &mut [Option<PgType>]) -> Result<Option<SchemaRef>> {
    infer_parameters(run, insert, types).await?;
    let context = run.session.context()?;
    let table = target(run, insert, &context)?.table;
    conflict::describe(run, insert, &table, context, types).await
}

/// The statement with the names of a WITH clause before it.
pub(super) fn with_clause(insert: &Insert, with: Option<&With>) -> Insert {
    let mut insert = insert.clone();
    if let (Some(with), Some(query)) = (with, insert.source.as_deref_mut()) {
        query.with = Some(match query.with.take() {
            None => with.clone(),
            Some(inner) => {
                let mut all = with.clone();
                all.recursive |= inner.recursive;
                all.cte_tables.retain(|known| inner.cte_tables.iter().all(|new| new.alias.name != known.alias.name));
                all.cte_tables.extend(inner.cte_tables);
                all
            }
        });
    }
    insert
}

/// Types of the parameters of an INSERT: those of the columns they go to, or what the query says.
async fn infer_parameters(run: &Run, insert: &Insert, types: &mut [Option<PgType>]) -> Result<()> {
    refuse(insert)?;
    let context = run.session.context()?;
    let target = target(run, insert, &context)?;
    let Some(query) = insert.source.as_deref() else { return Ok(()) };
    if let SetExpr::Values(values) = query.body.as_ref() {
        for row in &values.rows {
            check_width(&target, row.content.len(), || None)?;
            for (expr, column) in row.content.iter().zip(&target.columns) {
                if let Some(Cell::Parameter(index)) = cell(expr)
                    && let Some(slot @ None) = types.get_mut(index)
                {
                    *slot = Some(column_parameter(&target.table.columns[*column]));
                }
            }
        }
        if literal_rows(query).is_some() {
            return Ok(());
        }
    }
    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = named_query_plan(&state, &with_defaults(&target, query)?).await?;
    for (index, column) in target.columns.iter().enumerate() {
        if let Some(parameter) = bare_parameter(&plan, index)
            && let Some(slot @ None) = types.get_mut(parameter)
        {
            *slot = Some(column_parameter(&target.table.columns[*column]));
        }
    }
    infer(plan, types)?;
    Ok(())
}

/// The parameter a select list's column is, if it is nothing else.
fn bare_parameter(plan: &LogicalPlan, index: usize) -> Option<usize> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    match projection.expr.get(index)?.clone().unalias() {
        datafusion::logical_expr::Expr::Placeholder(p) => p.id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
        _ => None,
    }
}
