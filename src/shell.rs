//! The shell: statements typed in, results in a box.
//!
//! On a terminal it edits lines, keeps a history, shows times, and Ctrl-C cancels the running statement, never the
//! shell. With its input from a pipe or a file it is a script: no prompts, and the first error ends it with exit
//! code 1.

use crate::client::{Client, Done};
use crate::database::Database;
use crate::demo;
use crate::line_editor::{Input, LineEditor};
use crate::output::{Failure, Format};
use crate::progress::{ClearOnWrite, Progress};
use crate::report::{Source, describe};
use crate::script::{Script, ScriptStatement};
use crate::shell_command::{self, ShellCommand};
use crate::table::{Bounds, screen_width};
use lightning_sql::{Error, Result, SqlState, TransactionStatus};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rows of a box until `.rows` says otherwise.
const ROWS_SHOWN: usize = 40;
/// How deep `.read` files may read others.
const READ_DEPTH_MAX: usize = 16;

/// Runs the shell until it is left.
pub fn run(database: &Database, dir: Option<&Path>) -> Result<ExitCode> {
    let interactive = io::stdin().is_terminal();
    let terminal = io::stdout().is_terminal();
    let format = if terminal { Format::Table } else { Format::Csv };
    let bounds = Bounds { width: None, rows_max: ROWS_SHOWN, colour: terminal };
    let client = Client::new(database, format, bounds)?;
    let mut shell = Shell { client, interactive, timing: interactive, read_depth: 0 };
    match interactive {
        true => shell.converse(dir),
        false => {
            let completed = shell.run_lines(&mut BufReader::new(io::stdin()), None);
            Ok(if completed == Flow::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

/// What to do after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    Failed,
    Quit,
}

struct Shell {
    client: Client,
    /// Whether a person types.
    interactive: bool,
    timing: bool,
    read_depth: usize,
}

impl Shell {
    /// Reads from the terminal until Ctrl-D or `.quit`.
    fn converse(&mut self, dir: Option<&Path>) -> Result<ExitCode> {
        let place = dir.map_or_else(|| "in memory".to_string(), |dir| dir.display().to_string());
        println!("Lightning DB {} ({place}). Statements end with ;  .help lists commands.", env!("CARGO_PKG_VERSION"));
        let failed = |e: rustyline::error::ReadlineError| {
            Error::new(SqlState("58030"), format!("could not read from the terminal: {e}"))
        };
        let mut editor = LineEditor::new().map_err(failed)?;
        loop {
            editor.set_names(self.names());
            match editor.read(self.prompt()).map_err(failed)? {
                Input::Interrupted => {}
                Input::End => break,
                Input::Text(text) => {
                    let mut input = io::Cursor::new(text);
                    if self.run_lines(&mut input, None) == Flow::Quit {
                        break;
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn prompt(&self) -> &'static str {
        match self.client.transaction_status() {
            TransactionStatus::Idle => "lightning> ",
            TransactionStatus::InTransaction => "lightning*> ",
            TransactionStatus::Failed => "lightning!> ",
        }
    }

    /// Names of tables and views, as they are to be written, for completion; none when they cannot be had just now.
    fn names(&self) -> Vec<String> {
        if self.client.transaction_status() == TransactionStatus::Failed {
            return Vec::new();
        }
        let rows = self.client.rows(NAMES).unwrap_or_default();
        rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect()
    }

    /// Runs lines of statements and commands. A failure ends a script; at the terminal it ends what was typed at once.
    fn run_lines(&mut self, input: &mut dyn BufRead, file: Option<&str>) -> Flow {
        let mut script = Script::default();
        let mut line = String::new();
        loop {
            line.clear();
            match input.read_line(&mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    eprintln!("lightning: could not read the input: {e}");
                    return Flow::Failed;
                }
            }
            let flow = if script.is_between_statements() && shell_command::is_command(&line) {
                script.skip_line();
                self.run_command(&line)
            } else {
                script.push_line(&line);
                self.run_statements(&mut script, input, file)
            };
            if flow != Flow::Continue {
                return flow;
            }
        }
        match script.finish() {
            Some(statement) => self.run_statement(&statement, input, file),
            None => Flow::Continue,
        }
    }

    fn run_statements(&mut self, script: &mut Script, input: &mut dyn BufRead, file: Option<&str>) -> Flow {
        while let Some(statement) = script.next_statement() {
            let flow = self.run_statement(&statement, input, file);
            if flow != Flow::Continue {
                return flow;
            }
        }
        Flow::Continue
    }

    fn run_statement(&mut self, statement: &ScriptStatement, input: &mut dyn BufRead, file: Option<&str>) -> Flow {
        self.client.bounds.width = screen_width();
        let start = Instant::now();
        let result = self.cancellable(|out| match self.interactive && file.is_none() {
            true => self.client.run(&statement.text, &mut BufReader::new(io::stdin()), out),
            false => self.client.run(&statement.text, input, out),
        });
        let elapsed = self.timing.then(|| start.elapsed());
        match result {
            Ok(done) => {
                self.print_done(&done, elapsed);
                Flow::Continue
            }
            Err(failure) => {
                let first_line = if self.interactive && file.is_none() { 1 } else { statement.line };
                self.failed(&failure, &Source { file, first_line, text: &statement.text })
            }
        }
    }

    /// Says what went wrong.
    fn failed(&self, failure: &Failure, source: &Source<'_>) -> Flow {
        match failure {
            Failure::Sql(e) => eprint!("{}", describe(e, source)),
            Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            Failure::Output(e) => eprintln!("lightning: could not write the output: {e}"),
        }
        Flow::Failed
    }

    /// Runs statements while Ctrl-C cancels them, with a sign of life when they take long.
    fn cancellable<T>(
        &self,
        work: impl FnOnce(&mut dyn Write) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        if !self.interactive {
            return work(&mut io::stdout().lock());
        }
        let cancel = self.client.cancel_handle();
        let watch = self.client.database().runtime().spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
        let mut progress = Progress::start();
        let result = work(&mut ClearOnWrite::new(&mut progress, io::stdout().lock()));
        progress.clear();
        watch.abort();
        result
    }

    fn print_done(&self, done: &[Done], elapsed: Option<Duration>) {
        if self.client.format != Format::Table {
            return;
        }
        for done in done {
            match (done, elapsed) {
                (Done::Rows(summary), Some(elapsed)) => println!("({summary}, {})", readable(elapsed)),
                (Done::Rows(summary), None) => println!("({summary})"),
                (Done::Command(tag), Some(elapsed)) => println!("{tag} ({})", readable(elapsed)),
                (Done::Command(tag), None) => println!("{tag}"),
            }
        }
    }

    fn run_command(&mut self, line: &str) -> Flow {
        match shell_command::parse(line) {
            Ok(command) => self.obey(command),
            Err(message) => {
                eprintln!("{message}");
                Flow::Failed
            }
        }
    }

    fn obey(&mut self, command: ShellCommand) -> Flow {
        match command {
            ShellCommand::Quit => return Flow::Quit,
            ShellCommand::Help => print!("{}", shell_command::help()),
            ShellCommand::Tables | ShellCommand::Describe(None) => return self.ask(TABLES),
            ShellCommand::Schemas => return self.ask(SCHEMAS),
            ShellCommand::Databases => return self.ask(DATABASES),
            ShellCommand::Describe(Some(name)) => return self.describe_relation(&name),
            ShellCommand::Timing(switch) => {
                self.timing = switch.unwrap_or(!self.timing);
                println!("timing is {}", if self.timing { "on" } else { "off" });
            }
            ShellCommand::Mode(format) => self.client.format = format,
            ShellCommand::Rows(rows) => self.client.bounds.rows_max = rows,
            ShellCommand::Read(path) => return self.read_file(&path),
            ShellCommand::Demo => return self.make_demo(),
        }
        Flow::Continue
    }

    /// Prints the answer to a question of the shell's own.
    fn ask(&mut self, sql: &str) -> Flow {
        let statement = ScriptStatement { text: sql.to_string(), line: 1 };
        self.run_statement(&statement, &mut io::empty(), None)
    }

    fn describe_relation(&mut self, name: &str) -> Flow {
        let quoted = format!("'{}'", name.replace('\'', "''"));
        match self.client.rows(&format!("SELECT {quoted}::regclass::oid")) {
            Ok(_) => self.ask(&COLUMNS.replace("$1", &quoted)),
            Err(e) => self.failed(&e.into(), &NOT_TYPED),
        }
    }

    fn make_demo(&mut self) -> Flow {
        match self.cancellable(|out| demo::run(&self.client, out)) {
            Ok(()) => Flow::Continue,
            Err(failure) => self.failed(&failure, &NOT_TYPED),
        }
    }

    fn read_file(&mut self, path: &Path) -> Flow {
        if self.read_depth == READ_DEPTH_MAX {
            eprintln!("files read each other more than {READ_DEPTH_MAX} deep");
            return Flow::Failed;
        }
        match File::open(path) {
            Ok(file) => {
                self.read_depth += 1;
                let flow = self.run_lines(&mut BufReader::new(file), Some(&path.display().to_string()));
                self.read_depth -= 1;
                flow
            }
            Err(e) => {
                eprintln!("could not open {}: {e}", path.display());
                Flow::Failed
            }
        }
    }
}

/// The text of the shell's own statements, which is not to be shown.
const NOT_TYPED: Source<'static> = Source { file: None, first_line: 1, text: "" };

const TABLES: &str = "SELECT table_schema AS schema, table_name AS name, \
     CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS type \
     FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'lightning') \
     ORDER BY 1, 2";
const NAMES: &str = "SELECT CASE table_schema WHEN 'public' THEN '' ELSE table_schema || '.' END || table_name \
     FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
const SCHEMAS: &str = "SELECT nspname AS name FROM pg_catalog.pg_namespace ORDER BY 1";
const DATABASES: &str = "SELECT datname AS name FROM pg_catalog.pg_database ORDER BY 1";
const COLUMNS: &str = "SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, \
     CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS nullable, \
     coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default \
     FROM pg_catalog.pg_attribute a \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attrelid = $1::regclass::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// A time in the unit that suits it.
fn readable(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match seconds {
        s if s < 10.0 => format!("{:.1} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(readable(Duration::from_micros(1_234)), "1.2 ms");
        assert_eq!(readable(Duration::from_millis(12_345)), "12.3 s");
        assert_eq!(readable(Duration::from_secs(125)), "2 min 5 s");
    }
}
