//! MERGE.
//!
//! One query joins the source with the target (from the left when rows may match nothing) and says for every row which WHEN
//! clause applies, with what that clause sets: an expression is computed for the rows of its clause only.

use super::assignments::{self, is_default};
use super::change::{Change, ChangedKeys, Intent};
use super::query::{self, Source, item, refuse_aggregates, select};
use super::rows::read;
use super::table::Target;
use super::update::{self, push_factors, sets};
use super::{Scope, returning};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::changes::NOTHING;
use crate::plan::named_query_plan;
use crate::prepared::bind;
use crate::session::Prepared;
use crate::sqlstate::{CARDINALITY_VIOLATION, INTERNAL_ERROR, SYNTAX_ERROR};
use crate::statements::insert::{column_indexes, sources};
use crate::transaction::WriteTxn;
use crate::triggers::{ChangedRows, Events, Fired, Firings, forget_since};
use crate::write::{Shape, SourceColumn};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Join, JoinConstraint, JoinOperator, Merge, MergeAction, MergeClauseKind,
    MergeInsertExpr, MergeInsertKind, OutputClause, TableWithJoins, Value,
};
use lightning_catalog::Table;
use std::collections::HashSet;
use std::sync::Arc;

/// Output columns: the place, the number of the clause that applies, the target's columns.
const ACTION_AT: usize = 1;
const COLUMNS_AT: usize = 2;

/// What a WHEN clause does.
enum Kind {
    Update,
    Insert,
    Delete,
    Nothing,
}

/// A WHEN clause: what it does, and where in the output the columns it sets are.
struct Clause {
    kind: Kind,
    set: Vec<(usize, usize)>,
}

/// A MERGE as a query.
pub(super) struct Planned {
    pub(super) source: Source,
    clauses: Vec<Clause>,
}

fn integer(value: usize) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

fn and(left: Expr, right: Expr) -> Expr {
    let nested = |e| Box::new(Expr::Nested(Box::new(e)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

fn case(conditions: Vec<CaseWhen>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: otherwise.map(Box::new),
    }
}

/// Plans MERGE.
pub(super) async fn source(scope: &Scope<'_>, merge: &Merge) -> Result<Planned> {
    let target = Target::of(scope, &merge.table, "merge into")?;
    let mut merge = merge.clone();
    target.unqualify(&mut merge);
    let state = query::state(scope, &target);
    let returning = match &merge.output {
        None => None,
        Some(OutputClause::Returning { select_items, .. }) => Some(select_items.clone()),
        Some(OutputClause::Output { .. }) => {
            return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"OUTPUT\""));
        }
    };
    check_reachable(&merge)?;
    let beside = [query::alone(merge.source.clone())];
    let factors = query::factors(scope, &state, &target, &beside, returning.is_some()).await?;

    let mut conditions = Vec::new();
    for (number, clause) in merge.clauses.iter().enumerate() {
        let place = Box::new(target.place());
        let kind = match clause.clause_kind {
            MergeClauseKind::Matched => Expr::IsNotNull(place),
            MergeClauseKind::NotMatched => Expr::IsNull(place),
            MergeClauseKind::NotMatchedByTarget | MergeClauseKind::NotMatchedBySource => {
                return Err(Error::unsupported("WHEN NOT MATCHED BY"));
            }
        };
        let condition = match &clause.predicate {
            Some(predicate) => and(kind, predicate.clone()),
            None => kind,
        };
        conditions.push(CaseWhen { condition, result: integer(number + 1) });
    }
    refuse_aggregates(&state, conditions.iter().map(|when| &when.condition), "MERGE WHEN")?;
    let action = case(conditions, Some(integer(0)));

    let mut items = vec![item(target.place(), 0), item(action.clone(), ACTION_AT)];
    for column in 0..target.table.columns.len() {
        items.push(item(target.column(column), items.len()));
    }
    let factors_at = items.len();
    push_factors(&factors, &mut items);
    let mut clauses = Vec::new();
    let mut assigned = Vec::new();
    for (number, clause) in merge.clauses.iter().enumerate() {
        let (kind, values) = what(scope, &target, &clause.action)?;
        refuse_aggregates(&state, values.iter().map(|(_, value)| value), "MERGE")?;
        let mut set = Vec::new();
        for (column, value) in values {
            // Literals and parameters keep their open type, and cannot fail.
            let value = match &value {
                Expr::Value(_) => value,
                _ => {
                    let condition = Expr::BinaryOp {
                        left: Box::new(action.clone()),
                        op: BinaryOperator::Eq,
                        right: Box::new(integer(number + 1)),
                    };
                    case(vec![CaseWhen { condition, result: value }], None)
                }
            };
            set.push((column, items.len()));
            assigned.push((items.len(), column));
            items.push(item(value, items.len()));
        }
        clauses.push(Clause { kind, set });
    }

    let unmatched = merge.clauses.iter().any(|c| c.clause_kind == MergeClauseKind::NotMatched);
    let on = JoinConstraint::On(merge.on.as_ref().clone());
    let join_operator = if unmatched { JoinOperator::Left(on) } else { JoinOperator::Inner(on) };
    let join = Join { relation: target.factor(), global: false, join_operator };
    let from = TableWithJoins { relation: merge.source.clone(), joins: vec![join] };
    let query = select(scope.with.as_ref(), items, vec![from], None)?;
    let source = Source { target, state, query, assigned, factors, factors_at, returning, target_last: true };
    Ok(Planned { source, clauses })
}

fn check_reachable(merge: &Merge) -> Result<()> {
    let mut always: Vec<MergeClauseKind> = Vec::new();
    for clause in &merge.clauses {
        if always.contains(&clause.clause_kind) {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(Error::new(SYNTAX_ERROR, message));
        }
        if clause.predicate.is_none() {
            always.push(clause.clause_kind);
        }
    }
    if merge.clauses.is_empty() {
        return Err(Error::new(SYNTAX_ERROR, "syntax error at end of input"));
    }
    Ok(())
}

/// What a clause does, and the expressions of the columns it sets.
fn what(scope: &Scope<'_>, target: &Target, action: &MergeAction) -> Result<(Kind, Vec<(usize, Expr)>)> {
    match action {
        MergeAction::Delete { .. } => Ok((Kind::Delete, Vec::new())),
        MergeAction::Update(update) => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"WHERE\""));
            }
            if update.assignments.iter().any(|a| a.target.to_string().contains(NOTHING)) {
                return Ok((Kind::Nothing, Vec::new()));
            }
            let assigned = assignments::read(scope.run, &target.table, &update.assignments)?;
            Ok((Kind::Update, assigned.into_iter().map(|a| (a.column, a.value)).collect()))
        }
        MergeAction::Insert(insert) => inserted(scope, target, insert),
    }
}

fn inserted(scope: &Scope<'_>, target: &Target, insert: &MergeInsertExpr) -> Result<(Kind, Vec<(usize, Expr)>)> {
    let names: Vec<_> = insert.columns.iter().filter_map(|name| name.0.last()?.as_ident()).collect();
    if names.iter().any(|name| name.value == NOTHING) {
        return Ok((Kind::Nothing, Vec::new()));
    }
    let MergeInsertKind::Values(values) = &insert.kind else {
        return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"ROW\""));
    };
    let [row] = values.rows.as_slice() else {
        return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \",\""));
    };
    let table = &target.table;
    let columns = column_indexes(scope.run, table, &names)?;
    if row.content.len() > columns.len() {
        return Err(Error::new(SYNTAX_ERROR, "INSERT has more expressions than target columns"));
    }
    if row.content.len() < columns.len() && !names.is_empty() {
        return Err(Error::new(SYNTAX_ERROR, "INSERT has more target columns than expressions"));
    }
    let mut all = Vec::with_capacity(table.columns.len());
    for (column, definition) in table.columns.iter().enumerate() {
        let written = columns.iter().position(|c| *c == column).and_then(|at| row.content.get(at));
        let value = match written {
            Some(value) if !is_default(value) => value.clone(),
            _ => assignments::default(definition)?,
        };
        all.push((column, value));
    }
    Ok((Kind::Insert, all))
}

/// What a MERGE may do to its table.
pub(super) fn events(table: &Table, merge: &Merge) -> Events {
    let mut events = Events::default();
    for clause in &merge.clauses {
        match &clause.action {
            MergeAction::Delete { .. } => events.deletes = true,
            MergeAction::Insert(insert) => {
                let names = insert.columns.iter().filter_map(|name| name.0.last()?.as_ident());
                events.inserts |= !names.into_iter().any(|name| name.value == NOTHING);
            }
            MergeAction::Update(update)
                if update.assignments.iter().any(|a| a.target.to_string().contains(NOTHING)) => {}
            MergeAction::Update(update) => {
                let set = assignments::columns(table, &update.assignments);
                events.updates.get_or_insert_default().extend(set);
            }
        }
    }
    events
}

/// Runs MERGE.
pub(super) async fn run(
    scope: &Scope<'_>,
    merge: &Merge,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    mut firings: Option<&mut Firings>,
) -> Result<Option<Outcome>> {
    let run = scope.run;
    let Planned { source, clauses } = source(scope, merge).await?;
    let table = &source.target.table;
    let plan = bind(named_query_plan(&source.state, &source.query).await?, run, prepared)?;
    let columns = sources(&source.state, &plan)?;
    let shape = Shape::new(table, run.session.zone());
    for (output, column) in &source.assigned {
        shape.check(*column, &columns[*output])?;
    }
    let held = read(run, &source.state, &plan, |batch| {
        let applies: BooleanArray = actions(&batch)?
            .iter()
            .map(|action| {
                let clause = action.and_then(|a| clauses.get((a as usize).checked_sub(1)?));
                Some(clause.is_some_and(|clause| !matches!(clause.kind, Kind::Nothing)))
            })
            .collect();
        let kept = filter_record_batch(&batch, &applies)?;
        Ok((kept.num_rows() > 0).then_some(kept))
    })
    .await?;
    let mut merged = Merged::new(&shape, &columns, firings.as_deref());
    for batch in &held.batches {
        merged.add(batch, &clauses)?;
    }
    let Merged { mut parts, .. } = merged;
    let passes = firings.as_ref().is_some_and(|firings| firings.passes());
    let mut savepoint = None;
    if let Some(firings) = firings.as_deref_mut().filter(|_| passes) {
        savepoint = firings.savepoint(write)?;
        let places: Vec<u64> = parts.iter().flat_map(|part| part.places.iter().copied()).collect();
        if !places.is_empty() && !update::lock(scope, table, &places, write).await? {
            return Ok(None);
        }
        for part in &mut parts {
            if !part.pass(firings, write).await? {
                forget_since(write, savepoint.as_ref())?;
                return Ok(None);
            }
        }
    }
    let places: Vec<u64> = parts.iter().flat_map(|part| part.places.iter().copied()).collect();
    let rows: Vec<RecordBatch> = parts.iter().filter_map(|part| part.new.clone()).collect();
    let returned: Vec<RecordBatch> = parts.iter().filter_map(|part| part.new.clone().or(part.old.clone())).collect();
    let read: Vec<RecordBatch> = parts.iter().map(|part| part.read.clone()).collect();
    let is_set = |column: usize| {
        clauses.iter().any(|clause| match clause.kind {
            Kind::Insert => true,
            Kind::Update if passes => true,
            Kind::Update => clause.set.iter().any(|(set, _)| *set == column),
            Kind::Delete | Kind::Nothing => false,
        })
    };
    let deletes = clauses.iter().any(|clause| matches!(clause.kind, Kind::Delete));
    let zone = run.session.zone();
    let mut keys = ChangedKeys::of(table, zone, is_set);
    if deletes {
        keys = keys.with_all_indexes(table, zone);
    }
    let (snapshot, intent, set) = (scope.context.storage.clone(), Intent::Modify, None);
    let change = Change { table: Arc::clone(table), snapshot, places, rows, keys, intent, set };
    if !change.lock(run, write).await? {
        forget_since(write, savepoint.as_ref())?;
        return Ok(None);
    }
    if let Some(firings) = firings {
        parts.into_iter().try_for_each(|part| part.wrote(firings))?;
    }
    let changed = read.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
    let told = match &source.returning {
        None => None,
        Some(items) => {
            let sets = sets(&source, &held.schema, &read, &returned)?;
            Some(returning::compute(scope, items, &sets, "MERGE", prepared).await?)
        }
    };
    change.write(write).await?;
    Ok(Some(returning::outcome(told, "MERGE", changed)))
}

fn actions(batch: &RecordBatch) -> Result<arrow::array::Int64Array> {
    Ok(cast(batch.column(ACTION_AT), &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// What all clauses together change.
struct Merged<'a> {
    shape: &'a Shape,
    columns: &'a [SourceColumn],
    /// Rows of the target changed so far.
    seen: HashSet<u64>,
    parts: Vec<Part>,
    /// Whether triggers ask for old rows of those that are updated.
    needs_old: bool,
    /// The form of rows that pass triggers first, of inserted and of updated ones.
    shapes: [Shape; 2],
}

/// Rows of one clause.
struct Part {
    /// Of rows that were there.
    places: Vec<u64>,
    /// As they were, where that is asked for.
    old: Option<RecordBatch>,
    /// As they will be.
    new: Option<RecordBatch>,
    /// What the query read for them.
    read: RecordBatch,
}

impl Part {
    /// The triggers these rows fire.
    fn fired<'f>(&self, firings: &'f mut Firings) -> Option<&'f mut Fired> {
        match (&self.new, self.places.is_empty()) {
            (None, _) => firings.delete.as_mut(),
            (Some(_), true) => firings.insert.as_mut(),
            (Some(_), false) => firings.update.as_mut(),
        }
    }

    fn changed(&self) -> ChangedRows {
        let old = if self.places.is_empty() { None } else { self.old.clone() };
        ChangedRows { old, new: self.new.clone() }
    }

    /// Has the rows pass BEFORE triggers. False: look again.
    async fn pass(&mut self, firings: &mut Firings, write: &mut WriteTxn) -> Result<bool> {
        let rows = self.changed();
        let Some(fired) = self.fired(firings).filter(|fired| fired.has_before_rows()) else { return Ok(true) };
        let Some(passed) = fired.before_changes(write, rows).await? else { return Ok(false) };
        if let Some(kept) = &passed.kept {
            self.read = take_record_batch(&self.read, kept)?;
            self.old = self.old.as_ref().map(|old| take_record_batch(old, kept)).transpose()?;
            if !self.places.is_empty() {
                self.places = kept.values().iter().map(|row| self.places[*row as usize]).collect();
            }
        }
        if passed.new.is_some() {
            self.new = passed.new;
        }
        Ok(true)
    }

    /// The rows are written.
    fn wrote(self, firings: &mut Firings) -> Result<()> {
        let rows = self.changed();
        self.fired(firings).map_or(Ok(()), |fired| fired.wrote(rows))
    }
}

impl<'a> Merged<'a> {
    fn new(shape: &'a Shape, columns: &'a [SourceColumn], firings: Option<&Firings>) -> Merged<'a> {
        let of = |fired: Option<&Fired>| fired.map_or_else(|| shape.clone(), Fired::shape);
        let (insert, update) = firings.map_or((None, None), |f| (f.insert.as_ref(), f.update.as_ref()));
        Merged {
            shape,
            columns,
            seen: HashSet::new(),
            parts: Vec::new(),
            needs_old: update.is_some_and(Fired::needs_old),
            shapes: [of(insert), of(update)],
        }
    }

    fn add(&mut self, batch: &RecordBatch, clauses: &[Clause]) -> Result<()> {
        let actions = actions(batch)?;
        for (number, clause) in clauses.iter().enumerate() {
            let applies: BooleanArray = actions.iter().map(|a| Some(a == Some(number as i64 + 1))).collect();
            let part = filter_record_batch(batch, &applies)?;
            if part.num_rows() == 0 || matches!(clause.kind, Kind::Nothing) {
                continue;
            }
            let places = if matches!(clause.kind, Kind::Insert) { Vec::new() } else { self.take_places(&part)? };
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.shape.columns());
            for column in 0..self.shape.columns() {
                let set = clause.set.iter().find(|(set, _)| *set == column);
                columns.push(match set {
                    Some((_, output)) => self.shape.assign(column, &self.columns[*output], part.column(*output))?,
                    None => self.shape.unchanged(column, part.column(COLUMNS_AT + column))?,
                });
            }
            let rows = part.num_rows();
            let (old, new) = match clause.kind {
                Kind::Delete | Kind::Nothing => (Some(self.shape.old_batch(columns, rows)?), None),
                Kind::Insert => (None, Some(self.shapes[0].batch(columns, rows)?)),
                Kind::Update => {
                    let old = if self.needs_old { Some(self.old(&part)?) } else { None };
                    (old, Some(self.shapes[1].batch(columns, rows)?))
                }
            };
            self.parts.push(Part { places, old, new, read: part });
        }
        Ok(())
    }

    /// The target's rows as they are.
    fn old(&self, part: &RecordBatch) -> Result<RecordBatch> {
        let column = |column| self.shape.unchanged(column, part.column(COLUMNS_AT + column));
        self.shape.old_batch((0..self.shape.columns()).map(column).collect::<Result<_>>()?, part.num_rows())
    }

    fn take_places(&mut self, part: &RecordBatch) -> Result<Vec<u64>> {
        let places = part
            .column(0)
            .as_primitive_opt::<UInt64Type>()
            .ok_or_else(|| Error::new(INTERNAL_ERROR, "places must be unsigned integers"))?;
        for place in places.values() {
            if !self.seen.insert(*place) {
                let message = "MERGE command cannot affect row a second time";
                return Err(Error::new(CARDINALITY_VIOLATION, message)
                    .with_hint("Ensure that not more than one source row matches any one target row."));
            }
        }
        Ok(places.values().to_vec())
    }
}
