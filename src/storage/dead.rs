//! Which rows of a table's blocks are deleted: masks by block, persistent, so that every layout has its own.
//!
//! A block never changes; that some of its rows are deleted is said beside it. Changing [`DeadRows`] copies the words of
//! the zones touched, 1 KiB each, and shares all others with the layouts before: a snapshot keeps the masks it was
//! taken with, and the ones nobody can see any more go with the last snapshot that could.

use crate::codec::Mask;
use crate::ids::SegmentId;
use crate::segment::ZONE_ROWS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Words of the mask of a zone.
const ZONE_WORDS: usize = ZONE_ROWS / 64;

/// A block, wherever it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BlockId {
    /// In a segment file, by its number there.
    Stored(SegmentId, u32),
    /// In memory.
    Mem(u64),
}

/// The deleted rows of one block: a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadMask {
    zones: Vec<Option<Arc<[u64; ZONE_WORDS]>>>,
    rows: usize,
}

impl DeadMask {
    /// Rows deleted.
    pub(crate) fn count(&self) -> usize {
        self.rows
    }

    /// Whether `row` is deleted.
    pub(crate) fn contains(&self, row: usize) -> bool {
        let zone = self.zones.get(row / ZONE_ROWS).and_then(Option::as_ref);
        zone.is_some_and(|words| words[row % ZONE_ROWS / 64] >> (row % 64) & 1 == 1)
    }

    /// Deletes `row`; false when it was deleted already.
    pub(crate) fn insert(&mut self, row: usize) -> bool {
        let zone = row / ZONE_ROWS;
        if self.zones.len() <= zone {
            self.zones.resize(zone + 1, None);
        }
        let words = Arc::make_mut(self.zones[zone].get_or_insert_with(|| Arc::new([0; ZONE_WORDS])));
        let (word, bit) = (&mut words[row % ZONE_ROWS / 64], 1 << (row % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        self.rows += usize::from(is_new);
        is_new
    }

    /// Kills in `mask`, whose bit 0 is row `first` of the block, the deleted rows. `first` begins a zone.
    pub(crate) fn clear_in(&self, mask: &mut Mask, first: usize) {
        for (index, words) in self.zones.iter().enumerate().skip(first / ZONE_ROWS) {
            let at = index * ZONE_ROWS - first;
            if at >= mask.rows {
                break;
            }
            let Some(words) = words else { continue };
            for (alive, dead) in mask.words[at / 64..].iter_mut().zip(words.iter()) {
                *alive &= !dead;
            }
        }
    }

    /// Whether no row is deleted in both.
    pub(crate) fn is_disjoint(&self, other: &DeadMask) -> bool {
        let both = self.zones.iter().zip(&other.zones).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
        both.into_iter().all(|(a, b)| a.iter().zip(b.iter()).all(|(a, b)| a & b == 0))
    }

    /// The deleted rows, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let zones = self.zones.iter().enumerate().filter_map(|(zone, words)| Some((zone, words.as_ref()?)));
        zones.flat_map(|(zone, words)| {
            words.iter().enumerate().flat_map(move |(index, word)| {
                let first = zone * ZONE_ROWS + index * 64;
                std::iter::successors((*word != 0).then_some(*word), |word| Some(word & (word - 1)).filter(|w| *w != 0))
                    .map(move |word| first + word.trailing_zeros() as usize)
            })
        })
    }

    /// The words of each zone with deleted rows, by its number.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (usize, &[u64])> {
        let zones = self.zones.iter().enumerate();
        zones.filter_map(|(zone, words)| words.as_ref().map(|words| (zone, words.as_slice())))
    }

    /// Adds all of `other`; answers how many were deleted by neither before.
    fn extend(&mut self, other: &DeadMask) -> usize {
        if self.zones.len() < other.zones.len() {
            self.zones.resize(other.zones.len(), None);
        }
        let before = self.rows;
        for (mine, theirs) in self.zones.iter_mut().zip(&other.zones) {
            match (mine.as_mut(), theirs) {
                (_, None) => {}
                (None, Some(theirs)) => {
                    self.rows += theirs.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                    *mine = Some(theirs.clone());
                }
                (Some(mine), Some(theirs)) => {
                    for (mine, theirs) in Arc::make_mut(mine).iter_mut().zip(theirs.iter()) {
                        self.rows += (theirs & !*mine).count_ones() as usize;
                        *mine |= theirs;
                    }
                }
            }
        }
        self.rows - before
    }
}

/// The deleted rows of all blocks of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeadRows {
    blocks: BTreeMap<BlockId, Arc<DeadMask>>,
    rows: u64,
}

impl DeadRows {
    /// Rows deleted.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The deleted rows of a block; `None` when there are none.
    pub(crate) fn of(&self, block: BlockId) -> Option<&Arc<DeadMask>> {
        self.blocks.get(&block)
    }

    /// Rows deleted of a segment.
    pub(crate) fn of_segment(&self, segment: SegmentId) -> u64 {
        let blocks = self.blocks.range(BlockId::Stored(segment, 0)..=BlockId::Stored(segment, u32::MAX));
        blocks.map(|(_, mask)| mask.count() as u64).sum()
    }

    /// Blocks with deleted rows.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (BlockId, &Arc<DeadMask>)> {
        self.blocks.iter().map(|(block, mask)| (*block, mask))
    }

    /// Deletes a row; false when it was deleted already.
    pub(crate) fn insert(&mut self, block: BlockId, row: usize) -> bool {
        let is_new = Arc::make_mut(self.blocks.entry(block).or_default()).insert(row);
        self.rows += u64::from(is_new);
        is_new
    }

    /// Deletes all rows of `mask`; answers how many were not deleted yet.
    pub(crate) fn extend(&mut self, block: BlockId, mask: &Arc<DeadMask>) -> usize {
        let added = match self.blocks.get_mut(&block) {
            Some(mine) => Arc::make_mut(mine).extend(mask),
            None => {
                self.blocks.insert(block, mask.clone());
                mask.count()
            }
        };
        self.rows += added as u64;
        added
    }

    /// Forgets the blocks of a segment.
    pub(crate) fn remove_segment(&mut self, segment: SegmentId) {
        let blocks = self.blocks.range(BlockId::Stored(segment, 0)..=BlockId::Stored(segment, u32::MAX));
        for block in blocks.map(|(block, _)| *block).collect::<Vec<_>>() {
            self.remove(block);
        }
    }

    /// Forgets a block.
    pub(crate) fn remove(&mut self, block: BlockId) -> Option<Arc<DeadMask>> {
        let mask = self.blocks.remove(&block)?;
        self.rows -= mask.count() as u64;
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn masks_agree_with_a_set_and_copies_keep_what_they_had() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut mask, mut set) = (DeadMask::default(), BTreeSet::new());
        let mut copies = vec![];
        for step in 0..5000 {
            let row = random.usize(..122_880);
            assert_eq!(mask.insert(row), set.insert(row));
            if step % 1000 == 0 {
                copies.push((mask.clone(), set.clone()));
            }
        }
        copies.push((mask, set));
        for (mask, set) in &copies {
            assert_eq!(mask.count(), set.len());
            assert!(mask.iter().eq(set.iter().copied()));
            let first = 3 * ZONE_ROWS;
            let mut alive = Mask::all(5 * ZONE_ROWS - 77);
            mask.clear_in(&mut alive, first);
            for row in 0..alive.rows {
                assert_eq!(alive.get(row), !set.contains(&(first + row)), "row {row}");
            }
            assert_eq!(alive.count(), (0..alive.rows).filter(|row| alive.get(*row)).count());
        }
        let (mut all, (last, set)) = (DeadRows::default(), copies.last().unwrap());
        let block = BlockId::Mem(1);
        for (mask, _) in &copies {
            all.extend(block, &Arc::new(mask.clone()));
        }
        assert_eq!(all.rows(), set.len() as u64);
        assert_eq!(**all.of(block).unwrap(), *last);
        assert!(all.remove(block).is_some() && all.rows() == 0);
    }
}
