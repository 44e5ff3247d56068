//! From text to statements.
//!
//! sqlparser reads PostgreSQL's grammar; this module cuts a script into statements, bounds how deep they may nest before
//! anything recursive sees them ([`depth`]), reads the few statements sqlparser does not know the way PostgreSQL does
//! ([`copy`], [`parameters`], SHOW, CHECKPOINT), and turns locations into character positions of the text the client sent.
//!
//! What must hold: no text, however deep or long, makes a later stage recurse beyond a fixed depth.

pub(crate) mod copy;
mod depth;
mod locking;
mod options;
pub(crate) mod parameters;
pub(crate) mod trigger;
pub(crate) mod function;
pub(crate) mod changes;
mod reserved;
mod dialect;
mod subqueries;
mod vacuum;
pub(crate) mod values;
pub(crate) mod names;
mod rewrite;
pub(crate) mod calls;
pub(crate) mod words;
pub(crate) mod trigger_body;
pub(crate) mod spelling;

use crate::error::{Error, Result};
use crate::extension::{Extension, Extensions, Misplaced, ObjectStatement};
use crate::sqlstate::{STATEMENT_TOO_COMPLEX, SYNTAX_ERROR};
use copy::CopyStatement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use dialect::LightningDialect;
use function::{CreateFunction, DropFunction};
use parameters::AlterParameters;
use std::ops::ControlFlow;
use std::sync::Arc;
use trigger::TriggerStatement;

/// Nesting sqlparser may recurse into.
const PARSER_DEPTH_MAX: usize = 100;
/// Bytes of one script.
const SCRIPT_BYTES_MAX: usize = 256 << 20;

/// What a statement is, before names are looked at.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Whatever sqlparser reads.
    Sql(Box<ast::Statement>),
    /// COPY.
    Copy(Box<CopyStatement>),
    /// CHECKPOINT.
    Checkpoint,
    /// VACUUM of some tables, or of all.
    Vacuum(Vec<ast::ObjectName>),
    /// REFRESH MATERIALIZED VIEW.
    Refresh(ast::ObjectName),
    /// ALTER TABLE or MATERIALIZED VIEW … SET (…) or RESET (…).
    AlterParameters(Box<AlterParameters>),
    /// CREATE, ALTER or DROP of a trigger.
    Trigger(Box<TriggerStatement>),
    /// CREATE FUNCTION or AGGREGATE.
    CreateFunction(Box<CreateFunction>),
    /// DROP FUNCTION or AGGREGATE.
    DropFunction(Box<DropFunction>),
    /// CREATE or DROP of an object of an extension.
    Object(Box<ObjectStatement>),
    /// SHOW name.
    Show(String),
    /// SHOW ALL.
    ShowAll,
}

/// A statement and where it stands in the script.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) kind: Kind,
    /// The statement's own text.
    pub(crate) text: String,
    /// CREATE TABLE AS … WITH NO DATA.
    pub(crate) no_data: bool,
    /// Whether BEGIN or SET TRANSACTION said DEFERRABLE, or NOT DEFERRABLE.
    pub(crate) deferrable: Option<bool>,
    /// The column names of CREATE TABLE name (names) AS …
    pub(crate) column_names: Vec<String>,
    source: Arc<Source>,
}

impl Parsed {
    /// A statement inside another (of PREPARE, say).
    pub(crate) fn part_of(whole: &Parsed, kind: Kind) -> Parsed {
        Parsed { kind, ..whole.clone() }
    }

    /// Character position of a location, from 1.
    pub(crate) fn position(&self, location: Location) -> Option<usize> {
        self.source.position(location)
    }

    /// What follows AS in CREATE VIEW.
    pub(crate) fn defining_query(&self) -> Option<String> {
        let tokens = tokenize(&self.text).ok()?;
        let mut depth = 0usize;
        let begins = tokens.iter().position(|token| {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && keyword(token) == Keyword::AS
        })?;
        let (query, _) = without_data_clause(&tokens);
        let last = query.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))?;
        let source = Source::new(&self.text);
        let text = self.text.get(source.offset(tokens[begins].span.end)..source.offset(last.span.end))?;
        Some(text.trim().to_owned())
    }

    /// Bytes of the statement's text before a location.
    pub(crate) fn offset_in_text(&self, location: Location) -> Option<usize> {
        let start = self.source.script.find(self.text.as_str())?;
        self.source.offset(location).checked_sub(start)
    }

    /// Character position of the first mention of `name` in this statement.
    pub(crate) fn position_of(&self, name: &str) -> Option<usize> {
        let start = self.source.script.find(self.text.as_str())?;
        let before = self.source.script[..start].chars().count();
        let tokens = tokenize(&self.text).ok()?;
        let location = tokens.iter().find_map(|t| match &t.token {
            Token::Word(word) if same_name(word.quote_style, &word.value, name) => Some(t.span.start),
            _ => None,
        })?;
        Some(before + Source::new(&self.text).position(location)?)
    }
}

fn same_name(quote: Option<char>, written: &str, name: &str) -> bool {
    if quote.is_some() { written == name } else { written.to_lowercase() == name }
}

/// A script and where its lines begin.
#[derive(Debug)]
struct Source {
    script: String,
    /// Characters before each line.
    lines: Vec<usize>,
}

impl Source {
    fn new(script: &str) -> Source {
        let mut lines = vec![0];
        let mut count = 0;
        for c in script.chars() {
            count += 1;
            if c == '\n' {
                lines.push(count);
            }
        }
        Source { script: script.to_owned(), lines }
    }

    fn position(&self, location: Location) -> Option<usize> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        Some(self.lines.get(line)? + usize::try_from(location.column).ok()?)
    }

    /// Byte offset of a location.
    fn offset(&self, location: Location) -> usize {
        let characters = self.position(location).map_or(0, |p| p - 1);
        if self.script.is_ascii() {
            return characters.min(self.script.len());
        }
        self.script.char_indices().nth(characters).map_or(self.script.len(), |(i, _)| i)
    }
}

/// Splits and parses a script without extensions: text of our own, and views, whose text has none of their words left.
pub(crate) fn parse_script(sql: &str) -> Result<Vec<Parsed>> {
    parse_extended(sql, &Extensions::default())
}

/// Splits and parses a script.
pub(crate) fn parse_extended(sql: &str, extensions: &Extensions) -> Result<Vec<Parsed>> {
    if sql.len() > SCRIPT_BYTES_MAX {
        return Err(Error::new(crate::sqlstate::PROGRAM_LIMIT_EXCEEDED, "the statement text is too long"));
    }
    let source = Arc::new(Source::new(sql));
    let tokens = tokenize(sql).map_err(|e| tokenizer_error(&e, &source))?;
    let mut statements = Vec::new();
    for group in tokens.split(|t| t.token == Token::SemiColon) {
        let first = group.iter().find(|t| !matches!(t.token, Token::Whitespace(_)));
        let last = group.iter().rev().find(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF));
        let (Some(first), Some(last)) = (first, last) else { continue };
        let text = source.script[source.offset(first.span.start)..source.offset(last.span.end)].to_owned();
        depth::check(group)?;
        if let Some(statement) = extensions.iter().find_map(|extension| extension.statement(group)) {
            let statement = statement.map_err(|misplaced| misplaced_error(misplaced, &source))?;
            let kind = Kind::Object(Box::new(statement));
            let source = Arc::clone(&source);
            statements.push(Parsed { kind, text, no_data: false, deferrable: None, column_names: Vec::new(), source });
            continue;
        }
        let group = extended(group, extensions, &source)?;
        check_numbers(&group, &source)?;
        let group = group.as_slice();
        let (group, no_data) = without_data_clause(group);
        let (group, column_names) = without_column_names(group, &source)?;
        let (group, deferrable) = without_deferrable(group);
        let group = options::written_out(group);
        let kind = parse_one(locking::rewrite(changes::rewrite(table_command(group))?), &source)?;
        statements.push(Parsed { kind, text, no_data, deferrable, column_names, source: Arc::clone(&source) });
    }
    Ok(statements)
}

/// One statement's tokens as the extensions leave them.
fn extended(tokens: &[TokenWithSpan], extensions: &Extensions, source: &Source) -> Result<Vec<TokenWithSpan>> {
    let rewrite = |tokens, extension: &Arc<dyn Extension>| extension.rewrite_tokens(tokens);
    let rewritten = extensions.iter().try_fold(tokens.to_vec(), rewrite);
    rewritten.map_err(|misplaced| misplaced_error(misplaced, source))
}

fn misplaced_error(misplaced: Misplaced, source: &Source) -> Error {
    let end = || TokenWithSpan::wrap(Token::EOF);
    let mut error = near(&misplaced.token.unwrap_or_else(end), source);
    if let Some(message) = misplaced.message {
        error.0.message = message.into();
    }
    error.0.hint = misplaced.hint.map(String::from);
    error
}

/// Takes `WITH [NO] DATA` off the end of a CREATE statement; whether it said NO.
fn without_data_clause(tokens: &[TokenWithSpan]) -> (Vec<TokenWithSpan>, bool) {
    let words: Vec<(usize, Keyword)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
        .map(|(i, t)| (i, if let Token::Word(w) = &t.token { w.keyword } else { Keyword::NoKeyword }))
        .collect();
    let creates = words.first().is_some_and(|(_, k)| *k == Keyword::CREATE);
    let keep = |end: usize| tokens[..end].to_vec();
    match words.as_slice() {
        [.., (start, Keyword::WITH), (_, Keyword::NO), (_, Keyword::DATA)] if creates => (keep(*start), true),
        [.., (start, Keyword::WITH), (_, Keyword::DATA)] if creates => (keep(*start), false),
        _ => (tokens.to_vec(), false),
    }
}

/// Positions of the tokens that are not white space.
fn significant(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let counts = |t: &TokenWithSpan| !matches!(t.token, Token::Whitespace(_) | Token::EOF);
    tokens.iter().enumerate().filter(|(_, t)| counts(t)).map(|(i, _)| i).collect()
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Takes `[NOT] DEFERRABLE` out of the modes of a transaction; what it said.
fn without_deferrable(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, Option<bool>) {
    let words = significant(&tokens);
    let begins = words.first().map_or(Keyword::NoKeyword, |first| keyword(&tokens[*first]));
    if !matches!(begins, Keyword::BEGIN | Keyword::START | Keyword::SET) {
        return (tokens, None);
    }
    let says = |place: usize, wanted: Keyword| words.get(place).is_some_and(|index| keyword(&tokens[*index]) == wanted);
    let has = |place: usize, wanted: &Token| words.get(place).is_some_and(|index| tokens[*index].token == *wanted);
    let Some(at) = (1..words.len()).find(|place| says(*place, Keyword::DEFERRABLE)) else { return (tokens, None) };
    let is_not = says(at - 1, Keyword::NOT);
    let mut first = if is_not { at - 1 } else { at };
    let mut last = at;
    if has(first - 1, &Token::Comma) {
        first -= 1;
    } else if has(last + 1, &Token::Comma) {
        last += 1;
    }
    let taken = words[first]..=words[last];
    let kept = tokens.into_iter().enumerate().filter(|(index, _)| !taken.contains(index)).map(|(_, token)| token);
    (kept.collect(), Some(!is_not))
}

/// Takes the list of names out of `CREATE TABLE t (a, b) AS …`, which sqlparser reads as columns without types.
fn without_column_names(tokens: Vec<TokenWithSpan>, source: &Source) -> Result<(Vec<TokenWithSpan>, Vec<String>)> {
    let places = significant(&tokens);
    let creates = matches!(places.as_slice(), [a, b, ..] if keyword(&tokens[*a]) == Keyword::CREATE && keyword(&tokens[*b]) == Keyword::TABLE);
    let open = places.iter().position(|i| tokens[*i].token == Token::LParen);
    let (true, Some(open)) = (creates, open) else { return Ok((tokens, Vec::new())) };
    if places[..open].iter().any(|i| keyword(&tokens[*i]) == Keyword::AS) {
        return Ok((tokens, Vec::new()));
    }
    let mut names = Vec::new();
    let mut at = open + 1;
    loop {
        match places.get(at).map(|i| &tokens[*i].token) {
            Some(Token::Word(word)) => {
                names.push(if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() });
            }
            _ => return Ok((tokens, Vec::new())),
        }
        match places.get(at + 1).map(|i| &tokens[*i].token) {
            Some(Token::Comma) => at += 2,
            Some(Token::RParen) => break,
            _ => return Ok((tokens, Vec::new())),
        }
    }
    let closed = places[at + 1];
    let eof = TokenWithSpan::wrap(Token::EOF);
    let next = places.get(at + 2).map_or(&eof, |i| &tokens[*i]);
    match keyword(next) {
        Keyword::AS => {}
        Keyword::WITH | Keyword::ON | Keyword::USING | Keyword::TABLESPACE => return Ok((tokens, Vec::new())),
        // Columns have types, unless a query gives them.
        _ => return Err(near(next, source)),
    }
    let mut kept = tokens[..places[open]].to_vec();
    kept.extend_from_slice(&tokens[closed + 1..]);
    Ok((kept, names))
}

/// `TABLE name` is `SELECT * FROM name`.
fn table_command(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let Some(first) = significant(&tokens).first().copied() else { return tokens };
    if keyword(&tokens[first]) != Keyword::TABLE {
        return tokens;
    }
    let span = tokens[first].span;
    let with = |token| TokenWithSpan { token, span };
    let mut replaced = vec![with(Token::make_keyword("SELECT")), with(Token::Mul), with(Token::make_keyword("FROM"))];
    replaced.extend_from_slice(&tokens[first + 1..]);
    replaced
}

/// Parses one expression (a column's DEFAULT); 42601.
pub fn parse_expression(sql: &str) -> Result<ast::Expr> {
    let source = Source::new(sql);
    let tokens = tokenize(sql).map_err(|e| tokenizer_error(&e, &source))?;
    depth::check(&tokens)?;
    let mut parser = parser(tokens);
    parser.parse_expr().map_err(|e| syntax_error(&e, &mut parser, &source))
}

/// Parses tokens that are one expression; without a token, what is misplaced is their end.
pub fn parse_expression_of(tokens: &[TokenWithSpan]) -> std::result::Result<ast::Expr, Misplaced> {
    let mut parser = parser(tokens.to_vec());
    let expr = parser.parse_expr();
    let next = parser.peek_token();
    let written = |location: Location| tokens.iter().find(|token| token.span.start == location).cloned();
    let token = match &expr {
        Ok(_) if next.token == Token::EOF => None,
        Err(ParserError::ParserError(text)) => split_location(text).and_then(|(_, at)| written(at)).or(Some(next)),
        _ => Some(next),
    };
    expr.ok().filter(|_| token.is_none()).ok_or_else(|| Misplaced {
        token: token.filter(|token| token.token != Token::EOF),
        message: None,
        hint: None,
    })
}

/// Parses one query (a view's definition); 42601.
pub fn parse_query(sql: &str) -> Result<ast::Query> {
    match parse_script(sql)?.pop().map(|p| p.kind) {
        Some(Kind::Sql(statement)) => match *statement {
            ast::Statement::Query(query) => Ok(*query),
            _ => Err(Error::new(SYNTAX_ERROR, "a query was expected")),
        },
        _ => Err(Error::new(SYNTAX_ERROR, "a query was expected")),
    }
}

/// The tokens of a statement's text; 42601.
pub fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    tokenize(sql).map_err(|e| tokenizer_error(&e, &Source::new(sql)))
}

fn tokenize(
    sql: &str,
) -> std::result::Result<Vec<TokenWithSpan>, datafusion::sql::sqlparser::tokenizer::TokenizerError> {
    Tokenizer::new(&LightningDialect, sql).tokenize_with_location()
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&LightningDialect).with_recursion_limit(PARSER_DEPTH_MAX).with_tokens_with_locations(tokens)
}

fn parse_one(tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Kind> {
    let mut parser = parser(tokens);
    let result = parse_kind(&mut parser, source);
    let kind = match result {
        Ok(kind) => kind,
        Err(Failure::Parser(e)) => return Err(syntax_error(&e, &mut parser, source)),
        Err(Failure::Sql(e)) => return Err(e),
    };
    let next = parser.peek_token();
    if next.token != Token::EOF {
        // `ORDER` and `GROUP` can go on, with BY alone.
        let incomplete = matches!(keyword(&next), Keyword::ORDER | Keyword::GROUP);
        let next = if incomplete { parser.peek_nth_token(1) } else { next };
        return Err(near(&next, source));
    }
    Ok(match kind {
        Kind::Sql(mut statement) => {
            reserved::check(&statement, source)?;
            refuse_quoted_aliases(&statement, source)?;
            rewrite::rewrite(&mut statement);
            Kind::Sql(statement)
        }
        other => other,
    })
}

/// sqlparser takes `'a' 'b'` for a value and its alias.
fn refuse_quoted_aliases(statement: &ast::Statement, source: &Source) -> Result<()> {
    struct Quoted;
    impl ast::Visitor for Quoted {
        type Break = ast::Ident;

        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<ast::Ident> {
            for item in &select.projection {
                if let ast::SelectItem::ExprWithAlias { alias, .. } = item
                    && alias.quote_style == Some('\'')
                {
                    return ControlFlow::Break(alias.clone());
                }
            }
            ControlFlow::Continue(())
        }
    }
    match ast::Visit::visit(statement, &mut Quoted) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(alias) => Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{alias}\""))
            .with_position(source.position(alias.span.start))),
    }
}

/// Either sqlparser's errors or ours.
pub(crate) enum Failure {
    Parser(ParserError),
    Sql(Error),
}

impl From<ParserError> for Failure {
    fn from(e: ParserError) -> Self {
        Failure::Parser(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Sql(e)
    }
}

fn parse_kind(parser: &mut Parser<'_>, source: &Source) -> std::result::Result<Kind, Failure> {
    let first = parser.peek_token();
    let Token::Word(word) = &first.token else { return Ok(Kind::Sql(Box::new(parser.parse_statement()?))) };
    match function::next(parser) {
        Some(function::Next::Create) => {
            return Ok(Kind::CreateFunction(Box::new(function::parse_create(parser)?)));
        }
        Some(function::Next::Drop) => return Ok(Kind::DropFunction(Box::new(function::parse_drop(parser)?))),
        None => {}
    }
    match (word.keyword, word.value.to_ascii_uppercase().as_str()) {
        (Keyword::COPY, _) => {
            parser.next_token();
            Ok(Kind::Copy(Box::new(copy::parse(parser)?)))
        }
        (_, "CHECKPOINT") => {
            parser.next_token();
            Ok(Kind::Checkpoint)
        }
        (_, "VACUUM") => {
            parser.next_token();
            Ok(Kind::Vacuum(vacuum::parse(parser)?))
        }
        (_, "REFRESH") => {
            parser.next_token();
            parser.expect_keywords(&[Keyword::MATERIALIZED, Keyword::VIEW])?;
            // Readers never wait for a refresh.
            let _ = parser.parse_keyword(Keyword::CONCURRENTLY);
            Ok(Kind::Refresh(parser.parse_object_name(false)?))
        }
        (Keyword::ALTER, _) if parameters::is_next(parser) => {
            Ok(Kind::AlterParameters(Box::new(parameters::parse(parser)?)))
        }
        (Keyword::CREATE | Keyword::DROP | Keyword::ALTER, _) if trigger::is_next(parser) => {
            Ok(Kind::Trigger(Box::new(trigger::parse(parser)?)))
        }
        (_, "ABORT") => {
            parser.next_token();
            let _ = parser.parse_one_of_keywords(&[Keyword::WORK, Keyword::TRANSACTION]);
            Ok(Kind::Sql(Box::new(ast::Statement::Rollback { chain: false, savepoint: None })))
        }
        (Keyword::SHOW, _) => {
            parser.next_token();
            show(parser, source)
        }
        (Keyword::SELECT | Keyword::WITH | Keyword::VALUES, _) => Ok(Kind::Sql(Box::new(parser.parse_statement()?))),
        _ => Ok(Kind::Sql(Box::new(parser.parse_statement()?))),
    }
}

fn show(parser: &mut Parser<'_>, source: &Source) -> std::result::Result<Kind, Failure> {
    let mut words = Vec::new();
    loop {
        let token = parser.peek_token();
        match &token.token {
            Token::EOF => break,
            Token::Word(word) => words.push(word.value.clone()),
            Token::Period => {}
            _ => return Err(near(&token, source).into()),
        }
        parser.next_token();
    }
    if words.is_empty() {
        return Err(near(&parser.peek_token(), source).into());
    }
    let dotted =
        words.len() == 2 && !words[0].eq_ignore_ascii_case("time") && !words[0].eq_ignore_ascii_case("session");
    let name = words.join(if dotted { "." } else { " " });
    if name.eq_ignore_ascii_case("all") { Ok(Kind::ShowAll) } else { Ok(Kind::Show(name)) }
}

/// `syntax error at or near "…"`.
pub(crate) fn syntax_error_near(token: &TokenWithSpan) -> Error {
    match &token.token {
        Token::EOF => Error::new(SYNTAX_ERROR, "syntax error at end of input"),
        token => Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{token}\"")),
    }
}

fn near(token: &TokenWithSpan, source: &Source) -> Error {
    let position = match token.token {
        Token::EOF => Some(source.script.chars().count() + 1),
        _ => source.position(token.span.start),
    };
    syntax_error_near(token).with_position(position)
}

fn syntax_error(e: &ParserError, parser: &mut Parser<'_>, source: &Source) -> Error {
    match e {
        ParserError::RecursionLimitExceeded => too_deep(),
        ParserError::TokenizerError(text) => Error::new(SYNTAX_ERROR, text.clone()),
        ParserError::ParserError(text) => {
            if let Some((what, location)) = split_location(text) {
                let position = source.position(location);
                let error = match found(what) {
                    Some("EOF") => Error::new(SYNTAX_ERROR, "syntax error at end of input"),
                    Some(token) => Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{token}\"")),
                    None => Error::new(SYNTAX_ERROR, what.to_owned()),
                };
                return error.with_position(position.or(Some(source.script.chars().count() + 1)));
            }
            match found(text) {
                Some("EOF") => Error::new(SYNTAX_ERROR, "syntax error at end of input")
                    .with_position(Some(source.script.chars().count() + 1)),
                _ => {
                    let token = parser.peek_token();
                    let mut error = near(&token, source);
                    error.0.detail = Some(format!("{}.", text.trim_end_matches('.')));
                    error
                }
            }
        }
    }
}

/// The token of `Expected: …, found: token`.
fn found(text: &str) -> Option<&str> {
    text.rfind(", found: ").map(|at| text[at + 9..].trim())
}

/// Cuts ` at Line: 1, Column: 5` off a message.
fn split_location(text: &str) -> Option<(&str, Location)> {
    let at = text.rfind(" at Line: ")?;
    let (line, column) = text[at + 10..].split_once(", Column: ")?;
    Some((&text[..at], Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
}

fn tokenizer_error(e: &datafusion::sql::sqlparser::tokenizer::TokenizerError, source: &Source) -> Error {
    let message = match e.message.as_str() {
        "Unterminated string literal" | "Unterminated encoded string literal" => {
            "unterminated quoted string".to_owned()
        }
        "Unterminated dollar-quoted string" => "unterminated dollar-quoted string".to_owned(),
        m if m.starts_with("Expected close delimiter '\"'") => "unterminated quoted identifier".to_owned(),
        "Unexpected EOF while in a multi-line comment" => "unterminated /* comment".to_owned(),
        m => return Error::new(SYNTAX_ERROR, m.to_lowercase()).with_position(source.position(e.location)),
    };
    // Of comments and dollar quotes the tokenizer reports the end.
    let opening = match message.as_str() {
        "unterminated /* comment" => Some("/*"),
        "unterminated dollar-quoted string" => Some("$"),
        _ => None,
    };
    let start = opening.and_then(|opening| unterminated(&source.script, opening));
    let start = start.unwrap_or_else(|| source.offset(e.location));
    let rest = source.script.get(start..).unwrap_or_default();
    let position = source.script.get(..start).map(|before| before.chars().count() + 1);
    Error::new(SYNTAX_ERROR, format!("{message} at or near \"{rest}\"")).with_position(position)
}

/// Places [`unterminated`] looks at.
const OPENINGS_MAX: usize = 1000;

/// Where what never ends begins: the first opening before which all is well and after which nothing is.
fn unterminated(script: &str, opening: &str) -> Option<usize> {
    script
        .match_indices(opening)
        .map(|(at, _)| at)
        .take(OPENINGS_MAX)
        .find(|at| tokenize(&script[..*at]).is_ok() && !ends(script, *at))
}

/// Whether the comment or dollar quote at `start` ends.
fn ends(script: &str, start: usize) -> bool {
    let rest = &script[start..];
    if let Some(body) = rest.strip_prefix("/*") {
        let mut depth = 1;
        let mut at = 0;
        while depth > 0 {
            let Some(found) = body[at..].find(['*', '/']) else { return false };
            at += found;
            if body[at..].starts_with("*/") {
                depth -= 1;
                at += 2;
            } else if body[at..].starts_with("/*") {
                depth += 1;
                at += 2;
            } else {
                at += 1;
            }
        }
        return true;
    }
    let Some(end) = rest[1..].find('$') else { return true };
    let (tag, body) = rest.split_at(end + 2);
    let name = &tag[1..=end];
    let quotes =
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    !quotes || body.contains(tag)
}

/// Refuses what follows a number without a space: `1a`, `0x1F`.
fn check_numbers(tokens: &[TokenWithSpan], source: &Source) -> Result<()> {
    for (index, token) in tokens.iter().enumerate() {
        let junk = match &token.token {
            Token::Number(number, _) => match tokens.get(index + 1) {
                Some(next) if next.span.start == token.span.end => match &next.token {
                    Token::Word(word) if word.quote_style.is_none() => Some(format!("{number}{}", word.value)),
                    _ => None,
                },
                _ => None,
            },
            Token::HexStringLiteral(digits) => {
                let written = source.script.get(source.offset(token.span.start)..).unwrap_or_default();
                written.starts_with('0').then(|| format!("0x{digits}"))
            }
            _ => None,
        };
        if let Some(junk) = junk {
            let message = format!("trailing junk after numeric literal at or near \"{junk}\"");
            return Err(Error::new(SYNTAX_ERROR, message).with_position(source.position(token.span.start)));
        }
    }
    Ok(())
}

/// `54001`.
pub(crate) fn too_deep() -> Error {
    Error::new(STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        .with_detail("The statement is nested too deep.")
        .with_hint("Split the statement, or write long lists of alternatives with IN or a VALUES list.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_at_semicolons_outside_strings() {
        let statements = parse_script("select ';' ; ; select 2;").unwrap();
        let texts: Vec<&str> = statements.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["select ';'", "select 2"]);
    }

    #[test]
    fn syntax_errors_name_the_place() {
        let e = parse_script("select 1;\nselec 2").unwrap_err();
        assert_eq!((e.state().0, e.message(), e.0.position), ("42601", "syntax error at or near \"selec\"", Some(11)));
        let e = parse_script("select * from").unwrap_err();
        assert_eq!(e.message(), "syntax error at end of input");
    }

    #[test]
    fn deep_nesting_is_refused() {
        for sql in [
            format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
            format!("select 1{}", " + 1".repeat(10_000)),
            format!("select {}true", "not ".repeat(10_000)),
            format!("select {}1", "- ".repeat(10_000)),
            format!("select 1{}", " union all select 1".repeat(10_000)),
            format!("select {}1{}", "case when true then ".repeat(10_000), " end".repeat(10_000)),
            format!("select 1{}", "::int".repeat(10_000)),
        ] {
            assert_eq!(parse_script(&sql).unwrap_err().state().0, "54001", "{}", &sql[..40]);
        }
        assert!(parse_script(&format!("select 1 where true{}", " or 1 = 2".repeat(2_000))).is_ok());
    }

    #[test]
    fn names_before_as_are_taken_out() {
        let names = |sql: &str| parse_script(sql).unwrap().remove(0).column_names;
        assert_eq!(names("create table t (a, \"B\") as select 1, 2"), ["a", "B"]);
        assert!(names("create table t as select f(a) as x from u").is_empty());
        assert!(names("create table t (a int)").is_empty());
    }

    #[test]
    fn nested_calls_take_linear_time() {
        let sql = format!("select {}1{}", "abs(".repeat(40), ")".repeat(40));
        assert!(parse_script(&sql).is_ok());
        assert!(parse_script("select make_interval(days => 3), f(a := 1)").is_ok());
    }

    #[test]
    fn names_are_found_again_for_errors() {
        let parsed = parse_script("select 1; select  nix from t").unwrap();
        assert_eq!(parsed[1].position_of("nix"), Some(19));
    }
}
