//! Finding a key among the heads of a node: the one loop that every operation spends its time in.
//!
//! A *head* is the eight bytes of a key that follow the node's common prefix, as a big-endian number, so that numbers
//! compare as the bytes do; shorter keys are filled up with zeros. Different heads order their keys; equal heads say
//! nothing, and then the keys themselves are compared.
//!
//! Heads are sorted and kept in eight groups. Seven *hints*, the last heads of the first seven groups, share a cache line
//! with the node's counts. So a search counts the smaller ones among seven hints and then among one group: two cache lines,
//! no branch that depends on the data. Places without a key hold the largest head.

use std::cmp::Ordering;

/// Groups of heads in a node.
pub(super) const GROUPS: usize = 8;

/// The head of a place without a key.
pub(super) const NO_HEAD: u64 = u64::MAX;

/// Hints of a node: the last head of each group but the last.
pub(super) type Hints = [u64; GROUPS - 1];

/// The head of `key` after `prefix_len` bytes.
#[inline]
pub(super) fn head(key: &[u8], prefix_len: usize) -> u64 {
    let Some(rest) = key.get(prefix_len..) else { return 0 };
    match rest.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => rest.iter().enumerate().fold(0, |head, (at, byte)| head | u64::from(*byte) << (56 - 8 * at)),
    }
}

/// How many heads are smaller than `head`.
#[inline]
pub(super) fn rank<const GROUP: usize>(hints: &Hints, heads: &[[u64; GROUP]; GROUPS], head: u64) -> usize {
    let group = count_less(hints, head);
    group * GROUP + count_less(&heads[group & (GROUPS - 1)], head)
}

/// The hints over `heads`.
pub(super) fn hints<const GROUP: usize>(heads: &[[u64; GROUP]; GROUPS]) -> Hints {
    std::array::from_fn(|group| heads[group][GROUP - 1])
}

#[inline]
fn count_less<const N: usize>(heads: &[u64; N], head: u64) -> usize {
    heads.iter().map(|other| usize::from(*other < head)).sum()
}

/// How many bytes two keys begin with in common.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// `key` against all keys that begin with `prefix`: equal when it begins with it, too.
#[inline]
pub(super) fn compare_prefix(key: &[u8], prefix: &[u8]) -> Ordering {
    match key.get(..prefix.len()) {
        Some(start) => start.cmp(prefix),
        // A key that ends inside the prefix comes before all that go on.
        None => key.cmp(prefix),
    }
}

/// The shortest key above `left` and not above `right`: what an inner node needs to tell them apart.
pub(super) fn separator(left: &[u8], right: &[u8]) -> Box<[u8]> {
    debug_assert!(left < right, "a separator is between different keys");
    right[..(common_prefix(left, right) + 1).min(right.len())].into()
}

/// Asks the processor for the cache line of `at`. A hint: any address will do.
#[inline(always)]
#[expect(unsafe_code, reason = "prefetching has no safe name")]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_order_as_keys_do() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefgi"];
        for pair in keys.windows(2) {
            assert!(head(pair[0], 0) <= head(pair[1], 0));
        }
        assert_eq!(head(b"xyab", 2), head(b"ab", 0));
        assert_eq!(head(b"x", 2), 0);
    }

    #[test]
    fn rank_counts_smaller_heads() {
        let mut heads = [[NO_HEAD; 2]; GROUPS];
        for (at, head) in heads.as_flattened_mut().iter_mut().take(11).enumerate() {
            *head = 10 * (at as u64 / 2);
        }
        let hints = hints(&heads);
        for head in 0..70 {
            let expected = heads.as_flattened().iter().filter(|other| **other < head).count();
            assert_eq!(rank(&hints, &heads, head), expected, "head {head}");
        }
        assert_eq!(rank(&hints, &heads, u64::MAX), 11);
    }

    #[test]
    fn separators_are_short_and_between() {
        assert_eq!(&*separator(b"apple", b"banana"), b"b");
        assert_eq!(&*separator(b"", b"a"), b"a");
        assert_eq!(&*separator(b"aa", b"aab"), b"aab");
        assert_eq!(&*separator(b"aa\x01z", b"aa\x02"), b"aa\x02");
    }
}
