//! Text, numbers and identifiers: small functions DataFusion lacks.

use super::row::{Datum, Definition, Type, error, out_of_range, text};
use datafusion::common::Result;
use regex::Regex;

use Type::{Text, Uuid};

/// The functions of this module.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("quote_ident", &[(&[Text], Text)], |_, args| {
        Ok(Datum::Text(crate::pg_catalog::quote_identifier(text(&args[0]))))
    }),
    Definition::new("quote_literal", &[(&[Text], Text)], |_, args| Ok(Datum::Text(quote_literal(text(&args[0]))))),
    Definition::new("quote_nullable", &[(&[Text], Text)], |_, args| {
        Ok(Datum::Text(match &args[0] {
            Datum::Text(text) => quote_literal(text),
            _ => "NULL".to_owned(),
        }))
    })
    .lenient(),
    Definition::new("gen_random_uuid", &[(&[], Uuid)], |_, _| {
        Ok(Datum::Bytes(uuid::Uuid::new_v4().into_bytes().to_vec()))
    })
    .volatile(),
    Definition::new("uuid_generate_v4", &[(&[], Uuid)], |_, _| {
        Ok(Datum::Bytes(uuid::Uuid::new_v4().into_bytes().to_vec()))
    })
    .volatile(),
    Definition::new("regexp_substr", &[(&[Text, Text], Text)], |_, args| {
        let found = regex(text(&args[1]), "")?.find(text(&args[0])).map(|found| found.as_str().to_owned());
        Ok(found.map_or(Datum::Null, Datum::Text))
    }),
];

/// The text between single quotes, as a literal reads it.
fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// `format('%s %I %L %1$s %-10s', …)`.
pub(super) fn format(args: &[Datum]) -> Result<Datum> {
    let Datum::Text(pattern) = &args[0] else { return Ok(Datum::Null) };
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next_argument = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut digits = String::new();
        let mut left = chars.next_if_eq(&'-').is_some();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if chars.next_if_eq(&'$').is_some() {
            next_argument = digits.parse().map_err(|_| out_of_range())?;
            digits.clear();
            left = chars.next_if_eq(&'-').is_some() || left;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
        }
        let Some(kind) = chars.next() else { return Err(error("22023", "unterminated format() type specifier")) };
        if next_argument == 0 {
            return Err(error("22023", "format specifies argument 0, but arguments are numbered from 1"));
        }
        let Some(argument) = args.get(next_argument) else {
            return Err(error("22023", "too few arguments for format()"));
        };
        next_argument += 1;
        let shown = match (kind, argument) {
            ('s', Datum::Text(text)) => text.clone(),
            ('s', _) => String::new(),
            ('I', Datum::Text(text)) => crate::pg_catalog::quote_identifier(text),
            ('I', _) => return Err(error("22004", "null values cannot be formatted as an SQL identifier")),
            ('L', Datum::Text(text)) => quote_literal(text),
            ('L', _) => "NULL".to_owned(),
            (other, _) => {
                return Err(error("22023", format!("unrecognized format() type specifier \"{other}\"")));
            }
        };
        let width: usize = digits.parse().unwrap_or(0);
        let padding = " ".repeat(width.min(1 << 20).saturating_sub(shown.chars().count()));
        out.push_str(&if left { format!("{shown}{padding}") } else { format!("{padding}{shown}") });
    }
    Ok(Datum::Text(out))
}

/// A regular expression with PostgreSQL's flags.
pub(super) fn regex(pattern: &str, flags: &str) -> Result<Regex> {
    let insensitive = if flags.contains('i') { "(?i)" } else { "" };
    Regex::new(&format!("{insensitive}{pattern}"))
        .map_err(|e| error("2201B", format!("invalid regular expression: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(pattern: &str, args: &[&str]) -> String {
        let mut all = vec![Datum::Text(pattern.to_owned())];
        all.extend(args.iter().map(|arg| Datum::Text((*arg).to_owned())));
        match format(&all) {
            Ok(Datum::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn format_quotes_pads_and_counts() {
        assert_eq!(formatted("%s is %I = %L%%", &["a", "B c", "it's"]), "a is \"B c\" = 'it''s'%");
        assert_eq!(formatted("%2$s %1$s", &["a", "b"]), "b a");
        assert_eq!(formatted("[%5s][%-5s]", &["x", "y"]), "[    x][y    ]");
        assert!(format(&[Datum::Text("%s".into())]).is_err());
    }

    #[test]
    fn literals_with_backslashes_are_escaped() {
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
        assert_eq!(quote_literal("O'Reilly"), "'O''Reilly'");
    }
}
