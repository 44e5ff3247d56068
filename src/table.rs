//! Rows in a box for people: column types under the names, numbers to the right, NULL unlike any text.
//!
//! A box must fit the screen to be read. Of many rows the first and the last are shown, long values and columns that
//! do not fit are cut with `…`, and the line under the box says how much there was.

use crate::text::{Look, TextBatch, look};
use arrow::datatypes::SchemaRef;
use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};
use lightning_sql::types::pg_type;
use std::collections::VecDeque;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters of a value kept at most before the width of the screen is considered.
const VALUE_COLUMNS_MAX: usize = 4_000;
/// A column is not cut narrower than this before columns are left out.
const COLUMN_WIDTH_MIN: usize = 8;
/// What a box adds to each column: a border and a space on both sides.
const COLUMN_FRAME_WIDTH: usize = 3;

/// What a box may take of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Columns of the screen; `None`: no bound.
    pub width: Option<usize>,
    /// Rows shown.
    pub rows_max: usize,
    /// Whether NULL may be told from text by its colour.
    pub colour: bool,
}

/// Columns of the terminal on the standard output, when it is one.
pub fn screen_width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

/// A value: text, or NULL.
type Value = Option<String>;

/// Collects rows and draws them.
#[derive(Debug)]
pub struct BoxTable {
    names: Vec<String>,
    types: Vec<String>,
    looks: Vec<Look>,
    head: Vec<Vec<Value>>,
    tail: VecDeque<Vec<Value>>,
    rows: u64,
    bounds: Bounds,
}

impl BoxTable {
    /// An empty box for rows of `schema`.
    pub fn new(schema: &SchemaRef, bounds: Bounds) -> Self {
        let fields = schema.fields();
        BoxTable {
            names: fields.iter().map(|field| one_line(field.name())).collect(),
            types: fields.iter().map(|field| pg_type(field).sql_name()).collect(),
            looks: fields.iter().map(|field| look(field)).collect(),
            head: Vec::new(),
            tail: VecDeque::new(),
            rows: 0,
            bounds,
        }
    }

    /// Adds the rows of a batch, keeping the first and the last.
    pub fn push(&mut self, batch: &mut TextBatch) {
        let half = (self.bounds.rows_max / 2).max(1);
        let count = batch.rows();
        for row in 0..count {
            self.rows += 1;
            if self.head.len() < half {
                let values = read(batch, row);
                self.head.push(values);
            } else if row + half >= count {
                // Only the last rows of a batch can be among the last of all.
                if self.tail.len() == half {
                    self.tail.pop_front();
                }
                let values = read(batch, row);
                self.tail.push_back(values);
            }
        }
    }

    /// Rows added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The box, ending with a line feed; empty for a result without columns.
    pub fn draw(&self) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let columns = self.fit();
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).apply_modifier(UTF8_ROUND_CORNERS);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| self.header(*column)));
        for row in &self.head {
            table.add_row(columns.iter().map(|column| self.cell(row, *column)));
        }
        let hidden = self.hidden_rows();
        if hidden > 0 {
            table.add_row(columns.iter().map(|_| Cell::new("·").set_alignment(CellAlignment::Center)));
        }
        for row in &self.tail {
            table.add_row(columns.iter().map(|column| self.cell(row, *column)));
        }
        format!("{table}\n")
    }

    /// `3 rows`, and how many of them are shown.
    pub fn summary(&self) -> String {
        let mut text = match self.rows {
            1 => "1 row".to_string(),
            rows => format!("{rows} rows"),
        };
        if self.hidden_rows() > 0 {
            text += &format!(", {} shown", self.head.len() + self.tail.len());
        }
        let columns = self.fit().iter().filter(|column| column.index.is_some()).count();
        if columns < self.names.len() {
            text += &format!(", {columns} of {} columns shown", self.names.len());
        }
        text
    }

    fn hidden_rows(&self) -> u64 {
        self.rows - (self.head.len() + self.tail.len()) as u64
    }

    /// Which columns are drawn, and how wide.
    fn fit(&self) -> Vec<Column> {
        let natural: Vec<usize> = (0..self.names.len()).map(|i| self.natural_width(i)).collect();
        let all = natural.iter().enumerate().map(|(i, width)| Column { index: Some(i), width: *width });
        let Some(screen) = self.bounds.width else { return all.collect() };
        let mut columns: Vec<Column> = all.collect();
        let least = |column: &Column| column.width.min(COLUMN_WIDTH_MIN) + COLUMN_FRAME_WIDTH;
        // Leave out columns from the middle until the rest fits when cut as far as may be.
        while columns.len() > 2 && columns.iter().map(least).sum::<usize>() + 1 > screen {
            let gap = columns.iter().position(|column| column.index.is_none());
            columns
                .remove(gap.map_or(columns.len() / 2, |gap| if gap * 2 > columns.len() { gap - 1 } else { gap + 1 }));
            if gap.is_none() {
                let middle = columns.len() / 2;
                columns.insert(middle, Column { index: None, width: 1 });
            }
        }
        shrink(&mut columns, screen.saturating_sub(1));
        columns
    }

    fn natural_width(&self, index: usize) -> usize {
        let values = self.head.iter().chain(&self.tail).map(|row| shown(&row[index]).width());
        values.chain([self.names[index].width(), self.types[index].width()]).max().unwrap_or(0)
    }

    fn header(&self, column: Column) -> Cell {
        let Some(index) = column.index else { return Cell::new("…\n") };
        let name = cut(&self.names[index], column.width);
        let cell = Cell::new(format!("{name}\n{}", cut(&self.types[index], column.width)));
        cell.set_alignment(self.alignment(index))
    }

    fn cell(&self, row: &[Value], column: Column) -> Cell {
        let Some(index) = column.index else { return Cell::new("…") };
        let cell = Cell::new(cut(shown(&row[index]), column.width)).set_alignment(self.alignment(index));
        match &row[index] {
            None if self.bounds.colour => cell.add_attribute(Attribute::Dim),
            _ => cell,
        }
    }

    fn alignment(&self, index: usize) -> CellAlignment {
        match self.looks[index] {
            Look::Number => CellAlignment::Right,
            Look::Boolean | Look::Json | Look::Text => CellAlignment::Left,
        }
    }
}

/// A column of the box; without an index it stands for those left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    index: Option<usize>,
    width: usize,
}

/// Cuts the widest columns until all fit `screen`, none below [`COLUMN_WIDTH_MIN`].
fn shrink(columns: &mut [Column], screen: usize) {
    let total = |columns: &[Column]| columns.iter().map(|column| column.width + COLUMN_FRAME_WIDTH).sum::<usize>();
    while total(columns) > screen {
        let over = total(columns) - screen;
        let Some(widest) = columns.iter().map(|column| column.width).max().filter(|width| *width > COLUMN_WIDTH_MIN)
        else {
            return;
        };
        // Bring the widest down to the second widest, or as far as needed.
        let next = columns.iter().map(|c| c.width).filter(|width| *width < widest).max().unwrap_or(0);
        let equals = columns.iter().filter(|column| column.width == widest).count();
        let width = next.max(widest.saturating_sub(over.div_ceil(equals))).max(COLUMN_WIDTH_MIN);
        columns.iter_mut().filter(|column| column.width == widest).for_each(|column| column.width = width);
    }
}

fn read(batch: &mut TextBatch, row: usize) -> Vec<Value> {
    let mut values = batch.row(row);
    for value in values.iter_mut().flatten() {
        *value = one_line(value);
    }
    values
}

/// Text on one line: line feeds and other control characters would break the box.
fn one_line(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' => '⏎',
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().take(VALUE_COLUMNS_MAX).map(visible).collect()
}

fn shown(value: &Value) -> &str {
    value.as_deref().unwrap_or("NULL")
}

/// `text` in at most `width` columns, with `…` in place of what was cut.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut used = 1;
    let mut kept = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(widths: &[usize]) -> Vec<Column> {
        widths.iter().enumerate().map(|(i, width)| Column { index: Some(i), width: *width }).collect()
    }

    #[test]
    fn the_widest_columns_give_way_first() {
        let mut fitted = columns(&[4, 100, 50]);
        shrink(&mut fitted, 80);
        let widths: Vec<usize> = fitted.iter().map(|column| column.width).collect();
        assert_eq!(widths[0], 4);
        assert!(widths.iter().map(|w| w + COLUMN_FRAME_WIDTH).sum::<usize>() <= 80, "{widths:?}");
        assert!(widths[1].abs_diff(widths[2]) <= 1, "{widths:?}");
    }

    #[test]
    fn long_text_is_cut_to_its_width() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
    }

    #[test]
    fn control_characters_stay_inside_the_box() {
        assert_eq!(one_line("a\nb\tc\u{1b}[0m"), "a⏎b c\u{fffd}[0m");
    }
}
