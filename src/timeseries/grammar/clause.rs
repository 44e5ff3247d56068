//! Where clauses begin and end among the words of a statement.

use datafusion::sql::sqlparser::tokenizer::Token;
use lightning_sql::extension::Words;

/// Words that end what stands before them in a query.
const ENDS: [&str; 19] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "QUALIFY",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "RETURNING",
    "SAMPLE",
    "LATEST",
    "SELECT",
    "SET",
    "ON",
];

/// Words that begin another join.
const JOINS: [&str; 9] = ["JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "ASOF", "ON"];

/// What begins at a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    LatestOn,
    SampleBy,
    Asof,
    WindowJoin,
}

impl Clause {
    pub(super) fn at(words: &Words, place: usize) -> Option<Clause> {
        if words.says(place, "LATEST") && words.says(place + 1, "ON") {
            // `LATEST` may be an alias: what follows ON decides.
            let dotted = matches!(words.token(place + 3), Some(Token::Period));
            let partition = if dotted { place + 5 } else { place + 3 };
            return words.says(partition, "PARTITION").then_some(Clause::LatestOn);
        }
        if words.says(place, "SAMPLE") && words.says(place + 1, "BY") {
            return Some(Clause::SampleBy);
        }
        let joins = |place: usize| words.says(place, "JOIN");
        if words.says(place, "ASOF") {
            let sided = words.says(place + 1, "LEFT") || words.says(place + 1, "INNER");
            let outer = sided && words.says(place + 2, "OUTER");
            let after = place + 1 + usize::from(sided) + usize::from(outer);
            return joins(after).then_some(Clause::Asof);
        }
        (words.says(place, "WINDOW") && joins(place + 1)).then_some(Clause::WindowJoin)
    }
}

/// The end of a clause that goes up to the next clause of the query.
pub(super) fn end_of_clause(words: &Words, from: usize) -> usize {
    words.find(from, |place| words.says_any(place, &ENDS))
}

/// The end of a join's condition, or the word its condition begins with.
pub(super) fn end_of_join(words: &Words, from: usize, beginnings: &[&str]) -> usize {
    words.find(from, |place| {
        words.says_any(place, &ENDS)
            || words.says_any(place, &JOINS)
            || words.says_any(place, beginnings)
            || words.is(place, &Token::Comma)
    })
}

/// A length of time: `1h`, `5 minutes`, `'1 hour'`. Its text, and the place after it; `None` when something else stands
/// there.
pub(super) fn length(words: &Words, place: usize) -> Option<(String, usize)> {
    match (words.token(place)?, words.token(place + 1)) {
        (Token::SingleQuotedString(text), _) => Some((text.clone(), place + 1)),
        (Token::Number(number, _), Some(Token::Word(unit))) if unit.quote_style.is_none() => {
            let is_short = words.get(place)?.span.end == words.get(place + 1)?.span.start;
            let unit = if is_short { short_unit(&unit.value) } else { unit.value.as_str() };
            Some((format!("{number} {unit}"), place + 2))
        }
        _ => None,
    }
}

/// QuestDB's units: `5m` are minutes and `5M` months.
fn short_unit(unit: &str) -> &str {
    match unit {
        "U" => "microseconds",
        "T" => "milliseconds",
        "s" => "seconds",
        "m" => "minutes",
        "h" => "hours",
        "d" => "days",
        "w" => "weeks",
        "M" => "months",
        "y" => "years",
        other => other,
    }
}
