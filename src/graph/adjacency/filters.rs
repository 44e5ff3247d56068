//! Conditions on edges: the edges that satisfy one are kept, as bits, beside the base from statement to statement.
//!
//! That is for tables nobody writes to meanwhile. Once a row has changed, each statement asks the tables again.

use super::kept::Kept;
use super::overlay::Overlay;
use super::view::{Adjacency, Masks};
use lightning_csr::Bitmap;
use std::sync::Arc;

/// The edges of all tables that satisfy a condition, by its text.
pub(super) type Filters = Kept<String, Vec<Masks>>;

impl Adjacency {
    /// The edges that satisfy a condition, by table, if they are kept.
    pub(crate) fn kept_masks(&self, condition: &str) -> Option<Arc<Vec<Masks>>> {
        match self.overlay.is_empty() {
            true => self.base.filters.get(condition),
            false => None,
        }
    }

    /// Keeps the edges that satisfy a condition, if the base has all of them and there is room.
    pub(crate) fn keep_masks(&self, condition: &str, masks: &Arc<Vec<Masks>>) {
        if self.overlay.is_empty() {
            let bytes = masks.iter().filter_map(|masks| masks.base.as_ref()).map(Bitmap::bytes).sum();
            self.base.filters.keep(condition.to_owned(), masks, bytes);
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
