//! Everything encoded is read back by full decode, by ranges, under masks and one by one.

use super::columns::*;
use super::opened;
use crate::codec::physical::Physical;
use crate::codec::{ColumnBuilder, Encoding, Mask, PAGE_BYTES_MAX, VECTOR_ROWS, encode_chunk};
use arrow::array::*;
use arrow::datatypes::DataType;
use std::collections::HashSet;
use std::sync::Arc;

const SIZES: [usize; 7] = [1, 2, 1023, 1024, 1025, 8192, 10_000];

/// Checks all ways of reading; the encoding it got.
fn check(values: &ArrayRef, random: &mut fastrand::Rng) -> Encoding {
    let (chunk, pages) = opened(values);
    let fixed = matches!(Physical::of(values.data_type()), Physical::FixedBytes | Physical::Other);
    let spread_wide =
        values.data_type() == &DataType::Decimal128(38, 10) || values.data_type() == &DataType::Decimal128(38, 0);
    assert!(fixed || spread_wide || chunk.encoding != Encoding::Arrow, "{} fell back", values.data_type());
    let what = format!("{} as {:?}, {} rows", values.data_type(), chunk.encoding, values.len());
    let rows: usize = chunk.pages.iter().map(|page| page.rows).sum();
    assert_eq!(rows, values.len(), "{what}");
    let mut start = 0;
    for (encoded, page) in chunk.pages.iter().zip(&pages) {
        let alone = encoded.rows == 1 || chunk.encoding == Encoding::Constant;
        assert!(encoded.bytes.len() <= PAGE_BYTES_MAX || alone, "{what}: page of {}", encoded.bytes.len());
        let part = values.slice(start, page.rows());
        let mut builder = ColumnBuilder::new(values.data_type(), page.rows());
        page.decode(0..page.rows(), &mut builder).unwrap();
        assert_eq!(builder.len(), page.rows());
        same(&builder.finish().unwrap(), &part, &what);
        for density in [0.0, 0.002, 0.5, 0.98, 1.0] {
            let from = random.usize(..page.rows());
            let to = random.usize(from..=page.rows());
            let at = random.usize(..200);
            let mut mask = Mask::none(at + page.rows());
            for row in from..to {
                let bit = at + row - from;
                mask.words[bit / 64] |= u64::from(random.f64() < density) << (bit % 64);
            }
            let kept: BooleanArray = (from..to).map(|row| Some(mask.get(at + row - from))).collect();
            let expected = arrow::compute::filter(&part.slice(from, to - from), &kept).unwrap();
            page.select(from..to, &mask, at, &mut builder).unwrap();
            same(&builder.finish().unwrap(), &expected, &what);
            page.decode(from..to, &mut builder).unwrap();
            same(&builder.finish().unwrap(), &part.slice(from, to - from), &what);
        }
        for _ in 0..20 {
            let row = random.usize(..page.rows());
            page.value(row, &mut builder).unwrap();
            same(&builder.finish().unwrap(), &part.slice(row, 1), &what);
        }
        start += page.rows();
    }
    chunk.encoding
}

fn same(actual: &ArrayRef, expected: &ArrayRef, what: &str) {
    actual.to_data().validate_full().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(actual.to_data() == expected.to_data(), "{what}");
}

#[test]
fn integers_are_read_back() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = HashSet::new();
    for data_type in integer_types() {
        for shape in SHAPES {
            for nulls in NULLS {
                let rows = SIZES[random.usize(..SIZES.len())];
                let values = integers(&data_type, shape, nulls, rows, &mut random);
                seen.insert(check(&values, &mut random).name());
            }
        }
    }
    for name in ["constant", "packed", "delta", "steps", "tsz", "run-length"] {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
}

#[test]
fn sizes_around_a_vector_are_read_back() {
    let mut random = fastrand::Rng::with_seed(2);
    for rows in SIZES.into_iter().chain([122_880]) {
        for shape in [
            Shape::Small,
            Shape::Sorted,
            Shape::Wide,
            Shape::Runs,
            Shape::Series,
            Shape::Gaps,
            Shape::Drift,
            Shape::Bursts,
        ] {
            check(&integers(&DataType::Int64, shape, Nulls::None, rows, &mut random), &mut random);
            check(&integers(&DataType::Int32, shape, Nulls::Rare, rows, &mut random), &mut random);
        }
        check(&booleans(Nulls::Some, rows, &mut random), &mut random);
        check(&floats(&DataType::Float64, Nulls::Rare, rows, &mut random), &mut random);
        check(&decimals(&DataType::Float64, Nulls::Rare, rows, &mut random), &mut random);
        check(&measurements(&DataType::Float64, Nulls::Rare, rows, &mut random), &mut random);
        check(&strings(&DataType::Utf8View, Words::Text, Nulls::Rare, rows, &mut random), &mut random);
        check(&strings(&DataType::Utf8View, Words::Few, Nulls::None, rows, &mut random), &mut random);
    }
}

#[test]
fn strings_are_read_back() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut seen = HashSet::new();
    let types = [DataType::Utf8View, DataType::BinaryView, DataType::Utf8, DataType::Binary, DataType::LargeUtf8];
    for data_type in types {
        for words in WORDS {
            for nulls in NULLS {
                let rows = if matches!(words, Words::Huge) { 100 } else { SIZES[random.usize(..SIZES.len())] };
                seen.insert(check(&strings(&data_type, words, nulls, rows, &mut random), &mut random).name());
            }
        }
    }
    for name in ["constant", "dictionary", "fsst", "lz4"] {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
}

#[test]
fn one_value_larger_than_a_page_stands_alone() {
    let mut random = fastrand::Rng::with_seed(4);
    let noise: String = (0..1 << 20).map(|_| random.alphanumeric()).collect();
    for texts in [vec![noise.clone()], vec!["a".into(), noise.clone(), "b".into()], vec![noise; 3]] {
        let values: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
        check(&values, &mut random);
    }
}

#[test]
fn floats_booleans_and_fixed_bytes_are_read_back() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut seen = HashSet::new();
    for nulls in NULLS {
        for rows in SIZES {
            for data_type in [DataType::Float32, DataType::Float64] {
                for values in [floats, decimals, measurements] {
                    let encoding = check(&values(&data_type, nulls, rows, &mut random), &mut random);
                    seen.insert((data_type.clone(), encoding.name()));
                }
            }
            check(&booleans(nulls, rows, &mut random), &mut random);
            check(&uuids(nulls, rows, &mut random), &mut random);
        }
    }
    for data_type in [DataType::Float32, DataType::Float64] {
        assert!(["float", "alp"].into_iter().all(|name| seen.contains(&(data_type.clone(), name))), "{seen:?}");
    }
}

#[test]
fn decimals_in_doubles_have_no_exceptions() {
    let mut random = fastrand::Rng::with_seed(10);
    for digits in 0..=9 {
        let decimal = |random: &mut fastrand::Rng| -> f64 {
            let number = random.i64(-999_999_999..1_000_000_000);
            format!("{number}e-{digits}").parse().unwrap()
        };
        // Decimals as they are read from text, without the zero, which may be negative.
        let values: Vec<f64> = (0..122_880).map(|_| decimal(&mut random)).map(|value| value + 0.0).collect();
        let values: ArrayRef = Arc::new(Float64Array::from(values));
        let chunk = encode_chunk(&values).unwrap();
        let bytes: usize = chunk.pages.iter().map(|page| page.bytes.len()).sum();
        assert_eq!(chunk.encoding, Encoding::Alp);
        // Of 31 bits each; an exception would take 96.
        assert!(bytes * 8 < values.len() * 32, "{digits} digits: {bytes} bytes");
    }
}

const SECOND: i64 = 1_000_000;

/// The times that `step` leads to, one a row.
fn times(mut step: impl FnMut(usize, &mut fastrand::Rng) -> i64) -> ArrayRef {
    let mut random = fastrand::Rng::with_seed(10);
    let mut time = 1_700_000_000_000_000;
    let mut next = |row: usize| {
        time += step(row, &mut random);
        time
    };
    Arc::new(TimestampMicrosecondArray::from_iter_values((0..122_880).map(&mut next)))
}

/// A step of a second or, once in so many rows, of up to an hour.
fn gap(one_in: u32, random: &mut fastrand::Rng) -> i64 {
    if random.u32(..one_in) == 0 { random.i64(SECOND..3600 * SECOND) } else { SECOND }
}

#[test]
fn gaps_late_rows_and_bursts_take_a_few_bytes_each() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut lateness = 0;
    let late = times(|_, random| {
        let before = lateness;
        lateness = if random.u32(..100) == 0 { random.i64(0..5 * SECOND) } else { 0 };
        SECOND + before - lateness
    });
    let bursts = |row: usize, random: &mut fastrand::Rng| if row.is_multiple_of(50) { gap(1, random) } else { 1000 };
    let of_hosts = |row: usize, random: &mut fastrand::Rng| {
        if row.is_multiple_of(3600) { -3600 * SECOND } else { gap(1000, random) }
    };
    let cases = [
        ("a gap in 2,000", times(|_, random| gap(2000, random)), 10_000),
        ("a gap in 200", times(|_, random| gap(200, random)), 15_000),
        ("one in 100 is late", late, 25_000),
        ("bursts of 50", times(bursts), 30_000),
        ("hosts one after another", times(of_hosts), 11_000),
    ];
    for (what, values, bytes_max) in cases {
        let chunk = encode_chunk(&values).unwrap();
        let bytes: usize = chunk.pages.iter().map(|page| page.bytes.len()).sum();
        assert_eq!(chunk.encoding, Encoding::Tsz, "{what}");
        assert!(bytes <= bytes_max, "{what}: {bytes} bytes");
        check(&values, &mut random);
    }
}

#[test]
fn times_without_outliers_keep_what_reads_faster() {
    let of_series = |row: usize, _: &mut fastrand::Rng| if row.is_multiple_of(3600) { -3600 * SECOND } else { SECOND };
    let cases = [
        ("regular", times(|_, _| SECOND), Encoding::Delta),
        ("regular, of series", times(of_series), Encoding::Steps),
        ("even jitter", times(|_, random| SECOND + random.i64(-500..500)), Encoding::Delta),
        ("random events", times(|_, random| random.i64(0..2 * SECOND)), Encoding::Packed),
    ];
    for (what, values, encoding) in cases {
        assert_eq!(encode_chunk(&values).unwrap().encoding, encoding, "{what}");
    }
}

#[test]
fn nested_and_rare_types_are_read_back() {
    let mut random = fastrand::Rng::with_seed(6);
    for nulls in NULLS {
        for rows in [1, 1024, 3000] {
            for values in others(nulls, rows, &mut random) {
                check(&values, &mut random);
            }
        }
    }
}

#[test]
fn decimals_beyond_64_bits_are_read_back() {
    let mut random = fastrand::Rng::with_seed(7);
    let largest = 10i128.pow(38) - 1;
    let narrow_spread: Vec<i128> = (0..5000).map(|_| largest - i128::from(random.u64(..))).collect();
    let extremes: Vec<i128> = (0..3000).map(|_| *random.choice(&[largest, -largest, 0, 1]).unwrap()).collect();
    for values in [narrow_spread, extremes] {
        let values = Decimal128Array::from(values).with_precision_and_scale(38, 0).unwrap();
        check(&(Arc::new(values) as ArrayRef), &mut random);
    }
}

#[test]
fn slices_are_encoded_like_copies() {
    let mut random = fastrand::Rng::with_seed(8);
    for values in [
        integers(&DataType::Int64, Shape::Small, Nulls::Some, 5000, &mut random),
        strings(&DataType::Utf8View, Words::Text, Nulls::Some, 5000, &mut random),
        strings(&DataType::Utf8, Words::FewLong, Nulls::Some, 5000, &mut random),
        booleans(Nulls::Some, 5000, &mut random),
        floats(&DataType::Float64, Nulls::Some, 5000, &mut random),
    ] {
        check(&values.slice(777, 3001), &mut random);
    }
}

#[test]
fn an_empty_column_has_no_pages() {
    let chunk = encode_chunk(&new_empty_array(&DataType::Int64)).unwrap();
    assert!(chunk.pages.is_empty() && chunk.nulls == 0);
}

#[test]
fn pages_of_integers_hold_whole_vectors() {
    let mut random = fastrand::Rng::with_seed(9);
    let values = integers(&DataType::Int64, Shape::Wide, Nulls::None, 122_880, &mut random);
    let chunk = encode_chunk(&values).unwrap();
    assert!(chunk.pages.len() > 10 && chunk.pages.iter().all(|page| page.rows.is_multiple_of(VECTOR_ROWS)));
}
