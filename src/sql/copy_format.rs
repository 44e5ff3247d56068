//! PostgreSQL's CSV and text formats: records and fields in bytes.
//!
//! [`Format::record`] looks at the bytes once, from left to right, and remembers where fields are. Fields that stand in the
//! input as they are (nearly all) are not copied; only fields with escapes go through a scratch buffer.

use crate::parser::copy::{CopyFormat, CopyOptions};

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// The value after quotes and escapes were taken off.
    pub(crate) bytes: &'a [u8],
    /// The field as it stands in the input, for comparison with the NULL string.
    pub(crate) raw: &'a [u8],
    /// Whether it was quoted, so that it cannot be NULL.
    pub(crate) quoted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    raw_start: usize,
    raw_end: usize,
    quoted: bool,
    in_scratch: bool,
}

/// Where the fields of a record are.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    spans: Vec<Span>,
    scratch: Vec<u8>,
}

impl Fields {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The field at `index` of the record `raw`.
    pub(crate) fn get<'a>(&'a self, index: usize, raw: &'a [u8]) -> Field<'a> {
        let span = self.spans[index];
        let source = if span.in_scratch { self.scratch.as_slice() } else { raw };
        Field { bytes: &source[span.start..span.end], raw: &raw[span.raw_start..span.raw_end], quoted: span.quoted }
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.scratch.clear();
    }

    fn plain(&mut self, start: usize, end: usize) {
        self.spans.push(Span { start, end, raw_start: start, raw_end: end, quoted: false, in_scratch: false });
    }
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record, with its line end.
    Record {
        /// Bytes.
        length: usize,
        /// Lines.
        lines: u64,
    },
    /// The end marker `\.` on a line of its own.
    EndMarker(usize),
    /// More bytes are needed.
    Incomplete,
    /// The data ended inside quotes.
    Unterminated,
}

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    csv: bool,
    delimiter: u8,
    quote: u8,
    escape: u8,
}

impl Format {
    pub(crate) fn new(options: &CopyOptions) -> Format {
        Format {
            csv: options.format == CopyFormat::Csv,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
        }
    }

    /// Finds the record `data` begins with.
    pub(crate) fn record(&self, data: &[u8], at_end: bool, fields: &mut Fields) -> Found {
        fields.clear();
        if data[0] == b'\\'
            && let Some(found) = end_marker(data, at_end)
        {
            return found;
        }
        if self.csv { self.csv_record(data, at_end, fields) } else { self.text_record(data, at_end, fields) }
    }

    fn csv_record(&self, data: &[u8], at_end: bool, fields: &mut Fields) -> Found {
        let mut at = 0;
        let mut lines = 0;
        loop {
            // At the start of a field.
            let start = at;
            while at < data.len() && !self.ends_plain_csv(data[at]) {
                at += 1;
            }
            if at < data.len() && data[at] == self.quote {
                match self.csv_quoted(data, start, at, fields, &mut lines) {
                    Some(end) => at = end,
                    None if at_end => return Found::Unterminated,
                    None => return Found::Incomplete,
                }
            } else {
                fields.plain(start, at);
            }
            match line_end(data, at, at_end) {
                LineEnd::None if at < data.len() => at += 1,
                LineEnd::None if at_end => return Found::Record { length: at, lines: lines + 1 },
                LineEnd::None | LineEnd::Unknown => return Found::Incomplete,
                LineEnd::Bytes(bytes) => return Found::Record { length: at + bytes, lines: lines + 1 },
            }
        }
    }

    fn ends_plain_csv(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == self.quote || byte == b'\n' || byte == b'\r'
    }

    /// Reads a field with quotes in it; the first quote is at `quote`. Where the field ends, or `None` when the data does.
    fn csv_quoted(
        &self,
        data: &[u8],
        start: usize,
        quote: usize,
        fields: &mut Fields,
        lines: &mut u64,
    ) -> Option<usize> {
        let mut at = quote;
        let scratch_start = fields.scratch.len();
        fields.scratch.extend_from_slice(&data[start..quote]);
        let mut inside = false;
        let mut pieces = 0;
        let mut piece = (quote, quote);
        loop {
            if !inside {
                let byte = match data.get(at) {
                    Some(byte) => *byte,
                    None => break,
                };
                if byte == self.quote {
                    inside = true;
                    at += 1;
                    continue;
                }
                if byte == self.delimiter || byte == b'\n' || byte == b'\r' {
                    break;
                }
                fields.scratch.push(byte);
                pieces += 1;
                at += 1;
                continue;
            }
            let run = at;
            while at < data.len() && data[at] != self.quote && data[at] != self.escape {
                *lines += u64::from(data[at] == b'\n');
                at += 1;
            }
            fields.scratch.extend_from_slice(&data[run..at]);
            piece = (run, at);
            pieces += 1;
            let byte = *data.get(at)?;
            let next = data.get(at + 1).copied();
            if byte == self.escape && next.is_some_and(|n| n == self.quote || n == self.escape) {
                fields.scratch.push(next.unwrap_or(byte));
                pieces += 1;
                at += 2;
            } else if byte == self.quote {
                if next.is_none() {
                    // Whether this quote closes the field shows in the next byte.
                    inside = false;
                    at += 1;
                    break;
                }
                inside = false;
                at += 1;
            } else {
                fields.scratch.push(byte);
                pieces += 1;
                at += 1;
            }
        }
        if inside {
            return None;
        }
        let span = if pieces == 1 && start == quote {
            fields.scratch.truncate(scratch_start);
            Span { start: piece.0, end: piece.1, raw_start: start, raw_end: at, quoted: true, in_scratch: false }
        } else {
            let end = fields.scratch.len();
            Span { start: scratch_start, end, raw_start: start, raw_end: at, quoted: true, in_scratch: true }
        };
        fields.spans.push(span);
        Some(at)
    }

    fn text_record(&self, data: &[u8], at_end: bool, fields: &mut Fields) -> Found {
        let mut at = 0;
        loop {
            let start = at;
            let mut escaped = false;
            while at < data.len() && data[at] != self.delimiter && data[at] != b'\n' && data[at] != b'\r' {
                if data[at] == b'\\' {
                    escaped = true;
                    // Whatever follows belongs to the value, line ends included.
                    if at + 1 >= data.len() && !at_end {
                        return Found::Incomplete;
                    }
                    at += 1;
                }
                at += 1;
            }
            let at_field_end = at.min(data.len());
            if escaped {
                let scratch_start = fields.scratch.len();
                unescape(&data[start..at_field_end], &mut fields.scratch);
                let end = fields.scratch.len();
                let (raw_start, raw_end) = (start, at_field_end);
                fields.spans.push(Span {
                    start: scratch_start,
                    end,
                    raw_start,
                    raw_end,
                    quoted: false,
                    in_scratch: true,
                });
            } else {
                fields.plain(start, at_field_end);
            }
            at = at_field_end;
            match line_end(data, at, at_end) {
                LineEnd::None if at < data.len() => at += 1,
                LineEnd::None if at_end => return Found::Record { length: at, lines: 1 },
                LineEnd::None | LineEnd::Unknown => return Found::Incomplete,
                LineEnd::Bytes(bytes) => return Found::Record { length: at + bytes, lines: 1 },
            }
        }
    }
}

enum LineEnd {
    /// Not a line end: a delimiter, or no byte at all.
    None,
    /// A carriage return whose next byte is not known yet.
    Unknown,
    /// This many bytes.
    Bytes(usize),
}

fn line_end(data: &[u8], at: usize, at_end: bool) -> LineEnd {
    match data.get(at) {
        Some(b'\n') => LineEnd::Bytes(1),
        Some(b'\r') => match data.get(at + 1) {
            Some(b'\n') => LineEnd::Bytes(2),
            Some(_) => LineEnd::Bytes(1),
            None if at_end => LineEnd::Bytes(1),
            None => LineEnd::Unknown,
        },
        _ => LineEnd::None,
    }
}

/// `\.` alone on its line; `None` when the line is something else.
fn end_marker(data: &[u8], at_end: bool) -> Option<Found> {
    match data.get(1) {
        None if at_end => return None,
        None => return Some(Found::Incomplete),
        Some(b'.') => {}
        Some(_) => return None,
    }
    match line_end(data, 2, at_end) {
        LineEnd::Bytes(bytes) => Some(Found::EndMarker(2 + bytes)),
        LineEnd::Unknown => Some(Found::Incomplete),
        LineEnd::None if data.len() > 2 => None,
        LineEnd::None if at_end => Some(Found::EndMarker(2)),
        LineEnd::None => Some(Found::Incomplete),
    }
}

/// Takes the backslash escapes of the text format off.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' || at + 1 >= raw.len() {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let next = raw[at + 1];
        at += 2;
        match next {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let mut value = u32::from(next - b'0');
                for _ in 0..2 {
                    match raw.get(at) {
                        Some(digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            at += 1;
                        }
                        _ => break,
                    }
                }
                out.push((value & 0xff) as u8);
            }
            b'x' if raw.get(at).is_some_and(u8::is_ascii_hexdigit) => {
                let mut value = 0;
                for _ in 0..2 {
                    match raw.get(at).and_then(|b| (*b as char).to_digit(16)) {
                        Some(digit) => {
                            value = value * 16 + digit;
                            at += 1;
                        }
                        None => break,
                    }
                }
                out.push(value as u8);
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, data: &str, step: usize) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut pending: Vec<u8> = Vec::new();
        let chunks: Vec<&[u8]> = data.as_bytes().chunks(step).collect();
        for (i, chunk) in chunks.iter().enumerate() {
            pending.extend_from_slice(chunk);
            loop {
                if pending.is_empty() {
                    break;
                }
                let mut fields = Fields::default();
                match format.record(&pending, i + 1 == chunks.len(), &mut fields) {
                    Found::Record { length, .. } => {
                        let raw = pending[..length].to_vec();
                        let text = |f: Field<'_>| {
                            format!("{}{}", String::from_utf8_lossy(f.bytes), if f.quoted { "!" } else { "" })
                        };
                        rows.push((0..fields.len()).map(|i| text(fields.get(i, &raw))).collect());
                        pending.drain(..length);
                    }
                    Found::Incomplete => break,
                    Found::EndMarker(_) => return rows,
                    Found::Unterminated => {
                        rows.push(vec!["unterminated".to_owned()]);
                        return rows;
                    }
                }
            }
        }
        rows
    }

    const CSV: Format = Format { csv: true, delimiter: b',', quote: b'"', escape: b'"' };
    const TEXT: Format = Format { csv: false, delimiter: b'\t', quote: b'"', escape: b'"' };

    #[test]
    fn csv_fields_survive_any_cut() {
        let data = "1,abc,\"x,\"\"y\"\"\nz\",\"\"\r\n2,,a\"b\"c,\"q\"\n3,d,e,f";
        let expected =
            vec![vec!["1", "abc", "x,\"y\"\nz!", "!"], vec!["2", "", "abc!", "q!"], vec!["3", "d", "e", "f"]];
        for step in 1..=data.len() {
            assert_eq!(read(CSV, data, step), expected, "step {step}");
        }
        assert_eq!(read(CSV, "1,\"abc", 100), vec![vec!["unterminated"]]);
        assert_eq!(read(CSV, "1\n\\.\n2\n", 100), vec![vec!["1"]]);
    }

    #[test]
    fn text_escapes_survive_any_cut() {
        let data = "a\\tb\t\\N\t\\x41\\101\\\\\n\\.x\ty\tz\n\\.\nignored";
        let expected = vec![vec!["a\tb", "N", "AA\\"], vec![".x", "y", "z"]];
        for step in 1..=data.len() {
            assert_eq!(read(TEXT, data, step), expected, "step {step}");
        }
    }
}
