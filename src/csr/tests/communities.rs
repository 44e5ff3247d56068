//! Communities, triangles and betweenness beside their definitions.

use super::model::{large, tiny};
use super::*;
use crate::{Dijkstra, Error, Part, Sample, Step, View, betweenness, cdlp, lcc, louvain, triangles};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Edges of the simple graph, both ways.
fn neighbours(model: &Model) -> Vec<BTreeSet<u32>> {
    let mut neighbours = vec![BTreeSet::new(); model.vertices as usize];
    for &(a, b) in model.edges.iter().filter(|(a, b)| a != b) {
        neighbours[a as usize].insert(b);
        neighbours[b as usize].insert(a);
    }
    neighbours
}

#[test]
fn triangles_are_triples_of_neighbours() {
    for model in shapes().into_iter().chain(tiny(100)) {
        let near = neighbours(&model);
        let edges: BTreeSet<(u32, u32)> = model.edges.iter().copied().collect();
        let mut counts = vec![0; model.vertices as usize];
        let mut coefficients = vec![0.0; model.vertices as usize];
        for (vertex, near_vertex) in near.iter().enumerate() {
            for &a in near_vertex {
                for &b in near_vertex.iter().filter(|&&b| b != a) {
                    counts[vertex] += u64::from(a < b && near[a as usize].contains(&b));
                    coefficients[vertex] += f64::from(u8::from(edges.contains(&(a, b))));
                }
            }
            let degree = near_vertex.len() as f64;
            coefficients[vertex] /= if degree > 1.0 { degree * (degree - 1.0) } else { 1.0 };
        }
        each_view(&model, |forward, reverse| {
            let found = triangles(forward, reverse, 2, never()).unwrap();
            assert_eq!(found.counts, counts, "{}", model.name);
            assert_eq!(found.total, counts.iter().sum::<u64>() / 3);
            let found = lcc(forward, reverse, 2, never()).unwrap();
            assert!(found.iter().zip(&coefficients).all(|(a, b)| (a - b).abs() < 1e-12), "{}", model.name);
        });
    }
}

#[test]
fn number_of_threads_does_not_matter() {
    each_view(&large(), |forward, reverse| {
        assert_eq!(triangles(forward, reverse, 1, never()), triangles(forward, reverse, 3, never()));
        assert_eq!(cdlp(forward, reverse, 4, 1, never()), cdlp(forward, reverse, 4, 3, never()));
    });
}

#[test]
fn labels_are_the_most_frequent_among_neighbours() {
    for model in shapes().into_iter().chain(tiny(50)) {
        for iterations in [0, 1, 3, 50] {
            let mut labels: Vec<u32> = (0..model.vertices).collect();
            for _ in 0..iterations {
                let mut counts = vec![BTreeMap::new(); model.vertices as usize];
                for &(a, b) in &model.edges {
                    *counts[a as usize].entry(labels[b as usize]).or_insert(0) += 1;
                    *counts[b as usize].entry(labels[a as usize]).or_insert(0) += 1;
                }
                for (label, counts) in labels.iter_mut().zip(counts) {
                    let best = counts.into_iter().max_by_key(|&(label, count)| (count, std::cmp::Reverse(label)));
                    *label = best.map_or(*label, |(label, _)| label);
                }
            }
            each_view(&model, |forward, reverse| {
                assert_eq!(cdlp(forward, reverse, iterations, 2, never()).unwrap(), labels, "{}", model.name);
            });
        }
    }
}

/// Modularity by its definition.
fn modularity(model: &Model, names: &[u32], resolution: f64) -> f64 {
    let total: f64 = 2.0 * model.weights.iter().sum::<f64>();
    let (mut within, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for (&(a, b), weight) in model.edges.iter().zip(&model.weights) {
        let (a, b) = (names[a as usize], names[b as usize]);
        *within.entry(a).or_insert(0.0) += if a == b { 2.0 * weight } else { 0.0 };
        *ends.entry(a).or_insert(0.0) += weight;
        *ends.entry(b).or_insert(0.0) += weight;
    }
    if total == 0.0 {
        return 0.0;
    }
    let square = |end: &f64| resolution * (end / total) * (end / total);
    within.values().sum::<f64>() / total - ends.values().map(square).sum::<f64>()
}

#[test]
fn modularity_is_that_of_the_communities() {
    let mut rng = Rng::with_seed(12);
    for model in shapes().into_iter().chain(tiny(100)) {
        let model = model.weighted(&mut rng, 0);
        for resolution in [1.0, 0.5, 2.0] {
            each_view(&model, |forward, reverse| {
                let found = louvain(forward, reverse, resolution, never()).unwrap();
                let expected = modularity(&model, &found.names, resolution);
                assert!((found.modularity - expected).abs() < 1e-9, "{}: {found:?}, not {expected}", model.name);
                let alone: Vec<u32> = (0..model.vertices).collect();
                assert!(found.modularity >= modularity(&model, &alone, resolution) - 1e-9);
                for (vertex, &name) in found.names.iter().enumerate() {
                    assert!(name as usize <= vertex && found.names[name as usize] == name);
                }
            });
        }
    }
}

#[test]
fn cliques_are_communities() {
    let model = shapes().into_iter().find(|model| model.name == "cliques").unwrap();
    each_view(&model, |forward, reverse| {
        let found = louvain(forward, reverse, 1.0, never()).unwrap();
        assert_eq!(found.names, (0..24).map(|vertex| vertex / 6 * 6).collect::<Vec<_>>());
    });
}

/// For each vertex, the share of the shortest paths between each two others that it is on.
fn shares(model: &Model, view: &View, reverse: &View) -> Vec<f64> {
    let mut shares = vec![0.0; model.vertices as usize];
    let mut dijkstra = Dijkstra::new(model.vertices);
    for source in 0..model.vertices {
        dijkstra.search(view, &[source], None, f64::INFINITY, never()).unwrap();
        for target in (0..model.vertices).filter(|&target| target != source) {
            let paths = dijkstra.paths(reverse, target, never()).unwrap();
            let paths: Vec<Vec<Step>> = paths.into_iter().flatten().map(Result::unwrap).collect();
            for step in paths.iter().flatten().filter(|step| step.vertex != target) {
                shares[step.vertex as usize] += 1.0 / paths.len() as f64;
            }
        }
    }
    shares
}

#[test]
fn betweenness_is_the_share_of_shortest_paths() {
    let mut rng = Rng::with_seed(13);
    let is_small = |model: &Model| model.edges.len() <= 200 && model.name != "grid";
    for model in tiny(100).chain(shapes().into_iter().filter(is_small)) {
        for weighted in [model.clone(), model.clone().weighted(&mut rng, 1)] {
            each_view(&weighted, |forward, reverse| {
                let expected = shares(&model, forward, reverse);
                let found = betweenness(forward, None, 2, never()).unwrap();
                assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{}", model.name);
            });
        }
        each_view(&model, |forward, _| {
            let weighted = betweenness(forward, None, 1, never()).unwrap();
            let parts = forward.parts.iter().map(|part| Part { weights: None, ..*part }).collect();
            let steps = betweenness(&View::new(model.vertices, parts), None, 2, never()).unwrap();
            assert!(steps.iter().zip(&weighted).all(|(a, b)| (a - b).abs() < 1e-9), "{}", model.name);
        });
    }
}

#[test]
fn samples_are_scaled_and_repeatable() {
    let model = Model::new("star", 21, (1..21).flat_map(|v| [(0, v), (v, 0)]).collect());
    each_view(&model, |forward, _| {
        let exact = betweenness(forward, None, 2, never()).unwrap();
        let all = betweenness(forward, Some(Sample { sources: 100, seed: 1 }), 2, never()).unwrap();
        assert_eq!(exact, all);
        let some = |seed| betweenness(forward, Some(Sample { sources: 7, seed }), 2, never()).unwrap();
        assert_eq!(some(5), some(5));
        assert!((some(5)[0] / exact[0] - 1.0).abs() < 0.2);
        assert_eq!(betweenness(forward, Some(Sample { sources: 0, seed: 1 }), 2, never()).unwrap(), vec![0.0; 21]);
    });
}

#[test]
fn betweenness_refuses_edges_that_weigh_nothing() {
    let model = Model { weights: vec![0.0], ..Model::new("", 2, vec![(0, 1)]) };
    let (csr, _) = model.csr();
    let view = View::new(2, vec![Part { weights: Some(&model.weights), ..Part::new(&csr) }]);
    assert_eq!(betweenness(&view, None, 1, never()), Err(Error::ZeroWeight { part: 0, edge: 0 }));
}
