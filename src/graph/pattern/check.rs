//! The variables of patterns, and what they may not be.

use super::syntax::{Element, GraphTable};
use datafusion::sql::sqlparser::ast::Ident;
use lightning_sql::sqlstate::SYNTAX_ERROR;
use lightning_sql::{Error, Result};

/// A name declared by a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The name, where it was declared first.
    pub name: Ident,
    /// What it stands for.
    pub kind: Kind,
    /// How many of them.
    pub degree: Degree,
}

/// What a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A path.
    Path,
    /// A vertex.
    Vertex,
    /// An edge.
    Edge,
}

/// How many elements a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degree {
    /// One.
    Single,
    /// As many as there are repetitions: it stands under a quantifier.
    Group,
}

/// The variables of all patterns in the order in which they are declared, each once; `42601` when one cannot be what it is
/// declared to be.
pub fn variables(table: &GraphTable) -> Result<Vec<Variable>> {
    let mut declared = Declared::default();
    for pattern in &table.patterns {
        if let Some(name) = &pattern.variable {
            declared.add(name, Kind::Path, TOP)?;
        }
        declared.elements(&pattern.elements, TOP)?;
    }
    Ok(declared.variables.into_iter().map(|(variable, _)| variable).collect())
}

/// The repetition a variable is declared in: none.
const TOP: usize = 0;

#[derive(Default)]
struct Declared {
    /// Each variable and the innermost repetition it is declared in.
    variables: Vec<(Variable, usize)>,
    /// Repetitions so far.
    repetitions: usize,
}

impl Declared {
    fn elements(&mut self, elements: &[Element], repetition: usize) -> Result<()> {
        for element in elements {
            match element {
                Element::Vertex(vertex) => self.add_all(vertex.variable.as_ref(), Kind::Vertex, repetition)?,
                Element::Edge(edge) => {
                    let repetition = self.repeated(edge.quantifier.is_some(), repetition);
                    self.add_all(edge.variable.as_ref(), Kind::Edge, repetition)?;
                }
                Element::Group(group) => {
                    let repetition = self.repeated(group.quantifier.is_some(), repetition);
                    self.elements(&group.elements, repetition)?;
                }
            }
        }
        Ok(())
    }

    /// The repetition inside of something that may have a quantifier.
    fn repeated(&mut self, is_quantified: bool, outside: usize) -> usize {
        self.repetitions += usize::from(is_quantified);
        if is_quantified { self.repetitions } else { outside }
    }

    fn add_all(&mut self, name: Option<&Ident>, kind: Kind, repetition: usize) -> Result<()> {
        name.map_or(Ok(()), |name| self.add(name, kind, repetition))
    }

    fn add(&mut self, name: &Ident, kind: Kind, repetition: usize) -> Result<()> {
        let Some((before, within)) = self.variables.iter().find(|(variable, _)| variable.name == *name) else {
            let degree = if repetition == TOP { Degree::Single } else { Degree::Group };
            self.variables.push((Variable { name: name.clone(), kind, degree }, repetition));
            return Ok(());
        };
        let quoted = format!("\"{}\"", name.value);
        let error = |message: String| Error::new(SYNTAX_ERROR, message).with_location(name.span.start);
        match (before.kind, kind) {
            (Kind::Path, Kind::Path) => Err(error(format!("path variable {quoted} is declared more than once"))),
            (before, kind) if before != kind => {
                Err(error(format!("variable {quoted} is declared as {} and as {}", before.noun(), kind.noun())))
            }
            _ if *within != repetition => {
                let message = format!("variable {quoted} is declared in a quantified pattern and elsewhere");
                Err(error(message).with_hint("Use another name, and compare the two where both can be seen."))
            }
            _ => Ok(()),
        }
    }
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Path => "a path",
            Kind::Vertex => "a vertex",
            Kind::Edge => "an edge",
        }
    }
}
