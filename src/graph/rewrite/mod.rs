//! Graphs in FROM, written out: [`graph_table`] makes queries of patterns, and calls of functions become marks.
//!
//! A pattern has a [`shape`] and [`labels`], which leave a [`choice`] of tables; edges are [`joins`], quantified ones [`ways`] found by a search, and [`names`] says what properties are there.

mod labels;
mod shape;
mod graph_table;
mod choice;
mod joins;
mod names;
mod ways;

use crate::functions::call;
use crate::schema::Known;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, TableFactor, Visit, VisitMut, Visitor, VisitorMut};
use lightning_sql::extension::Scope;
use lightning_sql::{Error, Result};
use std::ops::ControlFlow;

/// Writes out a query and all queries in it.
pub(crate) fn rewrite(query: &mut Query, known: &Known, scope: &Scope<'_>) -> Result<()> {
    match VisitMut::visit(query, &mut Rewriter { known, scope }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The graphs that a query names.
pub(crate) fn graphs(query: &Query) -> Vec<ObjectName> {
    #[derive(Default)]
    struct Graphs(Vec<ObjectName>);
    impl Visitor for Graphs {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            self.0.extend(graph_table::graph_of(factor).or_else(|| call::graph_of(factor)));
            ControlFlow::Continue(())
        }
    }
    let mut graphs = Graphs::default();
    let _ = Visit::visit(query, &mut graphs);
    graphs.0
}

/// What is not done with a graph in FROM.
fn refused(factor: &TableFactor) -> Option<Error> {
    let shown = |name: &ObjectName| match name.to_string() {
        name if name == crate::grammar::GRAPH_TABLE => Some("GRAPH_TABLE".to_owned()),
        name => crate::functions::Function::called(&name.to_lowercase()).map(|function| function.name().to_owned()),
    };
    match factor {
        TableFactor::Function { lateral: true, name, .. } => {
            shown(name).map(|name| Error::unsupported(format!("LATERAL before {name}")))
        }
        TableFactor::Table { name, args: Some(_), with_ordinality: true, .. } => {
            shown(name).map(|name| Error::unsupported(format!("WITH ORDINALITY after {name}")))
        }
        _ => None,
    }
}

struct Rewriter<'a> {
    known: &'a Known,
    scope: &'a Scope<'a>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    /// Innermost first.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let Some(error) = refused(factor) {
            return ControlFlow::Break(error);
        }
        let written = graph_table::rewrite(factor, self.known, self.scope);
        match written.and_then(|()| call::rewrite(factor, self.known, self.scope)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
