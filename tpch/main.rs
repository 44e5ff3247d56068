//! TPC-H on Lightning: generates the data, loads it, runs the 22 queries, checks the answers, and times DuckDB beside it.
//!
//! ```text
//! cargo tpch -- run --scale 1        generate, load, run, check; a table of times; exit code 1 on a wrong answer
//! cargo tpch -- run --crash          the same, with the loading process killed right after the load is acknowledged
//! cargo tpch -- compare --scale 1    the same data and queries in DuckDB too, query by query in turn
//! ```
//!
//! Everything goes through the interface that users have: tables come from CREATE TABLE with the specification's types
//! and primary keys, rows go in through the appender, queries run in an ordinary session under default settings.
//!
//! Module by module: [`data`] knows the tables and generates rows, [`queries`] holds the 22 texts and [`answers`] what
//! they must return; [`load`], [`change`] and [`measure`] do the work on a database, [`run`] and [`compare`] are the two commands,
//! [`duckdb`] drives the peer and [`report`] prints.

mod data;
mod queries;
mod answers;
mod load;
mod change;
mod measure;
mod report;
mod run;
mod duckdb;
mod compare;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Anything that stops a command, told to the user as it is.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// TPC-H on Lightning.
#[derive(Parser)]
#[command(name = "tpch", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate, load, run the queries, check the answers.
    Run(RunArguments),
    /// Time the same data and queries in DuckDB, in turn.
    Compare(CompareArguments),
    /// Load and wait to be killed (what `run --crash` starts).
    #[command(hide = true)]
    LoadAndHang(CommonArguments),
}

/// What both commands take.
#[derive(Args, Clone)]
pub(crate) struct CommonArguments {
    /// Scale factor: 1 is about 1 GB of text.
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale)]
    scale: f64,
    /// Database directory to keep, or to use again; a temporary one without it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Threads for queries and loading; all cores without it.
    #[arg(long)]
    threads: Option<usize>,
    /// Queries to run, as 1,6,14; all without it.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=22))]
    queries: Vec<u8>,
    /// Times each query runs; the best counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// After loading, update one percent of orders and lineitem, or delete these rows and insert them again.
    #[arg(long)]
    changed: bool,
    /// File the results go to as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Close and open the database, and check all answers again.
    #[arg(long)]
    restart: bool,
    /// Load in a process that is killed right after the load is acknowledged.
    #[arg(long)]
    crash: bool,
    /// Print the plan of each query with what its operators did.
    #[arg(long)]
    explain: bool,
}

#[derive(Args)]
pub(crate) struct CompareArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Python interpreter with the venv module, for DuckDB from PyPI.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Where the Python environment with DuckDB is kept; in the user's cache directory without it.
    #[arg(long)]
    environment: Option<PathBuf>,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && (0.001..=100_000.0).contains(&scale) => Ok(scale),
        _ => Err("a scale factor is a number from 0.001 to 100000".to_string()),
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::LoadAndHang(arguments) => run::load_and_hang(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("tpch: {failure}");
            ExitCode::FAILURE
        }
    }
}
