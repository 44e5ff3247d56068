//! What one owner holds, in the order it was got, so that it can be given back from the end.

use super::mode::{LockMode, ModeSet, TableMode};
use super::resource::Resource;
use crate::ids::TableId;
use hashbrown::HashMap;

/// A moment in the life of an owner: the locks got since can be released alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Before the first lock.
    pub(crate) const START: Mark = Mark(0);
}

/// The locks of one owner.
#[derive(Default)]
pub(super) struct Owned {
    next: u64,
    /// Ascending by number.
    held: Vec<Held>,
    tables: HashMap<TableId, OwnedTable>,
}

/// One mode of one thing. Modes that were covered when they were asked for are not noted.
pub(super) struct Held {
    number: u64,
    pub resource: Resource,
    pub mode: LockMode,
}

/// What an owner holds of one table.
#[derive(Default)]
struct OwnedTable {
    modes: ModeSet,
    keys: usize,
    /// Keys at which escalation is tried; 0 until the first key.
    escalate_at: usize,
}

/// Whether an owner may lock keys of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeysOfTable {
    Forbidden,
    Allowed,
    /// The lock of the table includes them.
    Covered,
}

impl Owned {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.next)
    }

    pub(super) fn note(&mut self, resource: Resource, mode: LockMode) {
        let table = self.tables.entry(resource.table).or_default();
        match mode {
            LockMode::Key(_) => table.keys += 1,
            LockMode::Table(_) => table.modes.add(mode.as_set()),
        }
        self.held.push(Held { number: self.next, resource, mode });
        self.next += 1;
    }

    pub(super) fn keys_of(&self, table: TableId) -> KeysOfTable {
        let modes = self.tables.get(&table).map(|table| table.modes).unwrap_or_default();
        if LockMode::Table(TableMode::Exclusive).is_covered_by(modes) {
            KeysOfTable::Covered
        } else if LockMode::Table(TableMode::RowShare).is_covered_by(modes) {
            KeysOfTable::Allowed
        } else {
            KeysOfTable::Forbidden
        }
    }

    /// Whether the keys of `table` have become so many that escalation should be tried. The next time is when they have doubled.
    pub(super) fn should_escalate(&mut self, table: TableId, keys_max: usize) -> bool {
        let Some(table) = self.tables.get_mut(&table) else { return false };
        let due = table.keys > keys_max.max(table.escalate_at);
        if due {
            table.escalate_at = table.keys * 2;
        }
        due
    }

    /// Takes out the keys of `table`, whose lock was noted last. That lock takes the place of the oldest of them, so that it stays as
    /// long as any of them would have.
    pub(super) fn escalate(&mut self, table: TableId) -> Vec<Held> {
        let Some(mut whole) = self.held.pop() else { return Vec::new() };
        let is_key = |held: &mut Held| held.resource.table == table && held.resource.key.is_some();
        let first = self.held.iter_mut().position(is_key).unwrap_or(self.held.len());
        let keys: Vec<Held> = self.held.extract_if(first.., is_key).collect();
        if let Some(oldest) = keys.first() {
            whole.number = oldest.number;
        }
        self.held.insert(first, whole);
        if let Some(table) = self.tables.get_mut(&table) {
            table.keys = 0;
            table.escalate_at = 0;
        }
        keys
    }

    /// Takes out the lock of a table in this mode, unless keys of the table are locked under it.
    pub(super) fn take_table(&mut self, table: TableId, mode: TableMode) -> Option<Held> {
        let of_table = self.tables.get_mut(&table).filter(|of_table| of_table.keys == 0)?;
        let mode = LockMode::Table(mode);
        let is_wanted = |held: &Held| held.resource.table == table && held.mode == mode;
        let at = self.held.iter().position(is_wanted)?;
        of_table.modes.remove(mode.as_set());
        if of_table.modes.is_empty() {
            self.tables.remove(&table);
        }
        Some(self.held.remove(at))
    }

    /// Takes out what was noted since `mark`, latest last.
    pub(super) fn take_since(&mut self, mark: Mark) -> Vec<Held> {
        let first = self.held.partition_point(|held| held.number < mark.0);
        let taken = self.held.split_off(first);
        for held in &taken {
            let Some(table) = self.tables.get_mut(&held.resource.table) else { continue };
            match held.mode {
                LockMode::Key(_) => table.keys -= 1,
                LockMode::Table(_) => table.modes.remove(held.mode.as_set()),
            }
            if table.keys == 0 && table.modes.is_empty() {
                self.tables.remove(&held.resource.table);
            }
        }
        taken
    }
}
