//! One open database: storage, catalog, the query runtime and its sessions.

use crate::active::ActiveStatements;
use crate::context::SessionInfo;
use crate::error::{Error, Result};
use crate::extension::{ExtendedPlanner, Extensions};
use crate::jobs::Jobs;
use crate::point::Templates;
use crate::provider::PATH_SCHEMA;
use crate::session::Session;
use crate::settings::Settings;
use crate::sqlstate::INVALID_CATALOG_NAME;
use crate::triggers::TriggerCounters;
use crate::{optimizer, runtime, semantics, type_names};
use datafusion::config::Dialect;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use lightning_catalog::Catalog;
use lightning_storage::Engine;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::SystemTime;

/// How an instance runs queries.
#[derive(Clone, Debug)]
pub struct InstanceOptions {
    /// Threads (DataFusion target partitions).
    pub threads: usize,
    /// Directory for spill files; `None`: the system's temporary directory.
    pub spill_dir: Option<std::path::PathBuf>,
    /// What extends SQL.
    pub extensions: Extensions,
}

/// Who connects.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// User name.
    pub user: String,
    /// Database name; `3D000` when unknown.
    pub database: String,
    /// Settings from the startup packet (`application_name`, `client_encoding`, …).
    pub settings: Vec<(String, String)>,
    /// Whether the session may read and write files of the server (COPY … FROM 'file').
    pub local_files: bool,
}

/// An open database.
#[derive(Debug)]
pub struct Instance {
    engine: Arc<Engine>,
    catalog: Catalog,
    options: InstanceOptions,
    runtime: Arc<RuntimeEnv>,
    active: Arc<ActiveStatements>,
    templates: Templates,
    jobs: Jobs,
    triggers: TriggerCounters,
    secrets: Mutex<HashMap<i32, i32>>,
    next_process_id: AtomicI32,
}

impl Instance {
    /// Bootstraps or loads the catalog on `engine`. Must be called within a Tokio runtime.
    pub fn open(engine: Arc<Engine>, options: InstanceOptions) -> Result<Arc<Instance>> {
        let catalog = Catalog::open(&engine)?;
        let runtime = runtime::runtime(engine.budget(), options.spill_dir.as_ref())?;
        let instance = Arc::new(Instance {
            engine,
            catalog,
            options,
            runtime,
            active: Arc::default(),
            templates: Templates::default(),
            jobs: Jobs::default(),
            triggers: TriggerCounters::default(),
            secrets: Mutex::default(),
            next_process_id: AtomicI32::new(1),
        });
        Jobs::start(&instance);
        Ok(instance)
    }

    /// A new session.
    pub fn connect(self: &Arc<Self>, options: ConnectOptions) -> Result<Session> {
        let catalog = self.catalog.snapshot(&self.engine.snapshot())?;
        let Some(database) = catalog.database(&options.database).cloned() else {
            let known: Vec<String> = catalog.databases().map(|d| format!("\"{}\"", d.name)).collect();
            return Err(Error::new(INVALID_CATALOG_NAME, format!("database \"{}\" does not exist", options.database))
                .with_hint(format!("The databases are {}.", known.join(" and ")))
                .fatal());
        };
        let fixed = [
            ("is_superuser", "on".to_owned()),
            ("memory_limit", self.engine.budget().limit_bytes().to_string()),
            ("session_authorization", options.user.clone()),
            ("threads", self.options.threads.to_string()),
        ];
        let process_id = self.next_process_id.fetch_add(1, Ordering::Relaxed);
        let secret = RandomState::new().build_hasher().finish() as i32;
        let info = Arc::new(SessionInfo {
            user: options.user,
            database: database.name.clone(),
            database_oid: database.oid,
            process_id,
            started: std::time::SystemTime::now(),
            settings: Settings::new(&fixed, &options.settings)?,
            instance: Arc::downgrade(self),
            statement: RwLock::new(None),
            firing: Arc::default(),
            running: RwLock::default(),
        });
        let base = Arc::new(self.session_state(&info)?);
        self.secrets.lock().insert(process_id, secret);
        Ok(Session::new(Arc::clone(self), info, secret, base, options.local_files))
    }

    /// Statements about one row that were answered without planning, so far.
    pub fn point_statements(&self) -> u64 {
        self.templates.answered()
    }

    /// Point statements that are known.
    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// What triggers have done.
    pub(crate) fn triggers(&self) -> &TriggerCounters {
        &self.triggers
    }

    /// What runs in the background.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Runs the background jobs that are due at `now`, without waiting for their time; not stable.
    #[doc(hidden)]
    pub async fn run_jobs(self: &Arc<Self>, now: SystemTime) {
        self.jobs.run_due(self, now).await;
    }

    /// What extends SQL.
    pub fn extensions(&self) -> &Extensions {
        &self.options.extensions
    }

    /// The engine below.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Cancels the running statement of the session with this process id and secret.
    pub fn cancel(&self, process_id: i32, secret: i32) {
        if self.secrets.lock().get(&process_id) == Some(&secret) {
            self.active.cancel(process_id);
        }
    }

    /// Names.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Statements that run now, in all sessions.
    pub fn active_statements(&self) -> usize {
        self.active.rows().len()
    }

    /// What runs.
    pub(crate) fn active(&self) -> &Arc<ActiveStatements> {
        &self.active
    }

    /// A session is gone.
    pub(crate) fn disconnected(&self, process_id: i32) {
        self.secrets.lock().remove(&process_id);
    }

    /// DataFusion's state for a session: configuration, functions, rules. Names are added for each statement.
    fn session_state(&self, info: &Arc<SessionInfo>) -> Result<SessionState> {
        let mut config = optimizer::session_config(self.options.threads, self.engine.budget().limit_bytes())
            .with_default_catalog_and_schema(&info.database, PATH_SCHEMA)
            .with_create_default_catalog_and_schema(false);
        let options = config.options_mut();
        options.sql_parser.dialect = Dialect::PostgreSQL;
        options.sql_parser.collect_spans = true;
        options.sql_parser.support_varchar_with_length = true;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = true;
        options.execution.time_zone = Some("UTC".to_owned());
        let builder = SessionStateBuilder::new().with_config(config).with_runtime_env(Arc::clone(&self.runtime));
        let extensions = &self.options.extensions;
        let builder = builder
            .with_query_planner(Arc::new(ExtendedPlanner::new(extensions)))
            .with_relation_planners(extensions.iter().flat_map(|extension| extension.relation_planners()).collect());
        let builder = semantics::install(builder, extensions)
            .with_default_features()
            .with_type_planner(Arc::new(type_names::PgTypePlanner));
        let mut state = optimizer::install(builder, extensions).build();
        semantics::register(&mut state, info, extensions)?;
        Ok(state)
    }
}
