//! Single values of key columns, compared in the order of keys.

use crate::codec::{ColumnBuilder, Single};
use crate::error::Result;
use crate::stored::compare_keys;
use arrow::array::ArrayRef;
use std::cmp::Ordering;

/// One column of a wanted key.
#[derive(Debug)]
pub(super) struct KeyValue {
    value: ArrayRef,
    plain: Plain,
}

/// What can be compared without an array.
#[derive(Debug)]
enum Plain {
    Null,
    Integer(i128),
    Bytes(Vec<u8>),
    Other,
}

impl KeyValue {
    /// Row `row` of `column`.
    pub(super) fn new(column: &ArrayRef, row: usize) -> Result<KeyValue> {
        let value = column.slice(row, 1);
        let mut builder = ColumnBuilder::new(value.data_type(), 1);
        builder.append_array(&value, None)?;
        let plain = match builder.single() {
            Single::Null => Plain::Null,
            Single::Integer(integer) => Plain::Integer(integer),
            Single::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
            Single::Other => Plain::Other,
        };
        Ok(KeyValue { value, plain })
    }

    /// Order of the only value in `found`, which is taken out, and this one; NULLs last.
    pub(super) fn order_of(&self, found: &mut ColumnBuilder) -> Result<Ordering> {
        let order = match (found.single(), &self.plain) {
            (Single::Integer(found), Plain::Integer(wanted)) => found.cmp(wanted),
            (Single::Bytes(found), Plain::Bytes(wanted)) => found.cmp(wanted.as_slice()),
            (Single::Null, Plain::Null) => Ordering::Equal,
            (Single::Null, _) => Ordering::Greater,
            (_, Plain::Null) => Ordering::Less,
            _ => return Ok(compare_keys(&[found.finish()?], std::slice::from_ref(&self.value))),
        };
        found.clear();
        Ok(order)
    }
}
