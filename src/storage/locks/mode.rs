//! Lock modes and which of them conflict: PostgreSQL's two tables.

/// How a key is locked: PostgreSQL's row locks, weakest first. A stronger mode includes the weaker ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyMode {
    /// `FOR KEY SHARE`: nobody may delete the row or change its key.
    KeyShare,
    /// `FOR SHARE`: nobody may change the row.
    Share,
    /// `FOR NO KEY UPDATE`: the owner changes the row, but not its key.
    NoKeyUpdate,
    /// `FOR UPDATE`: the owner deletes the row, changes its key, or inserts it.
    Update,
}

/// How a table is locked: PostgreSQL's table locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableMode {
    /// Plain reading, for those who want to keep a table from being changed by DDL. Snapshots need none.
    AccessShare,
    /// `SELECT … FOR UPDATE` and the like.
    RowShare,
    /// `INSERT`, `UPDATE`, `DELETE`.
    RowExclusive,
    /// Maintenance that runs beside writers, one at a time.
    ShareUpdateExclusive,
    /// `CREATE INDEX`: nobody writes.
    Share,
    /// As [`TableMode::Share`], by one owner at a time.
    ShareRowExclusive,
    /// Only plain readers beside the owner. Covers every key of the table.
    Exclusive,
    /// DDL: nobody beside the owner.
    AccessExclusive,
}

/// Either, as the table of locks keeps it: its number within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// Of a key.
    Key(KeyMode),
    /// Of a table.
    Table(TableMode),
}

/// A set of modes of one kind, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModeSet(u8);

const KEY_MODES: [KeyMode; 4] = [KeyMode::KeyShare, KeyMode::Share, KeyMode::NoKeyUpdate, KeyMode::Update];

const TABLE_MODES: [TableMode; 8] = [
    TableMode::AccessShare,
    TableMode::RowShare,
    TableMode::RowExclusive,
    TableMode::ShareUpdateExclusive,
    TableMode::Share,
    TableMode::ShareRowExclusive,
    TableMode::Exclusive,
    TableMode::AccessExclusive,
];

/// For each key mode the modes it conflicts with; the lowest bit is the weakest mode.
const KEY_CONFLICTS: [u8; 4] = [0b1000, 0b1100, 0b1110, 0b1111];

/// For each table mode the modes it conflicts with.
const TABLE_CONFLICTS: [u8; 8] = [
    0b1000_0000, // ACCESS SHARE
    0b1100_0000, // ROW SHARE
    0b1111_0000, // ROW EXCLUSIVE
    0b1111_1000, // SHARE UPDATE EXCLUSIVE
    0b1110_1100, // SHARE
    0b1111_1100, // SHARE ROW EXCLUSIVE
    0b1111_1110, // EXCLUSIVE
    0b1111_1111, // ACCESS EXCLUSIVE
];

impl LockMode {
    /// The modes it conflicts with.
    pub(super) fn conflicts(self) -> ModeSet {
        ModeSet(match self {
            LockMode::Key(mode) => KEY_CONFLICTS[mode as usize],
            LockMode::Table(mode) => TABLE_CONFLICTS[mode as usize],
        })
    }

    /// Whether two owners cannot have these modes at once.
    pub(crate) fn conflicts_with(self, other: LockMode) -> bool {
        self.conflicts().meets(other.as_set())
    }

    /// This mode alone.
    pub(super) fn as_set(self) -> ModeSet {
        ModeSet(match self {
            LockMode::Key(mode) => 1 << mode as u8,
            LockMode::Table(mode) => 1 << mode as u8,
        })
    }

    /// All modes of the kind.
    pub(super) fn of_same_kind(self) -> impl Iterator<Item = LockMode> {
        let (keys, tables): (&[KeyMode], &[TableMode]) = match self {
            LockMode::Key(_) => (&KEY_MODES, &[]),
            LockMode::Table(_) => (&[], &TABLE_MODES),
        };
        keys.iter().map(|mode| LockMode::Key(*mode)).chain(tables.iter().map(|mode| LockMode::Table(*mode)))
    }

    /// Whether an owner with `held` has this mode already: one of its modes keeps out everybody whom this one does.
    pub(super) fn is_covered_by(self, held: ModeSet) -> bool {
        let mine = self.conflicts();
        self.of_same_kind().any(|mode| held.meets(mode.as_set()) && mode.conflicts().includes(mine))
    }
}

impl ModeSet {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn meets(self, other: ModeSet) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn includes(self, other: ModeSet) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn add(&mut self, other: ModeSet) {
        self.0 |= other.0;
    }

    pub(super) fn remove(&mut self, other: ModeSet) {
        self.0 &= !other.0;
    }
}
