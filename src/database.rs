//! An open database and the threads that serve it.
//!
//! A [`Database`] owns its runtime: queries, the appender's encoders and background work run on its own threads, so
//! [`Database::open`] works from plain synchronous code, and inside any asynchronous runtime a query's computing
//! never occupies the caller's threads. Handles are cheap to clone; sessions, rows and appenders keep the database
//! open, and the last of them closes it.
//!
//! What must hold: tasks on the runtime never own a [`Database`], or closing it would wait for itself.

use crate::configuration::Configuration;
use lightning_graph::PropertyGraphs;
use lightning_sql::extension::{Extension, Extensions};
use lightning_sql::{ConnectOptions, Error, Instance, InstanceOptions, Result, SqlState};
use lightning_storage::Engine;
use lightning_timeseries::TimeSeries;
use lightning_vfs::{MemoryVfs, RealVfs, Vfs};
use lightning_wasm::Wasm;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// The user and the database a session gets unless it asks for others.
const DEFAULT_NAME: &str = "lightning";

/// How long closing waits for work in progress before it leaves it to the recovery of the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Stack of the threads that plan and run queries: deeply nested expressions recurse.
pub(crate) const THREAD_STACK_BYTES: usize = 8 << 20;

/// An open database.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::TryStreamExt;
/// use lightning::{Database, params};
///
/// let database = Database::memory()?;
/// let session = database.connect()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// session.execute("CREATE TABLE city (name text, people bigint)").await?;
/// let insert = session.prepare("INSERT INTO city VALUES ($1, $2)").await?;
/// insert.execute(params!["Oslo", 717_710]).await?;
///
/// let rows = session.query("SELECT name, people FROM city").await?;
/// assert_eq!(rows.schema().field(0).name(), "name");
/// let batches: Vec<_> = rows.try_collect().await?;
/// assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

/// What all handles of one database share. Fields are `Option` only for the order of closing.
#[derive(Debug)]
struct Shared {
    instance: Option<Arc<Instance>>,
    runtime: Option<Runtime>,
}

/// Opens a database with other resources than the default ones.
///
/// ```no_run
/// # fn main() -> lightning::Result<()> {
/// let database = lightning::Database::builder().memory_limit(200 << 20).threads(2).open("./data")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    configuration: Configuration,
}

impl OpenOptions {
    /// Half of the machine's memory and all of its cores.
    pub fn new() -> Self {
        OpenOptions::default()
    }

    /// Bytes that page frames, rows not yet on disk and query operators may hold together.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.configuration.memory_limit_bytes = bytes;
        self
    }

    /// Threads that run queries, encode and flush; at least 1.
    pub fn threads(mut self, threads: usize) -> Self {
        self.configuration.threads = threads.max(1);
        self
    }

    /// Opens or creates the database in a directory; blocks until it is recovered. Fails when another process has it
    /// open, when the directory holds something else, and when its files are corrupt.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database> {
        let path = path.as_ref();
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs);
        let engine = self.engine(Arc::clone(&vfs), path)?;
        let spill_dir = path.join("spill");
        // The lock is held by now, so whatever is in there was left by a process that died.
        if let Err(e) = std::fs::remove_dir_all(&spill_dir)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::new(IO_ERROR, format!("could not clear {}: {e}", spill_dir.display())));
        }
        self.start(engine, vfs, path, Some(spill_dir))
    }

    /// A new database in memory, gone with its last handle.
    pub fn memory(self) -> Result<Database> {
        self.open_on(Arc::new(MemoryVfs::new()), Path::new("/memory"))
    }

    /// Opens or creates the database that another file system has, for tests of failures; not stable.
    #[doc(hidden)]
    pub fn open_on(self, vfs: Arc<dyn Vfs>, path: &Path) -> Result<Database> {
        let engine = self.engine(Arc::clone(&vfs), path)?;
        self.start(engine, vfs, path, None)
    }

    fn engine(&self, vfs: Arc<dyn Vfs>, path: &Path) -> Result<Arc<Engine>> {
        let options = lightning_storage::Options {
            memory_limit_bytes: self.configuration.memory_limit_bytes,
            threads: self.configuration.threads,
        };
        Ok(Engine::open(vfs, path, options)?)
    }

    fn start(
        self,
        engine: Arc<Engine>,
        vfs: Arc<dyn Vfs>,
        path: &Path,
        spill_dir: Option<std::path::PathBuf>,
    ) -> Result<Database> {
        let threads = self.configuration.threads;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("lightning-query")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| Error::new(IO_ERROR, format!("could not start threads: {e}")))?;
        let instance = {
            let _entered = runtime.enter();
            let wasm = Wasm::new(Arc::clone(engine.budget()), Some((vfs, path.join("wasm"))))?;
            Instance::open(engine, InstanceOptions { threads, spill_dir, extensions: extensions(wasm) })?
        };
        Ok(Database { shared: Arc::new(Shared { instance: Some(instance), runtime: Some(runtime) }) })
    }
}

/// What extends SQL in this database.
fn extensions(wasm: Wasm) -> Extensions {
    [Arc::new(TimeSeries) as Arc<dyn Extension>, Arc::new(PropertyGraphs::default()), Arc::new(wasm)].into()
}

/// SQLSTATE of failures of the operating system.
const IO_ERROR: SqlState = SqlState("58030");

impl Database {
    /// Opens or creates the database in a directory with default resources. See [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Database> {
        OpenOptions::new().open(path)
    }

    /// A new database in memory, gone with its last handle.
    pub fn memory() -> Result<Database> {
        OpenOptions::new().memory()
    }

    /// Chooses resources before opening.
    pub fn builder() -> OpenOptions {
        OpenOptions::new()
    }

    /// Writes what is only in memory and in the log to segment files; blocks until the log is truncated.
    pub fn checkpoint(&self) -> Result<()> {
        Ok(self.instance().engine().checkpoint()?)
    }

    /// The SQL layer below; its interface is not stable.
    #[doc(hidden)]
    pub fn instance(&self) -> &Arc<Instance> {
        self.shared.instance.as_ref().expect("the instance is taken only when the last handle goes")
    }

    /// Where this database's work runs; not stable.
    #[doc(hidden)]
    pub fn runtime(&self) -> &Handle {
        self.shared.runtime.as_ref().expect("the runtime is taken only when the last handle goes").handle()
    }

    /// A session of the SQL layer, allowed to read and write local files.
    pub(crate) fn sql_session(&self, application: &str) -> Result<lightning_sql::Session> {
        let _entered = self.runtime().enter();
        self.instance().connect(ConnectOptions {
            user: DEFAULT_NAME.to_string(),
            database: DEFAULT_NAME.to_string(),
            settings: vec![("application_name".to_string(), application.to_string())],
            local_files: true,
        })
    }
}

impl Drop for Shared {
    /// Stops the tasks, then closes the engine, which waits for its own threads. A thread of its own does the
    /// waiting, because the last handle may go inside an asynchronous task of the caller's runtime.
    fn drop(&mut self) {
        let (runtime, instance) = (self.runtime.take(), self.instance.take());
        let closing = std::thread::Builder::new().name("lightning-close".to_string()).spawn(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(CLOSE_TIMEOUT);
            }
            drop(instance);
        });
        if let Ok(closing) = closing {
            // A panic while closing loses nothing that was acknowledged: the next start recovers from the log.
            let _ = closing.join();
        }
    }
}
