//! Names of Arrow's types in what DataFusion and Arrow say, as SQL calls them.

use std::borrow::Cow;

/// Types whose name is all there is to say.
const PLAIN: [&str; 20] = [
    "Boolean",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float16",
    "Float32",
    "Float64",
    "Utf8View",
    "Utf8",
    "LargeUtf8",
    "LargeBinary",
    "BinaryView",
    "Date32",
    "Date64",
    "Null",
];
/// Types that say more in parentheses.
const WITH_PARTS: [&str; 14] = [
    "Timestamp",
    "Time32",
    "Time64",
    "Interval",
    "Duration",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "FixedSizeBinary",
    "List",
    "LargeList",
    "FixedSizeList",
    "Struct",
];

/// A message with SQL's names of types. What is in quotes stays, unless it is a type and nothing else.
pub(crate) fn in_sql(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    let mut in_word = false;
    while let Some(next) = rest.chars().next() {
        let is_start = !in_word;
        in_word = next.is_alphanumeric() || next == '_';
        if is_start && let Some(length) = type_length(rest) {
            out.push_str(&sql_name(&rest[..length]));
            rest = &rest[length..];
            in_word = false;
            continue;
        }
        let quoted = match next {
            '\'' | '"' if is_start => rest[1..].find(next).map(|end| &rest[1..=end]),
            _ => None,
        };
        let Some(quoted) = quoted else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        out.push(next);
        match type_length(quoted) {
            Some(length) if length == quoted.len() => out.push_str(&sql_name(quoted)),
            _ => out.push_str(quoted),
        }
        out.push(next);
        rest = &rest[quoted.len() + 2..];
    }
    out
}

/// How long the type is that a text begins with.
fn type_length(text: &str) -> Option<usize> {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(word);
    match rest.starts_with('(') {
        false => PLAIN.contains(&name).then_some(word),
        true if WITH_PARTS.contains(&name) => Some(word + parenthesis(rest)?),
        true => None,
    }
}

/// How long the parenthesis is that a text begins with.
fn parenthesis(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// The SQL name of one type, which may have quotes around it.
pub(crate) fn sql_name(arrow: &str) -> Cow<'_, str> {
    let arrow = arrow.trim_matches(|c: char| !c.is_alphanumeric() && c != ')');
    let name = arrow.split('(').next().unwrap_or(arrow);
    Cow::Borrowed(match name {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Binary" | "LargeBinary" | "BinaryView" => "bytea",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time without time zone",
        "Interval" | "Duration" => "interval",
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => "numeric",
        "FixedSizeBinary" => "uuid",
        "Struct" => "record",
        "Null" => "unknown",
        "Timestamp" => match (arrow.contains("(ns") || arrow.contains("(Nanosecond"), arrow.contains(", ")) {
            (true, true) if !arrow.contains(", None") => "timestamptz_ns",
            (true, _) => "timestamp_ns",
            (false, true) if !arrow.contains(", None") => "timestamp with time zone",
            (false, _) => "timestamp without time zone",
        },
        "List" | "LargeList" | "FixedSizeList" => return Cow::Owned(format!("{}[]", element(arrow))),
        _ => arrow,
    })
}

/// The name of the type that a list is of.
fn element(list: &str) -> Cow<'_, str> {
    let starts = list.match_indices(|c: char| !c.is_alphanumeric()).map(|(at, found)| at + found.len());
    let inner = starts.map(|at| &list[at..]).find_map(|text| Some(&text[..type_length(text)?]));
    inner.map_or(Cow::Borrowed("anyelement"), sql_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_a_message_have_their_sql_names() {
        let cases = [
            (
                "comparison operation Timestamp(µs, \"UTC\") = Int64",
                "comparison operation timestamp with time zone = bigint",
            ),
            ("Timestamp(ns) and Timestamp(ns, \"+00:00\")", "timestamp_ns and timestamptz_ns"),
            ("Timestamp(Microsecond, None) to List(Int64)", "timestamp without time zone to bigint[]"),
            ("LargeList(Field { name: \"item\", data_type: Utf8View }), Interval(MonthDayNano)", "text[], interval"),
            ("from 'Utf8' to \"Decimal128(10, 2)\"", "from 'text' to \"numeric\""),
            ("value 'an Int64 in quotes' of Int64", "value 'an Int64 in quotes' of bigint"),
            (
                "MyInt64, Int640, Utf8_x, Int64(5), it's Float64",
                "MyInt64, Int640, Utf8_x, Int64(5), it's double precision",
            ),
            ("Timestamp(µs is not closed", "Timestamp(µs is not closed"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(in_sql(message), expected);
        }
    }
}
