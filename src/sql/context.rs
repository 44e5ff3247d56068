//! What a session and the statement running in it know, for the parts of SQL that answer questions about them.
//!
//! System tables (`pg_catalog`, `information_schema`, `lightning`) and functions such as `current_user`, `to_regclass` or
//! `pg_table_is_visible` are answered from here. [`SessionInfo`] lives as long as the session; [`StatementContext`] is one
//! statement's view of the database: the storage snapshot and the catalog that belongs to it.

use crate::firing::FiringStack;
use crate::instance::Instance;
use crate::settings::Settings;
use lightning_catalog::{Function, Oid, Relation};
use parking_lot::RwLock;
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// One statement's view of the database.
#[derive(Clone, Debug)]
pub struct StatementContext {
    /// Rows.
    pub storage: lightning_storage::Snapshot,
    /// Names.
    pub catalog: Arc<lightning_catalog::Snapshot>,
    /// The session's database.
    pub database: Oid,
    /// Schemas searched for unqualified names, `pg_catalog` first, by name; those that do not exist are left out.
    pub search_path: Vec<String>,
}

impl StatementContext {
    /// Finds a table or view: in `schema`, or along the search path.
    pub fn relation(&self, schema: Option<&str>, name: &str) -> Option<&Relation> {
        let find = |schema: &str| {
            let schema = self.catalog.schema(self.database, schema)?;
            self.catalog.relation(schema.oid, name)
        };
        match schema {
            Some(schema) => find(schema),
            None => self.search_path.iter().find_map(|schema| find(schema)),
        }
    }

    /// The functions of a name: of one schema, or along the search path, where those found first hide those of the same arguments.
    pub fn functions(&self, schema: Option<&str>, name: &str) -> Vec<Arc<Function>> {
        let of = |schema: &str| match self.catalog.schema(self.database, schema) {
            Some(schema) => self.catalog.functions_named(schema.oid, name),
            None => &[],
        };
        if let Some(schema) = schema {
            return of(schema).to_vec();
        }
        let mut found: Vec<Arc<Function>> = Vec::new();
        for function in self.search_path.iter().flat_map(|schema| of(schema)) {
            if !found.iter().any(|known| known.argument_types().eq(function.argument_types())) {
                found.push(Arc::clone(function));
            }
        }
        found
    }
}

/// What a session is and where it stands. Shared by everything that runs in it.
#[derive(Debug)]
pub struct SessionInfo {
    /// User name.
    pub user: String,
    /// Database name.
    pub database: String,
    /// OID of the database.
    pub database_oid: Oid,
    /// Process id of the cancel protocol (`pg_backend_pid()`).
    pub process_id: i32,
    /// When the session began.
    pub started: SystemTime,
    /// Its settings.
    pub settings: Settings,
    pub(crate) instance: Weak<Instance>,
    pub(crate) statement: RwLock<Option<Arc<StatementContext>>>,
    /// The calls of triggers' functions it is in.
    pub(crate) firing: Arc<FiringStack>,
    /// Cancelled when the statement that runs is.
    pub(crate) running: RwLock<CancellationToken>,
}

impl SessionInfo {
    /// The database instance; `None` while it shuts down.
    pub fn instance(&self) -> Option<Arc<Instance>> {
        self.instance.upgrade()
    }

    /// The view of the statement that runs (or ran last).
    pub fn statement(&self) -> Option<Arc<StatementContext>> {
        self.statement.read().clone()
    }
}
