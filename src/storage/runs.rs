//! Segments that overlap: which of them to merge.
//!
//! A key is looked for in every block that can have it, so lookups cost as much as blocks lie over one another. Segments are merged by
//! size tiers, as in log-structured merge trees: where [`DEPTH_MAX`] blocks of segments of about one size lie over one key, those segments become
//! one, which is of the next tier. So a row is rewritten once a tier, and at most `DEPTH_MAX` blocks a tier lie over any key. Those of different partitions are
//! looked at apart: a key that has the column that parts them is in one.

use crate::error::Result;
use crate::partition::Partition;
use crate::segment::BLOCK_ROWS_MAX;
use crate::stored::StoredSegment;
use crate::table::Table;
use std::sync::Arc;

/// So many blocks over one key are too many.
const DEPTH_MAX: usize = 8;

/// A segment and the keys it lies over.
struct Run {
    segment: Arc<StoredSegment>,
    first: Vec<u8>,
    last: Vec<u8>,
    /// How many of its blocks lie over one key at most.
    depth: usize,
    tier: u32,
    partition: Partition,
}

/// Segments that lie over one another, together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    /// How many blocks lie over one key at most, about.
    pub(crate) depth: usize,
}

/// The segments among `segments` of `table` to be merged, if blocks lie too deep somewhere.
pub(crate) fn too_deep(table: &Table, segments: &[Arc<StoredSegment>]) -> Result<Option<Vec<Arc<StoredSegment>>>> {
    let runs = runs(table, segments)?;
    let mut deepest: Option<(usize, Vec<&Run>)> = None;
    for at in &runs {
        let is_beside = |run: &Run| (run.partition, run.tier) == (at.partition, at.tier);
        let over = |run: &&Run| is_beside(run) && run.first <= at.first && at.first <= run.last;
        let over: Vec<&Run> = runs.iter().filter(over).collect();
        let depth = over.iter().map(|run| run.depth).sum();
        if depth >= DEPTH_MAX && deepest.as_ref().is_none_or(|(known, _)| depth > *known) {
            deepest = Some((depth, over));
        }
    }
    Ok(deepest.map(|(_, over)| over.into_iter().map(|run| run.segment.clone()).collect()))
}

/// `segments` of `table` in groups that do not overlap. Where keys have no order each is by itself.
pub(crate) fn overlapping(table: &Table, segments: &[Arc<StoredSegment>]) -> Result<Vec<Group>> {
    let mut runs = runs(table, segments)?;
    if runs.len() < segments.len() {
        let alone = |segment: &Arc<StoredSegment>| Group { segments: vec![segment.clone()], depth: 1 };
        return Ok(segments.iter().map(alone).collect());
    }
    runs.sort_by(|a, b| (a.partition, &a.first).cmp(&(b.partition, &b.first)));
    let mut groups: Vec<Group> = vec![];
    let (mut end, mut partition): (Vec<u8>, Partition) = (vec![], None);
    for run in runs {
        match groups.last_mut() {
            Some(group) if run.partition == partition && run.first <= end => {
                group.segments.push(run.segment);
                group.depth += run.depth;
                end = end.max(run.last);
            }
            _ => {
                groups.push(Group { segments: vec![run.segment], depth: run.depth });
                (end, partition) = (run.last, run.partition);
            }
        }
    }
    Ok(groups)
}

/// What `segments` lie over; those without an order are left out.
fn runs(table: &Table, segments: &[Arc<StoredSegment>]) -> Result<Vec<Run>> {
    let Some(encoder) = &table.encoder else { return Ok(vec![]) };
    let mut runs = vec![];
    for segment in segments {
        let mut fences: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        for block in segment.segment.blocks()? {
            let (first, last) = block.fences()?;
            if first.len() != encoder.columns().len() {
                break;
            }
            let encode = |key| -> Result<Vec<u8>> { Ok(encoder.encode_prefix(key)?.get(0).to_vec()) };
            fences.push((encode(first)?, encode(last)?));
        }
        let first = fences.iter().map(|fence| &fence.0).min();
        let last = fences.iter().map(|fence| &fence.1).max();
        if let (Some(first), Some(last)) = (first, last) {
            let over = |key: &[u8]| fences.iter().filter(|f| f.0.as_slice() <= key && key <= f.1.as_slice()).count();
            let depth = fences.iter().map(|fence| over(&fence.0)).max().unwrap_or(1);
            let blocks = segment.reference.rows.div_ceil(BLOCK_ROWS_MAX as u64).max(1);
            let (first, last) = (first.clone(), last.clone());
            let (tier, partition) = (blocks.ilog(DEPTH_MAX as u64), segment.partition(table)?);
            runs.push(Run { segment: segment.clone(), first, last, depth, tier, partition });
        }
    }
    Ok(runs)
}
