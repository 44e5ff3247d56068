//! Results as a table for people and as JSON for programs.

use crate::Failure;
use crate::measure::Measured;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A duration in milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// An empty table with right-aligned columns.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What a check found, as a word.
pub(crate) fn verdict(right: Option<bool>) -> &'static str {
    match right {
        Some(true) => "right",
        Some(false) => "WRONG",
        None => "unchecked",
    }
}

/// Prints the times of all queries and their sum.
pub(crate) fn print(measured: &[Measured]) {
    let mut table = table(&["query", "ms", "rows", "answer"]);
    for m in measured {
        table.add_row([
            m.query.to_string(),
            format!("{:.1}", ms(m.time)),
            m.rows.to_string(),
            verdict(m.right).to_string(),
        ]);
    }
    let total: Duration = measured.iter().map(|m| m.time).sum();
    table.add_row(["all".to_string(), format!("{:.1}", ms(total)), String::new(), String::new()]);
    println!("{table}");
}

/// `{scale, queries: [{query, ms, rows, right}]}`.
pub(crate) fn to_json(scale: f64, measured: &[Measured]) -> Value {
    let queries: Vec<Value> = measured
        .iter()
        .map(|m| json!({ "query": m.query, "ms": ms(m.time), "rows": m.rows, "right": m.right }))
        .collect();
    json!({ "scale": scale, "queries": queries })
}

/// Writes JSON to a file.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).map_err(|e| format!("could not write {}: {e}", path.display()).into())
}
