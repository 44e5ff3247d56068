//! Times full scans over a synthetic table like TPC-H's lineitem, for profiling: `cargo run --release -p
//! lightning-storage --example scan_profile -- [rows] [repeats] [threads]`.

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef};
use lightning_storage::{CompareOp, Engine, Options, Predicate, Scan, ScanSpec, TableDefinition};
use lightning_vfs::MemoryVfs;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const KEY: usize = 0;
const QUANTITY: usize = 2;
const PRICE: usize = 3;
const DISCOUNT: usize = 4;
const SHIPDATE: usize = 5;
const SHIPMODE: usize = 6;
const COMMENT: usize = 7;

fn schema() -> SchemaRef {
    let money = DataType::Decimal128(15, 2);
    let columns = [
        ("orderkey", DataType::Int64),
        ("partkey", DataType::Int64),
        ("quantity", money.clone()),
        ("extendedprice", money.clone()),
        ("discount", money),
        ("shipdate", DataType::Date32),
        ("shipmode", DataType::Utf8View),
        ("comment", DataType::Utf8View),
    ];
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()))
}

fn batch(random: &mut fastrand::Rng, rows: usize, key: &mut i64) -> RecordBatch {
    let money = |values: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(15, 2).expect("precision 15 is valid"))
    };
    let modes = ["AIR", "MAIL", "SHIP", "TRUCK", "RAIL", "FOB", "REG AIR"];
    let words = ["carefully ", "final ", "deposits ", "sleep ", "quickly ", "furiously ", "ideas ", "packages "];
    let comment = |random: &mut fastrand::Rng| -> String {
        (0..random.usize(2..5)).map(|_| words[random.usize(0..words.len())]).collect()
    };
    let keys: Vec<i64> = (0..rows)
        .map(|_| {
            *key += i64::from(random.u32(0..4) == 0);
            *key
        })
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys)),
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| random.i64(1..200_000)))),
        money((0..rows).map(|_| random.i128(1..=50) * 100).collect()),
        money((0..rows).map(|_| random.i128(90_000..10_500_000)).collect()),
        money((0..rows).map(|_| random.i128(0..=10)).collect()),
        Arc::new(Date32Array::from_iter_values((0..rows).map(|_| random.i32(8036..10_562)))),
        Arc::new(StringViewArray::from_iter_values((0..rows).map(|_| modes[random.usize(0..7)]))),
        Arc::new(StringViewArray::from_iter_values((0..rows).map(|_| comment(random)))),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns fit the schema")
}

fn money(value: i128) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(15, 2).expect("precision 15 is valid"))
}

fn date(value: i32) -> ArrayRef {
    Arc::new(Date32Array::from(vec![value]))
}

fn q6() -> Vec<Predicate> {
    vec![
        Predicate::Compare { column: SHIPDATE, op: CompareOp::GtEq, value: date(8766) },
        Predicate::Compare { column: SHIPDATE, op: CompareOp::Lt, value: date(9131) },
        Predicate::Between { column: DISCOUNT, low: money(5), high: money(7) },
        Predicate::Compare { column: QUANTITY, op: CompareOp::Lt, value: money(2400) },
    ]
}

/// Reads everything on `threads` threads; rows, and a sum over the first two columns so that nothing is skipped.
fn drain(scan: &Scan, threads: usize) -> (usize, i128) {
    let read = || -> (usize, i128) {
        let (mut rows, mut sum) = (0, 0i128);
        for batch in scan.reader() {
            let batch = batch.expect("the scan succeeds");
            rows += batch.num_rows();
            if batch.num_columns() == 2 && matches!(batch.column(0).data_type(), DataType::Decimal128(..)) {
                let (a, b) = (
                    batch.column(0).as_primitive::<Decimal128Type>(),
                    batch.column(1).as_primitive::<Decimal128Type>(),
                );
                sum += a.values().iter().zip(b.values()).map(|(a, b)| a * b).sum::<i128>();
            }
        }
        (rows, sum)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        readers.into_iter().map(|r| r.join().expect("readers do not panic")).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    })
}

fn time(name: &str, scan: &Scan, repeats: usize, threads: usize) {
    let mut best = Duration::MAX;
    let mut result = (0, 0);
    for _ in 0..repeats {
        let scan = scan.fresh();
        let start = Instant::now();
        result = drain(&scan, threads);
        best = best.min(start.elapsed());
        let metrics = scan.metrics();
        let pruned = metrics.zones_pruned.load(Ordering::Relaxed);
        assert!(pruned <= metrics.zones.load(Ordering::Relaxed));
    }
    println!("{name:28} {:9.3} ms   {} rows, sum {}", best.as_secs_f64() * 1e3, result.0, result.1);
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default: usize| arguments.next().unwrap_or(Ok(default));
    let (rows, repeats, threads) = (next(6_000_000)?, next(10)?, next(1)?);
    let options = Options { memory_limit_bytes: 8 << 30, threads: 2 };
    let engine = Engine::open(MemoryVfs::shared(), Path::new("/profile"), options)?;
    let mut txn = engine.begin();
    let table = txn.create_table(TableDefinition::new(schema(), vec![KEY]))?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut appender = txn.appender(table)?;
    let (mut key, mut left) = (0, rows);
    let mut encoding = Duration::ZERO;
    while left > 0 {
        let rows = left.min(65_536);
        let batch = batch(&mut random, rows, &mut key);
        let start = Instant::now();
        appender.push(batch)?;
        encoding += start.elapsed();
        left -= rows;
    }
    let start = Instant::now();
    appender.finish(&mut txn)?;
    txn.commit()?;
    println!("load {:.0} ms", (encoding + start.elapsed()).as_secs_f64() * 1e3);

    let snapshot = engine.snapshot();
    let plan = |projection: Vec<usize>, predicates: Vec<Predicate>| {
        snapshot.scan(table, ScanSpec { projection, predicates, ..ScanSpec::default() })
    };
    let start = Instant::now();
    plan(vec![PRICE], q6())?;
    println!("first plan {:.3} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    plan(vec![PRICE], q6())?;
    println!("second plan {:.3} ms", start.elapsed().as_secs_f64() * 1e3);

    time("Q6", &plan(vec![PRICE, DISCOUNT], q6())?, repeats, threads);
    time("Q6, conditions only", &plan(vec![], q6())?, repeats, threads);
    time("count", &plan(vec![], vec![])?, repeats, threads);
    time("decode key", &plan(vec![KEY], vec![])?, repeats, threads);
    time("decode partkey", &plan(vec![1], vec![])?, repeats, threads);
    time("decode price", &plan(vec![PRICE], vec![])?, repeats, threads);
    time("decode price, discount", &plan(vec![PRICE, DISCOUNT], vec![])?, repeats, threads);
    time("decode shipdate", &plan(vec![SHIPDATE], vec![])?, repeats, threads);
    time("decode shipmode", &plan(vec![SHIPMODE], vec![])?, repeats, threads);
    time("decode comment", &plan(vec![COMMENT], vec![])?, repeats, threads);
    let mail: ArrayRef = Arc::new(StringViewArray::from(vec!["MAIL"]));
    let mode = vec![Predicate::Compare { column: SHIPMODE, op: CompareOp::Eq, value: mail }];
    time("shipmode = MAIL", &plan(vec![], mode.clone())?, repeats, threads);
    time("comment where MAIL", &plan(vec![COMMENT], mode.clone())?, repeats, threads);
    time("price, key where MAIL", &plan(vec![PRICE, KEY], mode)?, repeats, threads);
    let dense = vec![u64::MAX - 1; 200_000 / 64 + 1];
    let parts = vec![Predicate::InBitmap { column: 1, base: 0, bits: Arc::new(dense) }];
    time("partkey in bitmap", &plan(vec![], parts)?, repeats, threads);
    Ok(())
}
