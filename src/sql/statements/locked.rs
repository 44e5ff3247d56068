//! SELECT … FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE; LOCK TABLE.
//!
//! The query runs with the places of the rows it reads beside its columns; the rows are held until they are locked. If one was
//! changed by a transaction that was waited for, the query runs again, as UPDATE would.
//!
//! With SKIP LOCKED the LIMIT counts rows that could be locked: the query runs without it, and stops when enough are.
//!
//! Sub-queries that lock rows run first, innermost first, and the statement around them reads their rows from memory. They cannot refer to
//! columns of the statement around them.

use super::done;
use super::modify::Scope;
use super::modify::query::alone;
use super::modify::rows::memory;
use super::modify::table::{Target, statement_table};
use super::target::{Name, folded};
use crate::error::{Error, Result};
use crate::locking::FoundRows;
use crate::outcome::Outcome;
use crate::parser::calls::identifier;
use crate::parser::names::marked;
use crate::plan::{executable, shown_query_plan, start};
use crate::prepared::bind;
use crate::present::{self, client_batch, client_schema};
use crate::provider::{StatementTables, state_with};
use crate::session::{Prepared, Run};
use crate::sqlstate::{
    FEATURE_NOT_SUPPORTED, NO_ACTIVE_SQL_TRANSACTION, SYNTAX_ERROR, UNDEFINED_TABLE, WINDOWING_ERROR,
};
use crate::transaction::WriteTxn;
use crate::{clauses, semantics};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, Lock, LockClause, LockTableMode, NonBlock,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
    Value, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions, With,
};
use futures::StreamExt;
use lightning_catalog::{Relation, Table};
use lightning_storage::{IfLocked, KeyMode, TableMode};
use std::ops::ControlFlow;
use std::sync::Arc;

/// One table whose rows are locked.
struct Locked {
    target: Target,
    mode: KeyMode,
    if_locked: IfLocked,
}

/// The query with places, and what it locks.
struct Planned {
    locked: Vec<Locked>,
    state: SessionState,
    query: Query,
    /// LIMIT and OFFSET, when rows that are skipped do not count.
    window: Option<(usize, usize)>,
}

/// Whether a statement, or a sub-query in it, locks rows.
pub(crate) fn locks(statement: &impl Visit) -> bool {
    statement.visit(&mut FindLocks).is_break()
}

struct FindLocks;

impl Visitor for FindLocks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if query.locks.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Takes out the sub-queries that lock rows, innermost first, and puts queries of tables of the statement's own in their places.
struct TakeOut {
    depth: usize,
    /// Whether the outermost query is one of them.
    with_outermost: bool,
    taken: Vec<Query>,
}

impl VisitorMut for TakeOut {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        push_down(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        if query.locks.is_empty() || self.depth == 0 && !self.with_outermost {
            return ControlFlow::Continue(());
        }
        let rows = match crate::parser::parse_query("SELECT * FROM t") {
            Ok(rows) => rows,
            Err(e) => return ControlFlow::Break(e),
        };
        let name = slot(self.taken.len());
        self.taken.push(std::mem::replace(query, rows));
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = vec![alone(statement_table(&name, &identifier("rows")))];
        }
        ControlFlow::Continue(())
    }
}

fn slot(number: usize) -> String {
    format!("locked{number}")
}

/// A lock of a sub-query in FROM is a lock of its rows.
fn push_down(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    for clause in &query.locks {
        let (strength, names) = parts(clause);
        for item in &mut select.from {
            let joins = item.joins.iter_mut().map(|join| &mut join.relation);
            for factor in std::iter::once(&mut item.relation).chain(joins) {
                let TableFactor::Derived { subquery, alias, .. } = factor else { continue };
                let is_meant = |name: &Ident| alias.as_ref().is_some_and(|a| folded(&a.name) == folded(name));
                if (names.is_empty() || names.iter().any(is_meant)) && subquery.locks.is_empty() {
                    let of = Some(ObjectName::from(vec![identifier(&strength)]));
                    subquery.locks.push(LockClause { of, ..clause.clone() });
                }
            }
        }
    }
}

/// Runs the sub-queries of a statement that lock rows; the tables that stand for them. `None`: a row was changed meanwhile, and is
/// locked now.
pub(super) async fn run_subqueries<T: VisitMut>(
    scope: &Scope<'_>,
    mut with: Option<&mut With>,
    statement: &mut T,
    with_outermost: bool,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
) -> Result<Option<StatementTables>> {
    let mut take = TakeOut { depth: 0, with_outermost, taken: Vec::new() };
    let with_outermost = std::mem::replace(&mut take.with_outermost, true);
    let mut visited = with.as_mut().map_or(ControlFlow::Continue(()), |with| with.visit(&mut take));
    take.with_outermost = with_outermost;
    if visited.is_continue() {
        visited = statement.visit(&mut take);
    }
    if let ControlFlow::Break(e) = visited {
        return Err(e);
    }
    let mut tables = StatementTables::new();
    for (number, query) in take.taken.iter().enumerate() {
        let planned = plan(scope, query, &tables)?;
        let Some(fetched) = fetch(scope, &planned, write, prepared).await? else { return Ok(None) };
        let schema = client_schema(&fetched.logical);
        let batches = fetched.batches.iter().map(|batch| client_batch(batch, &schema)).collect::<Result<Vec<_>>>()?;
        let schema = batches.first().map_or(schema, |batch| batch.schema());
        tables.insert(slot(number), Arc::new(MemTable::try_new(schema, vec![batches])?));
    }
    Ok(Some(tables))
}

/// The statement without locks, to describe what it returns.
pub(crate) fn without_locks<T: VisitMut + Clone>(statement: &T) -> T {
    let mut statement = statement.clone();
    let _ = statement.visit(&mut NoLocks);
    statement
}

struct NoLocks;

impl VisitorMut for NoLocks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        query.locks.clear();
        ControlFlow::Continue(())
    }
}

/// Runs the query and locks its rows.
pub(super) async fn select(run: &Run, query: &Query, prepared: Option<&Prepared>) -> Result<Outcome> {
    let mut write = run.session.write()?;
    loop {
        let (storage, catalog) = write.refresh()?;
        let context = run.session.set_context(storage, catalog);
        let scope = Scope { run, context, with: None, tables: StatementTables::new() };
        let mut query = query.clone();
        let tables = run_subqueries(&scope, None, &mut query, false, &mut write, prepared).await?;
        if let Some(tables) = tables
            && let Some(outcome) = attempt(&scope, &plan(&scope, &query, &tables)?, &mut write, prepared).await?
        {
            write.finish().await?;
            return Ok(outcome);
        }
        run.active.check()?;
    }
}

/// Rows that are locked.
struct Fetched {
    /// Columns as planned, without places.
    logical: Schema,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

/// `None`: a row was changed meanwhile, and is locked now.
async fn attempt(
    scope: &Scope<'_>,
    planned: &Planned,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
) -> Result<Option<Outcome>> {
    let run = scope.run;
    let Some(Fetched { logical, schema, batches, memory }) = fetch(scope, planned, write, prepared).await? else {
        return Ok(None);
    };
    let stream = MemoryStream::try_new(batches, schema, None)?.with_reservation(memory);
    let rows = present::rows(&logical, Box::pin(stream), "SELECT", &run.active, &run.session.transactions);
    Ok(Some(Outcome::Rows(rows)))
}

/// Reads the rows and locks them.
async fn fetch(
    scope: &Scope<'_>,
    planned: &Planned,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
) -> Result<Option<Fetched>> {
    let run = scope.run;
    let state = &planned.state;
    let plan = bind(shown_query_plan(state, &planned.query).await?, run, prepared)?;
    let (logical, physical) = executable(state, &plan).await?;
    let shown = logical.fields().len() - planned.locked.len();
    let memory = memory(state);
    let mut stream = start(state, physical)?;
    let (mut batches, mut schema) = (Vec::new(), None);
    let (mut skip, mut left) = match planned.window {
        Some((offset, limit)) => (offset, limit),
        None => (0, usize::MAX),
    };
    while let Some(batch) = stream.next().await {
        run.active.check()?;
        let mut batch = batch?;
        schema.get_or_insert_with(|| batch.schema());
        // With SKIP LOCKED no more is locked than is returned.
        while batch.num_rows() > 0 && left > 0 {
            let most = left.saturating_add(skip);
            let Some((tried, got)) = lock_rows(scope, planned, shown, batch.clone(), most, write).await? else {
                return Ok(None);
            };
            batch = batch.slice(tried, batch.num_rows() - tried);
            let passed = skip.min(got.num_rows());
            skip -= passed;
            let got = got.slice(passed, (got.num_rows() - passed).min(left));
            left -= got.num_rows();
            memory.try_grow(got.get_array_memory_size())?;
            batches.push(got);
        }
        if left == 0 {
            break;
        }
    }
    let columns: Vec<usize> = (0..shown).collect();
    let schema = Arc::new(schema.unwrap_or_else(|| Arc::clone(&logical)).project(&columns)?);
    let batches = batches.iter().map(|batch| Ok(batch.project(&columns)?)).collect::<Result<Vec<_>>>()?;
    Ok(Some(Fetched { logical: logical.project(&columns)?, schema, batches, memory }))
}

/// Locks rows of a batch, `most` of them; how many it looked at, and those it has. `None`: one was changed meanwhile.
async fn lock_rows(
    scope: &Scope<'_>,
    planned: &Planned,
    shown: usize,
    mut batch: RecordBatch,
    most: usize,
    write: &mut WriteTxn,
) -> Result<Option<(usize, RecordBatch)>> {
    if planned.locked.first().is_none_or(|first| first.if_locked != IfLocked::Skip) {
        batch = batch.slice(0, batch.num_rows().min(most));
    }
    let mut tried = batch.num_rows();
    for (number, locked) in planned.locked.iter().enumerate() {
        let patience = scope.run.patience(&locked.target.table);
        let rows = FoundRows {
            snapshot: scope.context.storage.clone(),
            table: locked.target.table.storage_table(),
            places: batch.column(shown + number).as_primitive::<UInt64Type>().clone(),
            mode: locked.mode,
            if_locked: locked.if_locked,
            most: if number == 0 { most } else { usize::MAX },
        };
        let table = rows.table;
        // A table that is about to go is waited for in any case.
        write.lock(&patience, |txn| Ok(txn.lock_table(table, TableMode::AccessShare))).await?;
        let Some(held) = write.hold(&patience, rows).await? else { return Ok(None) };
        if number == 0 {
            tried = held.tried;
        }
        batch = batch.slice(0, held.tried);
        if !held.skipped.is_empty() {
            let kept = (0..batch.num_rows() as u32).map(|row| Some(held.skipped.binary_search(&row).is_err()));
            batch = filter_record_batch(&batch, &kept.collect::<BooleanArray>())?;
        }
    }
    Ok(Some((tried, batch)))
}

fn mode_of(strength: &str) -> KeyMode {
    match strength {
        "NO KEY UPDATE" => KeyMode::NoKeyUpdate,
        "SHARE" => KeyMode::Share,
        "KEY SHARE" => KeyMode::KeyShare,
        _ => KeyMode::Update,
    }
}

/// The strength of a clause, and the tables it names.
fn parts(clause: &LockClause) -> (String, Vec<Ident>) {
    let names = clause.of.iter().flat_map(|name| &name.0).filter_map(|part| part.as_ident().cloned());
    let mut names: Vec<Ident> = names.collect();
    let strength = if names.is_empty() { String::new() } else { names.remove(0).value };
    (strength, names)
}

/// Plans a query that locks rows, or has sub-queries that do: `tables` stand for these.
fn plan(scope: &Scope<'_>, query: &Query, tables: &StatementTables) -> Result<Planned> {
    let session = &scope.run.session;
    if query.locks.is_empty() {
        let mut state = state_with(&session.base, &session.info, &scope.context, tables.clone());
        semantics::begin_statement(&mut state, &session.info);
        return Ok(Planned { locked: Vec::new(), state, query: query.clone(), window: None });
    }
    let strength = query.locks.first().map(|clause| parts(clause).0).unwrap_or_default();
    let refused = |what: &str| Error::new(FEATURE_NOT_SUPPORTED, format!("FOR {strength} is not allowed with {what}"));
    let mut query = query.clone();
    let clauses = std::mem::take(&mut query.locks);
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(refused("UNION/INTERSECT/EXCEPT"));
    };
    check_select(select, &session.base).map_err(refused)?;
    let mut locked = lock_targets(scope, query.with.as_ref(), select, &clauses)?;
    let mut tables = tables.clone();
    for (number, target) in locked.iter_mut().enumerate() {
        target.target.rename(&format!("target{number}"));
        tables.extend(target.target.tables(scope));
    }
    replace(select, &locked);
    expand(select, &locked)?;
    for target in &locked {
        target.target.unqualify(select.as_mut());
        let alias = identifier(&marked("", select.projection.len()));
        select.projection.push(SelectItem::ExprWithAlias { expr: target.target.place(), alias });
    }
    if let Some(order) = &mut query.order_by {
        locked.iter().for_each(|target| target.target.unqualify(order));
    }
    let skips = locked.iter().any(|locked| locked.if_locked == IfLocked::Skip);
    let window = if skips { take_window(scope.run, &mut query)? } else { None };
    let mut state = state_with(&session.base, &session.info, &scope.context, tables);
    semantics::begin_statement(&mut state, &session.info);
    Ok(Planned { locked, state, query, window })
}

/// What about the select list keeps its rows from being rows of tables.
fn check_select(select: &Select, state: &SessionState) -> std::result::Result<(), &'static str> {
    if select.distinct.is_some() {
        return Err("DISTINCT clause");
    }
    if !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty()) {
        return Err("GROUP BY clause");
    }
    if select.having.is_some() {
        return Err("HAVING clause");
    }
    let exprs = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    let refusal = exprs.into_iter().find_map(|expr| clauses::refuse(state, expr, "FOR UPDATE").err());
    match refusal {
        Some(e) if e.state() == WINDOWING_ERROR => Err("window functions"),
        Some(_) => Err("aggregate functions"),
        None => Ok(()),
    }
}

/// The tables to lock, each by the last clause that names it.
fn lock_targets(
    scope: &Scope<'_>,
    with: Option<&With>,
    select: &Select,
    clauses: &[LockClause],
) -> Result<Vec<Locked>> {
    let mut targets: Vec<Target> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for item in &select.from {
        for factor in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
            if let TableFactor::Table { name, args: None, .. } = factor
                && !is_named_by(with, name)
                && let Some(Relation::Table(_)) = Name::new(scope.run, name)?.find(&scope.context)
            {
                targets.push(Target::of(scope, factor, "lock")?);
            } else {
                if let TableFactor::Table { name, args: None, .. } = factor
                    && let Some(Relation::View(view)) = Name::new(scope.run, name)?.find(&scope.context)
                {
                    return Err(Error::unsupported(format!("locking rows of view \"{}\"", view.name)));
                }
                others.extend(alias_of(factor).map(|alias| alias.value));
            }
        }
    }
    let mut locked: Vec<Locked> = Vec::new();
    for clause in clauses {
        let (strength, names) = parts(clause);
        for name in &names {
            let is_other = others.contains(&folded(name));
            if !is_other && !targets.iter().any(|target| target.alias.value == folded(name)) {
                let message = format!("relation \"{}\" in FOR {strength} clause not found in FROM clause", name.value);
                return Err(Error::new(UNDEFINED_TABLE, message));
            }
        }
        let is_meant = |target: &&Target| names.is_empty() || names.iter().any(|n| folded(n) == target.alias.value);
        for target in targets.iter().filter(is_meant) {
            locked.retain(|known| known.target.alias.value != target.alias.value);
            let if_locked = match clause.nonblock {
                None => IfLocked::Wait,
                Some(NonBlock::Nowait) => IfLocked::Fail,
                Some(NonBlock::SkipLocked) => IfLocked::Skip,
            };
            locked.push(Locked { target: target.clone(), mode: mode_of(&strength), if_locked });
        }
    }
    for (outer, nullable) in outer_joins(select) {
        if locked.iter().any(|known| nullable.contains(&known.target.alias.value)) {
            let strength = parts(&clauses[0]).0;
            let message = format!("FOR {strength} cannot be applied to the nullable side of an outer join");
            return Err(Error::new(FEATURE_NOT_SUPPORTED, message).with_detail(format!("The join is a {outer} join.")));
        }
    }
    Ok(locked)
}

/// Whether a name is that of a WITH query.
fn is_named_by(with: Option<&With>, name: &ObjectName) -> bool {
    let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return false };
    with.is_some_and(|with| with.cte_tables.iter().any(|known| folded(&known.alias.name) == folded(name)))
}

/// The names on the nullable sides of outer joins, one join each.
fn outer_joins(select: &Select) -> Vec<(&'static str, Vec<String>)> {
    let name = |factor: &TableFactor| match factor {
        TableFactor::Table { alias: Some(alias), .. } => Some(folded(&alias.name)),
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(folded),
        _ => None,
    };
    let mut joins = Vec::new();
    for item in &select.from {
        let mut before: Vec<String> = name(&item.relation).into_iter().collect();
        for join in &item.joins {
            let own = name(&join.relation);
            match join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {
                    joins.push(("left", own.iter().cloned().collect()));
                }
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => joins.push(("right", before.clone())),
                JoinOperator::FullOuter(_) => joins.push(("full", before.iter().chain(&own).cloned().collect())),
                _ => {}
            }
            before.extend(own);
        }
    }
    joins
}

/// Puts the tables with places where the tables were.
fn replace(select: &mut Select, locked: &[Locked]) {
    for item in &mut select.from {
        let joins = item.joins.iter_mut().map(|join| &mut join.relation);
        for factor in std::iter::once(&mut item.relation).chain(joins) {
            let name = match &*factor {
                TableFactor::Table { alias: Some(alias), .. } => folded(&alias.name),
                TableFactor::Table { name, .. } => {
                    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
                }
                _ => continue,
            };
            if let Some(known) = locked.iter().find(|known| known.target.alias.value == name) {
                *factor = known.target.factor();
            }
        }
    }
}

/// Writes `*` out: places are nobody's business.
fn expand(select: &mut Select, locked: &[Locked]) -> Result<()> {
    let items = std::mem::take(&mut select.projection);
    let of_table = |table: &Target| -> Vec<SelectItem> {
        (0..table.table.columns.len()).map(|column| SelectItem::UnnamedExpr(table.column(column))).collect()
    };
    let find = |name: &str| locked.iter().find(|known| known.target.alias.value == name);
    for item in items {
        match &item {
            SelectItem::Wildcard(_) => {
                let merged = |operator: &JoinOperator| {
                    let (JoinOperator::Join(constraint) | JoinOperator::Inner(constraint)) = operator else {
                        return false;
                    };
                    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
                };
                for part in &select.from {
                    if part.joins.iter().any(|join| merged(&join.join_operator)) {
                        return Err(Error::unsupported("FOR UPDATE with * and JOIN ... USING"));
                    }
                    let factors = std::iter::once(&part.relation).chain(part.joins.iter().map(|join| &join.relation));
                    for factor in factors {
                        let Some(alias) = alias_of(factor) else {
                            return Err(Error::unsupported("FOR UPDATE with * and a FROM item without a name"));
                        };
                        match find(&alias.value) {
                            Some(known) => select.projection.extend(of_table(&known.target)),
                            None => select.projection.push(SelectItem::QualifiedWildcard(
                                SelectItemQualifiedWildcardKind::ObjectName(alias.into()),
                                WildcardAdditionalOptions::default(),
                            )),
                        }
                    }
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let alias = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
                match find(&alias) {
                    Some(known) => select.projection.extend(of_table(&known.target)),
                    None => select.projection.push(item),
                }
            }
            _ => select.projection.push(item),
        }
    }
    Ok(())
}

fn alias_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. } => Some(identifier(&folded(&alias.name))),
        TableFactor::Table { name, .. } => Some(identifier(&folded(name.0.last()?.as_ident()?))),
        _ => None,
    }
}

/// Takes OFFSET and LIMIT off the query.
fn take_window(run: &Run, query: &mut Query) -> Result<Option<(usize, usize)>> {
    if query.fetch.is_some() {
        return Err(Error::unsupported("FETCH with SKIP LOCKED").with_hint("Use LIMIT."));
    }
    let Some(clause) = query.limit_clause.take() else { return Ok(None) };
    let (limit, offset) = match clause {
        LimitClause::LimitOffset { limit, offset, .. } => (limit, offset.map(|offset| offset.value)),
        LimitClause::OffsetCommaLimit { .. } => {
            return Err(Error::new(SYNTAX_ERROR, "LIMIT #,# syntax is not supported"));
        }
    };
    let count = |expr: Option<Expr>, none: usize| -> Result<usize> {
        let Some(expr) = expr else { return Ok(none) };
        let value = match &expr {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse().ok(),
                Value::Null => Some(none),
                Value::Placeholder(name) => parameter(run, name),
                _ => None,
            },
            _ => None,
        };
        value.ok_or_else(|| Error::unsupported("LIMIT and OFFSET by an expression with SKIP LOCKED"))
    };
    Ok(Some((count(offset, 0)?, count(limit, usize::MAX)?)))
}

fn parameter(run: &Run, name: &str) -> Option<usize> {
    let index = name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?;
    run.parameters.get(index)?.to_string().parse().ok()
}

/// LOCK TABLE.
pub(super) async fn lock_tables(run: &Run, lock: &Lock) -> Result<Outcome> {
    if !run.session.transactions.in_block() || run.session.transactions.is_implicit() {
        return Err(Error::new(NO_ACTIVE_SQL_TRANSACTION, "LOCK TABLE can only be used in transaction blocks"));
    }
    let mode = match lock.lock_mode {
        Some(LockTableMode::AccessShare) => TableMode::AccessShare,
        Some(LockTableMode::RowShare) => TableMode::RowShare,
        Some(LockTableMode::RowExclusive) => TableMode::RowExclusive,
        Some(LockTableMode::ShareUpdateExclusive) => TableMode::ShareUpdateExclusive,
        Some(LockTableMode::Share) => TableMode::Share,
        Some(LockTableMode::ShareRowExclusive) => TableMode::ShareRowExclusive,
        Some(LockTableMode::Exclusive) => TableMode::Exclusive,
        Some(LockTableMode::AccessExclusive) | None => TableMode::AccessExclusive,
    };
    let context = run.session.context()?;
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for target in &lock.tables {
        tables.push(Name::new(run, &target.name)?.table(&context, "lock")?);
    }
    let mut write = run.session.write()?;
    for table in tables {
        let (id, patience) = (table.storage_table(), run.patience(&table));
        let if_locked = if lock.nowait { IfLocked::Fail } else { IfLocked::Wait };
        write.lock(&patience, |txn| Ok(txn.lock_table(id, mode).if_table_locked(if_locked))).await?;
    }
    write.finish().await?;
    Ok(done("LOCK TABLE"))
}
