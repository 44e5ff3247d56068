//! Parameters in the arguments of `generate_series` and of users' functions in FROM.
//!
//! A function in FROM is called while its query is planned, and must know its arguments then. So a statement that has
//! parameters there is planned anew for each execution, with their values in its syntax tree ([`with_values`]), and is
//! described with other values of the same types ([`described`]).

use crate::error::{Error, Result};
use crate::parser::names::folded;
use crate::parser::parse_expression;
use crate::sqlstate::UNDEFINED_PARAMETER;
use crate::text::TextColumn;
use crate::type_names::sql_type;
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, Statement, TableFactor, UnaryOperator, Value, Visit, VisitMut,
    Visitor, VisitorMut, visit_expressions, visit_expressions_mut,
};
use std::ops::ControlFlow;

/// The types of the arguments of a user's function in FROM, by its name and how many it has; `None` when there is none.
pub(crate) type Declared<'a> = &'a dyn Fn(&ObjectName, usize) -> Option<Vec<PgType>>;

/// Whether a statement has parameters there.
pub(crate) fn has_parameters(statement: &Statement, declared: Declared<'_>) -> bool {
    struct Search<'a>(Declared<'a>);
    impl Visitor for Search<'_> {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if !matches!(factor, TableFactor::Table { args: Some(_), .. }) {
                return ControlFlow::Continue(());
            }
            let mut factor = factor.clone();
            let has_parameter = |argument: &&mut Expr| {
                visit_expressions(&**argument, |part| match parameter(part) {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                })
                .is_break()
            };
            match arguments(&mut factor, self.0).0.iter().any(has_parameter) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    statement.visit(&mut Search(declared)).is_break()
}

/// Gives those parameters types, and puts values of these in their places.
pub(crate) fn described(statement: &mut Statement, types: &mut [Option<PgType>], declared: Declared<'_>) -> Result<()> {
    each_series(statement, declared, |mut arguments, of_function| {
        for argument in &arguments {
            take_casts(argument, types);
        }
        for place in 0..arguments.len() {
            if let Some(index) = parameter(arguments[place])
                && types.get(index).is_some_and(Option::is_none)
            {
                let of_place = of_function.as_ref().and_then(|types| types.get(place)).copied();
                types[index] = Some(of_place.unwrap_or_else(|| type_of_place(place, &arguments, types)));
            }
        }
        replace(&mut arguments, |index| {
            let slot = types.get_mut(index).ok_or_else(|| unknown(index))?;
            example(*slot.get_or_insert(types::INT4))
        })
    })
}

/// Puts values in the places of those parameters.
pub(crate) fn with_values(
    statement: &mut Statement,
    types: &[PgType],
    values: &[ScalarValue],
    zone: Tz,
    declared: Declared<'_>,
) -> Result<()> {
    each_series(statement, declared, |mut arguments, _| {
        replace(&mut arguments, |index| {
            let (pg, value) = types.get(index).zip(values.get(index)).ok_or_else(|| unknown(index))?;
            literal(*pg, TextColumn::new(&value.to_array()?, zone)?.value(0).as_deref())
        })
    })
}

fn unknown(index: usize) -> Error {
    Error::new(UNDEFINED_PARAMETER, format!("there is no parameter ${}", index + 1))
}

/// The arguments of a series or function in FROM, and the types that the function has them declared with; none of anything else.
fn arguments<'f>(factor: &'f mut TableFactor, declared: Declared<'_>) -> (Vec<&'f mut Expr>, Option<Vec<PgType>>) {
    let TableFactor::Table { name, args: Some(args), .. } = factor else { return (Vec::new(), None) };
    let function = name.0.last().and_then(|part| part.as_ident()).map(folded);
    let of_function = match function.as_deref() {
        Some("generate_series") => None,
        _ => match declared(name, args.args.len()) {
            Some(types) => Some(types),
            None => return (Vec::new(), None),
        },
    };
    let plain = |argument| match argument {
        &mut FunctionArg::Unnamed(FunctionArgExpr::Expr(ref mut expr)) => Some(expr),
        _ => None,
    };
    (args.args.iter_mut().filter_map(plain).collect(), of_function)
}

fn each_series(
    statement: &mut Statement,
    declared: Declared<'_>,
    change: impl FnMut(Vec<&mut Expr>, Option<Vec<PgType>>) -> Result<()>,
) -> Result<()> {
    struct Series<'a, F>(Declared<'a>, F);
    impl<F: FnMut(Vec<&mut Expr>, Option<Vec<PgType>>) -> Result<()>> VisitorMut for Series<'_, F> {
        type Break = Error;
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
            let (arguments, of_function) = arguments(factor, self.0);
            match (self.1)(arguments, of_function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => ControlFlow::Break(e),
            }
        }
    }
    match statement.visit(&mut Series(declared, change)) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn replace(arguments: &mut [&mut Expr], mut value: impl FnMut(usize) -> Result<Expr>) -> Result<()> {
    let replaced = arguments.iter_mut().try_for_each(|argument| {
        visit_expressions_mut(*argument, |part| {
            let Some(index) = parameter(part) else { return ControlFlow::Continue(()) };
            match value(index) {
                Ok(value) => *part = value,
                Err(e) => return ControlFlow::Break(e),
            }
            ControlFlow::Continue(())
        })
    });
    match replaced {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The index of the parameter an expression is.
fn parameter(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// A parameter that is cast has the type it is cast to.
fn take_casts(argument: &Expr, types: &mut [Option<PgType>]) {
    let _ = visit_expressions(argument, |part| {
        if let Expr::Cast { expr, data_type, .. } = part
            && let Some(slot @ None) = parameter(expr).and_then(|index| types.get_mut(index))
        {
            *slot = sql_type(data_type).ok();
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The type of the parameter in a place, from the other arguments: `integer` unless they say something else.
fn type_of_place(place: usize, arguments: &[&mut Expr], types: &[Option<PgType>]) -> PgType {
    let others: Vec<PgType> = arguments.iter().filter_map(|argument| type_of(argument, types)).collect();
    let is_step = place == 2;
    let wider = |found: PgType, next: PgType| if next.oid == types::INT4.oid { found } else { next };
    let is = |wanted: PgType| others.iter().any(|pg| pg.oid == wanted.oid);
    let moments = [types::TIMESTAMPTZ_NS, types::TIMESTAMP_NS, types::TIMESTAMPTZ, types::TIMESTAMP];
    match moments.into_iter().find(|moment| is(*moment)) {
        Some(_) if is_step => types::INTERVAL,
        Some(moment) => moment,
        None if is(types::DATE) && is_step => types::INTERVAL,
        None if is(types::DATE) || is(types::INTERVAL) => types::TIMESTAMPTZ,
        None => others.into_iter().fold(types::INT4, wider).with_modifier(-1),
    }
}

/// The type an argument says it has.
fn type_of(argument: &Expr, types: &[Option<PgType>]) -> Option<PgType> {
    match argument {
        Expr::Cast { data_type, .. } => sql_type(data_type).ok(),
        Expr::TypedString(typed) => sql_type(&typed.data_type).ok(),
        Expr::Interval(_) => Some(types::INTERVAL),
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr: inner } => {
            type_of(inner, types)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.parse::<i32>().is_ok() => Some(types::INT4),
            Value::Number(..) => Some(types::INT8),
            Value::Placeholder(_) => types.get(parameter(argument)?).copied().flatten(),
            _ => None,
        },
        _ => None,
    }
}

/// Some value of a type.
fn example(pg: PgType) -> Result<Expr> {
    let is_number = [types::INT2, types::INT4, types::INT8].iter().any(|number| number.oid == pg.oid);
    literal(pg, is_number.then_some("1"))
}

/// A value, of which this is the text, as an expression of its type.
fn literal(pg: PgType, text: Option<&str>) -> Result<Expr> {
    let is_integer = pg.oid == types::INT4.oid || pg.oid == types::INT2.oid;
    parse_expression(&match text {
        Some(text) if is_integer => text.to_owned(),
        Some(text) => format!("CAST('{}' AS {})", text.replace('\'', "''"), pg.sql_name()),
        None if is_integer => "NULL".to_owned(),
        None => format!("CAST(NULL AS {})", pg.sql_name()),
    })
}
