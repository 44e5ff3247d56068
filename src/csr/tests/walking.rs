//! Paths beside all sequences of edges.

use super::model::tiny;
use super::searches::is_path;
use super::*;
use crate::{
    Ascending, Error, Keep, Lengths, Mode, NONE, Near, Part, Search, Step, View, Walks, between, bfs, shortest,
};
use std::collections::{BTreeMap, BTreeSet};

/// All walks from `start` with at most `max` steps.
fn walks(view: &View, start: u32, max: u32) -> Vec<Vec<Step>> {
    let mut all = vec![vec![]];
    let mut last: Vec<Vec<Step>> = vec![vec![]];
    for _ in 0..max {
        let extend = |path: &Vec<Step>| {
            let at = path.last().map_or(start, |step| step.vertex);
            view.steps(at).map(|step| [&path[..], &[step]].concat()).collect::<Vec<_>>()
        };
        last = last.iter().flat_map(extend).collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn is_allowed(view: &View, mode: Mode, start: u32, path: &[Step]) -> bool {
    let mut vertices: Vec<u32> = [start].into_iter().chain(path.iter().map(|step| step.vertex)).collect();
    let is_distinct = |vertices: &[u32]| vertices.iter().collect::<BTreeSet<_>>().len() == vertices.len();
    match mode {
        Mode::Walk => true,
        Mode::Trail => path.iter().map(|&step| view.edge_id(step)).collect::<BTreeSet<_>>().len() == path.len(),
        Mode::Acyclic => is_distinct(&vertices),
        Mode::Simple => {
            let last = vertices.pop().unwrap();
            is_distinct(&vertices) && (last == start || !vertices.contains(&last))
        }
    }
}

fn collect(walks: &mut Walks, start: u32) -> Vec<Vec<Step>> {
    walks.start(start);
    let mut all = Vec::new();
    while let Some(path) = walks.next().unwrap() {
        all.push(path.to_vec());
    }
    all
}

const MODES: [Mode; 4] = [Mode::Walk, Mode::Trail, Mode::Acyclic, Mode::Simple];

#[test]
fn walks_are_all_paths_of_a_mode() {
    for model in tiny(60).filter(|model| model.edges.len() < 7) {
        each_view(&model, |forward, _| {
            let all: Vec<_> = (0..model.vertices).map(|start| walks(forward, start, 4)).collect();
            for (mode, (min, max)) in
                MODES.into_iter().flat_map(|mode| [(0, 4), (1, 2), (2, 4), (3, 3), (0, 0)].map(|l| (mode, l)))
            {
                let mut walks = Walks::new(forward, mode, Lengths { min, max }, never());
                for (start, all) in (0..).zip(&all) {
                    let found = collect(&mut walks, start);
                    let is_wanted = |path: &&Vec<Step>| {
                        (min..=max).contains(&(path.len() as u32)) && is_allowed(forward, mode, start, path)
                    };
                    let expected: BTreeSet<_> = all.iter().filter(is_wanted).cloned().collect();
                    assert_eq!(found.len(), expected.len(), "{} {mode:?} {min} {max}", model.name);
                    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
                }
            }
        });
    }
}

#[test]
fn unbounded_paths_end() {
    for model in tiny(60).filter(|model| model.edges.len() < 6) {
        each_view(&model, |forward, _| {
            for mode in [Mode::Trail, Mode::Acyclic, Mode::Simple] {
                let mut paths = Walks::new(forward, mode, Lengths { min: 1, max: NONE }, never());
                let bounded = walks(forward, 0, 6).into_iter();
                let expected = bounded.filter(|path| !path.is_empty() && is_allowed(forward, mode, 0, path)).count();
                assert_eq!(collect(&mut paths, 0).len(), expected, "{} {mode:?}", model.name);
            }
        });
    }
}

#[test]
fn paths_toward_a_vertex_are_those_that_end_there() {
    for model in tiny(40).filter(|model| model.edges.len() < 7) {
        each_view(&model, |forward, reverse| {
            let end = model.vertices - 1;
            let reach = bfs(reverse, forward, Search::from(&[end]), 1, never()).unwrap();
            for mode in MODES {
                let lengths = Lengths { min: 0, max: 4 };
                let all = collect(&mut Walks::new(forward, mode, lengths, never()), 0);
                let at = |path: &Vec<Step>| path.last().map_or(0, |step| step.vertex);
                let expected: Vec<_> = all.into_iter().filter(|path| at(path) == end).collect();
                let found = collect(&mut Walks::new(forward, mode, lengths, never()).toward(&reach), 0);
                assert_eq!(found, expected, "{} {mode:?}", model.name);
            }
        });
    }
}

#[test]
fn ascending_paths_are_the_same_by_length() {
    for model in tiny(60).filter(|model| model.edges.len() < 7) {
        each_view(&model, |forward, reverse| {
            let reach = bfs(reverse, forward, Search::from(&[model.vertices - 1]), 1, never()).unwrap();
            for (mode, (min, max)) in MODES.into_iter().flat_map(|mode| [(0, 4), (2, 3), (1, NONE)].map(|l| (mode, l)))
            {
                if mode == Mode::Walk && max == NONE {
                    continue;
                }
                let lengths = Lengths { min, max };
                let walks = || Walks::new(forward, mode, lengths, never());
                let ascending = || Ascending::new(forward, mode, lengths, 0, never());
                let pairs = [(walks(), ascending()), (walks().toward(&reach), ascending().toward(&reach))];
                for (mut walks, mut ascending) in pairs {
                    let mut found = Vec::new();
                    while let Some(path) = ascending.next().unwrap() {
                        found.push(path.to_vec());
                    }
                    let mut expected = collect(&mut walks, 0);
                    expected.sort_by_key(Vec::len);
                    assert_eq!(found, expected, "{} {mode:?}", model.name);
                }
            }
        });
    }
}

#[test]
fn ascending_walks_to_nowhere_end() {
    let model = Model::new("ring and vertex", 4, vec![(0, 1), (1, 2), (2, 0)]);
    each_view(&model, |forward, reverse| {
        let reach = |end| bfs(reverse, forward, Search::from(&[end]), 1, never()).unwrap();
        let (nowhere, second) = (reach(3), reach(1));
        let lengths = Lengths { min: 0, max: NONE };
        let walks = || Ascending::new(forward, Mode::Walk, lengths, 0, never());
        assert_eq!(walks().toward(&nowhere).next().unwrap(), None);
        let mut round = walks().toward(&second);
        for length in [1, 4, 7] {
            assert_eq!(round.next().unwrap().map(<[Step]>::len), Some(length));
        }
    });
}

#[test]
fn undirected_trails_go_an_edge_once() {
    let model = Model::new("triangle", 3, vec![(0, 1), (1, 2), (2, 0)]);
    let (out, back) = model.csr();
    let both = View::new(3, vec![Part::new(&out), Part::new(&back)]);
    let trails = collect(&mut Walks::new(&both, Mode::Trail, Lengths { min: 1, max: NONE }, never()), 0);
    // Round either way, and the beginnings of these.
    assert_eq!(trails.len(), 6);
    assert!(trails.iter().all(|path| is_path(&both, 0, path, path.last().unwrap().vertex)));
}

#[test]
fn long_paths_remember_where_they_were() {
    // A ring with a chord: trails go round once, or less.
    let mut edges: Vec<(u32, u32)> = (0..100).map(|v| (v, (v + 1) % 100)).collect();
    edges.push((90, 10));
    let (csr, _) = Model::new("ring", 100, edges).csr();
    let view = View::new(100, vec![Part::new(&csr)]);
    let count = |mode| collect(&mut Walks::new(&view, mode, Lengths { min: 1, max: NONE }, never()), 0).len();
    assert_eq!(count(Mode::Acyclic), 99);
    assert_eq!(count(Mode::Simple), 100);
    // To 90 and on to 0; or from 90 back to 10, where the trail ends, as the edge from there is used.
    assert_eq!(count(Mode::Trail), 101);
}

#[test]
fn shortest_paths_are_the_shortest_walks_that_count() {
    for model in tiny(80).filter(|model| model.edges.len() < 7) {
        each_view(&model, |forward, _| {
            let all = walks(forward, 0, 5);
            for (min, max) in [(0, 5), (1, 5), (2, 5), (3, 4), (0, 0), (5, 5)] {
                let lengths = Lengths { min, max };
                let mut by_end: BTreeMap<u32, Vec<Vec<Step>>> = BTreeMap::new();
                for path in all.iter().filter(|path| (min..=max).contains(&(path.len() as u32))) {
                    let paths = by_end.entry(path.last().map_or(0, |step| step.vertex)).or_default();
                    let shortest = paths.first().map_or(path.len(), Vec::len);
                    if path.len() == shortest {
                        paths.push(path.clone());
                    }
                }
                let found = shortest(forward, 0, lengths, Keep::All, None, never()).unwrap();
                let any = shortest(forward, 0, lengths, Keep::Any, None, never()).unwrap();
                let mut reached: Vec<Near> = found.reached().collect();
                assert!(reached.is_sorted_by_key(|near| near.depth));
                reached.sort_unstable();
                let near = |(&vertex, paths): (&u32, &Vec<Vec<Step>>)| Near { vertex, depth: paths[0].len() as u32 };
                assert_eq!(reached, by_end.iter().map(near).collect::<Vec<_>>(), "{} {min} {max}", model.name);
                for end in 0..model.vertices {
                    let Some(expected) = by_end.get(&end) else {
                        assert!(found.paths(end, never()).is_none() && any.path(end).is_none());
                        continue;
                    };
                    let paths: Vec<Vec<Step>> = found.paths(end, never()).unwrap().map(Result::unwrap).collect();
                    assert_eq!(paths.len(), expected.len());
                    let distinct: BTreeSet<_> = paths.into_iter().collect();
                    assert_eq!(distinct, expected.iter().cloned().collect());
                    assert!(distinct.contains(&any.path(end).unwrap()));
                    assert_eq!(any.paths(end, never()).unwrap().count(), 1);
                    assert_eq!(any.length(end), Some(expected[0].len() as u32));
                    // With targets, the search has all their paths still.
                    let ended = shortest(forward, 0, lengths, Keep::All, Some(&[end]), never()).unwrap();
                    assert_eq!(ended.paths(end, never()).unwrap().count(), expected.len());
                }
            }
        });
    }
}

#[test]
fn searches_from_both_ends_find_the_same_paths() {
    for model in tiny(100).chain(shapes()).filter(|model| model.vertices > 0) {
        let ends = [(0, model.vertices - 1), (model.vertices / 2, model.vertices / 3), (0, 0)];
        each_view(&model, |forward, reverse| {
            for (source, target) in ends {
                let lengths = Lengths { min: 0, max: NONE };
                let expected = shortest(forward, source, lengths, Keep::All, Some(&[target]), never()).unwrap();
                let found = between(forward, reverse, source, target, NONE, never()).unwrap();
                assert_eq!(found.as_ref().map(|found| found.length), expected.length(target), "{}", model.name);
                let Some(found) = found else { continue };
                let all = |paths: crate::Paths| paths.take(1000).map(Result::unwrap).collect::<BTreeSet<_>>();
                let (paths, expected) = (all(found.paths(never())), all(expected.paths(target, never()).unwrap()));
                assert_eq!(paths.len(), expected.len());
                assert!(paths.len() == 1000 || paths == expected);
                assert!(is_path(forward, source, &found.path(), target));
                assert_eq!(found.path().len() as u32, found.length);
                let bounded = |max| between(forward, reverse, source, target, max, never()).unwrap().is_some();
                assert!(bounded(found.length) && (found.length == 0 || !bounded(found.length - 1)));
            }
        });
    }
}

#[test]
fn numbers_of_shortest_paths_may_be_astronomical() {
    // A ladder of diamonds: 2^40 shortest paths.
    let diamond = |k: u32| [(3 * k, 3 * k + 1), (3 * k, 3 * k + 2), (3 * k + 1, 3 * k + 3), (3 * k + 2, 3 * k + 3)];
    let (csr, _) = Model::new("diamonds", 121, (0..40).flat_map(diamond).collect()).csr();
    let view = View::new(121, vec![Part::new(&csr)]);
    let found = shortest(&view, 0, Lengths { min: 1, max: NONE }, Keep::All, Some(&[120]), never()).unwrap();
    let first: BTreeSet<_> = found.paths(120, never()).unwrap().take(1000).map(Result::unwrap).collect();
    assert_eq!(first.len(), 1000);
    assert!(first.iter().all(|path| path.len() == 80 && is_path(&view, 0, path, 120)));
}

#[test]
fn paths_stop() {
    let (csr, _) = Model::new("complete", 30, (0..900).map(|k| (k / 30, k % 30)).collect()).csr();
    let view = View::new(30, vec![Part::new(&csr)]);
    let mut walks = Walks::new(&view, Mode::Acyclic, Lengths { min: 29, max: 29 }, &|| true);
    walks.start(0);
    let stopped = (0..10_000).map(|_| walks.next().map(|_| ())).find(Result::is_err);
    assert_eq!(stopped, Some(Err(Error::Stopped)));
}
