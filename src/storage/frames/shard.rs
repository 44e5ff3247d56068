//! One shard of the page cache: S3-FIFO over frames of different sizes.
//!
//! New frames enter the *small* queue (about a tenth of the bytes). At its end a frame that was used again moves to the
//! *main* queue, any other leaves and only its key is remembered in the *ghost* queue; a frame whose key is still there
//! when it is read again goes straight to main. Main is a FIFO with second chances: a frame that was used since goes
//! round again with its counter (at most 3) one lower. A hit only raises the counter, nothing moves.
//!
//! What must always hold: every entry of the map is in exactly one queue, every key of a queue is in the map (keys of
//! forgotten segments leave both at once), and a pinned frame is never dropped from the cache.

use super::{Frame, FrameKey};
use crate::ids::SegmentId;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::sync::Arc;

/// Highest value of a use counter.
const USES_MAX: u8 = 3;
/// Keys the ghost queue remembers at least.
const GHOSTS_MIN: usize = 64;

/// One shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: HashMap<FrameKey, Entry>,
    small: VecDeque<FrameKey>,
    main: VecDeque<FrameKey>,
    ghost: VecDeque<FrameKey>,
    ghosts: HashSet<FrameKey>,
    small_bytes: usize,
    main_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    frame: Arc<Frame>,
    uses: u8,
}

impl Shard {
    /// The frame at `key`.
    pub(super) fn get(&mut self, key: &FrameKey) -> Option<Arc<Frame>> {
        let entry = self.entries.get_mut(key)?;
        entry.uses = (entry.uses + 1).min(USES_MAX);
        Some(entry.frame.clone())
    }

    /// Adds a frame unless the key is there already; returns the one that is kept.
    pub(super) fn insert(&mut self, key: FrameKey, frame: Arc<Frame>) -> Arc<Frame> {
        if let Some(entry) = self.entries.get(&key) {
            return entry.frame.clone();
        }
        if self.ghosts.remove(&key) {
            self.main.push_back(key);
            self.main_bytes += frame.bytes;
        } else {
            self.small.push_back(key);
            self.small_bytes += frame.bytes;
        }
        self.entries.insert(key, Entry { frame: frame.clone(), uses: 0 });
        frame
    }

    /// Takes frames worth `bytes` out, unpinned ones only. The caller drops them after the shard's lock is released.
    pub(super) fn evict(&mut self, bytes: usize) -> Vec<Arc<Frame>> {
        let mut evicted = Vec::new();
        let mut freed = 0;
        // Every entry can go round main USES_MAX times before it leaves; pinned ones would go round for ever.
        let mut steps = self.entries.len() * (usize::from(USES_MAX) + 2);
        while freed < bytes && steps > 0 && !self.entries.is_empty() {
            steps -= 1;
            let from_small = self.main.is_empty() || self.small_bytes * 9 >= self.main_bytes;
            let victim = if from_small && !self.small.is_empty() { self.leave_small() } else { self.leave_main() };
            if let Some(frame) = victim {
                freed += frame.bytes;
                evicted.push(frame);
            }
        }
        evicted
    }

    /// Takes everything of `segment` out.
    pub(super) fn forget(&mut self, segment: SegmentId) -> Vec<Arc<Frame>> {
        self.small.retain(|key| key.segment != segment);
        self.main.retain(|key| key.segment != segment);
        let forgotten: Vec<Arc<Frame>> =
            self.entries.extract_if(|key, _| key.segment == segment).map(|(_, entry)| entry.frame).collect();
        let size = |keys: &VecDeque<FrameKey>| keys.iter().map(|key| self.entries[key].frame.bytes).sum();
        (self.small_bytes, self.main_bytes) = (size(&self.small), size(&self.main));
        forgotten
    }

    /// The oldest frame of the small queue goes to main (used again, or pinned) or out.
    fn leave_small(&mut self) -> Option<Arc<Frame>> {
        let key = self.small.pop_front()?;
        let entry = self.entries.get_mut(&key).expect("queued keys are in the map");
        let bytes = entry.frame.bytes;
        self.small_bytes -= bytes;
        if entry.uses > 1 || Arc::strong_count(&entry.frame) > 1 {
            entry.uses = 0;
            self.main.push_back(key);
            self.main_bytes += bytes;
            return None;
        }
        self.remember(key);
        self.entries.remove(&key).map(|entry| entry.frame)
    }

    /// The oldest frame of the main queue goes round again (used since, or pinned) or out.
    fn leave_main(&mut self) -> Option<Arc<Frame>> {
        let key = self.main.pop_front()?;
        let entry = self.entries.get_mut(&key).expect("queued keys are in the map");
        if entry.uses > 0 || Arc::strong_count(&entry.frame) > 1 {
            entry.uses = entry.uses.saturating_sub(1);
            self.main.push_back(key);
            return None;
        }
        self.main_bytes -= entry.frame.bytes;
        self.entries.remove(&key).map(|entry| entry.frame)
    }

    /// Remembers the key of a frame that left the small queue; no more keys than main has frames.
    fn remember(&mut self, key: FrameKey) {
        if self.ghosts.insert(key) {
            self.ghost.push_back(key);
        }
        let keep = self.main.len().max(GHOSTS_MIN);
        while self.ghost.len() > keep {
            if let Some(oldest) = self.ghost.pop_front() {
                self.ghosts.remove(&oldest);
            }
        }
    }
}
