//! `.demo`: a small data set made on the spot, and queries to try on it.
//!
//! It lives in a schema of its own and is made of parts, each of which shows one field: a script that makes its relations, and
//! examples that work when they are pasted. A further field is a further [`Part`] in [`PARTS`].
//!
//! What must hold: the schema has all parts or is not there, for everything is one transaction; one that is there, whoever made it, is
//! left alone; and the data is the same every time.

mod graph;
mod time_series;

use crate::client::Client;
use crate::output::Failure;
use lightning_sql::TransactionStatus;
use std::io::{self, Write};

/// Where everything is.
const SCHEMA: &str = "demo";

/// What shows one field.
struct Part {
    /// Statements that make its relations, in a schema that is there.
    script: &'static str,
    /// The relations to tell of, without their schema, and what each has.
    relations: &'static [(&'static str, &'static str)],
    /// The property graphs to tell of, in the same way.
    graphs: &'static [(&'static str, &'static str)],
    /// What to try.
    examples: &'static [Example],
}

/// A query to try.
struct Example {
    title: &'static str,
    sql: &'static str,
}

/// All fields. A later one may ask about the relations of an earlier one.
const PARTS: &[Part] = &[time_series::PART, graph::PART];

/// Makes the data unless its schema is there, and writes what there is and what can be asked.
pub fn run(client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
    let known = client.rows(&format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}'"))?;
    if known.is_empty() {
        make(client)?;
        describe(client, out)?;
    } else {
        writeln!(
            out,
            "Schema {SCHEMA} is there already and is left as it is; DROP SCHEMA {SCHEMA} CASCADE; removes it."
        )?;
    }
    writeln!(out, "\nTo try:")?;
    for Example { title, sql } in PARTS.iter().flat_map(|part| part.examples) {
        writeln!(out, "\n-- {title}\n{sql}")?;
    }
    Ok(())
}

/// Runs the scripts as one transaction, or as a part of the one that is open.
fn make(client: &Client) -> Result<(), Failure> {
    let scripts: Vec<&str> = PARTS.iter().map(|part| part.script).collect();
    let script = format!("CREATE SCHEMA {SCHEMA};\n{}", scripts.join("\n"));
    if client.transaction_status() != TransactionStatus::Idle {
        return execute(client, &script);
    }
    execute(client, "BEGIN")?;
    execute(client, &format!("{script}\nCOMMIT")).inspect_err(|_| {
        // What went wrong is said already; without a connection there is nothing to be undone.
        let _ = execute(client, "ROLLBACK");
    })
}

fn execute(client: &Client, sql: &str) -> Result<(), Failure> {
    client.run(sql, &mut io::empty(), &mut io::sink()).map(drop)
}

/// Writes what there is.
fn describe(client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "Schema {SCHEMA} has")?;
    for part in PARTS {
        for (name, what) in part.relations {
            let relation = format!("{SCHEMA}.{name}");
            let count = client.rows(&format!("SELECT count(*) FROM {relation}"))?;
            let count = count.into_iter().flatten().flatten().next().unwrap_or_default();
            writeln!(out, "  {relation:<14} {count:>7} rows: {what}")?;
        }
        for (name, what) in part.graphs {
            let graph = format!("{SCHEMA}.{name}");
            writeln!(out, "  {graph:<14} {:>12}: {what}", "graph")?;
        }
    }
    Ok(())
}
