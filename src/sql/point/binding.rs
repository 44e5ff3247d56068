//! A template in one catalog: which table it is about, which columns, of which types.

use super::skeleton::Literal;
use super::template::{Action, NewValue, Operand, Template};
use crate::present::client_schema;
use crate::provider::{arrow_schema, column_type};
use crate::session::Shared;
use crate::text::{ColumnBuilder, InputOptions};
use crate::types::PgType;
use arrow::array::{Array, ArrayRef, AsArray, Int16Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use lightning_catalog::{Relation, Snapshot, Table};
use std::sync::Arc;

/// What an UPDATE does to one column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Sets it.
    Set(Operand),
    /// Sets it to a column of a whole number type plus, or minus, a number.
    Add { column: usize, operand: Operand, is_minus: bool },
}

/// The statement's action on numbers of columns.
#[derive(Debug)]
pub(crate) enum BoundAction {
    Select { projection: Vec<usize>, schema: SchemaRef },
    Update { sets: Vec<(usize, Change)>, sets_key: bool },
    Delete,
}

/// A template bound to a catalog.
#[derive(Debug)]
pub(crate) struct Binding {
    catalog: Arc<Snapshot>,
    search_path: Option<String>,
    user: String,
    pub(crate) table: Arc<Table>,
    pub(crate) columns: SchemaRef,
    /// In key order.
    key: Vec<(PgType, Operand)>,
    pub(crate) action: BoundAction,
}

impl Template {
    /// The template in this catalog, for this session; `None` when it takes more than finding a row.
    pub(super) fn bind(&self, session: &Shared, catalog: &Arc<Snapshot>) -> Option<Arc<Binding>> {
        let search_path = session.info.settings.get("search_path");
        let known = self.bound.lock().clone();
        if let Some(known) = known
            && Arc::ptr_eq(&known.catalog, catalog)
            && known.search_path == search_path
            && known.user == session.info.user
        {
            return Some(known);
        }
        let bound = Arc::new(self.bind_anew(session, catalog, search_path)?);
        *self.bound.lock() = Some(Arc::clone(&bound));
        Some(bound)
    }

    fn bind_anew(&self, session: &Shared, catalog: &Arc<Snapshot>, search_path: Option<String>) -> Option<Binding> {
        let database = session.info.database_oid;
        let path = match &self.schema {
            Some(schema) => vec![schema.clone()],
            // System catalogs come first, whatever the path says.
            None if self.table.starts_with("pg_") => return None,
            None => session.search_path(catalog),
        };
        let schemas: Vec<_> = path
            .iter()
            .filter(|name| *name != "pg_catalog")
            .filter_map(|name| catalog.schema(database, name))
            .collect();
        if schemas.iter().any(|schema| schema.is_system()) {
            return None;
        }
        let found = schemas.iter().find_map(|schema| catalog.relation(schema.oid, &self.table));
        let Relation::Table(table) = found? else { return None };
        // Triggers are for the long way.
        if !table.triggers.is_empty() && !matches!(self.action, Action::Select(_)) {
            return None;
        }
        let primary = table.primary_key.as_ref()?;
        let column = |name: &str| table.column_index(name);
        if primary.columns.len() != self.key.len() {
            return None;
        }
        let key = primary.columns.iter().map(|wanted| {
            let (_, operand) = self.key.iter().find(|(name, _)| column(name) == Some(*wanted))?;
            Some((
                is_plain(column_type(&table.columns[*wanted])).then(|| column_type(&table.columns[*wanted]))?,
                *operand,
            ))
        });
        let key = key.collect::<Option<Vec<_>>>()?;
        let columns = arrow_schema(&table.columns);
        let action = match &self.action {
            Action::Delete => BoundAction::Delete,
            Action::Select(items) => {
                let items: Vec<(usize, String)> = match items {
                    None => table.columns.iter().enumerate().map(|(number, c)| (number, c.name.clone())).collect(),
                    Some(items) => {
                        items.iter().map(|(name, shown)| Some((column(name)?, shown.clone()))).collect::<Option<_>>()?
                    }
                };
                let field = |(number, shown): &(usize, String)| {
                    columns.field(*number).clone().with_name(shown).with_nullable(true)
                };
                let schema = client_schema(&Schema::new(items.iter().map(field).collect::<Vec<_>>()));
                BoundAction::Select { projection: items.iter().map(|(number, _)| *number).collect(), schema }
            }
            Action::Update(sets) => {
                let mut bound: Vec<(usize, Change)> = Vec::new();
                for (name, value) in sets {
                    let number = column(name)?;
                    let pg = column_type(&table.columns[number]);
                    if bound.iter().any(|(known, _)| *known == number) {
                        return None;
                    }
                    let change = match value {
                        NewValue::Value(operand) => is_plain(pg).then_some(Change::Set(*operand))?,
                        NewValue::Plus(from, operand) | NewValue::Minus(from, operand) => {
                            let from = column(from)?;
                            // The sum has the type of the column: both are of one type, and the number is no wider.
                            if !is_integer(pg) || column_type(&table.columns[from]).oid != pg.oid || pg.oid == INT2 {
                                return None;
                            }
                            let is_minus = matches!(value, NewValue::Minus(..));
                            Change::Add { column: from, operand: *operand, is_minus }
                        }
                    };
                    bound.push((number, change));
                }
                let unique =
                    table.indexes.iter().filter(|index| index.is_unique).flat_map(|index| index.column_indexes());
                let keys: Vec<usize> = unique.chain(primary.columns.iter().copied()).collect();
                let sets_key = bound.iter().any(|(number, _)| keys.contains(number));
                BoundAction::Update { sets: bound, sets_key }
            }
        };
        let (catalog, user) = (Arc::clone(catalog), session.info.user.clone());
        Some(Binding { catalog, search_path, user, table: Arc::clone(table), columns, key, action })
    }
}

const INT2: u32 = 21;
const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;

fn is_integer(pg: PgType) -> bool {
    matches!(pg.oid, INT2 | INT4 | INT8)
}

/// Whether values of a type are read from a literal as they are.
fn is_plain(pg: PgType) -> bool {
    is_integer(pg) || matches!(pg.oid, TEXT | VARCHAR)
}

/// What a call brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) literals: &'a [Literal],
    pub(super) parameters: &'a [ScalarValue],
}

impl Values<'_> {
    /// A whole number; `None` when it is anything else.
    pub(super) fn integer(&self, operand: Operand) -> Option<i64> {
        let digits = |number: usize| match self.literals.get(number)? {
            Literal::Number(text) => text.parse::<i64>().ok(),
            Literal::Text(_) => None,
        };
        match operand {
            Operand::Literal(number) => digits(number),
            Operand::Negative(number) => digits(number)?.checked_neg(),
            Operand::Parameter(number) => match self.parameters.get(number)? {
                ScalarValue::Int16(value) => value.map(i64::from),
                ScalarValue::Int32(value) => value.map(i64::from),
                ScalarValue::Int64(value) => *value,
                _ => None,
            },
        }
    }

    /// A string; `None` when it is anything else.
    fn text(&self, operand: Operand) -> Option<&str> {
        match operand {
            Operand::Literal(number) => match self.literals.get(number)? {
                Literal::Text(text) => Some(text),
                Literal::Number(_) => None,
            },
            Operand::Negative(_) => None,
            Operand::Parameter(number) => match self.parameters.get(number)? {
                ScalarValue::Utf8(value) | ScalarValue::Utf8View(value) | ScalarValue::LargeUtf8(value) => {
                    value.as_deref()
                }
                _ => None,
            },
        }
    }

    /// The value of a column of this type; `None` when it takes a conversion or an error.
    pub(super) fn value(&self, operand: Operand, pg: PgType) -> Option<ArrayRef> {
        if is_integer(pg) {
            return integer_array(self.integer(operand)?, pg);
        }
        let zone = crate::text::datetime::utc();
        ColumnBuilder::one(pg, Some(self.text(operand)?), InputOptions { zone }).ok()
    }
}

/// One whole number as a column of this type; `None` when it does not fit.
pub(super) fn integer_array(value: i64, pg: PgType) -> Option<ArrayRef> {
    Some(match pg.oid {
        INT2 => Arc::new(Int16Array::from(vec![i16::try_from(value).ok()?])),
        INT4 => Arc::new(Int32Array::from(vec![i32::try_from(value).ok()?])),
        _ => Arc::new(Int64Array::from(vec![value])),
    })
}

/// The whole number in the first row of a column; `None` for NULL.
pub(super) fn integer_of(column: &ArrayRef) -> Option<i64> {
    let wide = cast(column, &DataType::Int64).ok()?;
    let wide = wide.as_primitive::<arrow::datatypes::Int64Type>();
    wide.is_valid(0).then(|| wide.value(0))
}

impl Binding {
    /// Numbers of the key's columns.
    pub(super) fn key_columns(&self) -> &[usize] {
        self.table.primary_key.as_ref().map_or(&[], |key| &key.columns)
    }

    /// The key, a column each; `None` when a value is of another type.
    pub(super) fn key(&self, values: Values<'_>) -> Option<Vec<ArrayRef>> {
        self.key.iter().map(|(pg, operand)| values.value(*operand, *pg)).collect()
    }
}
