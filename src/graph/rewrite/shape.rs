//! A pattern as one list of vertices, with edges and searches between them.

use super::labels;
use crate::pattern::{Direction, Edge, Element, GraphTable, Group, Label, Mode, Quantifier, Selector, Vertex};
use crate::schema::{Element as GraphElement, Graph};
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use lightning_sql::{Error, Result, SqlState};

/// Most edges that a path can be asked to have at least.
const LENGTH_MAX: u32 = 1_000_000;

/// A vertex of all patterns: those of one name are one.
#[derive(Debug)]
pub(super) struct ShapeVertex {
    pub(super) variable: Option<Ident>,
    pub(super) labels: Vec<Label>,
    pub(super) conditions: Vec<Expr>,
}

/// One edge.
#[derive(Debug)]
pub(super) struct ShapeEdge {
    pub(super) variable: Option<Ident>,
    pub(super) labels: Vec<Label>,
    pub(super) condition: Option<Expr>,
    pub(super) direction: Direction,
    pub(super) left: usize,
    pub(super) right: usize,
}

/// A way of several edges, found by a search.
#[derive(Debug)]
pub(super) struct Search {
    /// What the edges are called together.
    pub(super) variable: Option<Ident>,
    pub(super) labels: Vec<Label>,
    /// What must hold of each edge, and of the vertices beside it.
    pub(super) condition: Option<Expr>,
    /// Vertices beside each edge, when the pattern says anything about them.
    pub(super) beside: Option<(Vertex, Vertex)>,
    pub(super) direction: Direction,
    pub(super) quantifier: Quantifier,
    pub(super) mode: Mode,
    pub(super) selector: Selector,
    pub(super) left: usize,
    pub(super) right: usize,
}

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Edge(usize),
    Search(usize),
}

/// A path: its vertices, and what is between them.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) variable: Option<Ident>,
    pub(super) mode: Mode,
    pub(super) vertices: Vec<usize>,
    pub(super) parts: Vec<Part>,
}

/// All patterns of a GRAPH_TABLE.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) vertices: Vec<ShapeVertex>,
    pub(super) edges: Vec<ShapeEdge>,
    pub(super) searches: Vec<Search>,
    pub(super) paths: Vec<Path>,
    /// What must hold of all together.
    pub(super) conditions: Vec<Expr>,
}

impl Shape {
    /// The shape of what GRAPH_TABLE says.
    pub(super) fn new(graph: &Graph, table: &GraphTable) -> Result<Shape> {
        let mut shape = Shape::default();
        for pattern in &table.patterns {
            let mut path =
                Path { variable: pattern.variable.clone(), mode: pattern.mode, vertices: vec![], parts: vec![] };
            let selected = (pattern.selector, pattern.mode);
            let Some(Element::Vertex(first)) = pattern.elements.first() else {
                return Err(Error::unsupported("a path pattern that begins with no vertex"));
            };
            let first = shape.vertex(first)?;
            path.vertices.push(first);
            shape.links(&pattern.elements, first, selected, &mut path)?;
            shape.check_selected(pattern.selector, &path)?;
            shape.paths.push(path);
        }
        shape.conditions.extend(table.condition.clone());
        shape.check_labels(graph)?;
        Ok(shape)
    }

    /// Adds the elements after the first, which is vertex `first`.
    fn links(
        &mut self,
        elements: &[Element],
        first: usize,
        selected: (Selector, Mode),
        path: &mut Path,
    ) -> Result<usize> {
        let mut left = first;
        for pair in elements[1..].chunks(2) {
            let [link, Element::Vertex(vertex)] = pair else {
                return Err(Error::unsupported("a path pattern that ends with no vertex"));
            };
            let right = self.vertex(vertex)?;
            match link {
                Element::Edge(edge) => self.edge(edge, left, right, selected, path)?,
                Element::Group(group) => self.group(group, left, right, selected, path)?,
                Element::Vertex(_) => return Err(Error::unsupported("two vertices with nothing between them")),
            }
            path.vertices.push(right);
            left = right;
        }
        Ok(left)
    }

    fn vertex(&mut self, vertex: &Vertex) -> Result<usize> {
        let known = vertex.variable.as_ref().and_then(|variable| {
            let is_it = |known: &ShapeVertex| known.variable.as_ref().is_some_and(|name| name.value == variable.value);
            self.vertices.iter().position(is_it)
        });
        let number = known.unwrap_or_else(|| {
            let variable = vertex.variable.clone();
            self.vertices.push(ShapeVertex { variable, labels: vec![], conditions: vec![] });
            self.vertices.len() - 1
        });
        self.merge(number, vertex);
        Ok(number)
    }

    fn merge(&mut self, number: usize, vertex: &Vertex) {
        let known = &mut self.vertices[number];
        known.labels.extend(vertex.label.clone());
        known.conditions.extend(vertex.condition.clone());
    }

    fn edge(
        &mut self,
        edge: &Edge,
        left: usize,
        right: usize,
        (selector, mode): (Selector, Mode),
        path: &mut Path,
    ) -> Result<()> {
        let labels = edge.label.iter().cloned().collect();
        let Edge { variable, condition, direction, quantifier, .. } = edge.clone();
        let Some(quantifier) = quantifier else {
            let names = self.edges.iter().filter_map(|known| known.variable.as_ref());
            if let Some(again) = variable.as_ref().filter(|name| names.clone().any(|known| known.value == name.value)) {
                return Err(Error::unsupported(format!("edge variable \"{}\" in two places", again.value)));
            }
            path.parts.push(Part::Edge(self.edges.len()));
            self.edges.push(ShapeEdge { variable, labels, condition, direction, left, right });
            return Ok(());
        };
        check_length(quantifier)?;
        path.parts.push(Part::Search(self.searches.len()));
        let beside = None;
        let search = Search { variable, labels, condition, beside, direction, quantifier, mode, selector, left, right };
        self.searches.push(search);
        Ok(())
    }

    fn group(
        &mut self,
        group: &Group,
        left: usize,
        right: usize,
        (selector, mode): (Selector, Mode),
        path: &mut Path,
    ) -> Result<()> {
        let Some(quantifier) = group.quantifier else {
            return self.plain_group(group, left, right, (selector, mode), path);
        };
        let [Element::Vertex(before), Element::Edge(edge), Element::Vertex(after)] = group.elements.as_slice() else {
            return Err(Error::unsupported("a quantifier over more than one edge")
                .with_hint("Write the edges out as often as they are to be repeated."));
        };
        if edge.quantifier.is_some() {
            return Err(Error::unsupported("a quantifier within a quantifier"));
        }
        check_length(quantifier)?;
        let conditions = [&edge.condition, &before.condition, &after.condition, &group.condition];
        let condition = conditions.into_iter().flatten().cloned().reduce(and);
        let Edge { variable, label, direction, .. } = edge.clone();
        let labels = label.into_iter().collect();
        let mode = if group.mode == Mode::Walk { mode } else { group.mode };
        let beside = Some((before.clone(), after.clone()));
        path.parts.push(Part::Search(self.searches.len()));
        let search = Search { variable, labels, condition, beside, direction, quantifier, mode, selector, left, right };
        self.searches.push(search);
        Ok(())
    }

    /// Parentheses without a quantifier: their first and last vertices are those beside them.
    fn plain_group(
        &mut self,
        group: &Group,
        left: usize,
        right: usize,
        selected: (Selector, Mode),
        path: &mut Path,
    ) -> Result<()> {
        if group.mode != Mode::Walk {
            return Err(Error::unsupported("a mode of a part of a path"));
        }
        self.conditions.extend(group.condition.clone());
        let (Some(Element::Vertex(first)), Some(Element::Vertex(last))) =
            (group.elements.first(), group.elements.last())
        else {
            return Err(Error::unsupported("parentheses around no vertex"));
        };
        for (number, vertex) in [(left, first), (right, last)] {
            if vertex.variable.is_some() && self.vertices[number].variable.is_none() {
                self.vertices[number].variable = vertex.variable.clone();
            } else if let (Some(inner), Some(outer)) = (&vertex.variable, &self.vertices[number].variable)
                && inner.value != outer.value
            {
                return Err(Error::unsupported("two names of one vertex"));
            }
            self.merge(number, vertex);
        }
        // All but the last vertex, which is `right` whatever it is called.
        let (mut from, links) = (left, &group.elements[1..]);
        for (place, pair) in links.chunks(2).enumerate() {
            let [link, Element::Vertex(vertex)] = pair else {
                return Err(Error::unsupported("parentheses around a path that ends with no vertex"));
            };
            let is_last = 2 * (place + 1) == links.len();
            let to = if is_last { right } else { self.vertex(vertex)? };
            match link {
                Element::Edge(edge) => self.edge(edge, from, to, selected, path)?,
                Element::Group(group) => self.group(group, from, to, selected, path)?,
                Element::Vertex(_) => return Err(Error::unsupported("two vertices with nothing between them")),
            }
            if !is_last {
                path.vertices.push(to);
            }
            from = to;
        }
        Ok(())
    }

    /// What a selector or a mode says is of the whole path: it must be one search, or edges alone.
    fn check_selected(&self, selector: Selector, path: &Path) -> Result<()> {
        let searches = path.parts.iter().filter(|part| matches!(part, Part::Search(_))).count();
        let is_one_search = searches == 1 && path.parts.len() == 1;
        if selector != Selector::All && !is_one_search {
            return Err(Error::unsupported("a selector over a path that is not one quantified edge")
                .with_hint("Write the quantified edge as a pattern of its own, with the selector before it."));
        }
        if path.mode != Mode::Walk && searches > 0 && !is_one_search {
            return Err(Error::unsupported("a mode over a path of quantified and other edges"));
        }
        Ok(())
    }

    fn check_labels(&self, graph: &Graph) -> Result<()> {
        let vertices = || Box::new(graph.vertices.iter()) as Box<dyn Iterator<Item = &GraphElement>>;
        let edges =
            || Box::new(graph.edges.iter().map(|edges| &edges.element)) as Box<dyn Iterator<Item = &GraphElement>>;
        for label in self.vertices.iter().flat_map(|vertex| &vertex.labels) {
            labels::check(graph, label, &vertices)?;
        }
        let of_edges = self.edges.iter().flat_map(|edge| &edge.labels);
        for label in of_edges.chain(self.searches.iter().flat_map(|search| &search.labels)) {
            labels::check(graph, label, &edges)?;
        }
        Ok(())
    }
}

/// A path is in memory while it is walked.
fn check_length(quantifier: Quantifier) -> Result<()> {
    if quantifier.min <= LENGTH_MAX {
        return Ok(());
    }
    let message = format!("the lower bound of a quantifier must not exceed {LENGTH_MAX}");
    Err(Error::new(SqlState("54000"), message))
}

/// Both conditions.
pub(super) fn and(left: Expr, right: Expr) -> Expr {
    use datafusion::sql::sqlparser::ast::BinaryOperator;
    let nested = |expr: Expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}
