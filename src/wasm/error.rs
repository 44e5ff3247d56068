//! What the sandbox says, as errors of SQL.

use arrow::datatypes::{DataType, Field};
use lightning_sandbox::{Error as Sandbox, ErrorKind};
use lightning_sql::sqlstate::{
    INTERNAL_ERROR, INVALID_FUNCTION_DEFINITION, IO_ERROR, OUT_OF_MEMORY, PROGRAM_LIMIT_EXCEEDED, QUERY_CANCELED,
};
use lightning_sql::types;
use lightning_sql::{Error, SqlState};

/// external_routine_exception
const EXTERNAL_ROUTINE_EXCEPTION: SqlState = SqlState("38000");
/// configuration_limit_exceeded
const CONFIGURATION_LIMIT_EXCEEDED: SqlState = SqlState("53400");
/// invalid output of a routine
pub(crate) const EXTERNAL_ROUTINE_INVOCATION_EXCEPTION: SqlState = SqlState("39000");

/// An error of a call.
pub(crate) fn plain(e: Sandbox) -> Error {
    let state = match (&e, e.kind()) {
        (Sandbox::TooLarge { .. }, _) => PROGRAM_LIMIT_EXCEEDED,
        (Sandbox::BadOutput { .. } | Sandbox::WrongResult { .. }, _) => EXTERNAL_ROUTINE_INVOCATION_EXCEPTION,
        (_, ErrorKind::InvalidModule) => INVALID_FUNCTION_DEFINITION,
        (_, ErrorKind::Limit) => CONFIGURATION_LIMIT_EXCEEDED,
        (_, ErrorKind::Guest) => EXTERNAL_ROUTINE_EXCEPTION,
        (_, ErrorKind::TimedOut | ErrorKind::Cancelled) => QUERY_CANCELED,
        (_, ErrorKind::OutOfMemory) => OUT_OF_MEMORY,
        (_, ErrorKind::Io) => IO_ERROR,
        (_, ErrorKind::Internal) => INTERNAL_ERROR,
    };
    let error = Error::new(state, e.to_string());
    let name = |data_type: &DataType| types::pg_type(&Field::new("", data_type.clone(), true)).base_name();
    match &e {
        Sandbox::Unsupported { data_type, .. } => error
            .with_detail(format!("Its type is {}.", name(data_type)))
            .with_hint("The ABI batch passes all types but arrays, a component those, too."),
        Sandbox::WrongResult { expected, found, .. } => {
            error.with_detail(format!("It is {} instead of {}.", name(found), name(expected)))
        }
        Sandbox::Trap { function, export, backtrace, .. } => {
            let frames = backtrace.iter().map(|frame| format!("\n  at {frame}")).collect::<String>();
            error.with_context(format!("WASM function {function}, export \"{export}\"{frames}"))
        }
        Sandbox::Guest { function, .. } => error.with_context(format!("WASM function {function}")),
        Sandbox::TimedOut { .. } => {
            error.with_hint("Create the function with a longer time-out: WITH (timeout = '10s').")
        }
        Sandbox::Memory { .. } => error.with_hint("Create the function with more memory: WITH (memory = '256MB')."),
        Sandbox::OutOfFuel { .. } => error.with_hint("Create the function with more fuel."),
        _ => error,
    }
}
