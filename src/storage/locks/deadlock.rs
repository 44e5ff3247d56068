//! Looks for circles of owners that wait for each other, from the one that begins to wait.
//!
//! An owner waits for those who hold a conflicting mode of what it waits for, and for those before it in the queue with a
//! conflicting mode. The search goes breadth first along these edges, so the circle it reports is a shortest one.
//!
//! A queue of a thousand owners for one key has half a million such edges. Those that cannot lead anywhere new are left out: who waits
//! for the same thing in the same mode further ahead is blocked by nobody who does not block this one, too (except by
//! this one, if it also holds the thing). So a search through one long queue takes one step a waiter.

use super::error::WaitEdge;
use super::mode::LockMode;
use super::resource::{LockOwner, Resource};
use super::table::{Locks, Waits};
use hashbrown::HashMap;

/// How far the queue of a thing was gone through on behalf of a mode.
type Seen = HashMap<(Resource, LockMode), usize>;

impl Locks {
    /// The circle that `start`, which has just entered a queue, closes by waiting.
    pub(super) fn find_cycle(&self, waits: &Waits, start: LockOwner) -> Option<Vec<WaitEdge>> {
        let mut reached_from: HashMap<LockOwner, LockOwner> = HashMap::new();
        let mut seen = Seen::new();
        let mut pending = vec![start];
        let mut at = 0;
        while let Some(&owner) = pending.get(at) {
            at += 1;
            for blocker in self.blockers(waits, owner, start, &mut seen) {
                if blocker == start {
                    return Some(edges(waits, &reached_from, owner, start));
                }
                if waits.contains_key(&blocker) && !reached_from.contains_key(&blocker) {
                    reached_from.insert(blocker, owner);
                    pending.push(blocker);
                }
            }
        }
        None
    }

    /// Those who block `owner`, without those from whom nothing new can be reached.
    fn blockers(&self, waits: &Waits, owner: LockOwner, start: LockOwner, seen: &mut Seen) -> Vec<LockOwner> {
        let Some(waiting) = waits.get(&owner) else { return Vec::new() };
        let (resource, mode) = (&waiting.resource, waiting.mode);
        let hash = self.hash_of(resource);
        let shard = self.shard(hash).lock();
        let Some(entry) = shard.find(hash, |entry| entry.resource == *resource) else { return Vec::new() };
        if entry.holders.iter().any(|holder| holder.owner == owner) {
            // It does not block itself, but may block others who wait here: what it reaches says nothing about them.
            let place = entry.place_of(owner).unwrap_or(0);
            return entry.blockers(owner, mode, place).collect();
        }
        let before = seen.get(&(resource.clone(), mode)).copied();
        if before.is_some_and(|place| place + 1 >= entry.queue.len()) {
            return Vec::new();
        }
        let place = entry.place_of(owner).unwrap_or(0);
        if before.is_some_and(|before| before >= place) {
            return Vec::new();
        }
        seen.insert((resource.clone(), mode), place);
        let conflicts = mode.conflicts();
        let holders = entry.holders.iter().filter(|holder| holder.modes.meets(conflicts));
        let waiters = entry.queue[..place]
            .iter()
            .filter(|waiter| conflicts.meets(waiter.mode.as_set()) && (waiter.mode != mode || waiter.owner == start));
        holders.map(|holder| holder.owner).chain(waiters.map(|waiter| waiter.owner)).collect()
    }
}

/// The circle from `start` to `last` and back.
fn edges(
    waits: &Waits,
    reached_from: &HashMap<LockOwner, LockOwner>,
    last: LockOwner,
    start: LockOwner,
) -> Vec<WaitEdge> {
    let mut edges = Vec::new();
    let mut blocked_by = start;
    let mut owner = last;
    loop {
        if let Some(waiting) = waits.get(&owner) {
            let Resource { table, key } = &waiting.resource;
            let key = key.as_deref().map(Box::from);
            edges.push(WaitEdge { owner, blocked_by, table: *table, key, mode: waiting.mode });
        }
        if owner == start {
            break;
        }
        blocked_by = owner;
        owner = reached_from.get(&owner).copied().unwrap_or(start);
    }
    edges.reverse();
    edges
}
