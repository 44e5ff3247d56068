//! Reading columns of a table by several threads, in the order of places.

use super::runs::Runs;
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use lightning_csr::Stop;
use lightning_sql::Result;
use lightning_storage::{ScanSpec, Snapshot, TableId};
use std::sync::Mutex;

/// Rows of a piece are of one zone, so that pieces of several threads have an order.
const ZONE_BITS: u32 = 13;
/// Rows of a batch: several zones.
const BATCH_ROWS: usize = 1 << 16;

/// What became of some rows that stand together.
#[derive(Debug)]
pub(crate) struct Piece<T> {
    /// Places of the rows, ascending.
    pub(crate) places: Vec<u64>,
    /// What was made of them.
    pub(crate) value: T,
}

/// Reads columns of all rows, and makes of those that stand together what `make` does; in the order of places.
pub(crate) fn load<T: Send>(
    snapshot: &Snapshot,
    table: TableId,
    projection: &[usize],
    threads: usize,
    stop: Stop<'_>,
    make: impl Fn(&[ArrayRef]) -> Result<T> + Sync,
) -> Result<Vec<Piece<T>>> {
    let spec =
        ScanSpec { projection: projection.to_vec(), places: true, batch_rows: BATCH_ROWS, ..ScanSpec::default() };
    let scan = snapshot.scan(table, spec)?;
    let all = Mutex::new(Ok(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let read = read(scan.reader(), stop, &make);
                let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match (read, all.as_mut()) {
                    (Ok(read), Ok(known)) => known.extend(read),
                    (Err(error), Ok(_)) => *all = Err(error),
                    (_, Err(_)) => {}
                }
            });
        }
    });
    let mut pieces: Vec<Piece<T>> = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    // What was read of a zone by one thread in two batches stays apart.
    pieces.sort_unstable_by_key(|piece| piece.places[0]);
    Ok(pieces)
}

fn read<T>(
    reader: lightning_storage::ScanReader,
    stop: Stop<'_>,
    make: &impl Fn(&[ArrayRef]) -> Result<T>,
) -> Result<Vec<Piece<T>>> {
    let mut pieces = Vec::new();
    for batch in reader {
        if stop() {
            return Err(super::stopped());
        }
        let batch: RecordBatch = batch?;
        let width = batch.num_columns() - 1;
        let places = batch.column(width).as_primitive::<UInt64Type>().values();
        let mut start = 0;
        for of_zone in places.chunk_by(|a, b| a >> ZONE_BITS == b >> ZONE_BITS) {
            let rows = batch.slice(start, of_zone.len());
            let value = make(&rows.columns()[..width])?;
            pieces.push(Piece { places: of_zone.to_vec(), value });
            start += of_zone.len();
        }
    }
    Ok(pieces)
}

/// The numbers of all rows of some pieces.
pub(crate) fn runs_of<T>(pieces: &[Piece<T>]) -> Runs {
    let mut runs = Runs::default();
    pieces.iter().flat_map(|piece| &piece.places).for_each(|place| runs.push(*place));
    runs
}
