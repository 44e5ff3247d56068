//! Named arguments of `time_bucket` and `time_bucket_gapfill`, by place.
//!
//! `time_bucket` tells what comes after the time apart by types, so what is named is cast to the type it must have.
//! `time_bucket_gapfill` with a named argument gets all seven, NULL where there is none: width, time, zone, origin, offset,
//! start, finish.

use crate::gapfill::markers;
use crate::time_bucket;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    TimezoneInfo, Value, VisitMut, VisitorMut,
};
use lightning_sql::extension::{argument, plain_name};
use lightning_sql::sqlstate::{SYNTAX_ERROR, UNDEFINED_FUNCTION};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result};
use std::ops::ControlFlow;

/// Names the arguments may have, in the order of the seven.
const NAMES: [&str; 7] = ["bucket_width", "ts", "timezone", "origin", "offset", "start", "finish"];

/// Puts named arguments of all calls in a query in their places.
pub(crate) fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Calls) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Calls;

impl VisitorMut for Calls {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Some(name) =
            plain_name(function).filter(|name| [time_bucket::NAME, markers::BUCKET].contains(&name.as_str()))
        else {
            return ControlFlow::Continue(());
        };
        match placed(&name, function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

fn placed(name: &str, function: &mut Function) -> Result<()> {
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let given: Vec<(Option<String>, Expr)> =
        list.args.iter().filter_map(argument).map(|(name, expr)| (name, expr.clone())).collect();
    if given.len() != list.args.len() || given.iter().all(|(name, _)| name.is_none()) {
        return Ok(());
    }
    let mut seven: [Option<Expr>; 7] = Default::default();
    let positional = given.iter().take_while(|(name, _)| name.is_none()).count();
    for (place, (argument, expr)) in given.into_iter().enumerate() {
        let slot = match argument.as_deref() {
            // Positional times after the second are where a gap is filled from and to.
            None if place < 2 => place,
            None if place >= positional => {
                return Err(Error::new(SYNTAX_ERROR, "positional argument cannot follow named argument"));
            }
            None if positional == 3 || positional == 5 => [2, 5, 6][place - 2],
            None => [5, 6].get(place - 2).copied().unwrap_or(6),
            Some("time") => 1,
            Some(argument) => {
                let known = NAMES.iter().position(|known| *known == argument);
                let is_bound = known.is_some_and(|place| place > 4);
                known.filter(|_| !(is_bound && name == time_bucket::NAME)).ok_or_else(|| {
                    Error::new(UNDEFINED_FUNCTION, format!("function {name} has no argument named \"{argument}\""))
                        .with_hint("Arguments are bucket_width, ts, timezone, origin and offset; to fill gaps also start and finish.")
                })?
            }
        };
        if seven[slot].replace(typed(slot, expr)).is_some() {
            let message = format!("argument \"{}\" of {name} is given twice", NAMES[slot]);
            return Err(Error::new(SYNTAX_ERROR, message));
        }
    }
    let null = || Expr::value(Value::Null);
    let args: Vec<Expr> = match name {
        time_bucket::NAME => seven.into_iter().flatten().collect(),
        _ => seven.into_iter().map(|arg| arg.unwrap_or_else(null)).collect(),
    };
    list.args = args.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Ok(())
}

/// A type as SQL names it.
pub(crate) fn named_type(pg: PgType) -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new(pg.base_name())]), Vec::new())
}

/// Whether a time has digits behind the microseconds.
fn has_nanos(text: &str) -> bool {
    let digits = text.rsplit_once('.').map_or("", |(_, digits)| digits);
    digits.bytes().take_while(u8::is_ascii_digit).count() > 6
}

/// A named argument in the type its place wants. A literal origin is local time.
fn typed(place: usize, expr: Expr) -> Expr {
    let literal = match &expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    };
    let data_type = match place {
        2 => DataType::Text,
        3 if literal.is_some_and(|text| has_nanos(text)) => named_type(types::TIMESTAMP_NS),
        3 if literal.is_some() => DataType::Timestamp(None, TimezoneInfo::None),
        4 if literal.is_some() => DataType::Interval { fields: None, precision: None },
        _ => return expr,
    };
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}
