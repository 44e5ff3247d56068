//! VACUUM. Its options are PostgreSQL's; those that say how to go about it mean nothing here.

use super::{Failure, syntax_error_near};
use crate::error::Error;
use crate::sqlstate::SYNTAX_ERROR;
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// What can stand in parentheses.
const OPTIONS: [&str; 12] = [
    "full",
    "freeze",
    "verbose",
    "analyze",
    "disable_page_skipping",
    "skip_locked",
    "index_cleanup",
    "process_main",
    "process_toast",
    "truncate",
    "parallel",
    "buffer_usage_limit",
];
/// What can stand without, in this order.
const WORDS: [&str; 4] = ["full", "freeze", "verbose", "analyze"];

/// The tables it names; none means all. The word itself has been read.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Vec<ObjectName>, Failure> {
    if parser.consume_token(&Token::LParen) {
        loop {
            let Token::Word(word) = &parser.peek_token().token else { return Err(near(parser)) };
            let option = word.value.to_lowercase();
            if !OPTIONS.contains(&option.as_str()) {
                return Err(Error::new(SYNTAX_ERROR, format!("unrecognized VACUUM option \"{option}\"")).into());
            }
            parser.next_token();
            if matches!(parser.peek_token().token, Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_)) {
                parser.next_token();
            }
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if !parser.consume_token(&Token::RParen) {
            return Err(near(parser));
        }
    } else {
        for wanted in WORDS {
            if matches!(&parser.peek_token().token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted)) {
                parser.next_token();
            }
        }
    }
    let mut tables = Vec::new();
    if !matches!(parser.peek_token().token, Token::EOF | Token::SemiColon) {
        loop {
            tables.push(parser.parse_object_name(false)?);
            if matches!(parser.peek_token().token, Token::LParen) {
                // Columns to analyze.
                parser.parse_parenthesized_column_list(
                    datafusion::sql::sqlparser::parser::IsOptional::Mandatory,
                    false,
                )?;
            }
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
    }
    Ok(tables)
}

fn near(parser: &Parser<'_>) -> Failure {
    syntax_error_near(&parser.peek_token()).into()
}
