//! `lightning verify`: reads a closed database and checks every checksum and structure.

use lightning_sql::Result;
use lightning_storage::{Engine, VerifyReport};
use lightning_vfs::RealVfs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Verifies the database in `dir`; exit code 1 when anything is wrong with it.
pub fn run(dir: &Path) -> Result<ExitCode> {
    let report = Engine::verify(Arc::new(RealVfs), dir)?;
    for notice in &report.notices {
        println!("note: {notice}");
    }
    for fault in &report.faults {
        eprintln!("fault: {fault}");
    }
    println!("{}", summary(&report));
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(report: &VerifyReport) -> String {
    let VerifyReport { files, pages, records, bytes, .. } = report;
    let verdict = match report.faults.len() {
        0 => "no faults".to_string(),
        1 => "1 fault".to_string(),
        faults => format!("{faults} faults"),
    };
    format!("{files} files, {pages} pages, {records} log records, {bytes} bytes: {verdict}")
}
