//! `tpch run`: load, run, check; and again after a restart or a crash when asked to.

use crate::change::change;
use crate::load::{is_loaded, load};
use crate::measure::{Measured, run_once, run_queries, to_text};
use crate::{CommonArguments, Failure, RunArguments, queries, report};
use lightning::Database;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the loading child says when the load is acknowledged.
const LOADED: &str = "loaded";

/// The directory of the database; a temporary one is removed at the end.
pub(crate) enum Directory {
    /// Given by the user.
    Kept(PathBuf),
    /// Our own.
    Temporary(TempDir),
}

impl Directory {
    pub(crate) fn new(arguments: &CommonArguments) -> Result<Self, Failure> {
        Ok(match &arguments.data {
            Some(path) => Directory::Kept(path.clone()),
            None => Directory::Temporary(tempfile::Builder::new().prefix("lightning-tpch-").tempdir()?),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Directory::Kept(path) => path,
            Directory::Temporary(directory) => directory.path(),
        }
    }
}

/// Opens the database with the resources asked for.
pub(crate) fn open(arguments: &CommonArguments, path: &Path) -> Result<Database, Failure> {
    let mut options = Database::builder();
    if let Some(threads) = arguments.threads {
        options = options.threads(threads);
    }
    Ok(options.open(path)?)
}

/// Streams the load uses: as many as the database has threads.
pub(crate) fn streams(arguments: &CommonArguments) -> usize {
    arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The command. `false` when an answer was wrong.
pub(crate) fn run(arguments: &RunArguments) -> Result<bool, Failure> {
    let common = &arguments.common;
    let directory = Directory::new(common)?;
    if arguments.crash {
        load_and_kill(common, directory.path())?;
    }
    let database = open(common, directory.path())?;
    load_unless_loaded(&database, common)?;
    if common.changed {
        let (rows, time) = change(&database)?;
        println!("changed {rows} rows in {:.2} s", time.as_secs_f64());
    }
    let numbers = queries::chosen(&common.queries);
    if arguments.explain {
        explain(&database, &numbers, common.scale)?;
        return Ok(true);
    }
    let measured = run_queries(&database, &numbers, common.scale, common.runs)?;
    report::print(&measured);
    let mut right = is_right(&measured);
    if measured.iter().any(|m| m.right.is_none()) {
        println!("answers are known for scale factors 0.01, 0.1 and 1 only: nothing was checked");
    }
    drop(database);
    if arguments.restart {
        let database = open(common, directory.path())?;
        let again = run_queries(&database, &numbers, common.scale, 1)?;
        println!("after a restart: {}", if is_right(&again) { "all answers right" } else { "WRONG ANSWERS" });
        right &= is_right(&again);
    }
    if let Some(path) = &common.json {
        report::write_json(path, &report::to_json(common.scale, &measured))?;
    }
    Ok(right)
}

fn is_right(measured: &[Measured]) -> bool {
    measured.iter().all(|m| m.right != Some(false))
}

fn load_unless_loaded(database: &Database, common: &CommonArguments) -> Result<(), Failure> {
    if is_loaded(database)? {
        return Ok(());
    }
    let loaded = load(database, common.scale, streams(common))?;
    println!("loaded {} rows in {:.2} s", loaded.rows, loaded.time.as_secs_f64());
    Ok(())
}

fn explain(database: &Database, numbers: &[u8], scale: f64) -> Result<(), Failure> {
    let session = database.connect()?;
    for &number in numbers {
        let text = queries::text(number, scale);
        let (_, batches) = run_once(&session, &format!("EXPLAIN ANALYZE {text}"))?;
        println!("-- query {number}");
        for row in to_text(&batches)? {
            println!("{}", row.join(" "));
        }
    }
    Ok(())
}

/// Loads in a child process and kills it the moment it says that everything is committed.
fn load_and_kill(common: &CommonArguments, directory: &Path) -> Result<(), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("load-and-hang").arg("--scale").arg(common.scale.to_string()).arg("--data").arg(directory);
    if let Some(threads) = common.threads {
        command.arg("--threads").arg(threads.to_string());
    }
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("the loading process has no output")?;
    let acknowledged = BufReader::new(output).lines().map_while(Result::ok).any(|line| line == LOADED);
    // Rust's kill is SIGKILL: no destructor, no flush, no farewell.
    child.kill()?;
    child.wait()?;
    if !acknowledged {
        return Err("the loading process ended before the load was acknowledged".into());
    }
    println!("killed the loading process after it acknowledged the load");
    Ok(())
}

/// The child of [`load_and_kill`].
pub(crate) fn load_and_hang(common: &CommonArguments) -> Result<bool, Failure> {
    let directory = common.data.as_deref().ok_or("a directory is needed")?;
    let database = open(common, directory)?;
    load(&database, common.scale, streams(common))?;
    println!("{LOADED}");
    loop {
        std::thread::park();
    }
}
