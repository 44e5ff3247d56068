//! Which integers of a vector are packed and which are *patches*, listed one by one, because they are too far from the others
//! (Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", ICDE 2006: PFOR, here with outliers on both sides).

use std::ops::Range;

/// Bytes of a patch's row.
pub(crate) const ROW_BYTES: usize = 2;

/// The integers that are packed: those from `low` on, as far as `width` bits reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The smallest one.
    pub(crate) low: u64,
    /// Bits of each.
    pub(crate) width: u32,
    /// Bytes of what a patch lacks from `low`; 0 when there are none.
    pub(crate) patch_bytes: usize,
    /// Bytes of the packed integers and the patches together.
    pub(crate) bytes: usize,
}

impl Window {
    /// The cheapest one for these integers, which ascend, where a bit of width costs so many bytes.
    pub(crate) fn cheapest(sorted: &[u64], bytes_of_bit: usize) -> Window {
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
            return Window { low: 0, width: 0, patch_bytes: 0, bytes: 0 };
        };
        let all = 64 - (most - least).leading_zeros();
        let mut best = Window { low: least, width: all, patch_bytes: 0, bytes: bytes_of_bit * all as usize };
        let distinct = distinct(sorted);
        for width in (0..all).rev() {
            let (cheapest, patches_min) = Window::of_width(&distinct, sorted.len(), width, bytes_of_bit);
            if cheapest.bytes < best.bytes {
                best = cheapest;
            }
            // The narrower, the more patches.
            if patches_min * (ROW_BYTES + 1) >= best.bytes {
                break;
            }
        }
        best
    }

    /// The cheapest one of a width that does not reach all, and how few patches any of that width has.
    fn of_width(distinct: &[(u64, usize)], rows: usize, width: u32, bytes_of_bit: usize) -> (Window, usize) {
        let (span, packed_bytes) = (distance_max(width), bytes_of_bit * width as usize);
        let (least, most) = (distinct[0].0, distinct[distinct.len() - 1].0);
        let mut best = Window { low: least, width, patch_bytes: 0, bytes: usize::MAX };
        let mut patches_min = rows;
        let mut end = 0;
        for &(low, before) in distinct {
            while distinct.get(end).is_some_and(|(integer, _)| integer - low <= span) {
                end += 1;
            }
            let (above, until) = distinct.get(end).map_or((0, rows), |(_, until)| (most - low, *until));
            let patches = rows - (until - before);
            patches_min = patches_min.min(patches);
            if packed_bytes + patches * (ROW_BYTES + 1) < best.bytes {
                let patch_bytes = signed_bytes(above.max(low - least));
                let bytes = packed_bytes + patches * (ROW_BYTES + patch_bytes);
                if bytes < best.bytes {
                    best = Window { low, width, patch_bytes, bytes };
                }
            }
        }
        (best, patches_min)
    }

    /// An integer that many others are near: the middle of a window of eight.
    pub(crate) fn middle(sorted: &[u64]) -> u64 {
        if sorted.is_empty() {
            return 0;
        }
        Window::of_width(&distinct(sorted), sorted.len(), 3, 0).0.low.wrapping_add(4)
    }

    /// Whether an integer is packed.
    pub(crate) fn contains(&self, integer: u64) -> bool {
        integer.checked_sub(self.low).is_some_and(|distance| distance <= distance_max(self.width))
    }

    /// What a patch lacks from `low`.
    pub(crate) fn lack(&self, integer: u64) -> i64 {
        distance(integer, self.low)
    }
}

/// `integer - from`, wrapping around.
pub(crate) fn distance(integer: u64, from: u64) -> i64 {
    integer.wrapping_sub(from) as i64
}

/// The largest distance of `width` bits.
fn distance_max(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

/// The different ones of `sorted`, each with how many come before it.
fn distinct(sorted: &[u64]) -> Vec<(u64, usize)> {
    let mut distinct: Vec<(u64, usize)> = Vec::new();
    for (before, &integer) in sorted.iter().enumerate() {
        if distinct.last().is_none_or(|(last, _)| *last != integer) {
            distinct.push((integer, before));
        }
    }
    distinct
}

/// Bytes that hold `distance` either way; all of them where it wraps around.
fn signed_bytes(distance: u64) -> usize {
    (65 - distance.leading_zeros()).div_ceil(8).min(8) as usize
}

/// The patches of a vector as stored: rows u16, ascending, then what each lacks, in `bytes` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patches<'a> {
    rows: &'a [[u8; ROW_BYTES]],
    lacks: &'a [u8],
    bytes: usize,
}

impl<'a> Patches<'a> {
    /// Those in `stored`, each with 1 to 8 bytes; `None` when that is no whole number of them.
    pub(crate) fn new(stored: &'a [u8], bytes: usize) -> Option<Patches<'a>> {
        let count = stored.len() / (ROW_BYTES + bytes);
        let (rows, lacks) = stored.split_at(count * ROW_BYTES);
        (lacks.len() == count * bytes).then_some(Patches { rows: rows.as_chunks().0, lacks, bytes })
    }

    /// Appends patches to `out`.
    pub(crate) fn write(patches: &[(u16, i64)], bytes: usize, out: &mut Vec<u8>) {
        patches.iter().for_each(|(row, _)| out.extend(row.to_le_bytes()));
        patches.iter().for_each(|(_, lack)| out.extend_from_slice(&lack.to_le_bytes()[..bytes]));
    }

    /// Whether they are in order and among `rows` rows.
    pub(crate) fn are_sound(&self, rows: usize) -> bool {
        let row = |stored: &[u8; ROW_BYTES]| usize::from(u16::from_le_bytes(*stored));
        self.rows.windows(2).all(|pair| row(&pair[0]) < row(&pair[1])) && self.rows.last().is_none_or(|l| row(l) < rows)
    }

    /// Rows among `rows` with a patch, and what it lacks.
    pub(crate) fn among(self, rows: Range<usize>) -> impl Iterator<Item = (usize, i64)> {
        let before = |end: usize| self.rows.partition_point(|row| usize::from(u16::from_le_bytes(*row)) < end);
        (before(rows.start)..before(rows.end))
            .map(move |patch| (u16::from_le_bytes(self.rows[patch]).into(), self.lack(patch)))
    }

    fn lack(&self, patch: usize) -> i64 {
        let mut eight = [0; 8];
        eight[..self.bytes].copy_from_slice(&self.lacks[patch * self.bytes..(patch + 1) * self.bytes]);
        let unused = 64 - self.bytes * 8;
        i64::from_le_bytes(eight) << unused >> unused
    }
}

#[cfg(test)]
mod tests {
    use super::super::VECTOR_ROWS;
    use super::*;

    /// Bytes of the cheapest window, by trying all.
    fn model(sorted: &[u64], bytes_of_bit: usize) -> usize {
        let of_window = |low: u64, width: u32| {
            let outside = sorted.iter().filter(|&&integer| integer < low || integer - low > distance_max(width));
            let bytes = outside.clone().map(|integer| signed_bytes(integer.abs_diff(low))).max().unwrap_or(0);
            bytes_of_bit * width as usize + outside.count() * (ROW_BYTES + bytes)
        };
        let windows = (0..=64).flat_map(|width| sorted.iter().map(move |low| (*low, width)));
        windows.map(|(low, width)| of_window(low, width)).min().unwrap_or(0)
    }

    #[test]
    fn windows_are_the_cheapest() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let (narrow, wide) = (random.u32(..12), random.u32(12..=64));
            let rows = random.usize(1..200);
            let one_in = random.u32(1..60);
            let mut next = || {
                let bits = if random.u32(..one_in) == 0 { wide } else { narrow };
                random.u64(..) & distance_max(bits)
            };
            let mut sorted: Vec<u64> = (0..rows).map(|_| next()).collect();
            sorted.sort_unstable();
            let bytes_of_bit = random.usize(1..=128);
            let window = Window::cheapest(&sorted, bytes_of_bit);
            let outside: Vec<u64> = sorted.iter().copied().filter(|integer| !window.contains(*integer)).collect();
            let unused = 64 - window.patch_bytes as u32 * 8;
            for integer in &outside {
                assert_eq!(window.lack(*integer) << unused >> unused, window.lack(*integer), "{window:?}");
            }
            let bytes = bytes_of_bit * window.width as usize + outside.len() * (ROW_BYTES + window.patch_bytes);
            assert_eq!(bytes, window.bytes, "{window:?}");
            assert_eq!(bytes, model(&sorted, bytes_of_bit), "{window:?}");
        }
    }

    #[test]
    fn patches_are_read_back() {
        let mut random = fastrand::Rng::with_seed(4);
        for bytes in 1..=8 {
            let unused = 64 - bytes * 8;
            let rows = (0..VECTOR_ROWS as u16).filter(|_| random.u32(..30) == 0).collect::<Vec<u16>>();
            let patches: Vec<(u16, i64)> = rows.iter().map(|row| (*row, fastrand::i64(..) >> unused)).collect();
            let mut stored = Vec::new();
            Patches::write(&patches, bytes, &mut stored);
            let read = Patches::new(&stored, bytes).unwrap();
            assert!(read.are_sound(VECTOR_ROWS));
            let (from, to) = (200, 700);
            let expected = patches.iter().map(|(row, lack)| (usize::from(*row), *lack));
            let expected: Vec<(usize, i64)> = expected.filter(|(row, _)| (from..to).contains(row)).collect();
            assert_eq!(read.among(from..to).collect::<Vec<_>>(), expected);
            assert!(Patches::new(&stored[1..], bytes).is_none());
        }
    }
}
