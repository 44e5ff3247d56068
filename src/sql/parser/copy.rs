//! COPY, in the current and the old spelling of its options.

use super::{Failure, syntax_error_near};
use crate::error::{Error, Result};
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, INVALID_PARAMETER_VALUE, SYNTAX_ERROR};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser};
use datafusion::sql::sqlparser::tokenizer::Token;

/// What is copied.
#[derive(Clone, Debug)]
pub(crate) enum CopySource {
    /// A table, and which of its columns.
    Table(ObjectName, Vec<Ident>),
    /// The rows of a query.
    Query(Box<Query>),
}

/// Where it comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    /// The client.
    Client,
    /// A file of the server.
    File(String),
}

/// How rows are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    /// PostgreSQL's text format.
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary format.
    Binary,
    /// Apache Parquet.
    Parquet,
}

/// Options, with their defaults filled in by format.
#[derive(Clone, Debug)]
pub(crate) struct CopyOptions {
    pub(crate) format: CopyFormat,
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) null: String,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
}

/// COPY.
#[derive(Clone, Debug)]
pub(crate) struct CopyStatement {
    pub(crate) source: CopySource,
    /// FROM or TO.
    pub(crate) from: bool,
    pub(crate) end: CopyEnd,
    pub(crate) options: CopyOptions,
}

/// Options as they were written.
#[derive(Default)]
struct Written {
    format: Option<String>,
    header: bool,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
}

impl Written {
    fn set_format(&mut self, format: &str) -> Result<()> {
        match self.format.replace(format.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Error::new(SYNTAX_ERROR, "conflicting or redundant options")),
        }
    }
}

/// Parses what follows the word COPY.
pub(super) fn parse(parser: &mut Parser<'_>) -> std::result::Result<CopyStatement, Failure> {
    let mut written = Written::default();
    if oldest_binary(parser) {
        parser.next_token();
        written.set_format("binary")?;
    }
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        CopySource::Query(query)
    } else {
        let name = parser.parse_object_name(false)?;
        CopySource::Table(name, parser.parse_parenthesized_column_list(IsOptional::Optional, false)?)
    };
    let from = match parser.parse_one_of_keywords(&[Keyword::FROM, Keyword::TO]) {
        Some(Keyword::FROM) => true,
        Some(_) => false,
        None => return Err(syntax_error_near(&parser.peek_token()).into()),
    };
    if from && matches!(source, CopySource::Query(_)) {
        return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"FROM\"").into());
    }
    let end = match parser.parse_one_of_keywords(&[Keyword::STDIN, Keyword::STDOUT, Keyword::PROGRAM]) {
        Some(Keyword::PROGRAM) => return Err(Error::unsupported("COPY with PROGRAM").into()),
        Some(_) => CopyEnd::Client,
        None => CopyEnd::File(parser.parse_literal_string()?),
    };
    let _ = parser.parse_keyword(Keyword::WITH);
    if parser.consume_token(&Token::LParen) {
        loop {
            option(parser, &mut written)?;
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    } else {
        while legacy_option(parser, &mut written)? {}
    }
    if parser.parse_keyword(Keyword::WHERE) {
        return Err(Error::unsupported("COPY FROM with WHERE").into());
    }
    let format = guess_format(written.format.as_deref(), &end);
    let options = finish(written, &format)?;
    Ok(CopyStatement { source, from, end, options })
}

/// `COPY BINARY table`, the spelling before PostgreSQL 7.3: the word is no table's name when another name follows.
fn oldest_binary(parser: &Parser<'_>) -> bool {
    let is_word = |nth: usize, wanted: &[&str]| match parser.peek_nth_token(nth).token {
        Token::Word(word) => wanted.is_empty() || wanted.iter().any(|w| word.value.eq_ignore_ascii_case(w)),
        _ => false,
    };
    is_word(0, &["binary"]) && is_word(1, &[]) && !is_word(1, &["from", "to"])
}

/// Files named `*.parquet` are Parquet unless FORMAT says otherwise, `*.csv` CSV.
fn guess_format(written: Option<&str>, end: &CopyEnd) -> String {
    match (written, end) {
        (Some(format), _) => format.to_lowercase(),
        (None, CopyEnd::File(name)) if name.to_lowercase().ends_with(".parquet") => "parquet".to_owned(),
        (None, _) => "text".to_owned(),
    }
}

fn option(parser: &mut Parser<'_>, written: &mut Written) -> std::result::Result<(), Failure> {
    let name = parser.parse_identifier()?.value.to_lowercase();
    match name.as_str() {
        "format" => written.set_format(&word_or_string(parser)?)?,
        "header" => written.header = boolean(parser)?,
        "delimiter" => written.delimiter = Some(parser.parse_literal_string()?),
        "null" => written.null = Some(parser.parse_literal_string()?),
        "quote" => written.quote = Some(parser.parse_literal_string()?),
        "escape" => written.escape = Some(parser.parse_literal_string()?),
        "encoding" => encoding(&parser.parse_literal_string()?)?,
        "freeze" => {
            boolean(parser)?;
        }
        "force_quote" | "force_not_null" | "force_null" => {
            return Err(Error::unsupported(format!("COPY option {}", name.to_uppercase())).into());
        }
        _ => return Err(Error::new(SYNTAX_ERROR, format!("option \"{name}\" not recognized")).into()),
    }
    Ok(())
}

/// One option of `WITH CSV HEADER DELIMITER AS ','`; false at the end.
fn legacy_option(parser: &mut Parser<'_>, written: &mut Written) -> std::result::Result<bool, Failure> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else { return Ok(false) };
    let name = word.value.to_lowercase();
    if !matches!(
        name.as_str(),
        "csv"
            | "binary"
            | "header"
            | "delimiter"
            | "delimiters"
            | "null"
            | "quote"
            | "escape"
            | "encoding"
            | "freeze"
            | "force"
    ) {
        return Ok(false);
    }
    parser.next_token();
    if matches!(name.as_str(), "delimiter" | "delimiters" | "null" | "quote" | "escape") {
        let _ = parser.parse_keyword(Keyword::AS);
    }
    match name.as_str() {
        "csv" | "binary" => written.set_format(&name)?,
        "header" => written.header = true,
        "freeze" => {}
        "delimiter" | "delimiters" => written.delimiter = Some(parser.parse_literal_string()?),
        "null" => written.null = Some(parser.parse_literal_string()?),
        "quote" => written.quote = Some(parser.parse_literal_string()?),
        "escape" => written.escape = Some(parser.parse_literal_string()?),
        "encoding" => encoding(&parser.parse_literal_string()?)?,
        _ => return Err(Error::unsupported("COPY option FORCE").into()),
    }
    Ok(true)
}

fn word_or_string(parser: &mut Parser<'_>) -> std::result::Result<String, Failure> {
    let token = parser.next_token();
    match token.token {
        Token::Word(word) => Ok(word.value),
        Token::SingleQuotedString(text) => Ok(text),
        _ => Err(syntax_error_near(&token).into()),
    }
}

/// `HEADER`, `HEADER true`, `HEADER 0`.
fn boolean(parser: &mut Parser<'_>) -> std::result::Result<bool, Failure> {
    let token = parser.peek_token();
    let text = match &token.token {
        Token::Word(word) => word.value.to_lowercase(),
        Token::Number(number, _) => number.clone(),
        Token::SingleQuotedString(text) => text.to_lowercase(),
        _ => return Ok(true),
    };
    parser.next_token();
    match text.as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        "match" => Err(Error::unsupported("COPY option HEADER MATCH").into()),
        _ => Err(Error::new(SYNTAX_ERROR, "header requires a Boolean value or \"match\"").into()),
    }
}

fn encoding(name: &str) -> Result<()> {
    match name.to_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(Error::new(FEATURE_NOT_SUPPORTED, format!("encoding \"{name}\" is not supported"))),
    }
}

fn finish(written: Written, format: &str) -> Result<CopyOptions> {
    let format = match format {
        "text" => CopyFormat::Text,
        "csv" => CopyFormat::Csv,
        "parquet" => CopyFormat::Parquet,
        "binary" => CopyFormat::Binary,
        other => {
            return Err(Error::new(INVALID_PARAMETER_VALUE, format!("COPY format \"{other}\" not recognized")));
        }
    };
    let csv = format == CopyFormat::Csv;
    if format == CopyFormat::Binary {
        let refused = |state, option: &str| Err(Error::new(state, format!("cannot specify {option} in BINARY mode")));
        if written.delimiter.is_some() {
            return refused(SYNTAX_ERROR, "DELIMITER");
        }
        if written.null.is_some() {
            return refused(SYNTAX_ERROR, "NULL");
        }
        if written.header {
            return refused(FEATURE_NOT_SUPPORTED, "HEADER");
        }
    }
    if format == CopyFormat::Parquet && (written.header || written.delimiter.is_some() || written.null.is_some()) {
        return Err(Error::new(SYNTAX_ERROR, "COPY options HEADER, DELIMITER and NULL do not apply to format parquet"));
    }
    if !csv && (written.quote.is_some() || written.escape.is_some()) {
        let option = if written.quote.is_some() { "quote" } else { "escape" };
        return Err(Error::new(FEATURE_NOT_SUPPORTED, format!("COPY {option} available only in CSV mode")));
    }
    let delimiter = one_byte("delimiter", written.delimiter.as_deref(), if csv { b',' } else { b'\t' })?;
    let quote = one_byte("quote", written.quote.as_deref(), b'"')?;
    let escape = one_byte("escape", written.escape.as_deref(), quote)?;
    let null = written.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
    if matches!(delimiter, b'\n' | b'\r') || null.contains(['\n', '\r']) {
        let what = if null.contains(['\n', '\r']) { "null representation" } else { "delimiter" };
        return Err(Error::new(INVALID_PARAMETER_VALUE, format!("COPY {what} cannot use newline or carriage return")));
    }
    if csv && delimiter == quote {
        return Err(Error::new(INVALID_PARAMETER_VALUE, "COPY delimiter and quote must be different"));
    }
    if null.as_bytes().contains(&delimiter) {
        return Err(Error::new(INVALID_PARAMETER_VALUE, "COPY delimiter must not appear in the NULL specification"));
    }
    Ok(CopyOptions { format, header: written.header, delimiter, null, quote, escape })
}

fn one_byte(option: &str, text: Option<&str>, default: u8) -> Result<u8> {
    match text.map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) => Err(Error::new(FEATURE_NOT_SUPPORTED, format!("COPY {option} must be a single one-byte character"))),
    }
}
