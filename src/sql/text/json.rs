//! `json` and `jsonb` from text: both are checked, `jsonb` is also brought to its canonical form.

use crate::error::Result;
use crate::sqlstate::invalid_input;
use serde::de::IgnoredAny;
use serde_json::Value;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_is_canonical() {
        assert_eq!(canonical(r#"{"bb":1, "a":[1,2,null],"a":3}"#).unwrap(), r#"{"a": 3, "bb": 1}"#);
        assert_eq!(check("{").unwrap_err().state().0, "22P02");
        assert!(check("[1, 2]").is_ok());
    }
}
