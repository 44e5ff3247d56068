//! The grammar of line protocol: one point after the other, without allocating for any of them.
//!
//! ```text
//! measurement[,tag=value]* field=value[,field=value]* [timestamp]
//! cpu,host=a,region=eu usage=0.5,cores=8i,busy=t,note="two\nlines" 1700000000000000000
//! ```
//!
//! A backslash before a comma, a space or (not in a measurement) an equals sign makes it part of the name or value; before anything else
//! it is itself. In a quoted string `\"` and `\\` are the two characters, and a line break is part of the string. Numbers are
//! floats unless they end in `i` (signed) or `u` (unsigned). Lines that are empty or begin with `#` say nothing; a line may end in CR LF.
//!
//! What must hold: a line that is wrong is one [`Problem`] with its place, and the parser goes on behind its end.

use std::fmt;

/// A piece of the text, perhaps with escapes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    escapes: Escapes,
}

/// Which backslashes in a text mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    /// There are none.
    None,
    /// Those before comma and space.
    Measurement,
    /// Those before comma, space and equals sign.
    Key,
    /// Those before quote and backslash.
    String,
}

impl Escapes {
    fn escapes(self, next: u8) -> bool {
        match self {
            Escapes::None => false,
            Escapes::Measurement => matches!(next, b',' | b' '),
            Escapes::Key => matches!(next, b',' | b' ' | b'='),
            Escapes::String => matches!(next, b'"' | b'\\'),
        }
    }
}

impl<'a> Text<'a> {
    /// What it says; `buffer` is used when that is not there as it stands.
    pub(crate) fn read<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        if self.escapes == Escapes::None {
            return self.raw;
        }
        buffer.clear();
        let mut rest = self.raw;
        while let Some(at) = rest.find('\\') {
            buffer.push_str(&rest[..at]);
            let next = rest.as_bytes().get(at + 1);
            if !next.is_some_and(|next| self.escapes.escapes(*next)) {
                buffer.push('\\');
                rest = &rest[at + 1..];
                continue;
            }
            // What can be escaped is one byte long.
            buffer.push_str(&rest[at + 1..at + 2]);
            rest = &rest[at + 2..];
        }
        buffer.push_str(rest);
        buffer
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// `1`, `1.5`, `1e5`
    Float(f64),
    /// `1i`
    Integer(i64),
    /// `1u`, of which there are more than fit into 64 bits with a sign.
    Unsigned(u64),
    /// `t`, `true`, …
    Boolean(bool),
    /// `"…"`, or the value of a tag.
    Text(Text<'a>),
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Point<'a> {
    pub(crate) measurement: Text<'a>,
    pub(crate) tags: Vec<(Text<'a>, Text<'a>)>,
    pub(crate) fields: Vec<(Text<'a>, Value<'a>)>,
    /// In the precision of the request; `None` when the line has none.
    pub(crate) time: Option<i64>,
}

impl Point<'_> {
    /// To be filled by [`Parser::next`].
    pub(crate) fn new() -> Self {
        let measurement = Text { raw: "", escapes: Escapes::None };
        Point { measurement, tags: Vec::new(), fields: Vec::new(), time: None }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Number of the line it begins in, from 1.
    pub(crate) line: usize,
    /// Character of the line, from 1, when one is to blame.
    pub(crate) column: Option<usize>,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Where a line goes wrong: the byte, and why.
type Misread = (usize, String);

fn misread<T>(at: usize, message: impl Into<String>) -> Result<T, Misread> {
    Err((at, message.into()))
}

/// Reads points one after the other.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Number of the line that `at` is in.
    line: usize,
    /// Where `line` was counted to.
    counted: usize,
    /// Number and place of the line read last.
    begun: (usize, usize),
}

impl<'a> Parser<'a> {
    /// Reads `text` from its beginning.
    pub(crate) fn new(text: &'a str) -> Parser<'a> {
        Parser { text, at: 0, line: 1, counted: 0, begun: (1, 0) }
    }

    /// The next point, put into `point`; `None` at the end. After a problem the next line follows.
    pub(crate) fn next(&mut self, point: &mut Point<'a>) -> Option<Result<(), Problem>> {
        self.skip_nothing()?;
        self.count_lines();
        self.begun = (self.line, self.at);
        let result = self.point(point);
        Some(result.map_err(|(at, message)| {
            let problem = self.problem_at(at, message);
            self.at = at.max(self.at);
            self.skip_line();
            problem
        }))
    }

    /// What is wrong with the point read last, as a whole.
    pub(crate) fn problem(&self, message: String) -> Problem {
        Problem { line: self.begun.0, column: None, message }
    }

    fn problem_at(&self, at: usize, message: String) -> Problem {
        let before = self.text.get(self.begun.1..at).unwrap_or_default();
        Problem { line: self.begun.0, column: Some(before.chars().count() + 1), message }
    }

    fn count_lines(&mut self) {
        let passed = &self.text.as_bytes()[self.counted..self.at];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.counted = self.at;
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes to the beginning of the next line that says something.
    fn skip_nothing(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.skip_line(),
                _ => return Some(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Whether the line ends here.
    fn at_end(&self) -> bool {
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.text.as_bytes().get(self.at + 1), None | Some(b'\n')),
            Some(_) => false,
        }
    }

    fn point(&mut self, point: &mut Point<'a>) -> Result<(), Misread> {
        point.tags.clear();
        point.fields.clear();
        point.time = None;
        point.measurement = self.word(Escapes::Measurement, "a measurement")?;
        while self.peek() == Some(b',') {
            self.at += 1;
            let key = self.word(Escapes::Key, "a tag's name")?;
            self.equals("tag")?;
            let value = self.word(Escapes::Key, "a tag's value")?;
            if self.peek() == Some(b'=') {
                return misread(self.at, "an equals sign in a tag's value needs a backslash");
            }
            point.tags.push((key, value));
        }
        self.skip_spaces();
        if self.at_end() {
            return misread(self.at, "the fields are missing");
        }
        loop {
            let key = self.word(Escapes::Key, "a field's name")?;
            self.equals("field")?;
            let value = self.value()?;
            point.fields.push((key, value));
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        if self.at_end() {
            return Ok(());
        }
        if self.peek() != Some(b' ') {
            return misread(self.at, "expected a comma, a space or the end of the line");
        }
        self.skip_spaces();
        if self.at_end() {
            return Ok(());
        }
        point.time = Some(self.time()?);
        self.skip_spaces();
        match self.at_end() {
            true => Ok(()),
            false => misread(self.at, "expected the end of the line"),
        }
    }

    /// A name, or a tag's value, up to what ends it.
    fn word(&mut self, escapes: Escapes, what: &str) -> Result<Text<'a>, Misread> {
        let bytes = self.text.as_bytes();
        let (start, mut at, mut escaped) = (self.at, self.at, false);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if bytes.get(at + 1).is_some_and(|next| escapes.escapes(*next)) => {
                    escaped = true;
                    at += 2;
                }
                b',' | b' ' | b'\n' => break,
                b'\r' if matches!(bytes.get(at + 1), None | Some(b'\n')) => break,
                b'=' if escapes == Escapes::Key => break,
                _ => at += 1,
            }
        }
        self.at = at;
        if at == start {
            return misread(at, format!("expected {what}"));
        }
        // Both ends are beside ASCII.
        let raw = &self.text[start..at];
        Ok(Text { raw, escapes: if escaped { escapes } else { Escapes::None } })
    }

    fn equals(&mut self, what: &str) -> Result<(), Misread> {
        if self.peek() != Some(b'=') {
            return misread(self.at, format!("expected an equals sign behind the name of a {what}"));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<Value<'a>, Misread> {
        if self.peek() == Some(b'"') {
            return self.string().map(Value::Text);
        }
        let start = self.at;
        let word = self.until_space();
        let wrong = |message: String| Err((start, message));
        let (digits, last) = match word.as_bytes() {
            [] => return wrong("expected a field's value".to_owned()),
            bytes => (&word[..word.floor_char_boundary(word.len() - 1)], bytes[bytes.len() - 1]),
        };
        match last {
            b'i' if is_integer(digits) => match digits.parse() {
                Ok(number) => Ok(Value::Integer(number)),
                Err(_) => wrong(format!("{word} is out of range for a 64-bit integer")),
            },
            b'u' if is_integer(digits) && !digits.starts_with('-') => match digits.parse() {
                Ok(number) => Ok(Value::Unsigned(number)),
                Err(_) => wrong(format!("{word} is out of range for an unsigned 64-bit integer")),
            },
            b'0'..=b'9' | b'.' => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Float(number)),
                Ok(_) => wrong(format!("{word} is out of range for a double precision number")),
                Err(_) => wrong(not_a_value(word)),
            },
            _ => match boolean(word) {
                Some(value) => Ok(Value::Boolean(value)),
                None => wrong(not_a_value(word)),
            },
        }
    }

    /// What stands before the next comma, space or end of line.
    fn until_space(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| matches!(byte, b',' | b' ' | b'\n' | b'\r')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn string(&mut self) -> Result<Text<'a>, Misread> {
        let (bytes, quote) = (self.text.as_bytes(), self.at);
        let (mut at, mut escaped) = (quote + 1, false);
        loop {
            match bytes.get(at) {
                None => return misread(quote, "a string that begins here does not end"),
                Some(b'"') => break,
                Some(b'\\') if bytes.get(at + 1).is_some_and(|next| Escapes::String.escapes(*next)) => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        let escapes = if escaped { Escapes::String } else { Escapes::None };
        Ok(Text { raw: &self.text[quote + 1..at], escapes })
    }

    fn time(&mut self) -> Result<i64, Misread> {
        let start = self.at;
        let word = self.until_space();
        word.parse().or_else(|_| match is_integer(word) {
            true => misread(start, format!("time stamp {word} is out of range")),
            false => misread(start, format!("{} is not a time stamp", shown(word))),
        })
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The spellings of a boolean.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn not_a_value(word: &str) -> String {
    format!("{} is not a value; a string needs double quotes", shown(word))
}

/// Longest piece of a request that a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 40;

/// A piece of the request in quotes, cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("\"{}...\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}
