//! The results that LDBC Graphalytics expects of its validation graphs: those of `graphalytics-validation` in its repository, in the directory that
//! `LIGHTNING_GRAPHALYTICS` names.

use super::*;
use crate::{Dijkstra, NONE, PageRank, Search, View, bfs, cdlp, lcc, pagerank, wcc};
use std::path::PathBuf;

/// A graph of which vertices have names.
struct Named {
    names: Vec<u32>,
    /// With edges both ways, if it is undirected.
    graph: Model,
}

impl Named {
    fn new(mut names: Vec<u32>, edges: Vec<(u32, u32)>, weights: Vec<f64>, is_directed: bool) -> Named {
        names.extend(edges.iter().flat_map(|&(from, to)| [from, to]));
        names.sort_unstable();
        names.dedup();
        let number = |name: u32| names.binary_search(&name).unwrap() as u32;
        let edges = edges.into_iter().map(|(a, b)| (number(a), number(b))).collect();
        let mut model = Model::new("Graphalytics", names.len() as u32, edges);
        model.weights = weights;
        let graph = if is_directed { model } else { model.both_ways() };
        Named { names, graph }
    }

    /// Lines of a vertex and those its edges go to. An undirected edge is there twice.
    fn from_lists(text: &str, is_directed: bool) -> Named {
        let mut names = Vec::new();
        let mut edges = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(|word| word.parse::<u32>().unwrap());
            let Some(vertex) = words.next() else { continue };
            names.push(vertex);
            edges.extend(words.map(|target| (vertex, target)).filter(|(from, to)| is_directed || from < to));
        }
        let weights = vec![1.0; edges.len()];
        Named::new(names, edges, weights, is_directed)
    }

    /// A list of vertices and one of edges, the weight last.
    fn from_tables(vertices: &str, edges: &str, is_directed: bool) -> Named {
        let names = vertices.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = edges.lines().filter(|line| !line.is_empty()).map(words).collect();
        let ends = rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect();
        let weights = rows.iter().map(|row| row[2].parse().unwrap()).collect();
        Named::new(names, ends, weights, is_directed)
    }

    fn vertex(&self, name: u32) -> u32 {
        self.names.binary_search(&name).unwrap() as u32
    }

    /// Compares a result for each vertex with lines of a vertex and a result.
    fn expect(&self, expected: &str, result: &[f64]) {
        let mut lines = 0;
        for line in expected.lines() {
            let (name, value) = line.split_once(' ').unwrap();
            let found = result[self.vertex(name.parse().unwrap()) as usize];
            let value = match value {
                "9223372036854775807" | "Infinity" => f64::INFINITY,
                number => number.parse().unwrap(),
            };
            // As near as the benchmark asks.
            assert!(
                found == value || (found - value).abs() <= 1e-4 * value.abs(),
                "vertex {name}: {found}, not {value}"
            );
            lines += 1;
        }
        assert_eq!(lines, self.names.len());
    }

    fn check(&self, expected: &str, run: impl Fn(&View, &View) -> Vec<f64>) {
        each_view(&self.graph, |forward, reverse| self.expect(expected, &run(forward, reverse)));
    }

    /// Results that are vertices, by name.
    fn named(&self, vertices: Vec<u32>) -> Vec<f64> {
        vertices.into_iter().map(|vertex| f64::from(self.names[vertex as usize])).collect()
    }
}

/// The text of a file of the validation data.
fn data(file: &str) -> &'static str {
    let path = directory().expect("the tests are left out without it").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::leak(text)
}

/// Where the validation data are; tests are left out without them.
fn directory() -> Option<PathBuf> {
    std::env::var_os("LIGHTNING_GRAPHALYTICS").map(PathBuf::from)
}

fn example(is_directed: bool) -> Named {
    match is_directed {
        true => Named::from_tables(data("example/example-directed.v"), data("example/example-directed.e"), true),
        false => Named::from_tables(data("example/example-undirected.v"), data("example/example-undirected.e"), false),
    }
}

#[test]
fn breadth_first_search() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, source: u32, expected: &str| {
        let source = graph.vertex(source);
        graph.check(expected, |forward, reverse| {
            let depths = bfs(forward, reverse, Search::from(&[source]), 2, never()).unwrap();
            depths.iter().map(|&depth| if depth == NONE { f64::INFINITY } else { f64::from(depth) }).collect()
        });
    };
    check(Named::from_lists(data("bfs/dir-input"), true), 1, data("bfs/dir-output"));
    check(Named::from_lists(data("bfs/undir-input"), false), 1, data("bfs/undir-output"));
    check(example(true), 1, data("example/example-directed-BFS"));
    check(example(false), 2, data("example/example-undirected-BFS"));
}

#[test]
fn weakly_connected_components() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, expected: &str| {
        graph.check(expected, |forward, reverse| graph.named(wcc(forward, reverse, 2, never()).unwrap()));
    };
    check(Named::from_lists(data("wcc/dir-input"), true), data("wcc/dir-output"));
    check(Named::from_lists(data("wcc/undir-input"), false), data("wcc/undir-output"));
    check(example(true), data("example/example-directed-WCC"));
    check(example(false), data("example/example-undirected-WCC"));
}

#[test]
fn page_rank() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, iterations_max, expected: &str| {
        graph.check(expected, |forward, reverse| {
            let options = PageRank { damping: 0.85, tolerance: 0.0, iterations_max };
            pagerank(forward, reverse, options, 2, never()).unwrap().ranks
        });
    };
    check(Named::from_lists(data("pr/dir-input"), true), 14, data("pr/dir-output"));
    check(Named::from_lists(data("pr/undir-input"), false), 26, data("pr/undir-output"));
    check(example(true), 2, data("example/example-directed-PR"));
    check(example(false), 2, data("example/example-undirected-PR"));
}

#[test]
fn single_source_shortest_paths() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, source: u32, expected: &str| {
        let source = graph.vertex(source);
        graph.check(expected, |forward, _| {
            let mut dijkstra = Dijkstra::new(forward.vertices);
            dijkstra.search(forward, &[source], None, f64::INFINITY, never()).unwrap().distances().to_vec()
        });
    };
    let graph = |vertices, edges, is_directed| Named::from_tables(vertices, edges, is_directed);
    check(graph(data("sssp/dir-input.v"), data("sssp/dir-input.e"), true), 1, data("sssp/dir-output"));
    check(graph(data("sssp/undir-input.v"), data("sssp/undir-input.e"), false), 1, data("sssp/undir-output"));
    check(example(true), 1, data("example/example-directed-SSSP"));
    check(example(false), 2, data("example/example-undirected-SSSP"));
}

#[test]
fn communities_by_label_propagation() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, iterations, expected: &str| {
        graph.check(expected, |forward, reverse| graph.named(cdlp(forward, reverse, iterations, 2, never()).unwrap()));
    };
    check(Named::from_lists(data("cdlp/dir-input"), true), 5, data("cdlp/dir-output"));
    check(Named::from_lists(data("cdlp/undir-input"), false), 5, data("cdlp/undir-output"));
    check(example(true), 2, data("example/example-directed-CDLP"));
    check(example(false), 2, data("example/example-undirected-CDLP"));
}

#[test]
fn local_clustering_coefficients() {
    if directory().is_none() {
        return;
    }
    let check = |graph: Named, expected: &str| {
        graph.check(expected, |forward, reverse| lcc(forward, reverse, 2, never()).unwrap());
    };
    check(Named::from_lists(data("lcc/dir-input"), true), data("lcc/dir-output"));
    check(Named::from_lists(data("lcc/undir-input"), false), data("lcc/undir-output"));
    check(example(true), data("example/example-directed-LCC"));
    check(example(false), data("example/example-undirected-LCC"));
}
