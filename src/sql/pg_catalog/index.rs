//! Indexes as the system relations show them: those of primary keys, of UNIQUE constraints, and the others.

use super::view::{CatalogView, quote_identifier};
use lightning_catalog::{Column, IndexColumn, Oid, Table};
use lightning_storage::TableId;
use std::sync::Arc;

/// One index of a table.
#[derive(Clone, Debug)]
pub struct ShownIndex<'a> {
    /// The table.
    pub table: &'a Arc<Table>,
    /// Identifier.
    pub oid: Oid,
    /// Name.
    pub name: &'a str,
    /// OID of the constraint it is of.
    pub constraint: Option<Oid>,
    /// Whether no two rows may have the same values.
    pub is_unique: bool,
    /// Whether it is of the primary key.
    pub is_primary: bool,
    /// Where storage keeps its entries; those of a primary key are the table's rows.
    pub storage: Option<TableId>,
    columns: Vec<IndexColumn>,
}

impl<'a> ShownIndex<'a> {
    /// The indexes of a table, that of the primary key first.
    pub fn of(table: &'a Arc<Table>) -> impl Iterator<Item = ShownIndex<'a>> {
        let primary = table.primary_key.iter().map(move |key| ShownIndex {
            table,
            oid: key.index_oid,
            name: &key.name,
            constraint: Some(key.oid),
            is_unique: true,
            is_primary: true,
            storage: None,
            columns: key.columns.iter().map(|column| IndexColumn::ascending(*column)).collect(),
        });
        let others = table.indexes.iter().map(move |index| ShownIndex {
            table,
            oid: index.oid,
            name: &index.name,
            constraint: index.constraint,
            is_unique: index.is_unique,
            is_primary: false,
            storage: Some(index.storage_table()),
            columns: index.columns.clone(),
        });
        primary.chain(others)
    }

    /// Its columns, in the order of the index.
    pub fn columns(&self) -> impl Iterator<Item = &'a Column> {
        self.columns.iter().filter_map(|column| self.table.columns.get(column.column))
    }

    /// Positions of its columns in the table, from 1.
    pub fn positions(&self) -> Vec<i64> {
        self.columns().map(|column| i64::from(column.position)).collect()
    }

    /// `indoption` of each column: 1 for DESC, 2 for NULLS FIRST.
    pub fn options(&self) -> Vec<i64> {
        let option = |c: &IndexColumn| i64::from(c.descending) | i64::from(c.nulls_first) << 1;
        self.columns.iter().map(option).collect()
    }

    /// One column as `pg_get_indexdef` shows it, from 1.
    pub fn column_definition(&self, number: usize) -> Option<String> {
        let column = self.columns.get(number.checked_sub(1)?)?;
        self.table.columns.get(column.column).map(|column| quote_identifier(&column.name))
    }

    /// The statement that makes it.
    pub fn definition(&self, view: &CatalogView) -> String {
        let column = |column: &IndexColumn| {
            let name = quote_identifier(&self.table.columns.get(column.column)?.name);
            let order = match (column.descending, column.nulls_first) {
                (false, false) => "",
                (false, true) => " NULLS FIRST",
                (true, true) => " DESC",
                (true, false) => " DESC NULLS LAST",
            };
            Some(format!("{name}{order}"))
        };
        let columns: Vec<String> = self.columns.iter().filter_map(column).collect();
        format!(
            "CREATE {}INDEX {} ON {}.{} USING btree ({})",
            if self.is_unique { "UNIQUE " } else { "" },
            quote_identifier(self.name),
            quote_identifier(view.schema_name(self.table.schema)),
            quote_identifier(&self.table.name),
            columns.join(", ")
        )
    }

    /// `PRIMARY KEY (a, b)` or `UNIQUE (a, b)`.
    pub fn constraint_definition(&self) -> String {
        let columns: Vec<String> = self.columns().map(|column| quote_identifier(&column.name)).collect();
        format!("{} ({})", self.constraint_kind(), columns.join(", "))
    }

    /// `PRIMARY KEY` or `UNIQUE`.
    pub fn constraint_kind(&self) -> &'static str {
        if self.is_primary { "PRIMARY KEY" } else { "UNIQUE" }
    }
}
