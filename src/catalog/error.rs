//! What can go wrong with names: facts for the SQL layer to turn into SQLSTATEs.

use std::fmt;

/// Result of a catalog operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A database.
    Database,
    /// A schema.
    Schema,
    /// A table.
    Table,
    /// A view.
    View,
    /// A view whose rows are kept.
    MaterializedView,
    /// A property graph.
    PropertyGraph,
    /// An index.
    Index,
    /// A function.
    Function,
    /// A trigger.
    Trigger,
}

impl ObjectKind {
    /// The word messages use.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Database => "database",
            ObjectKind::Schema => "schema",
            ObjectKind::Table => "table",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::PropertyGraph => "property graph",
            ObjectKind::Index => "index",
            ObjectKind::Function => "function",
            ObjectKind::Trigger => "trigger",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

/// A catalog error.
#[derive(Clone, Debug)]
pub enum Error {
    /// No such object.
    Unknown {
        /// What was looked for.
        kind: ObjectKind,
        /// Its name as the user wrote it.
        name: String,
    },
    /// The name is taken.
    Exists {
        /// What holds the name.
        kind: ObjectKind,
        /// The name.
        name: String,
    },
    /// Two columns of one relation have the same name.
    DuplicateColumn(String),
    /// The object is of another kind than the statement needs.
    WrongKind {
        /// What the statement needs.
        expected: ObjectKind,
        /// The name.
        name: String,
    },
    /// Other objects need it: `kind name` of each.
    HasDependents {
        /// What was to be dropped.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// The dependents, as `view v`.
        dependents: Vec<String>,
    },
    /// The object belongs to the system.
    System {
        /// What it is.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// Every OID has been used.
    OidsExhausted,
    /// The rows of the catalog table do not make sense.
    Corrupt(String),
    /// Storage failed below.
    Storage(lightning_storage::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown { kind, name } => write!(f, "{kind} \"{name}\" does not exist"),
            Error::Exists { kind, name } => write!(f, "{kind} \"{name}\" already exists"),
            Error::DuplicateColumn(name) => write!(f, "column \"{name}\" specified more than once"),
            Error::WrongKind { expected, name } => write!(f, "\"{name}\" is not a {expected}"),
            Error::HasDependents { kind, name, .. } => {
                write!(f, "cannot drop {kind} {name} because other objects depend on it")
            }
            Error::System { kind, name } => {
                write!(f, "cannot change {kind} {name} because it is required by the database system")
            }
            Error::OidsExhausted => f.write_str("no object identifiers are left"),
            Error::Corrupt(detail) => write!(f, "the catalog is corrupt: {detail}"),
            Error::Storage(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<lightning_storage::Error> for Error {
    fn from(e: lightning_storage::Error) -> Self {
        Error::Storage(e)
    }
}
