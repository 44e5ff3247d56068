//! SQL-level PREPARE, EXECUTE, DEALLOCATE.

use super::done;
use super::target::folded;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::{Kind, Parsed};
use crate::plan::select_of;
use crate::session::{Prepared, Run};
use crate::sqlstate::{DUPLICATE_PREPARED_STATEMENT, INVALID_SQL_STATEMENT_NAME, SYNTAX_ERROR};
use crate::type_names::sql_type;
use crate::types::PgType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{Ident, Statement};
use std::sync::Arc;

/// PREPARE name [(types)] AS statement.
pub(super) async fn prepare(run: &Run, statement: &Statement) -> Result<Outcome> {
    let Statement::Prepare { name, data_types, statement } = statement else {
        return Err(Error::unsupported("this form of PREPARE"));
    };
    let name = folded(name);
    let types: Vec<Option<PgType>> = data_types.iter().map(|t| sql_type(t).map(Some)).collect::<Result<_>>()?;
    if run.session.prepared.lock().contains_key(&name) {
        return Err(Error::new(DUPLICATE_PREPARED_STATEMENT, format!("prepared statement \"{name}\" already exists")));
    }
    let parsed = Parsed::part_of(&run.parsed, Kind::Sql(statement.clone()));
    let prepared = Box::pin(crate::prepared::prepare(&run.with(Arc::new(parsed)), &types)).await?;
    run.session.prepared.lock().insert(name, Prepared { inner: Arc::new(prepared) });
    Ok(done("PREPARE"))
}

/// EXECUTE name [(values)].
pub(super) async fn execute(run: &Run, statement: &Statement) -> Result<Outcome> {
    let Statement::Execute { name: Some(name), parameters, .. } = statement else {
        return Err(Error::unsupported("this form of EXECUTE"));
    };
    let name = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
    let prepared = run.session.prepared.lock().get(&name).cloned().ok_or_else(|| unknown(&name))?;
    let wanted = prepared.parameters();
    if wanted.len() != parameters.len() {
        return Err(Error::new(SYNTAX_ERROR, format!("wrong number of parameters for prepared statement \"{name}\""))
            .with_detail(format!("Expected {} parameters but got {}.", wanted.len(), parameters.len())));
    }
    let mut values: Vec<ScalarValue> = Vec::with_capacity(parameters.len());
    for (expr, pg) in parameters.iter().zip(wanted) {
        values.push(crate::defaults::constant(run, select_of(expr.clone())?, *pg).await?);
    }
    let Some(parsed) = &prepared.inner.parsed else { return Ok(Outcome::Empty) };
    let mut inner = run.with(Arc::clone(parsed));
    inner.parameters = values;
    Box::pin(super::execute(&inner, Some(&prepared))).await
}

/// DEALLOCATE name, DEALLOCATE ALL.
pub(super) fn deallocate(run: &Run, name: &Ident) -> Result<Outcome> {
    let mut prepared = run.session.prepared.lock();
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        prepared.clear();
        return Ok(done("DEALLOCATE ALL"));
    }
    let name = folded(name);
    prepared.remove(&name).map(|_| done("DEALLOCATE")).ok_or_else(|| unknown(&name))
}

fn unknown(name: &str) -> Error {
    Error::new(INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
}
