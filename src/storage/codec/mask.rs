//! The rows of a window that are still alive, one bit each.
//!
//! A scan starts with every row alive and lets each condition clear bits; codecs skip whole vectors whose bits are
//! all clear. Bits past `rows` must always be clear, so that counting and iterating need no tail handling.

use std::ops::Range;

/// With fewer dead rows than one in so many, runs of those alive are long enough to be copied one by one.
const DEAD_SHARE: usize = 16;

/// Which rows of a window are still alive: bit i is row i.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Little-endian words; bits past `rows` are clear.
    pub words: Vec<u64>,
    /// Rows of the window.
    pub rows: usize,
}

impl Mask {
    /// All rows alive.
    pub fn all(rows: usize) -> Mask {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if !rows.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = low_bits(rows % 64);
        }
        Mask { words, rows }
    }

    /// No row alive.
    pub fn none(rows: usize) -> Mask {
        Mask { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// Rows alive.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether `row` is alive.
    pub fn get(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Rows alive among `len` from `at` on.
    pub fn count_range(&self, at: usize, len: usize) -> usize {
        chunks(len).map(|(i, n)| (self.window(at + i) & low_bits(n)).count_ones() as usize).sum()
    }

    /// Whether any of `len` rows from `at` on is alive.
    pub fn any(&self, at: usize, len: usize) -> bool {
        chunks(len).any(|(i, n)| self.window(at + i) & low_bits(n) != 0)
    }

    /// The 64 bits that start at bit `at`; rows past the end read as dead.
    pub(crate) fn window(&self, at: usize) -> u64 {
        let (word, shift) = (at / 64, at % 64);
        let low = self.words.get(word).copied().unwrap_or(0);
        if shift == 0 {
            return low;
        }
        let high = self.words.get(word + 1).copied().unwrap_or(0);
        low >> shift | high << (64 - shift)
    }

    /// Keeps row `at + i` alive only where bit `i` of `words` is set, for `len` rows.
    pub(crate) fn and(&mut self, at: usize, words: &[u64], len: usize) {
        for (i, n) in chunks(len) {
            self.and_word(at + i, words[i / 64], n);
        }
    }

    /// Kills `len` rows from `at` on.
    pub(crate) fn clear(&mut self, at: usize, len: usize) {
        for (i, n) in chunks(len) {
            self.and_word(at + i, 0, n);
        }
    }

    /// Keeps row `at + i` alive only where bit `i` of `word` is set, for `len <= 64` rows.
    #[inline]
    pub(crate) fn and_word(&mut self, at: usize, word: u64, len: usize) {
        let dead = !word & low_bits(len);
        let (index, shift) = (at / 64, at % 64);
        if let Some(slot) = self.words.get_mut(index) {
            *slot &= !(dead << shift);
        }
        if shift != 0
            && let Some(slot) = self.words.get_mut(index + 1)
        {
            *slot &= !(dead >> (64 - shift));
        }
    }

    /// Whether so few of the `len` rows from `at` on are dead that it is best to take all of them in runs.
    pub(crate) fn is_dense(&self, at: usize, len: usize) -> bool {
        (len - self.count_range(at, len)) * DEAD_SHARE <= len
    }

    /// Writes into `indices` the offsets from `at` of the rows alive among the next `len`, in order; how many there are.
    pub(crate) fn indices(&self, at: usize, len: usize, indices: &mut [u16; super::VECTOR_ROWS]) -> usize {
        let mut count = 0;
        for (i, n) in chunks(len.min(super::VECTOR_ROWS)) {
            let mut word = self.window(at + i) & low_bits(n);
            while word != 0 {
                indices[count] = (i + word.trailing_zeros() as usize) as u16;
                count += 1;
                word &= word - 1;
            }
        }
        count
    }

    /// Calls `each` with maximal runs of rows alive among `len` from `at` on, as offsets from `at`.
    pub(crate) fn runs(&self, at: usize, len: usize, mut each: impl FnMut(Range<usize>)) {
        let mut start = None;
        for (i, n) in chunks(len) {
            let word = self.window(at + i) & low_bits(n);
            let mut bit = 0;
            while bit < n {
                let rest = word >> bit;
                match start {
                    None if rest == 0 => break,
                    None => {
                        bit += rest.trailing_zeros() as usize;
                        start = Some(i + bit);
                    }
                    Some(from) => {
                        let ones = (rest.trailing_ones() as usize).min(n - bit);
                        bit += ones;
                        if bit < n {
                            each(from..i + bit);
                            start = None;
                        }
                    }
                }
            }
        }
        if let Some(from) = start {
            each(from..len);
        }
    }
}

/// The lowest `count` bits set.
#[inline]
pub(crate) fn low_bits(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// `0..len` cut into pieces of at most 64: start and length of each.
fn chunks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(64).map(move |start| (start, (len - start).min(64)))
}

/// Bits `0..rows` computed by `test`, 64 a word.
#[inline(always)]
pub(crate) fn collect_words(rows: usize, mut test: impl FnMut(usize) -> bool, mut emit: impl FnMut(usize, u64, usize)) {
    for (start, len) in chunks(rows) {
        let mut word = 0;
        for i in 0..len {
            word |= u64::from(test(start + i)) << i;
        }
        emit(start, word, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(mask: &Mask) -> Vec<bool> {
        (0..mask.rows).map(|i| mask.get(i)).collect()
    }

    #[test]
    fn unaligned_and_matches_a_bool_vector() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let rows = random.usize(1..400);
            let at = random.usize(0..rows);
            let len = random.usize(0..=rows - at);
            let words: Vec<u64> = (0..len.div_ceil(64)).map(|_| random.u64(..)).collect();
            let mut mask = Mask::all(rows);
            for word in &mut mask.words {
                *word &= random.u64(..);
            }
            let mut expected = model(&mask);
            for i in 0..len {
                expected[at + i] &= words[i / 64] >> (i % 64) & 1 == 1;
            }
            mask.and(at, &words, len);
            assert_eq!(model(&mask), expected);
            assert_eq!(mask.count_range(at, len), expected[at..at + len].iter().filter(|b| **b).count());
            let mut from_runs = vec![false; len];
            mask.runs(at, len, |run| from_runs[run].fill(true));
            assert_eq!(from_runs, expected[at..at + len]);
            let mut indices = [0; super::super::VECTOR_ROWS];
            let count = mask.indices(at, len, &mut indices);
            let expected: Vec<u16> = (0..len).filter(|i| expected[at + i]).map(|i| i as u16).collect();
            assert_eq!(&indices[..count], expected);
            mask.clear(at, len);
            assert!(!mask.any(at, len));
        }
    }

    #[test]
    fn all_leaves_the_tail_clear() {
        for rows in [0, 1, 63, 64, 65, 1024] {
            assert_eq!(Mask::all(rows).count(), rows);
            assert_eq!(Mask::none(rows).count(), 0);
        }
    }
}
