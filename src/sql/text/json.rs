//! `json` and `jsonb` from text: both are checked, `jsonb` is also brought to its canonical form. Parts of checked values
//! are found by walking over their text.

use crate::error::Result;
use crate::sqlstate::invalid_input;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

/// Checks that `text` is JSON.
pub fn check(text: &str) -> Result<()> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|e| malformed("json", &e))
}

/// The canonical text of a `jsonb` value: keys by length and bytes, one space after `:` and `,`, later duplicates win.
pub fn canonical(text: &str) -> Result<String> {
    let value: Value = serde_json::from_str(text).map_err(|e| malformed("json", &e))?;
    let mut out = String::with_capacity(text.len());
    write(&value, &mut out);
    Ok(out)
}

fn malformed(type_name: &str, e: &serde_json::Error) -> crate::Error {
    let mut error = invalid_input(type_name, "");
    error.0.message = format!("invalid input syntax for type {type_name}");
    error.with_detail(format!("{e}."))
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by(|a, b| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                write(&map[key], out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Walks over a value that was checked. Of text that is not JSON it finds nothing, or something: it only has to end.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Walk<'a> {
        Walk { text, at: 0 }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes one value; its text.
    fn value(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.string(),
            b'{' | b'[' => {
                let mut depth = 0usize;
                loop {
                    match *bytes.get(self.at)? {
                        b'"' => {
                            self.string();
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            b',' | b'}' | b']' | b':' => return None,
            _ => {
                let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b'}' | b']' | b':');
                let rest = &bytes[start..];
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        self.text.get(start..self.at)
    }

    /// Passes a string: to behind its closing quote, or to the end.
    fn string(&mut self) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if *byte == b'"' {
                return;
            }
        }
        self.at = bytes.len();
    }
}

/// Elements of an array, in order; nothing for other values.
fn elements(json: &str) -> impl Iterator<Item = &str> {
    let mut walk = Walk::new(json);
    let mut open = walk.eat(b'[');
    std::iter::from_fn(move || {
        if !open {
            return None;
        }
        let element = walk.value();
        open = element.is_some() && walk.eat(b',');
        element
    })
}

/// Keys (with their quotes) and values of an object; nothing for other values.
fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut walk = Walk::new(json);
    let mut open = walk.eat(b'{');
    std::iter::from_fn(move || {
        if !open {
            return None;
        }
        let key = walk.value();
        let value = if walk.eat(b':') { walk.value() } else { None };
        open = value.is_some() && walk.eat(b',');
        Some((key?, value?))
    })
}

/// What a string's text stands for; `None` when it is not a string.
fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// `json -> key`: the last member of that name.
pub fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    members(json).filter(|(name, _)| unquoted(name).is_some_and(|name| name == key)).last().map(|(_, value)| value)
}

/// `json -> index`: from 0, or from the end when negative.
pub fn element(json: &str, index: i64) -> Option<&str> {
    let place = match usize::try_from(index) {
        Ok(place) => place,
        Err(_) => elements(json).count().checked_sub(usize::try_from(index.checked_neg()?).ok()?)?,
    };
    elements(json).nth(place)
}

/// One step of a path: a key of an object, or the index of an array.
pub fn step<'a>(json: &'a str, step: &str) -> Option<&'a str> {
    match Walk::new(json).peek()? {
        b'[' => element(json, step.trim().parse().ok()?),
        _ => member(json, step),
    }
}

/// The element of an array that is this string; a string itself is one of its elements.
pub fn holding<'a>(json: &'a str, text: &str) -> Option<&'a str> {
    let is = |value: &&str| unquoted(value).is_some_and(|value| value == text);
    elements(json).find(is).or_else(|| Some(json.trim()).filter(is))
}

/// As `->>` shows it: a string without its quotes, `null` as NULL, anything else as it is.
pub fn as_text(json: &str) -> Result<Option<Cow<'_, str>>> {
    let json = json.trim();
    if json == "null" {
        return Ok(None);
    }
    if !json.starts_with('"') {
        return Ok(Some(Cow::Borrowed(json)));
    }
    match unquoted(json) {
        Some(text) => Ok(Some(text)),
        None => Err(invalid_input("json", json)),
    }
}

/// `json_typeof`.
pub fn kind(json: &str) -> &'static str {
    match Walk::new(json).peek() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// `json_array_length`.
pub fn array_length(json: &str) -> Result<i32> {
    let wrong = |message| Err(crate::Error::new(crate::sqlstate::INVALID_PARAMETER_VALUE, message));
    match Walk::new(json).peek() {
        Some(b'[') => Ok(i32::try_from(elements(json).count()).unwrap_or(i32::MAX)),
        Some(b'{') => wrong("cannot get array length of a non-array"),
        _ => wrong("cannot get array length of a scalar"),
    }
}

/// `jsonb @> jsonb`: every member and element on the right is somewhere at its place on the left.
pub fn contains(left: &str, right: &str) -> Result<bool> {
    let left: Value = serde_json::from_str(left).map_err(|e| malformed("json", &e))?;
    let right: Value = serde_json::from_str(right).map_err(|e| malformed("json", &e))?;
    // An array may contain a scalar, at the outermost level only.
    if let (Value::Array(elements), false) = (&left, right.is_array() || right.is_object()) {
        return Ok(elements.iter().any(|element| within(element, &right)));
    }
    Ok(within(&left, &right))
}

fn within(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            right.iter().all(|(key, value)| left.get(key).is_some_and(|found| within(found, value)))
        }
        (Value::Array(left), Value::Array(right)) => {
            right.iter().all(|value| left.iter().any(|found| within(found, value)))
        }
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_pieces_of_the_text() {
        let json = r#" {"a": 1, "b": [1, "two", {"c": null}], "q\"": "x\ny", "a": {"d" : "]"}} "#;
        assert_eq!(member(json, "a"), Some(r#"{"d" : "]"}"#));
        assert_eq!(member(json, "b"), Some(r#"[1, "two", {"c": null}]"#));
        assert_eq!(member(json, "q\""), Some(r#""x\ny""#));
        assert_eq!(member(json, "c"), None);
        let b = member(json, "b").unwrap();
        assert_eq!((element(b, 0), element(b, -1), element(b, 3)), (Some("1"), Some(r#"{"c": null}"#), None));
        assert_eq!(step(b, "2").and_then(|json| step(json, "c")), Some("null"));
        assert_eq!(as_text("null").unwrap(), None);
        assert_eq!(as_text(r#""x\ny""#).unwrap().unwrap(), "x\ny");
        assert_eq!(array_length(b).unwrap(), 3);
        assert_eq!(array_length("[]").unwrap(), 0);
        assert_eq!((kind("[]"), kind("-1"), kind("null")), ("array", "number", "null"));
        assert!(holding(b, "two").is_some() && holding(b, "c").is_none());
    }

    #[test]
    fn containment_follows_the_structure() {
        let holds = |left, right| contains(left, right).unwrap();
        assert!(holds(r#"{"a": {"b": 1, "c": 2}, "d": []}"#, r#"{"a": {"b": 1.0}}"#));
        assert!(holds("[1, [2, 3], 4]", "[4, [3]]") && holds(r#"["a"]"#, r#""a""#));
        assert!(!holds(r#"{"a": {"b": 1}}"#, r#"{"b": 1}"#) && !holds(r#""a""#, r#"["a"]"#) && !holds("[[1]]", "1"));
    }

    #[test]
    fn walks_end_on_anything() {
        for text in ["", "{", "[", "[1", "{\"a", "{\"a\"", "{\"a\":", "]", "}", "[}", "{]", "\"\\", "[,]", "{{{", ":"] {
            let _ = (elements(text).count(), members(text).count(), member(text, "a"), element(text, 0));
        }
    }

    #[test]
    fn jsonb_is_canonical() {
        assert_eq!(canonical(r#"{"bb":1, "a":[1,2,null],"a":3}"#).unwrap(), r#"{"a": 3, "bb": 1}"#);
        assert_eq!(check("{").unwrap_err().state().0, "22P02");
        assert!(check("[1, 2]").is_ok());
    }
}
