//! The common type of alternatives: what the branches of CASE, the arguments of COALESCE, the rows of VALUES and the sides
//! of a set operation are brought to.
//!
//! PostgreSQL's rule (`select_common_type`): literals of open type have no say; of the others the first decides, unless a
//! later one can hold it and not the other way round; types of different categories cannot be matched; when all are open,
//! the type is `text`. Numbers of different types are left for DataFusion to widen, which knows how many digits they need.

use super::cast;
use crate::error::{Error, Result};
use crate::precision::{is_instant, is_moment};
use crate::sqlstate::{CANNOT_COERCE, DATATYPE_MISMATCH};
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable};

/// What one alternative brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alternative {
    /// A string literal or NULL.
    Open,
    /// A type of its own.
    Typed(PgType),
}

/// What `expr` is; `None` when that is not known yet (a parameter).
pub(super) fn alternative(expr: &Expr, schema: &DFSchema) -> Option<Alternative> {
    if is_unknown(expr) {
        return Some(Alternative::Open);
    }
    let (_, field) = expr.to_field(schema).ok()?;
    if field.data_type() == &DataType::Null {
        return None;
    }
    Some(Alternative::Typed(types::pg_type(&field)))
}

/// A string literal as written, or NULL. Strings that were cast are of another Arrow type.
pub(super) fn is_unknown(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None))
}

fn category(pg: PgType) -> Option<char> {
    if pg.element().is_some() {
        return Some('A');
    }
    types::info(pg.oid).map(|info| info.category).filter(|c| matches!(c, 'B' | 'N' | 'S' | 'D' | 'T' | 'U'))
}

fn is_preferred(pg: PgType) -> bool {
    [types::BOOL, types::TEXT, types::FLOAT8, types::OID, types::TIMESTAMPTZ, types::INTERVAL]
        .iter()
        .any(|t| t.oid == pg.oid)
}

/// Whether PostgreSQL casts without being asked.
fn implicit(from: PgType, to: PgType) -> bool {
    if from.oid == to.oid {
        return true;
    }
    let number = |pg: PgType| [21, 23, 20, 1700, 700, 701].iter().position(|oid| *oid == pg.oid);
    let object = |pg: PgType| matches!(pg.oid, 24 | 26 | 2205 | 2206 | 4089);
    if let (Some(from), Some(to)) = (number(from), number(to)) {
        return from <= to;
    }
    if is_moment(from) && is_moment(to) {
        return is_instant(from) <= is_instant(to) && digits(from) <= digits(to);
    }
    if let (Some(from), Some(to)) = (from.element(), to.element()) {
        return implicit(from, to);
    }
    match (from.oid, to.oid) {
        (1083, 1186) => true,
        (_, 19) => false,
        _ if from.is_string() && to.is_string() => true,
        (20 | 21 | 23, _) if object(to) => true,
        (_, 26) => object(from),
        _ => false,
    }
}

/// Digits of a second in a date or time stamp.
fn digits(pg: PgType) -> u8 {
    match pg {
        pg if pg.is_nanos() => 9,
        pg if pg.oid == types::DATE.oid => 0,
        _ => 6,
    }
}

/// The type that holds two kinds of dates and time stamps.
fn common_moment(left: PgType, right: PgType) -> PgType {
    match (is_instant(left) || is_instant(right), digits(left).max(digits(right))) {
        (true, 9) => types::TIMESTAMPTZ_NS,
        (true, _) => types::TIMESTAMPTZ,
        (false, 9) => types::TIMESTAMP_NS,
        (false, 6) => types::TIMESTAMP,
        (false, _) => types::DATE,
    }
}

/// The type all alternatives are brought to. `what` is how messages call them: `CASE`, `UNION`.
pub(super) fn common_type(what: &str, alternatives: &[Alternative]) -> Result<PgType> {
    let mut typed = alternatives.iter().filter_map(|a| match a {
        Alternative::Typed(pg) => Some(*pg),
        Alternative::Open => None,
    });
    let Some(mut common) = typed.next() else { return Ok(types::TEXT) };
    let mut same_modifier = true;
    let others: Vec<PgType> = typed.collect();
    for other in &others {
        if other.oid == common.oid {
            same_modifier &= other.modifier == common.modifier;
            continue;
        }
        same_modifier = false;
        if category(common) != category(*other) {
            return Err(mismatch(what, common, *other));
        }
        if is_moment(common) && is_moment(*other) {
            common = common_moment(common, *other);
        } else if !is_preferred(common) && implicit(common, *other) && !implicit(*other, common) {
            common = *other;
        }
    }
    for pg in alternatives {
        if let Alternative::Typed(pg) = pg
            && !implicit(*pg, common)
        {
            let message = format!("{what} could not convert type {} to {}", pg.base_name(), common.base_name());
            return Err(Error::new(CANNOT_COERCE, message));
        }
    }
    Ok(if same_modifier { common } else { common.with_modifier(-1) })
}

fn mismatch(what: &str, first: PgType, second: PgType) -> Error {
    let message = format!("{what} types {} and {} cannot be matched", first.base_name(), second.base_name());
    Error::new(DATATYPE_MISMATCH, message)
}

/// `expr` as the common type; numbers that are not open stay as they are.
pub(super) fn coerce(expr: Expr, from: Alternative, to: PgType, zone: Tz) -> Result<Expr> {
    match from {
        Alternative::Open => literal(expr, to, zone),
        Alternative::Typed(from) if from == to => Ok(expr),
        Alternative::Typed(from) if from.oid == to.oid && !to.is_string() => Ok(expr),
        Alternative::Typed(from) if is_number(from) && is_number(to) && !to_float(from, to) => Ok(expr),
        Alternative::Typed(from) => converted(expr, from, to, zone),
    }
}

/// A literal of open type as `to`.
fn literal(expr: Expr, to: PgType, zone: Tz) -> Result<Expr> {
    let Expr::Literal(value, _) = &expr else { return Ok(expr) };
    if value.is_null() && to == types::NUMERIC {
        // Of the same scale as the others; as a `numeric` without one it would widen them.
        return Ok(expr);
    }
    if value.is_null() {
        return Ok(cast::literal(value, to, zone)?.unwrap_or(expr));
    }
    let to = if to.oid == types::NUMERIC.oid { super::operators::numeric_of(value) } else { to.with_modifier(-1) };
    if to.arrow_type().is_none() {
        return Ok(expr);
    }
    Ok(cast::literal(value, to, zone)?.unwrap_or(expr))
}

/// A cast of `expr`, whatever it takes.
pub(super) fn converted(expr: Expr, from: PgType, to: PgType, zone: Tz) -> Result<Expr> {
    match cast::planned(&expr, from, to, zone)? {
        Some(planned) => Ok(planned),
        None => Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), types::column_field("", to, true)))),
    }
}

/// Beside a float, a numeric becomes one; DataFusion would do it the other way round.
fn to_float(from: PgType, to: PgType) -> bool {
    from.oid == types::NUMERIC.oid && matches!(to.oid, 700 | 701)
}

fn is_number(pg: PgType) -> bool {
    matches!(pg.oid, 20 | 21 | 23 | 700 | 701 | 1700)
}

/// Brings expressions that are alternatives of each other to their common type; whether anything changed. Does nothing when
/// the type of one is not known, or when a type exists for display only.
pub(super) fn unify(what: &str, exprs: &mut [&mut Expr], schema: &DFSchema, zone: Tz) -> Result<bool> {
    let Some(found) = exprs.iter().map(|e| alternative(e, schema)).collect::<Option<Vec<_>>>() else {
        return Ok(false);
    };
    if found.iter().any(|a| matches!(a, Alternative::Typed(pg) if category(*pg).is_none())) {
        return Ok(false);
    }
    let common = common_type(what, &found)?;
    let mut changed = false;
    for (expr, from) in exprs.iter_mut().zip(found) {
        if from == Alternative::Typed(common) || (from == Alternative::Open && common.is_string()) {
            continue;
        }
        let before = std::mem::take(*expr);
        **expr = coerce(before.clone(), from, common, zone)?;
        changed |= **expr != before;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(types: &[PgType]) -> std::result::Result<String, String> {
        let alternatives: Vec<Alternative> = types.iter().map(|t| Alternative::Typed(*t)).collect();
        common_type("CASE", &alternatives).map(PgType::sql_name).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn the_type_that_holds_the_others_is_taken() {
        assert_eq!(common(&[types::INT4, types::NUMERIC, types::INT2]).unwrap(), "numeric");
        assert_eq!(common(&[types::DATE, types::TIMESTAMPTZ]).unwrap(), "timestamp with time zone");
        assert_eq!(common(&[types::TIMESTAMPTZ, types::TIMESTAMP_NS]).unwrap(), "timestamptz_ns");
        assert_eq!(common(&[types::DATE, types::TIMESTAMP]).unwrap(), "timestamp without time zone");
        assert_eq!(common(&[types::VARCHAR, types::TEXT]).unwrap(), "character varying");
        assert_eq!(common_type("UNION", &[Alternative::Open, Alternative::Open]).unwrap(), types::TEXT);
    }

    #[test]
    fn categories_do_not_mix() {
        let message = common(&[types::INT4, types::BOOL]).unwrap_err();
        assert_eq!(message, "CASE types integer and boolean cannot be matched");
    }
}
