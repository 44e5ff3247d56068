//! Graphs as lists of edges, which plain code in tests goes through, and as the views that algorithms see.

use crate::{Bitmap, Csr, Part, Stop, View};
use fastrand::Rng;

/// Never stops.
pub(super) fn never() -> Stop<'static> {
    &|| false
}

/// A graph as a list.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) vertices: u32,
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) weights: Vec<f64>,
}

impl Model {
    pub(super) fn new(name: &str, vertices: u32, edges: Vec<(u32, u32)>) -> Model {
        let weights = vec![1.0; edges.len()];
        Model { name: name.to_string(), vertices, edges, weights }
    }

    /// The same with small whole numbers as weights: sums of such are exact, so that equal lengths are equal.
    pub(super) fn weighted(mut self, rng: &mut Rng, least: i32) -> Model {
        self.weights = self.edges.iter().map(|_| f64::from(rng.i32(least..8))).collect();
        self
    }

    pub(super) fn csr(&self) -> (Csr, Csr) {
        let (sources, targets): (Vec<u32>, Vec<u32>) = self.edges.iter().copied().unzip();
        let build = |a, b| Csr::build(self.vertices, a, b, 2, never()).unwrap();
        (build(&sources, &targets), build(&targets, &sources))
    }

    /// Edges both ways, as those of an undirected graph.
    pub(super) fn both_ways(&self) -> Model {
        let mut both = self.clone();
        both.edges.extend(self.edges.iter().map(|&(a, b)| (b, a)));
        both.weights.extend(&self.weights);
        both
    }
}

/// Calls `check` with the forward and the reverse view of `model`: as one part; and as three, of which one knows fewer
/// vertices, and some have edges that are not alive.
pub(super) fn each_view(model: &Model, check: impl Fn(&View, &View)) {
    let (out, back) = model.csr();
    let one = |csr| View::new(model.vertices, vec![Part { weights: Some(&model.weights), ..Part::new(csr) }]);
    check(&one(&out), &one(&back));

    let mut rng = Rng::with_seed(model.edges.len() as u64);
    let mut pieces = vec![Model::new("", model.vertices, vec![]); 3];
    pieces[1].vertices = model.vertices / 2;
    let mut live: Vec<Vec<bool>> = vec![vec![]; 3];
    for (&(source, target), &weight) in model.edges.iter().zip(&model.weights) {
        let is_low = source.max(target) < pieces[1].vertices;
        let piece = if is_low { rng.usize(0..3) } else { 2 * rng.usize(0..2) };
        let mut add = |ends, weight, is_live| {
            pieces[piece].edges.push(ends);
            pieces[piece].weights.push(weight);
            live[piece].push(is_live);
        };
        // The first piece has no mask.
        if piece > 0 && rng.bool() {
            let bound = if piece == 1 { model.vertices / 2 } else { model.vertices };
            add((rng.u32(0..bound), rng.u32(0..bound)), -1.0, false);
        }
        add((source, target), weight, true);
    }
    let masks: Vec<Bitmap> = live
        .iter()
        .map(|live| {
            let mut mask = Bitmap::new(live.len() as u32);
            (0..live.len()).filter(|&edge| live[edge]).for_each(|edge| mask.set(edge as u32));
            mask
        })
        .collect();
    let (outs, backs): (Vec<Csr>, Vec<Csr>) = pieces.iter().map(Model::csr).unzip();
    let several = |csrs: &[Csr], check: &dyn Fn(View)| {
        let part = |set: usize| Part {
            csr: &csrs[set],
            set: set as u32,
            live: (set > 0).then(|| &masks[set]),
            weights: Some(&pieces[set].weights),
        };
        check(View::new(model.vertices, (0..3).map(part).collect()));
    };
    several(&outs, &|forward| several(&backs, &|reverse| check(&forward, &reverse)));
}

/// Graphs of many shapes.
pub(super) fn shapes() -> Vec<Model> {
    let mut rng = Rng::with_seed(7);
    let random = |rng: &mut Rng, n: u32, m: usize| (0..m).map(|_| (rng.u32(0..n), rng.u32(0..n))).collect::<Vec<_>>();
    let power = |rng: &mut Rng, n: u32, m: usize| -> Vec<(u32, u32)> {
        let source = |rng: &mut Rng| (3.0 * (1.0 - rng.f64()).powf(-1.0 / 1.2)) as u32 % n;
        (0..m).map(|_| (source(rng), rng.u32(0..n))).collect()
    };
    let grid = |side: u32| -> Vec<(u32, u32)> {
        let at = |x: u32, y: u32| y * side + x;
        let across = (0..side).flat_map(|y| (1..side).map(move |x| (at(x - 1, y), at(x, y))));
        let down = (1..side).flat_map(|y| (0..side).map(move |x| (at(x, y - 1), at(x, y))));
        across.chain(down).collect()
    };
    let cliques = (0..4).flat_map(|k| (0..6).flat_map(move |a| (0..a).map(move |b| (k * 6 + a, k * 6 + b))));
    vec![
        Model::new("nothing", 0, vec![]),
        Model::new("one vertex", 1, vec![]),
        Model::new("one loop", 1, vec![(0, 0), (0, 0)]),
        Model::new("two vertices", 2, vec![(1, 0)]),
        Model::new("no edges", 70, vec![]),
        Model::new("line", 40, (1..40).map(|v| (v - 1, v)).collect()),
        Model::new("ring", 33, (0..33).map(|v| (v, (v + 1) % 33)).collect()),
        Model::new("star out", 50, (1..50).map(|v| (0, v)).collect()),
        Model::new("star in", 50, (0..49).map(|v| (v, 49)).collect()),
        Model::new("grid", 81, grid(9)),
        Model::new("cliques", 24, cliques.chain([(0, 6), (6, 12), (12, 18)]).collect()),
        Model::new("two rings", 20, (0..20).map(|v| (v, if v % 10 == 9 { v - 9 } else { v + 1 })).collect()),
        Model::new("sparse", 200, random(&mut rng, 200, 150)),
        Model::new("random", 100, random(&mut rng, 100, 400)),
        Model::new("dense with parallel edges", 12, random(&mut rng, 12, 200)),
        Model::new("power law", 300, power(&mut rng, 300, 2000)),
    ]
}

/// Graphs small enough to try everything: so many, or many more if `LIGHTNING_LONG` is set.
pub(super) fn tiny(count: u64) -> impl Iterator<Item = Model> {
    let times = if std::env::var_os("LIGHTNING_LONG").is_some() { 50 } else { 1 };
    (0..count * times).map(|seed| {
        let mut rng = Rng::with_seed(seed);
        let n = rng.u32(1..7);
        let m = rng.usize(0..12);
        Model::new(&format!("tiny {seed}"), n, (0..m).map(|_| (rng.u32(0..n), rng.u32(0..n))).collect())
    })
}

/// One large enough for all paths through parallel code.
pub(super) fn large() -> Model {
    let mut rng = Rng::with_seed(11);
    let n = 30_000;
    let source = |rng: &mut Rng| (300.0 * (1.0 - rng.f64()).powf(-1.0 / 1.2)) as u32 % n;
    Model::new("large", n, (0..200_000).map(|_| (source(&mut rng), rng.u32(0..n))).collect())
}
