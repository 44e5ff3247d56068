//! Scans: conditions go down to encoded pages, only rows that pass come up, in batches of about 8,192 rows.
//!
//! A [`Scan`] is planned over the blocks of one snapshot and cut into *morsels*, each a block or some of its zones of
//! 8,192 rows. Zones whose zone maps rule out the static conditions are dropped while planning. Readers
//! ([`ScanReader`]) take morsels from a shared queue, so that those that are done early take more; a single reader
//! takes them in block order.
//!
//! What a reader does with a morsel:
//! 1. It asks the dynamic filters whether they know something new and drops zones by zone maps once more.
//! 2. Per zone it makes a *mask*, one bit per row: visible to the snapshot, and not deleted, and passing every
//!    condition. Conditions run on encoded pages, the most selective for its cost first, and stop when no bit is left.
//!    A dynamic condition that keeps more than four fifths of the rows is no longer evaluated (it still prunes zones).
//! 3. Row filters get the columns they need, decoded under the mask, and narrow it further.
//! 4. The projected columns are decoded under the final mask straight into the output columns, across zones and
//!    morsels, so that few rows per zone still make full batches. Columns a row filter has decoded are not decoded
//!    again.
//!
//! Pages are read only when a row of them is wanted: a zone without a bit left costs nothing in the projected columns.
//!
//! What must always hold: a batch holds exactly the visible rows that pass all static conditions (dynamic ones may be
//! ignored); with one reader, rows come in block order; a scan reads its blocks and nothing newer.

mod condition;
mod metrics;
mod morsel;
mod output;
mod place;
mod plan;
mod reader;
mod source;
mod spec;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use place::{place, place_parts};
pub(crate) use source::{BlockRows, BlockSource, ScanSource};

pub use metrics::ScanMetrics;
pub use plan::Scan;
pub use reader::ScanReader;
pub use spec::ScanSpec;
