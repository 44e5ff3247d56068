//! Reading a continuous aggregate: kept rows, and marked buckets from the source.

use super::definition::Definition;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::extension::quoted;
use crate::parser::calls::identifier;
use crate::parser::{self, parse_query};
use crate::provider::arrow_schema;
use crate::scan::LightningTable;
use crate::sqlstate::INTERNAL_ERROR;
use crate::statements::modify::table::statement_table;
use arrow::array::{AsArray, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, TableWithJoins};
use lightning_catalog::{Materialized, Relation, View};
use lightning_storage::ScanSpec;
use std::ops::RangeInclusive;

/// The name that the kept rows have in the queries made here.
pub(crate) const ROWS: &str = "rows";
/// More ranges are not asked for one by one.
const RANGES_MAX: usize = 16;

/// Times of the source that have changed since the rows were computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marked {
    /// Ranges that ascend and do not meet.
    pub(crate) ranges: Vec<RangeInclusive<i64>>,
    /// Where the marks are.
    pub(crate) places: Vec<u64>,
}

/// What an aggregate keeps.
pub(crate) fn materialized(view: &View) -> Result<&Materialized> {
    view.materialized
        .as_ref()
        .ok_or_else(|| Error::new(INTERNAL_ERROR, format!("view \"{}\" keeps no rows", view.name)))
}

/// The relation an aggregate reads.
fn source<'a>(kept: &Materialized, context: &'a StatementContext) -> Result<&'a Relation> {
    let source = context.catalog.relation_by_oid(kept.source);
    source.ok_or_else(|| Error::new(INTERNAL_ERROR, "the source of a continuous aggregate is gone"))
}

impl Marked {
    /// The marks of an aggregate in a snapshot, and what its transaction has touched.
    pub(crate) fn of(view: &View, context: &StatementContext) -> Result<Marked> {
        let kept = materialized(view)?;
        let storage = &context.storage;
        let spec = ScanSpec { projection: vec![0, 1], places: true, ..ScanSpec::default() };
        let (mut ranges, mut places) = (Vec::new(), Vec::new());
        for batch in storage.scan(kept.marks(), spec)?.reader() {
            let batch = batch?;
            let first = batch.column(0).as_primitive::<Int64Type>().values();
            let last = batch.column(1).as_primitive::<Int64Type>().values();
            ranges.extend(first.iter().zip(last).map(|(first, last)| *first..=*last));
            places.extend_from_slice(batch.column(2).as_primitive::<UInt64Type>().values());
        }
        let source = source(kept, context)?;
        if let Some(rows) = source.rows() {
            ranges.extend(storage.touched(rows).iter().cloned());
        }
        if let Relation::View(source) = source {
            ranges.extend(Marked::of(source, context)?.of_buckets(source, context)?);
        }
        Ok(Marked { ranges: joined(ranges), places })
    }

    /// When the marked buckets of `view` begin, for those who read it.
    pub(crate) fn of_buckets(&self, view: &View, context: &StatementContext) -> Result<Vec<RangeInclusive<i64>>> {
        let definition = Definition::new(parse_query(&view.definition)?, source(materialized(view)?, context)?)?;
        Ok(self.ranges.iter().map(|range| definition.before(*range.start())..=*range.end()).collect())
    }

    /// The places as storage takes them.
    pub(crate) fn places(&self) -> UInt64Array {
        UInt64Array::from(self.places.clone())
    }
}

/// Ranges that ascend and do not meet, and are not too many.
fn joined(mut ranges: Vec<RangeInclusive<i64>>) -> Vec<RangeInclusive<i64>> {
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Vec<RangeInclusive<i64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    while joined.len() > RANGES_MAX {
        let gap = |at: &usize| joined[at + 1].start().saturating_sub(*joined[*at].end());
        let closest = (0..joined.len() - 1).min_by_key(gap).unwrap_or_default();
        let both = *joined[closest].start()..=*joined[closest + 1].end();
        joined.splice(closest..closest + 2, [both]);
    }
    joined
}

/// Queries of an aggregate whose buckets in some ranges are marked.
pub(crate) struct Queries<'a> {
    view: &'a View,
    kept: &'a Materialized,
    definition: Definition,
    marked: &'a Marked,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(view: &'a View, context: &StatementContext, marked: &'a Marked) -> Result<Queries<'a>> {
        let kept = materialized(view)?;
        let definition = Definition::new(parse_query(&view.definition)?, source(kept, context)?)?;
        Ok(Queries { view, kept, definition, marked })
    }

    /// What the aggregate has: kept rows where nothing is marked, the source's where something is.
    pub(crate) fn all(&self) -> Result<Query> {
        if self.marked.ranges.is_empty() {
            return self.of_rows("SELECT * FROM t".to_owned());
        }
        let kept = self.of_rows(format!("SELECT * FROM t WHERE NOT {}", self.marked_rows()?))?;
        let mut both = parse_query("SELECT 1 UNION ALL SELECT 1")?;
        let SetExpr::SetOperation { left, right, .. } = both.body.as_mut() else { return Ok(both) };
        *left = kept.body;
        *right = self.computed()?.body;
        Ok(both)
    }

    /// The marked buckets, computed from the source.
    pub(crate) fn computed(&self) -> Result<Query> {
        let rows = self.marked.ranges.iter().map(|range| self.definition.row_in(*range.start(), *range.end()));
        let condition = self.unexpired(rows.collect::<Result<Vec<_>>>()?.join(" OR "), &self.definition.bucket());
        let condition = parser::parse_expression(&condition)?;
        let mut query = self.definition.query.clone();
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.selection = Some(match select.selection.take() {
                None => condition,
                Some(before) => Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new(before))),
                    op: BinaryOperator::And,
                    right: Box::new(Expr::Nested(Box::new(condition))),
                },
            });
        }
        Ok(query)
    }

    /// The places of kept rows that are marked.
    pub(crate) fn outdated(&self) -> Result<Query> {
        self.of_rows(format!("SELECT \"{}\" FROM t WHERE {}", crate::scan::PLACE, self.marked_rows()?))
    }

    /// That a kept row is marked.
    fn marked_rows(&self) -> Result<String> {
        let column = quoted(&self.view.columns[self.kept.bucket].name);
        let ranges = self.marked.ranges.iter();
        let ranges = ranges.map(|range| self.definition.bucket_in(&column, *range.start(), *range.end()));
        Ok(self.unexpired(ranges.collect::<Result<Vec<_>>>()?.join(" OR "), &column))
    }

    /// A condition, but for buckets of which rows have expired.
    fn unexpired(&self, condition: String, bucket: &str) -> String {
        match self.kept.expired_before {
            None => format!("({condition})"),
            Some(time) => format!("(({condition}) AND {})", self.definition.begins_from(bucket, time)),
        }
    }

    /// A query of the kept rows, which it calls `t`.
    fn of_rows(&self, sql: String) -> Result<Query> {
        let mut query = parse_query(&sql)?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            let relation = statement_table(ROWS, &identifier("t"));
            select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
        }
        Ok(query)
    }
}

/// The kept rows as a table of a statement.
pub(crate) fn rows_table(view: &View, context: &StatementContext) -> Result<LightningTable> {
    let kept = materialized(view)?;
    Ok(LightningTable::new(context.storage.clone(), kept.rows(), &view.name, arrow_schema(&view.columns)))
}
