//! SELECT, VALUES, EXPLAIN.

use super::modify;
use super::setting::text_rows;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::{executable, named_query_plan, physical_plan, shown_query_plan, start};
use crate::prepared::{PlanKey, bind};
use crate::provider::state_for;
use crate::session::{Prepared, Run};
use crate::user_functions::aggregate::{UserAggregate, user_aggregate};
use crate::user_functions::code::{Coded, coded};
use crate::{present, semantics};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::sql::sqlparser::ast::{
    AnalyzeFormat, AnalyzeFormatKind, Expr, Insert, Query, Statement, UtilityOption, Value,
};
use futures::StreamExt;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Runs a query and streams its rows.
pub(super) async fn select(run: &Run, query: &Query, prepared: Option<&Prepared>) -> Result<Outcome> {
    let context = run.session.context()?;
    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = match prepared {
        None => shown_query_plan(&state, query).await?,
        Some(prepared) => {
            let key = PlanKey::new(run, &context);
            match prepared.inner.kept_plan(key.as_ref()) {
                Some(plan) => plan,
                None => {
                    let plan = shown_query_plan(&state, query).await?;
                    prepared.inner.keep_plan(key, &plan);
                    plan
                }
            }
        }
    };
    let plan = bind(plan, run, prepared)?;
    run.active.check()?;
    let (logical, physical) = executable(&state, &plan).await?;
    let stream = start(&state, physical)?;
    Ok(Outcome::Rows(present::rows(&logical, stream, "SELECT", &run.active, &run.session.transactions)))
}

/// What EXPLAIN was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
}

/// EXPLAIN, EXPLAIN ANALYZE.
pub(super) async fn explain(run: &Run, statement: &Statement) -> Result<Outcome> {
    let Statement::Explain { analyze, verbose, statement, format, options, .. } = statement else {
        return Err(Error::unsupported("this form of EXPLAIN"));
    };
    let mut wanted = ExplainOptions { analyze: *analyze, verbose: *verbose };
    for option in options.iter().flatten() {
        explain_option(option, &mut wanted)?;
    }
    if let Some(AnalyzeFormatKind::Keyword(format) | AnalyzeFormatKind::Assignment(format)) = format
        && !matches!(format, AnalyzeFormat::TEXT)
    {
        return Err(Error::unsupported(format!("EXPLAIN format {format}")));
    }
    let plain = || -> Result<SessionState> {
        let context = run.session.context()?;
        let mut state = state_for(&run.session.base, &run.session.info, &context);
        semantics::begin_statement(&mut state, &run.session.info);
        Ok(state)
    };
    let (state, query, above) = match statement.as_ref() {
        Statement::Query(query) if !modify::is_modifying(&query.body) => (plain()?, query.as_ref().clone(), None),
        _ if wanted.analyze => return Err(Error::unsupported("EXPLAIN ANALYZE of a statement that changes rows")),
        Statement::Insert(Insert { source: Some(query), table, .. }) => {
            (plain()?, query.as_ref().clone(), Some(format!("Insert on {table}")))
        }
        other => {
            let (state, query, line) = modify::explained(run, other).await?;
            (state, query, Some(line))
        }
    };
    let began = Instant::now();
    let plan = named_query_plan(&state, &query).await?;
    let physical = physical_plan(&state, &plan).await?;
    let planning = began.elapsed();
    let mut lines = if wanted.analyze {
        analyze_lines(run, &state, physical, wanted).await?
    } else {
        let optimized = if wanted.verbose { Some(state.optimize(&plan)?) } else { None };
        plan_lines(optimized.as_ref(), &physical, wanted)
    };
    if let Some(above) = above {
        lines.iter_mut().for_each(|line| line.insert_str(0, "  "));
        lines.insert(0, above);
    }
    if wanted.analyze {
        lines.insert(lines.len() - 1, format!("Planning Time: {:.3} ms", planning.as_secs_f64() * 1e3));
    }
    text_rows(&["QUERY PLAN"], vec![lines], "EXPLAIN")
}

fn explain_option(option: &UtilityOption, wanted: &mut ExplainOptions) -> Result<()> {
    let on = match &option.arg {
        None => true,
        Some(Expr::Value(v)) => matches!(v.value, Value::Boolean(true)),
        Some(Expr::Identifier(word)) => {
            let word = word.value.to_lowercase();
            if option.name.value.eq_ignore_ascii_case("format") && word != "text" {
                return Err(Error::unsupported(format!("EXPLAIN format {word}")));
            }
            word == "on" || word == "true"
        }
        Some(_) => false,
    };
    match option.name.value.to_lowercase().as_str() {
        "analyze" => wanted.analyze = on,
        "verbose" => wanted.verbose = on,
        "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" | "format" => {}
        other => {
            return Err(Error::new(crate::sqlstate::SYNTAX_ERROR, format!("unrecognized EXPLAIN option \"{other}\"")));
        }
    }
    Ok(())
}

fn plan_lines(logical: Option<&LogicalPlan>, physical: &Arc<dyn ExecutionPlan>, wanted: ExplainOptions) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(logical) = logical {
        lines.extend(logical.display_indent().to_string().lines().map(clean));
        lines.push(String::new());
    }
    lines.extend(displayable(physical.as_ref()).indent(wanted.verbose).to_string().lines().map(clean));
    lines
}

async fn analyze_lines(
    run: &Run,
    state: &SessionState,
    physical: Arc<dyn ExecutionPlan>,
    wanted: ExplainOptions,
) -> Result<Vec<String>> {
    let began = Instant::now();
    let mut stream = start(state, Arc::clone(&physical))?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows();
        run.active.check()?;
    }
    drop(stream);
    let elapsed = began.elapsed();
    let shown = DisplayableExecutionPlan::with_metrics(physical.as_ref()).indent(wanted.verbose).to_string();
    let mut lines: Vec<String> = shown.lines().map(clean).collect();
    let mut called = Vec::new();
    functions_of(&physical, &mut called)?;
    for (line, called) in lines.iter_mut().zip(called) {
        if !called.is_empty() {
            line.push_str(&format!(", functions=[{}]", called.join("; ")));
        }
    }
    lines.push(format!("Rows: {rows}"));
    lines.push(format!("Execution Time: {:.3} ms", elapsed.as_secs_f64() * 1e3));
    Ok(lines)
}

/// What functions in other languages took, node by node in the order plans are shown in.
fn functions_of(plan: &Arc<dyn ExecutionPlan>, nodes: &mut Vec<Vec<String>>) -> Result<()> {
    let mut called = Vec::new();
    plan.apply_expressions(&mut |root| {
        root.apply(|expr| {
            let call = (expr.as_ref() as &dyn Any).downcast_ref::<ScalarFunctionExpr>();
            called.extend(call.and_then(|call| coded(call.fun())).and_then(Coded::spent));
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if let Some(node) = (plan.as_ref() as &dyn Any).downcast_ref::<AggregateExec>() {
        let aggregates = node.aggr_expr().iter().filter_map(|aggregate| user_aggregate(aggregate.fun()));
        called.extend(aggregates.filter_map(UserAggregate::spent));
    }
    nodes.push(called);
    plan.children().into_iter().try_for_each(|child| functions_of(child, nodes))
}

/// Hides how equal column names are kept apart.
fn clean(line: &str) -> String {
    if !line.contains('\u{1}') {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1}' {
            while chars.next_if(char::is_ascii_digit).is_some() {}
        } else {
            out.push(c);
        }
    }
    out
}
