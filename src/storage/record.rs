//! Commit records: what a transaction wrote, as the log keeps it.
//!
//! ```text
//! record   version u8 = 3 · tables u32 · per table:
//! table    id u64 · schema version u32 · flags u8 (1 created, 2 dropped, 4 truncated, 8 cut) · next row number i64
//!          · [created: definition, sized] · [cut: ranges u32 · per range: first i64 · last i64]
//!          · keys of deleted rows: batches u32 · per batch: form u8 · batch, sized
//!          · new rows: the same
//!          · segments u32 · per segment: id u64 · file bytes u64 · rows u64
//!            · blocks with rows deleted again u32 · per block: number u32 · rows u32 · row u32 each
//! ```
//!
//! Integers are little-endian; *sized* is a length (u32) and that many bytes. A batch is an Arrow record batch (form 0), rows as a delta tree has
//! them (1), or keys as bytes (2), the last two sized, one behind the other. Version 2 has Arrow alone and no forms. Batches carry final values and no
//! schema: it is the table's, or that of its key, made by this record or an earlier one. A cut takes out the segments with all rows in a range of
//! values of the column that parts the rows; other rows in it are among the deleted ones. Deleted rows are named by key, wherever they are by
//! then; a key that is not there was deleted by a later record that segments reflect already. The frame around a record has the checksum.

use crate::batch_bytes::{batch_from_bytes, batch_to_bytes};
use crate::context::Context;
use crate::dead::{BlockId, DeadRows};
use crate::error::{Error, Result};
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::mem::{MemBlock, MemList};
use crate::segment::BLOCK_ROWS_MAX;
use crate::stored::{Origin, SegmentRef, StoredSegment};
use crate::table::{Table, TableDefinition};
use crate::version::Version;
use crate::writes::{TableWrites, WriteSet};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

const VERSION: u8 = 3;
/// The version before, which is still read.
const VERSION_OF_ARROW: u8 = 2;
const CREATED: u8 = 1;
const DROPPED: u8 = 2;
const TRUNCATED: u8 = 4;
const CUT: u8 = 8;
const ARROW: u8 = 0;
const ROWS: u8 = 1;
const KEYS: u8 = 2;

/// The record of `writes`.
pub(crate) fn encode(writes: &WriteSet) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    out.extend((writes.tables.len() as u32).to_le_bytes());
    for writes in writes.tables.values() {
        encode_table(writes, &mut out)?;
    }
    Ok(out)
}

fn encode_table(writes: &TableWrites, out: &mut Vec<u8>) -> Result<()> {
    out.extend(writes.table.id.0.to_le_bytes());
    out.extend(writes.table.schema_version.to_le_bytes());
    let is_cut = !writes.cuts.is_empty();
    let flags = [(writes.created, CREATED), (writes.dropped, DROPPED), (writes.truncated, TRUNCATED), (is_cut, CUT)];
    out.push(flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
    out.extend(writes.table.next_row().to_le_bytes());
    if writes.created {
        put_sized(&writes.table.definition.to_bytes()?, out)?;
    }
    if is_cut {
        out.extend((writes.cuts.len() as u32).to_le_bytes());
        for range in &writes.cuts {
            out.extend(range.start().to_le_bytes());
            out.extend(range.end().to_le_bytes());
        }
    }
    match &writes.table.encoder {
        Some(encoder) => {
            out.extend((writes.deleted.blocks.len() as u32).to_le_bytes());
            for block in &writes.deleted.blocks {
                put_items(KEYS, encoder.encode_prefix(block.batch().columns())?.iter(), out)?;
            }
        }
        None => encode_batches(&writes.deleted, out)?,
    }
    match &writes.delta_rows {
        Some(rows) => {
            out.extend(1u32.to_le_bytes());
            put_items(ROWS, rows.row_bytes().map(AsRef::as_ref), out)?;
        }
        None => encode_batches(&writes.rows, out)?,
    }
    out.extend((writes.segments.len() as u32).to_le_bytes());
    for stored in &writes.segments {
        encode_segment(&stored.reference, out);
        encode_dead(stored.reference.id, &writes.dead, out);
    }
    Ok(())
}

fn encode_batches(batches: &MemList, out: &mut Vec<u8>) -> Result<()> {
    out.extend((batches.blocks.len() as u32).to_le_bytes());
    for block in &batches.blocks {
        let mut batch = vec![];
        batch_to_bytes(block.batch(), &mut batch)?;
        out.push(ARROW);
        put_sized(&batch, out)?;
    }
    Ok(())
}

/// A batch made of byte strings.
fn put_items<'a>(form: u8, items: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Result<()> {
    out.push(form);
    let at = out.len();
    out.extend(0u32.to_le_bytes());
    items.into_iter().try_for_each(|item| put_sized(item, out))?;
    let bytes = length(out.len() - at - size_of::<u32>())?;
    out[at..at + size_of::<u32>()].copy_from_slice(&bytes);
    Ok(())
}

/// Rows of a new segment that the transaction itself deleted again.
fn encode_dead(segment: SegmentId, dead: &DeadRows, out: &mut Vec<u8>) {
    let blocks = dead.blocks().filter_map(|(block, mask)| match block {
        BlockId::Stored(of, number) if of == segment => Some((number, mask)),
        _ => None,
    });
    let blocks: Vec<_> = blocks.collect();
    out.extend((blocks.len() as u32).to_le_bytes());
    for (number, mask) in blocks {
        out.extend(number.to_le_bytes());
        out.extend((mask.count() as u32).to_le_bytes());
        mask.iter().for_each(|row| out.extend((row as u32).to_le_bytes()));
    }
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend(length(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    let bytes = u32::try_from(bytes);
    Ok(bytes.map_err(|_| Error::Unsupported("a commit of more than 4 GiB in memory".into()))?.to_le_bytes())
}

fn encode_segment(segment: &SegmentRef, out: &mut Vec<u8>) {
    out.extend(segment.id.0.to_le_bytes());
    out.extend(segment.bytes.to_le_bytes());
    out.extend(segment.rows.to_le_bytes());
}

/// The writes in the record at `lsn`. `version` has the tables of all records before it; of tables it does not know (dropped later,
/// and the manifest knows it), and of those `skip` names, nothing is decoded.
pub(crate) fn decode(
    payload: &[u8],
    lsn: Lsn,
    version: &Version,
    context: &Arc<Context>,
    skip: &dyn Fn(TableId) -> bool,
) -> Result<WriteSet> {
    let mut input = Input { rest: payload, has_forms: true };
    input.has_forms = match input.u8()? {
        VERSION => true,
        VERSION_OF_ARROW => false,
        _ => return Err(malformed("unknown version")),
    };
    let mut writes = WriteSet::default();
    for _ in 0..input.u32()? {
        if let Some(table) = decode_table(&mut input, lsn, version, context, skip)? {
            writes.tables.insert(table.table.id, table);
        }
    }
    if !input.rest.is_empty() {
        return Err(malformed("bytes behind the end"));
    }
    Ok(writes)
}

fn decode_table(
    input: &mut Input<'_>,
    lsn: Lsn,
    version: &Version,
    context: &Arc<Context>,
    skip: &dyn Fn(TableId) -> bool,
) -> Result<Option<TableWrites>> {
    let id = TableId(input.u64()?);
    let _schema_version = input.u32()?;
    let flags = input.u8()?;
    let next_row = input.u64()? as i64;
    let created = if flags & CREATED != 0 { Some(input.sized()?) } else { None };
    let cuts = if flags & CUT != 0 { input.u32()? } else { 0 };
    let cuts = (0..cuts).map(|_| Ok(input.u64()? as i64..=input.u64()? as i64)).collect::<Result<Vec<_>>>()?;
    let keys = (0..input.u32()?).map(|_| input.batch()).collect::<Result<Vec<_>>>()?;
    let batches = (0..input.u32()?).map(|_| input.batch()).collect::<Result<Vec<_>>>()?;
    let mut dead = DeadRows::default();
    let segments = (0..input.u32()?).map(|_| decode_segment(input, &mut dead)).collect::<Result<Vec<_>>>()?;
    let is_created = created.is_some();
    let table = match (created, version.tables.get(&id)) {
        _ if skip(id) => return Ok(None),
        (Some(definition), _) => Table::new(id, TableDefinition::from_bytes(definition)?)?,
        (None, Some(layout)) => layout.table.clone(),
        (None, None) => return Ok(None),
    };
    table.reserve_rows(next_row);
    let decode = |batches: Vec<(u8, &[u8])>, schema: &SchemaRef| -> Result<MemList> {
        let mut list = MemList::default();
        for (form, bytes) in batches {
            let batch = decode_batch(form, bytes, &table, schema)?;
            list.add(MemBlock::unrefusable(batch, &context.mem_account)?);
        }
        Ok(list)
    };
    let (deleted, rows) = (decode(keys, &table.key_schema()?)?, decode(batches, &table.schema)?);
    let origin = Origin { begin: Timestamp(lsn.0), lsn };
    let segments = segments.into_iter().map(|reference| StoredSegment::known(context, reference, origin)).collect();
    Ok(Some(TableWrites {
        created: is_created,
        dropped: flags & DROPPED != 0,
        truncated: flags & TRUNCATED != 0,
        cuts,
        rows,
        segments,
        deleted,
        dead,
        ..TableWrites::new(table)
    }))
}

fn decode_batch(form: u8, bytes: &[u8], table: &Table, schema: &SchemaRef) -> Result<RecordBatch> {
    let items = || {
        let mut input = Input { rest: bytes, has_forms: true };
        let mut items = vec![];
        while !input.rest.is_empty() {
            items.push(input.sized()?);
        }
        Ok::<_, Error>(items)
    };
    match (form, &table.row_format, &table.encoder) {
        (ARROW, ..) => batch_from_bytes(bytes, schema),
        (ROWS, Some(format), _) => {
            let rows = items()?;
            if !rows.iter().all(|row| format.is_well_formed(row)) {
                return Err(malformed("a row that is none"));
            }
            let all: Vec<usize> = (0..schema.fields().len()).collect();
            let mut decoder = format.decoder(&all, rows.len());
            decoder.append(&rows);
            decoder.finish(schema.clone())
        }
        (KEYS, _, Some(encoder)) => Ok(RecordBatch::try_new(schema.clone(), encoder.decode(items()?)?)?),
        _ => Err(malformed("unknown form of rows")),
    }
}

fn decode_segment(input: &mut Input<'_>, dead: &mut DeadRows) -> Result<SegmentRef> {
    let segment = SegmentRef { id: SegmentId(input.u64()?), bytes: input.u64()?, rows: input.u64()? };
    for _ in 0..input.u32()? {
        let block = BlockId::Stored(segment.id, input.u32()?);
        for _ in 0..input.u32()? {
            let row = input.u32()? as usize;
            if row >= BLOCK_ROWS_MAX {
                return Err(malformed("a row beyond its block"));
            }
            dead.insert(block, row);
        }
    }
    Ok(segment)
}

fn malformed(what: &str) -> Error {
    Error::Arrow(format!("malformed commit record: {what}"))
}

struct Input<'a> {
    rest: &'a [u8],
    /// Whether batches say their form.
    has_forms: bool,
}

impl<'a> Input<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| malformed("it ends early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| malformed("it ends early"))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Form and bytes of a batch.
    fn batch(&mut self) -> Result<(u8, &'a [u8])> {
        let form = if self.has_forms { self.u8()? } else { ARROW };
        Ok((form, self.sized()?))
    }

    fn sized(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use lightning_vfs::MemoryVfs;
    use std::path::Path;

    fn context() -> Arc<Context> {
        let (unneeded, _) = crossbeam_channel::unbounded();
        Context::new(Arc::new(MemoryVfs::new()), Path::new("/db"), 64 << 20, 1, unneeded)
    }

    fn example(context: &Arc<Context>) -> WriteSet {
        let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let definition = TableDefinition::new(batch.schema(), vec![0]);
        let mut created = TableWrites::new(Table::new(TableId(2000), definition.clone()).unwrap());
        created.created = true;
        let rows = created.table.fit(&batch).unwrap();
        created.rows.add(MemBlock::new(&rows, &context.mem_account).unwrap());
        created.deleted.add(MemBlock::new(&rows, &context.mem_account).unwrap());
        let reference = SegmentRef { id: SegmentId(9), bytes: 1000, rows: 130_000 };
        let origin = Origin { begin: Timestamp(5), lsn: Lsn(5) };
        created.segments.push(StoredSegment::known(context, reference, origin));
        for row in [7, 122_000] {
            created.dead.insert(BlockId::Stored(SegmentId(9), 1), row);
        }
        let mut dropped = TableWrites::new(Table::new(TableId(2001), definition).unwrap());
        dropped.dropped = true;
        let tables = [created, dropped].into_iter().map(|writes| (writes.table.id, writes));
        WriteSet { tables: tables.collect() }
    }

    #[test]
    fn record_round_trips_and_leaves_unknown_tables_out() {
        let context = context();
        let writes = example(&context);
        let payload = encode(&writes).unwrap();
        let back = decode(&payload, Lsn(5), &Version::default(), &context, &|_| false).unwrap();
        // The table dropped is one this version does not know.
        assert_eq!(back.tables.keys().collect::<Vec<_>>(), [&TableId(2000)]);
        let (before, after) = (&writes.tables[&TableId(2000)], &back.tables[&TableId(2000)]);
        assert!(after.created && !after.dropped && !after.truncated);
        assert_eq!(after.table.definition.key, before.table.definition.key);
        assert_eq!(after.rows.blocks[0].batch(), before.rows.blocks[0].batch());
        assert_eq!(after.deleted.blocks[0].batch(), before.deleted.blocks[0].batch());
        assert!(after.dead.blocks().eq(before.dead.blocks()));
        assert_eq!(after.segments[0].reference, before.segments[0].reference);
        assert_eq!(after.segments[0].origin(), Some(Origin { begin: Timestamp(5), lsn: Lsn(5) }));
        let skipped = decode(&payload, Lsn(5), &Version::default(), &context, &|_| true).unwrap();
        assert!(skipped.is_empty());
    }

    #[test]
    fn cuts_round_trip() {
        let context = context();
        let mut writes = example(&context);
        let ranges = vec![i64::MIN..=-5, 0..=i64::MAX];
        writes.tables.values_mut().for_each(|writes| writes.cuts = ranges.clone());
        let payload = encode(&writes).unwrap();
        let back = decode(&payload, Lsn(5), &Version::default(), &context, &|_| false).unwrap();
        assert_eq!(back.tables[&TableId(2000)].cuts, ranges);
        assert_eq!(back.tables[&TableId(2000)].rows.rows, 2);
    }

    #[test]
    fn small_rows_are_written_as_delta_trees_have_them() {
        let context = context();
        let mut writes = example(&context);
        writes.prepare();
        let payload = encode(&writes).unwrap();
        let back = decode(&payload, Lsn(5), &Version::default(), &context, &|_| false).unwrap();
        let (before, after) = (&writes.tables[&TableId(2000)], &back.tables[&TableId(2000)]);
        assert!(before.delta_rows.is_some());
        assert_eq!(after.rows.blocks[0].batch(), before.rows.blocks[0].batch());
        // Nothing about the bytes is believed; Arrow's are only ever read behind a checksum.
        let table = before.table.clone();
        writes.tables.retain(|id, _| *id == table.id);
        writes.tables.values_mut().for_each(|writes| writes.created = false);
        let mut version = Version::default();
        version.tables.insert(table.id, crate::layout::Layout::empty(table));
        let payload = encode(&writes).unwrap();
        for bit in 0..payload.len() * 8 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&changed, Lsn(5), &version, &context, &|_| false);
        }
    }

    #[test]
    fn records_of_the_version_before_are_read() {
        let context = context();
        let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let table = Table::new(TableId(2000), TableDefinition::new(batch.schema(), vec![0])).unwrap();
        let mut version = Version::default();
        version.tables.insert(table.id, crate::layout::Layout::empty(table.clone()));
        let rows = table.fit(&batch).unwrap();
        let mut payload = vec![2, 1, 0, 0, 0];
        payload.extend(2000u64.to_le_bytes());
        payload.extend(1u32.to_le_bytes());
        payload.push(0);
        payload.extend(1i64.to_le_bytes());
        for batch in [rows.project(&[0]).unwrap(), rows.clone()] {
            let mut bytes = vec![];
            batch_to_bytes(&batch, &mut bytes).unwrap();
            payload.extend(1u32.to_le_bytes());
            put_sized(&bytes, &mut payload).unwrap();
        }
        payload.extend(0u32.to_le_bytes());
        let back = decode(&payload, Lsn(5), &version, &context, &|_| false).unwrap();
        assert_eq!(*back.tables[&TableId(2000)].rows.blocks[0].batch(), rows);
        assert_eq!(back.tables[&TableId(2000)].deleted.rows, 2);
    }

    #[test]
    fn record_has_golden_bytes() {
        let context = context();
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let table = Table::new(TableId(0x0102), TableDefinition::new(schema, vec![])).unwrap();
        let mut writes = TableWrites::new(table);
        writes.truncated = true;
        let reference = SegmentRef { id: SegmentId(9), bytes: 0x1000, rows: 130_000 };
        let origin = Origin { begin: Timestamp(5), lsn: Lsn(5) };
        writes.segments.push(StoredSegment::known(&context, reference, origin));
        writes.dead.insert(BlockId::Stored(SegmentId(9), 1), 300);
        let writes = WriteSet { tables: [(writes.table.id, writes)].into() };
        let golden = [
            &[3, 1, 0, 0, 0][..],
            &[2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0xd0, 0xfb, 1, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 44, 1, 0, 0],
        ];
        assert_eq!(encode(&writes).unwrap(), golden.concat());
    }

    #[test]
    fn cut_or_changed_records_are_errors_or_other_records_but_never_panics() {
        let context = context();
        let payload = encode(&example(&context)).unwrap();
        for len in 0..payload.len() {
            assert!(
                decode(&payload[..len], Lsn(5), &Version::default(), &context, &|_| false).is_err(),
                "length {len}"
            );
        }
        // Numbers and flags of the framing; Arrow's metadata is only ever read behind a checksum.
        for bit in 0..17 * 8 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&changed, Lsn(5), &Version::default(), &context, &|_| true);
        }
    }
}
