//! Whole segment files: what was written is read, and nothing else ever is.

use super::record::{self, RecordPlace, SegmentFile, Trailer};
use super::*;
use crate::budget::MemoryBudget;
use crate::codec::ColumnBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::Frames;
use crate::ids::{SegmentId, TableId, Timestamp};
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use lightning_vfs::{Fault, FaultyVfs, OpenMode, OperationKind, Vfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "/segments";

fn schema() -> SchemaRef {
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, true).with_metadata([("kind".into(), "1043:14".into())].into()),
        Field::new("ratio", DataType::Float64, true),
        Field::new("mode", DataType::Utf8View, false),
        Field::new("list", DataType::List(item), true),
        Field::new("uuid", DataType::FixedSizeBinary(16), true),
    ]))
}

fn batch(first: i64, rows: usize) -> RecordBatch {
    let keys = first..first + rows as i64;
    let long = |key: i64| format!("a name that does not fit into thirty-two bytes: {key:06}");
    let lists = keys.clone().map(|key| (key % 5 != 0).then(|| vec![Some(key as i32), None, Some(7)]));
    let uuids = keys.clone().map(|key| (key % 7 != 0).then(|| u128::from(key as u64).to_be_bytes()));
    let modes = ["AIR", "RAIL", "SHIP"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(keys.clone())),
        Arc::new(StringViewArray::from_iter(keys.clone().map(|key| (key % 3 != 0).then(|| long(key))))),
        Arc::new(Float64Array::from_iter(keys.clone().map(|key| (key % 11 != 0).then_some(key as f64 / 3.0)))),
        Arc::new(StringViewArray::from_iter_values(keys.map(|key| modes[(key % 3) as usize]))),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids, 16).unwrap()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn write(vfs: &Arc<dyn Vfs>, id: u64, batches: &[RecordBatch]) -> Result<SegmentMeta> {
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let mut writer = SegmentWriter::create(vfs.clone(), Path::new(DIR), SegmentId(id), TableId(77), schema(), &[0])?;
    for batch in batches {
        writer.append(encode_block(&[0], batch, None)?)?;
    }
    writer.finish()
}

fn open(vfs: &Arc<dyn Vfs>, path: &Path, id: u64) -> Arc<Segment> {
    Segment::open(vfs.clone(), Frames::new(&MemoryBudget::new(1 << 30)), path, SegmentId(id))
}

/// Every value of a segment, and its statistics.
fn read_all(segment: &Arc<Segment>) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for block in segment.blocks()? {
        let footer = block.footer()?;
        let mut columns = Vec::new();
        for (index, field) in segment.schema()?.fields().iter().enumerate() {
            let mut out = ColumnBuilder::new(field.data_type(), block.rows());
            block.chunk(&footer, ChunkPlace::Column(index))?.decode(0..block.rows(), &mut out)?;
            columns.push(out.finish()?);
        }
        batches.push(RecordBatch::try_new(segment.schema()?.clone(), columns)?);
    }
    segment.summary()?;
    Ok(batches)
}

#[test]
fn a_segment_gives_back_what_was_written() {
    let vfs = FaultyVfs::new(1).shared();
    let batches = [batch(0, 20_000), batch(20_000, 1), batch(20_001, 9000)];
    let meta = write(&vfs, 5, &batches).unwrap();
    assert_eq!((meta.rows, meta.blocks.as_slice()), (29_001, &[20_000, 1, 9000][..]));
    assert_eq!(meta.path, PathBuf::from("/segments/000000000005.seg"));
    let segment = open(&vfs, &meta.path, 5);
    assert_eq!(read_all(&segment).unwrap(), batches);
    assert_eq!(segment.opened().unwrap().table, TableId(77));
    assert_eq!(segment.schema().unwrap(), &schema());

    let blocks = segment.blocks().unwrap();
    let (first, last) = blocks[2].fences().unwrap();
    assert_eq!(
        (first[0].as_ref(), last[0].as_ref()),
        (&*batches[2].column(0).slice(0, 1), &*batches[2].column(0).slice(8999, 1))
    );
    let check = segment.verify();
    assert!(check.faults.is_empty(), "{:?}", check.faults);
    assert_eq!(check.bytes, meta.bytes);
}

#[test]
fn summaries_cover_all_blocks() {
    let vfs = FaultyVfs::new(1).shared();
    let meta = write(&vfs, 5, &[batch(0, 20_000), batch(20_000, 9001)]).unwrap();
    let summary = open(&vfs, &meta.path, 5).summary().unwrap();
    let key = &summary.columns[0];
    let bound =
        |value: &Option<ArrayRef>| value.as_ref().unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(0);
    assert_eq!((key.nulls, bound(&key.bounds.min), bound(&key.bounds.max), key.bounds.exact), (0, 0, 29_000, true));
    let distinct = key.distinct.as_ref().unwrap().estimate();
    assert!((27_000..31_000).contains(&distinct), "{distinct}");
    assert_eq!(summary.columns[3].distinct.as_ref().unwrap().estimate(), 3);
    assert_eq!(summary.columns[1].nulls, 9667);
    assert!(!summary.columns[1].bounds.exact);
    let stored: u64 = summary.columns.iter().map(|column| column.stored_bytes).sum();
    assert!(stored < meta.bytes && stored * 10 > meta.bytes * 9);
}

#[test]
fn zone_maps_are_right_and_cut_strings_stay_bounds() {
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![
        Some("é".repeat(40)),
        None,
        Some("b".to_string()),
        Some("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz".to_string()),
    ]));
    let (zones, bounds) = bounds::ZoneMap::of(&values).unwrap();
    let (min, max, nulls) = zones.zone(0);
    assert_eq!(min.unwrap().as_string_view().value(0), "b");
    assert_eq!(max.unwrap().as_string_view().value(0), "é".repeat(16));
    assert_eq!((nulls, bounds.exact), (1, false));

    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-1.0), None]));
    let (zones, _) = bounds::ZoneMap::of(&floats).unwrap();
    let (min, max, _) = zones.zone(0);
    assert_eq!(min.unwrap().as_primitive::<arrow::datatypes::Float64Type>().value(0), -1.0);
    assert!(max.unwrap().as_primitive::<arrow::datatypes::Float64Type>().value(0).is_nan());

    let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
    let (zones, bounds) = bounds::ZoneMap::of(&nothing).unwrap();
    assert_eq!(zones.zone(0).2, 2);
    assert!(zones.zone(0).0.is_none() && bounds.min.is_none());
}

#[test]
fn the_framing_has_these_bytes() {
    let header = record::header(SegmentId(5), TableId(77));
    let mut golden = b"LNGTSEG\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x4D\0\0\0\0\0\0\0".to_vec();
    golden.resize(60, 0);
    golden.extend_from_slice(&crc32fast::hash(&golden).to_le_bytes());
    assert_eq!(header.to_vec(), golden);

    let mut out = Vec::new();
    let place = record::write_record(&mut out, b"payload", SegmentId(5), 64);
    assert_eq!(place, RecordPlace { offset: 64, len: 7 });
    let mut covered = b"payload\x07\0\0\0\x05\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0".to_vec();
    let crc = crc32fast::hash(&covered);
    covered.truncate(11);
    covered.extend_from_slice(&crc.to_le_bytes());
    covered.resize(64, 0);
    assert_eq!(out, covered);
    assert_eq!(place.end(), 128);

    let summary = RecordPlace { offset: 128, len: 9 };
    let footer = RecordPlace { offset: 192, len: 300 };
    let trailer = Trailer { segment: SegmentId(5), table: TableId(77), blocks: 2, footer, summary }.to_bytes();
    let mut golden = b"LNGTSEGE\x01\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0\x4D\0\0\0\0\0\0\0".to_vec();
    golden.extend_from_slice(b"\xC0\0\0\0\0\0\0\0\x2C\x01\0\0\x09\0\0\0\x80\0\0\0\0\0\0\0\0\0\0\0");
    golden.extend_from_slice(&crc32fast::hash(&golden).to_le_bytes());
    assert_eq!(trailer.to_vec(), golden);
}

#[test]
fn the_block_footer_has_these_bytes() {
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-1)]));
    let (zones, bounds) = bounds::ZoneMap::of(&values).unwrap();
    let record = RecordPlace { offset: 64, len: 10 };
    let chunk = footer::ChunkFooter {
        encoding: crate::codec::Encoding::Packed,
        shared: vec![],
        pages: vec![footer::PagePlace { record, start: 0, rows: 3 }],
        nulls: 1,
        raw_bytes: 13,
        bounds,
        zones,
    };
    let footer = BlockFooter { rows: 3, delete_generation: 0, columns: vec![chunk], begin: None, end: None };
    let mut out = bytes::ByteWriter::default();
    footer.write(&mut out);
    let golden: &[&[u8]] = &[
        &[3, 0, 0, 0],                        // rows
        &[0; 8],                              // delete-vector generation
        &[0],                                 // slots
        &[1, 0, 0, 0],                        // columns
        &[2],                                 // encoding
        &[64, 0, 0, 0, 0, 0, 0, 0],           // offset
        &[0, 0, 0, 0],                        // shared pages
        &[1, 0, 0, 0],                        // pages
        &[10, 0, 0, 0, 3, 0, 0, 0],           // length, rows
        &[1, 0, 0, 0, 0, 0, 0, 0],            // NULLs
        &[13, 0, 0, 0, 0, 0, 0, 0],           // raw bytes
        &[3],                                 // bounded, exact
        &[1, 0, 0, 0, 1, 255, 255, 255, 255], // zone minima
        &[1, 0, 0, 0, 1, 3, 0, 0, 0],         // zone maxima
        &[1, 0, 0, 0, 1, 255, 255, 255, 255], // minimum
        &[1, 0, 0, 0, 1, 3, 0, 0, 0],         // maximum
        &[1, 0, 0, 0, 1, 0, 0, 0],            // NULLs per zone
    ];
    assert_eq!(out.bytes, golden.concat());
}

/// Corrupt bytes are refused by name and place, or do not matter; never another value.
fn assert_contained(vfs: &Arc<dyn Vfs>, meta: &SegmentMeta, wanted: &[RecordBatch], what: &str) -> bool {
    let segment = open(vfs, &meta.path, meta.id.0);
    let faults = segment.verify().faults;
    match read_all(&segment) {
        Ok(found) => assert_eq!(found, wanted, "{what}"),
        Err(Error::Corrupt { path, offset, .. }) => {
            assert!(path == meta.path && offset <= meta.bytes, "{what}");
            assert!(!faults.is_empty(), "verify misses what a reader meets: {what}");
        }
        Err(other) => panic!("{what}: {other}"),
    }
    faults.iter().for_each(|fault| assert_eq!(fault.kind(), ErrorKind::Corrupt, "{what}: {fault}"));
    !faults.is_empty()
}

#[test]
fn flipped_bits_are_noticed_or_harmless() {
    let faulty = FaultyVfs::new(1);
    let vfs = faulty.shared();
    let batches = [batch(0, 300), batch(300, 50)];
    let meta = write(&vfs, 5, &batches).unwrap();
    let clean = faulty.bytes(&meta.path);
    let (mut flipped, mut unnoticed) = (0, 0);
    for offset in (0..meta.bytes).step_by(5) {
        let bit = (offset / 5 % 8) as u32;
        faulty.flip_bit(&meta.path, offset, bit);
        let what = format!("byte {offset} bit {bit}");
        flipped += 1;
        let noticed = assert_contained(&vfs, &meta, &batches, &what);
        if !noticed {
            assert_eq!(clean[offset as usize], 0, "only padding may go unnoticed: {what}");
            unnoticed += 1;
        }
        faulty.flip_bit(&meta.path, offset, bit);
    }
    assert!(unnoticed * 2 < flipped, "{unnoticed} of {flipped} flips hit padding");
}

#[test]
fn truncated_files_are_refused() {
    let faulty = FaultyVfs::new(1);
    let vfs = faulty.shared();
    let meta = write(&vfs, 5, &[batch(0, 300)]).unwrap();
    let clean = faulty.bytes(&meta.path);
    for len in (0..clean.len()).step_by(37) {
        let path = Path::new("/segments/cut.seg");
        let file = vfs.open(path, OpenMode::OpenOrCreate).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(&clean[..len], 0).unwrap();
        let error = read_all(&open(&vfs, path, 5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}: {error}");
    }
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let vfs = FaultyVfs::new(1).shared();
    let meta = write(&vfs, 5, &[batch(0, 300)]).unwrap();
    let error = read_all(&open(&vfs, &meta.path, 6)).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn a_full_disk_leaves_no_file() {
    let faulty = FaultyVfs::new(1);
    let vfs = faulty.shared();
    faulty.set_capacity(Some(30_000));
    let error = write(&vfs, 5, &[batch(0, 20_000)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(faulty.files().is_empty(), "{:?}", faulty.files());
    faulty.set_capacity(None);
    write(&vfs, 5, &[batch(0, 300)]).unwrap();
}

#[test]
fn a_failed_sync_leaves_no_file() {
    let faulty = FaultyVfs::new(1);
    faulty.fail(OperationKind::Sync, 1, Fault::Io);
    let error = write(&faulty.shared(), 5, &[batch(0, 300)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(faulty.files().is_empty());
}

#[test]
fn a_failed_read_is_not_corruption_and_can_be_repeated() {
    let faulty = FaultyVfs::new(1);
    let vfs = faulty.shared();
    let batches = [batch(0, 9000)];
    let meta = write(&vfs, 5, &batches).unwrap();
    faulty.set_short_reads(true);
    for nth in 1..6 {
        let segment = open(&vfs, &meta.path, 5);
        faulty.fail(OperationKind::Read, nth, Fault::Io);
        if let Err(error) = read_all(&segment) {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        }
        faulty.heal();
        assert_eq!(read_all(&segment).unwrap(), batches);
    }
}

#[test]
fn a_row_with_a_huge_value_has_a_page_of_its_own() {
    let vfs = FaultyVfs::new(1).shared();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8View, true)]));
    let mut random = fastrand::Rng::with_seed(3);
    let noise: String = (0..300_000).map(|_| random.alphanumeric()).collect();
    let text = |row: usize| match row {
        1500 | 1501 | 2999 => noise[row..].to_string(),
        _ => format!("row {row}"),
    };
    let values: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..3000).map(text)));
    let batch = RecordBatch::try_new(schema.clone(), vec![values.clone()]).unwrap();
    let mut writer = SegmentWriter::create(vfs.clone(), Path::new(DIR), SegmentId(1), TableId(1), schema, &[]).unwrap();
    writer.append(encode_block(&[], &batch, None).unwrap()).unwrap();
    let meta = writer.finish().unwrap();
    let segment = open(&vfs, &meta.path, 1);
    assert_eq!(read_all(&segment).unwrap(), [batch]);
    let block = &segment.blocks().unwrap()[0];
    let footer = block.footer().unwrap();
    let mut chunk = block.chunk(&footer, ChunkPlace::Column(0)).unwrap();
    let mut mask = crate::codec::Mask::none(3000);
    for row in [0, 1023, 1499, 1501, 2998, 2999] {
        mask.words[row / 64] |= 1 << (row % 64);
        let mut out = ColumnBuilder::new(&DataType::Utf8View, 1);
        chunk.value(row, &mut out).unwrap();
        assert_eq!(&out.finish().unwrap(), &values.slice(row, 1));
    }
    let mut out = ColumnBuilder::new(&DataType::Utf8View, 6);
    chunk.select(0..3000, &mask, 0, &mut out).unwrap();
    let picked = UInt32Array::from(vec![0, 1023, 1499, 1501, 2998, 2999]);
    assert_eq!(&out.finish().unwrap(), &arrow::compute::take(&values, &picked, None).unwrap());
}

#[test]
fn begin_timestamps_are_kept_per_row() {
    let vfs = FaultyVfs::new(1).shared();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let rows = batch(0, 100);
    let runs = [(Timestamp(7), 60), (Timestamp(u64::MAX - 1), 40)];
    let mut writer =
        SegmentWriter::create(vfs.clone(), Path::new(DIR), SegmentId(1), TableId(1), schema(), &[0]).unwrap();
    writer.append(encode_block(&[0], &rows, Some(&runs)).unwrap()).unwrap();
    assert!(encode_block(&[0], &rows, Some(&runs[..1])).is_err());
    let meta = writer.finish().unwrap();
    let segment = open(&vfs, &meta.path, 1);
    let block = &segment.blocks().unwrap()[0];
    let footer = block.footer().unwrap();
    let mut out = ColumnBuilder::new(&TIMESTAMP_CHUNK, 100);
    block.chunk(&footer, ChunkPlace::Begin).unwrap().decode(0..100, &mut out).unwrap();
    let wanted: Vec<u64> = runs.iter().flat_map(|(begin, rows)| std::iter::repeat_n(begin.0, *rows)).collect();
    assert_eq!(out.finish().unwrap().as_primitive::<arrow::datatypes::UInt64Type>().values(), wanted.as_slice());
    assert!(block.chunk(&footer, ChunkPlace::End).is_err());
    assert!(segment.verify().faults.is_empty());
}

#[test]
fn records_that_reach_past_the_file_are_refused() {
    let vfs = FaultyVfs::new(1).shared();
    let meta = write(&vfs, 5, &[batch(0, 10)]).unwrap();
    let file = vfs.open(&meta.path, OpenMode::Read).unwrap();
    let file = SegmentFile::new(&meta.path, SegmentId(5), file).unwrap();
    for place in [
        RecordPlace { offset: meta.bytes + 64, len: 1 },
        RecordPlace { offset: 64, len: u32::MAX },
        RecordPlace { offset: u64::MAX - 63, len: 10 },
        RecordPlace { offset: 65, len: 1 },
    ] {
        assert_eq!(file.record(place).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
