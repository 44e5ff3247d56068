//! Runs every `.slt` file, embedded and over the wire: `cargo test -p sql-tests -- wire::joins` runs what matches.
//!
//! With `SQL_TESTS_POSTGRES` set to a connection string, the portable files run against that PostgreSQL server instead,
//! each in a database of its own; with `SQL_TESTS_UPDATE` set as well, their expected results are rewritten from its
//! answers.

use lightning::{Database, Server};
use sql_tests::column;
use sql_tests::embedded::Embedded;
use sql_tests::failure::Failure;
use sql_tests::wire::Wire;
use sqllogictest::harness::{Arguments, Failed, Trial, run};
use sqllogictest::{AsyncDB, MakeConnection, Runner, default_normalizer, default_validator};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_postgres::{Config, NoTls};

/// The folder whose files PostgreSQL cannot run.
const OURS: &str = "lightning";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no .slt files under {}", root.display());
    let mut trials = Vec::new();
    for file in files {
        let name = name(&root, &file);
        match std::env::var("SQL_TESTS_POSTGRES") {
            Ok(server) if !name.starts_with(OURS) => {
                trials.push(trial(format!("postgres::{name}"), file, move |file| on_postgres(file, &server)));
            }
            Ok(_) => {}
            Err(_) => {
                trials.push(trial(format!("embedded::{name}"), file.clone(), embedded));
                trials.push(trial(format!("wire::{name}"), file, wire));
            }
        }
    }
    run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, file: PathBuf, test: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::test(name, move || test(&file))
}

/// `slt/select/joins.slt` as `select::joins`.
fn name(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("::")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn database() -> Result<Database, Failure> {
    Ok(Database::builder().memory_limit(256 << 20).threads(2).memory()?)
}

fn embedded(file: &Path) -> Result<(), Failed> {
    let database = database()?;
    runtime().block_on(run_file(file, || async { Embedded::connect(&database) }))
}

fn wire(file: &Path) -> Result<(), Failed> {
    let database = database()?;
    let server = Server::start(&database, "127.0.0.1:0")?;
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.local_addr().port()).user("lightning").dbname("lightning");
    runtime().block_on(run_file(file, || Wire::connect(&config, "lightning")))?;
    Ok(server.stop()?)
}

/// Runs a file in a database made for it.
fn on_postgres(file: &Path, server: &str) -> Result<(), Failed> {
    let server: Config = server.parse()?;
    let update = std::env::var_os("SQL_TESTS_UPDATE").is_some();
    runtime().block_on(async {
        let (admin, connection) = server.connect(NoTls).await?;
        tokio::spawn(connection);
        let database = format!("slt_{}", name(Path::new(env!("CARGO_MANIFEST_DIR")), file).replace(':', "_"));
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0")).await?;
        let mut config = server.clone();
        config.dbname(&database).options("-c TimeZone=UTC");
        let result = match update {
            true => update_file(file, || Wire::connect(&config, "postgres")).await,
            false => run_file(file, || Wire::connect(&config, "postgres")).await,
        };
        admin.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await?;
        result
    })
}

async fn run_file<M>(file: &Path, connect: M) -> Result<(), Failed>
where
    M: MakeConnection,
    M::Conn: AsyncDB<ColumnType = column::Column>,
{
    let mut runner = Runner::new(connect);
    runner.with_column_validator(column::same);
    runner.run_file_async(file).await?;
    runner.shutdown_async().await;
    Ok(())
}

async fn update_file<M>(file: &Path, connect: M) -> Result<(), Failed>
where
    M: MakeConnection,
    M::Conn: AsyncDB<ColumnType = column::Column>,
{
    let mut runner = Runner::new(connect);
    runner.update_test_file(file, " ", default_validator, default_normalizer, column::same).await?;
    runner.shutdown_async().await;
    Ok(())
}
