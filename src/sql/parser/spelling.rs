//! Spellings of expressions that DataFusion's planner does not know, as calls and casts that it does:
//! `INTERVAL '1' DAY`, `AT TIME ZONE`, `SIMILAR TO`, `LOCALTIMESTAMP`, `U&'…'`, `x = ANY(array)`.

use crate::error::Result;
use crate::text::interval::{Fields, Unit, interval_of};
use crate::text::{interval_text, similar};
use crate::type_names::sql_type;
use crate::types;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, DataType, DateTimeField, Expr, FunctionArguments, Ident, Interval, TimezoneInfo,
    Value, ValueWithSpan, WindowFrameBound,
};

use std::ops::ControlFlow;

/// Longest list of alternatives that `op ANY(ARRAY[…])` is written out as.
const ALTERNATIVES_MAX: usize = 64;

/// Rewrites one expression whose parts were rewritten already.
pub(crate) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Value(ValueWithSpan { value, .. }) => {
            if let Value::UnicodeStringLiteral(text) = value {
                *value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::Interval(interval) => {
            if let Some(literal) = interval_literal(interval)? {
                *expr = literal;
            }
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![take(time_zone), take(timestamp)]);
        }
        Expr::SimilarTo { negated, expr: text, pattern, escape_char } => {
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            let escape = escape_char.take();
            let pattern = match (string(pattern), escape.as_ref().map(|value| value_string(&value.value))) {
                (Some(pattern), None) => literal(similar::similar_to_escape(pattern, None)?),
                (Some(pattern), Some(Some(escape))) => literal(similar::similar_to_escape(pattern, Some(escape))?),
                _ => {
                    let escape = escape.map(Expr::Value);
                    call("similar_to_escape", std::iter::once(take(pattern)).chain(escape).collect())
                }
            };
            *expr = Expr::BinaryOp { left: Box::new(take(text)), op, right: Box::new(pattern) };
        }
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
            if let Some(alternatives) = like_any(expr) {
                *expr = alternatives;
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if string(pattern).is_none()
                && let Some(escape) = escape_char.take()
            {
                **pattern = call("like_escape", vec![take(pattern), Expr::Value(escape)]);
            }
        }
        Expr::Identifier(name) if name.quote_style.is_none() => {
            if let Some(clock) = clock(&name.value, None) {
                *expr = clock;
            }
        }
        Expr::Function(function) => {
            if let [part] = function.name.0.as_slice()
                && let Some(digits) = clock_digits(&function.args)
                && let Some(clock) = part.as_ident().and_then(|name| clock(&name.value, digits))
            {
                *expr = clock;
            }
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            if let Some(rewritten) = quantified(left, compare_op, right, Quantifier::Any) {
                *expr = rewritten;
            }
        }
        Expr::AllOp { left, compare_op, right } => {
            if let Some(rewritten) = quantified(left, compare_op, right, Quantifier::All) {
                *expr = rewritten;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `x LIKE ANY (ARRAY['a%', 'b%'])`, written out.
fn like_any(expr: &mut Expr) -> Option<Expr> {
    let (Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. }) = expr else { return None };
    while let Expr::Nested(inner) = &mut **pattern {
        let inner = take(inner);
        **pattern = inner;
    }
    let patterns = match &mut **pattern {
        Expr::Array(ast::Array { elem, .. }) | Expr::Tuple(elem) => std::mem::take(elem),
        _ => return None,
    };
    *any = false;
    let alternatives = patterns.into_iter().map(|one| {
        let mut alternative = expr.clone();
        if let Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } = &mut alternative {
            **pattern = one;
        }
        alternative
    });
    let either = |a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::Or, right: Box::new(b) };
    alternatives.reduce(either).map(|all| Expr::Nested(Box::new(all)))
}

/// The bounds of a window's frame are read by DataFusion from the syntax tree, and intervals there only in units Arrow knows.
pub(crate) fn frame(window: &mut ast::WindowSpec) -> Result<()> {
    let Some(frame) = &mut window.window_frame else { return Ok(()) };
    for bound in std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut()) {
        let (WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr))) = bound else {
            continue;
        };
        let text = match &**expr {
            Expr::Cast { expr, data_type: DataType::Interval { .. }, .. } => string(expr),
            Expr::Value(value) if frame.units == ast::WindowFrameUnits::Range => value_string(&value.value),
            _ => None,
        };
        let Some(text) = text else { continue };
        let value = interval_of(text, None, None)?;
        let micros = value.nanoseconds / 1000;
        let text = format!("{} months {} days {micros} microseconds", value.months, value.days);
        **expr = Expr::Interval(Interval {
            value: Box::new(literal(text)),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        });
    }
    Ok(())
}

/// The arguments of functions in FROM are computed while the plan is made, with DataFusion's casts: they know neither the
/// session's zone nor every spelling of times and intervals.
pub(crate) fn table_function_argument(expr: &mut Expr) {
    if let Expr::Cast { expr: inner, data_type: DataType::Interval { .. }, .. } = expr
        && string(inner).is_some()
    {
        *expr = take(inner);
        return;
    }
    let _ = ast::visit_expressions_mut(expr, |part| {
        let read = |data_type: &DataType| {
            let readers = [
                (types::DATE, "lightning_date_in"),
                (types::TIMESTAMP, "lightning_timestamp_in"),
                (types::TIMESTAMP_NS, "lightning_timestamp_ns_in"),
                (types::TIMESTAMPTZ, "lightning_timestamptz_in"),
                (types::TIMESTAMPTZ_NS, "lightning_timestamptz_ns_in"),
            ];
            let wanted = sql_type(data_type).ok()?;
            readers.iter().find(|(pg, _)| pg.oid == wanted.oid).map(|(_, reader)| *reader)
        };
        let text = match part {
            Expr::Cast { expr, data_type, .. } => read(data_type).zip(string(expr).map(str::to_owned)),
            Expr::TypedString(typed) => read(&typed.data_type).zip(value_string(&typed.value.value).map(str::to_owned)),
            _ => None,
        };
        if let Some((function, text)) = text {
            *part = call(function, vec![literal(text)]);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn literal(text: String) -> Expr {
    Expr::value(Value::SingleQuotedString(text))
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn value_string(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::UnicodeStringLiteral(text) => {
            Some(text)
        }
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn string(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => value_string(&value.value),
        _ => None,
    }
}

/// `INTERVAL '1-2' YEAR TO MONTH` as a cast of the text that means the same; `None` for what is not a text.
fn interval_literal(interval: &Interval) -> Result<Option<Expr>> {
    let Some(text) = string(&interval.value) else { return Ok(None) };
    let precision = interval.fractional_seconds_precision.or(interval.leading_precision);
    let fields = match (&interval.leading_field, &interval.last_field) {
        (None, _) => None,
        (Some(first), last) => {
            let (Some(first), Some(last)) = (unit(first), unit(last.as_ref().unwrap_or(first))) else {
                return Ok(None);
            };
            Some(Fields { first, last })
        }
    };
    let text = match (fields, precision) {
        (None, None) => text.to_owned(),
        (fields, precision) => {
            let precision = precision.and_then(|digits| u32::try_from(digits).ok());
            interval_text(interval_of(text, fields, precision)?)
        }
    };
    Ok(Some(cast(literal(text), DataType::Interval { fields: None, precision: None })))
}

fn unit(field: &DateTimeField) -> Option<Unit> {
    Some(match field {
        DateTimeField::Year => Unit::Year,
        DateTimeField::Month => Unit::Month,
        DateTimeField::Day => Unit::Day,
        DateTimeField::Hour => Unit::Hour,
        DateTimeField::Minute => Unit::Minute,
        DateTimeField::Second => Unit::Second,
        _ => return None,
    })
}

/// The transaction's time without zone, or with fewer digits.
fn clock(name: &str, digits: Option<u64>) -> Option<Expr> {
    let data_type = match name.to_ascii_lowercase().as_str() {
        "localtimestamp" => DataType::Timestamp(digits, TimezoneInfo::None),
        "localtime" => DataType::Time(digits, TimezoneInfo::None),
        "current_timestamp" if digits.is_some() => DataType::Timestamp(digits, TimezoneInfo::WithTimeZone),
        _ => return None,
    };
    Some(cast(call("now", Vec::new()), data_type))
}

/// The `3` of `LOCALTIMESTAMP(3)`, when there is one; `None` for what a clock is not called with.
fn clock_digits(args: &FunctionArguments) -> Option<Option<u64>> {
    let list = match args {
        FunctionArguments::None => return Some(None),
        FunctionArguments::List(list) => list.args.as_slice(),
        FunctionArguments::Subquery(_) => return None,
    };
    match list {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
            Value::Number(digits, _) => digits.parse().ok().map(Some),
            _ => None,
        },
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
}

/// `left op ANY(array)`: a list when the array is written out, else a call of a function of three-valued logic. Sub-queries
/// stay.
fn quantified(left: &mut Expr, op: &BinaryOperator, right: &mut Expr, quantifier: Quantifier) -> Option<Expr> {
    while let Expr::Nested(inner) = right {
        let inner = take(inner);
        *right = inner;
    }
    if matches!(right, Expr::Subquery(_)) {
        return None;
    }
    if let Expr::Array(ast::Array { elem, .. }) = right
        && !elem.is_empty()
        && !elem.iter().any(|e| matches!(e, Expr::Array(_)))
    {
        let negated = match (op, quantifier) {
            (BinaryOperator::Eq, Quantifier::Any) => Some(false),
            (BinaryOperator::NotEq, Quantifier::All) => Some(true),
            _ => None,
        };
        if let Some(negated) = negated {
            return Some(Expr::InList { expr: Box::new(take(left)), list: std::mem::take(elem), negated });
        }
        if elem.len() <= ALTERNATIVES_MAX {
            let join = if quantifier == Quantifier::Any { BinaryOperator::Or } else { BinaryOperator::And };
            let left = take(left);
            let compared = std::mem::take(elem).into_iter().map(|element| Expr::BinaryOp {
                left: Box::new(left.clone()),
                op: op.clone(),
                right: Box::new(element),
            });
            let joined = |a, b| Expr::BinaryOp { left: Box::new(a), op: join.clone(), right: Box::new(b) };
            return compared.reduce(joined).map(|all| Expr::Nested(Box::new(all)));
        }
    }
    let comparison = match op {
        BinaryOperator::Eq => "eq",
        BinaryOperator::NotEq => "ne",
        BinaryOperator::Lt => "lt",
        BinaryOperator::LtEq => "le",
        BinaryOperator::Gt => "gt",
        BinaryOperator::GtEq => "ge",
        _ => return None,
    };
    let word = if quantifier == Quantifier::Any { "any" } else { "all" };
    Some(call(&format!("lightning_{word}_{comparison}"), vec![take(left), take(right)]))
}
