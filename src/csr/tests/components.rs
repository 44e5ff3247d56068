//! Components beside repainting.

use super::model::{large, tiny};
use super::*;
use crate::{Visit, scc, wcc};

#[test]
fn weak_components_have_their_smallest_vertex_as_name() {
    for model in shapes().into_iter().chain([large()]) {
        let mut names: Vec<u32> = (0..model.vertices).collect();
        loop {
            let mut is_done = true;
            for &(a, b) in &model.edges {
                let low = names[a as usize].min(names[b as usize]);
                is_done &= names[a as usize] == low && names[b as usize] == low;
                names[a as usize] = low;
                names[b as usize] = low;
            }
            if is_done {
                break;
            }
        }
        each_view(&model, |forward, reverse| {
            for threads in [1, 2] {
                assert_eq!(wcc(forward, reverse, threads, never()).unwrap(), names, "{}", model.name);
            }
        });
    }
}

#[test]
fn strong_components_are_those_of_petgraph() {
    for model in shapes().into_iter().chain(tiny(100)).chain([large()]) {
        each_view(&model, |forward, reverse| {
            let mut names = vec![0; model.vertices as usize];
            for component in petgraph::algo::kosaraju_scc(Visit { forward, reverse }) {
                let name = *component.iter().min().unwrap();
                component.into_iter().for_each(|vertex| names[vertex as usize] = name);
            }
            assert_eq!(scc(forward, reverse, 2, never()).unwrap(), names, "{}", model.name);
        });
    }
}
