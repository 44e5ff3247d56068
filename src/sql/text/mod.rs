//! PostgreSQL's text forms of values: reading them into Arrow columns and writing them; and reading their binary forms.
//!
//! COPY, literals, casts from text and INSERT read through [`ColumnBuilder`], so a value means the same wherever it is
//! written; COPY TO and casts to text write through [`TextColumn`].

pub mod calendar;
pub mod datetime;
pub mod interval;
pub mod json;
pub mod nanos;
pub mod number;
pub(crate) mod similar;
mod input;
mod binary;
mod output;

pub use binary::{binary_numeric_text, utf8};
pub use input::{ColumnBuilder, InputOptions};
pub(crate) use input::{dimensions, limited, nested_array};
pub use output::TextColumn;
pub(crate) use output::interval_text;
