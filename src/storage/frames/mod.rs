//! The page cache: what was read from segment files, verified, and opened, kept while the memory budget allows.
//!
//! A *frame* holds one thing read from a segment at one offset: an opened page, a chunk's opened dictionary or symbol
//! table, a block footer, a segment summary, or what was found in a block. It enters the cache only after its checksum was verified and its structure
//! validated, once; from then on readers use it in place. Whoever holds the `Arc` of a frame pins it.
//!
//! The cache has no size of its own. It takes what the [`MemoryBudget`](crate::budget::MemoryBudget) has left and gives
//! it back when another consumer asks: [`Frames`] registers itself as an evictor. When even that does not make room for
//! a frame (everything is pinned or held by operators), the frame is handed out uncached and counted beyond the limit
//! until its reader drops it, so a scan never fails because the cache has no room.
//!
//! Which frames go is decided per shard by S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*,
//! SOSP 2023): see [`shard`]. It resists scans: a page read once leaves through the small queue without pushing out the
//! pages read often, and its frequency counters decay as the main queue turns.

mod pinned;
mod shard;

use crate::budget::{MemoryBudget, Reservation};
use crate::codec::{Page, Shared};
use crate::ids::SegmentId;
use crate::lookup::{KeyFilter, Tails};
use crate::segment::{BlockFooter, SegmentSummary};
use parking_lot::Mutex;
use shard::Shard;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use pinned::{Kept, Pinned};

/// Shards of the cache, each behind its own lock. A power of two.
const SHARDS: usize = 16;

/// Where the contents of a frame begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FrameKey {
    /// The file.
    pub(crate) segment: SegmentId,
    /// Offset of the first byte.
    pub(crate) offset: u64,
}

/// What a frame holds.
#[derive(Debug)]
pub(crate) enum Contents {
    /// An opened page, with the frame of the dictionary it points into.
    Page(Page, #[expect(dead_code, reason = "keeps the dictionary pinned")] Option<Arc<Frame>>),
    /// A chunk's dictionary or symbol table.
    Shared(Arc<Shared>),
    /// A block's metadata.
    Footer(Box<BlockFooter>),
    /// A segment's statistics.
    Summary(SegmentSummary),
    /// Where the groups of keys of a block end.
    Tails(Tails),
    /// Which keys a block does not have.
    Filter(KeyFilter),
}

/// Something verified and in memory; pinned as long as the `Arc` around it is held outside the cache.
#[derive(Debug)]
pub(crate) struct Frame {
    /// What it holds.
    pub(crate) contents: Contents,
    bytes: usize,
    account: Arc<Reservation>,
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.account.shrink(self.bytes);
    }
}

/// Counters of the cache since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Look-ups that found their frame.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Frames dropped to make room.
    pub evictions: u64,
    /// Bytes held by frames now.
    pub bytes: usize,
}

/// The page cache of an engine.
#[derive(Debug)]
pub struct Frames {
    shards: Vec<Mutex<Shard>>,
    account: Arc<Reservation>,
    next_victim: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl Frames {
    /// An empty cache that draws on `budget` under the name `page cache`.
    pub fn new(budget: &Arc<MemoryBudget>) -> Arc<Frames> {
        let frames = Arc::new(Frames {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            account: Arc::new(budget.register("page cache")),
            next_victim: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&frames);
        budget.register_evictor(move |bytes| weak.upgrade().map_or(0, |frames| frames.evict(bytes)));
        frames
    }

    /// Counters now.
    pub fn counters(&self) -> FrameCounters {
        FrameCounters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes: self.account.bytes(),
        }
    }

    /// The frame at `key`, if it is in memory.
    pub(crate) fn get(&self, key: FrameKey) -> Option<Arc<Frame>> {
        let found = self.shard(key).lock().get(&key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps `contents`, which take `bytes` of memory, and pins them. If another reader was faster its frame is
    /// returned.
    pub(crate) fn insert(&self, key: FrameKey, contents: Contents, bytes: usize) -> Arc<Frame> {
        let cached = self.account.try_grow(bytes).is_ok();
        if !cached {
            self.account.grow(bytes);
        }
        let frame = Arc::new(Frame { contents, bytes, account: self.account.clone() });
        if cached { self.shard(key).lock().insert(key, frame) } else { frame }
    }

    /// Drops every frame of a segment that is gone.
    pub(crate) fn forget(&self, segment: SegmentId) {
        for shard in &self.shards {
            let forgotten = shard.lock().forget(segment);
            drop(forgotten);
        }
    }

    /// Drops unpinned frames until `bytes` are free or none is left; answers the bytes freed.
    fn evict(&self, bytes: usize) -> usize {
        let mut freed = 0;
        let first = self.next_victim.fetch_add(1, Ordering::Relaxed);
        let share = bytes.div_ceil(4);
        // Two rounds: a fair share of each shard first, then whatever is still missing.
        for (step, wanted) in (0..2 * SHARDS).map(|step| (step, if step < SHARDS { share } else { bytes })) {
            if freed >= bytes {
                break;
            }
            let wanted = wanted.min(bytes - freed);
            let evicted = self.shards[(first + step) % SHARDS].lock().evict(wanted);
            self.evictions.fetch_add(evicted.len() as u64, Ordering::Relaxed);
            freed += evicted.iter().map(|frame| frame.bytes).sum::<usize>();
        }
        freed
    }

    fn shard(&self, key: FrameKey) -> &Mutex<Shard> {
        let mixed = (key.offset ^ key.segment.0.rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.shards[(mixed >> 60) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_BYTES: usize = 1000;

    fn key(segment: u64, index: u64) -> FrameKey {
        FrameKey { segment: SegmentId(segment), offset: index * 64 }
    }

    fn insert(frames: &Frames, key: FrameKey) -> Arc<Frame> {
        frames.insert(key, Contents::Summary(SegmentSummary::default()), FRAME_BYTES)
    }

    #[test]
    fn frames_stay_within_the_budget_and_go_when_others_need_memory() {
        let budget = MemoryBudget::new(100 * FRAME_BYTES);
        let frames = Frames::new(&budget);
        for index in 0..1000 {
            insert(&frames, key(1, index));
            assert!(budget.used_bytes() <= budget.limit_bytes());
        }
        assert!(frames.counters().bytes > 80 * FRAME_BYTES);
        let sort = budget.register("sort");
        sort.try_grow(budget.limit_bytes()).unwrap();
        assert_eq!(frames.counters().bytes, 0);
        assert!((0..1000).all(|index| frames.get(key(1, index)).is_none()));
    }

    #[test]
    fn frames_used_often_survive_a_scan() {
        let budget = MemoryBudget::new(400 * FRAME_BYTES);
        let frames = Frames::new(&budget);
        for round in 0..20 {
            for index in 0..100 {
                if frames.get(key(1, index)).is_none() {
                    insert(&frames, key(1, index));
                }
            }
            for index in 0..30 {
                insert(&frames, key(2, round * 30 + index));
            }
        }
        for index in 0..5000 {
            insert(&frames, key(3, index));
        }
        let survivors = (0..100).filter(|index| frames.get(key(1, *index)).is_some()).count();
        assert!(survivors >= 90, "{survivors} of 100");
        let scanned = (0..5000).filter(|index| frames.get(key(3, *index)).is_some()).count();
        assert!(scanned < 310, "{scanned}");
    }

    #[test]
    fn pinned_frames_are_never_dropped() {
        let budget = MemoryBudget::new(50 * FRAME_BYTES);
        let frames = Frames::new(&budget);
        let pinned: Vec<Arc<Frame>> = (0..40).map(|index| insert(&frames, key(1, index))).collect();
        for index in 0..500 {
            insert(&frames, key(2, index));
        }
        for (index, frame) in pinned.iter().enumerate() {
            assert!(Arc::ptr_eq(&frames.get(key(1, index as u64)).unwrap(), frame));
        }
        let sort = budget.register("sort");
        assert!(sort.try_grow(11 * FRAME_BYTES).is_err());
        drop(pinned);
        sort.try_grow(50 * FRAME_BYTES).unwrap();
    }

    #[test]
    fn a_frame_that_finds_no_room_is_handed_out_and_not_kept() {
        let budget = MemoryBudget::new(10 * FRAME_BYTES);
        let frames = Frames::new(&budget);
        let sort = budget.register("sort");
        sort.try_grow(10 * FRAME_BYTES).unwrap();
        let frame = insert(&frames, key(1, 1));
        assert_eq!(budget.used_bytes(), 11 * FRAME_BYTES);
        assert!(frames.get(key(1, 1)).is_none());
        drop(frame);
        assert_eq!(budget.used_bytes(), 10 * FRAME_BYTES);
    }

    #[test]
    fn a_forgotten_segment_leaves_nothing() {
        let budget = MemoryBudget::new(1 << 20);
        let frames = Frames::new(&budget);
        for index in 0..100 {
            insert(&frames, key(1 + index % 2, index));
        }
        frames.forget(SegmentId(1));
        assert_eq!(frames.counters().bytes, 50 * FRAME_BYTES);
        assert!((0..100).all(|index| frames.get(key(1 + index % 2, index)).is_some() == (index % 2 == 1)));
    }

    #[test]
    fn readers_and_evictions_may_race() {
        let budget = MemoryBudget::new(64 * FRAME_BYTES);
        let frames = Frames::new(&budget);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (frames, budget) = (&frames, &budget);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let operator = budget.register("operator");
                    let mut held = std::collections::VecDeque::new();
                    for _ in 0..20_000 {
                        let key = key(random.u64(0..3), random.u64(0..200));
                        held.push_back(frames.get(key).unwrap_or_else(|| insert(frames, key)));
                        if held.len() > 4 {
                            held.pop_front();
                        }
                        match random.u32(0..100) {
                            0 => frames.forget(SegmentId(random.u64(0..3))),
                            1..5 => {
                                let _ = operator.try_grow(random.usize(0..20) * FRAME_BYTES);
                            }
                            5..10 => operator.shrink(operator.bytes()),
                            _ => {}
                        }
                    }
                });
            }
        });
        let operator = budget.register("operator");
        operator.try_grow(budget.limit_bytes()).unwrap();
        assert_eq!((frames.counters().bytes, budget.used_bytes()), (0, budget.limit_bytes()));
    }
}
