//! What a column of a result is, as one letter, and how its values are written.

use sqllogictest::ColumnType;

/// The letter of a column in a `query` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `I`: an integer.
    Integer,
    /// `R`: a number with a fraction.
    Real,
    /// `B`: a boolean.
    Boolean,
    /// `T`: anything else.
    Text,
    /// `?`: not known; matches every letter.
    Unknown,
}

impl ColumnType for Column {
    fn from_char(letter: char) -> Option<Self> {
        match letter {
            'I' => Some(Column::Integer),
            'R' => Some(Column::Real),
            'B' => Some(Column::Boolean),
            'T' => Some(Column::Text),
            '?' => Some(Column::Unknown),
            _ => None,
        }
    }

    fn to_char(&self) -> char {
        match self {
            Column::Integer => 'I',
            Column::Real => 'R',
            Column::Boolean => 'B',
            Column::Text => 'T',
            Column::Unknown => '?',
        }
    }
}

/// PostgreSQL's OIDs of `bool`.
const BOOL: u32 = 16;
/// `int8`, `int2`, `int4`, `oid`.
const INTEGERS: [u32; 4] = [20, 21, 23, 26];
/// `float4`, `float8`, `numeric`.
const REALS: [u32; 3] = [700, 701, 1700];

impl Column {
    /// The column of a PostgreSQL type.
    pub fn of_type(oid: u32) -> Self {
        match oid {
            BOOL => Column::Boolean,
            oid if INTEGERS.contains(&oid) => Column::Integer,
            oid if REALS.contains(&oid) => Column::Real,
            _ => Column::Text,
        }
    }
}

/// A value as the files write it.
pub fn value(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_string(),
        Some("") => "(empty)".to_string(),
        Some(text) => {
            let kept = text.trim_end_matches(' ');
            kept.replace('\n', "\\n") + &"·".repeat(text.len() - kept.len())
        }
    }
}

/// Whether a result has the columns its file says.
#[expect(clippy::ptr_arg, reason = "the signature is sqllogictest's")]
pub fn same(actual: &Vec<Column>, expected: &Vec<Column>) -> bool {
    let same = |(a, b): (&Column, &Column)| a == b || *a == Column::Unknown || *b == Column::Unknown;
    actual.len() == expected.len() && actual.iter().zip(expected).all(same)
}

/// Whether a statement asks for rows.
pub fn returns_rows(sql: &str) -> bool {
    let words = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let word: String = words.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
    ["select", "with", "values", "table", "show", "explain", "execute", "fetch"].contains(&word.to_lowercase().as_str())
        || sql.to_lowercase().split_whitespace().any(|word| word == "returning")
}
