//! A change of the manifest, and its bytes.
//!
//! ```text
//! payload  0  4  number of edits, then the edits; an edit is a tag of one byte and
//!   0 format      4 version
//!   1 create      8 table, 4 schema version, 8 created at, 4 length, definition (table.rs)
//!   2 drop        8 table
//!   3 add         8 table, 8 segment, 8 begin, 8 end (0: none), 8 lsn, 8 rows, 8 bytes, 8 delete generation
//!   4 remove      8 table, 8 segment
//!   5 truncate    8 table, 8 at
//!   6 flushed     8 table, 8 lsn, 8 next row number
//!   7 checkpoint  8 lsn, 8 durable lsn, 8 timestamp
//!   8 next ids    8 table, 8 segment
//!   9 deletes     8 table, 8 segment, 8 generation
//! ```

use crate::error::Error;
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::table::TableDefinition;

/// A segment in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRecord {
    /// Its id, and the name of its file.
    pub(crate) id: SegmentId,
    /// Oldest commit with rows in it.
    pub(crate) begin_ts: Timestamp,
    /// Commit that truncated its table; never `Timestamp(0)`.
    pub(crate) end_ts: Option<Timestamp>,
    /// Newest record with rows in it.
    pub(crate) lsn: Lsn,
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Number of its delete vectors' file; 0 while nothing was deleted.
    pub(crate) delete_generation: u64,
}

/// One change of the manifest's state.
#[derive(Clone, Debug)]
pub(crate) enum ManifestEdit {
    /// The format of everything in the directory; the first edit of a file.
    Format {
        /// Version.
        version: u32,
    },
    /// A table comes into being.
    CreateTable {
        /// Its id, never used before.
        table: TableId,
        /// What it is.
        definition: TableDefinition,
        /// The version records carry.
        schema_version: u32,
        /// Commit that made it.
        created_at: Timestamp,
    },
    /// A table and its segments go.
    DropTable {
        /// The table.
        table: TableId,
    },
    /// A segment belongs to a table.
    AddSegment {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentRecord,
    },
    /// A segment no longer belongs to its table; its file may be deleted afterwards.
    RemoveSegment {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
    },
    /// Every segment that began before `at` and has no end gets this one.
    Truncate {
        /// The table.
        table: TableId,
        /// Commit that truncated it.
        at: Timestamp,
    },
    /// Records of the table at or below `lsn` are in its segments.
    FlushedLsn {
        /// The table.
        table: TableId,
        /// Replay skips up to here.
        lsn: Lsn,
        /// Row numbers below this one were given out.
        next_row: i64,
    },
    /// The deleted rows of a segment are in this file of delete vectors.
    Deletes {
        /// The table.
        table: TableId,
        /// The segment.
        segment: SegmentId,
        /// Number of the file.
        generation: u64,
    },
    /// All records at or below `lsn` are in segments.
    Checkpoint {
        /// Recovery begins after this record.
        lsn: Lsn,
        /// The log was durable at least up to here.
        durable_lsn: Lsn,
        /// Newest commit at or below `lsn`.
        timestamp: Timestamp,
    },
    /// Ids below these were used.
    NextIds {
        /// Next table.
        table: TableId,
        /// Next segment.
        segment: SegmentId,
    },
}

/// The payload of a frame of edits.
pub(crate) fn encode_edits(edits: &[ManifestEdit]) -> Result<Vec<u8>, Error> {
    let mut out = (edits.len() as u32).to_le_bytes().to_vec();
    for edit in edits {
        encode_edit(edit, &mut out)?;
    }
    Ok(out)
}

fn encode_edit(edit: &ManifestEdit, out: &mut Vec<u8>) -> Result<(), Error> {
    match edit {
        ManifestEdit::Format { version } => {
            out.push(0);
            out.extend_from_slice(&version.to_le_bytes());
        }
        ManifestEdit::CreateTable { table, definition, schema_version, created_at } => {
            put(out, 1, &[table.0]);
            out.extend_from_slice(&schema_version.to_le_bytes());
            out.extend_from_slice(&created_at.0.to_le_bytes());
            let definition = definition.to_bytes()?;
            out.extend_from_slice(&(definition.len() as u32).to_le_bytes());
            out.extend_from_slice(&definition);
        }
        ManifestEdit::DropTable { table } => put(out, 2, &[table.0]),
        ManifestEdit::AddSegment { table, segment: s } => {
            let end = s.end_ts.map_or(0, |end| end.0);
            put(out, 3, &[table.0, s.id.0, s.begin_ts.0, end, s.lsn.0, s.rows, s.bytes, s.delete_generation]);
        }
        ManifestEdit::RemoveSegment { table, segment } => put(out, 4, &[table.0, segment.0]),
        ManifestEdit::Truncate { table, at } => put(out, 5, &[table.0, at.0]),
        ManifestEdit::FlushedLsn { table, lsn, next_row } => put(out, 6, &[table.0, lsn.0, *next_row as u64]),
        ManifestEdit::Deletes { table, segment, generation } => put(out, 9, &[table.0, segment.0, *generation]),
        ManifestEdit::Checkpoint { lsn, durable_lsn, timestamp } => put(out, 7, &[lsn.0, durable_lsn.0, timestamp.0]),
        ManifestEdit::NextIds { table, segment } => put(out, 8, &[table.0, segment.0]),
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, tag: u8, numbers: &[u64]) {
    out.push(tag);
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// The edits of a payload that passed its checksum; what is wrong otherwise.
pub(crate) fn decode_edits(mut bytes: &[u8]) -> Result<Vec<ManifestEdit>, String> {
    let bytes = &mut bytes;
    let count = take_u32(bytes)?;
    let edits = (0..count).map(|_| decode_edit(bytes)).collect::<Result<Vec<_>, _>>()?;
    if bytes.is_empty() { Ok(edits) } else { Err(format!("{} bytes follow the last edit", bytes.len())) }
}

fn decode_edit(bytes: &mut &[u8]) -> Result<ManifestEdit, String> {
    let tag = bytes.split_off_first().copied().ok_or(CUT_SHORT)?;
    Ok(match tag {
        0 => ManifestEdit::Format { version: take_u32(bytes)? },
        1 => ManifestEdit::CreateTable {
            table: TableId(take_u64(bytes)?),
            schema_version: take_u32(bytes)?,
            created_at: Timestamp(take_u64(bytes)?),
            definition: decode_definition(bytes)?,
        },
        2 => ManifestEdit::DropTable { table: TableId(take_u64(bytes)?) },
        3 => {
            let table = TableId(take_u64(bytes)?);
            ManifestEdit::AddSegment { table, segment: decode_segment(bytes)? }
        }
        4 => ManifestEdit::RemoveSegment { table: TableId(take_u64(bytes)?), segment: SegmentId(take_u64(bytes)?) },
        5 => ManifestEdit::Truncate { table: TableId(take_u64(bytes)?), at: Timestamp(take_u64(bytes)?) },
        6 => ManifestEdit::FlushedLsn {
            table: TableId(take_u64(bytes)?),
            lsn: Lsn(take_u64(bytes)?),
            next_row: take_u64(bytes)? as i64,
        },
        9 => ManifestEdit::Deletes {
            table: TableId(take_u64(bytes)?),
            segment: SegmentId(take_u64(bytes)?),
            generation: take_u64(bytes)?,
        },
        7 => ManifestEdit::Checkpoint {
            lsn: Lsn(take_u64(bytes)?),
            durable_lsn: Lsn(take_u64(bytes)?),
            timestamp: Timestamp(take_u64(bytes)?),
        },
        8 => ManifestEdit::NextIds { table: TableId(take_u64(bytes)?), segment: SegmentId(take_u64(bytes)?) },
        unknown => return Err(format!("edit of unknown kind {unknown}")),
    })
}

fn decode_definition(bytes: &mut &[u8]) -> Result<TableDefinition, String> {
    let len = take_u32(bytes)? as usize;
    let definition = bytes.split_off(..len).ok_or(CUT_SHORT)?;
    TableDefinition::from_bytes(definition).map_err(|e| e.to_string())
}

fn decode_segment(bytes: &mut &[u8]) -> Result<SegmentRecord, String> {
    Ok(SegmentRecord {
        id: SegmentId(take_u64(bytes)?),
        begin_ts: Timestamp(take_u64(bytes)?),
        end_ts: Some(Timestamp(take_u64(bytes)?)).filter(|end| end.0 != 0),
        lsn: Lsn(take_u64(bytes)?),
        rows: take_u64(bytes)?,
        bytes: take_u64(bytes)?,
        delete_generation: take_u64(bytes)?,
    })
}

const CUT_SHORT: &str = "an edit is cut short";

fn take_u32(bytes: &mut &[u8]) -> Result<u32, String> {
    let number = bytes.split_off(..4).and_then(|b| b.try_into().ok()).ok_or(CUT_SHORT)?;
    Ok(u32::from_le_bytes(number))
}

fn take_u64(bytes: &mut &[u8]) -> Result<u64, String> {
    let number = bytes.split_off(..8).and_then(|b| b.try_into().ok()).ok_or(CUT_SHORT)?;
    Ok(u64::from_le_bytes(number))
}
