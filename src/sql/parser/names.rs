//! The names PostgreSQL gives to result columns nobody named: `?column?`, `count`, `int4`, `case`.
//!
//! DataFusion would call `count(*)` by its text and refuses two columns of one name. So every unnamed item of a select
//! list gets PostgreSQL's name as an alias, and names that occur again in the same list get a mark and a number appended.
//! Sub-queries that are expressions are left as they are: nobody can refer to their columns.
//! [`display`] takes the mark off when results leave. Functions in FROM name their one column after themselves or their
//! alias.
//!
//! The same pass brings spellings to forms DataFusion plans: sub-queries outside conditions ([`subqueries`]), and numbers
//! with an exponent, which become plain decimals.

use super::{subqueries, values};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, VisitMut,
    VisitorMut, WildcardAdditionalOptions,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Stands between a name and what makes it unique. Cannot occur in SQL text that clients send knowingly.
const MARK: char = '\u{1}';

/// The name a client sees.
pub(crate) fn display(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// A name that clients see as `name`, and that no other column has.
pub(crate) fn marked(name: &str, index: usize) -> String {
    format!("{name}{MARK}{index}")
}

/// Names every unnamed column of every select list in `query`.
pub(crate) fn name_columns(query: &mut ast::Query) {
    let _ = query.visit(&mut Namer { unnamed: false });
}

struct Namer {
    /// The next query stands in an expression, where its columns need no names.
    unnamed: bool,
}

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if !std::mem::take(&mut self.unnamed) {
            name_set(&mut query.body);
        }
        values::resolve(&mut query.body);
        if let Some(ast::OrderByKind::Expressions(order)) = query.order_by.as_mut().map(|o| &mut o.kind) {
            order.iter_mut().for_each(|item| subqueries::as_values(&mut item.expr));
        }
        fetch_as_limit(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        name_function_column(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(integers) = integer_series(factor) {
            *factor = integers;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        subqueries::row_condition(expr);
        self.unnamed |= match &*expr {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => true,
            Expr::Function(function) => matches!(function.args, ast::FunctionArguments::Subquery(_)),
            _ => false,
        };
        if let Expr::Value(value) = expr
            && let ast::Value::Number(text, long) = &value.value
            && text.contains(['e', 'E'])
        {
            *expr = match plain_decimal(text) {
                Some(plain) => Expr::value(ast::Value::Number(plain, *long)),
                None => double_precision(text.clone()),
            };
        }
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch_as_limit(query: &mut ast::Query) {
    let plain = query.fetch.as_ref().is_some_and(|f| !f.with_ties && !f.percent);
    if !plain {
        return;
    }
    let one = || Expr::value(ast::Value::Number("1".to_owned(), false));
    match &mut query.limit_clause {
        Some(ast::LimitClause::LimitOffset { limit: limit @ None, .. }) => {
            *limit = Some(query.fetch.take().and_then(|f| f.quantity).unwrap_or_else(one));
        }
        None => {
            let limit = Some(query.fetch.take().and_then(|f| f.quantity).unwrap_or_else(one));
            query.limit_clause = Some(ast::LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
        Some(_) => {}
    }
}

/// Digits a `numeric` can have.
const NUMERIC_DIGITS_MAX: usize = 38;

/// `1.5e-3` as `0.0015`; `None` when that has too many digits.
fn plain_decimal(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let length = i64::try_from(digits.len()).ok()?;
    if point.unsigned_abs() as usize > NUMERIC_DIGITS_MAX || digits.len() > NUMERIC_DIGITS_MAX {
        return None;
    }
    let plain = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point >= length {
        // A point keeps it from becoming an integer.
        format!("{digits}{}.", "0".repeat((point - length) as usize))
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{whole}.{fraction}")
    };
    (plain.len() <= NUMERIC_DIGITS_MAX + 2).then_some(plain)
}

fn double_precision(text: String) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(Expr::value(ast::Value::SingleQuotedString(text))),
        data_type: ast::DataType::DoublePrecision,
        array: false,
        format: None,
    }
}

/// `generate_series(1, 3) g` has the column `g`.
fn name_function_column(factor: &mut TableFactor) {
    let (alias, default) = match factor {
        TableFactor::Table { name, alias, args: Some(_), with_ordinality: false, .. } => {
            let qualified = name.0.len() > 1;
            let name = last_name(name);
            if qualified || !matches!(name.as_str(), "generate_series" | "range") {
                return;
            }
            (alias, name)
        }
        TableFactor::UNNEST {
            alias: alias @ Some(_), array_exprs, with_ordinality: false, with_offset: false, ..
        } if array_exprs.len() == 1 => (alias, "unnest".to_owned()),
        _ => return,
    };
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: false,
        name: Ident::new(default),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

/// `generate_series` over `integer` literals, whose rows DataFusion makes `bigint`.
fn integer_series(factor: &TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, alias, args: Some(args), with_ordinality: false, .. } = factor else { return None };
    let literals = args.args.iter().all(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => expr.to_string().parse::<i32>().is_ok(),
        _ => false,
    });
    if name.0.len() > 1 || last_name(name) != "generate_series" || !literals {
        return None;
    }
    let args: Vec<String> = args.args.iter().map(ToString::to_string).collect();
    let value = format!("\"{MARK}value\"");
    let sql = format!(
        "SELECT CAST({value} AS INTEGER) AS {value} FROM generate_series({}) AS \"{MARK}series\" ({value})",
        args.join(", ")
    );
    let subquery = Box::new(crate::parser::parse_query(&sql).ok()?);
    Some(TableFactor::Derived { lateral: false, subquery, alias: alias.clone(), sample: None })
}

fn name_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            name_list(&mut select.projection);
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    subqueries::as_values(expr);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_set(left);
            name_set(right);
        }
        _ => {}
    }
}

fn name_list(items: &mut [SelectItem]) {
    let wildcard = items.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut taken: HashSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(folded(name)),
            _ => None,
        })
        .collect();
    let mut seen: HashSet<String> = HashSet::new();
    for (index, item) in items.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = column_name(expr);
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let first = if plain { seen.insert(name.clone()) } else { taken.insert(name.clone()) };
                if plain && first && !wildcard {
                    taken.insert(name);
                    continue;
                }
                let unique = if first && !wildcard { name } else { format!("{name}{MARK}{index}") };
                let expr = std::mem::replace(expr, Expr::value(ast::Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !seen.insert(name.clone()) {
                    *alias = Ident::with_quote('"', format!("{name}{MARK}{index}"));
                }
            }
            _ => {}
        }
    }
}

/// An identifier as PostgreSQL folds it.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A name as an identifier that means it and nothing else, whatever is in it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(|p| p.as_ident()).map_or_else(|| name.to_string().to_lowercase(), folded)
}

/// PostgreSQL's `FigureColname`.
fn column_name(expr: &Expr) -> String {
    strong_name(expr).unwrap_or_else(|| weak_name(expr).unwrap_or_else(|| "?column?".to_owned()))
}

fn strong_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        Expr::CompoundFieldAccess { root, .. } => strong_name(root),
        Expr::Function(function) => Some(last_name(&function.name)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => strong_name(inner),
        Expr::Cast { expr: inner, .. } => strong_name(inner),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Overlay { .. } => Some("overlay".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Trim { trim_where, .. } => Some(
            match trim_where {
                Some(ast::TrimWhereField::Leading) => "ltrim",
                Some(ast::TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            }
            .to_owned(),
        ),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Tuple(_) => Some("row".to_owned()),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => strong_name(expr).or_else(|| weak_name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn weak_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Cast { data_type, .. } => Some(type_name(data_type)),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Case { else_result, .. } => {
            Some(else_result.as_deref().and_then(strong_name).unwrap_or_else(|| "case".to_owned()))
        }
        Expr::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => Some("bool".to_owned()),
        Expr::Nested(inner) => weak_name(inner),
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> String {
    match crate::type_names::sql_type(data_type) {
        Ok(pg) => {
            let element = pg.element().unwrap_or(pg);
            crate::types::info(element.oid).map_or_else(|| data_type.to_string().to_lowercase(), |i| i.name.to_owned())
        }
        Err(_) => data_type.to_string().to_lowercase(),
    }
}

/// A select list that is `*`.
pub(crate) fn star() -> Vec<SelectItem> {
    vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse_query;

    fn names(sql: &str) -> Vec<String> {
        let mut query = parse_query(sql).unwrap();
        name_columns(&mut query);
        let SetExpr::Select(select) = *query.body else { panic!() };
        select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => display(&alias.value).to_owned(),
                SelectItem::UnnamedExpr(expr) => expr.to_string(),
                other => other.to_string(),
            })
            .collect()
    }

    #[test]
    fn exponents_become_plain_decimals() {
        for (text, plain) in [("1e3", "1000."), ("1.5e-3", "0.0015"), ("12.5E1", "125."), ("1.25e1", "12.5")] {
            assert_eq!(plain_decimal(text).as_deref(), Some(plain));
        }
        assert_eq!(plain_decimal("1e308"), None);
    }

    #[test]
    fn columns_are_named_as_postgresql_names_them() {
        let sql = "select 1, a, a, t.b, count(*), count(1), 1::int, a::text, case when a then 1 end, true, interval '1 day', (select 1)";
        let expected =
            ["?column?", "a", "a", "t.b", "count", "count", "int4", "a", "case", "bool", "interval", "?column?"];
        assert_eq!(names(sql), expected);
    }
}
