//! Which keys were written lately, and when: how a transaction learns that a row it has just locked is not the row it read.
//!
//! The map holds the hash of each key that a commit wrote, deleted or inserted, with the commit's timestamp. Two keys with
//! one hash look like one, which makes a statement run again or a transaction fail for nothing, once in a great while; a
//! write is never overlooked.
//!
//! The map is bounded. Each shard has a young and an old generation: when the young one is full it becomes the old one, whose
//! entries go, and the *floor* rises to the newest of them. Of a key that is not there all that is known is that
//! it was not written after the floor. Commits that write too many keys of a table to list are noted as one write of the table.

use crate::error::Result;
use crate::ids::{TableId, Timestamp};
use crate::writes::{TableWrites, WriteSet};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use std::hash::BuildHasher;

/// A power of two.
const SHARDS: usize = 16;
/// Keys of one generation of a shard; the map holds at most twice as many per shard, about 24 MiB in all.
const GENERATION_KEYS_MAX: usize = 1 << 15;
/// A commit that writes more keys of one table counts as a write of the table.
const LISTED_KEYS_MAX: u64 = 1 << 14;

/// The keys a commit writes.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    hashes: Vec<u64>,
    tables: Vec<TableId>,
    dropped: Vec<TableId>,
}

/// When keys were last written.
#[derive(Debug, Default)]
pub(crate) struct RecentWrites {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Shard>; SHARDS],
    tables: Mutex<HashMap<TableId, Timestamp>>,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, Timestamp>,
    old: HashMap<u64, Timestamp>,
    /// The newest write of a key that was forgotten.
    floor: Timestamp,
}

impl RecentWrites {
    /// The keys that `writes` changes, on the committer's thread.
    pub(crate) fn footprint(&self, writes: &WriteSet) -> Result<Footprint> {
        let mut footprint = Footprint::default();
        for (id, writes) in &writes.tables {
            if writes.dropped {
                footprint.dropped.push(*id);
                continue;
            }
            // Nobody looks for entries of an index here: who changes one changes a row.
            if writes.table.definition.index.is_some() {
                continue;
            }
            let keys = writes.deleted.rows + writes.rows.rows;
            let is_large =
                writes.truncated || !writes.cuts.is_empty() || !writes.segments.is_empty() || keys > LISTED_KEYS_MAX;
            match is_large || writes.table.encoder.is_none() {
                true => footprint.tables.push(*id),
                false => self.list(*id, writes, &mut footprint.hashes)?,
            }
        }
        Ok(footprint)
    }

    fn list(&self, id: TableId, writes: &TableWrites, hashes: &mut Vec<u64>) -> Result<()> {
        let table = &writes.table;
        let Some(encoder) = &table.encoder else { return Ok(()) };
        // Nobody can have looked for the row number of a new row.
        let inserted = if table.has_row_numbers() { &[][..] } else { &writes.rows.blocks };
        let inserted = inserted.iter().map(|block| table.key_columns(block.batch()));
        let deleted = writes.deleted.blocks.iter().map(|block| block.batch().columns().to_vec());
        for columns in inserted.chain(deleted) {
            let keys = encoder.encode_prefix(&columns)?;
            hashes.extend((0..keys.len()).map(|row| self.hash(id, keys.get(row))));
        }
        Ok(())
    }

    fn hash(&self, table: TableId, key: &[u8]) -> u64 {
        self.hasher.hash_one((table, key))
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Notes that the commit at `at` wrote `footprint`.
    pub(crate) fn note(&self, footprint: &Footprint, at: Timestamp) {
        for &hash in &footprint.hashes {
            self.shard(hash).lock().note(hash, at);
        }
        if !footprint.tables.is_empty() || !footprint.dropped.is_empty() {
            let mut tables = self.tables.lock();
            tables.extend(footprint.tables.iter().map(|table| (*table, at)));
            tables.retain(|table, _| !footprint.dropped.contains(table));
        }
    }

    /// The newest commit that may have written the key.
    pub(crate) fn newest(&self, table: TableId, key: &[u8]) -> Timestamp {
        let hash = self.hash(table, key);
        let of_key = self.shard(hash).lock().newest(hash);
        of_key.max(self.tables.lock().get(&table).copied().unwrap_or_default())
    }
}

impl Shard {
    fn note(&mut self, hash: u64, at: Timestamp) {
        if self.young.len() >= GENERATION_KEYS_MAX {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.floor = forgotten.into_values().max().unwrap_or_default().max(self.floor);
        }
        self.young.insert(hash, at);
    }

    fn newest(&self, hash: u64) -> Timestamp {
        let known = self.young.get(&hash).or_else(|| self.old.get(&hash));
        known.copied().unwrap_or(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_never_overlooked_however_many_follow() {
        let recent = RecentWrites::default();
        let table = TableId(2000);
        let write = |key: u64, at: u64| {
            let footprint = Footprint { hashes: vec![recent.hash(table, &key.to_be_bytes())], ..Footprint::default() };
            recent.note(&footprint, Timestamp(at));
        };
        let keys = 4 * (SHARDS * GENERATION_KEYS_MAX) as u64;
        for key in 0..keys {
            write(key, key + 1);
        }
        for key in (0..keys).step_by(997) {
            assert!(recent.newest(table, &key.to_be_bytes()) >= Timestamp(key + 1), "{key}");
        }
        // The newest are known exactly, and what is held is bounded.
        assert_eq!(recent.newest(table, &(keys - 1).to_be_bytes()), Timestamp(keys));
        let held: usize = recent.shards.iter().map(|s| s.lock()).map(|shard| shard.young.len() + shard.old.len()).sum();
        assert!(held <= 2 * SHARDS * GENERATION_KEYS_MAX);
        recent.note(&Footprint { tables: vec![table], ..Footprint::default() }, Timestamp(keys + 9));
        assert_eq!(recent.newest(table, &0u64.to_be_bytes()), Timestamp(keys + 9));
        assert!(recent.newest(TableId(2001), b"other") < Timestamp(keys + 9));
    }
}
