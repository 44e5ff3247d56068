//! Measures the column codecs on TPC-H columns and on times of measurements, one thread, minimum of several runs: filter, decode, single reads,
//! encoding, and how much smaller a column gets.
//!
//! `cargo run --release -p benches --bin codecs` prints the table; `-- --scale 1` measures whole tables' sizes too.
//! Filters run over a chunk with all rows alive; the constant lies inside the column's range so that vectors cannot be
//! decided from their bounds alone. Everything is generated in memory and the same in every run.

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::compute::concat;
use lightning_storage::codec::{
    BoundPredicate, ColumnBuilder, EncodedChunk, Mask, Page, VECTOR_ROWS, encode_chunk, open_shared,
};
use lightning_storage::{CompareOp, Predicate};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tpchgen::generators::*;
use tpchgen_arrow::*;

/// Rows of a column block.
const CHUNK_ROWS: usize = 122_880;
/// Runs each figure is the best of.
const RUNS: usize = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let scale = arguments.iter().position(|a| a == "--scale").and_then(|i| arguments.get(i + 1)?.parse().ok());
    measure_chunks();
    if let Some(scale) = scale {
        measure_tables(scale);
    }
}

/// One chunk of each interesting column.
fn measure_chunks() {
    println!(
        "{:<16} {:<11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "column", "encoding", "filter", "decode", "one value", "half", "encode", "ratio"
    );
    println!(
        "{:<16} {:<11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "", "G val/s", "M val/s", "ns", "M val/s", "MB/s", ""
    );
    let lineitem = first_chunk(LineItemArrow::new(LineItemGenerator::new(0.1, 1, 1)).with_batch_size(8192));
    let orders = first_chunk(OrderArrow::new(OrderGenerator::new(0.1, 1, 1)).with_batch_size(8192));
    let part_supp = first_chunk(PartSuppArrow::new(PartSuppGenerator::new(0.2, 1, 1)).with_batch_size(8192));
    for batch in [&lineitem, &orders, &part_supp] {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            measure(field.name(), column);
        }
    }
    for (name, times) in times() {
        measure(name, &times);
    }
}

/// Times of measurements, about one a second: with gaps, and by a clock that drifts.
fn times() -> [(&'static str, ArrayRef); 2] {
    const SECOND: i64 = 1_000_000;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |end: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % end
    };
    let gaps = (0..CHUNK_ROWS).map(|_| if below(200) == 0 { below(3600) * SECOND } else { SECOND }).collect();
    let mut step = SECOND;
    let mut drifted = || {
        step += below(4) - 1;
        step
    };
    let drift = (0..CHUNK_ROWS).map(|_| drifted()).collect();
    let column = |steps: Vec<i64>| -> ArrayRef {
        let times = steps.iter().scan(0, |time, step| {
            *time += step;
            Some(*time)
        });
        Arc::new(TimestampMicrosecondArray::from_iter_values(times))
    };
    [("times with gaps", column(gaps)), ("times that drift", column(drift))]
}

/// Batches until a chunk is full, as one.
fn first_chunk<E: std::fmt::Debug>(batches: impl Iterator<Item = Result<RecordBatch, E>>) -> RecordBatch {
    let mut taken = Vec::new();
    let mut rows = 0;
    for batch in batches {
        let batch = batch.expect("generated data");
        rows += batch.num_rows();
        taken.push(batch);
        if rows >= CHUNK_ROWS {
            break;
        }
    }
    let all = arrow::compute::concat_batches(&taken[0].schema(), &taken).expect("batches of one schema");
    all.slice(0, rows.min(CHUNK_ROWS))
}

fn measure(name: &str, values: &ArrayRef) {
    let rows = values.len();
    let chunk = encode_chunk(values).expect("column encodes");
    let pages = open(values, &chunk);
    let encode = best(3, || drop(black_box(encode_chunk(values).expect("column encodes"))));
    let constant = values.slice(rows / 2, 1);
    let predicate = BoundPredicate::bind(
        &Predicate::Compare {
            column: 0,
            op: if is_text(values) { CompareOp::Eq } else { CompareOp::LtEq },
            value: constant,
        },
        values.data_type(),
    )
    .expect("comparison binds");
    let mut masks: Vec<Mask> = pages.iter().map(|page| Mask::all(page.rows())).collect();
    let filter = best(RUNS, || {
        for (page, mask) in pages.iter().zip(&mut masks) {
            mask.words.fill(u64::MAX);
            page.filter(&predicate, 0..page.rows(), mask, 0);
        }
        black_box(&masks);
    });
    let decode = best(RUNS, || read(values, &pages, |page, out| page.decode(0..page.rows(), out)));
    let half: Vec<Mask> = pages.iter().map(|page| every_other(page.rows())).collect();
    let mut number = 0;
    let select = best(RUNS, || {
        number = 0;
        read(values, &pages, |page, out| {
            number += 1;
            page.select(0..page.rows(), &half[number - 1], 0, out)
        });
    });
    println!(
        "{:<16} {:<11} {:>9.2} {:>9.0} {:>9.1} {:>9.0} {:>9.0} {:>7.2}",
        name,
        chunk.encoding.name(),
        rows as f64 / filter.as_secs_f64() / 1e9,
        rows as f64 / decode.as_secs_f64() / 1e6,
        one_value_ns(values, &pages),
        rows as f64 / select.as_secs_f64() / 1e6,
        chunk.raw_bytes as f64 / encode.as_secs_f64() / 1e6,
        chunk.raw_bytes as f64 / encoded_bytes(&chunk) as f64,
    );
}

fn is_text(values: &ArrayRef) -> bool {
    matches!(values.data_type(), arrow::datatypes::DataType::Utf8View)
}

/// Every second row.
fn every_other(rows: usize) -> Mask {
    let mut mask = Mask::all(rows);
    mask.words.iter_mut().for_each(|word| *word &= 0x5555_5555_5555_5555);
    mask
}

/// Runs `each` for every 8,192 rows' worth of pages into a fresh builder, as a scan does.
fn read(
    values: &ArrayRef,
    pages: &[Page],
    mut each: impl FnMut(&Page, &mut ColumnBuilder) -> lightning_storage::Result<()>,
) {
    for page in pages {
        let mut out = ColumnBuilder::new(values.data_type(), page.rows());
        each(page, &mut out).expect("page decodes");
        black_box(&out);
    }
}

/// Random single reads, in batches so that the clock does not count.
fn one_value_ns(values: &ArrayRef, pages: &[Page]) -> f64 {
    const READS: usize = 2048;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let places: Vec<(usize, usize)> = (0..READS)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let page = (state >> 40) as usize % pages.len();
            (page, (state >> 20) as usize % pages[page].rows())
        })
        .collect();
    let time = best(RUNS, || {
        let mut out = ColumnBuilder::new(values.data_type(), READS);
        for &(page, row) in &places {
            pages[page].value(row, &mut out).expect("value decodes");
        }
        black_box(&out);
    });
    time.as_secs_f64() * 1e9 / READS as f64
}

fn best(runs: usize, mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..runs).map(|_| time(&mut work)).min().unwrap_or_default()
}

fn encoded_bytes(chunk: &EncodedChunk) -> usize {
    chunk.pages.iter().map(|page| page.bytes.len()).sum::<usize>() + chunk.shared.iter().map(Vec::len).sum::<usize>()
}

fn open(values: &ArrayRef, chunk: &EncodedChunk) -> Vec<Page> {
    let shared: Vec<Buffer> = chunk.shared.iter().map(|page| aligned(page)).collect();
    let shared = open_shared(values.data_type(), chunk.encoding, &shared).expect("shared pages open");
    let open = |page: &lightning_storage::codec::EncodedPage| {
        let bytes = aligned(&page.bytes);
        Page::open(values.data_type(), chunk.encoding, page.rows, bytes, Some(&shared)).expect("page opens")
    };
    let opening = best(3, || chunk.pages.iter().for_each(|page| drop(black_box(open(page)))));
    if opening > Duration::from_micros(500 * chunk.pages.len() as u64) {
        println!("  opening takes {opening:?} for {} pages", chunk.pages.len());
    }
    chunk.pages.iter().map(open).collect()
}

fn aligned(bytes: &[u8]) -> Buffer {
    let mut copy = MutableBuffer::with_capacity(bytes.len());
    copy.extend_from_slice(bytes);
    copy.into()
}

/// Encoded size of all tables and time to encode them, column by column.
fn measure_tables(scale: f64) {
    println!("\n{:<18} {:<11} {:>12} {:>12} {:>7} {:>9}", "column", "encoding", "raw", "encoded", "ratio", "MB/s");
    let mut total = Total::default();
    total.add("lineitem", LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)).with_batch_size(8192));
    total.add("orders", OrderArrow::new(OrderGenerator::new(scale, 1, 1)).with_batch_size(8192));
    total.add("partsupp", PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)).with_batch_size(8192));
    total.add("part", PartArrow::new(PartGenerator::new(scale, 1, 1)).with_batch_size(8192));
    total.add("customer", CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)).with_batch_size(8192));
    total.add("supplier", SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)).with_batch_size(8192));
    println!(
        "all: {:.1} MB raw, {:.1} MB encoded, {:.2} s of encoding",
        total.raw as f64 / 1e6,
        total.encoded as f64 / 1e6,
        total.time.as_secs_f64()
    );
}

#[derive(Default)]
struct Total {
    raw: usize,
    encoded: usize,
    time: Duration,
}

impl Total {
    fn add<E: std::fmt::Debug>(&mut self, table: &str, batches: impl Iterator<Item = Result<RecordBatch, E>>) {
        let mut columns: Vec<(String, &'static str, usize, usize, Duration)> = Vec::new();
        let mut buffered: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        let mut flush = |buffered: &mut Vec<RecordBatch>| {
            let Some(first) = buffered.first() else { return };
            for (i, field) in first.schema().fields().iter().enumerate() {
                let parts: Vec<&dyn Array> = buffered.iter().map(|batch| batch.column(i).as_ref()).collect();
                let values = concat(&parts).expect("parts of one column");
                let start = Instant::now();
                let chunk = encode_chunk(&values).expect("column encodes");
                let time = start.elapsed();
                if columns.len() <= i {
                    columns.push((field.name().clone(), chunk.encoding.name(), 0, 0, Duration::ZERO));
                }
                columns[i].2 += chunk.raw_bytes;
                columns[i].3 += encoded_bytes(&chunk);
                columns[i].4 += time;
            }
            buffered.clear();
        };
        for batch in batches {
            let batch = batch.expect("generated data");
            rows += batch.num_rows();
            buffered.push(batch);
            if rows >= CHUNK_ROWS {
                flush(&mut buffered);
                rows = 0;
            }
        }
        flush(&mut buffered);
        let mut sum = (0, 0, Duration::ZERO);
        for (name, encoding, raw, encoded, time) in columns {
            let ratio = raw as f64 / encoded as f64;
            let speed = raw as f64 / time.as_secs_f64() / 1e6;
            println!("{name:<18} {encoding:<11} {raw:>12} {encoded:>12} {ratio:>7.2} {speed:>9.0}");
            sum = (sum.0 + raw, sum.1 + encoded, sum.2 + time);
        }
        println!("{table:<18} {:<11} {:>12} {:>12} {:>17.2} s", "", sum.0, sum.1, sum.2.as_secs_f64());
        self.raw += sum.0;
        self.encoded += sum.1;
        self.time += sum.2;
    }
}

const _: () = assert!(CHUNK_ROWS.is_multiple_of(VECTOR_ROWS));
