//! Distinct-value estimates: HyperLogLog with 1,024 registers (standard error about 3.3 %).
//!
//! Sketches of disjoint rows merge register by register, so a table's estimate is that of the union and not a sum. The
//! estimator is Ertl's improved raw estimator (*New cardinality estimation algorithms for HyperLogLog sketches*, 2017),
//! which needs no correction tables and is exact enough from zero up. Hash and layout are part of the format and never
//! change within a version.
//!
//! Bytes: a count n (u16); n = 1,024: one register byte each; fewer: n pairs of register number (u16) and value (u8).

use super::bytes::{ByteReader, ByteWriter, Malformed};
use super::values::bytes_at;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 10;
/// Registers.
const REGISTERS: usize = 1 << INDEX_BITS;
/// Highest value of a register: the remaining bits are all zero.
const RANK_MAX: u8 = (64 - INDEX_BITS + 1) as u8;

/// A mergeable estimate of the number of distinct values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch { registers: Box::new([0; REGISTERS]) }
    }
}

impl Sketch {
    /// A sketch of the values that are not NULL; `None` when values of this type cannot be hashed.
    pub fn of(values: &ArrayRef) -> Option<Sketch> {
        let mut sketch = Sketch::default();
        sketch.add_array(values).then_some(sketch)
    }

    /// Adds all values that are not NULL; false when values of this type cannot be hashed.
    pub fn add_array(&mut self, values: &ArrayRef) -> bool {
        let nulls = values.nulls();
        let mut valid = (0..values.len()).filter(|&row| nulls.is_none_or(|n| n.is_valid(row)));
        if let Some(booleans) = values.as_boolean_opt() {
            valid.for_each(|row| self.add(hash_word(u64::from(booleans.value(row)))));
        } else if let Some(width) = values.data_type().primitive_width() {
            self.add_fixed(values, width);
        } else if let Some(views) = values.as_string_view_opt() {
            // Equal views are equal strings, and sorted columns repeat them.
            let mut previous = None;
            for row in valid.filter(|&row| previous.replace(views.views()[row]) != Some(views.views()[row])) {
                self.add(hash_bytes(views.value(row).as_bytes()));
            }
        } else if let Some(first) = valid.next() {
            if bytes_at(values, first).is_none() {
                return false;
            }
            let rows = std::iter::once(first).chain(valid);
            rows.for_each(|row| self.add(hash_bytes(bytes_at(values, row).unwrap_or_default())));
        }
        true
    }

    /// Takes in the values of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        for (mine, theirs) in self.registers.iter_mut().zip(other.registers.iter()) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Distinct values, estimated.
    pub fn estimate(&self) -> u64 {
        let mut counts = [0u32; RANK_MAX as usize + 1];
        for register in self.registers.iter() {
            counts[usize::from(*register)] += 1;
        }
        let m = REGISTERS as f64;
        let mut z = m * tau(1.0 - f64::from(counts[usize::from(RANK_MAX)]) / m);
        for count in counts[1..usize::from(RANK_MAX)].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2) / z).round() as u64
    }

    fn add(&mut self, hash: u64) {
        let index = (hash >> (64 - INDEX_BITS)) as usize;
        let rank = ((hash << INDEX_BITS) | (1 << (INDEX_BITS - 1))).leading_zeros() as u8 + 1;
        // Hardly any value changes its register: a branch that is foreseen costs less than a store that the next load waits for.
        if self.registers[index] < rank {
            self.registers[index] = rank;
        }
    }

    fn add_fixed(&mut self, values: &ArrayRef, width: usize) {
        let data = values.to_data();
        let bytes = &data.buffers()[0].as_slice()[data.offset() * width..(data.offset() + data.len()) * width];
        let nulls = values.nulls();
        // Widths known to the compiler make the loop over bytes of a hash a few instructions.
        match width {
            2 => self.add_chunks(bytes.as_chunks::<2>().0, nulls, |value| hash_bytes(value)),
            4 => self.add_chunks(bytes.as_chunks::<4>().0, nulls, |value| hash_word(u32::from_le_bytes(*value).into())),
            8 => self.add_chunks(bytes.as_chunks::<8>().0, nulls, |value| hash_word(u64::from_le_bytes(*value))),
            16 => self.add_chunks(bytes.as_chunks::<16>().0, nulls, |value| hash_bytes(value)),
            _ => {
                let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
                let values = bytes.chunks_exact(width).enumerate().filter(|(row, _)| valid(*row));
                values.for_each(|(_, value)| self.add(hash_bytes(value)));
            }
        }
    }

    fn add_chunks<const WIDTH: usize>(
        &mut self,
        values: &[[u8; WIDTH]],
        nulls: Option<&NullBuffer>,
        hash: impl Fn(&[u8; WIDTH]) -> u64,
    ) {
        // Sorted and low-cardinality columns repeat the last value more often than not.
        let mut previous: Option<&[u8; WIDTH]> = None;
        for (row, value) in values.iter().enumerate() {
            if previous == Some(value) || nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            self.add(hash(value));
            previous = Some(value);
        }
    }

    /// Appends the sketch's bytes.
    pub(crate) fn write(&self, out: &mut ByteWriter) {
        let set = self.registers.iter().filter(|register| **register > 0).count();
        if set * 3 >= REGISTERS {
            out.u16(REGISTERS as u16);
            out.raw(&self.registers[..]);
            return;
        }
        out.u16(set as u16);
        for (index, register) in self.registers.iter().enumerate().filter(|(_, register)| **register > 0) {
            out.u16(index as u16);
            out.u8(*register);
        }
    }

    /// Reads what [`Sketch::write`] wrote.
    pub(crate) fn read(input: &mut ByteReader<'_>) -> Result<Sketch, Malformed> {
        let mut sketch = Sketch::default();
        let count = usize::from(input.u16()?);
        if count == REGISTERS {
            sketch.registers.copy_from_slice(input.raw(REGISTERS)?);
        } else {
            for _ in 0..count {
                let (index, value) = (usize::from(input.u16()?), input.u8()?);
                *sketch.registers.get_mut(index).ok_or("a sketch register that does not exist")? = value;
            }
        }
        if sketch.registers.iter().any(|register| *register > RANK_MAX) {
            return Err("a sketch register beyond its range".into());
        }
        Ok(sketch)
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

const SEED: u64 = 0xA076_1D64_78BD_642F;
const ODD: u64 = 0xE703_7ED1_A0B4_28DB;

/// A 64 × 64 → 128-bit product folded into 64 bits (the mixing step of wyhash).
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

fn hash_word(value: u64) -> u64 {
    fold(fold(value ^ SEED, ODD), SEED ^ 8)
}

#[inline]
fn hash_bytes(value: &[u8]) -> u64 {
    let mut state = SEED ^ value.len() as u64;
    let mut words = value.chunks_exact(8);
    for word in &mut words {
        state = fold(state ^ u64::from_le_bytes(word.try_into().expect("chunks of eight bytes")), ODD);
    }
    let mut tail = [0; 8];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    fold(fold(state ^ u64::from_le_bytes(tail), ODD), SEED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use std::sync::Arc;

    fn estimate_of(count: i64) -> u64 {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(|v| v * 7)));
        Sketch::of(&values).unwrap().estimate()
    }

    #[test]
    fn estimates_are_close_from_zero_to_millions() {
        assert_eq!(estimate_of(0), 0);
        for count in [1, 7, 50, 1000, 20_000, 1_000_000] {
            let error = (estimate_of(count) as f64 - count as f64).abs() / count as f64;
            assert!(error < 0.11, "{count}: {}", estimate_of(count));
        }
    }

    #[test]
    fn merging_counts_common_values_once() {
        let a: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50_000));
        let b: ArrayRef = Arc::new(Int64Array::from_iter_values(25_000..75_000));
        let mut merged = Sketch::of(&a).unwrap();
        merged.merge(&Sketch::of(&b).unwrap());
        let both: ArrayRef = Arc::new(Int64Array::from_iter_values(0..75_000));
        assert_eq!(merged, Sketch::of(&both).unwrap());
    }

    #[test]
    fn sketches_survive_sparse_and_dense() {
        for count in [0, 3, 200, 100_000] {
            let values: ArrayRef =
                Arc::new(StringViewArray::from_iter_values((0..count).map(|v| format!("a value of some length {v}"))));
            let sketch = Sketch::of(&values).unwrap();
            let mut out = ByteWriter::default();
            sketch.write(&mut out);
            let mut input = ByteReader::new(&out.bytes);
            assert_eq!(Sketch::read(&mut input).unwrap(), sketch);
            input.end().unwrap();
            for cut in 0..out.bytes.len() {
                assert!(Sketch::read(&mut ByteReader::new(&out.bytes[..cut])).is_err());
            }
        }
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(hash_word(42), 5_628_813_652_156_043_011);
        assert_eq!(hash_bytes(b"lightning"), 3_332_820_918_971_510_929);
    }
}
