//! PageRank beside its definition.

use super::model::large;
use super::*;
use crate::{PageRank, pagerank};

fn expected(model: &Model, damping: f64, iterations: u32) -> Vec<f64> {
    let n = model.vertices as usize;
    let mut degrees = vec![0.0; n];
    model.edges.iter().for_each(|&(from, _)| degrees[from as usize] += 1.0);
    let mut ranks = vec![1.0 / n as f64; n];
    for _ in 0..iterations {
        let dangling: f64 = (0..n).filter(|&v| degrees[v] == 0.0).map(|v| ranks[v]).sum();
        let mut next = vec![(1.0 - damping) / n as f64 + damping * dangling / n as f64; n];
        for &(from, to) in &model.edges {
            next[to as usize] += damping * ranks[from as usize] / degrees[from as usize];
        }
        ranks = next;
    }
    ranks
}

#[test]
fn ranks_follow_the_definition() {
    for model in shapes().into_iter().chain([large()]) {
        let expected = expected(&model, 0.8, 13);
        each_view(&model, |forward, reverse| {
            let options = PageRank { damping: 0.8, tolerance: 0.0, iterations_max: 13 };
            let ranks = pagerank(forward, reverse, options, 2, never()).unwrap();
            assert_eq!(ranks.iterations, if model.vertices > 0 { 13 } else { 0 });
            for (rank, expected) in ranks.ranks.iter().zip(&expected) {
                assert!((rank - expected).abs() < 1e-12, "{}", model.name);
            }
            assert_eq!(pagerank(forward, reverse, options, 1, never()).unwrap(), ranks);
        });
    }
}

#[test]
fn iterations_end_when_little_changes() {
    each_view(&large(), |forward, reverse| {
        let ranks = pagerank(forward, reverse, PageRank::default(), 2, never()).unwrap();
        assert!(ranks.change < 1e-6 && ranks.iterations < 100);
        assert!((ranks.ranks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    });
}
