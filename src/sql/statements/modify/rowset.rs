//! Rows in memory that a query of the statement reads under a name.
//!
//! RETURNING and ON CONFLICT see rows that are in no table yet: the new version of a row, `excluded`, what FROM had beside
//! it. Each becomes a table of the statement's own whose rows are numbered; row n of one belongs to row n of the others, so
//! they are joined by number.

use super::query::alone;
use super::table::statement_table;
use crate::error::Result;
use crate::parser::calls::identifier;
use crate::provider::StatementTables;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, TableFactor, TableWithJoins,
};
use std::sync::Arc;

/// The column that numbers the rows. Users cannot write this name.
const NUMBER: &str = "\u{1}number";

/// Numbered rows under a name.
#[derive(Clone, Debug)]
pub(crate) struct RowSet {
    name: String,
    pub(crate) alias: Ident,
    pub(crate) columns: Vec<String>,
    table: Arc<MemTable>,
}

impl RowSet {
    /// `fields` are the columns of `batches`, under the names they shall have.
    pub(crate) fn new(name: &str, alias: &Ident, fields: Vec<FieldRef>, batches: Vec<Vec<ArrayRef>>) -> Result<RowSet> {
        let columns = fields.iter().map(|f| f.name().clone()).collect();
        let number = Arc::new(Field::new(NUMBER, DataType::Int64, false));
        let nullable = |f: &FieldRef| Arc::new(Field::clone(f).with_nullable(true));
        let schema: SchemaRef =
            Arc::new(Schema::new(fields.iter().map(nullable).chain([number]).collect::<Vec<FieldRef>>()));
        let mut first = 0;
        let mut numbered = Vec::with_capacity(batches.len());
        for columns in batches {
            let rows = columns.first().map_or(0, |c| c.len()) as i64;
            let mut all: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
            for (values, field) in columns.into_iter().zip(schema.fields()) {
                all.push(match values.data_type() == field.data_type() {
                    true => values,
                    false => cast(&values, field.data_type())?,
                });
            }
            all.push(Arc::new(Int64Array::from_iter_values(first..first + rows)));
            let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
            numbered.push(RecordBatch::try_new_with_options(Arc::clone(&schema), all, &options)?);
            first += rows;
        }
        let table = Arc::new(MemTable::try_new(schema, vec![numbered])?);
        Ok(RowSet { name: name.to_owned(), alias: alias.clone(), columns, table })
    }

    /// A column of it.
    pub(crate) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), identifier(name)])
    }

    /// The number of a row.
    pub(crate) fn number(&self) -> Expr {
        self.column(NUMBER)
    }

    fn factor(&self) -> TableFactor {
        statement_table(&self.name, &self.alias)
    }
}

/// The sets as tables of a statement.
pub(crate) fn tables(sets: &[RowSet]) -> StatementTables {
    sets.iter().map(|set| (set.name.clone(), Arc::clone(&set.table) as _)).collect()
}

/// The sets in a FROM clause, row by row.
pub(crate) fn joined(sets: &[RowSet]) -> Vec<TableWithJoins> {
    let Some((first, rest)) = sets.split_first() else { return Vec::new() };
    let mut from = alone(first.factor());
    for set in rest {
        let same =
            Expr::BinaryOp { left: Box::new(first.number()), op: BinaryOperator::Eq, right: Box::new(set.number()) };
        from.joins.push(Join {
            relation: set.factor(),
            global: false,
            join_operator: JoinOperator::Inner(JoinConstraint::On(same)),
        });
    }
    vec![from]
}
