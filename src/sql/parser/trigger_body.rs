//! The text of a function in SQL that triggers call.
//!
//! ```text
//! body      = item { ";" item }
//! item      = SET new.column = expression { , new.column = expression }
//!           | SKIP ROW [ WHEN ( condition ) ]
//!           | RAISE EXCEPTION 'message' [ USING ERRCODE = 'state' ] [ WHEN ( condition ) ]
//!           | a statement
//! ```
//!
//! The first three are Lightning's: how a body changes the new row, leaves a row out, and refuses.

use super::names::folded;
use super::words::Words;
use super::{Kind, Source, near, parse_expression_of, parse_extended, tokenize, tokenizer_error};
use crate::error::{Error, Result};
use crate::extension::Extensions;
use crate::parser::Parsed;
use crate::sqlstate::{INVALID_PARAMETER_VALUE, SYNTAX_ERROR};
use datafusion::sql::sqlparser::ast::{self, Expr, SetExpr};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What stands in a body between semicolons.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// SET: columns and what they are set to.
    Set(Vec<(String, Expr)>),
    /// SKIP ROW, of rows that satisfy a condition.
    Skip(Option<Expr>),
    /// RAISE EXCEPTION.
    Raise(Raise),
    /// A statement.
    Statement(Box<Parsed>),
}

/// What is raised when a row satisfies the condition, or any row is there.
#[derive(Clone, Debug)]
pub(crate) struct Raise {
    pub(crate) message: String,
    pub(crate) state: String,
    pub(crate) condition: Option<Expr>,
}

/// SQLSTATE of RAISE without ERRCODE.
const RAISE_EXCEPTION: &str = "P0001";

/// Reads a body; 42601.
pub(crate) fn parse(text: &str, extensions: &Extensions) -> Result<Vec<Item>> {
    let source = Source::new(text);
    let tokens = tokenize(text).map_err(|e| tokenizer_error(&e, &source))?;
    let mut items = Vec::new();
    for group in tokens.split(|token| token.token == Token::SemiColon) {
        let words = Words::new(group);
        if words.is_empty() {
            continue;
        }
        super::depth::check(group)?;
        let item = if words.says(0, "SET") && words.says(1, "new") && words.is(2, &Token::Period) {
            set(&words, &source)
        } else if words.say(0, &["SKIP", "ROW"]) {
            let condition = when(&words, 2, &source);
            condition.map(Item::Skip)
        } else if words.say(0, &["RAISE", "EXCEPTION"]) {
            raise(&words, &source).map(Item::Raise)
        } else {
            statement(&words, &source, extensions)
        };
        items.push(item?);
    }
    Ok(items)
}

fn misplaced(words: &Words<'_>, place: usize, source: &Source) -> Error {
    let end = TokenWithSpan::wrap(Token::EOF);
    near(words.get(place).unwrap_or(&end), source)
}

/// The expression between two places.
fn expression(words: &Words<'_>, from: usize, to: usize, source: &Source) -> Result<Expr> {
    let tokens = words.between(from, to);
    let end = words.get(to).cloned();
    parse_expression_of(tokens)
        .map_err(|e| near(&e.token.or(end).unwrap_or_else(|| TokenWithSpan::wrap(Token::EOF)), source))
}

fn set(words: &Words<'_>, source: &Source) -> Result<Item> {
    let mut all: Vec<(String, Expr)> = Vec::new();
    let mut at = 1;
    loop {
        if !words.says(at, "new") || !words.is(at + 1, &Token::Period) {
            return Err(misplaced(words, at, source));
        }
        let column = words.label(at + 2).ok_or_else(|| misplaced(words, at + 2, source))?;
        if !words.is(at + 3, &Token::Eq) {
            return Err(misplaced(words, at + 3, source));
        }
        if all.iter().any(|(known, _)| *known == column) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(Error::new(SYNTAX_ERROR, message));
        }
        let end = words.find(at + 4, |place| words.is(place, &Token::Comma));
        all.push((column, expression(words, at + 4, end, source)?));
        match words.token(end) {
            None => return Ok(Item::Set(all)),
            Some(Token::Comma) => at = end + 1,
            Some(_) => return Err(misplaced(words, end, source)),
        }
    }
}

/// `[WHEN (condition)]` to the end.
fn when(words: &Words<'_>, at: usize, source: &Source) -> Result<Option<Expr>> {
    if words.len() == at {
        return Ok(None);
    }
    if !words.says(at, "WHEN") {
        return Err(misplaced(words, at, source));
    }
    if !words.is(at + 1, &Token::LParen) {
        return Err(misplaced(words, at + 1, source));
    }
    let end = words.find(at + 2, |_| false);
    if !words.is(end, &Token::RParen) {
        return Err(misplaced(words, end, source));
    }
    if words.len() > end + 1 {
        return Err(misplaced(words, end + 1, source));
    }
    expression(words, at + 2, end, source).map(Some)
}

fn raise(words: &Words<'_>, source: &Source) -> Result<Raise> {
    let literal = |place: usize| match words.token(place) {
        Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => Some(text.clone()),
        _ => None,
    };
    let message = literal(2).ok_or_else(|| misplaced(words, 2, source))?;
    let mut at = 3;
    let mut state = RAISE_EXCEPTION.to_owned();
    if words.says(at, "USING") {
        if !words.says(at + 1, "ERRCODE") || !words.is(at + 2, &Token::Eq) {
            return Err(misplaced(words, at + 1, source));
        }
        state = literal(at + 3).ok_or_else(|| misplaced(words, at + 3, source))?;
        let is_state = state.len() == 5 && state.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if !is_state || state.starts_with("00") {
            return Err(Error::new(INVALID_PARAMETER_VALUE, format!("invalid SQLSTATE \"{state}\"")));
        }
        at += 4;
    }
    Ok(Raise { message, state, condition: when(words, at, source)? })
}

/// A statement of those that may stand in a body.
fn statement(words: &Words<'_>, source: &Source, extensions: &Extensions) -> Result<Item> {
    let text = &source.script[text_range(words, source)];
    let mut parsed = parse_extended(text, extensions)?;
    let Some(parsed) = parsed.pop() else { return Err(misplaced(words, 0, source)) };
    check_kind(&parsed)?;
    Ok(Item::Statement(Box::new(parsed)))
}

fn text_range(words: &Words<'_>, source: &Source) -> std::ops::Range<usize> {
    let first = words.get(0).map_or(0, |token| source.offset(token.span.start));
    let last = words.get(words.len().saturating_sub(1)).map_or(first, |token| source.offset(token.span.end));
    first..last.max(first)
}

/// Refuses what a trigger's function may not run: 0A000.
pub(crate) fn check_kind(parsed: &Parsed) -> Result<()> {
    let is_allowed = match &parsed.kind {
        Kind::Sql(statement) => match statement.as_ref() {
            ast::Statement::Query(query) => !matches!(query.body.as_ref(), SetExpr::Select(s) if s.into.is_some()),
            ast::Statement::Insert(_)
            | ast::Statement::Update(_)
            | ast::Statement::Delete(_)
            | ast::Statement::Merge(_) => true,
            _ => false,
        },
        _ => false,
    };
    if is_allowed {
        return Ok(());
    }
    let words: Vec<&str> = parsed.text.split_whitespace().take(2).collect();
    let name = match words.as_slice() {
        [first, second] if matches!(first.to_uppercase().as_str(), "CREATE" | "ALTER" | "DROP") => {
            format!("{} {}", first.to_uppercase(), second.to_uppercase())
        }
        [first, ..] => first.to_uppercase(),
        [] => "this statement".to_owned(),
    };
    Err(Error::unsupported(format!("{name} in a trigger's function"))
        .with_hint("INSERT, UPDATE, DELETE, MERGE and SELECT can be used there."))
}

/// The row and column an expression reads, if it is `new.column` or `old.column`: whether new, and which.
pub(crate) fn row_column(expr: &Expr) -> Option<(bool, String)> {
    let Expr::CompoundIdentifier(parts) = expr else { return None };
    let [row, column] = parts.as_slice() else { return None };
    match folded(row).as_str() {
        "new" => Some((true, folded(column))),
        "old" => Some((false, folded(column))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Item> {
        parse(text, &Extensions::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn error(text: &str) -> (String, String) {
        let e = parse(text, &Extensions::default()).unwrap_err();
        (e.state().0.to_owned(), e.message().to_owned())
    }

    #[test]
    fn items_are_read() {
        let items = parsed(
            "set new.a = coalesce(new.a, 1), new.b = ';';; skip row when (new.a < 0); raise exception 'no' using errcode = '23514' \
             when (old.a is null); insert into log values (new.a); select 1",
        );
        assert_eq!(items.len(), 5);
        let Item::Set(set) = &items[0] else { panic!() };
        assert_eq!(
            set.iter().map(|(c, e)| format!("{c}: {e}")).collect::<Vec<_>>(),
            ["a: coalesce(new.a, 1)", "b: ';'"]
        );
        assert!(matches!(&items[1], Item::Skip(Some(_))));
        assert!(matches!(&items[2], Item::Raise(raise) if raise.state == "23514" && raise.condition.is_some()));
        assert!(matches!(&parsed("skip row")[0], Item::Skip(None)));
        assert!(matches!(&parsed("raise exception 'x'")[0], Item::Raise(raise) if raise.state == "P0001"));
    }

    #[test]
    fn what_is_misplaced_is_named() {
        let syntax = |near: &str| ("42601".to_owned(), format!("syntax error at or near \"{near}\""));
        assert_eq!(error("set new.a = 1, b = 2"), syntax("b"));
        assert_eq!(error("set new.a 1"), syntax("1"));
        assert_eq!(error("skip row where (true)"), syntax("where"));
        assert_eq!(error("skip row when true"), syntax("true"));
        assert_eq!(error("raise exception 5"), syntax("5"));
        assert_eq!(error("set new.a = 1 +"), ("42601".to_owned(), "syntax error at end of input".to_owned()));
        assert_eq!(error("raise exception 'x' using errcode = 'bad'").0, "22023");
        assert_eq!(error("create table t (a int)").0, "0A000");
        assert_eq!(error("commit").0, "0A000");
        assert_eq!(error("selec 1").0, "42601");
    }
}
