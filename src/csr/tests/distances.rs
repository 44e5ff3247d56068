//! Weighted shortest paths beside relaxing all edges, and beside all paths.

use super::model::tiny;
use super::searches::is_path;
use super::*;
use crate::{Dijkstra, Error, Lengths, Mode, NONE, Part, Step, View, Walks, Yen, bellman_ford, lightest};
use fastrand::Rng;
use std::collections::BTreeSet;

/// Distances by as many rounds over all edges as there are vertices; `None` if they are not at rest then.
fn distances(model: &Model, sources: &[u32]) -> Option<Vec<f64>> {
    let mut distances = vec![f64::INFINITY; model.vertices as usize];
    sources.iter().for_each(|&source| distances[source as usize] = 0.0);
    for _ in 0..=model.vertices {
        let before = distances.clone();
        for (&(from, to), weight) in model.edges.iter().zip(&model.weights) {
            distances[to as usize] = distances[to as usize].min(distances[from as usize] + weight);
        }
        if before == distances {
            return Some(distances);
        }
    }
    None
}

fn weigh(view: &View, path: &[Step]) -> f64 {
    path.iter().map(|&step| view.weight(step)).sum()
}

#[test]
fn dijkstra_finds_the_least_weight() {
    let mut rng = Rng::with_seed(3);
    for model in shapes().into_iter().chain(tiny(40)).filter(|model| model.vertices > 0) {
        let model = model.weighted(&mut rng, 0);
        let last = model.vertices - 1;
        each_view(&model, |forward, _| {
            let mut dijkstra = Dijkstra::new(model.vertices);
            for sources in [vec![0], vec![last], vec![0, last], vec![]] {
                let expected = distances(&model, &sources).unwrap();
                let tree = dijkstra.search(forward, &sources, None, f64::INFINITY, never()).unwrap();
                assert_eq!(tree.distances(), expected, "{}", model.name);
                assert_eq!(&bellman_ford(forward, &sources, never()).unwrap().distances, &expected);
                for vertex in 0..model.vertices {
                    let Some(path) = tree.path(vertex) else {
                        assert_eq!(expected[vertex as usize], f64::INFINITY);
                        continue;
                    };
                    assert!(sources.iter().any(|&source| is_path(forward, source, &path, vertex)));
                    assert_eq!(weigh(forward, &path), expected[vertex as usize]);
                }
                assert!(dijkstra.reached().is_sorted_by_key(|&v| expected[v as usize]));
                let reached = expected.iter().filter(|distance| distance.is_finite()).count();
                assert_eq!(dijkstra.reached().len(), reached);
            }
        });
    }
}

#[test]
fn dijkstra_ends_early() {
    let mut rng = Rng::with_seed(4);
    for model in shapes().into_iter().filter(|model| model.vertices > 2) {
        let model = model.weighted(&mut rng, 0);
        let expected = distances(&model, &[0]).unwrap();
        each_view(&model, |forward, _| {
            let mut dijkstra = Dijkstra::new(model.vertices);
            for targets in [vec![1], vec![2, 1], vec![model.vertices - 1], vec![]] {
                let tree = dijkstra.search(forward, &[0], Some(&targets), f64::INFINITY, never()).unwrap();
                let known = |v: u32| tree.distances()[v as usize];
                assert!(targets.iter().all(|&target| known(target) == expected[target as usize]));
                assert!((0..model.vertices).all(|v| known(v) == f64::INFINITY || known(v) == expected[v as usize]));
            }
            let tree = dijkstra.search(forward, &[0], None, 5.0, never()).unwrap();
            let near = expected.iter().map(|&distance| if distance > 5.0 { f64::INFINITY } else { distance });
            assert_eq!(tree.distances(), near.collect::<Vec<_>>());
        });
    }
}

#[test]
fn weights_must_make_sense() {
    let model = Model { weights: vec![1.0, -1.0, f64::NAN], ..Model::new("", 4, vec![(0, 1), (1, 2), (3, 0)]) };
    each_view(&Model { weights: vec![1.0, -1.0, 0.0], ..model.clone() }, |forward, _| {
        let found = Dijkstra::new(4).search(forward, &[0], None, f64::INFINITY, never()).map(|_| ());
        assert!(matches!(found, Err(Error::NegativeWeight { .. })));
        assert_eq!(bellman_ford(forward, &[0], never()).unwrap().distances(), [0.0, 1.0, 0.0, f64::INFINITY]);
    });
    each_view(&model, |forward, _| {
        let found = Dijkstra::new(4).search(forward, &[3], None, f64::INFINITY, never()).map(|_| ());
        assert!(matches!(found, Err(Error::NotANumber { .. })));
        assert!(matches!(bellman_ford(forward, &[3], never()), Err(Error::NotANumber { .. })));
    });
}

#[test]
fn negative_cycles_are_found() {
    let mut rng = Rng::with_seed(5);
    let mut negative = 0;
    for model in tiny(300).chain(shapes()).filter(|model| model.vertices > 0) {
        let model = model.weighted(&mut rng, -2);
        let expected = distances(&model, &[0]);
        each_view(&model, |forward, _| match (bellman_ford(forward, &[0], never()), &expected) {
            (Ok(tree), Some(expected)) => {
                assert_eq!(tree.distances(), expected);
                let paths = (0..model.vertices).filter_map(|v| tree.path(v).map(|path| (v, path)));
                paths.for_each(|(v, path)| assert_eq!(weigh(forward, &path), expected[v as usize]));
            }
            (Err(Error::NegativeCycle { vertex }), None) => {
                assert!(distances(&model, &[vertex]).is_none(), "{}", model.name);
            }
            (found, expected) => panic!("{}: {found:?}, not {expected:?}", model.name),
        });
        negative += usize::from(expected.is_none());
    }
    assert!(negative > 20);
}

/// All paths from 0 to the last vertex that meet no vertex twice, best first.
fn simple_paths(model: &Model, view: &View) -> Vec<(f64, Vec<Step>)> {
    let mut walks = Walks::new(view, Mode::Acyclic, Lengths { min: 0, max: NONE }, never());
    walks.start(0);
    let mut paths = Vec::new();
    while let Some(path) = walks.next().unwrap() {
        if path.last().map_or(0, |step| step.vertex) == model.vertices - 1 {
            paths.push((weigh(view, path), path.to_vec()));
        }
    }
    paths.sort_by(|(a, p), (b, q)| a.total_cmp(b).then(p.len().cmp(&q.len())));
    paths
}

#[test]
fn all_shortest_paths_by_weight() {
    let mut rng = Rng::with_seed(6);
    for model in tiny(300) {
        let model = model.weighted(&mut rng, 0);
        each_view(&model, |forward, reverse| {
            let expected = simple_paths(&model, forward);
            let target = model.vertices - 1;
            let mut dijkstra = Dijkstra::new(model.vertices);
            dijkstra.search(forward, &[0], Some(&[target]), f64::INFINITY, never()).unwrap();
            let found = dijkstra.paths(reverse, target, never()).unwrap();
            let found: Vec<Vec<Step>> = found.into_iter().flatten().map(Result::unwrap).collect();
            let best = expected.first().map(|path| path.0);
            let expected: BTreeSet<_> =
                expected.into_iter().filter(|path| Some(path.0) == best).map(|path| path.1).collect();
            assert_eq!(found.len(), expected.len(), "{}", model.name);
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        });
    }
}

#[test]
fn lightest_paths_have_the_least_weight() {
    let mut rng = Rng::with_seed(16);
    for model in tiny(300).chain(shapes()).filter(|model| model.vertices > 0) {
        let model = model.weighted(&mut rng, 0);
        for (source, target) in [(0, model.vertices - 1), (model.vertices / 2, model.vertices / 3), (0, 0)] {
            let expected = distances(&model, &[source]).unwrap()[target as usize];
            each_view(&model, |forward, reverse| match lightest(forward, reverse, source, target, never()).unwrap() {
                Some(path) => {
                    assert_eq!(path.weight, expected, "{}", model.name);
                    assert!(is_path(forward, source, &path.steps, target));
                }
                None => assert_eq!(expected, f64::INFINITY, "{}", model.name),
            });
        }
    }
}

#[test]
fn yen_gives_all_simple_paths_by_weight() {
    let mut rng = Rng::with_seed(8);
    for model in tiny(300) {
        let model = model.weighted(&mut rng, 0);
        each_view(&model, |forward, reverse| {
            let expected = simple_paths(&model, forward);
            let found: Vec<_> =
                Yen::new(forward, reverse, 0, model.vertices - 1, never()).unwrap().map(Result::unwrap).collect();
            let weights = |path: &(f64, Vec<Step>)| path.0;
            assert_eq!(
                found.iter().map(|path| path.weight).collect::<Vec<_>>(),
                expected.iter().map(weights).collect::<Vec<_>>(),
                "{}",
                model.name
            );
            let steps: BTreeSet<_> = found.into_iter().map(|path| path.steps).collect();
            assert_eq!(steps, expected.into_iter().map(|path| path.1).collect());
        });
    }
}

#[test]
fn yen_is_lazy() {
    let mut rng = Rng::with_seed(9);
    let grid = shapes().into_iter().find(|model| model.name == "grid").unwrap().weighted(&mut rng, 1);
    each_view(&grid, |forward, reverse| {
        let paths: Vec<_> = Yen::new(forward, reverse, 0, 80, never()).unwrap().take(200).map(Result::unwrap).collect();
        assert_eq!(paths.len(), 200);
        assert!(paths.is_sorted_by(|a, b| a.weight <= b.weight));
        assert!(paths.iter().all(|path| is_path(forward, 0, &path.steps, 80)));
        assert_eq!(paths.iter().map(|path| &path.steps).collect::<BTreeSet<_>>().len(), 200);
    });
}

#[test]
fn parallel_edges_are_different_paths() {
    let (out, back) = Model::new("", 2, vec![(0, 1), (0, 1), (1, 0)]).csr();
    let (forward, reverse) = (View::new(2, vec![Part::new(&out)]), View::new(2, vec![Part::new(&back)]));
    assert_eq!(Yen::new(&forward, &reverse, 0, 1, never()).unwrap().count(), 2);
    assert_eq!(Yen::new(&forward, &reverse, 0, 0, never()).unwrap().count(), 1);
    let mut dijkstra = Dijkstra::new(2);
    dijkstra.search(&forward, &[0], None, f64::INFINITY, never()).unwrap();
    assert_eq!(dijkstra.paths(&reverse, 1, never()).unwrap().unwrap().count(), 2);
}
