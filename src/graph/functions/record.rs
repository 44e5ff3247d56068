//! Keys of several columns as one text, as PostgreSQL writes a row: `(no,"a ""quoted"" name",7)`.

/// Writes values as a row.
pub(super) fn write<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let mut text = String::from("(");
    for (place, value) in values.enumerate() {
        if place > 0 {
            text.push(',');
        }
        let is_plain = |c: char| !matches!(c, ',' | '(' | ')' | '"' | '\\') && !c.is_whitespace();
        if !value.is_empty() && value.chars().all(is_plain) {
            text.push_str(value);
            continue;
        }
        text.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                text.push(c);
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push(')');
    text
}

/// Reads a row of so many values, none of them NULL; `None` when it is none.
pub(super) fn read(text: &str, values: usize) -> Option<Vec<String>> {
    let mut chars = text.trim().strip_prefix('(')?.strip_suffix(')')?.chars().peekable();
    let mut found = vec![];
    loop {
        let mut value = String::new();
        let mut is_quoted = false;
        let mut was_quoted = false;
        while let Some(c) = chars.next_if(|c| is_quoted || *c != ',') {
            match c {
                '"' if is_quoted && chars.next_if_eq(&'"').is_some() => value.push('"'),
                '"' => {
                    is_quoted = !is_quoted;
                    was_quoted = true;
                }
                '\\' => value.push(chars.next()?),
                '(' | ')' if !is_quoted => return None,
                c => value.push(c),
            }
        }
        if is_quoted || (value.is_empty() && !was_quoted) {
            return None;
        }
        found.push(value);
        if chars.next().is_none() {
            break;
        }
    }
    (found.len() == values).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_postgresql_does_and_read_back() {
        for (values, text) in [
            (vec!["no", "1"], "(no,1)"),
            (vec!["a,b\"", "7"], "(\"a,b\"\"\",7)"),
            (vec!["", " x", "\\"], "(\"\",\" x\",\"\\\\\")"),
            (vec!["(", ")"], "(\"(\",\")\")"),
        ] {
            assert_eq!(write(values.iter().copied()), text);
            assert_eq!(read(text, values.len()).unwrap(), values);
            assert_eq!(read(text, values.len() + 1), None);
        }
        for text in ["", "1", "(1", "(1,)", "(\"1,2)", "((1,2))"] {
            assert_eq!(read(text, 2), None, "{text}");
        }
    }
}
