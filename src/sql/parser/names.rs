//! The names PostgreSQL gives to result columns nobody named: `?column?`, `count`, `int4`, `case`.
//!
//! DataFusion would call `count(*)` by its text and refuses two columns of one name. So every unnamed item of a select
//! list gets PostgreSQL's name as an alias, and names that occur again in the same list get a mark and a number appended.
//! [`display`] takes the mark off when results leave.

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, SelectItem, SetExpr, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Stands between a name and what makes it unique. Cannot occur in SQL text that clients send knowingly.
const MARK: char = '\u{1}';

/// The name a client sees.
pub(crate) fn display(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Names every unnamed column of every select list in `query`.
pub(crate) fn name_columns(query: &mut ast::Query) {
    let _ = query.visit(&mut Namer);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        name_set(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn name_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_list(&mut select.projection),
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

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
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
    fn columns_are_named_as_postgresql_names_them() {
        let sql = "select 1, a, a, t.b, count(*), count(1), 1::int, a::text, case when a then 1 end, true, interval '1 day', (select 1)";
        let expected =
            ["?column?", "a", "a", "t.b", "count", "count", "int4", "a", "case", "bool", "interval", "?column?"];
        assert_eq!(names(sql), expected);
    }
}
