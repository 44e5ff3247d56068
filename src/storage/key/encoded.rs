//! Encoded keys of a batch: one buffer, and where each key ends.

use std::ops::Range;

/// Keys in one buffer, in the order of the rows they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedKeys {
    pub(super) bytes: Vec<u8>,
    pub(super) bounds: Bounds,
}

/// Where the keys lie in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// All keys have this many bytes, at least one.
    Fixed(usize),
    /// Key `i` lies between entry `i` and entry `i + 1`; the first entry is 0.
    Offsets(Vec<usize>),
}

impl EncodedKeys {
    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        match &self.bounds {
            Bounds::Fixed(width) => self.bytes.len() / width,
            Bounds::Offsets(offsets) => offsets.len() - 1,
        }
    }

    /// Whether there are no keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of a row, which must be below [`EncodedKeys::len`].
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.range(row)]
    }

    /// All keys in the order of the rows.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Bytes of all keys together.
    pub(crate) fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn range(&self, row: usize) -> Range<usize> {
        match &self.bounds {
            Bounds::Fixed(width) => row * width..(row + 1) * width,
            Bounds::Offsets(offsets) => offsets[row]..offsets[row + 1],
        }
    }
}
