//! CREATE FUNCTION and CREATE AGGREGATE, DROP FUNCTION and DROP AGGREGATE.
//!
//! sqlparser knows neither two texts behind AS, nor SETOF, nor options in PostgreSQL's order. `CREATE AGGREGATE` here is CREATE
//! FUNCTION with another word: aggregates are written in a language like functions, not put together of other functions.

use super::names::folded;
use super::parameters::{self, Change};
use super::{Failure, keyword, syntax_error_near};
use crate::error::Error;
use crate::sqlstate::SYNTAX_ERROR;
use datafusion::sql::sqlparser::ast::{DataType, Expr, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_catalog::Volatility;

/// A function to be.
#[derive(Clone, Debug)]
pub(crate) struct CreateFunction {
    pub(crate) or_replace: bool,
    pub(crate) is_aggregate: bool,
    pub(crate) name: ObjectName,
    pub(crate) arguments: Vec<WrittenArgument>,
    pub(crate) returns: Option<WrittenReturns>,
    pub(crate) language: Option<String>,
    pub(crate) volatility: Option<Volatility>,
    pub(crate) is_strict: bool,
    pub(crate) body: Body,
    pub(crate) options: Vec<Change>,
}

/// What a function is made of.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Nothing was said.
    None,
    /// The texts that follow AS.
    Texts(Vec<String>),
    /// RETURN expression.
    Return(Box<Expr>),
}

/// An argument, or a column of RETURNS TABLE.
#[derive(Clone, Debug)]
pub(crate) struct WrittenArgument {
    pub(crate) name: Option<String>,
    pub(crate) data_type: DataType,
}

/// RETURNS.
#[derive(Clone, Debug)]
pub(crate) enum WrittenReturns {
    Value(DataType),
    SetOf(DataType),
    Table(Vec<WrittenArgument>),
    Trigger,
}

/// Functions to drop.
#[derive(Clone, Debug)]
pub(crate) struct DropFunction {
    pub(crate) is_aggregate: bool,
    pub(crate) if_exists: bool,
    pub(crate) cascade: bool,
    /// Each with the types of its arguments, when they are written.
    pub(crate) functions: Vec<(ObjectName, Option<Vec<DataType>>)>,
}

/// What the words that come next begin.
pub(super) enum Next {
    Create,
    Drop,
}

/// Whether such a statement comes next.
pub(super) fn next(parser: &Parser<'_>) -> Option<Next> {
    let token = |at| parser.peek_nth_token(at);
    let (next, mut at) = match keyword(&token(0)) {
        Keyword::CREATE => (Next::Create, 1),
        Keyword::DROP => (Next::Drop, 1),
        _ => return None,
    };
    if matches!(next, Next::Create) && (keyword(&token(1)), keyword(&token(2))) == (Keyword::OR, Keyword::REPLACE) {
        at = 3;
    }
    is_kind(&token(at)).then_some(next)
}

fn is_kind(token: &TokenWithSpan) -> bool {
    says(token, "function") || says(token, "aggregate")
}

fn says(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// Takes a word when it comes next.
fn take(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let is_next = says(&parser.peek_token(), wanted);
    if is_next {
        parser.next_token();
    }
    is_next
}

fn expect(parser: &mut Parser<'_>, wanted: &str) -> Result<(), Failure> {
    if take(parser, wanted) { Ok(()) } else { Err(syntax_error_near(&parser.peek_token()).into()) }
}

/// Takes FUNCTION or AGGREGATE; whether it was the latter.
fn kind(parser: &mut Parser<'_>) -> bool {
    says(&parser.next_token(), "aggregate")
}

/// Reads DROP.
pub(super) fn parse_drop(parser: &mut Parser<'_>) -> Result<DropFunction, Failure> {
    parser.expect_keyword(Keyword::DROP)?;
    let is_aggregate = kind(parser);
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let mut functions = Vec::new();
    loop {
        let name = parser.parse_object_name(false)?;
        let arguments = match parser.peek_token().token {
            Token::LParen => Some(arguments(parser)?.into_iter().map(|argument| argument.data_type).collect()),
            _ => None,
        };
        functions.push((name, arguments));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let cascade = parser.parse_keyword(Keyword::CASCADE);
    if !cascade {
        let _ = parser.parse_keyword(Keyword::RESTRICT);
    }
    Ok(DropFunction { is_aggregate, if_exists, cascade, functions })
}

/// Reads CREATE.
pub(super) fn parse_create(parser: &mut Parser<'_>) -> Result<CreateFunction, Failure> {
    parser.expect_keyword(Keyword::CREATE)?;
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    let is_aggregate = kind(parser);
    let mut function = CreateFunction {
        or_replace,
        is_aggregate,
        name: parser.parse_object_name(false)?,
        arguments: arguments(parser)?,
        returns: None,
        language: None,
        volatility: None,
        is_strict: false,
        body: Body::None,
        options: Vec::new(),
    };
    loop {
        let token = parser.peek_token();
        match &token.token {
            Token::EOF | Token::SemiColon => break,
            Token::Word(word) if word.quote_style.is_none() => {
                let word = word.value.to_lowercase();
                parser.next_token();
                clause(parser, &mut function, &word, &token)?;
            }
            _ => return Err(syntax_error_near(&token).into()),
        }
    }
    Ok(function)
}

fn twice() -> Failure {
    Error::new(SYNTAX_ERROR, "conflicting or redundant options").into()
}

/// Reads what follows the first word of a clause.
fn clause(
    parser: &mut Parser<'_>,
    function: &mut CreateFunction,
    word: &str,
    token: &TokenWithSpan,
) -> Result<(), Failure> {
    let set_volatility = |function: &mut CreateFunction, volatility| match function.volatility.replace(volatility) {
        None => Ok(()),
        Some(_) => Err(twice()),
    };
    match word {
        "returns" if take(parser, "null") => {
            for word in ["on", "null", "input"] {
                expect(parser, word)?;
            }
            function.is_strict = true;
        }
        "returns" => match function.returns.replace(returns(parser)?) {
            None => {}
            Some(_) => return Err(twice()),
        },
        "language" => {
            let token = parser.next_token();
            let name = match token.token {
                Token::Word(word) => folded(&word.into_ident(token.span)),
                Token::SingleQuotedString(text) => text.to_lowercase(),
                _ => return Err(syntax_error_near(&token).into()),
            };
            if function.language.replace(name).is_some() {
                return Err(twice());
            }
        }
        "immutable" => set_volatility(function, Volatility::Immutable)?,
        "stable" => set_volatility(function, Volatility::Stable)?,
        "volatile" => set_volatility(function, Volatility::Volatile)?,
        "strict" => function.is_strict = true,
        "called" => {
            for word in ["on", "null", "input"] {
                expect(parser, word)?;
            }
            function.is_strict = false;
        }
        // What these promise makes no difference.
        "leakproof" => {}
        "not" => expect(parser, "leakproof")?,
        "parallel" | "cost" | "rows" => drop(parser.next_token()),
        "as" => {
            let mut texts = vec![text(parser)?];
            while parser.consume_token(&Token::Comma) {
                texts.push(text(parser)?);
            }
            set_body(function, Body::Texts(texts))?;
        }
        "return" => {
            let expr = parser.parse_expr()?;
            set_body(function, Body::Return(Box::new(expr)))?;
        }
        "with" => function.options.extend(parameters::set(parser)?),
        "external" | "security" => {
            let _ = take(parser, "security");
            if take(parser, "definer") {
                return Err(Error::unsupported("SECURITY DEFINER").into());
            }
            expect(parser, "invoker")?;
        }
        "begin" => return Err(Error::unsupported("CREATE FUNCTION with BEGIN ATOMIC").into()),
        "window" => return Err(Error::unsupported("CREATE FUNCTION with WINDOW").into()),
        "transform" | "set" | "support" => {
            return Err(Error::unsupported(format!("CREATE FUNCTION with {}", word.to_uppercase())).into());
        }
        _ => return Err(syntax_error_near(token).into()),
    }
    Ok(())
}

fn set_body(function: &mut CreateFunction, body: Body) -> Result<(), Failure> {
    match std::mem::replace(&mut function.body, body) {
        Body::None => Ok(()),
        _ => Err(twice()),
    }
}

fn text(parser: &mut Parser<'_>) -> Result<String, Failure> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(text),
        Token::DollarQuotedString(text) => Ok(text.value),
        _ => Err(syntax_error_near(&token).into()),
    }
}

fn returns(parser: &mut Parser<'_>) -> Result<WrittenReturns, Failure> {
    if take(parser, "trigger") {
        return Ok(WrittenReturns::Trigger);
    }
    if take(parser, "table") {
        return Ok(WrittenReturns::Table(arguments(parser)?));
    }
    if take(parser, "setof") {
        return Ok(WrittenReturns::SetOf(parser.parse_data_type()?));
    }
    Ok(WrittenReturns::Value(parser.parse_data_type()?))
}

/// `([name] type, …)`.
fn arguments(parser: &mut Parser<'_>) -> Result<Vec<WrittenArgument>, Failure> {
    parser.expect_token(&Token::LParen)?;
    let mut arguments = Vec::new();
    if parser.consume_token(&Token::RParen) {
        return Ok(arguments);
    }
    loop {
        arguments.push(argument(parser)?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(arguments)
}

fn argument(parser: &mut Parser<'_>) -> Result<WrittenArgument, Failure> {
    for mode in ["out", "inout", "variadic"] {
        if says(&parser.peek_token(), mode) && matches!(parser.peek_nth_token(1).token, Token::Word(_)) {
            return Err(Error::unsupported(format!("{} arguments of functions", mode.to_uppercase())).into());
        }
    }
    if says(&parser.peek_token(), "in") {
        parser.next_token();
    }
    // `double precision` is a type, `a bigint` a name and a type: what is followed by the next argument is one.
    let alone = parser.maybe_parse(|parser| {
        let data_type = parser.parse_data_type()?;
        match parser.peek_token().token {
            Token::Comma | Token::RParen => Ok(data_type),
            _ => parser.expected("an argument", parser.peek_token()),
        }
    })?;
    let argument = match alone {
        Some(data_type) => WrittenArgument { name: None, data_type },
        None => {
            let name = folded(&parser.parse_identifier()?);
            WrittenArgument { name: Some(name), data_type: parser.parse_data_type()? }
        }
    };
    if parser.peek_token().token == Token::Eq || says(&parser.peek_token(), "default") {
        return Err(Error::unsupported("default values of function arguments").into());
    }
    Ok(argument)
}

#[cfg(test)]
mod tests {
    use crate::parser::{Kind, parse_script};

    fn created(sql: &str) -> super::CreateFunction {
        match parse_script(sql).unwrap().remove(0).kind {
            Kind::CreateFunction(create) => *create,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_have_names_or_have_not() {
        let create = created(
            "create function f(a bigint, double precision, \"B\" character varying(3), int[]) returns int as 'x', 'y'",
        );
        let names: Vec<Option<&str>> = create.arguments.iter().map(|argument| argument.name.as_deref()).collect();
        assert_eq!(names, [Some("a"), None, Some("B"), None]);
        let super::Body::Texts(texts) = create.body else { panic!() };
        assert_eq!(texts, ["x", "y"]);
    }

    #[test]
    fn clauses_come_in_any_order() {
        let create = created(
            "create or replace function s.f() strict as $$a;b$$ immutable language WASM returns setof text with (abi = 'batch', fuel = 10)",
        );
        assert!(create.or_replace && create.is_strict);
        assert_eq!(create.language.as_deref(), Some("wasm"));
        assert_eq!(create.options.len(), 2);
    }

    #[test]
    fn functions_are_dropped_by_name_or_signature() {
        match parse_script("drop function if exists f(int, text), g cascade").unwrap().remove(0).kind {
            Kind::DropFunction(drop) => {
                let counts: Vec<Option<usize>> =
                    drop.functions.iter().map(|(_, arguments)| arguments.as_ref().map(Vec::len)).collect();
                assert_eq!(counts, [Some(2), None]);
                assert!(drop.if_exists && drop.cascade);
            }
            other => panic!("{other:?}"),
        }
    }
}
