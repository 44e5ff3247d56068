//! A predicate bound to a column type: its constants turned into the codec's physical values, once per scan.
//!
//! Every comparison with a constant becomes one of a few tests over ordered integers (floats through an
//! order-preserving key) or over bytes. NULL never passes, except `IS NULL`. The same tests serve zone maps, plain
//! arrays and encoded pages, so they can never disagree.

use super::condition::{BytesTest, Edge, IntegerTest};
use super::mask::Mask;
use super::physical::{Native, Physical, UNSIGNED_SHIFT, integer_at};
use super::plain::{bytes_at, filter_bytes, filter_integers, filter_rows, float_at, float_key};
use crate::error::{Error, Result};
use crate::predicate::{CompareOp, Predicate};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// A predicate with its constants turned into the codec's physical values.
#[derive(Clone, Debug)]
pub struct BoundPredicate {
    physical: Physical,
    test: Test,
}

/// What is tested of a value.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// `IS NULL`.
    IsNull,
    /// `IS NOT NULL`.
    IsNotNull,
    /// Ordered integers, or float keys.
    Integer(IntegerTest),
    /// Booleans: whether true and false pass.
    Boolean {
        /// `true` passes.
        on_true: bool,
        /// `false` passes.
        on_false: bool,
    },
    /// Bytes.
    Bytes(BytesTest),
}

impl BoundPredicate {
    /// Binds `predicate` to a column type; `Unsupported` when no codec of the type can evaluate it.
    pub fn bind(predicate: &Predicate, data_type: &DataType) -> Result<BoundPredicate> {
        let physical = Physical::of(data_type);
        let test = match predicate {
            Predicate::IsNull { .. } => Test::IsNull,
            Predicate::IsNotNull { .. } => Test::IsNotNull,
            Predicate::Compare { op, value, .. } => bind_compare(*op, value, data_type)?,
            Predicate::Between { low, high, .. } => bind_between(low, high, data_type)?,
            Predicate::In { values, .. } => bind_in(values, data_type)?,
            Predicate::InBitmap { base, bits, .. } => match physical {
                Physical::Integer(_) => {
                    Test::Integer(IntegerTest::Bitmap { base: physical_base(*base, physical), bits: Arc::clone(bits) })
                }
                _ => return Err(unsupported("a bitmap", data_type)),
            },
            Predicate::Prefix { prefix, negated, .. } => match physical {
                Physical::Bytes(_) => Test::Bytes(BytesTest::Prefix { prefix: prefix.clone(), negated: *negated }),
                _ => return Err(unsupported("LIKE", data_type)),
            },
        };
        Ok(BoundPredicate { physical, test })
    }

    /// Whether a zone with these bounds (length-1 arrays; `None`: unknown) and NULL count can hold a passing row.
    /// String bounds may be truncated prefixes: `max` then is a prefix of the true maximum.
    pub fn may_match(&self, min: Option<&ArrayRef>, max: Option<&ArrayRef>, nulls: usize, rows: usize) -> bool {
        match &self.test {
            Test::IsNull => return nulls > 0,
            Test::IsNotNull => return nulls < rows,
            _ if nulls >= rows => return false,
            _ => {}
        }
        let (Some(min), Some(max)) = (min, max) else { return true };
        if min.is_empty() || max.is_empty() || min.is_null(0) || max.is_null(0) {
            return true;
        }
        match (&self.test, self.physical) {
            (Test::Integer(test), Physical::Integer(native)) => {
                test.may_match(integer_at(min, native, 0), integer_at(max, native, 0))
            }
            (Test::Integer(test), physical) => {
                let (min, max) = (float_at(min, physical, 0), float_at(max, physical, 0));
                // A NaN as minimum means an order in which negative NaNs come first: nothing is known of the maximum.
                min.is_nan() || test.may_match(float_key(min).into(), float_key(max).into())
            }
            (Test::Boolean { on_true, on_false }, _) => {
                let (min, max) = (min.as_boolean().value(0), max.as_boolean().value(0));
                (*on_true && max) || (*on_false && !min)
            }
            (Test::Bytes(test), _) => test.may_match(bytes_at(min, 0), bytes_at(max, 0)),
            (Test::IsNull | Test::IsNotNull, _) => true,
        }
    }

    /// Evaluates on a plain Arrow array (mem blocks), clearing failing rows of `mask` from bit `at` on.
    pub fn filter_array(&self, values: &ArrayRef, mask: &mut Mask, at: usize) -> Result<()> {
        if Physical::of(values.data_type()) != self.physical {
            return Err(unsupported("a condition of another type", values.data_type()));
        }
        let rows = values.len();
        self.filter_nulls(values.nulls(), 0, mask, at, rows);
        match &self.test {
            Test::IsNull | Test::IsNotNull => {}
            Test::Integer(test) => match self.physical {
                Physical::Integer(native) => filter_integers(test, values, native, mask, at),
                physical => {
                    filter_rows(rows, mask, at, |row| test.passes_narrow(float_key(float_at(values, physical, row))))
                }
            },
            Test::Boolean { on_true, on_false } => {
                let bits = values.as_boolean().values().clone();
                filter_rows(rows, mask, at, |row| if bits.value(row) { *on_true } else { *on_false });
            }
            Test::Bytes(test) => filter_bytes(test, values, mask, at),
        }
        Ok(())
    }

    /// The one test that stands for both, when that costs no more than either: two ranges of the same column.
    pub(crate) fn intersect(&self, other: &BoundPredicate) -> Option<BoundPredicate> {
        let Test::Integer(IntegerTest::Range { low, high, negated: false }) = &self.test else { return None };
        let Test::Integer(IntegerTest::Range { low: from, high: to, negated: false }) = &other.test else {
            return None;
        };
        if self.physical != other.physical {
            return None;
        }
        let (low, high) = (*low.max(from), *high.min(to));
        let range = if low <= high { (low, high) } else { (1, 0) };
        let test = Test::Integer(IntegerTest::Range { low: range.0, high: range.1, negated: false });
        Some(BoundPredicate { physical: self.physical, test })
    }

    /// What is tested.
    pub(crate) fn test(&self) -> &Test {
        &self.test
    }

    /// Clears the rows that NULL-ness alone decides: NULLs, or for `IS NULL` the others. `nulls` are looked at from row `start` on.
    pub(crate) fn filter_nulls(
        &self,
        nulls: Option<&arrow::buffer::NullBuffer>,
        start: usize,
        mask: &mut Mask,
        at: usize,
        rows: usize,
    ) {
        let wants_null = matches!(self.test, Test::IsNull);
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            if wants_null {
                mask.clear(at, rows);
            }
            return;
        };
        let validity = nulls.inner().slice(start, rows);
        for (i, word) in validity.bit_chunks().iter_padded().enumerate() {
            let from = i * 64;
            if from >= rows {
                break;
            }
            mask.and_word(at + from, if wants_null { !word } else { word }, (rows - from).min(64));
        }
    }
}

fn unsupported(what: &str, data_type: &DataType) -> Error {
    Error::Unsupported(format!("{what} cannot be evaluated on a {data_type} column by storage"))
}

/// A bitmap's base is in the column's own integers; those of `UInt64` are mapped.
fn physical_base(base: i64, physical: Physical) -> i64 {
    if physical == Physical::Integer(Native::U64) { base.wrapping_add(UNSIGNED_SHIFT) } else { base }
}

fn check_type(value: &ArrayRef, data_type: &DataType) -> Result<()> {
    let (given, wanted) = (Physical::of(value.data_type()), Physical::of(data_type));
    let same_bytes = matches!((given, wanted), (Physical::Bytes(_), Physical::Bytes(_)));
    if value.data_type() == data_type || same_bytes {
        Ok(())
    } else {
        Err(Error::Unsupported(format!("a {} constant does not fit a {data_type} column", value.data_type())))
    }
}

fn bind_compare(op: CompareOp, value: &ArrayRef, data_type: &DataType) -> Result<Test> {
    check_type(value, data_type)?;
    if value.is_empty() || value.is_null(0) {
        return nothing(data_type);
    }
    match Physical::of(data_type) {
        Physical::Integer(native) => Ok(Test::Integer(compare_integer(op, integer_at(value, native, 0)))),
        physical @ (Physical::Float32 | Physical::Float64) => {
            Ok(Test::Integer(compare_integer(op, float_key(float_at(value, physical, 0)).into())))
        }
        Physical::Boolean => Ok(compare_boolean(op, value.as_boolean().value(0))),
        Physical::Bytes(_) | Physical::FixedBytes => Ok(Test::Bytes(compare_bytes(op, bytes_at(value, 0).to_vec()))),
        Physical::Other => Err(unsupported("a comparison", data_type)),
    }
}

fn compare_integer(op: CompareOp, value: i128) -> IntegerTest {
    let range = |low, high, negated| IntegerTest::Range { low, high, negated };
    match op {
        CompareOp::Eq => range(value, value, false),
        CompareOp::NotEq => range(value, value, true),
        CompareOp::Lt => match value.checked_sub(1) {
            Some(high) => range(i128::MIN, high, false),
            None => range(1, 0, false),
        },
        CompareOp::LtEq => range(i128::MIN, value, false),
        CompareOp::Gt => match value.checked_add(1) {
            Some(low) => range(low, i128::MAX, false),
            None => range(1, 0, false),
        },
        CompareOp::GtEq => range(value, i128::MAX, false),
    }
}

fn compare_boolean(op: CompareOp, value: bool) -> Test {
    let passes = |v: bool| match op {
        CompareOp::Eq => v == value,
        CompareOp::NotEq => v != value,
        CompareOp::Lt => !v & value,
        CompareOp::LtEq => v <= value,
        CompareOp::Gt => v & !value,
        CompareOp::GtEq => v >= value,
    };
    Test::Boolean { on_true: passes(true), on_false: passes(false) }
}

fn compare_bytes(op: CompareOp, value: Vec<u8>) -> BytesTest {
    let range = |low, high, negated| BytesTest::Range { low, high, negated };
    match op {
        CompareOp::Eq => range(Edge::Inclusive(value.clone()), Edge::Inclusive(value), false),
        CompareOp::NotEq => range(Edge::Inclusive(value.clone()), Edge::Inclusive(value), true),
        CompareOp::Lt => range(Edge::Open, Edge::Exclusive(value), false),
        CompareOp::LtEq => range(Edge::Open, Edge::Inclusive(value), false),
        CompareOp::Gt => range(Edge::Exclusive(value), Edge::Open, false),
        CompareOp::GtEq => range(Edge::Inclusive(value), Edge::Open, false),
    }
}

fn bind_between(low: &ArrayRef, high: &ArrayRef, data_type: &DataType) -> Result<Test> {
    check_type(low, data_type)?;
    check_type(high, data_type)?;
    if low.is_empty() || high.is_empty() || low.is_null(0) || high.is_null(0) {
        return nothing(data_type);
    }
    let range = |low, high| Test::Integer(IntegerTest::Range { low, high, negated: false });
    match Physical::of(data_type) {
        Physical::Integer(native) => Ok(range(integer_at(low, native, 0), integer_at(high, native, 0))),
        physical @ (Physical::Float32 | Physical::Float64) => {
            Ok(range(float_key(float_at(low, physical, 0)).into(), float_key(float_at(high, physical, 0)).into()))
        }
        Physical::Boolean => {
            let (low, high) = (low.as_boolean().value(0), high.as_boolean().value(0));
            Ok(Test::Boolean { on_true: high, on_false: !low })
        }
        Physical::Bytes(_) | Physical::FixedBytes => Ok(Test::Bytes(BytesTest::Range {
            low: Edge::Inclusive(bytes_at(low, 0).to_vec()),
            high: Edge::Inclusive(bytes_at(high, 0).to_vec()),
            negated: false,
        })),
        Physical::Other => Err(unsupported("BETWEEN", data_type)),
    }
}

fn bind_in(values: &ArrayRef, data_type: &DataType) -> Result<Test> {
    check_type(values, data_type)?;
    let rows = || (0..values.len()).filter(|&row| values.is_valid(row));
    match Physical::of(data_type) {
        Physical::Integer(native) => Ok(integer_set(rows().map(|row| integer_at(values, native, row)).collect())),
        physical @ (Physical::Float32 | Physical::Float64) => {
            Ok(integer_set(rows().map(|row| float_key(float_at(values, physical, row)).into()).collect()))
        }
        Physical::Boolean => {
            let bits = values.as_boolean();
            Ok(Test::Boolean {
                on_true: rows().any(|row| bits.value(row)),
                on_false: rows().any(|row| !bits.value(row)),
            })
        }
        Physical::Bytes(_) | Physical::FixedBytes => {
            let mut set: Vec<Vec<u8>> = rows().map(|row| bytes_at(values, row).to_vec()).collect();
            set.sort_unstable();
            set.dedup();
            Ok(Test::Bytes(BytesTest::Set(Arc::new(set))))
        }
        Physical::Other => Err(unsupported("IN", data_type)),
    }
}

/// Widest range of values, in bits, for which a set becomes a bitmap.
const SET_BITMAP_BITS_MAX: i128 = 1 << 16;

/// A set of few values close together is a bitmap, one value or consecutive ones a range, others a sorted list.
fn integer_set(mut set: Vec<i128>) -> Test {
    set.sort_unstable();
    set.dedup();
    let (Some(&low), Some(&high)) = (set.first(), set.last()) else {
        return Test::Integer(IntegerTest::Range { low: 1, high: 0, negated: false });
    };
    let span = high.checked_sub(low).unwrap_or(i128::MAX);
    if span == set.len() as i128 - 1 {
        return Test::Integer(IntegerTest::Range { low, high, negated: false });
    }
    match i64::try_from(low) {
        Ok(base) if span < SET_BITMAP_BITS_MAX => {
            let mut bits = vec![0u64; span as usize / 64 + 1];
            for value in set {
                let bit = (value - low) as usize;
                bits[bit / 64] |= 1 << (bit % 64);
            }
            Test::Integer(IntegerTest::Bitmap { base, bits: Arc::new(bits) })
        }
        _ => Test::Integer(IntegerTest::Set(Arc::new(set))),
    }
}

/// The test that nothing passes.
fn nothing(data_type: &DataType) -> Result<Test> {
    match Physical::of(data_type) {
        Physical::Integer(_) | Physical::Float32 | Physical::Float64 => Ok(integer_set(Vec::new())),
        Physical::Boolean => Ok(Test::Boolean { on_true: false, on_false: false }),
        Physical::Bytes(_) | Physical::FixedBytes => Ok(Test::Bytes(BytesTest::Set(Arc::new(Vec::new())))),
        Physical::Other => Err(unsupported("a comparison", data_type)),
    }
}
