//! A reader: takes morsels, narrows masks, materialises what is left.

use super::condition::{Condition, Conditions};
use super::metrics::LocalMetrics;
use super::morsel::{MorselColumns, visible_rows};
use super::output::Output;
use super::place::place;
use super::plan::{Morsel, Plan, Scan};
use super::spec::ScanSpec;
use crate::codec::{ColumnBuilder, Mask};
use crate::delta::RowNames;
use crate::error::{Error, Result};
use crate::predicate::RowFilter;
use crate::segment::ZONE_ROWS;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{filter, prep_null_mask_filter};
use arrow::datatypes::Schema;
use std::ops::Range;
use std::sync::Arc;

/// Pulls batches. Ends after the first error.
#[derive(Debug)]
pub struct ScanReader {
    scan: Scan,
    conditions: Conditions,
    output: Output,
    current: Option<Current>,
    metrics: LocalMetrics,
    finished: bool,
}

/// The morsel being materialised.
#[derive(Debug)]
struct Current {
    /// Number of the block.
    block: usize,
    columns: MorselColumns,
    mask: Mask,
    /// First row of the morsel in its block: bit 0 of the mask.
    base: usize,
    /// Zones left to do, as rows of the block, last one first.
    zones: Vec<Range<usize>>,
}

/// What came of a little work.
enum Step {
    Batch(RecordBatch),
    Progress,
    End,
}

/// Columns decoded for row filters, holding the rows that are still alive.
type Decoded = Vec<(usize, ArrayRef)>;

impl Iterator for ScanReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.step()?.transpose() {
                return Some(batch);
            }
        }
    }
}

impl ScanReader {
    pub(super) fn new(scan: Scan) -> ScanReader {
        let plan = &scan.plan;
        let conditions = Conditions::new(&plan.spec, &plan.conditions, &plan.source.schema);
        let output = Output::new(plan);
        ScanReader { scan, conditions, output, current: None, metrics: LocalMetrics::default(), finished: false }
    }

    /// As [`Iterator::next`], but comes back after a bounded amount of work (about one block of rows) even when no row
    /// has passed yet: `Some(Ok(None))` means that there may be more. For callers that must be able to stop in between.
    pub fn step(&mut self) -> Option<Result<Option<RecordBatch>>> {
        let step = self.try_step();
        if !matches!(step, Ok(Step::Batch(_) | Step::Progress)) {
            self.finished = true;
            self.metrics.flush(self.scan.shared_metrics());
        }
        match step {
            Ok(Step::Batch(batch)) => Some(Ok(Some(batch))),
            Ok(Step::Progress) => Some(Ok(None)),
            Ok(Step::End) => None,
            Err(error) => {
                self.output.clear();
                Some(Err(error))
            }
        }
    }

    fn try_step(&mut self) -> Result<Step> {
        if let Some(batch) = self.output.pop() {
            self.metrics.rows_returned += batch.num_rows() as u64;
            return Ok(Step::Batch(batch));
        }
        if self.finished {
            return Ok(Step::End);
        }
        if !self.advance()? {
            self.output.flush()?;
            self.finished = true;
        }
        Ok(Step::Progress)
    }

    /// Does one zone, or starts a morsel; false when there is none left.
    fn advance(&mut self) -> Result<bool> {
        let Some(mut current) = self.current.take() else {
            let scan = self.scan.clone();
            let Some(morsel) = scan.take_morsel() else { return Ok(false) };
            self.current = self.start(&scan.plan, morsel)?;
            return Ok(true);
        };
        match current.zones.pop() {
            Some(rows) => {
                self.materialise(&mut current, rows)?;
                self.current = Some(current);
            }
            None => {
                current.columns.count_reads(&mut self.metrics);
                self.metrics.flush(self.scan.shared_metrics());
            }
        }
        Ok(true)
    }

    /// Finds the rows of a morsel that are visible and pass all conditions on encoded data.
    fn start(&mut self, plan: &Plan, morsel: &Morsel) -> Result<Option<Current>> {
        self.conditions.refresh();
        let mut columns = MorselColumns::open(&plan.source.blocks[morsel.block])?;
        let mut morsel = morsel.clone();
        self.prune(&mut morsel, &columns);
        if morsel.zones == 0 {
            return Ok(None);
        }
        let mut mask = visible_rows(plan, &morsel, &columns)?;
        let base = morsel.rows.start;
        let mut zones = Vec::new();
        for (_, rows) in morsel.zones() {
            let at = rows.start - base;
            let mut alive = count(&mask, at, rows.len());
            self.metrics.rows_filtered += if self.conditions.predicates.is_empty() { 0 } else { alive as u64 };
            for condition in self.conditions.predicates.iter_mut().filter(|condition| condition.is_active()) {
                if alive == 0 {
                    break;
                }
                alive = narrow(condition, &mut columns, rows.clone(), &mut mask, at, alive)?;
            }
            if alive > 0 {
                zones.push(rows);
            }
        }
        zones.reverse();
        Ok(Some(Current { block: morsel.block, columns, mask, base, zones }))
    }

    /// Drops zones by what the dynamic filters know now.
    fn prune(&mut self, morsel: &mut Morsel, columns: &MorselColumns) {
        let Some(footer) = columns.footer().filter(|_| self.conditions.has_dynamic()) else { return };
        let first = morsel.rows.start / ZONE_ROWS;
        for (zone, rows) in morsel.zones() {
            if !self.conditions.dynamic_may_match(footer, zone, rows.len()) {
                morsel.zones &= !(1 << (zone - first));
                self.metrics.zones_pruned_dynamic += 1;
            }
        }
    }

    /// Runs the row filters on a zone and appends what is left to the output.
    fn materialise(&mut self, current: &mut Current, rows: Range<usize>) -> Result<()> {
        let at = rows.start - current.base;
        let mut decoded = Decoded::new();
        let mut alive = count(&current.mask, at, rows.len());
        let active = self.conditions.row_filters.iter_mut().filter(|condition| condition.is_active());
        for condition in active {
            if alive == 0 {
                break;
            }
            let before = alive;
            let passing =
                evaluate(&*condition.filter, current, &rows, alive, &mut decoded, &self.scan, &mut self.metrics)?;
            alive = keep(&passing, current, &rows, &mut decoded, alive)?;
            condition.note(before, alive);
        }
        if alive == 0 {
            return Ok(());
        }
        self.emit(current, rows, alive, &decoded)
    }

    /// Appends the rows alive in a zone.
    fn emit(&mut self, current: &mut Current, rows: Range<usize>, alive: usize, decoded: &Decoded) -> Result<()> {
        let at = rows.start - current.base;
        let ScanSpec { projection, places, .. } = &self.scan.plan.spec;
        let whole = alive == rows.len();
        if whole && !projection.is_empty() && !places && self.output.is_empty() && alive * 2 >= self.output.batch_rows()
        {
            let columns: Option<Vec<ArrayRef>> =
                projection.iter().map(|column| current.columns.plain_slice(*column, rows.clone())).collect();
            if let Some(columns) = columns {
                return self.output.pass(columns, alive);
            }
        }
        let names = self.scan.plan.source.blocks[current.block].names.as_ref();
        let metrics = &mut self.metrics;
        self.output.append(alive, |index, builder| {
            let Some(&column) = projection.get(index) else {
                let places = places_of(current, rows.clone(), names);
                return builder.append_array(&places, None);
            };
            if let Some((_, values)) = decoded.iter().find(|(decoded, _)| *decoded == column) {
                return builder.append_array(values, None);
            }
            metrics.rows_decoded += alive as u64;
            let mask = (!whole).then_some((&current.mask, at));
            current.columns.append(column, rows.clone(), mask, builder)
        })
    }
}

/// Places of the rows alive in a zone.
fn places_of(current: &Current, rows: Range<usize>, names: Option<&RowNames>) -> ArrayRef {
    let alive = rows.filter(|row| current.mask.get(row - current.base));
    Arc::new(UInt64Array::from_iter_values(
        alive.map(|row| place(current.block, names.map_or(row, |names| names[row] as usize))),
    ))
}

/// Rows alive in a zone. Zones begin on a word of the mask, and bits past its end are clear.
fn count(mask: &Mask, at: usize, len: usize) -> usize {
    mask.words[at / 64..(at + len).div_ceil(64)].iter().map(|word| word.count_ones() as usize).sum()
}

/// Evaluates one condition on the rows of a zone; answers how many are left.
fn narrow(
    condition: &mut Condition,
    columns: &mut MorselColumns,
    rows: Range<usize>,
    mask: &mut Mask,
    at: usize,
    alive: usize,
) -> Result<usize> {
    let len = rows.len();
    columns.filter(condition.column, &condition.predicate, rows, mask, at)?;
    let left = count(mask, at, len);
    condition.note(alive, left);
    Ok(left)
}

/// Decodes the columns a row filter needs, as far as no other has, and evaluates it.
fn evaluate(
    row_filter: &dyn RowFilter,
    current: &mut Current,
    rows: &Range<usize>,
    alive: usize,
    decoded: &mut Decoded,
    scan: &Scan,
    metrics: &mut LocalMetrics,
) -> Result<BooleanArray> {
    let schema = &scan.plan.source.schema;
    let at = rows.start - current.base;
    let mut columns = Vec::with_capacity(row_filter.columns().len());
    for &column in row_filter.columns() {
        let field = schema.fields().get(column).ok_or_else(|| Error::Unsupported(format!("no column {column}")))?;
        if !decoded.iter().any(|(known, _)| *known == column) {
            let mut builder = ColumnBuilder::new(field.data_type(), alive);
            let mask = (alive < rows.len()).then_some((&current.mask, at));
            current.columns.append(column, rows.clone(), mask, &mut builder)?;
            metrics.rows_decoded += alive as u64;
            decoded.push((column, builder.finish()?));
        }
        let values = decoded.iter().find(|(known, _)| *known == column).map(|(_, values)| values.clone());
        columns.push(values.expect("decoded above"));
    }
    let fields: Vec<_> = row_filter.columns().iter().map(|column| schema.fields()[*column].clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(alive));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    let passing = row_filter.evaluate(&batch)?;
    if passing.len() != alive {
        return Err(Error::Arrow(format!("a row filter answered {} of {alive} rows", passing.len())));
    }
    Ok(if passing.null_count() > 0 { prep_null_mask_filter(&passing) } else { passing })
}

/// Narrows the mask of a zone to the rows that pass, and the decoded columns with it; answers how many are left.
fn keep(
    passing: &BooleanArray,
    current: &mut Current,
    rows: &Range<usize>,
    decoded: &mut Decoded,
    alive: usize,
) -> Result<usize> {
    let left = passing.true_count();
    if left == alive {
        return Ok(alive);
    }
    let at = rows.start - current.base;
    let mut row = 0;
    for start in (0..rows.len()).step_by(64) {
        let len = (rows.len() - start).min(64);
        let mut word = current.mask.window(at + start);
        word &= u64::MAX >> (64 - len);
        let mut kept = 0;
        while word != 0 {
            kept |= u64::from(passing.value(row)) << word.trailing_zeros();
            row += 1;
            word &= word - 1;
        }
        current.mask.and_word(at + start, kept, len);
    }
    if left > 0 {
        for (_, values) in decoded.iter_mut() {
            *values = filter(values, passing)?;
        }
    }
    Ok(left)
}
