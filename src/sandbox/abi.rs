//! The three ways to call a guest.

use std::fmt;

/// How rows reach a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// An export on i32, i64, f32 and f64, called once a row.
    Scalar,
    /// An export that is given columns in its memory, called once a batch.
    Batch,
    /// An export of a component that is given an Arrow IPC stream, called once a batch.
    Component,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Abi::Scalar => "scalar",
            Abi::Batch => "batch",
            Abi::Component => "component",
        })
    }
}
