//! User code as WebAssembly guests, called on Arrow columns.
//!
//! A [`Sandbox`] makes a [`Module`] of bytes. An export of it with a declaration is a [`Function`], whose instances for
//! one query a [`Pool`] has and calls; a [`ComponentAggregate`] or a [`ComponentTable`], which have their own; or a
//! [`TriggerFunction`], which makes one for each call. Nothing here knows statements, tables or transactions: of SQL it
//! is known which values there are.
//!
//! A guest is a function of its arguments, and cannot hurt anybody:
//! - it is given no system interface, no clock, no chance and no file; its NaNs are canonical; so the same arguments
//!   give the same result on every machine (where memory is refused, the guest is told, and may do otherwise); a
//!   trigger's guest is given functions that ask about its row and change it, and nothing else;
//! - its memory is limited, and drawn from the process's budget until its instance is dropped;
//! - it runs until its deadline, its fuel or the statement ends, whichever is first, and notices within some
//!   milliseconds; its stack is bounded and made for it;
//! - nothing it returns is believed: pointers, lengths, offsets, encodings and values are checked before use, and what
//!   breaks a rule is the guest's error and none of ours;
//! - a trap, like any error, is one statement's error, and its instance is thrown away.
//!
//! Compiling is done once a module: what was compiled is kept in memory and on disk, under our own checksum.

mod abi;
mod error;
mod limits;
mod counters;
mod binary;
mod engine;
mod ticker;
mod cache;
mod module;
mod machine_code;
mod sandbox;
mod guard;
mod run;
mod signature;
mod range;
mod layout;
mod input;
mod output;
mod nulls;
mod lane;
mod scalar;
mod batch;
mod ipc;
mod component;
mod function;
mod aggregate;
mod event;
mod value;
mod changes;
mod host;
mod imports;
mod trigger;

#[cfg(test)]
mod tests;

pub use abi::Abi;
pub use aggregate::{ComponentAggregate, ComponentTable};
pub use binary::{from_text, hash};
pub use counters::Counters;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Level, Rows, Timing, ToText, TriggerCall, TriggerOutcome};
pub use function::{Function, FunctionSpec, Pool};
pub use limits::{Interrupt, Kind, Limits};
pub use module::Module;
pub use sandbox::{Sandbox, SandboxOptions};
pub use trigger::TriggerFunction;
