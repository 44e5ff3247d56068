//! CREATE TRIGGER, DROP TRIGGER, ALTER TRIGGER … RENAME and ALTER TABLE … ENABLE or DISABLE TRIGGER.
//!
//! Read from words: sqlparser takes FOR EACH for granted, has no UPDATE OF beside other events as PostgreSQL writes it, and keeps no
//! arguments of the function. The condition of WHEN is kept as text.

use super::names::folded;
use super::{Failure, keyword, syntax_error_near};
use crate::error::Error;
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, SYNTAX_ERROR};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_catalog::{TriggerEvent, TriggerLevel, TriggerTiming};

/// One of these statements.
#[derive(Clone, Debug)]
pub(crate) enum TriggerStatement {
    /// CREATE TRIGGER.
    Create(Box<NewTrigger>),
    /// DROP TRIGGER.
    Drop { name: String, table: ObjectName, if_exists: bool },
    /// ALTER TRIGGER … RENAME TO.
    Rename { name: String, table: ObjectName, to: String },
    /// ALTER TABLE … ENABLE or DISABLE TRIGGER.
    Switch { table: ObjectName, if_exists: bool, which: Which, is_disabled: bool },
}

impl TriggerStatement {
    /// The tag of the statement.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            TriggerStatement::Create(_) => "CREATE TRIGGER",
            TriggerStatement::Drop { .. } => "DROP TRIGGER",
            TriggerStatement::Rename { .. } => "ALTER TRIGGER",
            TriggerStatement::Switch { .. } => "ALTER TABLE",
        }
    }
}

/// Which triggers are switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    Named(String),
}

/// A trigger to be, names not looked up.
#[derive(Clone, Debug)]
pub(crate) struct NewTrigger {
    pub(crate) or_replace: bool,
    pub(crate) name: String,
    pub(crate) timing: TriggerTiming,
    pub(crate) events: Vec<TriggerEvent>,
    /// The columns of UPDATE OF.
    pub(crate) update_of: Vec<String>,
    pub(crate) table: ObjectName,
    pub(crate) old_table: Option<String>,
    pub(crate) new_table: Option<String>,
    pub(crate) level: TriggerLevel,
    pub(crate) condition: Option<Expr>,
    pub(crate) function: ObjectName,
    pub(crate) arguments: Vec<String>,
}

/// Whether such a statement comes next.
pub(super) fn is_next(parser: &Parser<'_>) -> bool {
    let word = |at| keyword(&parser.peek_nth_token(at));
    match (word(0), word(1)) {
        (Keyword::CREATE, Keyword::TRIGGER) | (Keyword::DROP | Keyword::ALTER, Keyword::TRIGGER) => true,
        (Keyword::CREATE, Keyword::CONSTRAINT) => word(2) == Keyword::TRIGGER,
        (Keyword::CREATE, Keyword::OR) => {
            word(3) == Keyword::TRIGGER || (word(3), word(4)) == (Keyword::CONSTRAINT, Keyword::TRIGGER)
        }
        (Keyword::ALTER, Keyword::TABLE) => switches(parser),
        _ => false,
    }
}

/// Whether ALTER TABLE's action is ENABLE or DISABLE.
fn switches(parser: &Parser<'_>) -> bool {
    let token = |at| parser.peek_nth_token(at);
    let mut at = if (keyword(&token(2)), keyword(&token(3))) == (Keyword::IF, Keyword::EXISTS) { 4 } else { 2 };
    if keyword(&token(at)) == Keyword::ONLY {
        at += 1;
    }
    at += 1;
    while token(at).token == Token::Period {
        at += 2;
    }
    if token(at).token == Token::Mul {
        at += 1;
    }
    if !says(&token(at), "ENABLE") && !says(&token(at), "DISABLE") {
        return false;
    }
    let kind = token(at + 1);
    says(&kind, "TRIGGER") || (says(&kind, "ALWAYS") || says(&kind, "REPLICA")) && says(&token(at + 2), "TRIGGER")
}

fn says(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// Takes a word if it comes next.
fn take(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let found = says(&parser.peek_token(), wanted);
    if found {
        parser.next_token();
    }
    found
}

fn expect(parser: &mut Parser<'_>, wanted: &str) -> Result<(), Failure> {
    if take(parser, wanted) { Ok(()) } else { Err(syntax_error_near(&parser.peek_token()).into()) }
}

fn name(parser: &mut Parser<'_>) -> Result<String, Failure> {
    Ok(folded(&parser.parse_identifier()?))
}

/// Reads the statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<TriggerStatement, Failure> {
    match keyword(&parser.next_token()) {
        Keyword::CREATE => create(parser),
        Keyword::DROP => {
            expect(parser, "TRIGGER")?;
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let name = name(parser)?;
            expect(parser, "ON")?;
            let table = parser.parse_object_name(false)?;
            // Nothing depends on a trigger.
            let _ = parser.parse_one_of_keywords(&[Keyword::CASCADE, Keyword::RESTRICT]);
            Ok(TriggerStatement::Drop { name, table, if_exists })
        }
        _ if take(parser, "TRIGGER") => {
            let name = name(parser)?;
            expect(parser, "ON")?;
            let table = parser.parse_object_name(false)?;
            if !take(parser, "RENAME") {
                return Err(Error::unsupported("ALTER TRIGGER other than RENAME TO").into());
            }
            expect(parser, "TO")?;
            Ok(TriggerStatement::Rename { name, table, to: self::name(parser)? })
        }
        _ => switch(parser),
    }
}

fn switch(parser: &mut Parser<'_>) -> Result<TriggerStatement, Failure> {
    parser.expect_keyword(Keyword::TABLE)?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let _ = parser.parse_keyword(Keyword::ONLY);
    let table = parser.parse_object_name(false)?;
    let _ = parser.consume_token(&Token::Mul);
    let is_disabled = says(&parser.next_token(), "DISABLE");
    if !take(parser, "TRIGGER") {
        let word = parser.next_token();
        return Err(Error::unsupported(format!("ALTER TABLE … ENABLE {} TRIGGER", word.token)).into());
    }
    let which = match says(&parser.peek_token(), "ALL") || says(&parser.peek_token(), "USER") {
        true => {
            parser.next_token();
            Which::All
        }
        false => Which::Named(name(parser)?),
    };
    Ok(TriggerStatement::Switch { table, if_exists, which, is_disabled })
}

fn create(parser: &mut Parser<'_>) -> Result<TriggerStatement, Failure> {
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    if parser.parse_keyword(Keyword::CONSTRAINT) {
        return Err(Error::unsupported("CREATE CONSTRAINT TRIGGER").into());
    }
    expect(parser, "TRIGGER")?;
    let name = name(parser)?;
    let timing = if take(parser, "BEFORE") {
        TriggerTiming::Before
    } else if take(parser, "AFTER") {
        TriggerTiming::After
    } else if take(parser, "INSTEAD") {
        return Err(Error::unsupported("INSTEAD OF").into());
    } else {
        return Err(syntax_error_near(&parser.peek_token()).into());
    };
    let (events, update_of) = events(parser)?;
    expect(parser, "ON")?;
    let table = parser.parse_object_name(false)?;
    let (old_table, new_table) = if take(parser, "REFERENCING") { referencing(parser)? } else { (None, None) };
    let level = if take(parser, "FOR") {
        let _ = take(parser, "EACH");
        if take(parser, "ROW") {
            TriggerLevel::Row
        } else {
            expect(parser, "STATEMENT")?;
            TriggerLevel::Statement
        }
    } else {
        TriggerLevel::Statement
    };
    let condition = match take(parser, "WHEN") {
        false => None,
        true => {
            parser.expect_token(&Token::LParen)?;
            let condition = parser.parse_expr()?;
            parser.expect_token(&Token::RParen)?;
            Some(condition)
        }
    };
    expect(parser, "EXECUTE")?;
    if !take(parser, "FUNCTION") {
        expect(parser, "PROCEDURE")?;
    }
    let function = parser.parse_object_name(false)?;
    let arguments = arguments(parser)?;
    Ok(TriggerStatement::Create(Box::new(NewTrigger {
        or_replace,
        name,
        timing,
        events,
        update_of,
        table,
        old_table,
        new_table,
        level,
        condition,
        function,
        arguments,
    })))
}

fn events(parser: &mut Parser<'_>) -> Result<(Vec<TriggerEvent>, Vec<String>), Failure> {
    let mut events = Vec::new();
    let mut columns = Vec::new();
    loop {
        let token = parser.next_token();
        let event = match keyword(&token) {
            Keyword::INSERT => TriggerEvent::Insert,
            Keyword::UPDATE => TriggerEvent::Update,
            Keyword::DELETE => TriggerEvent::Delete,
            Keyword::TRUNCATE => TriggerEvent::Truncate,
            _ => return Err(syntax_error_near(&token).into()),
        };
        if events.contains(&event) {
            return Err(Error::new(SYNTAX_ERROR, "duplicate trigger events specified").into());
        }
        events.push(event);
        if event == TriggerEvent::Update && take(parser, "OF") {
            columns.push(name(parser)?);
            while parser.consume_token(&Token::Comma) {
                columns.push(name(parser)?);
            }
        }
        if !take(parser, "OR") {
            return Ok((events, columns));
        }
    }
}

/// The names of the transition tables, of OLD and of NEW.
fn referencing(parser: &mut Parser<'_>) -> Result<(Option<String>, Option<String>), Failure> {
    let (mut old, mut new) = (None, None);
    loop {
        let is_new = if take(parser, "NEW") {
            true
        } else if take(parser, "OLD") {
            false
        } else {
            break;
        };
        if !take(parser, "TABLE") {
            if take(parser, "ROW") {
                let message = "ROW variable naming in the REFERENCING clause is not supported";
                let hint = "Use OLD TABLE or NEW TABLE for naming transition tables.";
                return Err(Error::new(FEATURE_NOT_SUPPORTED, message).with_hint(hint).into());
            }
            return Err(syntax_error_near(&parser.peek_token()).into());
        }
        let _ = take(parser, "AS");
        let slot = if is_new { &mut new } else { &mut old };
        if slot.is_some() {
            let which = if is_new { "NEW" } else { "OLD" };
            return Err(invalid(format!("{which} TABLE cannot be specified multiple times")).into());
        }
        *slot = Some(name(parser)?);
    }
    if old.is_none() && new.is_none() {
        return Err(syntax_error_near(&parser.peek_token()).into());
    }
    Ok((old, new))
}

fn invalid(message: String) -> Error {
    Error::new(crate::sqlstate::INVALID_OBJECT_DEFINITION, message)
}

/// `('text', 1, word, …)`: literals, all kept as text.
fn arguments(parser: &mut Parser<'_>) -> Result<Vec<String>, Failure> {
    parser.expect_token(&Token::LParen)?;
    let mut arguments = Vec::new();
    if parser.consume_token(&Token::RParen) {
        return Ok(arguments);
    }
    loop {
        let sign = if parser.consume_token(&Token::Minus) { "-" } else { "" };
        let token = parser.next_token();
        arguments.push(match &token.token {
            Token::Number(digits, _) => format!("{sign}{digits}"),
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) if sign.is_empty() => text.clone(),
            Token::DollarQuotedString(text) if sign.is_empty() => text.value.clone(),
            Token::Word(word) if sign.is_empty() && word.quote_style.is_none() => word.value.to_lowercase(),
            Token::Word(word) if sign.is_empty() => word.value.clone(),
            _ => return Err(syntax_error_near(&token).into()),
        });
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            return Ok(arguments);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, parse_script};
    use super::*;

    fn parsed(sql: &str) -> TriggerStatement {
        match parse_script(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).remove(0).kind {
            Kind::Trigger(statement) => *statement,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_of_create_trigger_is_read() {
        let statement = parsed(
            "create or replace trigger t before insert or update of a, \"B\" or delete on s.tab for row when (new.a > 1) \
             execute procedure f('x', 1, -2.5, word)",
        );
        let TriggerStatement::Create(new) = statement else { panic!() };
        assert!(new.or_replace);
        assert_eq!(new.events, [TriggerEvent::Insert, TriggerEvent::Update, TriggerEvent::Delete]);
        assert_eq!((new.update_of, new.level), (vec!["a".to_owned(), "B".to_owned()], TriggerLevel::Row));
        assert_eq!(new.condition.map(|c| c.to_string()).as_deref(), Some("new.a > 1"));
        assert_eq!(new.arguments, ["x", "1", "-2.5", "word"]);
        let statement = parsed(
            "create trigger t after update on tab referencing new table as n old table o execute function s.f()",
        );
        let TriggerStatement::Create(new) = statement else { panic!() };
        assert_eq!((new.old_table.as_deref(), new.new_table.as_deref()), (Some("o"), Some("n")));
        assert_eq!((new.level, new.function.to_string().as_str()), (TriggerLevel::Statement, "s.f"));
    }

    #[test]
    fn the_others_are_read() {
        assert!(matches!(
            parsed("drop trigger if exists t on tab cascade"),
            TriggerStatement::Drop { if_exists: true, .. }
        ));
        assert!(matches!(parsed("alter trigger t on tab rename to u"), TriggerStatement::Rename { .. }));
        let statement = parsed("alter table s.tab disable trigger all");
        assert!(matches!(statement, TriggerStatement::Switch { which: Which::All, is_disabled: true, .. }));
        let statement = parsed("alter table tab enable trigger t");
        assert!(matches!(statement, TriggerStatement::Switch { which: Which::Named(_), is_disabled: false, .. }));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let state = |sql: &str| parse_script(sql).unwrap_err().state().0;
        assert_eq!(state("create trigger t before insert or insert on tab execute function f()"), "42601");
        assert_eq!(state("create trigger t instead of insert on tab execute function f()"), "0A000");
        assert_eq!(
            state("create trigger t after insert on tab referencing new row as n execute function f()"),
            "0A000"
        );
        assert_eq!(state("create trigger t after insert on tab execute f()"), "42601");
    }
}
