//! Isolation levels: which snapshot a statement reads, and what happens when somebody else was faster.

/// How a transaction is kept apart from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Every statement reads the newest snapshot; after waiting for a row it looks again.
    #[default]
    ReadCommitted,
    /// All statements read one snapshot; a row changed since is 40001.
    RepeatableRead,
    /// As if transactions ran one after the other, in the order of their commits.
    Serializable,
}

impl Level {
    /// The level a setting names. READ UNCOMMITTED is READ COMMITTED, as in PostgreSQL.
    pub(crate) fn of(setting: &str) -> Level {
        match setting {
            "repeatable read" => Level::RepeatableRead,
            "serializable" => Level::Serializable,
            _ => Level::ReadCommitted,
        }
    }

    /// Whether all statements of a transaction read one snapshot.
    pub(crate) fn keeps_snapshot(self) -> bool {
        self != Level::ReadCommitted
    }
}
