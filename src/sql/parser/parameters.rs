//! `ALTER … SET (parameter = value, …)` and `ALTER … RESET (parameter, …)`, of tables and materialized views.
//!
//! sqlparser reads SET of tables alone, and gives values that are words as expressions.

use super::names::folded;
use super::{Failure, keyword, syntax_error_near};
use crate::error::Error;
use crate::sqlstate::{INVALID_PARAMETER_VALUE, SYNTAX_ERROR};
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// What a statement says it alters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Altered {
    /// ALTER TABLE, which PostgreSQL also takes for materialized views.
    Table,
    /// ALTER MATERIALIZED VIEW.
    MaterializedView,
}

/// One of these statements.
#[derive(Clone, Debug)]
pub(crate) struct AlterParameters {
    pub(crate) altered: Altered,
    pub(crate) if_exists: bool,
    pub(crate) name: ObjectName,
    /// In the order they are made.
    pub(crate) changes: Vec<Change>,
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) parameter: String,
    /// Its new value as text; `None` resets it.
    pub(crate) value: Option<String>,
}

/// Whether such a statement comes next: ALTER MATERIALIZED VIEW in any form, or ALTER TABLE whose first action is SET ( or RESET (.
pub(super) fn is_next(parser: &Parser<'_>) -> bool {
    let word = |at| keyword(&parser.peek_nth_token(at));
    if (word(0), word(1), word(2)) == (Keyword::ALTER, Keyword::MATERIALIZED, Keyword::VIEW) {
        return true;
    }
    if (word(0), word(1)) != (Keyword::ALTER, Keyword::TABLE) {
        return false;
    }
    let mut at = if (word(2), word(3)) == (Keyword::IF, Keyword::EXISTS) { 4 } else { 2 };
    if word(at) == Keyword::ONLY {
        at += 1;
    }
    at += 1;
    while parser.peek_nth_token(at).token == Token::Period {
        at += 2;
    }
    if parser.peek_nth_token(at).token == Token::Mul {
        at += 1;
    }
    is_action(parser, at)
}

/// Whether SET ( or RESET ( stands there.
fn is_action(parser: &Parser<'_>, at: usize) -> bool {
    let is_word = matches!(keyword(&parser.peek_nth_token(at)), Keyword::SET | Keyword::RESET);
    is_word && parser.peek_nth_token(at + 1).token == Token::LParen
}

/// Reads the statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<AlterParameters, Failure> {
    parser.expect_keyword(Keyword::ALTER)?;
    let altered = match parser.parse_keywords(&[Keyword::MATERIALIZED, Keyword::VIEW]) {
        true => Altered::MaterializedView,
        false => {
            parser.expect_keyword(Keyword::TABLE)?;
            Altered::Table
        }
    };
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    if altered == Altered::Table {
        // There is no inheritance, so that a table is alone anyway.
        let _ = parser.parse_keyword(Keyword::ONLY);
    }
    let name = parser.parse_object_name(false)?;
    if altered == Altered::Table {
        let _ = parser.consume_token(&Token::Mul);
    }
    let mut changes = Vec::new();
    loop {
        if !is_action(parser, 0) {
            return Err(other_action(parser, altered));
        }
        match parser.parse_keyword(Keyword::SET) {
            true => changes.extend(set(parser)?),
            false => {
                parser.expect_keyword(Keyword::RESET)?;
                changes.extend(reset(parser)?);
            }
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    Ok(AlterParameters { altered, if_exists, name, changes })
}

/// What stands where SET or RESET is read.
fn other_action(parser: &Parser<'_>, altered: Altered) -> Failure {
    let token = parser.peek_token();
    if !matches!(token.token, Token::Word(_)) {
        return syntax_error_near(&token).into();
    }
    let statement = match altered {
        Altered::Table => "ALTER TABLE with SET (…) and other actions at once",
        Altered::MaterializedView => "ALTER MATERIALIZED VIEW other than SET (…) and RESET (…)",
    };
    Error::unsupported(statement).into()
}

/// `(name = value, …)`; a name alone is true.
pub(super) fn set(parser: &mut Parser<'_>) -> Result<Vec<Change>, Failure> {
    let mut changes: Vec<Change> = Vec::new();
    parser.expect_token(&Token::LParen)?;
    loop {
        let parameter = parameter(parser)?;
        if changes.iter().any(|change| change.parameter == parameter) {
            let message = format!("parameter \"{parameter}\" specified more than once");
            return Err(Error::new(INVALID_PARAMETER_VALUE, message).into());
        }
        let value = if parser.consume_token(&Token::Eq) { value(parser)? } else { "true".to_owned() };
        changes.push(Change { parameter, value: Some(value) });
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(changes)
}

/// `(name, …)`.
fn reset(parser: &mut Parser<'_>) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    parser.expect_token(&Token::LParen)?;
    loop {
        changes.push(Change { parameter: parameter(parser)?, value: None });
        if parser.consume_token(&Token::Eq) {
            return Err(Error::new(SYNTAX_ERROR, "RESET must not include values for parameters").into());
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(changes)
}

fn parameter(parser: &mut Parser<'_>) -> Result<String, Failure> {
    let name = folded(&parser.parse_identifier()?);
    match parser.consume_token(&Token::Period) {
        false => Ok(name),
        true => {
            let message = format!("unrecognized parameter namespace \"{name}\"");
            Err(Error::new(INVALID_PARAMETER_VALUE, message).into())
        }
    }
}

/// A string, a number or a word.
fn value(parser: &mut Parser<'_>) -> Result<String, Failure> {
    let sign = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let token = parser.next_token();
    match token.token {
        Token::Number(digits, _) => Ok(format!("{sign}{digits}")),
        Token::SingleQuotedString(text) if sign.is_empty() => Ok(text),
        Token::Word(word) if sign.is_empty() => Ok(folded(&word.into_ident(token.span))),
        _ => Err(syntax_error_near(&token).into()),
    }
}
