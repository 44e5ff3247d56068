//! The path of least weight between two given vertices, searched from both (Nicholson 1966, Pohl 1971).
//!
//! Two balls grow, one around the source and one, against the edges, around the target. A vertex in both makes a path;
//! the best such path is the best of all as soon as the two radii together are no less than its weight: any other would
//! leave both balls.

use crate::ball::Ball;
use crate::error::{Result, Steps, Stop};
use crate::view::{NONE, Step, View};

/// A path and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedPath {
    /// What its edges weigh.
    pub weight: f64,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl WeightedPath {
    /// Weighed from the start, so that a path weighs the same however it was found.
    pub(crate) fn new(view: &View, steps: Vec<Step>) -> WeightedPath {
        WeightedPath { weight: steps.iter().fold(0.0, |sum, &step| sum + view.weight(step)), steps }
    }
}

/// A path of least weight from `source` to `target`; `None` when there is none. Edges that the search meets must not
/// weigh less than nothing.
pub fn lightest(forward: &View, reverse: &View, source: u32, target: u32, stop: Stop) -> Result<Option<WeightedPath>> {
    let mut steps = Steps::new(stop);
    let (mut out, mut back) = (Ball::new(source), Ball::new(target));
    let middle = meet(forward, reverse, &mut out, &mut back, if source == target { source } else { NONE }, &mut steps)?;
    let Some(middle) = middle else { return Ok(None) };
    let mut path: Vec<Step> = out.back(middle).map(|(_, step)| step).collect();
    path.reverse();
    path.extend(back.back(middle).map(|(vertex, step)| Step { vertex, ..step }));
    Ok(Some(WeightedPath::new(forward, path)))
}

/// Lets two balls grow until the best path through both is known; a vertex of it. `common` is one they share already.
pub(crate) fn meet(
    forward: &View,
    reverse: &View,
    out: &mut Ball,
    back: &mut Ball,
    common: u32,
    steps: &mut Steps,
) -> Result<Option<u32>> {
    let mut best = if common == NONE { (f64::INFINITY, NONE) } else { (0.0, common) };
    loop {
        let (near, far) = (out.radius(), back.radius());
        // One that has met all it can reach has met the other's centre, if it can.
        if near + far >= best.0 {
            return Ok((best.1 != NONE).then_some(best.1));
        }
        let (own, other, view) =
            if out.rim() <= back.rim() { (&mut *out, &*back, forward) } else { (&mut *back, &*out, reverse) };
        own.grow(view, steps, |vertex, weight| {
            let total = weight + other.weight(vertex);
            if total < best.0 {
                best = (total, vertex);
            }
        })?;
    }
}
