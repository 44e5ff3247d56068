//! What a guest is allowed, how it is compiled, and how an ABI is chosen.

use crate::abi::Abi;
use crate::error::{Error, Result};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

impl FromStr for Abi {
    type Err = Error;

    fn from_str(text: &str) -> Result<Abi> {
        match text {
            "scalar" => Ok(Abi::Scalar),
            "batch" => Ok(Abi::Batch),
            "component" => Ok(Abi::Component),
            _ => Err(Error::invalid(format!("unknown abi \"{text}\": it is scalar, batch or component"))),
        }
    }
}

/// How a module is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kind {
    /// A component, not a core module.
    pub is_component: bool,
    /// Counts fuel: a little slower, and needed for [`Limits::fuel`].
    pub is_metered: bool,
}

/// What a guest is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory and tables of one instance.
    pub memory_bytes: usize,
    /// Time of one call, of one batch that is.
    pub timeout: Duration,
    /// Fuel of one call into the guest (for the scalar ABI: of one batch); only for metered modules.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 64 << 20, timeout: Duration::from_secs(1), fuel: None }
    }
}

/// Says whether the statement was cancelled; asked every few milliseconds.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;
