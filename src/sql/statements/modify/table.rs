//! The table a statement changes, as its expressions see it.

use super::Scope;
use crate::error::{Error, Result};
use crate::parser::calls::identifier;
use crate::provider::{STATEMENT_SCHEMA, StatementTables};
use crate::scan::{LightningTable, PLACE};
use crate::sqlstate::SYNTAX_ERROR;
use crate::statements::target::{Name, folded};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, TableAlias, TableFactor, VisitMut, VisitorMut};
use lightning_catalog::Table;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a statement's only target is called among its tables.
const TARGET: &str = "target";

/// The table to change, under the name the statement gives it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) table: Arc<Table>,
    /// Its alias, or its name.
    pub(crate) alias: Ident,
    /// What the table with places is called among the statement's tables.
    slot: String,
    /// Schema and name, when columns can be written with both.
    qualified: Option<(String, String)>,
}

impl Target {
    /// Finds the table a statement names.
    pub(crate) fn of(scope: &Scope<'_>, factor: &TableFactor, verb: &str) -> Result<Target> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{factor}\"")));
        };
        if let Some(column) = alias.as_ref().and_then(|alias| alias.columns.first()) {
            return Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{}\"", column.name)));
        }
        Self::named(scope, name, alias.as_ref().map(|alias| &alias.name), verb)
    }

    /// The same for a name and an alias.
    pub(crate) fn named(scope: &Scope<'_>, name: &ObjectName, alias: Option<&Ident>, verb: &str) -> Result<Target> {
        let name = Name::new(scope.run, name)?;
        let table = name.table(&scope.context, verb)?;
        let alias_name = alias.map_or_else(|| table.name.clone(), folded);
        let schema = scope.context.catalog.schema_by_oid(table.schema).map(|schema| schema.name.clone());
        let qualified = match (alias, schema) {
            (None, Some(schema)) => Some((schema, table.name.clone())),
            _ => None,
        };
        Ok(Target { table, alias: identifier(&alias_name), slot: TARGET.to_owned(), qualified })
    }

    /// Calls the table with places something else, when there are several.
    pub(crate) fn rename(&mut self, slot: &str) {
        slot.clone_into(&mut self.slot);
    }

    /// As EXPLAIN names it.
    pub(super) fn shown(&self) -> String {
        match self.alias.value == self.table.name {
            true => self.table.name.clone(),
            false => format!("{} {}", self.table.name, self.alias.value),
        }
    }

    /// The table with places, as the statement's only table of its own.
    pub(crate) fn tables(&self, scope: &Scope<'_>) -> StatementTables {
        let table = LightningTable::of(scope.context.storage.clone(), &self.table).with_places();
        StatementTables::from([(self.slot.clone(), Arc::new(table) as _)])
    }

    /// The table with places in a FROM clause.
    pub(crate) fn factor(&self) -> TableFactor {
        statement_table(&self.slot, &self.alias)
    }

    /// The place of a row.
    pub(crate) fn place(&self) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), identifier(PLACE)])
    }

    /// A column.
    pub(crate) fn column(&self, index: usize) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), identifier(&self.table.columns[index].name)])
    }

    /// Takes the schema off columns written `schema.table.column`: the table goes by its name alone in the query.
    pub(crate) fn unqualify<T: VisitMut>(&self, part: &mut T) {
        if let Some((schema, table)) = &self.qualified {
            let _ = part.visit(&mut Unqualify { schema, table });
        }
    }
}

struct Unqualify<'a> {
    schema: &'a str,
    table: &'a str,
}

impl VisitorMut for Unqualify<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [schema, table, _] = parts.as_slice()
            && folded(schema) == self.schema
            && folded(table) == self.table
        {
            parts.remove(0);
        }
        ControlFlow::Continue(())
    }
}

/// A table of the statement's own in a FROM clause.
pub(crate) fn statement_table(name: &str, alias: &Ident) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![identifier(STATEMENT_SCHEMA), identifier(name)]),
        alias: Some(TableAlias { explicit: true, name: alias.clone(), columns: Vec::new(), at: None }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}
