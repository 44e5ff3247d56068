//! The bytes on disk, frozen: encoding gives these bytes, and these bytes give back the values.
//!
//! `golden.txt` lists for each case its pages as lines of 16 bytes, lines of zeros left out. After a deliberate change
//! of the format (with a new format version) run this test with `LIGHTNING_REGENERATE=1` and review the difference.

use crate::codec::layout::aligned;
use crate::codec::{ColumnBuilder, EncodedChunk, Encoding, Page, encode_chunk, open_shared};
use arrow::array::*;
use arrow::datatypes::{DataType, Int32Type};
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

const GOLDEN: &str = include_str!("golden.txt");

/// One small column for each encoding.
fn cases() -> Vec<(&'static str, ArrayRef)> {
    let rows = 1030;
    let null_at = |row: usize| row % 7 == 3;
    let steps = |row: usize| row as i64 * 40 + (row % 5) as i64;
    let comment = |row: usize| {
        let words = ["furiously", "final", "deposits", "sleep", "quickly", "above"];
        format!("{} {} {}", words[row % 6], words[row * 7 % 5], row * 7919 % 100_003)
    };
    vec![
        ("constant", Arc::new(Int32Array::from(vec![7; rows])) as ArrayRef),
        ("all null", Arc::new(StringViewArray::new_null(rows))),
        (
            "packed",
            Arc::new(Int64Array::from_iter((0..rows).map(|row| (!null_at(row)).then_some(row as i64 * 37 % 11 * 100)))),
        ),
        (
            "packed, 128 bits",
            Arc::new(
                Decimal128Array::from_iter_values((0..rows).map(|row| 10i128.pow(25) + row as i128 % 5))
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
        ),
        ("delta", Arc::new(Int64Array::from_iter_values((0..rows).map(steps)))),
        ("steps", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| steps(row % 900) - 1_000_000)))),
        ("tsz", Arc::new(TimestampMicrosecondArray::from_iter_values(tsz()))),
        ("run-length", Arc::new(Date32Array::from_iter_values((0..rows).map(|row| (row / 300 * 97 % 1000) as i32)))),
        (
            "dictionary",
            Arc::new(StringViewArray::from_iter(
                (0..rows).map(|row| (!null_at(row)).then(|| ["MAIL", "SHIP", "DELIVER IN PERSON", ""][row * row % 4])),
            )),
        ),
        ("fsst", Arc::new(StringViewArray::from_iter_values((0..rows).map(comment)))),
        (
            "lz4",
            Arc::new(StringViewArray::from_iter_values(
                (0..3).map(|row| format!("{row}{}", "a document ".repeat(900))),
            )),
        ),
        ("bits", Arc::new(BooleanArray::from_iter((0..rows).map(|row| (!null_at(row)).then_some(row % 3 == 0))))),
        ("float", Arc::new(Float64Array::from_iter((0..rows).map(|row| [0.5, -0.0, f64::NAN][row % 3])))),
        (
            "alp",
            Arc::new(Float64Array::from_iter((0..rows).map(|row| {
                let value = if row % 100 == 50 { -0.0 } else { (row * row % 1013) as f64 / 100.0 };
                (!null_at(row)).then_some(value)
            }))),
        ),
        (
            "gorilla",
            Arc::new(Float64Array::from_iter((0..rows).map(|row| {
                let value = (row as f64 * 0.37).sin() as f32;
                (!null_at(row)).then_some(if row % 50 < 3 { 1.5 } else { f64::from(value) })
            }))),
        ),
        (
            "arrow",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                (0..20).map(|row: i32| (row % 4 != 1).then(|| (0..row % 3).map(Some).collect::<Vec<_>>())),
            )),
        ),
    ]
}

/// Times of four vectors: regular with gaps, of steps that differ by little, by more at times, of steps that grow, and regular.
fn tsz() -> Vec<i64> {
    let step = |row: usize| match row {
        0..1024 => 1_000_000 + if row % 300 == 299 { row as i64 * 1_000_000 } else { (row % 2) as i64 * 1000 },
        1024..2048 if row % 180 < 150 => 1_000_000 + (row * 5 % 8) as i64 * 1000,
        1024..2048 => 1_000_000 + (row * row * 7919 % 120) as i64 * 1000,
        2048..3072 => (row * 50 + row * row % 3) as i64 * 1000,
        _ => 1_000_000,
    };
    let mut time = 1_700_000_000_000_000;
    let mut next = |row: usize| {
        time += step(row);
        time
    };
    (0..3078).map(&mut next).collect()
}

fn dump(name: &str, chunk: &EncodedChunk) -> String {
    let mut text = format!("== {name}: {}\n", chunk.encoding.name());
    let rows = chunk.pages.iter().map(|page| Some(page.rows));
    let bytes = chunk.shared.iter().chain(chunk.pages.iter().map(|page| &page.bytes));
    for (rows, bytes) in chunk.shared.iter().map(|_| None).chain(rows).zip(bytes) {
        match rows {
            Some(rows) => writeln!(text, "page {rows} {}", bytes.len()).unwrap(),
            None => writeln!(text, "shared {}", bytes.len()).unwrap(),
        }
        for (line, part) in bytes.chunks(16).enumerate().filter(|(_, part)| part.iter().any(|&byte| byte != 0)) {
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{:04x} {hex}", line * 16).unwrap();
        }
    }
    text
}

#[test]
fn bytes_on_disk_are_the_golden_ones() {
    let mut text = String::new();
    let mut seen = HashSet::new();
    for (name, values) in cases() {
        let chunk = encode_chunk(&values).unwrap();
        seen.insert(chunk.encoding.name());
        text += &dump(name, &chunk);
    }
    assert_eq!(seen.len(), 14, "an encoding is missing: {seen:?}");
    if std::env::var_os("LIGHTNING_REGENERATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/codec/tests/golden.txt");
        std::fs::write(path, &text).unwrap();
        return;
    }
    for (actual, golden) in text.lines().zip(GOLDEN.lines()) {
        assert_eq!(actual, golden);
    }
    assert_eq!(text.len(), GOLDEN.len());
}

#[test]
fn golden_bytes_are_read() {
    let mut sections = GOLDEN.split("== ").skip(1);
    for (name, values) in cases() {
        let section = sections.next().unwrap();
        let (head, body) = section.split_once('\n').unwrap();
        let (golden_name, encoding) = head.split_once(": ").unwrap();
        assert_eq!(golden_name, name);
        let encoding = (1..=14).filter_map(Encoding::from_tag).find(|e| e.name() == encoding).unwrap();
        let mut shared: Vec<Vec<u8>> = Vec::new();
        let mut pages: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut in_shared = false;
        for line in body.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let number = |i: usize| fields[i].parse::<usize>().unwrap();
            match fields[0] {
                "shared" => shared.push(vec![0; number(1)]),
                "page" => pages.push((number(1), vec![0; number(2)])),
                at => {
                    let bytes = if in_shared { shared.last_mut().unwrap() } else { &mut pages.last_mut().unwrap().1 };
                    let at = usize::from_str_radix(at, 16).unwrap();
                    for (i, byte) in fields[1].as_bytes().chunks(2).enumerate() {
                        bytes[at + i] = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 16).unwrap();
                    }
                    continue;
                }
            }
            in_shared = fields[0] == "shared";
        }
        read(name, &values, encoding, &shared, &pages);
    }
}

fn read(name: &str, values: &ArrayRef, encoding: Encoding, shared: &[Vec<u8>], pages: &[(usize, Vec<u8>)]) {
    let data_type: &DataType = values.data_type();
    let shared: Vec<_> = shared.iter().map(|page| aligned(page)).collect();
    let shared = open_shared(data_type, encoding, &shared).unwrap();
    let mut builder = ColumnBuilder::new(data_type, values.len());
    for (rows, bytes) in pages {
        let page = Page::open(data_type, encoding, *rows, aligned(bytes), Some(&shared)).unwrap();
        page.decode(0..*rows, &mut builder).unwrap();
    }
    assert!(builder.finish().unwrap().to_data() == values.to_data(), "{name}");
}
