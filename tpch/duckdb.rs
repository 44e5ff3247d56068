//! The peer: DuckDB from PyPI in a Python environment of its own, driven by `duckdb.py` over a pipe.

use crate::Failure;
use crate::answers::Answer;
use crate::data::TABLES;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program on the other side.
const PROGRAM: &str = include_str!("duckdb.py");

/// A running DuckDB.
pub(crate) struct DuckDb {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What loading gave.
pub(crate) struct DuckDbLoad {
    /// CREATE TABLE AS for all tables, and a checkpoint.
    pub(crate) time: Duration,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// DuckDB's version.
    pub(crate) version: String,
}

impl DuckDb {
    /// Starts it in `environment`, which is made and filled from PyPI when it is not there.
    pub(crate) fn start(python: &Path, environment: &Path) -> Result<Self, Failure> {
        let interpreter = environment.join("bin").join("python");
        if !imports_duckdb(&interpreter) {
            install(python, environment)?;
        }
        let mut child = Command::new(&interpreter)
            // Isolated: a file called duckdb.py in the current directory must not be taken for the library.
            .args(["-I", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("could not start {}: {e}", interpreter.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("DuckDB has no output")?;
        Ok(DuckDb { child, input, output: BufReader::new(output) })
    }

    /// Loads all tables from Parquet into a new database file.
    pub(crate) fn load(&mut self, parquet: &Path, file: &Path, threads: usize) -> Result<DuckDbLoad, Failure> {
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name()).collect();
        let answer = self.ask(&json!({
            "do": "load", "parquet": parquet, "file": file, "threads": threads, "tables": tables
        }))?;
        Ok(DuckDbLoad {
            time: seconds(&answer)?,
            bytes: answer["bytes"].as_u64().unwrap_or(0),
            version: answer["version"].as_str().unwrap_or("?").to_string(),
        })
    }

    /// Runs one query: its time, and its rows when asked for.
    pub(crate) fn query(&mut self, sql: &str, values: bool) -> Result<(Duration, Answer), Failure> {
        let answer = self.ask(&json!({ "do": "query", "sql": sql, "values": values }))?;
        let rows = answer["values"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let rows = rows.map(|row| row.as_array().into_iter().flatten().map(text).collect()).collect();
        Ok((seconds(&answer)?, rows))
    }

    fn ask(&mut self, command: &Value) -> Result<Value, Failure> {
        let input = self.input.as_mut().ok_or("DuckDB is closed")?;
        writeln!(input, "{command}")?;
        input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("DuckDB ended unexpectedly".into());
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("DuckDB: {error}").into()),
            None => Ok(answer),
        }
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // The program ends with its input; what it answers then interests nobody.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Where the environment is kept unless told otherwise: in the user's cache.
pub(crate) fn default_environment() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    cache.join("lightning-tpch").join("duckdb")
}

fn imports_duckdb(interpreter: &Path) -> bool {
    let tried = Command::new(interpreter).args(["-I", "-c", "import duckdb"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn install(python: &Path, environment: &Path) -> Result<(), Failure> {
    eprintln!("installing DuckDB from PyPI into {}", environment.display());
    let made = Command::new(python).arg("-m").arg("venv").arg(environment).status().map_err(|e| {
        format!("compare needs Python 3 with venv to run DuckDB; could not start {}: {e}", python.display())
    })?;
    if !made.success() {
        return Err(format!(
            "compare needs Python 3 with venv to run DuckDB; {} -m venv failed (Debian: apt install python3-venv)",
            python.display()
        )
        .into());
    }
    let pip = environment.join("bin").join("python");
    let installed = Command::new(&pip).args(["-m", "pip", "install", "--quiet", "--upgrade", "duckdb"]).status()?;
    match installed.success() {
        true => Ok(()),
        false => Err("could not install duckdb from PyPI".into()),
    }
}

fn seconds(answer: &Value) -> Result<Duration, Failure> {
    let seconds = answer["seconds"].as_f64().ok_or("DuckDB's answer has no time")?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}
