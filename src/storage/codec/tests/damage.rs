//! Damaged pages: whatever bits flip, opening answers an error or everything after it stays in bounds and yields valid
//! arrays. The page's checksum is what catches damage; this is about what happens when it does not.
//!
//! `LIGHTNING_LONG=1` flips many more bits.

use super::columns::*;
use crate::codec::layout::aligned;
use crate::codec::{BoundPredicate, ColumnBuilder, EncodedChunk, Encoding, Mask, Page, encode_chunk, open_shared};
use crate::predicate::{CompareOp, Predicate};
use arrow::array::*;
use arrow::datatypes::DataType;
use std::collections::HashSet;
use std::sync::Arc;

fn rounds() -> usize {
    if std::env::var_os("LIGHTNING_LONG").is_some() { 10_000 } else { 150 }
}

/// Columns that together use every encoding.
fn columns(random: &mut fastrand::Rng) -> Vec<ArrayRef> {
    let wide: Vec<i128> = (0..2500).map(|_| 10i128.pow(30) + i128::from(random.u32(..))).collect();
    let wide = Decimal128Array::from(wide).with_precision_and_scale(38, 0).unwrap();
    let mut columns = vec![
        Arc::new(wide) as ArrayRef,
        integers(&DataType::Int64, Shape::Constant, Nulls::None, 2500, random),
        integers(&DataType::Int64, Shape::Small, Nulls::Some, 2500, random),
        integers(&DataType::Int32, Shape::Wide, Nulls::None, 2500, random),
        integers(&DataType::UInt64, Shape::Extremes, Nulls::None, 2500, random),
        integers(&DataType::Int64, Shape::Sorted, Nulls::Rare, 5000, random),
        integers(&DataType::Int64, Shape::Sequence, Nulls::None, 5000, random),
        integers(&DataType::Int64, Shape::Series, Nulls::None, 9000, random),
        integers(&DataType::Int64, Shape::Gaps, Nulls::None, 9000, random),
        integers(&DataType::Int64, Shape::Drift, Nulls::Rare, 5000, random),
        integers(&DataType::Int32, Shape::Restless, Nulls::None, 5000, random),
        integers(&DataType::UInt64, Shape::Bursts, Nulls::None, 5000, random),
        integers(&DataType::Int64, Shape::Runs, Nulls::Rare, 9000, random),
        strings(&DataType::Utf8View, Words::Few, Nulls::Some, 2500, random),
        strings(&DataType::Utf8View, Words::FewLong, Nulls::None, 9000, random),
        strings(&DataType::Utf8View, Words::Text, Nulls::Rare, 2500, random),
        strings(&DataType::BinaryView, Words::Text, Nulls::None, 2500, random),
        strings(&DataType::Utf8View, Words::Random, Nulls::Some, 700, random),
        strings(&DataType::Utf8View, Words::Huge, Nulls::Some, 20, random),
        booleans(Nulls::Some, 2500, random),
        floats(&DataType::Float64, Nulls::Some, 2500, random),
        decimals(&DataType::Float64, Nulls::Some, 2500, random),
        decimals(&DataType::Float32, Nulls::None, 9000, random),
        measurements(&DataType::Float64, Nulls::Some, 2500, random),
        measurements(&DataType::Float32, Nulls::None, 9000, random),
        uuids(Nulls::Some, 300, random),
    ];
    columns.extend(others(Nulls::Some, 200, random));
    columns
}

#[test]
fn damaged_pages_never_leave_their_bounds() {
    let mut random = fastrand::Rng::with_seed(99);
    let mut seen = HashSet::new();
    let mut opened = 0;
    for values in columns(&mut random) {
        let chunk = encode_chunk(&values).unwrap();
        seen.insert(chunk.encoding.name());
        let predicates = predicates(&values);
        for _ in 0..rounds() {
            let mut damaged = chunk.clone();
            flip(&mut damaged, &mut random);
            opened += usize::from(exercise(&values, &damaged, &predicates, &mut random).is_ok());
        }
    }
    assert!(opened > 100, "most damage is not structural");
    let names = [
        "constant",
        "packed",
        "delta",
        "steps",
        "tsz",
        "run-length",
        "dictionary",
        "fsst",
        "lz4",
        "bits",
        "float",
        "alp",
        "gorilla",
        "arrow",
    ];
    for name in names {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
}

/// Flips one to eight bits somewhere in the chunk, headers and tables more often than their size would have it, or cuts a
/// page short.
fn flip(chunk: &mut EncodedChunk, random: &mut fastrand::Rng) {
    let shared = !chunk.shared.is_empty() && random.u32(..3) == 0;
    let bytes = if shared {
        let page = random.usize(..chunk.shared.len());
        &mut chunk.shared[page]
    } else {
        let page = random.usize(..chunk.pages.len());
        &mut chunk.pages[page].bytes
    };
    if random.u32(..20) == 0 {
        bytes.truncate(random.usize(..bytes.len()));
        return;
    }
    for _ in 0..random.usize(1..=8) {
        let end = if random.bool() { bytes.len().min(700) } else { bytes.len() };
        bytes[random.usize(..end)] ^= 1 << random.u32(..8);
    }
}

/// Conditions the type can have.
fn predicates(values: &ArrayRef) -> Vec<BoundPredicate> {
    let column = 0;
    let row = (0..values.len()).find(|&row| values.is_valid(row)).unwrap_or(0);
    let constant = values.slice(row, 1);
    let wanted = [
        Predicate::IsNull { column },
        Predicate::IsNotNull { column },
        Predicate::Compare { column, op: CompareOp::LtEq, value: Arc::clone(&constant) },
        Predicate::Compare { column, op: CompareOp::NotEq, value: Arc::clone(&constant) },
        Predicate::In { column, values: values.slice(0, values.len().min(9)) },
        Predicate::InBitmap { column, base: -100, bits: Arc::new(vec![0x5555_5555_0f0f_0f0f; 100]) },
        Predicate::Prefix { column, prefix: b"a".to_vec(), negated: false },
    ];
    wanted.iter().filter_map(|predicate| BoundPredicate::bind(predicate, values.data_type()).ok()).collect()
}

/// Uses everything a chunk offers.
fn exercise(
    values: &ArrayRef,
    chunk: &EncodedChunk,
    predicates: &[BoundPredicate],
    random: &mut fastrand::Rng,
) -> Result<(), String> {
    let shared: Vec<_> = chunk.shared.iter().map(|page| aligned(page)).collect();
    let shared = open_shared(values.data_type(), chunk.encoding, &shared)?;
    for page in &chunk.pages {
        let page = Page::open(values.data_type(), chunk.encoding, page.rows, aligned(&page.bytes), Some(&shared))?;
        let rows = page.rows();
        for predicate in predicates {
            let mut mask = Mask::all(rows);
            page.filter(predicate, 0..rows, &mut mask, 0);
            assert!(mask.count() <= rows);
        }
        let mut builder = ColumnBuilder::new(values.data_type(), rows);
        let mut mask = Mask::all(rows);
        mask.words.iter_mut().for_each(|word| *word &= random.u64(..));
        let wanted = mask.count();
        if page.select(0..rows, &mask, 0, &mut builder).is_ok() {
            let selected = builder.finish().map_err(|error| error.to_string())?;
            assert_eq!(selected.len(), wanted);
            selected.to_data().validate_full().map_err(|error| format!("invalid array: {error}")).unwrap();
        }
        let mut builder = ColumnBuilder::new(values.data_type(), rows);
        if page.decode(0..rows, &mut builder).is_ok() {
            let decoded = builder.finish().map_err(|error| error.to_string())?;
            assert_eq!(decoded.len(), rows);
            decoded.to_data().validate_full().map_err(|error| format!("invalid array: {error}")).unwrap();
        }
        let mut builder = ColumnBuilder::new(values.data_type(), 1);
        if page.value(random.usize(..rows), &mut builder).is_ok() {
            assert_eq!(builder.finish().map_err(|error| error.to_string())?.len(), 1);
        }
    }
    Ok(())
}

#[test]
fn pages_of_another_column_are_refused() {
    let mut random = fastrand::Rng::with_seed(100);
    let all = columns(&mut random);
    for values in &all {
        let chunk = encode_chunk(values).unwrap();
        let shared: Vec<_> = chunk.shared.iter().map(|page| aligned(page)).collect();
        let shared = open_shared(values.data_type(), chunk.encoding, &shared).unwrap();
        let page = &chunk.pages[0];
        let open =
            |data_type, encoding, rows| Page::open(data_type, encoding, rows, aligned(&page.bytes), Some(&shared));
        assert!(open(values.data_type(), chunk.encoding, page.rows + 1).is_err());
        for encoding in (1..=u8::MAX).map_while(Encoding::from_tag) {
            assert_eq!(open(values.data_type(), encoding, page.rows).is_ok(), encoding == chunk.encoding);
        }
        for other in &all {
            // Any outcome but a panic.
            let _ = open(other.data_type(), chunk.encoding, page.rows);
        }
        let mut unaligned = vec![0; 8];
        unaligned.extend_from_slice(&page.bytes);
        let unaligned = aligned(&unaligned).slice(8);
        assert!(Page::open(values.data_type(), chunk.encoding, page.rows, unaligned, Some(&shared)).is_err());
    }
}
