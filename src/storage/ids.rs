//! Identifiers and positions as newtypes, so that no signature takes a bare `u64`.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A table, for the lifetime of the database; never reused. Ids below [`TableId::FIRST_USER`] are the catalog's.
    TableId
);
id!(
    /// A segment file; never reused.
    SegmentId
);
id!(
    /// Position of a record in the log; the first is 1, consecutive.
    Lsn
);
id!(
    /// Commit order. A snapshot at `t` sees exactly the commits with timestamps `<= t`.
    Timestamp
);

impl TableId {
    /// Ids below this one are reserved for tables that exist in every database.
    pub const FIRST_USER: TableId = TableId(1024);
}
