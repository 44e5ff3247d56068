//! How edges are joined to vertices, and what a mode demands of a path of edges alone.

use super::choice::Choice;
use super::graph_table::Writer;
use super::shape::{Part, Path, ShapeEdge};
use crate::pattern::{Direction, Mode};
use crate::schema::{Element, Endpoint};
use lightning_sql::extension::identifier;

impl Writer<'_> {
    /// How an edge is joined to its vertices.
    pub(super) fn edge_conditions(
        &self,
        number: usize,
        edge: &ShapeEdge,
        (table, is_back): (usize, bool),
    ) -> Vec<String> {
        let edges = &self.graph.edges[table];
        let ends = [
            (&edges.source, if is_back { edge.right } else { edge.left }),
            (&edges.destination, if is_back { edge.left } else { edge.right }),
        ];
        let alias = self.edge_alias(number);
        let name = |element: &Element, column: usize| identifier(&element.table.columns[column].name).to_string();
        let mut conditions = vec![];
        for (end, vertex) in ends {
            let vertices = &self.graph.vertices[end.vertices];
            for (key, column) in end.key.iter().zip(&end.columns) {
                let (key, column) = (name(&edges.element, *key), name(vertices, *column));
                conditions.push(format!("{alias}.{key} = {}.{column}", self.vertex_alias(vertex)));
            }
        }
        // An edge from a vertex to itself leads to the same place either way.
        if is_back && edge.direction == Direction::Any && edges.source.vertices == edges.destination.vertices {
            let same = in_key_order(&edges.source).into_iter().zip(in_key_order(&edges.destination));
            let same =
                same.map(|(s, d)| format!("{alias}.{} = {alias}.{}", name(&edges.element, s), name(&edges.element, d)));
            conditions.push(format!("NOT ({})", same.collect::<Vec<_>>().join(" AND ")));
        }
        conditions
    }

    /// What a mode demands of a path of edges alone.
    pub(super) fn mode_conditions(&self, path: &Path, choice: &Choice) -> Vec<String> {
        if path.parts.iter().any(|part| matches!(part, Part::Search(_))) {
            return vec![];
        }
        let differ = |a: (&Element, String), b: (&Element, String)| {
            let columns = a.0.key_names().map(identifier);
            let same: Vec<String> = columns.map(|column| format!("{}.{column} = {}.{column}", a.1, b.1)).collect();
            format!("NOT ({})", same.join(" AND "))
        };
        let mut conditions = vec![];
        match path.mode {
            Mode::Walk => {}
            Mode::Trail => {
                let edges = path.parts.iter().filter_map(|part| match part {
                    Part::Edge(edge) => Some(*edge),
                    Part::Search(_) => None,
                });
                let edges: Vec<usize> = edges.collect();
                for (place, edge) in edges.iter().enumerate() {
                    for other in &edges[..place] {
                        let (table, with) = (choice.edges[*edge].0, choice.edges[*other].0);
                        if table == with {
                            let element = &self.graph.edges[table].element;
                            conditions
                                .push(differ((element, self.edge_alias(*edge)), (element, self.edge_alias(*other))));
                        }
                    }
                }
            }
            Mode::Acyclic | Mode::Simple => {
                for (place, vertex) in path.vertices.iter().enumerate() {
                    for (before, other) in path.vertices[..place].iter().enumerate() {
                        let is_closing = before == 0 && place + 1 == path.vertices.len() && path.mode == Mode::Simple;
                        if is_closing || choice.vertices[*vertex] != choice.vertices[*other] {
                            continue;
                        }
                        if vertex == other {
                            conditions.push("FALSE".to_owned());
                            continue;
                        }
                        let element = self.vertex_table(choice, *vertex);
                        let (a, b) = (self.vertex_alias(*vertex), self.vertex_alias(*other));
                        conditions.push(differ((element, a), (element, b)));
                    }
                }
            }
        }
        conditions
    }
}

/// The columns of an end in the order of the vertex's.
fn in_key_order(end: &Endpoint) -> Vec<usize> {
    let mut pairs: Vec<(usize, usize)> = end.columns.iter().copied().zip(end.key.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, key)| key).collect()
}
