//! What runs in a session because triggers fired: how deep, and what the statements in there see and must leave alone.
//!
//! A trigger's function runs statements within the statement that fired it, on the same session. For that time a [`Frame`] lies
//! on the session's [`FiringStack`]: rows the statements may read under names of their own, the search path of the function, and
//! the table whose rows are being changed.
//!
//! What must hold: a frame is gone when what it was pushed for has ended, however that was ([`Pushed`]).

use crate::error::{Error, Result};
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, STATEMENT_TOO_COMPLEX, TRIGGERED_DATA_CHANGE_VIOLATION};
use datafusion::catalog::TableProvider;
use lightning_catalog::Oid;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Triggers that fire triggers that fire triggers.
const DEPTH_MAX: usize = 16;

/// What statements must not do while a BEFORE trigger looks at rows that are about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The table the rows are in.
    pub(crate) table: Oid,
    /// Whether rows may be added to it.
    pub(crate) allows_inserts: bool,
}

/// A call of a trigger's function.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Tables in the schema of the statement, by name.
    pub(crate) tables: HashMap<String, Arc<dyn TableProvider>>,
    /// Where names in the function are looked up.
    pub(crate) search_path: Vec<String>,
    pub(crate) guard: Option<Guard>,
}

/// The calls a session is in, the outermost first.
#[derive(Debug, Default)]
pub(crate) struct FiringStack {
    frames: Mutex<Vec<(u64, Frame)>>,
    depth: AtomicUsize,
    /// Calls entered so far.
    entered: AtomicU64,
}

impl FiringStack {
    /// How many calls the session is in.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Enters a call; 54001 when it is too deep.
    pub(crate) fn push(self: &Arc<Self>, frame: Frame) -> Result<Pushed> {
        let mut frames = self.frames.lock();
        if frames.len() >= DEPTH_MAX {
            let message = format!("trigger depth limit of {DEPTH_MAX} exceeded");
            return Err(Error::new(STATEMENT_TOO_COMPLEX, message).with_hint(
                "A trigger changes a table whose triggers lead back to it; give one of them a WHEN condition, such as WHEN (pg_trigger_depth() = 0).",
            ));
        }
        let depth = frames.len();
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        frames.push((number, frame));
        self.depth.store(frames.len(), Ordering::Relaxed);
        Ok(Pushed { stack: Arc::clone(self), depth, number })
    }

    /// Tables that the calls bring along.
    pub(crate) fn tables(&self) -> HashMap<String, Arc<dyn TableProvider>> {
        if self.depth() == 0 {
            return HashMap::new();
        }
        let frames = self.frames.lock();
        frames
            .iter()
            .flat_map(|(_, frame)| &frame.tables)
            .map(|(name, table)| (name.clone(), Arc::clone(table)))
            .collect()
    }

    /// The search path of the innermost call.
    pub(crate) fn search_path(&self) -> Option<Vec<String>> {
        if self.depth() == 0 {
            return None;
        }
        self.frames.lock().last().map(|(_, frame)| frame.search_path.clone())
    }

    /// Refuses a statement that adds rows to a table, or changes rows of it.
    pub(crate) fn check_change(&self, table: Oid, name: &str, is_insert: bool) -> Result<()> {
        if self.depth() == 0 {
            return Ok(());
        }
        let frames = self.frames.lock();
        let mut guards = frames.iter().filter_map(|(_, frame)| frame.guard).filter(|guard| guard.table == table);
        match (guards.next(), is_insert) {
            (None, _) => Ok(()),
            (Some(guard), true) if guard.allows_inserts => Ok(()),
            (Some(_), true) => Err(Error::new(
                FEATURE_NOT_SUPPORTED,
                format!(
                    "INSERT into table \"{name}\" by a trigger that runs before its rows are changed is not supported"
                ),
            )
            .with_hint("Consider using an AFTER trigger instead of a BEFORE trigger.")),
            (Some(_), false) => Err(Error::new(
                TRIGGERED_DATA_CHANGE_VIOLATION,
                "tuple to be updated was already modified by an operation triggered by the current command",
            )
            .with_hint(
                "Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.",
            )),
        }
    }
}

/// A call that was entered; it is left when this is dropped.
#[derive(Debug)]
pub(crate) struct Pushed {
    stack: Arc<FiringStack>,
    depth: usize,
    number: u64,
}

impl Pushed {
    /// How many calls are around this one.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Brings tables along, in place of others of their names.
    pub(crate) fn put(&self, tables: HashMap<String, Arc<dyn TableProvider>>) {
        if let Some((number, frame)) = self.stack.frames.lock().get_mut(self.depth)
            && *number == self.number
        {
            frame.tables.extend(tables);
        }
    }
}

impl Drop for Pushed {
    fn drop(&mut self) {
        let mut frames = self.stack.frames.lock();
        // One that was stopped may be dropped when the session is in other calls already.
        if frames.get(self.depth).is_some_and(|(number, _)| *number == self.number) {
            frames.truncate(self.depth);
            self.stack.depth.store(frames.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_left_in_any_order_and_bounded() {
        let stack = Arc::new(FiringStack::default());
        let outer = stack.push(Frame::default()).unwrap();
        let inner = stack.push(Frame::default()).unwrap();
        assert_eq!((outer.depth(), inner.depth(), stack.depth()), (0, 1, 2));
        drop(outer);
        assert_eq!(stack.depth(), 0);
        drop(inner);
        assert_eq!(stack.depth(), 0);
        let held: Vec<Pushed> = (0..DEPTH_MAX).map(|_| stack.push(Frame::default()).unwrap()).collect();
        assert_eq!(stack.push(Frame::default()).unwrap_err().state().0, "54001");
        drop(held);
    }
}
