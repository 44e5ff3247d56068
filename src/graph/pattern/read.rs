//! From the call that stands for GRAPH_TABLE to its typed syntax.
//!
//! Anybody can write such a call, so nothing is taken for granted of it.

use super::check::variables;
use super::syntax::{
    Column, Direction, Edge, Element, GraphTable, Group, Label, Mode, PathPattern, Quantifier, Selector, Vertex,
};
use crate::grammar::{ALL_OF, ANY_LABEL, COLUMN, EDGE, GRAPH, GROUP, LABEL, NOT, ONE_OF, PATH, VERTEX};
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArguments, Ident, Value};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use lightning_sql::extension::{argument, folded, plain_name};
use lightning_sql::sqlstate::{DUPLICATE_COLUMN, SYNTAX_ERROR};
use lightning_sql::{Error, Result};

/// Reads the arguments of the call; `42601` when they are none of GRAPH_TABLE's or break one of its rules.
pub fn read(args: &[FunctionArg]) -> Result<GraphTable> {
    let call = Call::new("", Span::empty(), args)?;
    let mut table = GraphTable { graph: Vec::new(), patterns: Vec::new(), condition: None, columns: Vec::new() };
    for expr in call.unnamed() {
        let call = Call::read(expr)?;
        match call.name.as_str() {
            GRAPH => table.graph = call.unnamed().map(text).collect::<Result<_>>()?,
            PATH => table.patterns.push(path(&call)?),
            COLUMN => table.columns.push(column(&call)?),
            _ => return Err(malformed(call.at())),
        }
    }
    table.condition = call.named("condition").cloned();
    if table.graph.is_empty() || table.patterns.is_empty() || table.columns.is_empty() {
        return Err(malformed(call.at()));
    }
    variables(&table)?;
    for (place, column) in table.columns.iter().enumerate() {
        if table.columns[..place].iter().any(|before| before.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name.value);
            return Err(Error::new(DUPLICATE_COLUMN, message).with_location(column.name.span.start));
        }
    }
    Ok(table)
}

fn malformed(at: Location) -> Error {
    Error::new(SYNTAX_ERROR, "malformed graph pattern").with_location(at)
}

/// A call that stands for something.
struct Call<'a> {
    name: String,
    span: Span,
    args: Vec<(Option<String>, &'a Expr)>,
}

impl<'a> Call<'a> {
    fn new(name: &str, span: Span, args: &'a [FunctionArg]) -> Result<Call<'a>> {
        let args = args.iter().map(argument).collect::<Option<_>>();
        Ok(Call { name: name.to_owned(), span, args: args.ok_or_else(|| malformed(span.start))? })
    }

    fn read(expr: &'a Expr) -> Result<Call<'a>> {
        let Expr::Function(function) = expr else { return Err(malformed(Location::empty())) };
        let span = function.name.0.first().and_then(|part| part.as_ident()).map_or_else(Span::empty, |name| name.span);
        match (plain_name(function), &function.args) {
            (Some(name), FunctionArguments::List(list))
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                Call::new(&name, span, &list.args)
            }
            _ => Err(malformed(span.start)),
        }
    }

    fn at(&self) -> Location {
        self.span.start
    }

    fn unnamed(&self) -> impl Iterator<Item = &'a Expr> {
        self.args.iter().filter(|(name, _)| name.is_none()).map(|(_, expr)| *expr)
    }

    fn named(&self, wanted: &str) -> Option<&'a Expr> {
        self.args.iter().find(|(name, _)| name.as_deref() == Some(wanted)).map(|(_, expr)| *expr)
    }

    /// Refuses arguments without a name.
    fn only_named(&self) -> Result<()> {
        if self.unnamed().next().is_some() { Err(malformed(self.at())) } else { Ok(()) }
    }

    /// The one argument without a name.
    fn only(&self) -> Result<&'a Expr> {
        let mut unnamed = self.unnamed();
        match (unnamed.next(), unnamed.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(malformed(self.at())),
        }
    }

    fn text(&self, name: &str) -> Result<Option<Ident>> {
        self.named(name).map(text).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<(u32, Location)>> {
        let Some(expr) = self.named(name) else { return Ok(None) };
        let Expr::Value(value) = expr else { return Err(malformed(self.at())) };
        let Value::Number(digits, _) = &value.value else { return Err(malformed(self.at())) };
        let at = value.span.start;
        let number = digits.to_string().parse().map_err(|_| {
            Error::new(SYNTAX_ERROR, format!("{digits} is out of range in a graph pattern")).with_location(at)
        })?;
        Ok(Some((number, at)))
    }

    fn mode(&self) -> Result<Mode> {
        let mode = self.text("mode")?;
        match mode.as_ref().map_or("walk", |mode| mode.value.as_str()) {
            "walk" => Ok(Mode::Walk),
            "trail" => Ok(Mode::Trail),
            "acyclic" => Ok(Mode::Acyclic),
            "simple" => Ok(Mode::Simple),
            _ => Err(malformed(self.at())),
        }
    }

    fn label(&self) -> Result<Option<Label>> {
        self.named("label").map(label).transpose()
    }

    fn condition(&self) -> Option<Expr> {
        self.named("condition").cloned()
    }
}

/// A literal as the name it stands for.
fn text(expr: &Expr) -> Result<Ident> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(Ident::with_quote_and_span('"', value.span, text.clone())),
            _ => Err(malformed(value.span.start)),
        },
        _ => Err(malformed(Location::empty())),
    }
}

fn column(call: &Call<'_>) -> Result<Column> {
    let mut args = call.unnamed();
    let expr = args.next().ok_or_else(|| malformed(call.at()))?;
    let name = args.next().map(text).transpose()?;
    let name = name.or_else(|| property(expr)).ok_or_else(|| {
        let message = "complex graph table column must specify an explicit column name";
        Error::new(SYNTAX_ERROR, message).with_location(call.at())
    })?;
    Ok(Column { name, expr: expr.clone() })
}

/// The name of the property that an expression is.
fn property(expr: &Expr) -> Option<Ident> {
    match expr {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [_, property] => Some(Ident::with_quote_and_span('"', property.span, folded(property))),
            _ => None,
        },
        Expr::Nested(inner) => property(inner),
        _ => None,
    }
}

fn path(call: &Call<'_>) -> Result<PathPattern> {
    let selector = call.text("selector")?;
    let selector = match selector.as_ref().map(|selector| selector.value.as_str()) {
        None => Selector::All,
        Some(selector) => {
            let (count, at) = call.number("count")?.ok_or_else(|| malformed(call.at()))?;
            if count == 0 {
                return Err(Error::new(SYNTAX_ERROR, "the number of paths must be at least 1").with_location(at));
            }
            match selector {
                "any" => Selector::Any(count),
                "shortest" => Selector::Shortest(count),
                "shortest groups" => Selector::ShortestGroups(count),
                _ => return Err(malformed(call.at())),
            }
        }
    };
    let mode = call.mode()?;
    let paths = if selector == Selector::All && mode == Mode::Walk { Paths::Infinite } else { Paths::Finite };
    Ok(PathPattern { variable: call.text("name")?, selector, mode, elements: elements(call, paths)? })
}

/// Whether a pattern has finitely many paths whatever its quantifiers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paths {
    Finite,
    Infinite,
}

/// The elements among the arguments of a path or group, with vertices where none were written.
fn elements(call: &Call<'_>, paths: Paths) -> Result<Vec<Element>> {
    let anonymous = || Element::Vertex(Vertex::default());
    let mut elements = Vec::new();
    for expr in call.unnamed() {
        let call = Call::read(expr)?;
        let follows_vertex = matches!(elements.last(), Some(Element::Vertex(_)));
        if call.name == VERTEX {
            if follows_vertex {
                return Err(Error::unsupported("a vertex pattern right after another").with_location(call.at()));
            }
            elements.push(Element::Vertex(vertex(&call)?));
            continue;
        }
        if !follows_vertex {
            elements.push(anonymous());
        }
        elements.push(match call.name.as_str() {
            EDGE => Element::Edge(edge(&call, paths)?),
            GROUP => Element::Group(group(&call, paths)?),
            _ => return Err(malformed(call.at())),
        });
    }
    if !matches!(elements.last(), Some(Element::Vertex(_))) {
        elements.push(anonymous());
    }
    Ok(elements)
}

fn vertex(call: &Call<'_>) -> Result<Vertex> {
    call.only_named()?;
    Ok(Vertex { variable: call.text("name")?, label: call.label()?, condition: call.condition() })
}

fn edge(call: &Call<'_>, paths: Paths) -> Result<Edge> {
    call.only_named()?;
    let direction = call.text("direction")?.ok_or_else(|| malformed(call.at()))?;
    let direction = match direction.value.as_str() {
        "right" => Direction::Right,
        "left" => Direction::Left,
        "any" => Direction::Any,
        _ => return Err(malformed(call.at())),
    };
    Ok(Edge {
        variable: call.text("name")?,
        label: call.label()?,
        condition: call.condition(),
        direction,
        quantifier: quantifier(call, paths)?,
    })
}

fn group(call: &Call<'_>, paths: Paths) -> Result<Group> {
    let mode = call.mode()?;
    let quantifier = quantifier(call, paths)?;
    let within = if mode == Mode::Walk { paths } else { Paths::Finite };
    let elements = elements(call, within)?;
    if let (Some(quantifier), [_]) = (quantifier, elements.as_slice()) {
        let message = format!("quantifier \"{quantifier}\" follows a path pattern without an edge");
        return Err(Error::new(SYNTAX_ERROR, message).with_location(call.at()));
    }
    Ok(Group { mode, elements, condition: call.condition(), quantifier })
}

fn quantifier(call: &Call<'_>, paths: Paths) -> Result<Option<Quantifier>> {
    let upper = call.number("upper")?;
    let Some((min, at)) = call.number("lower")? else { return Ok(None) };
    let quantifier = Quantifier { min, max: upper.map(|(max, _)| max) };
    let error = |what: &str| {
        let message = format!("quantifier \"{quantifier}\" {what}");
        Error::new(SYNTAX_ERROR, message).with_location(at)
    };
    match quantifier.max {
        Some(0) => Err(error("has an upper bound of 0")),
        Some(max) if max < min => Err(error("has an upper bound below the lower one")),
        None if paths == Paths::Infinite => Err(error("has no upper bound, and there may be infinitely many paths")
            .with_hint(
                "Write an upper bound, as in {1,10}, a path mode before the path pattern (TRAIL, ACYCLIC or SIMPLE), \
                 or a path selector (ANY SHORTEST, say).",
            )),
        _ => Ok(Some(quantifier)),
    }
}

fn label(expr: &Expr) -> Result<Label> {
    let call = Call::read(expr)?;
    match call.name.as_str() {
        LABEL => Ok(Label::Named(text(call.only()?)?)),
        ANY_LABEL => Ok(Label::Any),
        NOT => Ok(Label::Not(Box::new(label(call.only()?)?))),
        ALL_OF => Ok(Label::And(call.unnamed().map(label).collect::<Result<_>>()?)),
        ONE_OF => Ok(Label::Or(call.unnamed().map(label).collect::<Result<_>>()?)),
        _ => Err(malformed(call.at())),
    }
}
