//! What names in the expressions of a pattern stand for: properties of variables, and functions of paths.

use super::choice::Choice;
use super::graph_table::Writer;
use super::labels;
use super::shape::{Part, Path, Search};
use crate::functions::key_text::KEY_TEXT;
use crate::functions::signature::{edge_type, vertex_type};
use crate::pattern::Label;
use crate::schema::Element;
use datafusion::sql::sqlparser::ast::{
    Expr, Function as SqlFunction, FunctionArguments, Ident, Query, Spanned, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use lightning_sql::extension::{argument, folded, identifier, parse_expression, plain_name};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result, SqlState};
use std::collections::HashSet;
use std::ops::ControlFlow;

const UNDEFINED_COLUMN: SqlState = SqlState("42703");

/// What names in an expression stand for.
pub(super) struct Names<'a> {
    pub(super) writer: &'a Writer<'a>,
    /// Each variable, its table, and through which labels it is seen.
    pub(super) of: Vec<(&'a str, &'a Element, &'a [Label])>,
    /// The choice of tables, where paths and searches have names, too.
    pub(super) paths: Option<&'a Choice>,
}

impl Names<'_> {
    pub(super) fn resolve(&self, expr: &Expr) -> Result<Expr> {
        let mut expr = expr.clone();
        match VisitMut::visit(&mut expr, &mut Resolver { names: self, depth: 0 }) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(expr),
        }
    }

    fn property(&self, parts: &[Ident]) -> Result<Option<Expr>> {
        let [variable, property] = parts else { return Ok(None) };
        let (variable_name, name) = (folded(variable), folded(property));
        let Some((_, element, wanted)) = self.of.iter().find(|(known, ..)| *known == variable_name) else {
            let is_search =
                |search: &Search| search.variable.as_ref().is_some_and(|known| known.value == variable_name);
            if self.writer.shape.searches.iter().any(is_search) {
                let message = format!("a property of \"{variable_name}\" (several edges)");
                return Err(Error::unsupported(message)
                    .with_location(variable.span.start)
                    .with_hint("vertices(path) and edges(path) have the elements of a path."));
            }
            // Of the edges of a search all is said before the rest of the pattern is matched.
            if self.paths.is_none() && self.writer.is_element(&variable_name) {
                let message = format!("a condition of a quantified edge on \"{variable_name}\"");
                return Err(Error::unsupported(message).with_location(variable.span.start));
            }
            return Ok(None);
        };
        let found = element.property(&name, |label| labels::is_meant(wanted, label));
        if let Some(way) = self.way_of(&variable_name)
            && let Some(place) = found.and_then(|_| key_place(element, &name))
        {
            return parse_expression(&format!("{way}_{}\"", place + 1)).map(Some);
        }
        if let Some(property) = found {
            let mut expr = parse_expression(&property.expr)?;
            let _ = VisitMut::visit(&mut expr, &mut Qualify(&variable_name));
            return Ok(Some(Expr::Nested(Box::new(expr))));
        }
        // Another of the tables that the element may be of may have it.
        let graph = self.writer.graph;
        let edges = || graph.edges.iter().map(|edges| &edges.element);
        let of_kind: Vec<&Element> = match edges().any(|edge| std::ptr::eq(edge, *element)) {
            true => edges().collect(),
            false => graph.vertices.iter().collect(),
        };
        let mut others = of_kind.into_iter().filter(|other| labels::matches(other, wanted));
        if others.any(|other| other.property(&name, |label| labels::is_meant(wanted, label)).is_some()) {
            return Ok(Some(Expr::value(Value::Null)));
        }
        let message = format!("property \"{name}\" for element variable \"{variable_name}\" not found");
        Err(Error::new(UNDEFINED_COLUMN, message).with_location(property.span.start))
    }

    /// The columns of a search's ways that have the key of a vertex that is not joined, up to their number: `"way 1"."from`.
    fn way_of(&self, variable: &str) -> Option<String> {
        let choice = self.paths?;
        let vertices = self.writer.shape.vertices.iter();
        let is_it = |name: &Ident| name.value == variable;
        let vertex = vertices.into_iter().position(|vertex| vertex.variable.as_ref().is_some_and(is_it))?;
        let (search, is_first) = choice.from_ways[vertex]?;
        Some(format!("{}.\"{}", Writer::search_alias(search), if is_first { "from" } else { "to" }))
    }

    /// `path_length(p)`, `vertices(p)`, `edges(p)`, and `count(k)` of the edges of a search.
    fn call(&self, function: &SqlFunction) -> Result<Option<Expr>> {
        let (Some((call, name)), Some(choice)) = (path_call(function), self.paths) else { return Ok(None) };
        let writer = self.writer;
        let is_search = |search: &Search| search.variable.as_ref().is_some_and(|known| known.value == name);
        if let Some(search) = writer.shape.searches.iter().position(is_search).filter(|_| call == "count") {
            return parse_expression(&format!("{}.\"length\"", Writer::search_alias(search))).map(Some);
        }
        let is_path = |path: &&Path| path.variable.as_ref().is_some_and(|known| known.value == name);
        let Some(path) = writer.shape.paths.iter().find(is_path).filter(|_| call != "count") else {
            if call == "count" {
                return Ok(None);
            }
            let message = format!("\"{name}\" is not the name of a path");
            return Err(Error::new(UNDEFINED_COLUMN, message).with_location(function.name.span().start));
        };
        parse_expression(&writer.of_path(&call, path, choice)?).map(Some)
    }
}

impl Writer<'_> {
    /// An expression with properties as what they are in the tables chosen.
    pub(super) fn resolved(&self, expr: &Expr, choice: &Choice) -> Result<Expr> {
        let mut of = vec![];
        for (number, vertex) in self.shape.vertices.iter().enumerate() {
            if let Some(name) = &vertex.variable {
                of.push((name.value.as_str(), self.vertex_table(choice, number), vertex.labels.as_slice()));
            }
        }
        for (edge, (table, _)) in self.shape.edges.iter().zip(&choice.edges) {
            if let Some(name) = &edge.variable {
                of.push((name.value.as_str(), &self.graph.edges[*table].element, edge.labels.as_slice()));
            }
        }
        Names { writer: self, of, paths: Some(choice) }.resolve(expr)
    }

    /// Whether somebody asks for the vertices or edges of a search.
    pub(super) fn uses_elements(&self, search: usize) -> bool {
        let path = self.shape.paths.iter().find(|path| path.parts.contains(&Part::Search(search)));
        let Some(name) = path.and_then(|path| path.variable.as_ref()) else { return false };
        struct Uses<'n>(&'n str);
        impl Visitor for Uses<'_> {
            type Break = ();
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                match expr {
                    Expr::Function(function)
                        if path_call(function).is_some_and(|(call, path)| call != "path_length" && path == self.0) =>
                    {
                        ControlFlow::Break(())
                    }
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        let exprs = self.table.columns.iter().map(|column| &column.expr).chain(&self.shape.conditions);
        exprs.into_iter().any(|expr| expr.visit(&mut Uses(&name.value)).is_break())
    }

    /// The length, the vertices or the edges of a path, as SQL.
    fn of_path(&self, call: &str, path: &Path, choice: &Choice) -> Result<String> {
        if let [Part::Search(search)] = path.parts.as_slice() {
            let column = if call == "path_length" { "length" } else { call };
            return Ok(format!("{}.\"{column}\"", Self::search_alias(*search)));
        }
        // What a search would give: keys of one type, or text.
        let key = |element: &Element, alias: String, pg: PgType| {
            let columns: Vec<String> =
                element.key_names().map(|name| format!("{alias}.{}", identifier(name))).collect();
            match columns.as_slice() {
                [one] if pg == types::TEXT => format!("CAST({one} AS text)"),
                [one] => one.clone(),
                several => format!("{KEY_TEXT}({})", several.join(", ")),
            }
        };
        let tables = (0..self.graph.edges.len()).filter(|table| {
            let element = &self.graph.edges[*table].element;
            self.shape.edges.iter().any(|edge| labels::matches(element, &edge.labels))
        });
        let of_edges = edge_type(self.graph, &tables.collect::<Vec<_>>());
        let of_vertices = vertex_type(self.graph);
        match call {
            "path_length" => {
                let searches = path.parts.iter().filter_map(|part| match part {
                    Part::Search(search) => Some(format!(" + {}.\"length\"", Self::search_alias(*search))),
                    Part::Edge(_) => None,
                });
                let edges = path.parts.iter().filter(|part| matches!(part, Part::Edge(_))).count();
                Ok(format!("(CAST({edges} AS bigint){})", searches.collect::<String>()))
            }
            _ if path.parts.iter().any(|part| matches!(part, Part::Search(_))) => {
                Err(Error::unsupported(format!("{call} of a path of quantified and other edges")))
            }
            "vertices" => {
                let keys = path
                    .vertices
                    .iter()
                    .map(|vertex| key(self.vertex_table(choice, *vertex), self.vertex_alias(*vertex), of_vertices));
                Ok(format!("ARRAY[{}]", keys.collect::<Vec<_>>().join(", ")))
            }
            _ => {
                let keys = path.parts.iter().filter_map(|part| match part {
                    Part::Edge(edge) => {
                        Some(key(&self.graph.edges[choice.edges[*edge].0].element, self.edge_alias(*edge), of_edges))
                    }
                    Part::Search(_) => None,
                });
                Ok(format!("ARRAY[{}]", keys.collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

/// The name of a function of paths, and of its argument.
pub(super) fn path_call(function: &SqlFunction) -> Option<(String, String)> {
    let call =
        plain_name(function).filter(|name| matches!(name.as_str(), "path_length" | "vertices" | "edges" | "count"))?;
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [arg] => match argument(arg)? {
            (None, Expr::Identifier(name)) => Some((call, folded(name))),
            _ => None,
        },
        _ => None,
    }
}

struct Resolver<'a> {
    names: &'a Names<'a>,
    /// Queries entered: in these, names without a variable are of other tables.
    depth: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let found = match expr {
            Expr::CompoundIdentifier(parts) => self.names.property(parts),
            Expr::Function(function) => self.names.call(function),
            _ => return ControlFlow::Continue(()),
        };
        match found {
            Ok(Some(found)) => {
                *expr = found;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Puts the name of a variable before columns.
struct Qualify<'a>(&'a str);

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let column = match expr {
            Expr::Identifier(column) => column.clone(),
            Expr::CompoundIdentifier(parts) => parts.last().cloned().expect("a compound name has parts"),
            _ => return ControlFlow::Continue(()),
        };
        *expr = Expr::CompoundIdentifier(vec![identifier(self.0), identifier(&folded(&column))]);
        ControlFlow::Continue(())
    }
}

/// Whether an expression names nothing but properties of these variables.
pub(super) fn is_only_of(expr: &Expr, variables: &[Option<&Ident>]) -> bool {
    struct Others<'n>(HashSet<&'n str>);
    impl Visitor for Others<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_other = match expr {
                Expr::Identifier(_) | Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => true,
                Expr::CompoundIdentifier(parts) => !self.0.contains(folded(&parts[0]).as_str()),
                _ => false,
            };
            if is_other { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let names = variables.iter().flatten().map(|name| name.value.as_str()).collect();
    expr.visit(&mut Others(names)).is_continue()
}

/// Whether an expression asks a variable for nothing but properties that `is_known`.
pub(super) fn asks_only(expr: &Expr, variable: &str, is_known: &dyn Fn(&str) -> bool) -> bool {
    struct Others<'n>(&'n str, &'n dyn Fn(&str) -> bool);
    impl Visitor for Others<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_other = match expr {
                Expr::Identifier(name) => folded(name) == self.0,
                Expr::CompoundIdentifier(parts) if folded(&parts[0]) == self.0 => {
                    parts.len() != 2 || !(self.1)(&folded(&parts[1]))
                }
                _ => false,
            };
            if is_other { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Others(variable, is_known)).is_continue()
}

/// Which column of the key a property is, if it is one.
pub(super) fn key_place(element: &Element, property: &str) -> Option<usize> {
    let property = element.property(property, |_| true)?;
    let column = match parse_expression(&property.expr).ok()? {
        Expr::Identifier(name) => folded(&name),
        _ => return None,
    };
    element.key_names().position(|name| name == column)
}

/// The conditions that an AND joins.
pub(super) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    use datafusion::sql::sqlparser::ast::BinaryOperator;
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => [conjuncts(left), conjuncts(right)].concat(),
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}
