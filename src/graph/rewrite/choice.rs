//! Which tables the elements of a pattern are of: all choices that fit together.

use super::graph_table::Writer;
use super::labels;
use crate::pattern::{Direction, Label};
use lightning_sql::{Error, Result, SqlState};

/// Most choices of tables.
const CHOICES_MAX: usize = 1000;

/// Which table each element is of.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) vertices: Vec<Option<usize>>,
    /// The table of each edge, and whether it is gone along from its destination.
    pub(super) edges: Vec<(usize, bool)>,
    /// Vertices of which the ways of a search have all that is asked: the search, and whether they are its first ones.
    pub(super) from_ways: Vec<Option<(usize, bool)>>,
}

impl Writer<'_> {
    /// All choices of tables that fit together.
    pub(super) fn choices(&self) -> Result<Vec<Choice>> {
        let mut choices = vec![Choice {
            vertices: vec![None; self.shape.vertices.len()],
            edges: vec![],
            from_ways: vec![None; self.shape.vertices.len()],
        }];
        for edge in &self.shape.edges {
            let mut next = vec![];
            for choice in &choices {
                for (table, edges) in self.graph.edges.iter().enumerate() {
                    if !labels::matches(&edges.element, &edge.labels) {
                        continue;
                    }
                    for is_back in [false, true] {
                        let fits = match edge.direction {
                            Direction::Right => !is_back,
                            Direction::Left => is_back,
                            Direction::Any => true,
                        };
                        let (source, destination) = (edges.source.vertices, edges.destination.vertices);
                        let (left, right) = if is_back { (destination, source) } else { (source, destination) };
                        let mut chosen = choice.clone();
                        if fits
                            && self.choose(&mut chosen, edge.left, left)
                            && self.choose(&mut chosen, edge.right, right)
                        {
                            chosen.edges.push((table, is_back));
                            next.push(chosen);
                        }
                    }
                }
            }
            choices = next;
            self.check_count(choices.len())?;
        }
        for vertex in 0..self.shape.vertices.len() {
            let mut next = vec![];
            for choice in choices {
                if choice.vertices[vertex].is_some() {
                    next.push(choice);
                    continue;
                }
                for table in 0..self.graph.vertices.len() {
                    let mut chosen = choice.clone();
                    if self.choose(&mut chosen, vertex, table) {
                        next.push(chosen);
                    }
                }
            }
            choices = next;
            self.check_count(choices.len())?;
        }
        Ok(choices)
    }

    fn is_vertex_of(&self, table: usize, labels: &[Label]) -> bool {
        labels::matches(&self.graph.vertices[table], labels)
    }

    fn check_count(&self, count: usize) -> Result<()> {
        if count <= CHOICES_MAX {
            return Ok(());
        }
        let message = format!("the pattern can be matched by more than {CHOICES_MAX} combinations of tables");
        Err(Error::new(SqlState("54001"), message).with_hint("Name the labels of more vertices and edges."))
    }

    /// Makes a vertex one of a table, if it can be.
    fn choose(&self, choice: &mut Choice, vertex: usize, table: usize) -> bool {
        match choice.vertices[vertex] {
            Some(known) => known == table,
            None => {
                let fits = self.is_vertex_of(table, &self.shape.vertices[vertex].labels);
                choice.vertices[vertex] = fits.then_some(table);
                fits
            }
        }
    }
}
