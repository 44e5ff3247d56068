//! Functions in SQL that triggers call: their items over batches of rows, and the statements that come of them.
//!
//! A body ([`trigger_body`](crate::parser::trigger_body)) is written for one row and runs over batches. SET, SKIP and RAISE are
//! expressions over all rows at once. An INSERT of values that are computed from the row alone, into a table without triggers, is one
//! `INSERT … SELECT` over the rows. Every other statement runs once a row, with the row's columns as typed literals in it, and so
//! does whatever stands behind it in the body.
//!
//! What must hold: the rows that come out are those that would if the body ran for one row after the other.

use super::nested;
use super::rows::{ChangedRows, Evaluation, query, read_sets, row_sets, with_columns};
use crate::clauses;
use crate::context::StatementContext;
use crate::error::{Error, Result, SqlState};
use crate::firing::Pushed;
use crate::parser::trigger_body::{Item, Raise, row_column};
use crate::parser::{self, Kind, Parsed};
use crate::provider::{column_type, state_for};
use crate::session::Run;
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, UNDEFINED_COLUMN};
use crate::statements::modify::rowset::{RowSet, tables};
use crate::statements::modify::table::statement_table;
use crate::statements::target::{Name, folded};
use crate::text::TextColumn;
use crate::types;
use crate::write::Shape;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Insert, ObjectName, OnConflictAction, OnInsert, Query, Select, SelectItem, SetExpr,
    Statement, Subscript, TableFactor, TableObject, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use lightning_catalog::{Relation, Table, TriggerTiming};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A call of a body.
#[derive(Debug)]
pub(super) struct SqlCall<'a> {
    pub(super) run: &'a Run,
    pub(super) table: &'a Arc<Table>,
    pub(super) schema: &'a SchemaRef,
    pub(super) timing: TriggerTiming,
    pub(super) words: &'a Words,
    pub(super) pushed: &'a Pushed,
}

/// What a body knows besides rows: `tg_op` and its relatives, and the names of transition tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Texts by name, in lower case.
    pub(super) texts: HashMap<&'static str, String>,
    /// Numbers by name.
    pub(super) numbers: HashMap<&'static str, usize>,
    pub(super) arguments: Vec<String>,
    /// Names of transition tables, and those of the statement's tables they stand for.
    pub(super) tables: Vec<(String, String)>,
}

/// Rows as a body leaves them.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) rows: ChangedRows,
    /// Which of the rows these are.
    pub(super) kept: UInt32Array,
}

impl Left {
    fn keep(&mut self, wanted: &UInt32Array) -> Result<()> {
        if wanted.len() < self.kept.len() {
            self.rows = self.rows.take(wanted)?;
            self.kept = take(&self.kept, wanted, None)?.as_primitive::<UInt32Type>().clone();
        }
        Ok(())
    }
}

/// Whether a body runs statements.
pub(super) fn has_statements(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Statement(_)))
}

/// Whether an item is an expression over rows that no statement before it can change.
fn is_pure(item: &Item) -> bool {
    let has_query = |expr: &Expr| expr.visit(&mut FindQuery).is_break();
    match item {
        Item::Set(list) => !list.iter().any(|(_, value)| has_query(value)),
        Item::Skip(condition) => !condition.as_ref().is_some_and(has_query),
        Item::Raise(raise) => !raise.condition.as_ref().is_some_and(has_query),
        Item::Statement(_) => false,
    }
}

/// Stops at the first sub-query.
struct FindQuery;

impl Visitor for FindQuery {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

impl SqlCall<'_> {
    /// Runs a body for rows.
    pub(super) async fn rows(&self, items: &[Item], rows: ChangedRows) -> Result<Left> {
        let kept = UInt32Array::from_iter_values(0..rows.len() as u32);
        let mut left = Left { rows, kept };
        let first = items.iter().position(|item| !is_pure(item)).unwrap_or(items.len());
        let (expressions, rest) = items.split_at(first);
        for item in expressions {
            self.item(item, &mut left).await?;
        }
        if rest.is_empty() || left.kept.is_empty() {
            return Ok(left);
        }
        if self.runs_at_once(rest)? {
            for item in rest {
                self.item(item, &mut left).await?;
            }
            return Ok(left);
        }
        let mut each = Vec::with_capacity(left.kept.len());
        for row in 0..left.kept.len() {
            self.run.active.check()?;
            let mut one = Left { rows: left.rows.row(row), kept: left.kept.slice(row, 1) };
            for item in rest {
                if !one.kept.is_empty() {
                    self.item(item, &mut one).await?;
                }
            }
            each.push(one);
        }
        let old: Vec<&RecordBatch> = each.iter().filter_map(|one| one.rows.old.as_ref()).collect();
        let new: Vec<&RecordBatch> = each.iter().filter_map(|one| one.rows.new.as_ref()).collect();
        let together = |batches: Vec<&RecordBatch>| concat_batches(self.schema, batches);
        let old = left.rows.old.is_some().then(|| together(old)).transpose()?;
        let new = left.rows.new.is_some().then(|| together(new)).transpose()?;
        let kept = each.iter().flat_map(|one| one.kept.values().iter().copied());
        Ok(Left { rows: ChangedRows { old, new }, kept: UInt32Array::from_iter_values(kept) })
    }

    /// Runs a body for a statement.
    pub(super) async fn statement(&self, items: &[Item]) -> Result<()> {
        for item in items {
            match item {
                Item::Set(_) | Item::Skip(_) => return Err(self.misplaced(item)),
                Item::Raise(raise) => {
                    let is_raised = match &raise.condition {
                        None => true,
                        Some(condition) => {
                            let context = self.run.session.context()?;
                            self.evaluation(&context).holds(self.substituted(condition, None)?).await?
                        }
                    };
                    if is_raised {
                        return Err(raised(raise));
                    }
                }
                Item::Statement(parsed) => {
                    let Kind::Sql(statement) = &parsed.kind else { continue };
                    let mut statement = statement.clone();
                    self.substitute(statement.as_mut(), None)?;
                    nested::run(self.run, part(parsed, statement)).await?;
                }
            }
        }
        Ok(())
    }

    fn misplaced(&self, item: &Item) -> Error {
        let what = if matches!(item, Item::Set(_)) { "SET new.column" } else { "SKIP ROW" };
        Error::new(FEATURE_NOT_SUPPORTED, format!("{what} is for BEFORE ROW triggers only"))
    }

    fn evaluation<'a>(&'a self, context: &'a Arc<StatementContext>) -> Evaluation<'a> {
        Evaluation { run: self.run, context, clause: "trigger functions" }
    }

    fn sets(&self, rows: &ChangedRows) -> Result<[RowSet; 2]> {
        row_sets(self.schema, rows, self.pushed.depth())
    }

    /// One item, for all rows at once or for a single one.
    async fn item(&self, item: &Item, left: &mut Left) -> Result<()> {
        match item {
            Item::Set(_) | Item::Skip(_) if self.timing != TriggerTiming::Before => Err(self.misplaced(item)),
            Item::Set(list) => self.set(list, left).await,
            Item::Skip(None) => left.keep(&UInt32Array::from(Vec::<u32>::new())),
            Item::Skip(Some(condition)) => {
                let skipped = self.satisfying(condition, &left.rows).await?;
                let mut skipped = skipped.values().iter().copied().peekable();
                let is_kept = |row: &u32| skipped.next_if_eq(row).is_none();
                let wanted: Vec<u32> = (0..left.kept.len() as u32).filter(is_kept).collect();
                left.keep(&UInt32Array::from(wanted))
            }
            Item::Raise(raise) => {
                let is_raised = match &raise.condition {
                    None => !left.kept.is_empty(),
                    Some(condition) => !self.satisfying(condition, &left.rows).await?.is_empty(),
                };
                if is_raised { Err(raised(raise)) } else { Ok(()) }
            }
            Item::Statement(parsed) => self.run_statement(parsed, &left.rows).await,
        }
    }

    async fn satisfying(&self, condition: &Expr, rows: &ChangedRows) -> Result<UInt32Array> {
        let context = self.run.session.context()?;
        let condition = self.substituted(condition, None)?;
        Ok(self.evaluation(&context).over(&self.sets(rows)?, Vec::new(), Some(condition)).await?.rows)
    }

    async fn set(&self, list: &[(String, Expr)], left: &mut Left) -> Result<()> {
        // A deleted row has no new one to change.
        let Some(new) = &left.rows.new else { return Ok(()) };
        let shape = Shape::new(self.table, self.run.session.zone()).unchecked();
        let mut columns = new.columns().to_vec();
        let mut exprs = Vec::with_capacity(list.len());
        let mut indexes = Vec::with_capacity(list.len());
        for (name, value) in list {
            let index = self.table.column_index(name).ok_or_else(|| no_field("new", name))?;
            indexes.push(index);
            exprs.push(self.substituted(value, None)?);
        }
        let context = self.run.session.context()?;
        let evaluated = self.evaluation(&context).over(&self.sets(&left.rows)?, exprs, None).await?;
        for (index, (values, source)) in indexes.into_iter().zip(&evaluated.values) {
            shape.check(index, source)?;
            columns[index] = shape.assign(index, source, values)?;
        }
        left.rows.new = Some(with_columns(self.schema, columns, new.num_rows())?);
        Ok(())
    }

    async fn run_statement(&self, parsed: &Parsed, rows: &ChangedRows) -> Result<()> {
        let Kind::Sql(statement) = &parsed.kind else { return Ok(()) };
        if let Some(insert) = self.set_insert(statement)? {
            let sets = self.sets(rows)?;
            let read = read_sets(&sets, insert.exprs.iter().chain(&insert.condition));
            self.pushed.put(tables(&read));
            let exprs = insert.exprs.iter().map(|expr| self.substituted(expr, None)).collect::<Result<Vec<_>>>()?;
            let condition = insert.condition.as_ref().map(|expr| self.substituted(expr, None)).transpose()?;
            let mut written = insert.insert.clone();
            written.source = Some(Box::new(query(exprs, condition, Some(&read))?));
            return nested::run(self.run, part(parsed, Box::new(Statement::Insert(written)))).await;
        }
        let literals = RowLiterals::new(self, rows);
        for row in 0..rows.len() {
            self.run.active.check()?;
            let mut statement = statement.clone();
            self.substitute(statement.as_mut(), Some((&literals, row)))?;
            nested::run(self.run, part(parsed, statement)).await?;
        }
        Ok(())
    }

    /// Whether items may run one after the other, each for all rows.
    fn runs_at_once(&self, items: &[Item]) -> Result<bool> {
        for item in items {
            let at_once = match item {
                Item::Statement(parsed) => match &parsed.kind {
                    Kind::Sql(statement) => self.set_insert(statement)?.is_some(),
                    _ => false,
                },
                other => is_pure(other),
            };
            if !at_once {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The statement as an INSERT of one row computed from the row alone, into a table without triggers.
    fn set_insert<'s>(&self, statement: &'s Statement) -> Result<Option<SetInsert<'s>>> {
        let Statement::Insert(insert) = statement else { return Ok(None) };
        let keeps_conflicts = match &insert.on {
            None => true,
            Some(OnInsert::OnConflict(conflict)) => matches!(conflict.action, OnConflictAction::DoNothing),
            Some(_) => false,
        };
        let TableObject::TableName(name) = &insert.table else { return Ok(None) };
        if !keeps_conflicts || insert.returning.as_ref().is_some_and(|items| !items.is_empty()) {
            return Ok(None);
        }
        let Some((exprs, condition)) = insert.source.as_deref().and_then(one_row) else { return Ok(None) };
        let is_default = |expr: &Expr| matches!(expr, Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"));
        let has_query = |expr: &Expr| expr.visit(&mut FindQuery).is_break();
        if exprs.iter().any(is_default) || exprs.iter().chain(&condition).any(has_query) {
            return Ok(None);
        }
        let context = self.run.session.context()?;
        let state = state_for(&self.run.session.base, &self.run.session.info, &context);
        if exprs.iter().chain(&condition).any(|expr| clauses::refuse(&state, expr, "VALUES").is_err()) {
            return Ok(None);
        }
        let target = Name::new(self.run, name)?;
        let is_plain = matches!(target.find(&context), Some(Relation::Table(table)) if table.triggers.is_empty());
        Ok(is_plain.then_some(SetInsert { insert, exprs, condition }))
    }

    fn substituted(&self, expr: &Expr, row: Option<(&RowLiterals<'_>, usize)>) -> Result<Expr> {
        let mut expr = expr.clone();
        self.substitute(&mut expr, row)?;
        Ok(expr)
    }

    /// Puts values in the places of words: `tg_op` and its relatives, names of transition tables, and the columns of a row.
    pub(super) fn substitute<T: VisitMut>(&self, part: &mut T, row: Option<(&RowLiterals<'_>, usize)>) -> Result<()> {
        match part.visit(&mut Substitute { words: self.words, row }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(e) => Err(e),
        }
    }
}

/// An INSERT that can be one statement for many rows.
struct SetInsert<'a> {
    insert: &'a Insert,
    exprs: Vec<Expr>,
    condition: Option<Expr>,
}

/// The expressions of `VALUES (…)` or of `SELECT … WHERE …` without FROM.
fn one_row(query: &Query) -> Option<(Vec<Expr>, Option<Expr>)> {
    let is_plain =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if is_plain => match values.rows.as_slice() {
            [row] => Some((row.content.clone(), None)),
            _ => None,
        },
        SetExpr::Select(select) if is_plain && is_bare(select) => {
            let exprs = select.projection.iter().map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
                _ => None,
            });
            Some((exprs.collect::<Option<Vec<_>>>()?, select.selection.clone()))
        }
        _ => None,
    }
}

/// Whether a SELECT has nothing but a list and WHERE.
fn is_bare(select: &Select) -> bool {
    let written = Select { projection: Vec::new(), selection: None, ..select.clone() }.to_string();
    written.trim().eq_ignore_ascii_case("select")
}

fn part(parsed: &Parsed, statement: Box<Statement>) -> Parsed {
    Parsed::part_of(parsed, Kind::Sql(statement))
}

fn raised(raise: &Raise) -> Error {
    // A state is five characters that live as long as the program; there are few in any.
    Error::new(SqlState(interned(&raise.state)), raise.message.clone())
}

/// A text that stays: states of errors are known by reference.
fn interned(text: &str) -> &'static str {
    use std::collections::HashSet;
    use std::sync::{Mutex, OnceLock};
    static KNOWN: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match known.get(text) {
        Some(known) => known,
        None => {
            let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
            known.insert(new);
            new
        }
    }
}

fn no_field(row: &str, column: &str) -> Error {
    Error::new(UNDEFINED_COLUMN, format!("record \"{row}\" has no field \"{column}\""))
}

/// Columns of rows as literals.
#[derive(Debug)]
pub(super) struct RowLiterals<'a> {
    table: &'a Table,
    rows: &'a ChangedRows,
    zone: arrow::array::timezone::Tz,
}

impl<'a> RowLiterals<'a> {
    fn new(call: &'a SqlCall<'_>, rows: &'a ChangedRows) -> RowLiterals<'a> {
        RowLiterals { table: call.table, rows, zone: call.run.session.zone() }
    }

    /// A column of the new or the old row, cast to its type.
    fn literal(&self, is_new: bool, column: &str, row: usize) -> Result<Expr> {
        let index = self.table.column_index(column);
        let index = index.ok_or_else(|| no_field(if is_new { "new" } else { "old" }, column))?;
        let pg = column_type(&self.table.columns[index]);
        let batch = if is_new { &self.rows.new } else { &self.rows.old };
        let values: ArrayRef = match batch {
            Some(batch) => batch.column(index).slice(row, 1),
            None => new_null_array(&pg.arrow_type().unwrap_or(arrow::datatypes::DataType::Null), 1),
        };
        let value = match TextColumn::new(&values, self.zone)?.value(0) {
            Some(text) if values.is_valid(0) => Value::SingleQuotedString(text),
            _ => Value::Null,
        };
        let pg = if pg.oid == types::NUMERIC.oid { pg } else { pg.with_modifier(-1) };
        let mut typed = parser::parse_expression(&format!("NULL::{}", pg.sql_name()))?;
        if let Expr::Cast { expr, .. } = &mut typed {
            **expr = Expr::value(value);
        }
        Ok(Expr::Nested(Box::new(typed)))
    }
}

struct Substitute<'a> {
    words: &'a Words,
    row: Option<(&'a RowLiterals<'a>, usize)>,
}

impl Substitute<'_> {
    fn word(&self, ident: &Ident) -> Option<Expr> {
        if ident.quote_style.is_some() {
            return None;
        }
        let name = ident.value.to_lowercase();
        if let Some(number) = self.words.numbers.get(name.as_str()) {
            return Some(Expr::value(Value::Number(number.to_string(), false)));
        }
        self.words.texts.get(name.as_str()).map(|text| text_literal(Some(text)))
    }

    /// `tg_argv[n]`.
    fn argument(&self, expr: &Expr) -> Option<Expr> {
        let Expr::CompoundFieldAccess { root, access_chain } = expr else { return None };
        let Expr::Identifier(ident) = root.as_ref() else { return None };
        if ident.quote_style.is_some() || !ident.value.eq_ignore_ascii_case("tg_argv") {
            return None;
        }
        let [AccessExpr::Subscript(Subscript::Index { index })] = access_chain.as_slice() else { return None };
        let argument = match index {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => self.words.arguments.get(number.parse::<usize>().ok()?),
                _ => return None,
            },
            _ => None,
        };
        Some(text_literal(argument))
    }
}

fn text_literal(text: Option<&String>) -> Expr {
    let value = text.map_or(Value::Null, |text| Value::SingleQuotedString(text.clone()));
    let mut typed = parser::parse_expression("NULL::text").unwrap_or_else(|_| Expr::value(Value::Null));
    if let Expr::Cast { expr, .. } = &mut typed {
        **expr = Expr::value(value);
    }
    typed
}

impl VisitorMut for Substitute<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Some(argument) = self.argument(expr) {
            *expr = argument;
            return ControlFlow::Continue(());
        }
        if let Expr::Identifier(ident) = expr
            && let Some(value) = self.word(ident)
        {
            *expr = value;
            return ControlFlow::Continue(());
        }
        if let (Some((literals, row)), Some((is_new, column))) = (self.row, row_column(expr)) {
            match literals.literal(is_new, &column, row) {
                Ok(literal) => *expr = literal,
                Err(e) => return ControlFlow::Break(e),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name: ObjectName(parts), alias, args: None, .. } = &*factor else {
            return ControlFlow::Continue(());
        };
        let [part] = parts.as_slice() else { return ControlFlow::Continue(()) };
        let Some(written) = part.as_ident().map(folded) else { return ControlFlow::Continue(()) };
        if let Some((name, slot)) = self.words.tables.iter().find(|(name, _)| *name == written) {
            let shown = alias.as_ref().map_or_else(|| parser::calls::identifier(name), |alias| alias.name.clone());
            *factor = statement_table(slot, &shown);
        }
        ControlFlow::Continue(())
    }
}
