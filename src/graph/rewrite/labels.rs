//! Which tables an element of a pattern may be of, and what its properties are there.

use crate::pattern::Label;
use crate::schema::{Element, Graph};
use datafusion::sql::sqlparser::ast::Ident;
use lightning_sql::{Error, Result, SqlState};

const UNDEFINED_OBJECT: SqlState = SqlState("42704");

/// Whether a table with these labels satisfies all of `wanted`.
pub(super) fn matches(element: &Element, wanted: &[Label]) -> bool {
    wanted.iter().all(|label| satisfies(element, label))
}

fn satisfies(element: &Element, wanted: &Label) -> bool {
    match wanted {
        Label::Named(name) => element.labels.iter().any(|label| label.name == name.value),
        Label::Any => !element.labels.is_empty(),
        Label::Not(inner) => !satisfies(element, inner),
        Label::And(all) => all.iter().all(|label| satisfies(element, label)),
        Label::Or(some) => some.iter().any(|label| satisfies(element, label)),
    }
}

/// Whether properties of label `name` can be seen through `wanted`: it is among the labels named, or none are.
pub(super) fn is_meant(wanted: &[Label], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|label| shows(label, name))
}

fn shows(wanted: &Label, name: &str) -> bool {
    match wanted {
        Label::Named(label) => label.value == name,
        Label::Any | Label::Not(_) => true,
        Label::And(labels) | Label::Or(labels) => labels.iter().any(|label| shows(label, name)),
    }
}

/// Fails when a label is named that the graph's `elements` do not have.
pub(super) fn check<'e>(
    graph: &Graph,
    wanted: &Label,
    elements: &(impl Fn() -> Box<dyn Iterator<Item = &'e Element> + 'e> + ?Sized),
) -> Result<()> {
    match wanted {
        Label::Any => Ok(()),
        Label::Not(inner) => check(graph, inner, elements),
        Label::And(labels) | Label::Or(labels) => labels.iter().try_for_each(|label| check(graph, label, elements)),
        Label::Named(name) => {
            let has = |element: &Element| element.labels.iter().any(|label| label.name == name.value);
            if elements().any(has) { Ok(()) } else { Err(unknown(graph, name)) }
        }
    }
}

fn unknown(graph: &Graph, label: &Ident) -> Error {
    let message = format!("label \"{}\" does not exist in property graph \"{}\"", label.value, graph.name);
    Error::new(UNDEFINED_OBJECT, message).with_location(label.span.start)
}
