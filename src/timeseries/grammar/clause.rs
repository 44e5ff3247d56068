//! The tokens of a statement without white space, and where clauses begin and end among them.

use super::edits::At;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_sql::extension::{Misplaced, syntax_error};

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

/// The tokens that are not white space.
#[derive(Debug)]
pub(super) struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    places: Vec<usize>,
}

impl<'a> Words<'a> {
    pub(super) fn new(tokens: &'a [TokenWithSpan]) -> Words<'a> {
        let counts = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let places = tokens.iter().enumerate().filter(|(_, token)| counts(token)).map(|(place, _)| place).collect();
        Words { tokens, places }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&'a TokenWithSpan> {
        self.places.get(place).map(|place| &self.tokens[*place])
    }

    pub(super) fn token(&self, place: usize) -> Option<&'a Token> {
        self.get(place).map(|token| &token.token)
    }

    /// Where edits find the token; past the last, the end.
    pub(super) fn index(&self, place: usize) -> usize {
        let end = || self.places.last().map_or(0, |last| last + 1);
        self.places.get(place).copied().unwrap_or_else(end)
    }

    /// Where new tokens say they are.
    pub(super) fn at(&self, place: usize) -> At {
        let token = self.get(place).or_else(|| self.get(self.len().saturating_sub(1)));
        At(token.map_or_else(datafusion::sql::sqlparser::tokenizer::Span::empty, |token| token.span))
    }

    pub(super) fn is_quoted(&self, place: usize) -> bool {
        matches!(self.token(place), Some(Token::Word(word)) if word.quote_style.is_some())
    }

    /// Whether a word without quotes stands there.
    pub(super) fn says(&self, place: usize, wanted: &str) -> bool {
        matches!(self.token(place), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    pub(super) fn says_any(&self, place: usize, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.says(place, wanted))
    }

    /// The first place from `from` on, outside parentheses opened since, that `stops` or that closes a parenthesis opened
    /// before; else the end.
    pub(super) fn find(&self, from: usize, stops: impl Fn(usize) -> bool) -> usize {
        let mut depth = 0usize;
        for place in from..self.len() {
            match self.token(place) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) if depth == 0 => return place,
                Some(Token::RParen) => depth -= 1,
                _ if depth == 0 && stops(place) => return place,
                _ => {}
            }
        }
        self.len()
    }

    /// The end of a clause that goes up to the next clause of the query.
    pub(super) fn end_of_clause(&self, from: usize) -> usize {
        self.find(from, |place| self.says_any(place, &ENDS))
    }

    /// The end of a join's condition, or the word its condition begins with.
    pub(super) fn end_of_join(&self, from: usize, beginnings: &[&str]) -> usize {
        self.find(from, |place| {
            self.says_any(place, &ENDS)
                || self.says_any(place, &JOINS)
                || self.says_any(place, beginnings)
                || matches!(self.token(place), Some(Token::Comma))
        })
    }

    /// A syntax error at a place.
    pub(super) fn misplaced(&self, place: usize) -> Misplaced {
        syntax_error(self.get(place))
    }

    /// A length of time: `1h`, `5 minutes`, `'1 hour'`. Its text, and the place after it; `None` when something else
    /// stands there.
    pub(super) fn length(&self, place: usize) -> Option<(String, usize)> {
        match (self.token(place)?, self.token(place + 1)) {
            (Token::SingleQuotedString(text), _) => Some((text.clone(), place + 1)),
            (Token::Number(number, _), Some(Token::Word(unit))) if unit.quote_style.is_none() => {
                let is_short = self.get(place)?.span.end == self.get(place + 1)?.span.start;
                let unit = if is_short { short_unit(&unit.value) } else { unit.value.as_str() };
                Some((format!("{number} {unit}"), place + 2))
            }
            _ => None,
        }
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
