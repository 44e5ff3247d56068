//! Streams of small integers as `tsz-compress` writes them: as many at a time as fit 32 bits together.
//!
//! A stream is groups of half-bytes, the upper half of each byte first. A group is a tag of one half-byte and a word of eight,
//! the highest first, in which the integers stand side by side, the first in the highest place, the last in the lowest. They are
//! zigzagged: 0, −1, 1, −2, … become 0, 1, 2, 3, …
//!
//! ```text
//! tag 15   10 integers of  3 bits        tag 10   3 integers of 10 bits        tag 13   1 integer of 64 bits:
//! tag 14    5 integers of  6 bits        tag  8   2 integers of 16 bits                 a word of 16 half-bytes
//! tag 12    4 integers of  8 bits        tag 11   1 integer  of 32 bits
//! ```
//!
//! How many integers there are is not in the stream. An odd number of half-bytes is filled up with a 9.
//!
//! The library writes streams. It does not read them: its decoder panics on other tags, cannot stop before the end, and takes
//! half-byte by half-byte, three to four times as long (2.3 to 3.5 ns an integer). The one here makes something of any bytes.

use super::stretches::STRETCH_ROWS;
use tsz_compress::prelude::halfvec::HalfVec;
use tsz_compress::prelude::{CompressionQueue, EmitDeltaBits};

/// Most integers of a group.
const GROUP_MAX: usize = 10;

/// Room for the integers of a stretch: the last group may have more than are asked for.
pub(crate) type Room = [i64; STRETCH_ROWS + GROUP_MAX];

/// Integers before any were read.
pub(crate) const EMPTY: Room = [0; STRETCH_ROWS + GROUP_MAX];

/// The stream of `integers`.
pub(crate) fn encode(integers: &[i64]) -> Vec<u8> {
    let mut queue = CompressionQueue::<GROUP_MAX>::new();
    let mut halves = HalfVec::new(integers.len() / 2);
    for &integer in integers {
        queue.push(integer);
        if queue.is_full() {
            queue.emit_delta_bits(&mut halves);
        }
    }
    while !queue.is_empty() {
        queue.flush_delta_bits(&mut halves);
    }
    // A vector without any room: the library reckons wrongly with what room there is and would write past its end.
    let mut bytes = Vec::new();
    HalfVec::finish(&mut bytes, std::iter::once(&halves));
    bytes
}

/// Bytes that the stream of `integers` takes at least: each at its share of the narrowest group that takes it.
pub(crate) fn bytes_min(integers: &[i64]) -> usize {
    let tenths_of_bits = |&integer: &i64| match 64 - zigzag(integer).leading_zeros() {
        0..=3 => 36,
        4..=6 => 72,
        7..=8 => 90,
        9..=10 => 120,
        11..=16 => 180,
        17..=32 => 360,
        _ => 680,
    };
    integers.iter().map(tenths_of_bits).sum::<usize>() / 80
}

/// Bytes that a stream of so many integers takes at least.
pub(crate) fn bytes_at_least(count: usize) -> usize {
    count * 36 / 80
}

/// Reads the first `count` integers of a stream, at most [`STRETCH_ROWS`]. Where a stream makes no sense or ends, the rest are 0.
pub(crate) fn decode(stream: &[u8], count: usize, integers: &mut Room) {
    let (mut half, mut done) = (0, 0);
    while done < count {
        let bits = peek(stream, half);
        let word = (bits << 4 >> 32) as u32;
        let rest = &mut integers[done..];
        half += 9;
        done += match bits >> 60 {
            15 => unzip::<10, 3>(word, rest),
            14 => unzip::<5, 6>(word, rest),
            12 => unzip::<4, 8>(word, rest),
            10 => unzip::<3, 10>(word, rest),
            8 => unzip::<2, 16>(word, rest),
            11 => unzip::<1, 32>(word, rest),
            13 => {
                let low = peek(stream, half) >> 32;
                half += 8;
                rest[0] = unzigzag(u64::from(word) << 32 | low);
                1
            }
            _ => {
                rest[..count - done].fill(0);
                return;
            }
        };
    }
}

/// The integers of a word; how many.
#[inline(always)]
fn unzip<const N: usize, const BITS: usize>(word: u32, integers: &mut [i64]) -> usize {
    for (place, integer) in integers[..N].iter_mut().enumerate() {
        let shifted = u64::from(word) >> (BITS * (N - 1 - place));
        *integer = unzigzag(shifted & (u64::MAX >> (64 - BITS)));
    }
    N
}

/// 64 bits from a half-byte on, the first in the highest place; only 60 of them count. Beyond the end there are zeros.
#[inline(always)]
fn peek(stream: &[u8], half: usize) -> u64 {
    let (byte, shift) = (half / 2, half % 2 * 4);
    let bits = match stream.get(byte..byte + 8) {
        Some(eight) => u64::from_be_bytes(eight.try_into().expect("eight bytes")),
        None => {
            let mut eight = [0; 8];
            let rest = stream.get(byte..).unwrap_or_default();
            eight[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(eight)
        }
    };
    bits << shift
}

fn zigzag(integer: i64) -> u64 {
    (integer << 1 ^ integer >> 63) as u64
}

#[inline(always)]
fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsz_compress::prelude::{HalfIter, decode_i64};

    /// Integers of mixed widths, some in runs.
    fn integers(random: &mut fastrand::Rng) -> Vec<i64> {
        let mut bits = 0;
        let mut next = || {
            if random.u32(..4) == 0 {
                bits = random.u32(..=64);
            }
            random.i64(..).checked_shr(64 - bits).unwrap_or(0)
        };
        let rows = [0, 1, 2, 9, 10, 11, 200, 255, STRETCH_ROWS];
        let all: Vec<i64> = (0..STRETCH_ROWS).map(|_| next()).collect();
        all[..rows[random.usize(..rows.len())]].to_vec()
    }

    /// What the library's decoder makes of a stream: it reads a column of values, the steps of which are `integers`.
    fn read_by_the_library(stream: &[u8], rows: usize) -> Vec<i64> {
        // Tag 6 and a value of 16 half-bytes, tag 6 and a step of 32, both 0; the stream; the end.
        let mut halves = vec![0; 50];
        (halves[0], halves[17]) = (6, 6);
        halves.extend(stream.iter().flat_map(|byte| [byte >> 4, byte & 15]));
        halves.extend([9, 0]);
        let column: Vec<u8> = halves.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let mut values = Vec::new();
        decode_i64(&mut HalfIter::new(&column), &mut values).unwrap();
        let steps = values[1..].windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        steps.take(rows).collect()
    }

    #[test]
    fn streams_are_read_back_here_and_by_the_library() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let integers = integers(&mut random);
            let stream = encode(&integers);
            assert!(bytes_min(&integers) <= stream.len());
            assert_eq!(read_by_the_library(&stream, integers.len()), integers);
            for count in [integers.len(), random.usize(..=integers.len())] {
                let mut room = EMPTY;
                decode(&stream, count, &mut room);
                assert_eq!(room[..count], integers[..count]);
            }
        }
    }

    #[test]
    fn any_bytes_are_read() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            let mut room = EMPTY;
            decode(&bytes, random.usize(..=STRETCH_ROWS), &mut room);
        }
    }

    #[test]
    fn a_stream_that_ends_early_has_zeros() {
        let mut room = [7; STRETCH_ROWS + GROUP_MAX];
        decode(&encode(&[1, 2, 3]), 20, &mut room);
        assert_eq!(room[..4], [1, 2, 3, 0]);
        assert!(room[3..20].iter().all(|integer| *integer == 0));
    }
}
