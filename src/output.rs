//! Results as files and pipes want them: CSV, JSON, Markdown; or the box of [`crate::table`] for people.
//!
//! All but the box are written while rows arrive, so a result of any size passes through in bounded memory.

use crate::table::{Bounds, BoxTable};
use crate::text::{Look, TextBatch, TextEncoder, look};
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use futures::TryStreamExt;
use lightning_sql::{Error, RowStream};
use std::io::{self, Write};

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A box with column types, numbers to the right.
    Table,
    /// Comma-separated values with a header; NULL is empty, the empty string is "".
    Csv,
    /// One array of objects.
    Json,
    /// A table in Markdown.
    Markdown,
}

/// What can go wrong while a statement runs and prints.
#[derive(Debug)]
pub enum Failure {
    /// The statement failed.
    Sql(Error),
    /// Its output could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Sql(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Output(e)
    }
}

/// Prints all rows of a result; the number of rows and, for a box, the line that belongs under it.
pub async fn print(
    rows: RowStream,
    format: Format,
    bounds: Bounds,
    time_zone: &str,
    out: &mut dyn Write,
) -> Result<(u64, String), Failure> {
    let mut sink = Sink::new(format, &rows.schema, bounds);
    let encoder = TextEncoder::new(&rows.schema, time_zone);
    let mut batches = rows.batches;
    // The header waits for the first batch: a statement that fails prints nothing.
    let mut next = batches.try_next().await?;
    sink.begin(out)?;
    while let Some(batch) = next {
        let mut text = encoder.bind(&batch)?;
        sink.rows(&mut text, out)?;
        next = batches.try_next().await?;
    }
    sink.end(out)?;
    Ok((sink.count, sink.summary()))
}

/// Where rows go.
struct Sink {
    format: Format,
    names: Vec<String>,
    looks: Vec<Look>,
    table: Option<BoxTable>,
    count: u64,
}

impl Sink {
    fn new(format: Format, schema: &SchemaRef, bounds: Bounds) -> Self {
        Sink {
            format,
            names: schema.fields().iter().map(|field| field.name().clone()).collect(),
            looks: schema.fields().iter().map(|field| look(field)).collect(),
            table: (format == Format::Table).then(|| BoxTable::new(schema, bounds)),
            count: 0,
        }
    }

    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Table => Ok(()),
            Format::Csv => write_csv_line(self.names.iter().map(|name| Some(name.as_str())), out),
            Format::Json => {
                self.names = distinct(&self.names);
                out.write_all(b"[")
            }
            Format::Markdown => {
                let names: Vec<String> = self.names.iter().map(|name| markdown_text(name)).collect();
                writeln!(out, "| {} |", names.join(" | "))?;
                let rule = |look: &Look| if *look == Look::Number { "--:" } else { "---" };
                writeln!(out, "|{}|", self.looks.iter().map(rule).collect::<Vec<_>>().join("|"))
            }
        }
    }

    fn rows(&mut self, batch: &mut TextBatch, out: &mut dyn Write) -> io::Result<()> {
        if let Some(table) = &mut self.table {
            table.push(batch);
            self.count = table.rows();
            return Ok(());
        }
        for row in 0..batch.rows() {
            let values = batch.row(row);
            match self.format {
                Format::Csv => write_csv_line(values.iter().map(|value| value.as_deref()), out)?,
                Format::Json => self.write_json_row(&values, out)?,
                Format::Markdown | Format::Table => {
                    let cells = values.iter().map(|value| value.as_deref().map_or_else(String::new, markdown_text));
                    writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
                }
            }
            self.count += 1;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.table, self.format) {
            (Some(table), _) => out.write_all(table.draw().as_bytes()),
            (None, Format::Json) => out.write_all(if self.count == 0 { b"]\n" } else { b"\n]\n" }),
            (None, _) => Ok(()),
        }
    }

    fn summary(&self) -> String {
        self.table.as_ref().map_or_else(String::new, BoxTable::summary)
    }

    fn write_json_row(&self, values: &[Option<String>], out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.count == 0 { b"\n  {" } else { b",\n  {" })?;
        for (i, value) in values.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(out, "{comma}{}: ", json_string(&self.names[i]))?;
            match value {
                None => out.write_all(b"null")?,
                Some(text) => out.write_all(json_value(self.looks[i], text).as_bytes())?,
            }
        }
        out.write_all(b"}")
    }
}

/// A line of CSV as PostgreSQL's COPY writes it.
fn write_csv_line<'v>(values: impl Iterator<Item = Option<&'v str>>, out: &mut dyn Write) -> io::Result<()> {
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        match value {
            None => {}
            Some(text) if needs_quotes(text) => write!(out, "\"{}\"", text.replace('"', "\"\""))?,
            Some(text) => out.write_all(text.as_bytes())?,
        }
    }
    out.write_all(b"\n")
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text == "\\."
        || text.contains(['"', ',', '\n', '\r'])
        || text.starts_with(' ')
        || text.ends_with(' ')
}

fn json_value(look: Look, text: &str) -> String {
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match look {
        Look::Boolean if text == "t" => "true".to_string(),
        Look::Boolean if text == "f" => "false".to_string(),
        // NaN and Infinity are numbers to SQL and none to JSON.
        Look::Number | Look::Json if is_json() => text.to_string(),
        Look::Boolean | Look::Number | Look::Json | Look::Text => json_string(text),
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object cannot have two fields of one name: later ones get a number.
fn distinct(names: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let mut candidate = name.clone();
        let mut number = 1;
        while distinct.contains(&candidate) {
            number += 1;
            candidate = format!("{name}_{number}");
        }
        distinct.push(candidate);
    }
    distinct
}

fn markdown_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\r', "").replace('\n', "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_tells_null_from_the_empty_string() {
        let mut out = Vec::new();
        let values = [None, Some(""), Some("a,b"), Some("say \"hi\""), Some("plain")];
        write_csv_line(values.into_iter(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), ",\"\",\"a,b\",\"say \"\"hi\"\"\",plain\n");
    }

    #[test]
    fn json_keeps_numbers_and_quotes_the_rest() {
        assert_eq!(json_value(Look::Number, "12.50"), "12.50");
        assert_eq!(json_value(Look::Number, "NaN"), "\"NaN\"");
        assert_eq!(json_value(Look::Boolean, "t"), "true");
        assert_eq!(json_value(Look::Json, "{\"a\": [1]}"), "{\"a\": [1]}");
        assert_eq!(json_value(Look::Text, "a\"b\n"), "\"a\\\"b\\n\"");
    }

    #[test]
    fn json_fields_have_distinct_names() {
        let names = ["a", "a", "a_2", "a"].map(String::from);
        assert_eq!(distinct(&names), ["a", "a_2", "a_2_2", "a_3"]);
    }

    #[test]
    fn markdown_cells_stay_cells() {
        assert_eq!(markdown_text("a|b\nc"), "a\\|b<br>c");
    }
}
