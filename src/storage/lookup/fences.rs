//! Which blocks can have a key.

use crate::error::Result;
use crate::key::{EncodedKeys, KeyEncoder, KeyRange};
use crate::segment::ColumnBlock;
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use std::sync::Arc;

/// First and last keys of sorted blocks, which may overlap.
#[derive(Debug)]
pub(crate) struct Fences {
    first: EncodedKeys,
    last: EncodedKeys,
    /// Numbers of the blocks by their first keys.
    order: Vec<u32>,
    /// For each block in that order, which block up to there has the largest last key.
    furthest: Vec<u32>,
}

impl Fences {
    /// Those of `blocks`; `None` when one has none.
    pub(crate) fn of(blocks: &[Arc<ColumnBlock>], encoder: &KeyEncoder) -> Result<Option<Fences>> {
        let fences = blocks.iter().map(|block| block.fences()).collect::<Result<Vec<_>>>()?;
        if fences.is_empty() || fences.iter().any(|(first, _)| first.len() != encoder.columns().len()) {
            return Ok(None);
        }
        let encode = |keys: Vec<&[ArrayRef]>| -> Result<EncodedKeys> {
            let column = |column: usize| -> Result<ArrayRef> {
                let values: Vec<&dyn Array> = keys.iter().map(|key| key[column].as_ref()).collect();
                Ok(concat(&values)?)
            };
            encoder.encode_prefix(&(0..encoder.columns().len()).map(column).collect::<Result<Vec<_>>>()?)
        };
        let first = encode(fences.iter().map(|fence| fence.0).collect())?;
        let last = encode(fences.iter().map(|fence| fence.1).collect())?;
        let mut order: Vec<u32> = (0..blocks.len() as u32).collect();
        order.sort_by(|&a, &b| first.get(a as usize).cmp(first.get(b as usize)));
        let mut furthest: Vec<u32> = order.clone();
        for at in 1..furthest.len() {
            let before = furthest[at - 1];
            if last.get(before as usize) > last.get(furthest[at] as usize) {
                furthest[at] = before;
            }
        }
        Ok(Some(Fences { first, last, order, furthest }))
    }

    /// The blocks that can have `key`.
    pub(crate) fn around<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let end = self.order.partition_point(|&block| self.first.get(block as usize) <= key);
        let reaches = move |at: &usize| self.last.get(self.furthest[*at] as usize) >= key;
        let blocks = (0..end).rev().take_while(reaches).map(|at| self.order[at] as usize);
        blocks.filter(move |&block| self.last.get(block) >= key)
    }

    /// First and last key of a block.
    pub(crate) fn of_block(&self, block: usize) -> (&[u8], &[u8]) {
        (self.first.get(block), self.last.get(block))
    }

    /// The blocks that can have keys in `range`.
    pub(crate) fn overlapping<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = usize> + 'a {
        let is_before =
            |block: u32| range.end.as_ref().is_none_or(|end| self.first.get(block as usize) < end.as_slice());
        let end = self.order.partition_point(|&block| is_before(block));
        let reaches = |at: &usize| self.last.get(self.furthest[*at] as usize) >= range.start.as_slice();
        let blocks = (0..end).rev().take_while(reaches).map(|at| self.order[at] as usize);
        blocks.filter(|&block| self.last.get(block) >= range.start.as_slice())
    }
}
