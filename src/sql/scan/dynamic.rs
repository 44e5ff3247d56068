//! Conditions learned while a query runs, for storage.
//!
//! A hash join knows the keys of its build side before it reads the first probe row; a TopK knows a threshold; both
//! publish it as a `DynamicFilterPhysicalExpr` whose expression changes under the scan. Evaluating that expression row by
//! row costs more than it saves surprisingly often: it hashes, it routes through `CASE hash % n`, it follows pointers.
//! So whenever the expression changes, it is turned into something the scan can do cheaply:
//!
//! 1. The interval it implies for each column ([`Bounds`]) prunes whole zones.
//! 2. A condition on one integer-like column whose interval is not much longer than the table is *tabulated*: evaluated
//!    once for every value of the interval, giving one bit a value. Whatever the expression was (a hash table, CASE,
//!    a list), the scan then tests a bit.
//! 3. What remains is evaluated on decoded rows; storage gives that up when it drops too few of them.
//!
//! A join partitioned by key ranges publishes `CASE range_partition(key) WHEN 0 THEN … END`. A scan that reads exactly one
//! of those ranges takes its branch.
//!
//! Dropping too few rows is always allowed, dropping too many never: every step widens when in doubt.

use super::bounds::{Bounds, as_integers};
use super::condition::{nothing, translate};
use super::literal::{is_filterable, is_integer_like};
use super::row_filter::{ExpressionFilter, compact, evaluate_condition, rebatch};
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{CaseExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, SplitPoint, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::repartition::RangeExpr;
use lightning_storage::{CompareOp, DynamicConditions, DynamicFilter, Predicate, RowFilter};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values tabulated at a time.
const TABULATE_STEP: usize = 8192;
/// Longest interval worth tabulating, whatever the table's size.
const TABULATE_MAX: u64 = 64 << 20;
/// Shortest interval that is tabulated however small the table.
const TABULATE_MIN: u64 = 64 << 10;
/// A bitmap with more than this share of its bits set is not worth testing.
const SET_PERCENT_MAX: usize = 80;

/// The key range one partition of a scan reads.
#[derive(Clone, Debug)]
pub(super) struct KeyRange {
    /// Place among the ranges.
    pub(super) partition: usize,
    /// Where all of the scan's ranges meet.
    pub(super) split_points: Arc<Vec<SplitPoint>>,
}

/// One dynamic filter of one scan.
#[derive(Debug)]
pub(super) struct DynamicExpression {
    expression: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// Smallest and largest value of each column, when known.
    domains: Arc<Vec<Option<(ScalarValue, ScalarValue)>>>,
    rows: u64,
    range: Option<KeyRange>,
    known: Mutex<Option<Known>>,
}

/// The conditions of one generation of the expression.
#[derive(Debug)]
struct Known {
    generation: u64,
    conditions: DynamicConditions,
}

/// What does not differ between the filters of a scan.
#[derive(Clone, Debug)]
pub(super) struct DynamicContext {
    /// The table's columns.
    pub(super) schema: SchemaRef,
    /// Smallest and largest value of each column, when known.
    pub(super) domains: Arc<Vec<Option<(ScalarValue, ScalarValue)>>>,
    /// Rows of the table.
    pub(super) rows: u64,
    /// The part of the table this scan reads.
    pub(super) range: Option<KeyRange>,
}

impl DynamicExpression {
    /// `expression` over the columns of the table.
    pub(super) fn new(expression: &Arc<dyn PhysicalExpr>, context: DynamicContext) -> Self {
        Self {
            expression: Arc::clone(expression),
            schema: context.schema,
            domains: context.domains,
            rows: context.rows,
            range: context.range,
            known: Mutex::new(None),
        }
    }

    fn conditions(&self) -> datafusion::common::Result<DynamicConditions> {
        let snapshot = snapshot_physical_expr(Arc::clone(&self.expression))?;
        let mut conjuncts = Vec::new();
        self.split(&snapshot, &mut conjuncts);
        let mut conditions = DynamicConditions::default();
        let mut single: BTreeMap<usize, Vec<Arc<dyn PhysicalExpr>>> = BTreeMap::new();
        for conjunct in conjuncts {
            let columns = collect_columns(&conjunct);
            match columns.iter().next() {
                None if is_false(&conjunct) => return Ok(self.never()),
                None => {}
                Some(column) if columns.len() == 1 => single.entry(column.index()).or_default().push(conjunct),
                Some(_) => {
                    for column in &columns {
                        if !self.push_bounds(&conjunct, column.index(), &mut conditions) {
                            return Ok(self.never());
                        }
                    }
                    self.push_row_filter(&conjunct, &mut conditions)?;
                }
            }
        }
        for (column, conjuncts) in single {
            if !self.push_single(column, &conjuncts, &mut conditions)? {
                return Ok(self.never());
            }
        }
        Ok(conditions)
    }

    /// Conjuncts of `expression`, with the branch of this scan's key range in place of a choice by range.
    fn split(&self, expression: &Arc<dyn PhysicalExpr>, out: &mut Vec<Arc<dyn PhysicalExpr>>) {
        for conjunct in split_conjunction(expression) {
            match self.own_branch(conjunct) {
                Some(branch) => self.split(branch, out),
                None => out.push(Arc::clone(conjunct)),
            }
        }
    }

    fn own_branch<'a>(&self, expression: &'a Arc<dyn PhysicalExpr>) -> Option<&'a Arc<dyn PhysicalExpr>> {
        let range = self.range.as_ref()?;
        let case = expression.downcast_ref::<CaseExpr>()?;
        let route = case.expr()?.downcast_ref::<RangeExpr>()?;
        if route.split_points() != range.split_points.as_slice() {
            return None;
        }
        case.when_then_expr().get(range.partition).map(|(_, then)| then).or(case.else_expr())
    }

    fn never(&self) -> DynamicConditions {
        DynamicConditions { predicates: nothing(&self.schema).into_iter().collect(), row_filters: Vec::new() }
    }

    /// Adds the interval `expression` implies for `column`; false when it is empty.
    fn push_bounds(&self, expression: &Arc<dyn PhysicalExpr>, column: usize, out: &mut DynamicConditions) -> bool {
        match Bounds::of(expression, column, &self.schema) {
            Bounds::Empty => false,
            Bounds::Range(low, high) => {
                self.push_range(column, low.as_ref(), high.as_ref(), out);
                true
            }
        }
    }

    fn push_range(
        &self,
        column: usize,
        low: Option<&ScalarValue>,
        high: Option<&ScalarValue>,
        out: &mut DynamicConditions,
    ) {
        if !is_filterable(self.schema.field(column).data_type()) {
            return;
        }
        let array = |value: &ScalarValue| value.to_array().ok();
        let predicate = match (low.and_then(array), high.and_then(array)) {
            (Some(low), Some(high)) => Predicate::Between { column, low, high },
            (Some(value), None) => Predicate::Compare { column, op: CompareOp::GtEq, value },
            (None, Some(value)) => Predicate::Compare { column, op: CompareOp::LtEq, value },
            (None, None) => return,
        };
        out.predicates.push(predicate);
    }

    /// Adds the conditions on one column; false when they can never hold.
    fn push_single(
        &self,
        column: usize,
        conjuncts: &[Arc<dyn PhysicalExpr>],
        out: &mut DynamicConditions,
    ) -> datafusion::common::Result<bool> {
        let bounds = conjuncts
            .iter()
            .map(|conjunct| Bounds::of(conjunct, column, &self.schema))
            .fold(Bounds::Range(None, None), Bounds::intersect);
        let Bounds::Range(low, high) = bounds else { return Ok(false) };
        let rest: Vec<&Arc<dyn PhysicalExpr>> =
            conjuncts.iter().filter(|conjunct| !self.is_covered_by_bounds(conjunct)).collect();
        if low.is_none() && high.is_none() {
            return self.push_rest(&rest, out).map(|()| true);
        }
        self.push_range(column, low.as_ref(), high.as_ref(), out);
        if rest.is_empty() {
            return Ok(true);
        }
        match self.tabulate(column, low.as_ref(), high.as_ref(), &rest)? {
            Table::None => self.push_rest(&rest, out)?,
            Table::Useless => {}
            Table::Bits(base, bits) => out.predicates.push(Predicate::InBitmap { column, base, bits: Arc::new(bits) }),
            Table::Empty => return Ok(false),
        }
        Ok(true)
    }

    /// Comparisons that the interval says in full.
    fn is_covered_by_bounds(&self, conjunct: &Arc<dyn PhysicalExpr>) -> bool {
        matches!(
            translate(conjunct, &self.schema),
            Some(Predicate::Compare { op: CompareOp::GtEq | CompareOp::LtEq | CompareOp::Eq, .. })
        )
    }

    fn push_rest(
        &self,
        rest: &[&Arc<dyn PhysicalExpr>],
        out: &mut DynamicConditions,
    ) -> datafusion::common::Result<()> {
        for conjunct in rest {
            match translate(conjunct, &self.schema) {
                Some(predicate) => out.predicates.push(predicate),
                None => self.push_row_filter(conjunct, out)?,
            }
        }
        Ok(())
    }

    fn push_row_filter(
        &self,
        conjunct: &Arc<dyn PhysicalExpr>,
        out: &mut DynamicConditions,
    ) -> datafusion::common::Result<()> {
        let filter = ExpressionFilter::try_new(conjunct, &self.schema, Arc::default())?;
        out.row_filters.push(Arc::new(OptionalFilter(filter)));
        Ok(())
    }

    /// Evaluates the conjuncts for every value from `low` to `high`, the column's own bounds permitting.
    fn tabulate(
        &self,
        column: usize,
        low: Option<&ScalarValue>,
        high: Option<&ScalarValue>,
        conjuncts: &[&Arc<dyn PhysicalExpr>],
    ) -> datafusion::common::Result<Table> {
        let data_type = self.schema.field(column).data_type();
        let Some((low, high)) = self.interval(column, low, high) else { return Ok(Table::None) };
        if low > high {
            return Ok(Table::Empty);
        }
        let span = high.abs_diff(low).saturating_add(1);
        if !is_integer_like(data_type) || span > TABULATE_MAX || span > TABULATE_MIN.max(2 * self.rows) {
            return Ok(Table::None);
        }
        let mut table = Tabulation::new(data_type, low, span as usize);
        for conjunct in conjuncts {
            let (expression, _, schema) = compact(conjunct, &self.schema)?;
            if passes_null(&expression, &schema)? {
                return Ok(Table::None);
            }
            table.restrict(&expression, &schema)?;
        }
        Ok(table.finish())
    }

    fn interval(&self, column: usize, low: Option<&ScalarValue>, high: Option<&ScalarValue>) -> Option<(i64, i64)> {
        let domain = self.domains.get(column)?.as_ref();
        let (low, high) = (low.or(domain.map(|d| &d.0))?, high.or(domain.map(|d| &d.1))?);
        let (low, high) = as_integers(low, high)?;
        match domain.and_then(|(min, max)| as_integers(min, max)) {
            Some((min, max)) => Some((low.max(min), high.min(max))),
            None => Some((low, high)),
        }
    }
}

impl DynamicFilter for DynamicExpression {
    fn generation(&self) -> u64 {
        snapshot_generation(&self.expression)
    }

    fn current(&self) -> DynamicConditions {
        let generation = self.generation();
        let mut known = self.known.lock();
        if known.as_ref().is_none_or(|known| known.generation != generation) {
            // A condition that cannot be evaluated is one the scan does not apply; the operator above reports the error.
            let conditions = self.conditions().unwrap_or_default();
            *known = Some(Known { generation, conditions });
        }
        known.as_ref().map(|known| known.conditions.clone()).unwrap_or_default()
    }
}

fn is_false(expression: &Arc<dyn PhysicalExpr>) -> bool {
    expression.downcast_ref::<Literal>().is_some_and(|literal| literal.value() != &ScalarValue::Boolean(Some(true)))
}

fn passes_null(expression: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> datafusion::common::Result<bool> {
    let schema: SchemaRef = Arc::new(Schema::new(
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ));
    let batch = rebatch(&schema, vec![new_null_array(schema.field(0).data_type(), 1)], 1)?;
    let value = evaluate_condition(expression, &batch)?;
    Ok(value.is_valid(0) && value.value(0))
}

/// Outcome of tabulating a condition.
enum Table {
    /// Not possible or not worth it.
    None,
    /// It holds for nearly every value of the interval.
    Useless,
    /// It holds for no value.
    Empty,
    /// Base and bits.
    Bits(i64, Vec<u64>),
}

/// A condition as one bit per value of an interval.
struct Tabulation {
    data_type: DataType,
    low: i64,
    span: usize,
    bits: Vec<u64>,
}

impl Tabulation {
    fn new(data_type: &DataType, low: i64, span: usize) -> Self {
        let mut bits = vec![u64::MAX; span.div_ceil(64)];
        if !span.is_multiple_of(64)
            && let Some(last) = bits.last_mut()
        {
            *last = (1 << (span % 64)) - 1;
        }
        Self { data_type: data_type.clone(), low, span, bits }
    }

    /// Clears the bits of values for which `expression`, over the one column of `schema`, does not hold.
    fn restrict(&mut self, expression: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> datafusion::common::Result<()> {
        for start in (0..self.span).step_by(TABULATE_STEP) {
            let len = TABULATE_STEP.min(self.span - start);
            let batch = rebatch(schema, vec![self.values(start, len)?], len)?;
            let holds = evaluate_condition(expression, &batch)?;
            let holds = match holds.nulls() {
                Some(nulls) => holds.values() & nulls.inner(),
                None => holds.values().clone(),
            };
            let words = start / 64..(start + len).div_ceil(64);
            for (word, bits) in self.bits[words].iter_mut().zip(holds.bit_chunks().iter_padded()) {
                *word &= bits;
            }
        }
        Ok(())
    }

    fn values(&self, start: usize, len: usize) -> datafusion::common::Result<ArrayRef> {
        let first = self.low + start as i64;
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + len as i64));
        // Dates cast from 32-bit integers only.
        match self.data_type {
            DataType::Date32 => {
                let days = cast(&values, &DataType::Int32)?;
                Ok(cast(&arrow::array::AsArray::as_primitive::<Int32Type>(&days), &DataType::Date32)?)
            }
            _ => Ok(cast(&values, &self.data_type)?),
        }
    }

    fn finish(self) -> Table {
        let set: usize = self.bits.iter().map(|word| word.count_ones() as usize).sum();
        match set {
            0 => Table::Empty,
            _ if set * 100 > self.span * SET_PERCENT_MAX => Table::Useless,
            _ => Table::Bits(self.low, self.bits),
        }
    }
}

/// A row filter that is only an optimisation: an evaluation error keeps all rows, because the operator that published the
/// condition evaluates it again on those that matter. Storage stops asking when it keeps nearly everything.
#[derive(Debug)]
struct OptionalFilter(ExpressionFilter);

impl RowFilter for OptionalFilter {
    fn columns(&self) -> &[usize] {
        self.0.columns()
    }

    fn evaluate(&self, batch: &RecordBatch) -> lightning_storage::Result<BooleanArray> {
        Ok(self.0.evaluate(batch).unwrap_or_else(|_| BooleanArray::from(vec![true; batch.num_rows()])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::execution::context::SessionContext;
    use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Int32, true),
            Field::new("s", DataType::Utf8View, true),
        ]))
    }

    fn physical(sql: &str) -> Arc<dyn PhysicalExpr> {
        let context = SessionContext::new();
        let df_schema = DFSchema::try_from(schema()).unwrap();
        let expr = context.parse_sql_expr(sql, &df_schema).unwrap();
        context.create_physical_expr(expr, &df_schema).unwrap()
    }

    fn filter() -> (Arc<DynamicFilterPhysicalExpr>, DynamicExpression) {
        let columns = [("a", 0), ("b", 1), ("s", 2)].map(|(name, i)| Arc::new(Column::new(name, i)) as _);
        let published = Arc::new(DynamicFilterPhysicalExpr::new(columns.to_vec(), lit(true)));
        let expression: Arc<dyn PhysicalExpr> = Arc::clone(&published) as _;
        let domains = vec![Some((ScalarValue::from(0i32), ScalarValue::from(1_000_000i32))), None, None];
        let context = DynamicContext { schema: schema(), domains: Arc::new(domains), rows: 1000, range: None };
        (published, DynamicExpression::new(&expression, context))
    }

    fn conditions(sql: &str) -> DynamicConditions {
        let (published, filter) = filter();
        assert!(filter.current().predicates.is_empty());
        let before = filter.generation();
        published.update(physical(sql)).unwrap();
        assert_ne!(filter.generation(), before);
        filter.current()
    }

    fn bits(predicate: &Predicate) -> Vec<i64> {
        let Predicate::InBitmap { base, bits, .. } = predicate else { panic!("{predicate:?}") };
        let set = |i: &usize| bits[i / 64] & (1 << (i % 64)) != 0;
        (0..bits.len() * 64).filter(set).map(|i| base + i as i64).collect()
    }

    #[test]
    fn membership_in_a_narrow_interval_becomes_a_bitmap() {
        let conditions = conditions("a >= 100 AND a <= 200 AND a % 7 = 0");
        assert!(matches!(conditions.predicates[0], Predicate::Between { column: 0, .. }));
        assert_eq!(bits(&conditions.predicates[1]), (100..=200).filter(|a| a % 7 == 0).collect::<Vec<i64>>());
        assert!(conditions.row_filters.is_empty());
    }

    #[test]
    fn bitmaps_longer_than_a_step_keep_every_bit() {
        let conditions = conditions("a >= 5 AND a <= 30004 AND a % 3 = 1");
        assert_eq!(bits(&conditions.predicates[1]), (5..=30004).filter(|a| a % 3 == 1).collect::<Vec<i64>>());
    }

    #[test]
    fn wide_intervals_keep_bounds_and_a_row_filter() {
        let conditions = conditions("a >= 0 AND a <= 900000 AND a % 7 = 0");
        assert!(matches!(conditions.predicates[..], [Predicate::Between { column: 0, .. }]));
        assert_eq!(conditions.row_filters.len(), 1);
    }

    #[test]
    fn conditions_that_null_passes_are_not_tabulated() {
        let conditions = conditions("a IS NULL OR a % 7 = 0");
        assert!(conditions.predicates.is_empty());
        assert_eq!(conditions.row_filters.len(), 1);
    }

    #[test]
    fn conditions_on_several_columns_bound_each() {
        let conditions = conditions("(a = 1 AND b = 2) OR (a = 5 AND b = 9)");
        let between = |predicate: &Predicate| {
            let Predicate::Between { column, low, high } = predicate else { panic!() };
            let value = |array: &ArrayRef| array.as_primitive::<Int32Type>().value(0);
            (*column, value(low), value(high))
        };
        let mut bounds: Vec<_> = conditions.predicates.iter().map(between).collect();
        bounds.sort_unstable();
        assert_eq!(bounds, [(0, 1, 5), (1, 2, 9)]);
        assert_eq!(conditions.row_filters.len(), 1);
    }

    #[test]
    fn impossible_conditions_select_nothing() {
        let conditions = conditions("a = 5 AND a = 6");
        assert!(matches!(&conditions.predicates[..], [Predicate::In { values, .. }] if values.is_empty()));
    }
}
