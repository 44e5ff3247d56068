//! Scans against a brute-force oracle: random tables in segments and in memory, random conditions, several readers.

use super::source::{BlockRows, BlockSource, ScanSource};
use super::{Scan, ScanSpec};
use crate::budget::MemoryBudget;
use crate::dead::DeadMask;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::Frames;
use crate::ids::{SegmentId, TableId, Timestamp};
use crate::mem::MemBlock;
use crate::predicate::{CompareOp, DynamicConditions, DynamicFilter, Predicate, RowFilter};
use crate::segment::{Segment, SegmentWriter, encode_block};
use arrow::array::*;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use fastrand::Rng;
use lightning_vfs::{FaultyVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Columns of the test table.
const KEY: usize = 0;
const SMALL: usize = 1;
const DATE: usize = 2;
const PRICE: usize = 3;
const RATIO: usize = 4;
const MODE: usize = 5;
const COMMENT: usize = 6;
const FLAG: usize = 7;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("key", DataType::Int64),
        field("small", DataType::Int32),
        field("date", DataType::Date32),
        field("price", DataType::Decimal128(15, 2)),
        field("ratio", DataType::Float64),
        field("mode", DataType::Utf8View),
        field("comment", DataType::Utf8View),
        field("flag", DataType::Boolean),
    ]))
}

/// `rows` rows; keys ascend from `first_key` on, each repeated up to `repeat` times.
fn batch(random: &mut Rng, rows: usize, first_key: i64, repeat: u32) -> RecordBatch {
    let mut key = first_key;
    let keys: Vec<i64> = (0..rows)
        .map(|_| {
            key += i64::from(random.u32(0..repeat) == 0);
            key
        })
        .collect();
    let modes = ["AIR", "MAIL", "SHIP", "TRUCK", "RAIL", "FOB", "REG AIR"];
    let base = random.i32(-50..5000);
    let column = |random: &mut Rng, name: usize| -> ArrayRef {
        let null = |random: &mut Rng| random.u32(0..10) == 0;
        let rows = 0..rows;
        match name {
            SMALL => Arc::new(Int32Array::from_iter(rows.map(|_| (!null(random)).then(|| random.i32(0..50))))),
            DATE => Arc::new(Date32Array::from_iter_values(rows.map(|row| base + row as i32 / 100))),
            PRICE => {
                let values = rows.map(|_| (!null(random)).then(|| i128::from(random.i64(-1_000_000..10_000_000))));
                Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(15, 2).unwrap())
            }
            RATIO => Arc::new(Float64Array::from_iter(rows.map(|_| match random.u32(0..20) {
                0 => None,
                1 => Some(f64::NAN),
                2 => Some(-0.0),
                _ => Some(f64::from(random.i32(-100..100)) / 8.0),
            }))),
            MODE => {
                Arc::new(StringViewArray::from_iter(rows.map(|_| (!null(random)).then(|| modes[random.usize(0..7)]))))
            }
            COMMENT => Arc::new(StringViewArray::from_iter(rows.map(|_| {
                (!null(random)).then(|| format!("{} carefully {}", modes[random.usize(0..7)], random.u32(0..100_000)))
            }))),
            _ => Arc::new(BooleanArray::from_iter(rows.map(|_| (!null(random)).then(|| random.bool())))),
        }
    };
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys))];
    columns.extend((1..8).map(|name| column(random, name)));
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Writes every batch as a block of one segment.
fn segment(vfs: &Arc<dyn Vfs>, frames: &Arc<Frames>, id: u64, batches: &[RecordBatch]) -> Arc<Segment> {
    let dir = Path::new("/segments");
    vfs.create_dir_all(dir).unwrap();
    let mut writer = SegmentWriter::create(vfs.clone(), dir, SegmentId(id), TableId(1024), schema(), &[KEY]).unwrap();
    for batch in batches {
        writer.append(encode_block(&[KEY], batch, None).unwrap()).unwrap();
    }
    let meta = writer.finish().unwrap();
    Segment::open(vfs.clone(), frames.clone(), &meta.path, meta.id)
}

/// A table and where it lives.
struct Fixture {
    source: Arc<ScanSource>,
    all: RecordBatch,
    frames: Arc<Frames>,
    budget: Arc<MemoryBudget>,
}

/// A table of blocks with these rows; a negative number is a mem block.
fn fixture(random: &mut Rng, blocks: &[i64], repeat: u32, limit_bytes: usize) -> Fixture {
    let budget = MemoryBudget::new(limit_bytes);
    let frames = Frames::new(&budget);
    let account = Arc::new(budget.register("mem blocks"));
    let vfs = FaultyVfs::new(1).shared();
    let (mut sources, mut batches, mut key) = (Vec::new(), Vec::new(), 0);
    for (id, rows) in blocks.iter().enumerate() {
        let batch = batch(random, rows.unsigned_abs() as usize, key, repeat);
        key = batch.column(KEY).as_primitive::<Int64Type>().values().last().copied().unwrap_or(key);
        if *rows < 0 {
            sources.push(BlockSource::mem(&MemBlock::new(&batch, &account).unwrap()));
        } else {
            let segment = segment(&vfs, &frames, id as u64 + 1, std::slice::from_ref(&batch));
            sources.extend(segment.blocks().unwrap().into_iter().map(BlockSource::column));
        }
        batches.push(batch);
    }
    let all = concat_batches(&schema(), &batches).unwrap();
    let clustered_by = blocks.iter().all(|rows| *rows > 0).then_some(KEY);
    let source = ScanSource { schema: schema(), blocks: sources, snapshot: Timestamp(10), clustered_by };
    Fixture { source: Arc::new(source), all, frames, budget }
}

/// A value of the oracle.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Integer(i128),
    Float(f64),
    Bytes(Vec<u8>),
    Boolean(bool),
}

fn value(values: &ArrayRef, row: usize) -> Option<Value> {
    values.is_valid(row).then(|| match values.data_type() {
        DataType::Int64 => Value::Integer(values.as_primitive::<Int64Type>().value(row).into()),
        DataType::Int32 => Value::Integer(values.as_primitive::<Int32Type>().value(row).into()),
        DataType::Date32 => Value::Integer(values.as_primitive::<arrow::datatypes::Date32Type>().value(row).into()),
        DataType::Decimal128(..) => {
            Value::Integer(values.as_primitive::<arrow::datatypes::Decimal128Type>().value(row))
        }
        DataType::Float64 => Value::Float(values.as_primitive::<arrow::datatypes::Float64Type>().value(row)),
        DataType::Utf8View => Value::Bytes(values.as_string_view().value(row).as_bytes().to_vec()),
        DataType::Boolean => Value::Boolean(values.as_boolean().value(row)),
        other => panic!("{other}"),
    })
}

fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        _ => panic!("{a:?} and {b:?}"),
    }
}

fn passes(predicate: &Predicate, batch: &RecordBatch, row: usize) -> bool {
    let value_here = value(batch.column(predicate.column()), row);
    let against = |constant: &ArrayRef, at: usize| {
        value_here.as_ref().map(|v| order(v, &value(constant, at).expect("constants are not NULL")))
    };
    match predicate {
        Predicate::IsNull { .. } => value_here.is_none(),
        Predicate::IsNotNull { .. } => value_here.is_some(),
        Predicate::Compare { op, value, .. } => against(value, 0).is_some_and(|order| match op {
            CompareOp::Eq => order.is_eq(),
            CompareOp::NotEq => order.is_ne(),
            CompareOp::Lt => order.is_lt(),
            CompareOp::LtEq => order.is_le(),
            CompareOp::Gt => order.is_gt(),
            CompareOp::GtEq => order.is_ge(),
        }),
        Predicate::Between { low, high, .. } => {
            against(low, 0).is_some_and(|o| o.is_ge()) && against(high, 0).is_some_and(|o| o.is_le())
        }
        Predicate::In { values, .. } => (0..values.len()).any(|at| against(values, at).is_some_and(|o| o.is_eq())),
        Predicate::InBitmap { base, bits, .. } => match value_here {
            Some(Value::Integer(v)) => usize::try_from(v - i128::from(*base))
                .is_ok_and(|bit| bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)),
            _ => false,
        },
        Predicate::Prefix { prefix, negated, .. } => match value_here {
            Some(Value::Bytes(v)) => v.starts_with(prefix) != *negated,
            _ => false,
        },
    }
}

/// A random condition whose constants come from the table itself.
fn random_predicate(random: &mut Rng, all: &RecordBatch) -> Predicate {
    let column = random.usize(0..8);
    let values = all.column(column);
    let constant = |random: &mut Rng| loop {
        let row = random.usize(0..all.num_rows());
        if values.is_valid(row) {
            return values.slice(row, 1);
        }
        if values.null_count() == values.len() {
            return ScalarDefault::of(values.data_type());
        }
    };
    let ops = [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];
    match random.u32(0..8) {
        0 => Predicate::IsNull { column },
        1 => Predicate::IsNotNull { column },
        2 => Predicate::Between { column, low: constant(random), high: constant(random) },
        3 => {
            let picked: Vec<ArrayRef> = (0..random.usize(1..6)).map(|_| constant(random)).collect();
            let picked: Vec<&dyn Array> = picked.iter().map(AsRef::as_ref).collect();
            Predicate::In { column, values: arrow::compute::concat(&picked).unwrap() }
        }
        4 if column == MODE || column == COMMENT => {
            Predicate::Prefix { column, prefix: b"RAI"[..random.usize(0..4)].to_vec(), negated: random.bool() }
        }
        5 if column == SMALL || column == KEY => {
            let bits = (0..20).map(|_| random.u64(..)).collect();
            Predicate::InBitmap { column, base: random.i64(-10..30), bits: Arc::new(bits) }
        }
        _ => Predicate::Compare { column, op: ops[random.usize(0..6)], value: constant(random) },
    }
}

/// A value for columns that hold none.
struct ScalarDefault;

impl ScalarDefault {
    fn of(data_type: &DataType) -> ArrayRef {
        match data_type {
            DataType::Utf8View => Arc::new(StringViewArray::from(vec!["x"])),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true])),
            other => arrow::compute::cast(&Int32Array::from(vec![1]), other).unwrap(),
        }
    }
}

/// `small + key` is even, or NULL.
#[derive(Debug)]
struct SumIsEven;

impl RowFilter for SumIsEven {
    fn columns(&self) -> &[usize] {
        &[KEY, SMALL]
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let (keys, smalls) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int32Type>());
        Ok(keys.iter().zip(smalls).map(|(key, small)| Some((key? + i64::from(small?)) % 2 == 0)).collect())
    }
}

/// `flag`.
#[derive(Debug)]
struct IsFlagged;

impl RowFilter for IsFlagged {
    fn columns(&self) -> &[usize] {
        &[FLAG]
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        Ok(batch.column(0).as_boolean().clone())
    }
}

/// Rows of the table that a spec selects.
fn expected_rows(all: &RecordBatch, spec: &ScanSpec) -> Vec<u32> {
    let answers: Vec<BooleanArray> =
        spec.row_filters.iter().map(|f| f.evaluate(&all.project(f.columns()).unwrap()).unwrap()).collect();
    let rows = 0..all.num_rows();
    let passing = rows.filter(|&row| {
        answers.iter().all(|answer| answer.is_valid(row) && answer.value(row))
            && spec.predicates.iter().all(|p| passes(p, all, row))
    });
    passing.map(|row| row as u32).collect()
}

fn expected(all: &RecordBatch, spec: &ScanSpec) -> RecordBatch {
    let rows = UInt32Array::from(expected_rows(all, spec));
    take_record_batch(&all.project(&spec.projection).unwrap(), &rows).unwrap()
}

fn collect(scan: &Scan) -> RecordBatch {
    let batches: Vec<RecordBatch> = scan.reader().map(|batch| batch.unwrap()).collect();
    assert!(batches.iter().all(|batch| batch.num_rows() > 0));
    concat_batches(&scan.schema(), &batches).unwrap()
}

/// Compares columns, and where they differ printed values: NaN is not equal to itself.
fn assert_same(left: &RecordBatch, right: &RecordBatch, what: &str) {
    assert_eq!(left.num_rows(), right.num_rows(), "{what}");
    assert_eq!(left.schema().fields(), right.schema().fields(), "{what}");
    for (a, b) in left.columns().iter().zip(right.columns()).filter(|(a, b)| a != b) {
        for row in 0..left.num_rows() {
            let (a, b) = (value(a, row), value(b, row));
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "row {row}, {what}");
        }
    }
}

fn random_spec(random: &mut Rng, all: &RecordBatch) -> ScanSpec {
    let filters: [Arc<dyn RowFilter>; 2] = [Arc::new(SumIsEven), Arc::new(IsFlagged)];
    ScanSpec {
        projection: (0..random.usize(1..6)).map(|_| random.usize(0..8)).collect(),
        predicates: (0..random.usize(0..4)).map(|_| random_predicate(random, all)).collect(),
        row_filters: filters.into_iter().filter(|_| random.u32(0..3) == 0).collect(),
        dynamic: vec![],
        places: false,
        batch_rows: [0, 0, 100, 3000, 20_000][random.usize(0..5)],
    }
}

#[test]
fn scans_match_brute_force() {
    let mut random = Rng::with_seed(42);
    let shapes: [&[i64]; 5] =
        [&[30_000, 5], &[1], &[-20, 9000, -9000, 8192], &[8193, 1024, 1023, -1], &[122_880, 20_000]];
    for shape in shapes {
        let table = fixture(&mut random, shape, 3, 1 << 30);
        for round in 0..if table.all.num_rows() > 100_000 { 6 } else { 25 } {
            let spec = random_spec(&mut random, &table.all);
            let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
            let wanted = expected(&table.all, &spec);
            assert!(scan.rows_upper_bound() >= wanted.num_rows() as u64);
            assert_same(&collect(&scan), &wanted, &format!("{shape:?} round {round} {spec:?}"));
            let metrics = scan.metrics();
            assert_eq!(metrics.rows_returned.load(Ordering::Relaxed), wanted.num_rows() as u64);
            assert_same(&collect(&scan.fresh()), &wanted, "fresh");
        }
    }
}

#[test]
fn several_readers_share_the_rows() {
    let mut random = Rng::with_seed(7);
    let table = fixture(&mut random, &[50_000, 122_880, -3000, 40_000], 3, 1 << 30);
    for _ in 0..4 {
        let mut spec = random_spec(&mut random, &table.all);
        spec.projection = vec![KEY, COMMENT];
        let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| collect(&scan))).collect();
            found.extend(readers.into_iter().map(|reader| reader.join().unwrap()));
        });
        let print = |batch: &RecordBatch| -> Vec<String> {
            let rows = 0..batch.num_rows();
            rows.map(|row| format!("{:?}", batch.columns().iter().map(|c| value(c, row)).collect::<Vec<_>>())).collect()
        };
        let mut found: Vec<String> = found.iter().flat_map(print).collect();
        let mut wanted = print(&expected(&table.all, &spec));
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn an_empty_projection_counts() {
    let mut random = Rng::with_seed(3);
    let table = fixture(&mut random, &[40_000, -100, 700], 1, 1 << 30);
    for predicates in [vec![], vec![random_predicate(&mut random, &table.all)]] {
        let spec = ScanSpec { predicates, ..ScanSpec::default() };
        let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
        let rows: usize = scan.reader().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, expected_rows(&table.all, &spec).len());
        assert_eq!(scan.metrics().rows_decoded.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn zone_maps_prune_a_sorted_column() {
    let mut random = Rng::with_seed(5);
    let table = fixture(&mut random, &[122_880, 122_880], 1, 1 << 30);
    let value: ArrayRef = Arc::new(Int64Array::from(vec![100_000]));
    let predicates = vec![Predicate::Compare { column: KEY, op: CompareOp::Eq, value }];
    let spec = ScanSpec { projection: vec![KEY], predicates, ..ScanSpec::default() };
    let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
    assert_same(&collect(&scan), &expected(&table.all, &spec), "point");
    let metrics = scan.metrics();
    assert_eq!(metrics.zones.load(Ordering::Relaxed), 30);
    assert_eq!(metrics.zones_pruned.load(Ordering::Relaxed), 29);
    assert_eq!(metrics.rows_filtered.load(Ordering::Relaxed), 8192);
    assert_eq!(scan.rows_upper_bound(), 8192);
}

/// A filter that learns something after a few polls.
#[derive(Debug)]
struct Learning {
    polls: AtomicU64,
    learnt: DynamicConditions,
}

impl DynamicFilter for Learning {
    fn generation(&self) -> u64 {
        self.polls.fetch_add(1, Ordering::Relaxed) / 3
    }

    fn current(&self) -> DynamicConditions {
        if self.polls.load(Ordering::Relaxed) > 3 { self.learnt.clone() } else { DynamicConditions::default() }
    }
}

#[test]
fn dynamic_filters_drop_only_rows_that_fail_them() {
    let mut random = Rng::with_seed(11);
    let table = fixture(&mut random, &[122_880, 122_880, 30_000, -5000], 1, 1 << 30);
    for _ in 0..20 {
        let learnt = DynamicConditions {
            predicates: (0..2).map(|_| random_predicate(&mut random, &table.all)).collect(),
            row_filters: if random.bool() { vec![Arc::new(SumIsEven)] } else { vec![] },
        };
        let mut spec = random_spec(&mut random, &table.all);
        spec.projection = vec![KEY];
        let lenient = expected_rows(&table.all, &spec);
        let strict = ScanSpec {
            predicates: spec.predicates.iter().chain(&learnt.predicates).cloned().collect(),
            row_filters: spec.row_filters.iter().chain(&learnt.row_filters).cloned().collect(),
            ..spec.clone()
        };
        let strict = expected_rows(&table.all, &strict);
        spec.dynamic = vec![Arc::new(Learning { polls: AtomicU64::new(0), learnt })];
        let found = collect(&Scan::plan(table.source.clone(), spec).unwrap());
        // Keys are unique here: row i has key i + 1.
        let found: Vec<u32> =
            found.column(0).as_primitive::<Int64Type>().values().iter().map(|k| *k as u32 - 1).collect();
        assert!(found.iter().all(|row| lenient.binary_search(row).is_ok()));
        assert!(strict.iter().all(|row| found.binary_search(row).is_ok()));
    }
}

#[test]
fn rows_outside_the_snapshot_are_hidden() {
    let mut random = Rng::with_seed(13);
    let table = fixture(&mut random, &[20_000, -9000], 1, 1 << 30);
    let vfs = FaultyVfs::new(1).shared();
    let batch = batch(&mut random, 10_000, 1_000_000, 1);
    let runs = [(Timestamp(9), 100), (Timestamp(11), 9000), (Timestamp(10), 900)];
    let dir = Path::new("/segments");
    vfs.create_dir_all(dir).unwrap();
    let mut writer = SegmentWriter::create(vfs.clone(), dir, SegmentId(99), TableId(1024), schema(), &[KEY]).unwrap();
    writer.append(encode_block(&[KEY], &batch, Some(&runs)).unwrap()).unwrap();
    let meta = writer.finish().unwrap();
    let segment = Segment::open(vfs, table.frames.clone(), &meta.path, meta.id);

    let mut blocks = table.source.blocks.clone();
    for block in &mut blocks {
        let mut dead = DeadMask::default();
        for row in (1..block.row_count()).step_by(2) {
            dead.insert(row);
        }
        block.dead = Some(Arc::new(dead));
    }
    blocks.extend(segment.blocks().unwrap().into_iter().map(BlockSource::column));
    let source = ScanSource { schema: schema(), blocks, snapshot: Timestamp(10), clustered_by: None };
    let spec = ScanSpec { projection: vec![KEY, MODE], ..ScanSpec::default() };
    let found = collect(&Scan::plan(Arc::new(source), spec.clone()).unwrap());

    let odd = UInt32Array::from_iter_values((0..29_000).filter(|row| (row - row / 20_000 * 20_000) % 2 == 0));
    let seen = UInt32Array::from_iter_values((0..100).chain(9100..10_000));
    let wanted = [take_record_batch(&table.all, &odd).unwrap(), take_record_batch(&batch, &seen).unwrap()];
    let wanted = concat_batches(&schema(), &wanted).unwrap().project(&spec.projection).unwrap();
    assert_same(&found, &wanted, "visible rows");
}

#[test]
fn key_ranges_are_disjoint_and_complete() {
    let mut random = Rng::with_seed(17);
    for (repeat, blocks) in
        [(1, vec![122_880, 60_000]), (50, vec![50_000, 30_000, 8192]), (40_000, vec![60_000, 60_000]), (5, vec![9000])]
    {
        let table = fixture(&mut random, &blocks, repeat, 1 << 30);
        for parts in [2, 3, 7] {
            let spec = ScanSpec { projection: vec![KEY, COMMENT], ..ScanSpec::default() };
            let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
            let Some((scans, starts)) = scan.split_by_key(parts).unwrap() else { continue };
            assert!(scans.len() <= parts && starts.len() + 1 == scans.len());
            let pieces: Vec<RecordBatch> = scans.iter().map(collect).collect();
            let whole = concat_batches(&scan.schema(), &pieces).unwrap();
            assert_same(&whole, &expected(&table.all, &spec), "in order and complete");
            let keys = |piece: &RecordBatch| piece.column(0).as_primitive::<Int64Type>().values().to_vec();
            for (index, start) in starts.iter().enumerate() {
                let start = start.as_primitive::<Int64Type>().value(0);
                assert_eq!(keys(&pieces[index + 1])[0], start);
                assert!(keys(&pieces[index]).iter().all(|key| *key < start));
            }
            if repeat == 1 {
                assert_eq!(scans.len(), parts);
                let sizes = pieces.iter().map(RecordBatch::num_rows);
                assert!(sizes.max().unwrap() < table.all.num_rows() / parts + 2 * 8192);
            }
            let again = scans[1].with_spec(random_spec(&mut random, &table.all)).unwrap();
            let part = table.all.slice(pieces[0].num_rows(), pieces[1].num_rows());
            assert_same(&collect(&again), &expected(&part, &again.plan.spec), "another spec over a part");
        }
    }
}

#[test]
fn a_table_larger_than_the_budget_can_be_scanned() {
    let mut random = Rng::with_seed(19);
    let table = fixture(&mut random, &[122_880, 122_880, 122_880], 1, 600 * 1024);
    let spec = ScanSpec { projection: vec![KEY, PRICE, COMMENT], ..ScanSpec::default() };
    let scan = Scan::plan(table.source.clone(), spec.clone()).unwrap();
    for _ in 0..3 {
        assert_same(&collect(&scan.fresh()), &expected(&table.all, &spec), "tiny budget");
    }
    let counters = table.frames.counters();
    assert!(counters.evictions > 0, "{counters:?}");
    assert!(table.budget.used_bytes() <= table.budget.limit_bytes(), "{counters:?}");
    // Another consumer gets all of it.
    let operator = table.budget.register("operator");
    operator.try_grow(table.budget.limit_bytes()).unwrap();
    assert_eq!(table.frames.counters().bytes, 0);
    assert_same(&collect(&scan.fresh()), &expected(&table.all, &spec), "no memory left for frames");
    assert_eq!(table.frames.counters().bytes, 0);
}

#[test]
fn a_reader_ends_after_an_error() {
    let mut random = Rng::with_seed(23);
    let faulty = FaultyVfs::new(1);
    let budget = MemoryBudget::new(1 << 30);
    let frames = Frames::new(&budget);
    let rows = batch(&mut random, 30_000, 0, 1);
    let segment = segment(&faulty.shared(), &frames, 1, &[rows]);
    faulty.flip_bit(segment.path(), 200, 3);
    let blocks = segment.blocks().unwrap().into_iter().map(BlockSource::column).collect();
    let source = ScanSource { schema: schema(), blocks, snapshot: Timestamp(1), clustered_by: None };
    let spec = ScanSpec { projection: vec![KEY], ..ScanSpec::default() };
    let scan = Scan::plan(Arc::new(source), spec).unwrap();
    let mut reader = scan.reader();
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let Error::Corrupt { path, offset, .. } = error else { panic!("{error}") };
    assert_eq!((path.as_path(), offset), (segment.path(), 64));
    assert!(reader.next().is_none());
}

#[test]
fn unknown_columns_are_refused() {
    let mut random = Rng::with_seed(29);
    let table = fixture(&mut random, &[-10], 1, 1 << 20);
    assert!(matches!(table.source.blocks[0].rows, BlockRows::Mem(_)));
    let spec = ScanSpec { projection: vec![8], ..ScanSpec::default() };
    assert!(Scan::plan(table.source.clone(), spec).is_err());
    let spec = ScanSpec { predicates: vec![Predicate::IsNull { column: 9 }], ..ScanSpec::default() };
    assert!(Scan::plan(table.source, spec).is_err());
}
