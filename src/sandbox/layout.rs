//! How columns lie in a guest's memory.
//!
//! A column is a descriptor of five little-endian i32 and the buffers it points to:
//!
//! ```text
//! descriptor   data | data bytes | offsets or 0 | validity or 0 | rows
//! fixed width  data: the values, one after another, little-endian as Arrow has them
//! boolean      data: one bit a row, lowest bit first
//! text, bytes  data: all values one after another; offsets: rows + 1 i32, where each begins in data
//! validity     one bit a row, lowest bit first, 1 for a value and 0 for NULL; without NULLs there is none
//! ```
//!
//! Buffers given to a guest begin at multiples of 8 bytes; those it returns may lie anywhere.

use arrow::datatypes::DataType;

/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR_BYTES: usize = 20;

/// The shape of a column's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Values of so many bytes.
    Fixed(usize),
    /// One bit a value.
    Bits,
    /// Offsets and UTF-8.
    Text,
    /// Offsets and bytes.
    Bytes,
}

impl Layout {
    /// The layout of a type, if guests can have it.
    pub(crate) fn of(data_type: &DataType) -> Option<Layout> {
        match data_type {
            DataType::Boolean => Some(Layout::Bits),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Layout::Text),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Layout::Bytes),
            DataType::FixedSizeBinary(width) => usize::try_from(*width).ok().filter(|w| *w > 0).map(Layout::Fixed),
            DataType::Dictionary(_, values) => {
                Layout::of(values).filter(|layout| matches!(layout, Layout::Text | Layout::Bytes))
            }
            other => other.primitive_width().map(Layout::Fixed),
        }
    }
}

/// Whether a column of `given` can stand where `declared` is expected.
pub(crate) fn is_compatible(given: &DataType, declared: &DataType) -> bool {
    match (given, declared) {
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) => a == b,
        (given, declared) if given == declared => true,
        _ => match (Layout::of(given), Layout::of(declared)) {
            (Some(a @ (Layout::Text | Layout::Bytes)), Some(b)) => a == b,
            _ => false,
        },
    }
}

/// A descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub data: u32,
    pub data_bytes: u32,
    pub offsets: u32,
    pub validity: u32,
    pub rows: u32,
}

impl Descriptor {
    pub(crate) fn encode(self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let fields = [self.data, self.data_bytes, self.offsets, self.validity, self.rows];
        for (chunk, field) in bytes.chunks_exact_mut(4).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; DESCRIPTOR_BYTES]) -> Descriptor {
        let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Descriptor { data: field(0), data_bytes: field(4), offsets: field(8), validity: field(12), rows: field(16) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_five_little_endian_numbers() {
        let descriptor = Descriptor { data: 1, data_bytes: 2, offsets: 3, validity: 4, rows: 0x0102_0304 };
        let bytes = descriptor.encode();
        assert_eq!(bytes, [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(Descriptor::decode(&bytes), descriptor);
    }
}
