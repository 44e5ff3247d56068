//! Topological orders and spanning forests beside petgraph, and views as its graphs.

use super::model::tiny;
use super::*;
use crate::{Bitmap, Error, Visit, minimum_spanning_forest, topological_order, wcc};
use fastrand::Rng;
use petgraph::algo;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{EdgeRef, IntoEdgeReferences, IntoEdgesDirected, VisitMap};
use std::collections::BTreeSet;

fn petgraph(model: &Model) -> DiGraph<(), f64> {
    let mut graph = DiGraph::new();
    for _ in 0..model.vertices {
        graph.add_node(());
    }
    for (&(a, b), &weight) in model.edges.iter().zip(&model.weights) {
        graph.add_edge(NodeIndex::new(a as usize), NodeIndex::new(b as usize), weight);
    }
    graph
}

#[test]
fn topological_orders_have_every_edge_forward() {
    let downhill = |model: Model| {
        let edges = model.edges.iter().map(|&(a, b)| (a.max(b), a.min(b))).filter(|(a, b)| a != b).collect();
        Model::new(&model.name, model.vertices, edges)
    };
    let models = shapes().into_iter().chain(tiny(100));
    let mut cyclic = 0;
    for model in models.flat_map(|model| [downhill(model.clone()), model]) {
        let is_cyclic = algo::is_cyclic_directed(&petgraph(&model));
        each_view(&model, |forward, _| match topological_order(forward, never()) {
            Ok(order) => {
                assert!(!is_cyclic, "{}", model.name);
                let mut places = vec![usize::MAX; model.vertices as usize];
                order.iter().enumerate().for_each(|(place, &vertex)| places[vertex as usize] = place);
                assert!(model.edges.iter().all(|&(a, b)| places[a as usize] < places[b as usize]));
                assert_eq!(order.into_iter().collect::<BTreeSet<_>>().len(), model.vertices as usize);
            }
            Err(Error::Cyclic { vertex }) => {
                let out = forward.steps(vertex).map(|step| step.vertex);
                assert!(out.into_iter().any(|next| algo::has_path_connecting(
                    &petgraph(&model),
                    NodeIndex::new(next as usize),
                    NodeIndex::new(vertex as usize),
                    None
                )));
            }
            Err(error) => panic!("{error}"),
        });
        cyclic += usize::from(is_cyclic);
    }
    assert!(cyclic > 20);
}

#[test]
fn forests_hold_together_what_hangs_together_at_least_weight() {
    let mut rng = Rng::with_seed(14);
    for model in shapes().into_iter().chain(tiny(100)) {
        let model = model.weighted(&mut rng, -3);
        let expected: f64 = algo::min_spanning_tree(&petgraph(&model).into_edge_type::<petgraph::Undirected>())
            .filter_map(|element| match element {
                petgraph::data::Element::Edge { weight, .. } => Some(weight),
                petgraph::data::Element::Node { .. } => None,
            })
            .sum();
        each_view(&model, |forward, reverse| {
            let forest = minimum_spanning_forest(forward, never()).unwrap();
            assert_eq!(forest.iter().map(|branch| branch.weight).sum::<f64>(), expected, "{}", model.name);
            let components: BTreeSet<u32> = wcc(forward, reverse, 1, never()).unwrap().into_iter().collect();
            assert_eq!(forest.len() + components.len(), model.vertices as usize);
            assert!(forest.iter().all(|branch| forward.steps(branch.source).any(|step| step == branch.step)));
        });
    }
}

#[test]
fn views_are_graphs_of_petgraph() {
    let mut rng = Rng::with_seed(15);
    for model in shapes().into_iter().filter(|model| model.vertices > 0) {
        let model = model.weighted(&mut rng, 0);
        let graph = petgraph(&model);
        each_view(&model, |forward, reverse| {
            let visit = Visit { forward, reverse };
            let found = algo::dijkstra(visit, 0, None, |edge| *edge.weight());
            let expected = algo::dijkstra(&graph, NodeIndex::new(0), None, |edge| *edge.weight());
            let found: BTreeSet<(usize, u64)> = found.into_iter().map(|(v, d)| (v as usize, d.to_bits())).collect();
            assert_eq!(found, expected.into_iter().map(|(v, d)| (v.index(), d.to_bits())).collect());
            let edges = |incoming: bool| {
                let direction = if incoming { petgraph::Incoming } else { petgraph::Outgoing };
                let of = |vertex| visit.edges_directed(vertex, direction);
                let ends = |edge: crate::VisitEdge| (edge.source(), edge.target(), edge.weight().to_bits());
                let mut all: Vec<_> = (0..model.vertices).flat_map(of).map(ends).collect();
                all.sort_unstable();
                all
            };
            assert_eq!(edges(false), edges(true));
            assert_eq!(visit.edge_references().count(), model.edges.len());
            assert_eq!(algo::connected_components(visit), wcc_count(forward, reverse));
        });
    }
    let mut map: Bitmap = Bitmap::new(3);
    assert_eq!(
        (map.visit(1), map.visit(1), map.is_visited(&1), map.unvisit(1), map.is_visited(&1)),
        (true, false, true, true, false)
    );
}

fn wcc_count(forward: &crate::View, reverse: &crate::View) -> usize {
    wcc(forward, reverse, 1, never()).unwrap().into_iter().collect::<BTreeSet<_>>().len()
}
