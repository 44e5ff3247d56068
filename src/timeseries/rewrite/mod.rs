//! Marked queries written out, innermost first.
//!
//! [`sample_by`] makes a SELECT with groups of time of SAMPLE BY. [`joins`] wraps what only a planner can make a plan of,
//! ASOF and window joins and LATEST ON, into a table in parentheses that [`crate::relation`] takes.

mod joins;
mod sample_by;
mod table_functions;

pub(crate) use joins::aggregate_name;

use crate::time_column::{Withs, open};
use datafusion::sql::sqlparser::ast::{Query, Select, SetExpr, VisitMut, VisitorMut};
use lightning_sql::extension::Scope;
use lightning_sql::{Error, Result};
use std::ops::ControlFlow;

/// Writes out a query and all queries in it.
pub(crate) fn rewrite(query: &mut Query, scope: &Scope<'_>) -> Result<()> {
    let mut rewriter = Rewriter { scope, withs: Vec::new(), outer: Vec::new() };
    match query.visit(&mut rewriter) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter<'a> {
    scope: &'a Scope<'a>,
    withs: Withs,
    /// How many WITH queries each query that is open could see.
    outer: Vec<usize>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.outer.push(self.withs.len());
        open(query, &mut self.withs);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let result = self.query(query);
        self.withs.truncate(self.outer.pop().unwrap_or(0));
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

impl Rewriter<'_> {
    fn query(&self, query: &mut Query) -> Result<()> {
        let mut selects = Vec::new();
        selects_of(&mut query.body, &mut selects);
        for select in selects {
            table_functions::rewrite(select, self.scope)?;
            joins::rewrite(select, self.scope, &self.withs)?;
        }
        sample_by::rewrite(query, self.scope, &self.withs)
    }
}

fn selects_of<'a>(body: &'a mut SetExpr, into: &mut Vec<&'a mut Select>) {
    match body {
        SetExpr::Select(select) => into.push(select),
        SetExpr::SetOperation { left, right, .. } => {
            selects_of(left, into);
            selects_of(right, into);
        }
        _ => {}
    }
}
