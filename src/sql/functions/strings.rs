//! Functions of text: the signatures PostgreSQL has for them.
//!
//! Most are computed by DataFusion's functions of the same names, which agree once the types are settled; those whose
//! errors or results differ are here.

use super::call::{ANY, Body, Family, Overload, Shape};
use super::pattern;
use super::row::{Datum, error, int, text};
use super::scalar::format;
use crate::types::{BYTEA, INT4, INT8, NUMERIC, PgType, TEXT};
use datafusion::common::Result;

use Body::{DataFusion, Lenient, Strict};

const fn family(name: &'static str, overloads: &'static [Overload]) -> Family {
    Family { name, overloads }
}

const fn theirs(arguments: &'static [PgType], returns: PgType) -> Overload {
    Overload::new(arguments, returns, DataFusion)
}

const fn ours(arguments: &'static [PgType], returns: PgType, body: fn(&[Datum]) -> Result<Datum>) -> Overload {
    Overload::new(arguments, returns, Strict(body, number_scale))
}

const TEXT_TO_TEXT: &[Overload] = &[theirs(&[TEXT], TEXT)];
const SUBSTRING: &[Overload] = &[
    theirs(&[TEXT, INT4], TEXT),
    ours(&[TEXT, INT4, INT4], TEXT, |args| substring(text(&args[0]), int(&args[1]), int(&args[2])).map(Datum::Text)),
    theirs(&[BYTEA, INT4], BYTEA),
    theirs(&[BYTEA, INT4, INT4], BYTEA),
];
const TRIM: &[Overload] = &[theirs(&[TEXT], TEXT), theirs(&[TEXT, TEXT], TEXT)];
const PAD: &[Overload] = &[theirs(&[TEXT, INT4], TEXT), theirs(&[TEXT, INT4, TEXT], TEXT)];
const PART: &[Overload] = &[theirs(&[TEXT, INT4], TEXT)];

/// The functions of this module.
pub(super) static FAMILIES: &[Family] = &[
    family("upper", TEXT_TO_TEXT),
    family("lower", TEXT_TO_TEXT),
    family("initcap", TEXT_TO_TEXT),
    family("reverse", TEXT_TO_TEXT),
    family("ascii", &[theirs(&[TEXT], INT4)]),
    family("repeat", PART),
    family("left", PART),
    family("right", PART),
    family("lpad", PAD),
    family("rpad", PAD),
    family("btrim", TRIM),
    family("ltrim", TRIM),
    family("rtrim", TRIM),
    family("substr", SUBSTRING),
    family("strpos", &[theirs(&[TEXT, TEXT], INT4)]),
    family("replace", &[theirs(&[TEXT, TEXT, TEXT], TEXT)]),
    family("translate", &[theirs(&[TEXT, TEXT, TEXT], TEXT)]),
    family("split_part", &[theirs(&[TEXT, TEXT, INT4], TEXT)]),
    family("starts_with", &[theirs(&[TEXT, TEXT], crate::types::BOOL)]),
    family(
        "to_hex",
        &[
            ours(&[INT4], TEXT, |args| Ok(Datum::Text(format!("{:x}", int(&args[0]) as i32)))),
            ours(&[INT8], TEXT, |args| Ok(Datum::Text(format!("{:x}", int(&args[0]))))),
        ],
    ),
    family("chr", &[ours(&[INT4], TEXT, |args| character(int(&args[0])).map(Datum::Text))]),
    family(
        "format",
        &[Overload::new(&[TEXT], TEXT, Lenient(format)), Overload::variadic(&[TEXT], ANY, TEXT, Lenient(format))],
    ),
    family("concat", &[Overload::variadic(&[], ANY, TEXT, Lenient(|args| Ok(Datum::Text(joined(args, "")))))]),
    family(
        "concat_ws",
        &[Overload::variadic(
            &[TEXT],
            ANY,
            TEXT,
            Lenient(|args| {
                Ok(match &args[0] {
                    Datum::Text(separator) => Datum::Text(joined(&args[1..], separator)),
                    _ => Datum::Null,
                })
            }),
        )],
    ),
    family(
        "to_number",
        &[ours(&[TEXT, TEXT], NUMERIC, |args| {
            let (digits, scale) = pattern::parse_number(text(&args[0]))?;
            Ok(Datum::Decimal(digits, scale))
        })],
    ),
];

/// The scale of numbers read from a column of texts.
fn number_scale(_: &[Shape]) -> i8 {
    10
}

/// The values that are not NULL.
fn joined(values: &[Datum], separator: &str) -> String {
    let texts = values.iter().filter(|value| !matches!(value, Datum::Null)).map(text);
    texts.collect::<Vec<_>>().join(separator)
}

fn character(code: i64) -> Result<String> {
    match u32::try_from(code) {
        Ok(0) => Err(error("54000", "null character not permitted")),
        Err(_) => Err(error("54000", "character number must be positive")),
        Ok(code) => match char::from_u32(code) {
            Some(character) => Ok(character.to_string()),
            None if code > 0x0010_FFFF => {
                Err(error("54000", format!("requested character too large for encoding: {code}")))
            }
            None => Err(error("54000", format!("requested character not valid for encoding: {code}"))),
        },
    }
}

/// `length` characters from place `start`, which counts from 1 and may lie outside the text.
fn substring(text: &str, start: i64, length: i64) -> Result<String> {
    if length < 0 {
        return Err(error("22011", "negative substring length not allowed"));
    }
    let end = start.saturating_add(length);
    let first = start.max(1);
    let skipped = usize::try_from(first - 1).unwrap_or(usize::MAX);
    let taken = usize::try_from(end.saturating_sub(first).max(0)).unwrap_or(usize::MAX);
    Ok(text.chars().skip(skipped).take(taken).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_may_begin_before_the_text() {
        assert_eq!(substring("hello", -1, 3).unwrap(), "h");
        assert_eq!(substring("hello", 2, 3).unwrap(), "ell");
        assert_eq!(substring("hello", 2, i64::MAX).unwrap(), "ello");
        assert!(substring("hello", 1, -1).is_err());
    }

    #[test]
    fn characters_are_those_of_unicode() {
        assert_eq!(character(65).unwrap(), "A");
        assert!(character(0).is_err());
        assert!(character(0xD800).is_err());
    }
}
