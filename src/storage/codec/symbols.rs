//! FSST: strings compressed with a table of up to 255 symbols of 1 to 8 bytes (Boncz, Neumann and Leis, "FSST: Fast
//! Random Access String Compression", VLDB 2020). A code of one byte stands for a symbol; code 255 says that the next byte
//! stands for itself.
//!
//! Training and compression are those of the `fsst-rs` crate; decoding is our own, because it must be sound for any
//! bytes: it knows how many bytes must come out, has room for one block of codes more, and stops once beyond.
//!
//! The shared page:
//!
//! ```text
//! header, 64 bytes:   0  symbols u32   4  zero   8  encoding tag u8   9  zero
//! lengths             u8, one a symbol: 1 to 8
//! symbols             u64, one a symbol: its bytes, then zeros
//! ```

#![expect(
    unsafe_code,
    reason = "decoding writes eight bytes a code into reserved space; half the speed with checked writes"
)]

use super::Encoding;
use super::layout::{HEADER_BYTES, PIECE_ALIGNMENT, PageReader, align, read_u32};
use arrow::buffer::Buffer;

/// Code that says that the next byte stands for itself.
const ESCAPE: u8 = 255;
/// Bytes a code writes, whatever it stands for.
const STORE_BYTES: usize = 8;

/// The shared page of a trained table.
pub(crate) fn page(compressor: &fsst::Compressor) -> Vec<u8> {
    let (symbols, lengths) = (compressor.symbol_table(), compressor.symbol_lengths());
    let mut page = Vec::with_capacity(HEADER_BYTES + PIECE_ALIGNMENT + symbols.len() * 9);
    page.extend_from_slice(&(symbols.len() as u32).to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.push(Encoding::Fsst as u8);
    page.resize(HEADER_BYTES, 0);
    page.extend_from_slice(lengths);
    align(&mut page);
    symbols.iter().for_each(|symbol| page.extend_from_slice(&symbol.to_u64().to_le_bytes()));
    page
}

/// Appends the codes of `value`; `scratch` is overwritten.
pub(crate) fn compress(compressor: &fsst::Compressor, value: &[u8], scratch: &mut Vec<u8>, codes: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    scratch.clear();
    scratch.reserve(value.len() * 2 + STORE_BYTES);
    // SAFETY: the largest compressed form escapes every byte, twice the length, and that much is reserved.
    unsafe { compressor.compress_into(value, scratch) };
    codes.extend_from_slice(scratch);
}

/// An opened symbol table. Codes without a symbol stand for a zero byte, so that any code can be looked up.
#[derive(Debug)]
pub(crate) struct Symbols {
    symbols: [u64; 256],
    lengths: [u8; 256],
    /// All symbols are ASCII.
    ascii: bool,
}

impl Symbols {
    /// Checks and opens the shared page.
    pub(crate) fn open(pages: &[Buffer]) -> Result<Symbols, String> {
        let [page] = pages else { return Err(format!("{} symbol tables, one expected", pages.len())) };
        let mut reader = PageReader::new(page.clone());
        let header = reader.take(HEADER_BYTES)?;
        let count = read_u32(&header, 0) as usize;
        if page.as_ptr().align_offset(PIECE_ALIGNMENT) != 0 || header[8] != Encoding::Fsst as u8 || count > 255 {
            return Err("not an aligned symbol table".into());
        }
        let lengths = reader.take(count)?;
        let symbols = reader.take_numbers::<u64>(count)?;
        if lengths.iter().any(|length| !(1..=STORE_BYTES as u8).contains(length)) {
            return Err("symbol of a length other than 1 to 8".into());
        }
        let mut table = Symbols { symbols: [0; 256], lengths: [1; 256], ascii: true };
        table.symbols[..count].copy_from_slice(&symbols);
        table.lengths[..count].copy_from_slice(&lengths);
        table.ascii = symbols.iter().all(|symbol| symbol & 0x8080_8080_8080_8080 == 0);
        Ok(table)
    }

    /// Whether whatever decodes from any cut of `codes` is ASCII.
    pub(crate) fn decodes_to_ascii(&self, codes: &[u8]) -> bool {
        // A byte after an escape must be ASCII itself; one that is another escape is refused with them.
        let escape_free = |chunk: &[u8]| !chunk.iter().fold(false, |found, &code| found | (code == ESCAPE));
        let start_of = |chunk: usize| chunk * 64;
        self.ascii
            && codes.chunks(64).enumerate().all(|(chunk, part)| {
                escape_free(part)
                    || part.iter().enumerate().all(|(i, &code)| {
                        code != ESCAPE || codes.get(start_of(chunk) + i + 1).is_none_or(|byte| *byte < 0x80)
                    })
            })
    }

    /// Appends what `codes` stand for, `raw_bytes` bytes; when it is another number of bytes, nothing, and answers false.
    pub(crate) fn decode(&self, codes: &[u8], raw_bytes: usize, out: &mut Vec<u8>) -> bool {
        out.reserve(raw_bytes + BLOCK_CODES * STORE_BYTES);
        let start = out.len();
        let limit = start + raw_bytes;
        let target = out.as_mut_ptr();
        let mut len = start;
        let mut store = |bytes: u64, length: u8| {
            // SAFETY: callers make sure that `len` is at most `limit` plus eight bytes for each code of the block before this
            // one, so that eight bytes more are within the reserved `BLOCK_CODES * STORE_BYTES` beyond `limit`.
            unsafe { target.add(len).cast::<u64>().write_unaligned(bytes.to_le()) };
            len += usize::from(length);
            len
        };
        let mut rest = codes;
        let mut at = start;
        while at <= limit {
            if let Some((block, after)) = rest.split_first_chunk::<BLOCK_CODES>()
                && !has_escape(block)
            {
                for &code in block {
                    at = store(self.symbols[usize::from(code)], self.lengths[usize::from(code)]);
                }
                rest = after;
                continue;
            }
            match rest {
                [] => break,
                [ESCAPE, byte, after @ ..] => {
                    at = store(u64::from(*byte), 1);
                    rest = after;
                }
                [ESCAPE] => return false,
                [code, after @ ..] => {
                    at = store(self.symbols[usize::from(*code)], self.lengths[usize::from(*code)]);
                    rest = after;
                }
            }
        }
        if at != limit || !rest.is_empty() {
            return false;
        }
        // SAFETY: every byte below `limit` was written: each store wrote eight bytes and moved on by at most eight.
        unsafe { out.set_len(limit) };
        true
    }
}

/// Codes looked at together.
const BLOCK_CODES: usize = 8;

/// Whether any of the codes is the escape.
#[inline(always)]
fn has_escape(block: &[u8; BLOCK_CODES]) -> bool {
    // A byte is all ones exactly where its complement is zero: the classic test for a zero byte in a word.
    let inverted = !u64::from_le_bytes(*block);
    inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::layout::aligned;

    fn trained(texts: &Vec<&[u8]>) -> (fsst::Compressor, Symbols) {
        let compressor = fsst::Compressor::train(texts);
        let symbols = Symbols::open(&[aligned(&page(&compressor))]).unwrap();
        (compressor, symbols)
    }

    #[test]
    fn any_text_is_decoded_as_it_was() {
        let mut random = fastrand::Rng::with_seed(1);
        let sample: Vec<&[u8]> = vec![b"the quick brown fox", b"the lazy dog", "d\u{e4}r \u{fc}ber".as_bytes()];
        let (compressor, symbols) = trained(&sample);
        for len in 0..300 {
            let text: Vec<u8> = (0..len)
                .map(|_| if random.bool() { random.u8(..) } else { b"the quick "[random.usize(..10)] })
                .collect();
            let (mut codes, mut scratch) = (Vec::new(), Vec::new());
            compress(&compressor, &text, &mut scratch, &mut codes);
            let mut out = b"before".to_vec();
            assert!(symbols.decode(&codes, text.len(), &mut out));
            assert_eq!(&out[6..], text);
            assert!(!symbols.decode(&codes, text.len() + 1, &mut out));
            assert!(text.is_empty() || !symbols.decode(&codes, text.len() - 1, &mut out));
            assert_eq!(out.len(), 6 + text.len());
        }
    }

    #[test]
    fn any_codes_decode_to_at_most_what_was_asked_for() {
        let mut random = fastrand::Rng::with_seed(2);
        let sample: Vec<&[u8]> = vec![b"aaaaaaaa bbbbbbbb cccccccc"; 20];
        let (_, symbols) = trained(&sample);
        for _ in 0..20_000 {
            let codes: Vec<u8> =
                (0..random.usize(..64)).map(|_| if random.u32(..6) == 0 { ESCAPE } else { random.u8(..) }).collect();
            let asked = random.usize(..600);
            let mut out = Vec::new();
            let decoded = symbols.decode(&codes, asked, &mut out);
            assert_eq!(out.len(), if decoded { asked } else { 0 });
            if decoded && symbols.decodes_to_ascii(&codes) {
                assert!(out.is_ascii());
            }
        }
    }
}
