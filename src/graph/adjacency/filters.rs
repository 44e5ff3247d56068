//! Conditions on edges: the edges that satisfy one are kept, as bits, beside the base from statement to statement.
//!
//! That is for tables nobody writes to meanwhile. Once a row has changed, each statement asks the tables again.

use super::overlay::Overlay;
use super::view::{Adjacency, Masks};
use lightning_csr::Bitmap;
use lightning_storage::budget::Reservation;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Edges by the text of the condition they satisfy.
#[derive(Debug)]
pub(crate) struct Filters {
    kept: Mutex<HashMap<String, Arc<Vec<Masks>>>>,
    memory: Reservation,
}

impl Filters {
    /// None yet; what is kept is reserved from `memory`.
    pub(crate) fn new(memory: Reservation) -> Filters {
        Filters { kept: Mutex::default(), memory }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }
}

impl Adjacency {
    /// The edges that satisfy a condition, by table, if they are kept.
    pub(crate) fn kept_masks(&self, condition: &str) -> Option<Arc<Vec<Masks>>> {
        match self.overlay.is_empty() {
            true => self.base.filters.kept.lock().get(condition).cloned(),
            false => None,
        }
    }

    /// Keeps the edges that satisfy a condition, if the base has all of them and there is room.
    pub(crate) fn keep_masks(&self, condition: &str, masks: &Arc<Vec<Masks>>) {
        let filters = &self.base.filters;
        let bytes = masks.iter().filter_map(|masks| masks.base.as_ref()).map(Bitmap::bytes).sum();
        // Nothing is locked while memory is asked for: the graph itself may have to go for it.
        if self.overlay.is_empty()
            && filters.memory.try_grow(bytes).is_ok()
            && filters.kept.lock().insert(condition.to_owned(), masks.clone()).is_some()
        {
            // Another statement has found them meanwhile.
            filters.memory.shrink(bytes);
        }
    }
}

impl Overlay {
    /// Whether the snapshot has just what the base has.
    pub(crate) fn is_empty(&self) -> bool {
        self.vertices.iter().all(|changes| changes.live.is_none() && changes.new.is_none())
            && self.edges.iter().all(|changes| changes.live.is_none() && changes.new.is_none())
    }
}
