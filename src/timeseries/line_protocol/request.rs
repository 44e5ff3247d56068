//! The body of a write request, read: rows by table, and what is wrong with lines.

use super::parser::{Parser, Point, Problem};
use super::tables::{TableRows, Tables};
use super::time::Precision;
use lightning_sql::Relations;
use std::borrow::Cow;

/// Problems that an answer names; the others are counted.
const PROBLEMS_SHOWN_MAX: usize = 10;

/// How a request is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) precision: Precision,
    /// Time of points that have none, in nanoseconds since 1970.
    pub(crate) received: i64,
}

/// What a request says.
#[derive(Debug)]
pub(crate) struct Points {
    pub(crate) tables: Vec<TableRows>,
    pub(crate) problems: Problems,
}

/// Lines that are wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    /// The first of them.
    shown: Vec<Problem>,
    count: usize,
}

impl Problems {
    fn add(&mut self, problem: Problem) {
        self.count += 1;
        if self.shown.len() < PROBLEMS_SHOWN_MAX {
            self.shown.push(problem);
        }
    }

    /// How many lines are wrong.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The first of them, and how many more there are.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.shown.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
        let more = self.count - self.shown.len();
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

impl Points {
    /// Reads a body as it is written to tables of these names.
    pub(crate) fn read(body: &[u8], relations: Relations, reading: Reading) -> Points {
        let mut problems = Problems::default();
        let text = readable(body, &mut problems);
        let mut tables = Tables::new(relations, reading.precision, reading.received);
        let (mut parser, mut point) = (Parser::new(&text), Point::new());
        while let Some(read) = parser.next(&mut point) {
            let added = read.and_then(|()| tables.add(&point).map_err(|message| parser.problem(message)));
            if let Err(problem) = added {
                problems.add(problem);
            }
        }
        problems.shown.sort_by_key(|problem| problem.line);
        Points { tables: tables.into_tables(), problems }
    }

    /// How many points can be written.
    pub(crate) fn rows(&self) -> usize {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// The body as text. Lines that are not UTF-8, or have a zero byte, which no text column takes, are problems and become empty.
fn readable<'a>(body: &'a [u8], problems: &mut Problems) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(body)
        && !body.contains(&0)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(body.len());
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let message = match std::str::from_utf8(line) {
            Ok(line) if !line.contains('\0') => {
                text.push_str(line);
                continue;
            }
            Ok(_) => "the line has a zero byte",
            Err(_) => "the line is not UTF-8",
        };
        problems.add(Problem { line: number + 1, column: None, message: message.to_owned() });
    }
    Cow::Owned(text)
}
