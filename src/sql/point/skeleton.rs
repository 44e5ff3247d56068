//! A statement's text with its literals taken out.

/// Longer texts are not looked at.
const TEXT_BYTES_MAX: usize = 1024;

/// A literal of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    /// Digits, perhaps with a point and an exponent; no sign.
    Number(String),
    /// What was between the quotes.
    Text(String),
}

/// The text of one statement without its literals, and the literals.
#[derive(Debug)]
pub(crate) struct Skeleton {
    /// Two statements with one key differ in literals only.
    pub(crate) key: String,
    pub(crate) literals: Vec<Literal>,
    /// Where the literals begin, in bytes.
    pub(crate) starts: Vec<usize>,
}

/// Takes the literals out; `None` for texts with anything that would take a real tokenizer to read.
pub(crate) fn skeleton(sql: &str) -> Option<Skeleton> {
    let sql = sql.trim();
    let text = sql.strip_suffix(';').unwrap_or(sql).trim_end();
    if text.len() > TEXT_BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let bytes = text.as_bytes();
    let mut found = Skeleton { key: String::with_capacity(text.len()), literals: Vec::new(), starts: Vec::new() };
    let mut at = 0;
    while at < bytes.len() {
        let previous = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        match bytes[at] {
            b'\'' if is_word(previous) || previous == b'&' => return None,
            b'\'' => {
                let (value, end) = quoted(text, at)?;
                // Strings that stand one below the other are one.
                if found.key.trim_end().ends_with('\u{1}') {
                    return None;
                }
                found.take(at, Literal::Text(value));
                at = end;
            }
            b'"' => {
                let end = at + 1 + text[at + 1..].find('"')? + 1;
                found.key.push_str(&text[at..end]);
                at = end;
            }
            b'0'..=b'9' if !is_word(previous) && previous != b'.' && previous != b'$' => {
                let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
                if bytes.get(end).copied().is_some_and(is_word) {
                    return None;
                }
                found.take(at, Literal::Number(text[at..end].to_owned()));
                at = end;
            }
            b'-' if next == b'-' => return None,
            b'/' if next == b'*' => return None,
            b'$' if !next.is_ascii_digit() => return None,
            b';' | b'\\' | 0..=8 => return None,
            byte => {
                found.key.push(byte as char);
                at += 1;
            }
        }
    }
    Some(found)
}

impl Skeleton {
    fn take(&mut self, start: usize, literal: Literal) {
        self.key.push(match literal {
            Literal::Number(_) => '\u{2}',
            Literal::Text(_) => '\u{1}',
        });
        self.starts.push(start);
        self.literals.push(literal);
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The value of a string that begins at `start`, and where it ends.
fn quoted(text: &str, start: usize) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut at = start + 1;
    loop {
        let length = text[at..].find('\'')?;
        value.push_str(&text[at..at + length]);
        at += length + 1;
        if !text[at..].starts_with('\'') {
            return Some((value, at));
        }
        value.push('\'');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(sql: &str) -> Vec<String> {
        let literals = skeleton(sql).unwrap().literals.into_iter();
        literals
            .map(|literal| match literal {
                Literal::Number(text) | Literal::Text(text) => text,
            })
            .collect()
    }

    #[test]
    fn literals_are_taken_out_and_names_are_not() {
        assert_eq!(literals("select a1, t2.b from t2 where a1 = 15 and b='x''y';"), ["15", "x'y"]);
        let key = |sql: &str| skeleton(sql).unwrap().key;
        assert_eq!(key("select a from t where a = 1"), key("select a from t where a = 20000;"));
        assert_ne!(key("select a from t where a = 1"), key("select a from t where a = '1'"));
        assert_ne!(key("select a from t where a = $1"), key("select a from t where a = $2"));
        assert_ne!(key("select \"1\" from t"), key("select \"2\" from t"));
    }

    #[test]
    fn what_needs_a_tokenizer_is_left_alone() {
        for sql in [
            "select e'a'",
            "select 1; select 2",
            "select 1 -- c",
            "select /* c */ 1",
            "select $$a$$",
            "select 'a' 'b'",
            "select 1e5",
            "select 0x1f",
            "select 'ä'",
            "select u&'a'",
            "select 'a",
        ] {
            assert!(skeleton(sql).is_none(), "{sql}");
        }
    }
}
