//! The columns of a VALUES list in one type each.
//!
//! DataFusion gives a column the type that can hold what its cells are, and a string literal among dates or integers is a
//! string to it. PostgreSQL gives literals of open type the type of the others. Where all cells of a column say what they are
//! (literals and casts), that is decided here; a column with anything else is left to DataFusion.

use super::calls::call;
use crate::error::{Error, Result};
use crate::sqlstate::DATATYPE_MISMATCH;
use crate::type_names::sql_type;
use crate::types::{self, PgType};
use datafusion::sql::sqlparser::ast::{CastKind, Expr, SetExpr, UnaryOperator, Value, Values};

/// The function that gives its argument without what the field says beside the Arrow type.
pub(crate) const PLAIN: &str = "lightning_plain";

/// What a cell says of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// A string literal or NULL.
    Open,
    /// A literal or cast of a type.
    Typed(PgType),
    /// Anything else.
    Other,
}

fn cell(expr: &Expr) -> Cell {
    match expr {
        Expr::Nested(inner) => cell(inner),
        Expr::Value(value) => match &value.value {
            Value::Null | Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) => Cell::Open,
            Value::Boolean(_) => Cell::Typed(types::BOOL),
            Value::Number(text, _) => Cell::Typed(number_type(text)),
            _ => Cell::Other,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => match cell(expr) {
            Cell::Typed(pg) if matches!(expr.as_ref(), Expr::Value(_)) => Cell::Typed(pg),
            _ => Cell::Other,
        },
        Expr::Cast { data_type, .. } => sql_type(data_type).map_or(Cell::Other, Cell::Typed),
        Expr::TypedString(typed) => sql_type(&typed.data_type).map_or(Cell::Other, Cell::Typed),
        Expr::Interval(_) => Cell::Typed(types::INTERVAL),
        _ => Cell::Other,
    }
}

fn number_type(text: &str) -> PgType {
    match text.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => types::INT4,
        Ok(_) => types::INT8,
        Err(_) => types::NUMERIC,
    }
}

fn column(values: &Values, index: usize) -> Vec<Cell> {
    values.rows.iter().map(|row| row.content.get(index).map_or(Cell::Other, cell)).collect()
}

fn width(values: &Values) -> usize {
    values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0)
}

fn category(pg: PgType) -> char {
    if pg.element().is_some() { 'A' } else { types::info(pg.oid).map_or('X', |info| info.category) }
}

/// Refuses columns whose types have nothing in common: 42804.
pub(crate) fn check(body: &SetExpr) -> Result<()> {
    let SetExpr::Values(values) = body else { return Ok(()) };
    for index in 0..width(values) {
        let mut first: Option<PgType> = None;
        for cell in column(values, index) {
            let Cell::Typed(pg) = cell else { continue };
            match first {
                None => first = Some(pg),
                Some(first) if category(first) != category(pg) => {
                    let (first, second) = (first.base_name(), pg.base_name());
                    let message = format!("VALUES types {first} and {second} cannot be matched");
                    return Err(Error::new(DATATYPE_MISMATCH, message));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Gives literals of open type the type of their column.
pub(super) fn resolve(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            for index in 0..width(values) {
                resolve_column(values, index);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            resolve(left);
            resolve(right);
        }
        _ => {}
    }
}

fn resolve_column(values: &mut Values, index: usize) {
    let cells = column(values, index);
    let typed: Vec<PgType> = cells
        .iter()
        .filter_map(|cell| match cell {
            Cell::Typed(pg) => Some(*pg),
            _ => None,
        })
        .collect();
    let Some(first) = typed.first().copied() else { return };
    let uniform = typed.iter().all(|pg| *pg == first);
    let literals = values.rows.iter().filter(|row| row.content.get(index).is_some_and(is_number_literal)).count();
    let alike = uniform && !cells.contains(&Cell::Open) && (literals == 0 || literals == cells.len());
    if cells.contains(&Cell::Other) || alike {
        return;
    }
    let numbers = typed.iter().all(|pg| matches!(pg.oid, 20 | 21 | 23 | 700 | 701 | 1700));
    let wanted = if typed.iter().all(|pg| pg.oid == first.oid) {
        first.with_modifier(-1)
    } else if numbers {
        widest(&typed)
    } else {
        return;
    };
    for (row, cell) in values.rows.iter_mut().zip(&cells) {
        let Some(expr) = row.content.get_mut(index) else { continue };
        match cell {
            Cell::Open if wanted.oid == types::NUMERIC.oid => {
                if let Some(number) = as_number(expr) {
                    *expr = number;
                } else if !matches!(expr, Expr::Value(v) if v.value == Value::Null) {
                    cast(expr, wanted);
                }
            }
            Cell::Open => cast(expr, wanted),
            // The planner takes whole numbers for `bigint` until the others are known.
            Cell::Typed(_) if wanted.oid == types::INT4.oid => cast(expr, wanted),
            Cell::Typed(pg) if pg.modifier < 0 => {}
            // Only one of the cells may have such a limit.
            Cell::Typed(_) if wanted.oid == types::NUMERIC.oid => plain(expr),
            Cell::Typed(_) => cast(expr, wanted),
            Cell::Other => {}
        }
    }
}

fn is_number_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_number_literal(expr),
        _ => false,
    }
}

/// The number type that holds the others.
fn widest(typed: &[PgType]) -> PgType {
    let order = [types::INT2, types::INT4, types::INT8, types::NUMERIC, types::FLOAT4, types::FLOAT8];
    order.into_iter().rev().find(|t| typed.iter().any(|pg| pg.oid == t.oid)).unwrap_or(types::NUMERIC)
}

/// A string that is a number, as one: it keeps its digits.
fn as_number(expr: &Expr) -> Option<Expr> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = digits > 0 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.matches('.').count() <= 1;
    plain.then(|| Expr::value(Value::Number(text.to_owned(), false)))
}

fn cast(expr: &mut Expr, to: PgType) {
    let Ok(Expr::Cast { data_type, .. }) = super::parse_expression(&format!("CAST(NULL AS {})", to.base_name())) else {
        return;
    };
    let inner = std::mem::replace(expr, Expr::value(Value::Null));
    *expr = Expr::Cast { kind: CastKind::Cast, expr: Box::new(inner), data_type, array: false, format: None };
}

/// Takes what the type of `expr` has beside its Arrow type.
pub(crate) fn plain(expr: &mut Expr) {
    let inner = std::mem::replace(expr, Expr::value(Value::Null));
    *expr = call(PLAIN, vec![inner]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse_query;

    fn resolved(sql: &str) -> String {
        let mut query = parse_query(sql).unwrap();
        resolve(&mut query.body);
        query.to_string()
    }

    #[test]
    fn strings_take_the_type_of_their_column() {
        assert_eq!(
            resolved("VALUES ('2024-01-01'::date), ('2024-02-01')"),
            "VALUES ('2024-01-01'::DATE), (CAST('2024-02-01' AS DATE))"
        );
        assert_eq!(resolved("VALUES (1), ('x')"), "VALUES (CAST(1 AS INTEGER)), (CAST('x' AS INTEGER))");
        assert_eq!(resolved("VALUES (1.5), ('2.25')"), "VALUES (1.5), (2.25)");
        assert_eq!(resolved("VALUES ('a'), (NULL)"), "VALUES ('a'), (NULL)");
    }

    #[test]
    fn types_without_anything_in_common_are_refused() {
        let query = parse_query("VALUES (1), (true)").unwrap();
        let error = check(&query.body).unwrap_err();
        assert_eq!(error.message(), "VALUES types integer and boolean cannot be matched");
    }
}
