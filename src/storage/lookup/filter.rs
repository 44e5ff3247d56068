//! Which keys a block of a segment certainly does not have: a split block Bloom filter over its keys.
//!
//! Rows that come in small commits lie in several runs whose ranges of keys overlap nearly everywhere: of many series, each run has a
//! while. Whoever inserts must know that none of them has the new keys, and bounds do not tell. A filter does, with one look at 32 bytes a
//! key: a key is missed by no filter that has it, and of those that are not there about one in a thousand is looked for in vain.
//!
//! A filter is made when many keys are looked for in a block that is one of several candidates, from all of its keys, and kept in the page
//! cache as long as there is room. Keys never change in a block, deleted rows included, so it stays true.
//!
//! The layout is that of Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007), as Impala and Parquet
//! have it: 8 words of 32 bits, of each of which the hash sets one bit.

use crate::key::EncodedKeys;
use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// Bits of a filter for each key.
const KEY_BITS: usize = 16;
/// Words of a bucket.
const WORDS: usize = 8;
/// Odd numbers, one a word, that make eight hashes of one.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// One seed for the process: filters are never stored.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// The hash of a key, as filters know it.
pub(super) fn hash(key: &[u8]) -> u64 {
    HASHER.hash_one(key)
}

/// The filter of a block.
#[derive(Debug)]
pub(crate) struct KeyFilter {
    buckets: Vec<[u32; WORDS]>,
}

impl KeyFilter {
    /// A filter for so many keys.
    pub(super) fn with_capacity(keys: usize) -> KeyFilter {
        KeyFilter { buckets: vec![[0; WORDS]; (keys * KEY_BITS).div_ceil(32 * WORDS).max(1)] }
    }

    /// Adds keys.
    pub(super) fn extend(&mut self, keys: &EncodedKeys) {
        for key in keys.iter() {
            let hash = hash(key);
            let at = self.bucket(hash);
            for (word, bit) in self.buckets[at].iter_mut().zip(bits(hash)) {
                *word |= bit;
            }
        }
    }

    /// False when no key with this hash was added.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let words = &self.buckets[self.bucket(hash)];
        words.iter().zip(bits(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit)) == 0
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.buckets.as_slice()) + size_of::<KeyFilter>()
    }

    /// The upper half of the hash chooses the bucket.
    #[inline]
    fn bucket(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }
}

/// The lower half of a hash chooses one bit of each word.
#[inline]
fn bits(hash: u64) -> [u32; WORDS] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyColumn, KeyEncoder};
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::DataType;
    use std::sync::Arc;

    fn keys(numbers: impl Iterator<Item = i64>) -> EncodedKeys {
        let encoder = KeyEncoder::new(&[KeyColumn { data_type: DataType::Int64, nullable: false }]).unwrap();
        encoder.encode(&[Arc::new(numbers.collect::<Int64Array>()) as ArrayRef]).unwrap()
    }

    #[test]
    fn no_key_is_missed_and_few_others_are_taken_for_one() {
        for count in [0, 1, 100, 8192, 122_880] {
            let (there, others) = (keys((0..count).map(|n| n * 7)), keys((0..100_000).map(|n| -1 - n * 3)));
            let mut filter = KeyFilter::with_capacity(there.len());
            filter.extend(&there);
            assert!(there.iter().all(|key| filter.may_have(hash(key))), "{count} keys");
            let mistaken = others.iter().filter(|key| filter.may_have(hash(key))).count();
            assert!(mistaken < 500, "{mistaken} of 100,000 with {count} keys");
            assert!(filter.memory_bytes() <= 2 * there.len() + 128);
        }
    }
}
