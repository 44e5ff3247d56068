//! How a query reads a table: DataFusion's `TableProvider` and `DataSource` over a storage snapshot.
//!
//! A [`LightningTable`] is a table as one snapshot sees it. Planning turns it into a `DataSourceExec` over a
//! [`LightningScan`], which collects what the plan above wants from the scan: columns, conditions, a limit. When the
//! plan runs, the first partition to open plans one storage scan for all of them and each partition reads from it.
//!
//! * Conditions known while planning become storage `Predicate`s, evaluated on encoded data ([`condition`]); the rest
//!   become row filters on decoded rows. Either way the scan applies them exactly, so no `FilterExec` stays above it.
//! * Conditions that joins, TopK and aggregates learn while running ([`dynamic`]) are translated whenever they change:
//!   to bounds, which prune by zone map, and to bitmaps over dense integer keys.
//! * The optimizer is told exact row counts, bounds and distinct counts ([`statistics`]), and estimates once conditions
//!   apply.
//! * Few rows that an index leads to, and the first rows in the order of a key, are looked up instead ([`index`]).
//! * Tables clustered by their key are cut into key ranges, one a partition, which makes aggregations and joins on the
//!   key local to a partition; other tables share one morsel queue.
//!
//! What must hold: a scan returns exactly the rows of its snapshot that pass every static condition. Dynamic conditions
//! may only drop rows that the operator above would drop as well.

mod literal;
mod row_filter;
mod condition;
mod bounds;
mod dynamic;
pub(crate) mod statistics;
mod index;
mod source;
mod table;
mod last;
mod runs;
#[cfg(test)]
mod tests;

pub use last::last_of_each;
pub(crate) use runs::run_length;
pub use source::LightningScan;
pub use table::LightningTable;
pub use table::PLACE;
