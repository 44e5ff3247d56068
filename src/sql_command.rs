//! `lightning sql`: runs a script and prints its results.
//!
//! Statements run one after the other, each in its own transaction unless the script says BEGIN; the first error ends
//! the script with exit code 1, and what ran before stays. Data of COPY FROM STDIN follows its statement in a file, up
//! to a line with `\.`; for `-c` it comes from the standard input.

use crate::client::{Client, Done};
use crate::database::Database;
use crate::output::{Failure, Format};
use crate::report::{Source, describe};
use crate::script::ScriptStatement;
use crate::table::{Bounds, screen_width};
use lightning_sql::{Error, Result, SqlState};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Rows of a box; scripts that want all of them ask for another format.
const TABLE_ROWS_MAX: usize = 10_000;

/// What to run and where it comes from.
pub struct Script {
    /// The file's name for errors.
    file: Option<String>,
    lines: Box<dyn BufRead>,
    /// Where COPY FROM STDIN reads when not from the script itself.
    copy_input: Option<Box<dyn BufRead>>,
}

impl Script {
    /// Opens the script of `-c` or `-f`.
    pub fn read(command: Option<&str>, file: Option<&Path>) -> Result<Script> {
        match (command, file) {
            (Some(command), _) => Ok(Script {
                file: None,
                lines: Box::new(Cursor::new(command.to_string())),
                copy_input: Some(Box::new(BufReader::new(io::stdin()))),
            }),
            (None, Some(path)) if path != Path::new("-") => {
                let opened = File::open(path).map_err(|e| {
                    let state = if e.kind() == io::ErrorKind::NotFound { "58P01" } else { "58030" };
                    Error::new(SqlState(state), format!("could not open {}: {e}", path.display()))
                })?;
                let name = path.display().to_string();
                Ok(Script { file: Some(name), lines: Box::new(BufReader::new(opened)), copy_input: None })
            }
            (None, _) => Ok(Script { file: None, lines: Box::new(BufReader::new(io::stdin())), copy_input: None }),
        }
    }
}

/// Runs a script to its end or its first error.
pub fn run(database: &Database, mut script: Script, format: Option<Format>) -> Result<ExitCode> {
    let terminal = io::stdout().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Table } else { Format::Csv });
    let width = terminal.then(screen_width).flatten();
    let bounds = Bounds { width, rows_max: TABLE_ROWS_MAX, colour: terminal };
    let client = Client::new(database, format, bounds)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let code = match run_statements(&client, &mut script, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    };
    match out.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Ok(unwritable(&e)),
        _ => Ok(code),
    }
}

fn run_statements(client: &Client, script: &mut Script, out: &mut dyn Write) -> std::result::Result<(), ExitCode> {
    let mut statements = crate::script::Script::default();
    loop {
        let mut line = Vec::new();
        let read = match script.lines.read_until(b'\n', &mut line) {
            Ok(read) => read,
            Err(e) => {
                eprintln!("lightning: could not read the script: {e}");
                return Err(ExitCode::FAILURE);
            }
        };
        if read == 0 {
            break;
        }
        match String::from_utf8(line) {
            Ok(line) => statements.push_line(&line),
            Err(_) => {
                eprintln!("ERROR 22021: invalid byte sequence for encoding \"UTF8\"");
                return Err(ExitCode::FAILURE);
            }
        }
        while let Some(statement) = statements.next_statement() {
            run_one(client, script, &statement, out)?;
        }
    }
    match statements.finish() {
        Some(statement) => run_one(client, script, &statement, out),
        None => Ok(()),
    }
}

fn run_one(
    client: &Client,
    script: &mut Script,
    statement: &ScriptStatement,
    out: &mut dyn Write,
) -> std::result::Result<(), ExitCode> {
    let input = script.copy_input.as_mut().unwrap_or(&mut script.lines);
    match client.run(&statement.text, input, out) {
        Ok(done) => {
            if client.format == Format::Table {
                print_summaries(&done, out).map_err(|e| unwritable(&e))?;
            }
            Ok(())
        }
        Err(Failure::Sql(e)) => {
            // Rows of earlier statements come before the error when both go to one place.
            let _ = out.flush();
            let source = Source { file: script.file.as_deref(), first_line: statement.line, text: &statement.text };
            eprint!("{}", describe(&e, &source));
            Err(ExitCode::FAILURE)
        }
        Err(Failure::Output(e)) => Err(unwritable(&e)),
    }
}

fn print_summaries(done: &[Done], out: &mut dyn Write) -> io::Result<()> {
    for done in done {
        match done {
            Done::Rows(summary) => writeln!(out, "({summary})")?,
            Done::Command(tag) => writeln!(out, "{tag}")?,
        }
    }
    Ok(())
}

/// Output that cannot be written ends the script; a reader that has seen enough (`| head`) is no error worth a word.
fn unwritable(e: &io::Error) -> ExitCode {
    if e.kind() != io::ErrorKind::BrokenPipe {
        eprintln!("lightning: could not write the output: {e}");
    }
    ExitCode::FAILURE
}
