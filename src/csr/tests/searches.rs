//! Breadth-first searches beside a queue.

use super::model::large;
use super::*;
use crate::{Error, NONE, Near, Neighbourhood, Search, View, bfs, bfs_parents, bfs_path};

/// Depths by relaxing edges until nothing changes.
fn depths(model: &Model, sources: &[u32], depth_max: u32) -> Vec<u32> {
    let mut depths = vec![NONE; model.vertices as usize];
    sources.iter().for_each(|&source| depths[source as usize] = 0);
    for depth in 0..depth_max {
        let mut is_done = true;
        for &(from, to) in &model.edges {
            if depths[from as usize] == depth && depths[to as usize] == NONE {
                depths[to as usize] = depth + 1;
                is_done = false;
            }
        }
        if is_done {
            break;
        }
    }
    depths
}

#[test]
fn depths_are_numbers_of_edges() {
    for model in shapes().into_iter().filter(|model| model.vertices > 0).chain([large()]) {
        let last = model.vertices - 1;
        let sets = [vec![0], vec![last], vec![0, last, 0], vec![]];
        each_view(&model, |forward, reverse| {
            for (sources, depth_max) in sets.iter().flat_map(|sources| [0, 1, 3, NONE].map(|max| (sources, max))) {
                let search = Search { depth_max, ..Search::from(sources) };
                for threads in [1, 2] {
                    let found = bfs(forward, reverse, search, threads, never()).unwrap();
                    assert_eq!(found, depths(&model, sources, depth_max), "{} from {sources:?}", model.name);
                }
            }
        });
    }
}

#[test]
fn parents_are_one_level_up() {
    for model in shapes().into_iter().filter(|model| model.vertices > 0) {
        each_view(&model, |forward, reverse| {
            let depths = bfs(forward, reverse, Search::from(&[0]), 2, never()).unwrap();
            let parents = bfs_parents(reverse, &depths, 2, never()).unwrap();
            for vertex in 0..model.vertices {
                let (depth, parent) = (depths[vertex as usize], parents[vertex as usize]);
                let path = bfs_path(reverse, &depths, vertex, never()).unwrap();
                assert_eq!(path.as_ref().map_or(NONE, |path| path.len() as u32), depth);
                assert!(path.is_none_or(|path| is_path(forward, 0, &path, vertex)));
                if depth == NONE || depth == 0 {
                    assert_eq!(parent.vertex, NONE);
                } else {
                    assert_eq!(depths[parent.vertex as usize], depth - 1);
                    assert!(is_path(forward, parent.vertex, &[crate::Step { vertex, ..parent }], vertex));
                }
            }
        });
    }
}

/// Whether steps lead from one vertex to another.
pub(super) fn is_path(view: &View, from: u32, path: &[crate::Step], to: u32) -> bool {
    let mut at = from;
    for &step in path {
        if !view.steps(at).any(|possible| possible == step) {
            return false;
        }
        at = step.vertex;
    }
    at == to
}

#[test]
fn searches_end_at_their_target() {
    let model = Model::new("line", 1000, (1..1000).map(|v| (v - 1, v)).collect());
    each_view(&model, |forward, reverse| {
        let search = Search { target: Some(5), ..Search::from(&[0]) };
        let depths = bfs(forward, reverse, search, 1, never()).unwrap();
        assert_eq!((depths[5], depths[6]), (5, NONE));
    });
}

#[test]
fn neighbourhoods_are_searches() {
    let mut near = Neighbourhood::new();
    for model in shapes().into_iter().filter(|model| model.vertices > 0).chain([large()]) {
        for (sources, depth_max) in
            [(vec![0], 2), (vec![model.vertices / 2], NONE), (vec![0, 0, model.vertices - 1], 3)]
        {
            let expected = depths(&model, &sources, depth_max);
            let near = std::cell::RefCell::new(&mut near);
            each_view(&model, |forward, _| {
                let mut near = near.borrow_mut();
                let found = near.search(forward, &sources, depth_max, never()).unwrap();
                assert!(found.is_sorted_by_key(|near| near.depth));
                let mut found = found.to_vec();
                found.sort_unstable();
                let expected = (0..).zip(&expected).filter(|&(_, &depth)| depth != NONE);
                let expected: Vec<Near> = expected.map(|(vertex, &depth)| Near { vertex, depth }).collect();
                assert_eq!(found, expected, "{}", model.name);
            });
        }
    }
}

#[test]
fn searches_stop() {
    each_view(&large(), |forward, reverse| {
        let sources: Vec<u32> = (300..400).collect();
        assert_eq!(bfs(forward, reverse, Search::from(&sources), 2, &|| true), Err(Error::Stopped));
        assert_eq!(Neighbourhood::new().search(forward, &sources, NONE, &|| true), Err(Error::Stopped));
    });
}
