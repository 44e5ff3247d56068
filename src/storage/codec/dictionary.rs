//! Dictionary encoding of strings with few distinct values: pages hold packed codes, shared pages hold the values.
//!
//! Values are sorted by bytes, so that every comparison, BETWEEN and LIKE 'prefix%' is a range of codes, and IN a set
//! of codes: strings are filtered as integers. Codes of NULLs repeat the code before.
//!
//! A shared page, entries in order over all shared pages of the chunk:
//!
//! ```text
//! header, 64 bytes:   0  entries u32   4  bytes u32   8  encoding tag u8   9  zero
//! ends                u32, one an entry: where it ends among the bytes of this page
//! bytes               the entries, one after the other
//! ```
//!
//! A data page is a page header, then a [packed section](super::packed) of codes.

use super::builder::Views;
use super::condition::{BytesTest, IntegerTest};
use super::layout::{HEADER_BYTES, PIECE_ALIGNMENT, PageReader, align, read_u32};
use super::mask::Mask;
use super::packed::Packed;
use super::physical::Text;
use super::{Encoding, PAGE_BYTES_MAX};
use arrow::array::{Array, BinaryViewArray, make_view};
use arrow::buffer::Buffer;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// Most entries of a dictionary: more would no longer stay in the cache while decoding.
const ENTRIES_MAX: usize = 1 << 14;
/// Most bytes of a dictionary: a point read has to load all of it.
const DICTIONARY_BYTES_MAX: usize = 256 * 1024;
/// Longest entry, so that dictionary pages keep to their size.
const ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Rows after which a column of mostly distinct values is given up.
const TRIAL_ROWS: usize = 4096;

/// Sorted distinct values of a column and its rows as codes.
pub(crate) struct Encoded {
    /// Codes, one a row.
    pub(crate) codes: Vec<i64>,
    /// Distinct values, ascending.
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Encoded {
    /// Finds the distinct values; `None` when there are too many for a dictionary to pay.
    pub(crate) fn new(values: &BinaryViewArray) -> Option<Encoded> {
        let hasher = DefaultHashBuilder::default();
        let mut table: HashTable<u32> = HashTable::new();
        let mut entries: Vec<&[u8]> = Vec::new();
        // What equal short strings share; unlike longer ones they are all there is of them.
        let mut entry_views: Vec<u128> = Vec::new();
        let mut codes = Vec::with_capacity(values.len());
        let mut bytes = 0;
        let (mut last_view, mut last_code) = (None, 0);
        for row in 0..values.len() {
            let view = values.views()[row];
            if values.is_null(row) || last_view == Some(view) {
                codes.push(last_code);
                continue;
            }
            let value: &[u8] = values.value(row);
            let hash = if value.len() <= 12 { hasher.hash_one(view) } else { hasher.hash_one(value) };
            let found = match value.len() <= 12 {
                true => table.find(hash, |&code| entry_views[code as usize] == view),
                false => table.find(hash, |&code| entries[code as usize] == value),
            };
            let found = found.copied();
            let code = match found {
                Some(code) => code,
                None => {
                    bytes += value.len() + 4;
                    let distinct = entries.len() + 1;
                    let hopeless = row >= TRIAL_ROWS && distinct > row / 2;
                    let too_large = bytes > DICTIONARY_BYTES_MAX || value.len() > ENTRY_BYTES_MAX;
                    if distinct > ENTRIES_MAX || too_large || hopeless {
                        return None;
                    }
                    let code = entries.len() as u32;
                    entries.push(value);
                    entry_views.push(view);
                    table.insert_unique(hash, code, |&code| {
                        let value = entries[code as usize];
                        if value.len() <= 12 { hasher.hash_one(make_view(value, 0, 0)) } else { hasher.hash_one(value) }
                    });
                    code
                }
            };
            (last_view, last_code) = (Some(view), i64::from(code));
            codes.push(last_code);
        }
        Some(sorted(codes, &entries))
    }

    /// Bytes of the encoded column, about.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let width = (usize::BITS - self.entries.len().saturating_sub(1).leading_zeros()) as usize;
        self.codes.len() * width / 8 + self.entries.iter().map(|entry| entry.len() + 4).sum::<usize>()
    }

    /// The shared pages.
    pub(crate) fn pages(&self) -> Vec<Vec<u8>> {
        let mut pages = Vec::new();
        let mut start = 0;
        while start < self.entries.len() {
            let mut bytes = HEADER_BYTES + PIECE_ALIGNMENT;
            let fit = self.entries[start..].iter().take_while(|entry| {
                bytes += entry.len() + 4;
                bytes <= PAGE_BYTES_MAX
            });
            let end = start + fit.count().max(1);
            pages.push(dictionary_page(&self.entries[start..end]));
            start = end;
        }
        pages
    }
}

/// Renumbers provisional codes by the order of their values.
fn sorted(mut codes: Vec<i64>, entries: &[&[u8]]) -> Encoded {
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by_key(|&code| entries[code as usize]);
    let mut ranks = vec![0i64; entries.len()];
    for (rank, &code) in order.iter().enumerate() {
        ranks[code as usize] = rank as i64;
    }
    for code in &mut codes {
        *code = ranks.get(*code as usize).copied().unwrap_or(0);
    }
    Encoded { codes, entries: order.iter().map(|&code| entries[code as usize].to_vec()).collect() }
}

fn dictionary_page(entries: &[Vec<u8>]) -> Vec<u8> {
    let bytes: usize = entries.iter().map(Vec::len).sum();
    let mut page = Vec::with_capacity(HEADER_BYTES + PIECE_ALIGNMENT + entries.len() * 4 + bytes);
    page.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    page.extend_from_slice(&(bytes as u32).to_le_bytes());
    page.push(Encoding::Dictionary as u8);
    page.resize(HEADER_BYTES, 0);
    let mut end = 0u32;
    for entry in entries {
        end += entry.len() as u32;
        page.extend_from_slice(&end.to_le_bytes());
    }
    align(&mut page);
    entries.iter().for_each(|entry| page.extend_from_slice(entry));
    page
}

/// An opened dictionary: its values as views into the shared pages.
#[derive(Debug)]
pub(crate) struct Dictionary {
    views: Vec<u128>,
    /// Page, start and end of each entry.
    places: Vec<(u32, u32, u32)>,
    pages: Vec<Buffer>,
    /// Some entry is too long to be inside its view.
    any_long: bool,
}

impl Dictionary {
    /// Checks and opens the shared pages: bounds, order, and UTF-8 where the type wants it.
    pub(crate) fn open(pages: &[Buffer], text: Text) -> Result<Dictionary, String> {
        let mut dictionary = Dictionary { views: Vec::new(), places: Vec::new(), pages: Vec::new(), any_long: false };
        for page in pages {
            dictionary.add_page(page, text)?;
        }
        let ascending = (1..dictionary.len()).all(|code| dictionary.entry(code - 1) < dictionary.entry(code));
        if dictionary.is_empty() || !ascending {
            return Err("dictionary is empty or out of order".into());
        }
        Ok(dictionary)
    }

    fn add_page(&mut self, page: &Buffer, text: Text) -> Result<(), String> {
        let mut reader = PageReader::new(page.clone());
        let header = reader.take(HEADER_BYTES)?;
        if page.as_ptr().align_offset(PIECE_ALIGNMENT) != 0 || header[8] != Encoding::Dictionary as u8 {
            return Err("not an aligned dictionary page".into());
        }
        let ends = reader.take_numbers::<u32>(read_u32(&header, 0) as usize)?;
        let bytes = reader.take(read_u32(&header, 4) as usize)?;
        let mut start = 0;
        for &end in ends.iter() {
            let entry = bytes.get(start as usize..end as usize).ok_or("dictionary entry ends before it begins")?;
            if text == Text::Utf8 && std::str::from_utf8(entry).is_err() {
                return Err("dictionary entry is not UTF-8".into());
            }
            self.views.push(make_view(entry, self.pages.len() as u32, start));
            self.places.push((self.pages.len() as u32, start, end));
            self.any_long |= entry.len() > 12;
            start = end;
        }
        self.pages.push(bytes);
        Ok(())
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes held besides the pages.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.views.capacity() * size_of::<u128>() + self.places.capacity() * size_of::<(u32, u32, u32)>()
    }

    fn entry(&self, code: usize) -> &[u8] {
        let (page, start, end) = self.places[code];
        &self.pages[page as usize][start as usize..end as usize]
    }

    /// Number of leading entries for which `before` holds; it must hold for a prefix of them.
    fn partition_point(&self, before: impl Fn(&[u8]) -> bool) -> i128 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.entry(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low as i128
    }

    /// A test of bytes as a test of codes.
    pub(crate) fn code_test(&self, test: &BytesTest) -> IntegerTest {
        let range = |low: i128, high: i128, negated| IntegerTest::Range { low, high: high - 1, negated };
        match test {
            BytesTest::Range { low, high, negated } => {
                let from = self.partition_point(|entry| !low.allows_from(entry));
                range(from, self.partition_point(|entry| high.allows_to(entry)), *negated)
            }
            BytesTest::Prefix { prefix, negated } => {
                let from = self.partition_point(|entry| entry < prefix.as_slice());
                let to = self.partition_point(|entry| entry < prefix.as_slice() || entry.starts_with(prefix));
                range(from, to, *negated)
            }
            BytesTest::Set(members) => {
                let mut bits = vec![0u64; self.len().div_ceil(64)];
                for member in members.iter() {
                    let code = self.partition_point(|entry| entry < member.as_slice()) as usize;
                    if code < self.len() && self.entry(code) == member.as_slice() {
                        bits[code / 64] |= 1 << (code % 64);
                    }
                }
                IntegerTest::Bitmap { base: 0, bits: Arc::new(bits) }
            }
        }
    }

    /// Appends the strings of rows `range`, or of those alive in `mask`, without copying any.
    pub(crate) fn read(&self, codes: &Packed<i64>, range: Range<usize>, mask: Option<(&Mask, usize)>, out: &mut Views) {
        let shifted: Vec<u128>;
        let table = if self.any_long {
            let numbers: Vec<u32> = self.pages.iter().map(|page| out.share(page)).collect();
            if numbers.iter().enumerate().all(|(page, &number)| page == number as usize) {
                &self.views
            } else if range.len() < self.len() / 2 {
                return self.read_few(codes, range, mask, &numbers, out);
            } else {
                shifted = self.views.iter().map(|&view| renumbered(view, &numbers)).collect();
                &shifted
            }
        } else {
            &self.views
        };
        let table = table.as_slice();
        read_codes(codes, range, mask, move |code| table.get(code as usize).copied().unwrap_or(0), out);
    }

    /// Where renumbering the whole table would cost more than the rows.
    fn read_few(
        &self,
        codes: &Packed<i64>,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        numbers: &[u32],
        out: &mut Views,
    ) {
        let views = self.views.as_slice();
        let view = move |code| views.get(code as usize).map_or(0, |&view| renumbered(view, numbers));
        read_codes(codes, range, mask, view, out);
    }
}

fn read_codes(
    codes: &Packed<i64>,
    range: Range<usize>,
    mask: Option<(&Mask, usize)>,
    view: impl Fn(i64) -> u128 + Copy,
    out: &mut Views,
) {
    match mask {
        None if range.len() == 1 => out.views().push(view(codes.get(range.start))),
        None => codes.decode(range, view, out.views()),
        Some((mask, at)) => codes.select(range, mask, at, view, out.views()),
    }
}

/// A view with its buffer number replaced, unless the string is inside the view.
fn renumbered(view: u128, numbers: &[u32]) -> u128 {
    if view as u32 <= 12 {
        return view;
    }
    let number = numbers.get((view >> 64) as u32 as usize).copied().unwrap_or(0);
    view & !(0xffff_ffff_u128 << 64) | u128::from(number) << 64
}
