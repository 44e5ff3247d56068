//! RETURNING: what a statement tells about the rows it changed.

use super::Scope;
use super::query::{refuse_aggregates, select};
use super::rows::read;
use super::rowset::{RowSet, joined, tables};
use crate::error::{Error, Result};
use crate::outcome::{Outcome, RowStream};
use crate::plan::shown_query_plan;
use crate::prepared::{bind, infer};
use crate::present::{self, client_schema};
use crate::provider::state_with;
use crate::semantics;
use crate::session::Prepared;
use crate::sqlstate::UNDEFINED_TABLE;
use crate::statements::target::folded;
use crate::types::PgType;
use arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast::{
    Expr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, SelectItem, SelectItemQualifiedWildcardKind,
};

fn state(scope: &Scope<'_>, sets: &[RowSet]) -> SessionState {
    let session = &scope.run.session;
    let mut state = state_with(&session.base, &session.info, &scope.context, tables(sets));
    semantics::begin_statement(&mut state, &session.info);
    // One partition keeps the rows in the order they were changed in.
    state.config_mut().options_mut().execution.target_partitions = 1;
    state
}

/// The query: the items over the rows, in their order.
fn query(scope: &Scope<'_>, state: &SessionState, items: &[SelectItem], sets: &[RowSet]) -> Result<Query> {
    let exprs = items.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    refuse_aggregates(state, exprs, "RETURNING")?;
    let mut query = select(scope.with.as_ref(), expanded(items, sets)?, joined(sets), None)?;
    if let [first, _, ..] = sets {
        let options = OrderByOptions { asc: Some(true), nulls_first: None };
        let by_number = OrderByExpr { expr: first.number(), options, with_fill: None };
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(vec![by_number]), interpolate: None });
    }
    Ok(query)
}

/// The items with `*` written out: the numbers of rows are nobody's business.
fn expanded(items: &[SelectItem], sets: &[RowSet]) -> Result<Vec<SelectItem>> {
    let mut all = Vec::with_capacity(items.len());
    let columns = |set: &RowSet| -> Vec<SelectItem> {
        set.columns.iter().map(|name| SelectItem::UnnamedExpr(set.column(name))).collect()
    };
    for item in items {
        match item {
            SelectItem::Wildcard(_) => sets.iter().for_each(|set| all.extend(columns(set))),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let written = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
                let set = sets.iter().find(|set| set.alias.value == written).ok_or_else(|| {
                    Error::new(UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{written}\""))
                })?;
                all.extend(columns(set));
            }
            other => all.push(other.clone()),
        }
    }
    Ok(all)
}

/// The columns RETURNING gives, and the types of its parameters.
pub(crate) async fn describe(
    scope: &Scope<'_>,
    items: &[SelectItem],
    sets: &[RowSet],
    types: &mut [Option<PgType>],
) -> Result<SchemaRef> {
    let state = state(scope, sets);
    let plan = shown_query_plan(&state, &query(scope, &state, items, sets)?).await?;
    let plan = infer(plan, types)?;
    let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    Ok(client_schema(analyzed.schema().as_arrow()))
}

/// Computes RETURNING. The rows wait in memory until the statement has written.
pub(crate) async fn compute(
    scope: &Scope<'_>,
    items: &[SelectItem],
    sets: &[RowSet],
    tag: &str,
    prepared: Option<&Prepared>,
) -> Result<RowStream> {
    let run = scope.run;
    let state = state(scope, sets);
    let plan = shown_query_plan(&state, &query(scope, &state, items, sets)?).await?;
    let plan = if run.parameters.is_empty() { plan } else { bind(plan, run, prepared)? };
    let held = read(run, &state, &plan, |batch| Ok(Some(batch))).await?;
    let schema = held.batches.first().map_or_else(|| held.schema.clone(), |batch| batch.schema());
    let stream = MemoryStream::try_new(held.batches, schema, None)?.with_reservation(held.memory);
    Ok(present::rows(&held.schema, Box::pin(stream), tag, &run.active, &run.session.transactions))
}

/// What a statement answers: RETURNING's rows, or how many rows it changed.
pub(crate) fn outcome(rows: Option<RowStream>, tag: &str, changed: u64) -> Outcome {
    match rows {
        Some(rows) => Outcome::Rows(rows),
        None => Outcome::Done { tag: format!("{tag} {changed}"), rows: changed },
    }
}

/// Whether an item list is there and not empty.
pub(crate) fn items(list: &Option<Vec<SelectItem>>) -> Option<Vec<SelectItem>> {
    list.as_ref().filter(|items| !items.is_empty()).cloned()
}

/// Expressions of a list, for visitors.
pub(crate) fn exprs_mut(items: &mut [SelectItem]) -> impl Iterator<Item = &mut Expr> {
    items.iter_mut().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    })
}
