//! Columns of edges become rows, whatever their number, and views of several parts are as one.

use super::model::large;
use super::*;
use crate::{Bitmap, Csr, Error, Part, View};

#[test]
fn slots_are_sorted_edges() {
    for model in shapes().into_iter().chain([large()]) {
        let (out, back) = model.csr();
        let sorted = |turned: bool| {
            let edges = model.edges.iter().enumerate();
            let ends = |(edge, &(a, b)): (usize, &(u32, u32))| if turned { (b, a, edge) } else { (a, b, edge) };
            let mut sorted: Vec<_> = edges.map(ends).collect();
            sorted.sort_unstable();
            sorted
        };
        for (csr, turned) in [(&out, false), (&back, true)] {
            assert_eq!((csr.vertices(), csr.edges() as usize), (model.vertices, model.edges.len()));
            let slots = (0..csr.vertices()).flat_map(|vertex| {
                assert_eq!(csr.degree(vertex) as usize, csr.targets(vertex).len());
                csr.targets(vertex)
                    .iter()
                    .zip(csr.edge_numbers(vertex))
                    .map(move |(&to, &edge)| (vertex, to, edge as usize))
            });
            assert!(slots.eq(sorted(turned)), "{}", model.name);
        }
    }
}

#[test]
fn number_of_threads_does_not_matter() {
    let (sources, targets): (Vec<u32>, Vec<u32>) = large().edges.into_iter().unzip();
    let build = |threads| Csr::build(30_000, &sources, &targets, threads, never()).unwrap();
    assert_eq!(build(1), build(3));
}

#[test]
fn memory_is_small() {
    let model = large();
    let (csr, _) = model.csr();
    assert_eq!(csr.bytes(), (30_001 + 2 * 200_000) * 4);
}

#[test]
fn unknown_vertices_are_refused() {
    let build = |sources: &[u32], targets: &[u32]| Csr::build(3, sources, targets, 1, never());
    assert_eq!(build(&[0, 1], &[2, 3]), Err(Error::UnknownVertex { edge: 1 }));
    assert_eq!(build(&[0, 4000], &[2, 3]), Err(Error::UnknownVertex { edge: 1 }));
    let mut sources = vec![0; 200_000];
    sources[199_999] = 3;
    assert_eq!(Csr::build(3, &sources, &vec![0; 200_000], 2, never()), Err(Error::UnknownVertex { edge: 199_999 }));
}

#[test]
fn building_stops() {
    assert_eq!(Csr::build(3, &[0], &[1], 1, &|| true), Err(Error::Stopped));
}

#[test]
fn views_have_all_edges_that_are_alive() {
    for model in shapes() {
        each_view(&model, |forward, reverse| {
            for (view, turned) in [(forward, false), (reverse, true)] {
                let mut found: Vec<_> = (0..model.vertices)
                    .flat_map(|v| view.steps(v).map(move |step| (v, step.vertex, view.weight(step).to_bits())))
                    .collect();
                let ends = |(&(a, b), weight): (&(u32, u32), &f64)| {
                    if turned { (b, a, weight.to_bits()) } else { (a, b, weight.to_bits()) }
                };
                let mut expected: Vec<_> = model.edges.iter().zip(&model.weights).map(ends).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{}", model.name);
                let degree = |v: u32| expected.iter().filter(|edge| edge.0 == v).count() as u32;
                assert_eq!(view.degrees(2), (0..model.vertices).map(degree).collect::<Vec<_>>());
            }
        });
    }
}

#[test]
fn bitmaps_are_sets() {
    let mut bitmap = Bitmap::full(70);
    assert_eq!((bitmap.count(), bitmap.len(), bitmap.is_empty()), (70, 70, false));
    bitmap.clear(69);
    bitmap.clear(0);
    assert_eq!((bitmap.get(69), bitmap.get(0), bitmap.get(1), bitmap.count()), (false, false, true, 68));
    bitmap.set(69);
    assert!(bitmap.get(69));
    assert!(Bitmap::new(65).is_empty() && Bitmap::full(0).is_empty());
    assert_eq!(Bitmap::full(64).count(), 64);
}

#[test]
fn views_without_parts_have_vertices() {
    assert_eq!(View::new(3, vec![]).degrees(1), [0, 0, 0]);
    let csr = Csr::empty(2);
    assert_eq!(View::new(5, vec![Part::new(&csr)]).degrees(1), [0; 5]);
}
