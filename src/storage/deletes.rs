//! Files of delete vectors: which rows of a segment were deleted, as of one flush of its table.
//!
//! A file is never changed. More rows deleted make a new file with the next generation number; once the manifest names that,
//! the old file goes.
//!
//! ```text
//! file   magic "LTNGDEL1" · segment u64 · generation u64 · blocks u32 · per block: number u32 · zones u32
//!        · per zone: number u32 · rows u32 · up to 512 rows: row u16 each · more: 1,024 bytes of bits
//!        · crc32 u32 of all before it
//! ```

use crate::context::Context;
use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::segment::{BLOCK_ROWS_MAX, ZONE_ROWS};
use lightning_vfs::OpenMode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"LTNGDEL1";
/// A zone with more deleted rows is written as bits.
const LISTED_ROWS_MAX: usize = 512;
/// Bytes of a file without blocks.
const BYTES_MIN: usize = 8 + 8 + 8 + 4 + 4;

/// The file of a segment's delete vectors.
pub(crate) fn file_name(segment: SegmentId, generation: u64) -> String {
    format!("{:012}-{generation:08}.del", segment.0)
}

/// The segment and generation whose file `path` is, if it is named like one.
pub(crate) fn parse_file_name(path: &Path) -> Option<(SegmentId, u64)> {
    let (segment, generation) = path.file_name()?.to_str()?.strip_suffix(".del")?.split_once('-')?;
    Some((SegmentId(segment.parse().ok()?), generation.parse().ok()?))
}

/// Writes and syncs the file; its name is durable once the directory is synced.
pub(crate) fn write(context: &Context, segment: SegmentId, generation: u64, dead: &DeadRows) -> Result<PathBuf> {
    let path = context.places.deletes.join(file_name(segment, generation));
    let io = |operation| move |e| (operation, e);
    let bytes = encode(segment, generation, dead);
    let written = (|| {
        let file = context.vfs.open(&path, OpenMode::CreateNew).map_err(io("create"))?;
        file.write_all_at(&bytes, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))
    })();
    written.map_err(|(operation, e)| {
        // Nothing names it: what is left of it goes now, or when the database is next opened.
        let _ = context.vfs.remove(&path);
        Error::io(&path, operation, e)
    })?;
    Ok(path)
}

fn encode(segment: SegmentId, generation: u64, dead: &DeadRows) -> Vec<u8> {
    let of_segment = |(block, mask)| match block {
        BlockId::Stored(of, number) if of == segment => Some((number, mask)),
        _ => None,
    };
    let blocks: Vec<(u32, &Arc<DeadMask>)> = dead.blocks().filter_map(of_segment).collect();
    let mut out = MAGIC.to_vec();
    out.extend(segment.0.to_le_bytes());
    out.extend(generation.to_le_bytes());
    out.extend((blocks.len() as u32).to_le_bytes());
    for (number, mask) in blocks {
        let zones: Vec<(usize, &[u64])> = mask.zones().collect();
        out.extend(number.to_le_bytes());
        out.extend((zones.len() as u32).to_le_bytes());
        for (zone, words) in zones {
            let rows: usize = words.iter().map(|word| word.count_ones() as usize).sum();
            out.extend((zone as u32).to_le_bytes());
            out.extend((rows as u32).to_le_bytes());
            if rows > LISTED_ROWS_MAX {
                words.iter().for_each(|word| out.extend(word.to_le_bytes()));
            } else {
                let listed = (0..ZONE_ROWS).filter(|row| words[row / 64] >> (row % 64) & 1 == 1);
                listed.for_each(|row| out.extend((row as u16).to_le_bytes()));
            }
        }
    }
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

/// Adds the rows of a file to `dead`; how many there were.
pub(crate) fn read(context: &Context, segment: SegmentId, generation: u64, dead: &mut DeadRows) -> Result<u64> {
    let path = context.places.deletes.join(file_name(segment, generation));
    let io = |operation| {
        let path = path.clone();
        move |e| Error::io(path, operation, e)
    };
    let file = context.vfs.open(&path, OpenMode::Read).map_err(io("open"))?;
    let mut bytes = vec![0; file.len().map_err(io("read"))? as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io("read"))?;
    decode(&bytes, segment, generation, dead).map_err(|(offset, detail)| Error::Corrupt {
        path,
        offset: offset as u64,
        detail: detail.into(),
    })
}

type Fault = (usize, &'static str);

fn decode(bytes: &[u8], segment: SegmentId, generation: u64, dead: &mut DeadRows) -> std::result::Result<u64, Fault> {
    let Some((content, crc)) = bytes.split_last_chunk::<4>().filter(|_| bytes.len() >= BYTES_MIN) else {
        return Err((0, "the file of deleted rows is cut short"));
    };
    if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
        return Err((content.len(), "the checksum of the deleted rows is wrong"));
    }
    let mut input = Input { bytes: content, at: 0 };
    if input.take::<8>()? != *MAGIC || input.u64()? != segment.0 || input.u64()? != generation {
        return Err((0, "these are not the deleted rows of this segment"));
    }
    let mut rows = 0;
    for _ in 0..input.u32()? {
        let block = BlockId::Stored(segment, input.u32()?);
        for _ in 0..input.u32()? {
            let (zone, count) = (input.u32()? as usize, input.u32()? as usize);
            if zone >= BLOCK_ROWS_MAX / ZONE_ROWS || count > ZONE_ROWS {
                return Err((input.at, "a zone is beyond its block"));
            }
            let mut add = |row: usize| rows += u64::from(dead.insert(block, zone * ZONE_ROWS + row));
            if count > LISTED_ROWS_MAX {
                for word in 0..ZONE_ROWS / 64 {
                    let bits = input.u64()?;
                    (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| add(word * 64 + bit));
                }
            } else {
                for _ in 0..count {
                    add(usize::from(u16::from_le_bytes(input.take()?)) % ZONE_ROWS);
                }
            }
        }
    }
    if input.at == content.len() { Ok(rows) } else { Err((input.at, "bytes follow the last block")) }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> std::result::Result<[u8; N], Fault> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let taken = rest.ok_or((self.at, "the file of deleted rows ends early"))?;
        self.at += N;
        Ok(*taken)
    }

    fn u32(&mut self) -> std::result::Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> std::result::Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_round_trip_and_any_flipped_bit_or_cut_is_seen() {
        let mut random = fastrand::Rng::with_seed(3);
        let (segment, mut dead) = (SegmentId(5), DeadRows::default());
        for _ in 0..2000 {
            dead.insert(BlockId::Stored(segment, random.u32(0..3)), random.usize(..BLOCK_ROWS_MAX));
            dead.insert(BlockId::Stored(segment, 7), random.usize(..ZONE_ROWS));
            dead.insert(BlockId::Stored(SegmentId(6), 0), random.usize(..100));
        }
        dead.insert(BlockId::Mem(1), 1);
        let bytes = encode(segment, 9, &dead);
        let mut back = DeadRows::default();
        let rows = decode(&bytes, segment, 9, &mut back).unwrap();
        assert_eq!(rows, back.rows());
        for (block, mask) in dead.blocks() {
            let is_own = matches!(block, BlockId::Stored(of, _) if of == segment);
            assert_eq!(back.of(block), is_own.then_some(mask));
        }
        assert!(decode(&bytes, SegmentId(6), 9, &mut back).is_err());
        assert!(decode(&bytes, segment, 8, &mut back).is_err());
        for _ in 0..2000 {
            let mut damaged = bytes.clone();
            damaged[random.usize(..bytes.len())] ^= 1 << random.u32(0..8);
            assert!(decode(&damaged, segment, 9, &mut back).is_err());
            assert!(decode(&bytes[..random.usize(..bytes.len())], segment, 9, &mut back).is_err());
        }
    }
}
