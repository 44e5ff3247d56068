//! What a scan did: counters shared by its readers, added to once per morsel.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a scan did.
#[derive(Debug, Default)]
pub struct ScanMetrics {
    /// Zones of 8,192 rows in the table.
    pub zones: AtomicU64,
    /// Zones skipped by zone maps, static conditions.
    pub zones_pruned: AtomicU64,
    /// Zones skipped by zone maps, dynamic conditions.
    pub zones_pruned_dynamic: AtomicU64,
    /// Rows whose conditions were evaluated.
    pub rows_filtered: AtomicU64,
    /// Values decoded, summed over columns.
    pub rows_decoded: AtomicU64,
    /// Rows returned.
    pub rows_returned: AtomicU64,
    /// Bytes read from disk.
    pub bytes_read: AtomicU64,
}

/// What one reader did since it last told.
#[derive(Debug, Default)]
pub(super) struct LocalMetrics {
    pub(super) zones_pruned_dynamic: u64,
    pub(super) rows_filtered: u64,
    pub(super) rows_decoded: u64,
    pub(super) rows_returned: u64,
    pub(super) bytes_read: u64,
}

impl LocalMetrics {
    /// Adds everything to the shared counters and starts again from zero.
    pub(super) fn flush(&mut self, shared: &ScanMetrics) {
        let add = |counter: &AtomicU64, count: u64| {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        };
        add(&shared.zones_pruned_dynamic, self.zones_pruned_dynamic);
        add(&shared.rows_filtered, self.rows_filtered);
        add(&shared.rows_decoded, self.rows_decoded);
        add(&shared.rows_returned, self.rows_returned);
        add(&shared.bytes_read, self.bytes_read);
        *self = LocalMetrics::default();
    }
}
