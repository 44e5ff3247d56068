//! PostgreSQL's meaning of expressions, where DataFusion's differs.
//!
//! While SQL becomes a plan, [`operators`] resolves literals of open type against the other operand and refuses operators
//! that do not exist (`integer = text`). On the finished plan, before DataFusion coerces types, [`expressions`] narrows
//! integer literals to `integer`, binds calls ([`calls`], [`user_functions`]), resolves literals in IN and BETWEEN, brings alternatives to their
//! [`common_type`] (those of [`set_operations`] too), and replaces casts by PostgreSQL's ([`cast`]). [`arrays`] and
//! [`quantified`] are the operators between arrays and over their elements, [`moments`] the arithmetic of dates and time
//! stamps, [`widened`] compares those of different precision; [`correlated`] makes joins of sub-queries that DataFusion cannot. After coercion [`arithmetic`] makes `+ - * / %`
//! fail on overflow and division by zero instead of wrapping.

mod arithmetic;
mod cast;
mod moments;
mod widened;
mod arrays;
mod plain;
mod choices;
mod operators;
mod calls;
mod user_functions;
mod common_type;
mod set_operations;
mod correlated;
pub(crate) mod quantified;
mod expressions;

use crate::context::SessionInfo;
use crate::error::Result;
use crate::extension::Extensions;
use crate::{functions, pg_catalog};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::optimizer::analyzer::{Analyzer, AnalyzerRule};
use std::sync::Arc;

/// Adds rules and planners to a session's. Must come before DataFusion's defaults.
pub(crate) fn install(builder: SessionStateBuilder, extensions: &Extensions) -> SessionStateBuilder {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
        extensions.iter().flat_map(|extension| extension.analyzer_rules()).collect();
    rules.extend([Arc::new(expressions::PostgresExpressions) as _, Arc::new(correlated::CorrelatedSubqueries) as _]);
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(arithmetic::CheckedArithmetic));
    builder.with_analyzer_rules(rules).with_expr_planners(vec![Arc::new(operators::PostgresOperators)])
}

/// Registers PostgreSQL's functions.
pub(crate) fn register(state: &mut SessionState, info: &Arc<SessionInfo>, extensions: &Extensions) -> Result<()> {
    functions::register(state)?;
    for extension in extensions.iter() {
        functions::register_extension(state, extension.as_ref())?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(plain::Plain::new())))?;
    for name in choices::NAMES {
        let function = state.udf(name)?;
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(choices::Choice::new(function))))?;
    }
    for function in quantified::functions() {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udtf("generate_series", functions::generate_series());
    for function in pg_catalog::functions(info) {
        state.register_udf(function)?;
    }
    Ok(())
}

/// Sets what an expression may depend on besides rows: the time of the statement, the session's time zone.
pub(crate) fn begin_statement(state: &mut SessionState, info: &Arc<SessionInfo>) {
    let zone = info.settings.get("timezone").unwrap_or_else(|| "UTC".to_owned());
    state.config_mut().options_mut().execution.time_zone = Some(zone);
    // Functions see the configuration as it is now.
    state.mark_start_execution();
}
