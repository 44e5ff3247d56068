//! The conditions of one reader: static and dynamic ones, bound to the columns' types, in the order that pays.

use super::spec::ScanSpec;
use crate::codec::BoundPredicate;
use crate::error::Result;
use crate::predicate::{DynamicFilter, Predicate, RowFilter};
use crate::segment::BlockFooter;
use arrow::datatypes::{DataType, SchemaRef};
use std::sync::Arc;

/// Rows a dynamic condition is tried on before it can be given up.
const TRIAL_ROWS: u64 = 60_000;
/// A dynamic condition that keeps more than this many of 100 rows does not pay.
const KEPT_PERCENT_MAX: u64 = 80;

/// A condition on encoded data.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) column: usize,
    pub(super) predicate: BoundPredicate,
    /// Which dynamic filter it came from; `None` for a static one, which must be evaluated.
    dynamic: Option<usize>,
    cost: f64,
    guess: f64,
    experience: Experience,
}

/// A condition on decoded rows.
#[derive(Clone, Debug)]
pub(super) struct RowCondition {
    pub(super) filter: Arc<dyn RowFilter>,
    dynamic: Option<usize>,
    experience: Experience,
}

/// How many rows met a condition, and how many it kept.
#[derive(Clone, Copy, Debug, Default)]
struct Experience {
    seen: u64,
    kept: u64,
}

impl Experience {
    fn note(&mut self, seen: usize, kept: usize) {
        self.seen += seen as u64;
        self.kept += kept as u64;
    }

    fn does_not_pay(&self) -> bool {
        self.seen >= TRIAL_ROWS && self.kept * 100 > self.seen * KEPT_PERCENT_MAX
    }
}

impl Condition {
    /// Binds a static condition.
    fn bind(predicate: &Predicate, schema: &SchemaRef) -> Result<Condition> {
        Condition::bind_as(predicate, schema, None)
    }

    /// Binds all static conditions; ranges of one column become one.
    pub(super) fn bind_all(predicates: &[Predicate], schema: &SchemaRef) -> Result<Vec<Condition>> {
        let mut conditions: Vec<Condition> = Vec::with_capacity(predicates.len());
        for predicate in predicates {
            let new = Condition::bind(predicate, schema)?;
            let joined = conditions.iter_mut().filter(|known| known.column == new.column).find_map(|known| {
                let predicate = known.predicate.intersect(&new.predicate)?;
                Some((known, predicate))
            });
            match joined {
                Some((known, predicate)) => {
                    known.guess *= new.guess;
                    known.predicate = predicate;
                }
                None => conditions.push(new),
            }
        }
        Ok(conditions)
    }

    fn bind_as(predicate: &Predicate, schema: &SchemaRef, dynamic: Option<usize>) -> Result<Condition> {
        let column = predicate.column();
        let data_type = schema.field(column).data_type();
        let (cost, guess) = (cost(data_type), guess(predicate));
        let predicate = BoundPredicate::bind(predicate, data_type)?;
        Ok(Condition { column, predicate, dynamic, cost, guess, experience: Experience::default() })
    }

    /// Whether a zone can hold a passing row.
    pub(super) fn may_match(&self, footer: &BlockFooter, zone: usize, rows: usize) -> bool {
        let Some(chunk) = footer.columns.get(self.column) else { return true };
        let (min, max, nulls) = chunk.zones.zone(zone);
        self.predicate.may_match(min.as_ref(), max.as_ref(), nulls, rows)
    }

    /// Notes how many of the rows it was evaluated on are left.
    pub(super) fn note(&mut self, seen: usize, kept: usize) {
        self.experience.note(seen, kept);
    }

    /// Whether rows need it evaluated: all static conditions, dynamic ones while they pay.
    pub(super) fn is_active(&self) -> bool {
        self.dynamic.is_none() || !self.experience.does_not_pay()
    }

    /// Whether it came from a dynamic filter.
    pub(super) fn is_dynamic(&self) -> bool {
        self.dynamic.is_some()
    }

    /// Rows dropped per unit of work, negated: smaller runs earlier.
    fn rank(&self) -> f64 {
        let Experience { seen, kept } = self.experience;
        let passing = if seen == 0 { self.guess } else { kept as f64 / seen as f64 };
        (passing - 1.0) / self.cost
    }
}

impl RowCondition {
    fn new(filter: Arc<dyn RowFilter>, dynamic: Option<usize>) -> RowCondition {
        RowCondition { filter, dynamic, experience: Experience::default() }
    }

    /// As for [`Condition::note`].
    pub(super) fn note(&mut self, seen: usize, kept: usize) {
        self.experience.note(seen, kept);
    }

    /// As for [`Condition::is_active`].
    pub(super) fn is_active(&self) -> bool {
        self.dynamic.is_none() || !self.experience.does_not_pay()
    }
}

/// Relative cost of evaluating a condition on one value.
fn cost(data_type: &DataType) -> f64 {
    match data_type {
        DataType::Boolean => 1.0,
        // Stored as 64-bit integers.
        DataType::Decimal128(precision, _) if *precision <= 18 => 1.0,
        other if other.primitive_width().is_some_and(|width| width <= 8) => 1.0,
        other if other.is_primitive() => 2.0,
        _ => 8.0,
    }
}

/// Share of rows thought to pass before there is experience.
fn guess(predicate: &Predicate) -> f64 {
    use crate::predicate::CompareOp::{Eq, NotEq};
    match predicate {
        Predicate::Compare { op: Eq, .. } | Predicate::IsNull { .. } => 0.05,
        Predicate::Compare { op: NotEq, .. } | Predicate::IsNotNull { .. } => 0.95,
        Predicate::Prefix { negated: true, .. } => 0.95,
        Predicate::Compare { .. } => 0.4,
        Predicate::Between { .. } | Predicate::In { .. } | Predicate::Prefix { .. } => 0.2,
        Predicate::InBitmap { .. } => 0.3,
    }
}

/// All conditions of one reader.
#[derive(Debug)]
pub(super) struct Conditions {
    schema: SchemaRef,
    pub(super) predicates: Vec<Condition>,
    pub(super) row_filters: Vec<RowCondition>,
    dynamic: Vec<(Arc<dyn DynamicFilter>, Option<u64>)>,
}

impl Conditions {
    /// The conditions of `spec`, of which `bound` are the static ones on encoded data.
    pub(super) fn new(spec: &ScanSpec, bound: &[Condition], schema: &SchemaRef) -> Conditions {
        Conditions {
            schema: schema.clone(),
            predicates: bound.to_vec(),
            row_filters: spec.row_filters.iter().map(|filter| RowCondition::new(filter.clone(), None)).collect(),
            dynamic: spec.dynamic.iter().map(|filter| (filter.clone(), None)).collect(),
        }
    }

    /// Takes in what the dynamic filters have learnt, and puts the conditions in the order that pays now.
    pub(super) fn refresh(&mut self) {
        for index in 0..self.dynamic.len() {
            let (filter, known) = &self.dynamic[index];
            let generation = filter.generation();
            if *known != Some(generation) {
                let current = filter.current();
                self.dynamic[index].1 = Some(generation);
                self.predicates.retain(|condition| condition.dynamic != Some(index));
                self.row_filters.retain(|condition| condition.dynamic != Some(index));
                // A dynamic condition that storage cannot evaluate is left out: its join or TopK evaluates it anyway.
                let usable = current.predicates.iter().filter(|p| p.column() < self.schema.fields().len());
                let bound = usable.filter_map(|p| Condition::bind_as(p, &self.schema, Some(index)).ok());
                self.predicates.extend(bound);
                let filters = current.row_filters.into_iter();
                self.row_filters.extend(filters.map(|filter| RowCondition::new(filter, Some(index))));
            }
        }
        self.predicates.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
    }

    /// Whether a zone can hold rows that pass the dynamic conditions.
    pub(super) fn dynamic_may_match(&self, footer: &BlockFooter, zone: usize, rows: usize) -> bool {
        let mut dynamic = self.predicates.iter().filter(|condition| condition.is_dynamic());
        dynamic.all(|condition| condition.may_match(footer, zone, rows))
    }

    /// Whether any condition came from a dynamic filter.
    pub(super) fn has_dynamic(&self) -> bool {
        self.predicates.iter().any(Condition::is_dynamic)
    }
}
