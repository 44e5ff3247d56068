//! Patterns as text that reads back as the same pattern.

use super::syntax::{
    Column, Direction, Edge, Element, GraphTable, Group, Label, Mode, PathPattern, Quantifier, Selector, Vertex,
};
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use lightning_sql::extension::quote_identifier;
use std::fmt;

impl fmt::Display for GraphTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GRAPH_TABLE (")?;
        separated(f, &self.graph, ".", name)?;
        f.write_str(" MATCH ")?;
        separated(f, &self.patterns, ", ", |f, pattern| write!(f, "{pattern}"))?;
        condition(f, self.condition.as_ref())?;
        f.write_str(" COLUMNS (")?;
        separated(f, &self.columns, ", ", |f, column| write!(f, "{column}"))?;
        f.write_str("))")
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS ", self.expr)?;
        name(f, &self.name)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = &self.variable {
            name(f, variable)?;
            f.write_str(" = ")?;
        }
        let groups = match self.selector {
            Selector::All => "",
            Selector::Any(count) => {
                write!(f, "ANY {count} ")?;
                ""
            }
            Selector::Shortest(count) => {
                write!(f, "SHORTEST {count} ")?;
                ""
            }
            Selector::ShortestGroups(count) => {
                write!(f, "SHORTEST {count} ")?;
                "GROUPS "
            }
        };
        mode(f, self.mode)?;
        f.write_str(groups)?;
        separated(f, &self.elements, "", |f, element| write!(f, "{element}"))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Vertex(vertex) => vertex.fmt(f),
            Element::Edge(edge) => edge.fmt(f),
            Element::Group(group) => group.fmt(f),
        }
    }
}

impl fmt::Display for Vertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        filler(f, self.variable.as_ref(), self.label.as_ref(), self.condition.as_ref())?;
        f.write_str(")")
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = match self.direction {
            Direction::Right => ("-", "->"),
            Direction::Left => ("<-", "-"),
            Direction::Any => ("-", "-"),
        };
        write!(f, "{left}[")?;
        filler(f, self.variable.as_ref(), self.label.as_ref(), self.condition.as_ref())?;
        write!(f, "]{right}")?;
        self.quantifier.map_or(Ok(()), |quantifier| quantifier.fmt(f))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        mode(f, self.mode)?;
        separated(f, &self.elements, "", |f, element| write!(f, "{element}"))?;
        condition(f, self.condition.as_ref())?;
        f.write_str(")")?;
        self.quantifier.map_or(Ok(()), |quantifier| quantifier.fmt(f))
    }
}

impl fmt::Display for Quantifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (0, None) => f.write_str("*"),
            (1, None) => f.write_str("+"),
            (0, Some(1)) => f.write_str("?"),
            (min, None) => write!(f, "{{{min},}}"),
            (min, Some(max)) if min == max => write!(f, "{{{min}}}"),
            (min, Some(max)) => write!(f, "{{{min},{max}}}"),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Named(label) => name(f, label),
            Label::Any => f.write_str("%"),
            Label::Not(label) => {
                f.write_str("!")?;
                part(f, label)
            }
            Label::And(labels) => separated(f, labels, "&", part),
            Label::Or(labels) => separated(f, labels, "|", part),
        }
    }
}

/// A label within another.
fn part(f: &mut fmt::Formatter<'_>, label: &Label) -> fmt::Result {
    match label {
        Label::Named(_) | Label::Any => write!(f, "{label}"),
        Label::Not(_) | Label::And(_) | Label::Or(_) => write!(f, "({label})"),
    }
}

fn filler(
    f: &mut fmt::Formatter<'_>,
    variable: Option<&Ident>,
    label: Option<&Label>,
    expr: Option<&Expr>,
) -> fmt::Result {
    if let Some(variable) = variable {
        name(f, variable)?;
    }
    if let Some(label) = label {
        write!(f, " IS {label}")?;
    }
    condition(f, expr)
}

fn condition(f: &mut fmt::Formatter<'_>, expr: Option<&Expr>) -> fmt::Result {
    expr.map_or(Ok(()), |expr| write!(f, " WHERE {expr}"))
}

/// A mode and a blank; nothing when everything may be repeated.
fn mode(f: &mut fmt::Formatter<'_>, mode: Mode) -> fmt::Result {
    f.write_str(match mode {
        Mode::Walk => "",
        Mode::Trail => "TRAIL ",
        Mode::Acyclic => "ACYCLIC ",
        Mode::Simple => "SIMPLE ",
    })
}

fn name(f: &mut fmt::Formatter<'_>, ident: &Ident) -> fmt::Result {
    f.write_str(&quote_identifier(&ident.value))
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    parts: &[T],
    separator: &str,
    show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(separator)?;
        }
        show(f, part)?;
    }
    Ok(())
}
