//! PostgreSQL's text forms of values: reading them into Arrow columns and writing them.
//!
//! COPY, literals, casts from text and INSERT read through [`ColumnBuilder`], so a value means the same wherever it is
//! written; COPY TO and casts to text write through [`TextColumn`].

pub mod datetime;
pub mod interval;
pub mod json;
pub mod number;
mod input;
mod output;

pub(crate) use input::limited;
pub use input::{ColumnBuilder, InputOptions};
pub use output::TextColumn;
