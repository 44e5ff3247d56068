//! What a point statement means, but for its literals and parameters.

use super::skeleton::Skeleton;
use crate::parser::{Kind as ParsedKind, Parsed, parse_query};
use crate::statements::target::folded;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, TableWithJoins, UnaryOperator, Update, Value, ValueWithSpan,
};

/// A value that a call brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A literal, by number.
    Literal(usize),
    /// A number literal with a minus before it.
    Negative(usize),
    /// A parameter, by number from 0.
    Parameter(usize),
}

/// What a column is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewValue {
    /// A value.
    Value(Operand),
    /// A column plus a value.
    Plus(String, Operand),
    /// A column minus a value.
    Minus(String, Operand),
}

/// What happens to the row.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Columns and what the client sees them called; `None` for `*`.
    Select(Option<Vec<(String, String)>>),
    /// Columns and what they are set to.
    Update(Vec<(String, NewValue)>),
    Delete,
}

/// A point statement.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    /// The columns that WHERE compares, with what.
    pub(crate) key: Vec<(String, Operand)>,
    pub(crate) action: Action,
    /// The template in the catalog it was last used with.
    pub(crate) bound: parking_lot::Mutex<Option<std::sync::Arc<super::binding::Binding>>>,
}

impl Template {
    /// The template of a statement, if it is one row's: all literals must be understood.
    pub(super) fn of(parsed: &Parsed, skeleton: &Skeleton) -> Option<Template> {
        let ParsedKind::Sql(statement) = &parsed.kind else { return None };
        let mut reader = Reader { parsed, skeleton, names: Vec::new(), seen: vec![false; skeleton.literals.len()] };
        let template = match statement.as_ref() {
            Statement::Query(query) => reader.select(query),
            Statement::Update(update) => reader.update(update),
            Statement::Delete(delete) => reader.delete(delete),
            _ => None,
        }?;
        reader.seen.iter().all(|seen| *seen).then_some(template)
    }
}

struct Reader<'a> {
    parsed: &'a Parsed,
    skeleton: &'a Skeleton,
    /// What columns may be qualified with.
    names: Vec<String>,
    /// Literals that were read.
    seen: Vec<bool>,
}

impl Reader<'_> {
    fn select(&mut self, query: &Query) -> Option<Template> {
        let SetExpr::Select(select) = query.body.as_ref() else { return None };
        let [from] = select.from.as_slice() else { return None };
        let (schema, table) = self.table(from)?;
        // Nothing but the list, FROM and WHERE: what is left must be what is left of a plain query.
        let bare = |query: &Query, select: &Select| {
            let select = Select { projection: vec![], from: vec![], selection: None, ..select.clone() };
            Query { body: Box::new(SetExpr::Select(Box::new(select))), ..query.clone() }
        };
        let plain = parse_query("SELECT a FROM t WHERE a = 1").ok()?;
        let SetExpr::Select(of_plain) = plain.body.as_ref() else { return None };
        if bare(query, select) != bare(&plain, of_plain) {
            return None;
        }
        let key = self.key(select.selection.as_ref()?)?;
        let items = match select.projection.as_slice() {
            [SelectItem::Wildcard(options)] if *options == Default::default() => None,
            items => Some(items.iter().map(|item| self.item(item)).collect::<Option<Vec<_>>>()?),
        };
        Some(self.template(schema, table, key, Action::Select(items)))
    }

    fn update(&mut self, update: &Update) -> Option<Template> {
        let (schema, table) = self.table(&update.table)?;
        let is_plain = update.from.is_none()
            && update.returning.is_none()
            && update.or.is_none()
            && update.limit.is_none()
            && update.order_by.is_empty()
            && update.output.is_none();
        if !is_plain {
            return None;
        }
        let sets = update.assignments.iter().map(|set| self.assignment(set)).collect::<Option<Vec<_>>>()?;
        let key = self.key(update.selection.as_ref()?)?;
        Some(self.template(schema, table, key, Action::Update(sets)))
    }

    fn delete(&mut self, delete: &Delete) -> Option<Template> {
        let FromTable::WithFromKeyword(from) = &delete.from else { return None };
        let [from] = from.as_slice() else { return None };
        let (schema, table) = self.table(from)?;
        let is_plain = delete.tables.is_empty()
            && delete.using.is_none()
            && delete.returning.is_none()
            && delete.limit.is_none()
            && delete.order_by.is_empty()
            && delete.output.is_none();
        if !is_plain {
            return None;
        }
        let key = self.key(delete.selection.as_ref()?)?;
        Some(self.template(schema, table, key, Action::Delete))
    }

    fn template(&self, schema: Option<String>, table: String, key: Vec<(String, Operand)>, action: Action) -> Template {
        Template { schema, table, key, action, bound: Default::default() }
    }

    fn table(&mut self, from: &TableWithJoins) -> Option<(Option<String>, String)> {
        let TableFactor::Table { name, alias, args: None, .. } = &from.relation else { return None };
        // Nothing but a name and an alias.
        let written = match alias {
            Some(alias) if alias.columns.is_empty() => format!("{name} {alias}"),
            Some(_) => return None,
            None => name.to_string(),
        };
        if !from.joins.is_empty() || from.relation.to_string() != written {
            return None;
        }
        let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(folded)).collect();
        let (schema, table) = match parts?.as_slice() {
            [table] => (None, table.clone()),
            [schema, table] => (Some(schema.clone()), table.clone()),
            _ => return None,
        };
        self.names.push(alias.as_ref().map_or_else(|| table.clone(), |alias| folded(&alias.name)));
        Some((schema, table))
    }

    fn item(&self, item: &SelectItem) -> Option<(String, String)> {
        match item {
            SelectItem::UnnamedExpr(expr) => self.column(expr).map(|column| (column.clone(), column)),
            SelectItem::ExprWithAlias { expr, alias } => Some((self.column(expr)?, folded(alias))),
            _ => None,
        }
    }

    fn column(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Identifier(name) => Some(folded(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if self.names.contains(&folded(table)) => Some(folded(column)),
                _ => None,
            },
            Expr::Nested(inner) => self.column(inner),
            _ => None,
        }
    }

    /// `a = 1 AND b = $2 …`
    fn key(&mut self, condition: &Expr) -> Option<Vec<(String, Operand)>> {
        match condition {
            Expr::Nested(inner) => self.key(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                let mut all = self.key(left)?;
                all.extend(self.key(right)?);
                Some(all)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match self.column(left) {
                Some(column) => Some(vec![(column, self.operand(right)?)]),
                None => Some(vec![(self.column(right)?, self.operand(left)?)]),
            },
            _ => None,
        }
    }

    fn assignment(&mut self, assignment: &Assignment) -> Option<(String, NewValue)> {
        let AssignmentTarget::ColumnName(name) = &assignment.target else { return None };
        let [part] = name.0.as_slice() else { return None };
        let column = folded(part.as_ident()?);
        let value = match &assignment.value {
            Expr::BinaryOp { left, op: BinaryOperator::Plus, right } => {
                NewValue::Plus(self.column(left)?, self.operand(right)?)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
                NewValue::Minus(self.column(left)?, self.operand(right)?)
            }
            value => NewValue::Value(self.operand(value)?),
        };
        Some((column, value))
    }

    fn operand(&mut self, expr: &Expr) -> Option<Operand> {
        match expr {
            Expr::Nested(inner) => self.operand(inner),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match (expr.as_ref(), self.operand(expr)?) {
                (Expr::Value(ValueWithSpan { value: Value::Number(..), .. }), Operand::Literal(number)) => {
                    Some(Operand::Negative(number))
                }
                _ => None,
            },
            Expr::Value(value) => match &value.value {
                Value::Number(..) | Value::SingleQuotedString(_) => self.literal(value),
                Value::Placeholder(name) => {
                    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1).map(Operand::Parameter)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The literal that stands where the value does.
    fn literal(&mut self, value: &ValueWithSpan) -> Option<Operand> {
        let start = self.parsed.offset_in_text(value.span.start)?;
        let number = self.skeleton.starts.iter().position(|at| *at == start)?;
        self.seen[number] = true;
        Some(Operand::Literal(number))
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse_script;
    use crate::point::Templates;

    fn is_learned(sql: &str) -> bool {
        let templates = Templates::default();
        let parsed = parse_script(sql).unwrap().pop().unwrap();
        let learned = templates.learn(&parsed).is_some();
        assert_eq!(templates.find(sql).is_some(), learned, "{sql}");
        learned
    }

    #[test]
    fn statements_about_one_row_are_learned() {
        for sql in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
            "select * from s.t where a = 1 and (b = 'x')",
            "select t.a as b from t where -5 = t.a",
            "UPDATE pgbench_accounts SET abalance = abalance + -17 WHERE aid = 5;",
            "update t set a = $1, b = b - $2 where k = $3",
            "delete from t where k = 'it''s'",
        ] {
            assert!(is_learned(sql), "{sql}");
        }
    }

    #[test]
    fn other_statements_are_not() {
        for sql in [
            "select a from t where a > 1",
            "select a from t where a = 1 or a = 2",
            "select a from t where a = 1 limit 1",
            "select distinct a from t where a = 1",
            "select a, 1 from t where a = 1",
            "select a + 1 from t where a = 1",
            "select a from t, u where a = 1",
            "select a from t where a = 1 for update",
            "select a from t where a = (select 1)",
            "with t as (select 1 as a) select a from t where a = 1",
            "update t set a = a * 2 where k = 1",
            "update t set a = 1 where k = 1 returning a",
            "delete from t using u where a = 1",
            "insert into t values (1)",
            "select count(*) from t where a = 1",
        ] {
            assert!(!is_learned(sql), "{sql}");
        }
    }
}
