//! Searches as table functions, and where they begin and end.

use super::choice::Choice;
use super::graph_table::{Writer, table_name};
use super::labels;
use super::names::{Names, asks_only, conjuncts, is_only_of, key_place};
use super::shape::{Part, Search};
use crate::functions::Function;
use crate::functions::call::{FUNCTION, places_from};
use crate::pattern::{Direction, Label, Mode, Selector};
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use lightning_sql::extension::identifier;
use lightning_sql::{Error, Result};

impl Writer<'_> {
    /// A search as a table function.
    pub(super) fn search(&self, number: usize, search: &Search, choice: &Choice) -> Result<String> {
        // In the queries for its ends, vertices are rows of their tables.
        let choice = &Choice { from_ways: vec![None; choice.from_ways.len()], ..choice.clone() };
        let mut arguments = self.search_arguments(number, search, choice)?;
        arguments.extend(self.ends(search.left, choice, number)?.map(|ends| format!("start => ARRAY({ends})")));
        arguments.extend(self.own_ends(search.right, choice)?.map(|ends| format!("target => ARRAY({ends})")));
        Ok(format!("{FUNCTION}({})", arguments.join(", ")))
    }

    /// The same from all vertices to all vertices, for its columns.
    pub(super) fn search_of_all(&self, number: usize, search: &Search, choice: &Choice) -> Result<String> {
        Ok(format!("{FUNCTION}({})", self.search_arguments(number, search, choice)?.join(", ")))
    }

    fn search_arguments(&self, number: usize, search: &Search, choice: &Choice) -> Result<Vec<String>> {
        let tables: Vec<usize> = (0..self.graph.edges.len())
            .filter(|table| labels::matches(&self.graph.edges[*table].element, &search.labels))
            .collect();
        let table_of = |vertex: usize| choice.vertices[vertex].expect("all vertices have a table by now");
        let list = tables.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let mut arguments = vec![
            self.graph.id.to_string(),
            format!("'{}'", Function::Paths.name()),
            format!("tables => '{list}'"),
            format!("from_table => {}", table_of(search.left)),
            format!("to_table => {}", table_of(search.right)),
            format!("min => {}", search.quantifier.min),
        ];
        arguments.extend(search.quantifier.max.map(|max| format!("max => {max}")));
        let direction = match search.direction {
            Direction::Right => "out",
            Direction::Left => "in",
            Direction::Any => "any",
        };
        arguments.push(format!("direction => '{direction}'"));
        let mode = match search.mode {
            Mode::Walk => "walk",
            Mode::Trail => "trail",
            Mode::Acyclic => "acyclic",
            Mode::Simple => "simple",
        };
        arguments.push(format!("mode => '{mode}'"));
        let (selector, count) = match search.selector {
            Selector::All => ("all", 1),
            Selector::Any(count) => ("any", count),
            Selector::Shortest(count) => ("shortest", count),
            Selector::ShortestGroups(count) => ("shortest_groups", count),
        };
        arguments.push(format!("selector => '{selector}', k => {count}"));
        if self.uses_elements(number) {
            arguments.push("elements => TRUE".to_owned());
        }
        if search.condition.is_some() || search.beside.is_some() {
            for table in &tables {
                if let Some(places) = self.edge_places(*table, search)? {
                    arguments.push(format!("edges_{table} => ARRAY({places})"));
                }
            }
        }
        Ok(arguments)
    }

    /// The places of the edges of a table that satisfy what the pattern says of each edge of a search, by itself and by the vertices beside it.
    fn edge_places(&self, table: usize, search: &Search) -> Result<Option<String>> {
        let edges = &self.graph.edges[table];
        let name = search.variable.as_ref().map_or("edge", |name| name.value.as_str());
        let alias = identifier(name).to_string();
        let condition = search.condition.clone();
        let Some((before, after)) = &search.beside else {
            let Some(condition) = condition else { return Ok(None) };
            let names = Names { writer: self, of: vec![(name, &edges.element, search.labels.as_slice())], paths: None };
            return places_from(&edges.element, &alias, "", Some(&names.resolve(&condition)?)).map(Some);
        };
        if search.direction == Direction::Any {
            return Err(Error::unsupported("conditions on vertices beside a repeated edge without direction"));
        }
        let is_back = search.direction == Direction::Left;
        let ends = if is_back { [&edges.destination, &edges.source] } else { [&edges.source, &edges.destination] };
        let (mut joins, mut conditions) = (String::new(), vec![]);
        let mut names = Names { writer: self, of: vec![(name, &edges.element, search.labels.as_slice())], paths: None };
        let labels: Vec<Vec<Label>> =
            [before, after].iter().map(|vertex| vertex.label.iter().cloned().collect()).collect();
        let default_names = ["vertex before", "vertex after"];
        for (place, (vertex, end)) in [before, after].into_iter().zip(ends).enumerate() {
            let element = &self.graph.vertices[end.vertices];
            if !labels::matches(element, &labels[place]) {
                conditions.push("FALSE".to_owned());
                continue;
            }
            let called = vertex.variable.as_ref().map_or(default_names[place], |name| name.value.as_str());
            joins.push_str(&format!(", {} AS {}", table_name(element), identifier(called)));
            for (key, column) in end.key.iter().zip(&end.columns) {
                let key = identifier(&edges.element.table.columns[*key].name);
                let column = identifier(&element.table.columns[*column].name);
                conditions.push(format!("{alias}.{key} = {}.{column}", identifier(called)));
            }
            names.of.push((called, element, labels[place].as_slice()));
        }
        if let Some(condition) = condition.filter(|_| !conditions.iter().any(|condition| condition == "FALSE")) {
            conditions.push(format!("({})", names.resolve(&condition)?));
        }
        places_from(&edges.element, &alias, &joins, Some(&conditions.join(" AND "))).map(Some)
    }

    /// Keys of the vertices that a search begins at, as far as they are known beforehand: by what is said of them, or by the edges of the path
    /// before it.
    fn ends(&self, vertex: usize, choice: &Choice, search: usize) -> Result<Option<String>> {
        if let Some(own) = self.own_ends(vertex, choice)? {
            return Ok(Some(own));
        }
        let path = self.shape.paths.iter().find(|path| path.parts.contains(&Part::Search(search)));
        let Some(path) = path else { return Ok(None) };
        let place = path.parts.iter().position(|part| *part == Part::Search(search)).unwrap_or(0);
        let before = path.parts[..place].iter().rev().map_while(|part| match part {
            Part::Edge(edge) => Some(*edge),
            Part::Search(_) => None,
        });
        let before: Vec<usize> = before.collect();
        if before.is_empty() {
            return Ok(None);
        }
        let (mut from, mut conditions) = (vec![], vec![]);
        let mut vertices: Vec<usize> = vec![vertex];
        for number in &before {
            let edge = &self.shape.edges[*number];
            let table = choice.edges[*number];
            from.push(format!("{} AS {}", table_name(&self.graph.edges[table.0].element), self.edge_alias(*number)));
            conditions.extend(self.edge_conditions(*number, edge, table));
            let aliases = [edge.variable.as_ref()];
            if let Some(condition) = edge.condition.as_ref().filter(|condition| is_only_of(condition, &aliases)) {
                conditions.push(format!("({})", self.resolved(condition, choice)?));
            }
            vertices.extend([edge.left, edge.right]);
        }
        vertices.sort_unstable();
        vertices.dedup();
        for number in vertices {
            from.push(format!("{} AS {}", table_name(self.vertex_table(choice, number)), self.vertex_alias(number)));
            conditions.extend(self.own_conditions(number, choice)?);
        }
        let keys = self.keys(vertex, choice);
        Ok(Some(format!("SELECT DISTINCT {keys} FROM {} WHERE {}", from.join(", "), conditions.join(" AND "))))
    }

    /// Keys of the vertices that satisfy what is said of a vertex alone; `None` when nothing is.
    fn own_ends(&self, vertex: usize, choice: &Choice) -> Result<Option<String>> {
        let conditions = self.own_conditions(vertex, choice)?;
        if conditions.is_empty() {
            return Ok(None);
        }
        let (table, alias) = (table_name(self.vertex_table(choice, vertex)), self.vertex_alias(vertex));
        Ok(Some(format!(
            "SELECT {} FROM {table} AS {alias} WHERE {}",
            self.keys(vertex, choice),
            conditions.join(" AND ")
        )))
    }

    pub(super) fn own_conditions(&self, vertex: usize, choice: &Choice) -> Result<Vec<String>> {
        let shape = &self.shape.vertices[vertex];
        let of_all = self.shape.conditions.iter().flat_map(conjuncts);
        let all = shape.conditions.iter().chain(of_all);
        let own = all.filter(|condition| is_only_of(condition, &[shape.variable.as_ref()]));
        own.map(|condition| Ok(format!("({})", self.resolved(condition, choice)?))).collect()
    }

    fn keys(&self, vertex: usize, choice: &Choice) -> String {
        let alias = self.vertex_alias(vertex);
        let keys = self.vertex_table(choice, vertex).key_names().map(|name| format!("{alias}.{}", identifier(name)));
        keys.collect::<Vec<_>>().join(", ")
    }

    /// The choice with those vertices left to ways of which nothing but the key is asked: what is said of them by themselves is what the search begins at and ends at, so their
    /// tables need not be joined.
    pub(super) fn with_ways(&self, choice: &Choice) -> Result<Choice> {
        let mut from_ways = vec![None; self.shape.vertices.len()];
        let is_beside_edge =
            |vertex: usize| self.shape.edges.iter().any(|edge| edge.left == vertex || edge.right == vertex);
        for (vertex, from_way) in from_ways.iter_mut().enumerate() {
            let ends = self
                .shape
                .searches
                .iter()
                .enumerate()
                .flat_map(|(number, search)| [(search.left, (number, true)), (search.right, (number, false))]);
            let ends: Vec<(usize, bool)> = ends.filter(|(of, _)| *of == vertex).map(|(_, end)| end).collect();
            if let [end] = ends.as_slice()
                && !is_beside_edge(vertex)
                && self.asks_for_key_alone(vertex, choice)?
            {
                *from_way = Some(*end);
            }
        }
        Ok(Choice { from_ways, ..choice.clone() })
    }

    /// Whether a vertex stands in no condition but its own, and no property of it but those that are its key is asked for.
    fn asks_for_key_alone(&self, vertex: usize, choice: &Choice) -> Result<bool> {
        let shape = &self.shape.vertices[vertex];
        let Some(variable) = &shape.variable else { return Ok(shape.conditions.is_empty()) };
        let is_own = |condition: &&Expr| is_only_of(condition, &[Some(variable)]);
        if !shape.conditions.iter().all(|condition| is_own(&condition)) {
            return Ok(false);
        }
        let element = self.vertex_table(choice, vertex);
        let others = self.shape.vertices.iter().enumerate().filter(|(number, _)| *number != vertex);
        let of_others = others.flat_map(|(_, vertex)| &vertex.conditions);
        let of_edges = self.shape.edges.iter().filter_map(|edge| edge.condition.as_ref());
        let common = self.shape.conditions.iter().flat_map(conjuncts).filter(|condition| !is_own(condition));
        let columns = self.table.columns.iter().map(|column| &column.expr);
        let mut asked = columns.chain(common).chain(of_others).chain(of_edges);
        Ok(asked.all(|expr| asks_only(expr, &variable.value, &|property| key_place(element, property).is_some())))
    }

    /// Conditions of all elements together, but for those that ways satisfy already.
    pub(super) fn common_conditions(&self, choice: &Choice) -> Vec<&Expr> {
        let left_out: Vec<Option<&Ident>> = (0..self.shape.vertices.len())
            .filter(|vertex| choice.from_ways[*vertex].is_some())
            .map(|vertex| self.shape.vertices[vertex].variable.as_ref())
            .collect();
        let is_met = |condition: &&Expr| left_out.iter().any(|variable| is_only_of(condition, &[*variable]));
        self.shape.conditions.iter().flat_map(conjuncts).filter(|condition| !is_met(condition)).collect()
    }
}
