//! Ranges of keys: from bounds on the first columns to the bytes between which such keys lie.
//!
//! The keys that begin with given first columns are those whose bytes begin with the bytes of these columns, so they end where the
//! last byte counted up by one begins (trailing `FF` dropped first). A whole key may be followed by a longer one
//! that begins with it, since its last column has no end: the least byte string above it is the key and one `00`.

use std::ops::Bound;

/// The keys from `start` on and below `end`, compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    /// The first bytes that may be in the range.
    pub(crate) start: Vec<u8>,
    /// The first bytes above the range; `None` if it has no end.
    pub(crate) end: Option<Vec<u8>>,
}

/// Encoded first columns of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix<'a> {
    /// Some columns; others follow in keys.
    Columns(&'a [u8]),
    /// All columns of the key.
    Key(&'a [u8]),
}

impl Prefix<'_> {
    /// The first bytes of a key that begins with this.
    fn first(self) -> Vec<u8> {
        let (Prefix::Columns(bytes) | Prefix::Key(bytes)) = self;
        bytes.to_vec()
    }

    /// The first bytes above all keys that begin with this; `None` if nothing is above them.
    fn after(self) -> Option<Vec<u8>> {
        match self {
            Prefix::Key(bytes) => Some([bytes, &[0]].concat()),
            Prefix::Columns(bytes) => {
                let last = bytes.iter().rposition(|&byte| byte != u8::MAX)?;
                let mut after = bytes[..=last].to_vec();
                after[last] += 1;
                Some(after)
            }
        }
    }
}

impl KeyRange {
    /// All keys.
    pub(crate) fn all() -> KeyRange {
        KeyRange { start: Vec::new(), end: None }
    }

    /// Between two bounds. An inclusive bound includes every key that begins with it, an exclusive one excludes them all.
    pub(super) fn between(lower: Bound<Prefix<'_>>, upper: Bound<Prefix<'_>>) -> KeyRange {
        let start = match lower {
            Bound::Unbounded => Some(Vec::new()),
            Bound::Included(prefix) => Some(prefix.first()),
            Bound::Excluded(prefix) => prefix.after(),
        };
        let end = match upper {
            Bound::Unbounded => None,
            Bound::Included(prefix) => prefix.after(),
            Bound::Excluded(prefix) => Some(prefix.first()),
        };
        match start {
            Some(start) => KeyRange { start, end },
            // Above the highest keys there is nothing.
            None => KeyRange { start: Vec::new(), end: Some(Vec::new()) },
        }
    }

    /// Whether a key is in the range.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_ref().is_none_or(|end| key < end.as_slice())
    }

    /// Whether no key can be in the range.
    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}
