//! SET, RESET, SHOW, DISCARD.

use super::{control, done};
use crate::error::{Error, Result};
use crate::extension::quoted;
use crate::outcome::{Outcome, RowStream};
use crate::session::Run;
use crate::settings::Settings;
use crate::sqlstate::{ACTIVE_SQL_TRANSACTION, NO_ACTIVE_SQL_TRANSACTION, SYNTAX_ERROR, UNDEFINED_OBJECT};
use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{
    ContextModifier, DiscardObject, Expr, ObjectName, Reset, ResetStatement, Set, UnaryOperator, Value,
};
use std::sync::Arc;

/// SET.
pub(super) fn set(run: &Run, set: &Set) -> Result<Outcome> {
    match set {
        Set::SingleAssignment { scope, variable, values, .. } => assign(run, scope.as_ref(), variable, values)?,
        Set::SetTimeZone { local, value } => {
            let text = value_text(value)?;
            apply(run, "timezone", Some(&text), *local)?;
        }
        Set::SetNames { charset_name, .. } => apply(run, "client_encoding", Some(&charset_name.value), false)?,
        Set::SetNamesDefault {} => apply(run, "client_encoding", None, false)?,
        Set::SetTransaction { modes, snapshot, session } => {
            if snapshot.is_some() {
                return Err(Error::unsupported("SET TRANSACTION SNAPSHOT"));
            }
            control::set_transaction(run, modes, *session)?;
        }
        Set::SetRole { role_name, .. } => {
            let own = role_name.as_ref().is_none_or(|name| name.value == run.session.info.user);
            if !own {
                return Err(Error::unsupported("SET ROLE"));
            }
        }
        Set::SetSessionAuthorization(_) => return Err(Error::unsupported("SET SESSION AUTHORIZATION")),
        _ => return Err(Error::unsupported("this form of SET")),
    }
    Ok(done("SET"))
}

fn assign(run: &Run, scope: Option<&ContextModifier>, variable: &ObjectName, values: &[Expr]) -> Result<()> {
    let name = name_text(variable);
    let local = matches!(scope, Some(ContextModifier::Local));
    if let [Expr::Identifier(ident)] = values
        && ident.quote_style.is_none()
        && ident.value.eq_ignore_ascii_case("default")
    {
        return apply(run, &name, None, local);
    }
    let list = name.eq_ignore_ascii_case("search_path");
    let texts: Vec<String> =
        values.iter().map(|v| if list { list_element(v) } else { value_text(v) }).collect::<Result<_>>()?;
    apply(run, &name, Some(&texts.join(", ")), local)
}

fn apply(run: &Run, name: &str, value: Option<&str>, local: bool) -> Result<()> {
    let settings = &run.session.info.settings;
    if local && !run.session.transactions.in_block() {
        run.session.warn(NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks");
        return Ok(());
    }
    match value {
        Some(value) => settings.set(name, value, local),
        None => settings.reset(name),
    }
}

fn name_text(name: &ObjectName) -> String {
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.clone()).collect();
    parts.join(".")
}

/// A value of SET as text.
fn value_text(value: &Expr) -> Result<String> {
    Ok(match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::DoubleQuotedString(text) => {
                text.clone()
            }
            Value::Number(number, _) => number.clone(),
            Value::Boolean(value) => value.to_string(),
            other => other.to_string(),
        },
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(idents) => idents.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join("."),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{}", value_text(expr)?),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => value_text(expr)?,
        other => return Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{other}\""))),
    })
}

/// An element of a list of identifiers, quoted when it must be.
fn list_element(value: &Expr) -> Result<String> {
    let text = match value {
        Expr::Identifier(ident) => super::target::folded(ident),
        Expr::Value(v) => match &v.value {
            // One string may hold the whole list, as `SET search_path TO 'a, b'` does not, but pg_dump's '' does.
            Value::SingleQuotedString(text) if text.is_empty() => return Ok("\"\"".to_owned()),
            _ => value_text(value)?,
        },
        other => value_text(other)?,
    };
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    Ok(if plain { text } else { quoted(&text) })
}

/// RESET.
pub(super) fn reset(run: &Run, reset: &ResetStatement) -> Result<Outcome> {
    let settings = &run.session.info.settings;
    match &reset.reset {
        Reset::ALL => settings.reset_all(),
        Reset::ConfigurationParameter(name) => settings.reset(&name_text(name))?,
    }
    Ok(done("RESET"))
}

/// DISCARD.
pub(super) fn discard(run: &Run, what: &DiscardObject) -> Result<Outcome> {
    let session = &run.session;
    if matches!(what, DiscardObject::ALL) {
        if session.transactions.in_block() && !session.transactions.is_implicit() {
            return Err(Error::new(ACTIVE_SQL_TRANSACTION, "DISCARD ALL cannot run inside a transaction block"));
        }
        session.info.settings.reset_all();
        session.prepared.lock().clear();
    }
    Ok(done(format!("DISCARD {what}")))
}

/// SHOW name.
pub(super) fn show(run: &Run, name: &str) -> Result<Outcome> {
    // A statement outside a block is a transaction of its own.
    let is_explicit = run.session.transactions.in_block() && !run.session.transactions.is_implicit();
    let shown = match name.to_lowercase().as_str() {
        "transaction_isolation" | "transaction_read_only" if !is_explicit => format!("default_{name}"),
        _ => name.to_owned(),
    };
    let value = run.session.info.settings.get(&shown).ok_or_else(|| {
        Error::new(UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{}\"", name.to_lowercase()))
    })?;
    let title = Settings::display_name(name);
    text_rows(&[&title], vec![vec![value]], "SHOW")
}

/// SHOW ALL.
pub(super) fn show_all(run: &Run) -> Result<Outcome> {
    let rows = run.session.info.settings.all();
    let columns = vec![
        rows.iter().map(|r| r.name.clone()).collect(),
        rows.iter().map(|r| r.value.clone()).collect(),
        rows.iter().map(|r| r.description.to_owned()).collect(),
    ];
    text_rows(&["name", "setting", "description"], columns, "SHOW")
}

/// Columns of text as a result.
pub(crate) fn text_rows(names: &[&str], columns: Vec<Vec<String>>, tag: &str) -> Result<Outcome> {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8View, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays: Vec<ArrayRef> =
        columns.into_iter().map(|c| Arc::new(StringViewArray::from_iter_values(c)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let batches = Box::pin(futures::stream::iter([Ok(batch)]));
    Ok(Outcome::Rows(RowStream { schema, batches, tag: tag.to_owned() }))
}
