//! The `lightning` command line: what it understands, and which part of the program each command is.
//!
//! ```text
//! lightning [DIR]                          the shell (in memory without DIR)
//! lightning serve [DIR] [--listen ADDR]    the server; HTTP too with --http ADDR
//! lightning sql [DIR] -c "…" | -f FILE     one script
//! lightning verify DIR                     checks every checksum of a closed database
//! ```
//!
//! Exit codes: 0, or 1 after the first error, which stands on the standard error; 2 when the command line itself is
//! wrong.

use crate::configuration::{Configuration, DEFAULT_LISTEN, parse_memory_limit};
use crate::database::{Database, OpenOptions};
use crate::output::Format;
use crate::report::{Source, describe};
use crate::{serve, shell, sql_command, verify};
use clap::{Args, Parser, Subcommand};
use lightning_sql::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where `serve` keeps its database unless told otherwise.
const DEFAULT_SERVE_DIR: &str = "lightning-data";

/// A SQL-first analytical database in one binary.
#[derive(Debug, Parser)]
#[command(name = "lightning", version, about, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    shell: ShellArguments,
}

/// Opens the shell.
#[derive(Debug, Args)]
struct ShellArguments {
    /// Database directory, created when missing; in memory without it
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    resources: Resources,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a database over PostgreSQL's wire protocol
    Serve {
        /// Database directory, created when missing
        #[arg(value_name = "DIR", default_value = DEFAULT_SERVE_DIR)]
        dir: PathBuf,
        /// Address to listen on
        #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN)]
        listen: String,
        /// Address to listen on for HTTP (line protocol), as 127.0.0.1:8086 [default: none]
        #[arg(long, value_name = "ADDR")]
        http: Option<String>,
        #[command(flatten)]
        resources: Resources,
    },
    /// Run SQL and print the results
    #[command(group = clap::ArgGroup::new("script").required(true))]
    Sql {
        /// Database directory, created when missing; in memory without it
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Statements to run, separated by ;
        #[arg(short, long, value_name = "SQL", group = "script")]
        command: Option<String>,
        /// File with statements to run; - for the standard input
        #[arg(short, long, value_name = "FILE", group = "script")]
        file: Option<PathBuf>,
        /// How to print rows [default: table on a terminal, else csv]
        #[arg(long, value_enum)]
        format: Option<Format>,
        #[command(flatten)]
        resources: Resources,
    },
    /// Check every checksum and structure of a database that nobody has open
    Verify {
        /// Database directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// What the database may use of the machine.
#[derive(Debug, Args)]
struct Resources {
    /// Memory for queries, caches and unwritten rows, as 200MB [default: half of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory_limit)]
    memory_limit: Option<usize>,
    /// Threads for queries and encoding [default: one for every core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Resources {
    fn options(&self) -> OpenOptions {
        let defaults = Configuration::default();
        OpenOptions::new()
            .memory_limit(self.memory_limit.unwrap_or(defaults.memory_limit_bytes))
            .threads(self.threads.map_or(defaults.threads, usize::from))
    }

    fn open(&self, dir: Option<&Path>) -> Result<Database> {
        match dir {
            Some(dir) => self.options().open(dir),
            None => self.options().memory(),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    match run(&command_line) {
        Ok(code) => code,
        Err(e) => {
            eprint!("lightning: {}", one_line(&e));
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: &CommandLine) -> Result<ExitCode> {
    match &command_line.command {
        None => {
            let ShellArguments { dir, resources } = &command_line.shell;
            shell::run(&resources.open(dir.as_deref())?, dir.as_deref())
        }
        Some(Command::Serve { dir, listen, http, resources }) => {
            serve::run(|| resources.open(Some(dir)), listen, http.as_deref())
        }
        Some(Command::Sql { dir, command, file, format, resources }) => {
            let script = sql_command::Script::read(command.as_deref(), file.as_deref())?;
            sql_command::run(&resources.open(dir.as_deref())?, script, *format)
        }
        Some(Command::Verify { dir }) => verify::run(dir),
    }
}

/// An error that has no statement: its message, and what else it says on lines of their own.
fn one_line(error: &Error) -> String {
    let described = describe(error, &Source { file: None, first_line: 1, text: "" });
    match described.split_once(": ") {
        Some((_, message)) => message.to_string(),
        None => described,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> std::result::Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(std::iter::once(&"lightning").chain(arguments))
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_directory_alone_opens_the_shell() {
        let shell = parse(&["./data"]).unwrap();
        assert!(shell.command.is_none());
        assert_eq!(shell.shell.dir.as_deref(), Some(Path::new("./data")));
        assert!(parse(&[]).unwrap().shell.dir.is_none());
    }

    #[test]
    fn serve_has_defaults() {
        let Some(Command::Serve { dir, listen, http, resources }) = parse(&["serve"]).unwrap().command else {
            panic!()
        };
        assert_eq!(http, None, "nothing listens for HTTP unless asked to");
        assert_eq!((dir.as_path(), listen.as_str()), (Path::new("lightning-data"), "127.0.0.1:5433"));
        assert_eq!(resources.memory_limit, None);
        let Some(Command::Serve { resources, .. }) = parse(&["serve", "--memory-limit", "200MB"]).unwrap().command
        else {
            panic!()
        };
        assert_eq!(resources.memory_limit, Some(200 << 20));
    }

    #[test]
    fn sql_takes_one_script() {
        assert!(parse(&["sql"]).is_err());
        assert!(parse(&["sql", "-c", "select 1", "-f", "x.sql"]).is_err());
        assert!(parse(&["sql", "dir", "-c", "select 1", "--format", "json"]).is_ok());
        assert!(parse(&["verify"]).is_err());
    }
}
