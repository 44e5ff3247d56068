//! GRAPH_TABLE as a query over the graph's tables.
//!
//! ```text
//! GRAPH_TABLE (social MATCH (a IS person WHERE a.name = 'Ann')-[k IS knows]->(b) COLUMNS (b.id))
//! SELECT b.id AS id FROM person AS a, knows AS k, person AS b WHERE k.a = a.id AND k.b = b.id AND (a.name = 'Ann')
//! ```
//!
//! An element may be of several tables; there is one SELECT for each choice of tables that fit together, and the union of them is the result. A quantified edge is a
//! search ([`Function::Paths`]) between two vertices, joined by their keys: the ways that begin at the vertices on its left, as far as what the
//! pattern says of these can be said beforehand.

use super::choice::Choice;
use super::labels;
use super::names::path_call;
use super::shape::{Search, Shape, ShapeEdge};
use crate::definition::MissingVertices;
use crate::functions::Function;
use crate::functions::call::{FUNCTION, arrays_as_rows};
use crate::grammar::GRAPH_TABLE;
use crate::pattern::{self, GraphTable, Label};
use crate::schema::{Element, Graph, Known};
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Spanned, TableAlias, TableFactor, TableFunctionArgs, Visit, VisitMut, Visitor, VisitorMut,
};
use lightning_sql::extension::{Scope, identifier, parse_query, plain_name};
use lightning_sql::{Error, Result, SqlState};
use std::ops::ControlFlow;

/// Writes out a GRAPH_TABLE in FROM.
pub(super) fn rewrite(factor: &mut TableFactor, known: &Known, scope: &Scope<'_>) -> Result<()> {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. } = factor else {
        return Ok(());
    };
    if name.to_string() != GRAPH_TABLE {
        return Ok(());
    }
    let table = pattern::read(args)?;
    let graph = known.find(&table.graph, scope)?;
    let sql = Writer::new(scope, &graph, &table)?.query()?;
    let default = TableAlias { explicit: true, name: identifier("graph_table"), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or(default));
    let mut query = parse_query(&sql)?;
    let _ = VisitMut::visit(&mut query, &mut Marks);
    *factor = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None };
    Ok(())
}

/// Searches in the text of a query become marks.
struct Marks;

impl VisitorMut for Marks {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        arrays_as_rows(factor);
        ControlFlow::Continue(())
    }
}

/// The graph of a GRAPH_TABLE in FROM.
pub(super) fn graph_of(factor: &TableFactor) -> Option<ObjectName> {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), .. } = factor else { return None };
    if name.to_string() != GRAPH_TABLE {
        return None;
    }
    pattern::read(args).ok().map(|table| ObjectName::from(table.graph))
}

/// A GRAPH_TABLE being written out.
pub(super) struct Writer<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) graph: &'a Graph,
    pub(super) table: &'a GraphTable,
    pub(super) shape: Shape,
}

impl<'a> Writer<'a> {
    fn new(scope: &'a Scope<'a>, graph: &'a Graph, table: &'a GraphTable) -> Result<Writer<'a>> {
        Ok(Writer { scope, graph, table, shape: Shape::new(graph, table)? })
    }

    fn query(&self) -> Result<String> {
        let choices = self.choices()?;
        if choices.is_empty() {
            return self.nothing();
        }
        let selects = choices.iter().map(|choice| self.select(choice));
        Ok(selects.collect::<Result<Vec<_>>>()?.join(" UNION ALL "))
    }

    /// No rows, for no tables fit together; the columns have types all the same.
    fn nothing(&self) -> Result<String> {
        if self.graph.vertices.is_empty() || (self.graph.edges.is_empty() && !self.shape.edges.is_empty()) {
            let columns = self.table.columns.iter().map(|column| format!("NULL AS {}", identifier(&column.name.value)));
            return Ok(format!("SELECT {} WHERE FALSE", columns.collect::<Vec<_>>().join(", ")));
        }
        let first = |count: usize, fits: &dyn Fn(usize) -> bool| (0..count).find(|table| fits(*table)).unwrap_or(0);
        let of_vertex = |labels: &[Label]| {
            let fits = |table: usize| labels::matches(&self.graph.vertices[table], labels);
            Some(first(self.graph.vertices.len(), &fits))
        };
        let of_edge = |edge: &ShapeEdge| {
            let fits = |table: usize| labels::matches(&self.graph.edges[table].element, &edge.labels);
            (first(self.graph.edges.len(), &fits), false)
        };
        let choice = Choice {
            vertices: self.shape.vertices.iter().map(|vertex| of_vertex(&vertex.labels)).collect(),
            edges: self.shape.edges.iter().map(of_edge).collect(),
            from_ways: vec![None; self.shape.vertices.len()],
        };
        let mut from = vec![];
        for vertex in 0..self.shape.vertices.len() {
            from.push(format!("{} AS {}", table_name(self.vertex_table(&choice, vertex)), self.vertex_alias(vertex)));
        }
        for (number, (table, _)) in choice.edges.iter().enumerate() {
            from.push(format!("{} AS {}", table_name(&self.graph.edges[*table].element), self.edge_alias(number)));
        }
        for (number, search) in self.shape.searches.iter().enumerate() {
            from.push(format!("{} AS {}", self.search_of_all(number, search, &choice)?, Self::search_alias(number)));
        }
        Ok(format!("SELECT {} FROM {} WHERE FALSE", self.columns(&choice)?, from.join(", ")))
    }

    pub(super) fn vertex_table(&self, choice: &Choice, vertex: usize) -> &'a Element {
        &self.graph.vertices[choice.vertices[vertex].expect("all vertices have a table by now")]
    }

    /// What a vertex is called in SQL.
    pub(super) fn vertex_alias(&self, vertex: usize) -> String {
        let name = self.shape.vertices[vertex].variable.as_ref().map(|name| name.value.clone());
        identifier(&name.unwrap_or_else(|| format!("vertex {}", vertex + 1))).to_string()
    }

    pub(super) fn edge_alias(&self, edge: usize) -> String {
        let name = self.shape.edges[edge].variable.as_ref().map(|name| name.value.clone());
        identifier(&name.unwrap_or_else(|| format!("edge {}", edge + 1))).to_string()
    }

    pub(super) fn search_alias(search: usize) -> String {
        identifier(&format!("way {}", search + 1)).to_string()
    }

    fn select(&self, choice: &Choice) -> Result<String> {
        let choice = &self.with_ways(choice)?;
        let is_joined = |vertex: usize| choice.from_ways[vertex].is_none();
        let mut from: Vec<String> = vec![];
        let mut conditions: Vec<String> = vec![];
        for vertex in (0..self.shape.vertices.len()).filter(|vertex| is_joined(*vertex)) {
            from.push(format!("{} AS {}", table_name(self.vertex_table(choice, vertex)), self.vertex_alias(vertex)));
            for condition in &self.shape.vertices[vertex].conditions {
                conditions.push(format!("({})", self.resolved(condition, choice)?));
            }
        }
        for (number, edge) in self.shape.edges.iter().enumerate() {
            let (table, is_back) = choice.edges[number];
            from.push(format!("{} AS {}", table_name(&self.graph.edges[table].element), self.edge_alias(number)));
            conditions.extend(self.edge_conditions(number, edge, (table, is_back)));
            if let Some(condition) = &edge.condition {
                conditions.push(format!("({})", self.resolved(condition, choice)?));
            }
        }
        for (number, search) in self.shape.searches.iter().enumerate() {
            let alias = Self::search_alias(number);
            from.push(format!("{} AS {alias}", self.search(number, search, choice)?));
            for (name, vertex) in [("from", search.left), ("to", search.right)] {
                if !is_joined(vertex) {
                    continue;
                }
                for (place, column) in self.vertex_table(choice, vertex).key_names().enumerate() {
                    let (column, place) = (identifier(column), place + 1);
                    conditions.push(format!("{alias}.\"{name}_{place}\" = {}.{column}", self.vertex_alias(vertex)));
                }
            }
        }
        // Who wants to be told of edges without vertices is told, though joins would not meet them.
        let is_strict = self.graph.missing == MissingVertices::Error;
        if is_strict && self.shape.searches.is_empty() && !self.shape.edges.is_empty() {
            from.push(format!("{FUNCTION}({}, '{}') AS \"checked\"", self.graph.id, Function::Check.name()));
        }
        for path in &self.shape.paths {
            conditions.extend(self.mode_conditions(path, choice));
        }
        for condition in self.common_conditions(choice) {
            conditions.push(format!("({})", self.resolved(condition, choice)?));
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        Ok(format!("SELECT {} FROM {}{filter}", self.columns(choice)?, from.join(", ")))
    }

    fn columns(&self, choice: &Choice) -> Result<String> {
        let columns = self.table.columns.iter().map(|column| {
            self.check_column(&column.expr)?;
            Ok(format!("{} AS {}", self.resolved(&column.expr, choice)?, identifier(&column.name.value)))
        });
        Ok(columns.collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// A column is of one match: it has no aggregates, no windows and no sets.
    fn check_column(&self, expr: &Expr) -> Result<()> {
        struct Calls<'w>(&'w Writer<'w>, usize);
        impl Visitor for Calls<'_> {
            type Break = Error;
            fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
                self.1 += 1;
                ControlFlow::Continue(())
            }
            fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
                self.1 -= 1;
                ControlFlow::Continue(())
            }
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
                let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
                let is_of_edges =
                    path_call(function).is_some_and(|(call, name)| call == "count" && self.0.is_search(&name));
                let name = plain_name(function).filter(|_| !is_of_edges && self.1 == 0).unwrap_or_default();
                let refused = |state: &'static str, what: &str| {
                    let message = format!("{what} functions are not allowed in the COLUMNS clause");
                    let at = function.name.span().start;
                    ControlFlow::Break(Error::new(SqlState(state), message).with_location(at))
                };
                match name.as_str() {
                    "" => ControlFlow::Continue(()),
                    _ if function.over.is_some() => refused("42P20", "window"),
                    "generate_series" | "unnest" => refused("0A000", "set-returning"),
                    name if self.0.scope.is_aggregate(name) => refused("42803", "aggregate"),
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        match expr.visit(&mut Calls(self, 0)) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Whether there is a vertex or an edge of this name.
    pub(super) fn is_element(&self, name: &str) -> bool {
        let vertices = self.shape.vertices.iter().map(|vertex| &vertex.variable);
        let mut names = vertices.chain(self.shape.edges.iter().map(|edge| &edge.variable)).flatten();
        names.any(|known| known.value == name)
    }

    pub(super) fn is_search(&self, name: &str) -> bool {
        let is_it = |search: &Search| search.variable.as_ref().is_some_and(|known| known.value == name);
        self.shape.searches.iter().any(is_it)
    }
}

pub(super) fn table_name(element: &Element) -> String {
    format!("{}.{}", identifier(&element.schema), identifier(&element.table.name))
}
