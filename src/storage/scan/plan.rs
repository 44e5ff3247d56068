//! A planned scan: which zones are left, cut into morsels.

use super::condition::Condition;
use super::metrics::ScanMetrics;
use super::reader::ScanReader;
use super::source::{BlockRows, ScanSource};
use super::spec::ScanSpec;
use crate::error::{Error, Result};
use crate::segment::ZONE_ROWS;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most zones of a morsel: those of a full block.
pub(super) const MORSEL_ZONES_MAX: usize = 15;
/// Morsels a scan is cut into at least, if it has as many zones, so that a few readers end at about the same time.
const MORSELS_WANTED: usize = 16;

/// A planned scan over one snapshot. Readers of one `Scan` share its morsel queue.
#[derive(Clone, Debug)]
pub struct Scan {
    pub(super) plan: Arc<Plan>,
    next_morsel: Arc<AtomicUsize>,
    metrics: Arc<ScanMetrics>,
}

/// What does not change while a scan runs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) source: Arc<ScanSource>,
    /// The source without regard to the conditions.
    origin: Arc<ScanSource>,
    pub(super) rows: RowRange,
    pub(super) spec: ScanSpec,
    pub(super) schema: SchemaRef,
    pub(super) conditions: Vec<Condition>,
    pub(super) morsels: Vec<Morsel>,
    zones: u64,
    zones_pruned: u64,
}

/// A place between rows: a block and a row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) block: usize,
    pub(super) row: usize,
}

/// The rows a scan is confined to.
pub(super) type RowRange = Range<Position>;

/// Some zones of a block, read in one go.
#[derive(Clone, Debug)]
pub(super) struct Morsel {
    pub(super) block: usize,
    /// Rows of the block, from the beginning of a zone.
    pub(super) rows: Range<usize>,
    /// The first row that is wanted; before `rows.start + ZONE_ROWS`.
    pub(super) first_row: usize,
    /// Bit per zone from the first on: not pruned.
    pub(super) zones: u32,
}

impl Morsel {
    /// Its zones that are left: index within the block and rows of the block.
    pub(super) fn zones(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (rows, zones) = (self.rows.clone(), self.zones);
        rows.clone().step_by(ZONE_ROWS).enumerate().filter_map(move |(index, start)| {
            let zone = (start / ZONE_ROWS, start..rows.end.min(start + ZONE_ROWS));
            (zones >> index & 1 == 1).then_some(zone)
        })
    }

    /// Rows in zones that are left.
    fn row_count(&self) -> usize {
        self.zones().map(|(_, rows)| rows.end - rows.start.max(self.first_row)).sum()
    }
}

impl Scan {
    /// Plans a scan of `source`: binds the conditions and prunes zones.
    pub(crate) fn plan(source: Arc<ScanSource>, spec: ScanSpec) -> Result<Scan> {
        let all = Position { block: 0, row: 0 }..Position { block: source.blocks.len(), row: 0 };
        Scan::plan_range(source, spec, all)
    }

    /// Plans a scan of the rows in `range`.
    pub(super) fn plan_range(origin: Arc<ScanSource>, spec: ScanSpec, rows: RowRange) -> Result<Scan> {
        check_columns(&spec, &origin.schema)?;
        let source = origin.decoded(&spec.predicates);
        let conditions = Condition::bind_all(&spec.predicates, &source.schema)?;
        let projected = spec.projection.iter().map(|column| source.schema.fields()[*column].clone());
        let place = spec.places.then(|| Arc::new(Field::new("place", DataType::UInt64, false)));
        let fields: Vec<_> = projected.chain(place).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, source.schema.metadata().clone()));
        let (morsels, zones, zones_pruned) = (Vec::new(), 0, 0);
        let mut plan = Plan { source, origin, rows, spec, schema, conditions, morsels, zones, zones_pruned };
        plan.cut()?;
        Ok(Scan::over(Arc::new(plan)))
    }

    fn over(plan: Arc<Plan>) -> Scan {
        let metrics = ScanMetrics::default();
        metrics.zones.store(plan.zones, Ordering::Relaxed);
        metrics.zones_pruned.store(plan.zones_pruned, Ordering::Relaxed);
        Scan { plan, next_morsel: Arc::default(), metrics: Arc::new(metrics) }
    }

    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema.clone()
    }

    /// Rows in morsels not pruned yet: an upper bound.
    pub fn rows_upper_bound(&self) -> u64 {
        self.plan.row_count() as u64
    }

    /// Cuts a clustered scan into at most `parts` scans over disjoint ascending ranges of the first key column (no key
    /// value in two of them), about equal in rows; returns the scans and the first key value of every part but the
    /// first. `None` when the table is not clustered or too small.
    pub fn split_by_key(&self, parts: usize) -> Result<Option<(Vec<Scan>, Vec<ArrayRef>)>> {
        super::split::split_by_key(&self.plan, parts)
    }

    /// Rewinds: a scan with the same plan and a fresh queue and metrics.
    pub fn fresh(&self) -> Scan {
        Scan::over(self.plan.clone())
    }

    /// A scan of the same rows (of the same key range, after [`Scan::split_by_key`]) under another spec.
    pub fn with_spec(&self, spec: ScanSpec) -> Result<Scan> {
        Scan::plan_range(self.plan.origin.clone(), spec, self.plan.rows.clone())
    }

    /// A reader that takes morsels from the shared queue, in block order if it is the only one.
    pub fn reader(&self) -> ScanReader {
        ScanReader::new(self.clone())
    }

    /// Counters shared by all readers.
    pub fn metrics(&self) -> Arc<ScanMetrics> {
        self.metrics.clone()
    }

    /// The next morsel nobody has taken.
    pub(super) fn take_morsel(&self) -> Option<&Morsel> {
        // Relaxed: the plan was complete before any reader was made; only the count itself is contended.
        let next = self.next_morsel.fetch_add(1, Ordering::Relaxed);
        if next >= self.plan.morsels.len() {
            // Stay at the end, however often exhausted readers ask.
            self.next_morsel.store(self.plan.morsels.len(), Ordering::Relaxed);
        }
        self.plan.morsels.get(next)
    }

    /// Where readers count.
    pub(super) fn shared_metrics(&self) -> &ScanMetrics {
        &self.metrics
    }
}

impl Plan {
    /// Rows in zones that are left.
    pub(super) fn row_count(&self) -> usize {
        self.morsels.iter().map(Morsel::row_count).sum()
    }

    /// Prunes zones and cuts what is left into morsels.
    fn cut(&mut self) -> Result<()> {
        let total: usize = self.wanted_blocks().map(|(_, rows)| zones_of(&rows).len()).sum();
        let zones_per_morsel = (total / MORSELS_WANTED).clamp(1, MORSEL_ZONES_MAX);
        let mut morsels = Vec::new();
        let (mut zones, mut zones_pruned) = (0, 0);
        for (block, rows) in self.wanted_blocks() {
            let alive = self.alive_zones(block, zones_of(&rows))?;
            zones += alive.len() as u64;
            zones_pruned += alive.iter().filter(|alive| !**alive).count() as u64;
            let first_zone = zones_of(&rows).start;
            for (index, alive) in alive.chunks(zones_per_morsel).enumerate() {
                let bits = alive.iter().enumerate().fold(0u32, |bits, (zone, alive)| bits | u32::from(*alive) << zone);
                let start = (first_zone + index * zones_per_morsel) * ZONE_ROWS;
                let end = rows.end.min(start + alive.len() * ZONE_ROWS);
                if bits != 0 {
                    morsels.push(Morsel { block, rows: start..end, first_row: start.max(rows.start), zones: bits });
                }
            }
        }
        (self.morsels, self.zones, self.zones_pruned) = (morsels, zones, zones_pruned);
        Ok(())
    }

    /// Blocks with rows in the range, and which of their rows.
    fn wanted_blocks(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (start, end) = (self.rows.start, self.rows.end);
        let last = (end.block + 1).min(self.source.blocks.len());
        (start.block..last).filter_map(move |block| {
            let rows = self.source.blocks[block].row_count();
            let first = if block == start.block { start.row } else { 0 };
            let last = if block == end.block { end.row.min(rows) } else { rows };
            (first < last).then_some((block, first..last))
        })
    }

    /// Which of the zones of a block can hold a passing row.
    fn alive_zones(&self, block: usize, zones: Range<usize>) -> Result<Vec<bool>> {
        let source = &self.source.blocks[block];
        let BlockRows::Column(column_block) = &source.rows else { return Ok(vec![true; zones.len()]) };
        if self.conditions.is_empty() {
            return Ok(vec![true; zones.len()]);
        }
        let footer = column_block.footer()?;
        let alive = |zone: usize| {
            let rows = ZONE_ROWS.min(column_block.rows() - zone * ZONE_ROWS);
            self.conditions.iter().all(|condition| condition.may_match(&footer, zone, rows))
        };
        Ok(zones.map(alive).collect())
    }
}

/// Zones that hold rows of `rows`.
fn zones_of(rows: &Range<usize>) -> Range<usize> {
    rows.start / ZONE_ROWS..rows.end.div_ceil(ZONE_ROWS)
}

fn check_columns(spec: &ScanSpec, schema: &SchemaRef) -> Result<()> {
    let filters = spec.row_filters.iter().flat_map(|filter| filter.columns().iter().copied());
    let predicates = spec.predicates.iter().map(|predicate| predicate.column());
    let mut columns = spec.projection.iter().copied().chain(filters).chain(predicates);
    match columns.find(|column| *column >= schema.fields().len()) {
        Some(column) => Err(Error::Unsupported(format!("column {column} of a table of {}", schema.fields().len()))),
        None => Ok(()),
    }
}
