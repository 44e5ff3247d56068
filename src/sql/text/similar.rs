//! SIMILAR TO and LIKE with another escape character, as the patterns the engine matches.

use crate::error::{Error, Result};
use crate::sqlstate::INVALID_ESCAPE_SEQUENCE;

/// The escape character `ESCAPE` gives: a backslash when it is not there, none when it is empty.
fn escape_character(escape: Option<&str>) -> Result<Option<char>> {
    let Some(escape) = escape else { return Ok(Some('\\')) };
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(Error::new(INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character.")),
    }
}

/// The regular expression that matches what a SIMILAR TO pattern does: `similar_to_escape`.
pub fn similar_to_escape(pattern: &str, escape: Option<&str>) -> Result<String> {
    let escape = escape_character(escape)?;
    let mut out = String::from("^(?s:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(literal) = chars.next() {
                out.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
            }
            continue;
        }
        match c {
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            // Names of classes and ranges are the same; the rest of what brackets hold stands for itself.
            '\\' | '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            c if in_class => out.push(c),
            '[' => {
                in_class = true;
                out.push(c);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '\\' | '.' | '^' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// A LIKE pattern with another escape character, as one with the backslash: `like_escape`.
pub fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let escape = escape_character(Some(escape))?;
    if escape == Some('\\') {
        return Ok(pattern.to_owned());
    }
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            out.push('\\');
            out.extend(chars.next());
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_to_is_a_regular_expression() {
        let matches = |pattern: &str, escape: Option<&str>, text: &str| {
            regex::Regex::new(&similar_to_escape(pattern, escape).unwrap()).unwrap().is_match(text)
        };
        assert!(matches("(a|x)b%", None, "abc"));
        assert!(!matches("b", None, "abc"));
        assert!(matches("a_c", None, "a\nc"));
        assert!(matches("a.c", None, "a.c") && !matches("a.c", None, "abc"));
        assert!(matches("[a-c]+", None, "abc") && !matches("[^a-c]+", None, "abc"));
        assert!(matches("10\\%", None, "10%") && !matches("10\\%", None, "10x"));
        assert!(matches("10#%", Some("#"), "10%"));
        assert!(matches("a{2}", None, "aa"));
        assert_eq!(similar_to_escape("a", Some("xy")).unwrap_err().state().0, "22025");
    }

    #[test]
    fn like_escapes_become_backslashes() {
        assert_eq!(like_escape("a!%b\\", "!").unwrap(), "a\\%b\\\\");
        assert_eq!(like_escape("a\\%", "").unwrap(), "a\\\\%");
    }
}
