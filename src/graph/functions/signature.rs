//! What each function takes and gives.

use crate::schema::{Element, Graph};
use arrow::datatypes::{DataType, Field, Schema};
use lightning_sql::types::{self, PgType, arrow_field};
use std::sync::Arc;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Function {
    Bfs,
    Khop,
    ShortestPath,
    AllShortestPaths,
    KShortestPaths,
    PageRank,
    Wcc,
    Scc,
    Triangles,
    Lcc,
    Cdlp,
    Louvain,
    Degree,
    Betweenness,
    TopologicalSort,
    Mst,
    Dot,
    /// What a quantified edge of a pattern stands for. It has no name in SQL.
    Paths,
    /// One row, when all edges have their vertices. It has no name in SQL.
    Check,
}

/// An argument beyond the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Argument {
    /// Vertices where it begins, by key.
    Start,
    /// Vertices where it ends, by key.
    Target,
    /// Most edges of a way.
    MaxDepth,
    /// How many edges, or how many paths.
    K,
    /// A condition on edges, as text.
    EdgeFilter,
    /// Which edges: a label.
    Label,
    /// Which way edges are gone along: `out`, `in` or `any`.
    Direction,
    /// The column or property that is the weight of an edge.
    Weight,
    Damping,
    Tolerance,
    MaxIterations,
    Iterations,
    Resolution,
    /// How many vertices betweenness is reckoned from.
    Samples,
    Seed,
    /// Most edges drawn.
    Limit,
    /// The tables of vertices where a way begins and ends.
    FromTable,
    ToTable,
    /// Least and most edges of a way.
    Min,
    Max,
    Mode,
    Selector,
    /// Whether the vertices and edges of ways are wanted.
    Elements,
}

impl Argument {
    /// Its name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Argument::Start => "start",
            Argument::Target => "target",
            Argument::MaxDepth => "max_depth",
            Argument::K => "k",
            Argument::EdgeFilter => "edge_filter",
            Argument::Label => "label",
            Argument::Direction => "direction",
            Argument::Weight => "weight",
            Argument::Damping => "damping",
            Argument::Tolerance => "tolerance",
            Argument::MaxIterations => "max_iterations",
            Argument::Iterations => "iterations",
            Argument::Resolution => "resolution",
            Argument::Samples => "samples",
            Argument::Seed => "seed",
            Argument::Limit => "limit",
            Argument::FromTable => "from_table",
            Argument::ToTable => "to_table",
            Argument::Min => "min",
            Argument::Max => "max",
            Argument::Mode => "mode",
            Argument::Selector => "selector",
            Argument::Elements => "elements",
        }
    }
}

use Argument::{
    Damping, Direction, EdgeFilter, Elements, FromTable, Iterations, K, Label, Limit, Max, MaxDepth, MaxIterations,
    Min, Mode, Resolution, Samples, Seed, Selector, Start, Target, ToTable, Tolerance, Weight,
};

impl Function {
    const ALL: [Function; 19] = [
        Function::Bfs,
        Function::Khop,
        Function::ShortestPath,
        Function::AllShortestPaths,
        Function::KShortestPaths,
        Function::PageRank,
        Function::Wcc,
        Function::Scc,
        Function::Triangles,
        Function::Lcc,
        Function::Cdlp,
        Function::Louvain,
        Function::Degree,
        Function::Betweenness,
        Function::TopologicalSort,
        Function::Mst,
        Function::Dot,
        Function::Paths,
        Function::Check,
    ];

    /// The function of this name.
    pub(crate) fn by_name(name: &str) -> Option<Function> {
        Function::ALL.into_iter().find(|function| function.name() == name)
    }

    /// The function that users call by this name.
    pub(crate) fn called(name: &str) -> Option<Function> {
        Function::by_name(name).filter(|function| !matches!(function, Function::Paths | Function::Check))
    }

    /// Its name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Function::Bfs => "graph_bfs",
            Function::Khop => "graph_khop",
            Function::ShortestPath => "graph_shortest_path",
            Function::AllShortestPaths => "graph_all_shortest_paths",
            Function::KShortestPaths => "graph_k_shortest_paths",
            Function::PageRank => "graph_pagerank",
            Function::Wcc => "graph_wcc",
            Function::Scc => "graph_scc",
            Function::Triangles => "graph_triangles",
            Function::Lcc => "graph_lcc",
            Function::Cdlp => "graph_cdlp",
            Function::Louvain => "graph_louvain",
            Function::Degree => "graph_degree",
            Function::Betweenness => "graph_betweenness",
            Function::TopologicalSort => "graph_topological_sort",
            Function::Mst => "graph_mst",
            Function::Dot => "graph_dot",
            Function::Paths => "lightning_graph_paths",
            Function::Check => "lightning_graph_check",
        }
    }

    /// The arguments after the graph, in the order in which they may stand without a name; how many of them it needs.
    pub(crate) fn arguments(self) -> (&'static [Argument], usize) {
        match self {
            Function::Bfs => (&[Start, MaxDepth, EdgeFilter, Label, Direction], 1),
            Function::Khop => (&[Start, K, EdgeFilter, Label, Direction], 2),
            Function::ShortestPath => (&[Start, Target, Weight, MaxDepth, EdgeFilter, Label, Direction], 1),
            Function::AllShortestPaths => (&[Start, Target, Weight, EdgeFilter, Label, Direction], 2),
            Function::KShortestPaths => (&[Start, Target, K, Weight, EdgeFilter, Label, Direction], 3),
            Function::PageRank => (&[Damping, Tolerance, MaxIterations, EdgeFilter, Label, Direction], 0),
            Function::Wcc | Function::Scc | Function::Triangles => (&[EdgeFilter, Label], 0),
            Function::Lcc => (&[EdgeFilter, Label, Direction], 0),
            Function::Cdlp => (&[Iterations, EdgeFilter, Label, Direction], 0),
            Function::Louvain => (&[Weight, Resolution, EdgeFilter, Label], 0),
            Function::Degree => (&[Direction, EdgeFilter, Label], 0),
            Function::Betweenness => (&[Weight, Samples, Seed, EdgeFilter, Label, Direction], 0),
            Function::TopologicalSort => (&[EdgeFilter, Label], 0),
            Function::Mst => (&[Weight, EdgeFilter, Label], 0),
            Function::Dot => (&[Start, MaxDepth, Limit, EdgeFilter, Label, Direction], 0),
            Function::Check => (&[], 0),
            Function::Paths => {
                (&[Start, Target, FromTable, ToTable, Min, Max, Mode, Selector, K, Elements, Direction], 0)
            }
        }
    }

    /// Whether it gives paths, one vertex a row.
    pub(crate) fn gives_paths(self, has_target: bool) -> bool {
        match self {
            Function::ShortestPath => has_target,
            Function::AllShortestPaths | Function::KShortestPaths => true,
            _ => false,
        }
    }

    /// The columns of its result.
    pub(crate) fn schema(self, graph: &Graph, has_target: bool, ways: &Ways) -> Arc<Schema> {
        let whole = |name: &str| column_field(name, types::INT8, false);
        let real = |name: &str| column_field(name, types::FLOAT8, false);
        let mut fields: Vec<Field> = Vec::new();
        if self == Function::Dot {
            return Arc::new(Schema::new(vec![column_field("dot", types::TEXT, false)]));
        }
        if self == Function::Check {
            return Arc::new(Schema::new(vec![column_field("checked", types::BOOL, false)]));
        }
        if self == Function::Paths {
            return ways.schema(graph);
        }
        if self == Function::Mst {
            fields.extend(vertex_fields(graph, "source"));
            fields.extend(vertex_fields(graph, "target"));
            fields.push(real("weight"));
            return Arc::new(Schema::new(fields));
        }
        if self.gives_paths(has_target) {
            fields.extend([whole("path_id"), whole("step")]);
        }
        fields.extend(vertex_fields(graph, "id"));
        match self {
            Function::Bfs | Function::Khop => fields.push(whole("depth")),
            Function::ShortestPath if !has_target => fields.push(real("distance")),
            Function::ShortestPath | Function::AllShortestPaths | Function::KShortestPaths => {}
            Function::PageRank => fields.push(real("rank")),
            Function::Wcc | Function::Scc => fields.push(representative(graph, "component")),
            Function::Triangles => fields.push(whole("triangles")),
            Function::Lcc => fields.push(real("coefficient")),
            Function::Cdlp => fields.push(representative(graph, "label")),
            Function::Louvain => fields.push(representative(graph, "community")),
            Function::Degree => fields.push(whole("degree")),
            Function::Betweenness => fields.push(real("centrality")),
            Function::TopologicalSort => fields.push(whole("position")),
            Function::Mst | Function::Dot | Function::Paths | Function::Check => {}
        }
        Arc::new(Schema::new(fields))
    }
}

/// What the result of a search of ways has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// Tables of vertices where ways begin and end.
    pub(crate) from_table: usize,
    pub(crate) to_table: usize,
    /// Whether there are their vertices and edges.
    pub(crate) elements: bool,
    /// Tables of edges.
    pub(crate) tables: Vec<usize>,
}

impl Ways {
    fn schema(&self, graph: &Graph) -> Arc<Schema> {
        let mut fields = vec![];
        for (name, table) in [("from", self.from_table), ("to", self.to_table)] {
            let element = &graph.vertices[table];
            for (place, column) in element.key.iter().enumerate() {
                let column = &element.table.columns[*column];
                let pg = PgType::by_oid(column.type_oid.0).unwrap_or(types::TEXT).with_modifier(column.type_modifier);
                fields.push(column_field(&format!("{name}_{}", place + 1), pg, true));
            }
        }
        fields.push(column_field("length", types::INT8, false));
        if self.elements {
            let list = |name: &str, pg: PgType| {
                let array = pg.array_of().unwrap_or_else(|| types::TEXT.array_of().expect("there are arrays of text"));
                column_field(name, array, true)
            };
            fields.push(list("vertices", vertex_type(graph)));
            fields.push(list("edges", edge_type(graph, &self.tables)));
        }
        Arc::new(Schema::new(fields))
    }
}

/// The type of the keys of edges of some tables: text unless all have a key of one column of the same type.
pub(crate) fn edge_type(graph: &Graph, tables: &[usize]) -> PgType {
    common_type(tables.iter().map(|table| &graph.edges[*table].element))
}

/// The type of the column that names vertices: that of their key when all have a key of one column of the same type, else text.
pub(crate) fn vertex_type(graph: &Graph) -> PgType {
    common_type(graph.vertices.iter())
}

fn common_type<'e>(elements: impl Iterator<Item = &'e Element>) -> PgType {
    let mut types = elements.map(|element| match element.key.as_slice() {
        [column] => {
            let column = &element.table.columns[*column];
            PgType::by_oid(column.type_oid.0).map(|pg| pg.with_modifier(column.type_modifier))
        }
        _ => None,
    });
    let first = types.next().flatten();
    first.filter(|first| types.all(|other| other.as_ref() == Some(first))).unwrap_or(types::TEXT)
}

/// The columns that name a vertex: its key, and before it the table when there are several.
fn vertex_fields(graph: &Graph, name: &str) -> Vec<Field> {
    let mut fields = Vec::with_capacity(2);
    if graph.vertices.len() > 1 {
        let table = if name == "id" { "vertex_table".to_owned() } else { format!("{name}_table") };
        fields.push(column_field(&table, types::TEXT, false));
    }
    fields.push(column_field(name, vertex_type(graph), true));
    fields
}

/// The column that names a group of vertices by one of them, or by a number when vertices are of several tables.
fn representative(graph: &Graph, name: &str) -> Field {
    match graph.vertices.len() {
        1 => column_field(name, vertex_type(graph), true),
        _ => column_field(name, types::INT8, false),
    }
}

/// Whether groups of vertices are named by one of them.
pub(crate) fn has_representatives(graph: &Graph) -> bool {
    graph.vertices.len() == 1
}

/// The Arrow type of a field of [`Function::schema`].
pub(crate) fn arrow_type(pg: PgType) -> DataType {
    column_field("", pg, true).data_type().clone()
}

/// A column of a result.
fn column_field(name: &str, pg: PgType, nullable: bool) -> Field {
    arrow_field(name, pg, nullable).unwrap_or_else(|| Field::new(name, DataType::Null, true))
}
