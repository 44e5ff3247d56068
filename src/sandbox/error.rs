//! What can go wrong with user code, and what the caller can do about it.
//!
//! The variants carry facts; [`Error::kind`] says whose fault it is. Texts are in PostgreSQL's manner: lower-case start,
//! no full stop; they name no types of Arrow, which the variants carry for who can name them in SQL. What a guest wrote itself ([`Error::Guest`]) is shown as it is, but for its length.

use crate::abi::Abi;
use arrow::datatypes::DataType;
use std::fmt;
use std::io;
use std::time::Duration;

/// Most results here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The module, or the way it was declared, is wrong: declare it otherwise.
    InvalidModule,
    /// The guest went wrong by itself: correct the guest or its input.
    Guest,
    /// A limit was reached: raise it, or ask for less.
    Limit,
    /// The time-out passed.
    TimedOut,
    /// The statement was cancelled.
    Cancelled,
    /// The process is short of memory: try again later.
    OutOfMemory,
    /// The file system failed.
    Io,
    /// A fault of ours.
    Internal,
}

/// What can go wrong.
#[derive(Debug)]
pub enum Error {
    /// The bytes are no module, or not one that is allowed here.
    Invalid {
        /// What is wrong, in the compiler's words.
        detail: String,
    },
    /// The module does not export what is needed.
    MissingExport {
        /// The function.
        function: String,
        /// The export's name.
        export: String,
    },
    /// An export has another type.
    WrongType {
        /// The function.
        function: String,
        /// The export.
        item: String,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value of this type cannot be passed by the ABI.
    Unsupported {
        /// The function.
        function: String,
        /// The ABI.
        abi: Abi,
        /// Which argument, from 1; none for the result.
        argument: Option<usize>,
        /// Its type, for who can name it.
        data_type: DataType,
    },
    /// The module wants something that guests are not given.
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// The module has too many bytes.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The guest needs more memory than it is allowed.
    Memory {
        /// The function.
        function: String,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The guest trapped.
    Trap {
        /// The function.
        function: String,
        /// The export that was called.
        export: String,
        /// The trap, such as `integer divide by zero`.
        message: String,
        /// The guest's frames, innermost first.
        backtrace: Vec<String>,
    },
    /// The time-out passed.
    TimedOut {
        /// The function.
        function: String,
        /// The time-out.
        timeout: Duration,
    },
    /// The statement was cancelled.
    Cancelled,
    /// The fuel is used up.
    OutOfFuel {
        /// The function.
        function: String,
        /// The fuel a call is given.
        fuel: u64,
    },
    /// The guest reports an error.
    Guest {
        /// The function.
        function: String,
        /// The guest's text.
        message: String,
    },
    /// The guest returned or passed something that makes no sense.
    BadOutput {
        /// The function.
        function: String,
        /// What.
        detail: String,
    },
    /// The guest returned a column of another type than was declared.
    WrongResult {
        /// The function.
        function: String,
        /// The column, if the function returns a table.
        column: Option<String>,
        /// What was declared.
        expected: DataType,
        /// What is there.
        found: DataType,
    },
    /// The memory budget of the process is used up.
    Budget {
        /// The function.
        function: String,
    },
    /// The file system, or the system's threads, failed.
    Io(io::Error),
    /// A fault of ours.
    Internal {
        /// What.
        detail: String,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Invalid { .. }
            | Error::MissingExport { .. }
            | Error::WrongType { .. }
            | Error::Unsupported { .. }
            | Error::Import { .. }
            | Error::TooLarge { .. } => ErrorKind::InvalidModule,
            Error::Trap { .. } | Error::Guest { .. } | Error::BadOutput { .. } | Error::WrongResult { .. } => {
                ErrorKind::Guest
            }
            Error::Memory { .. } | Error::OutOfFuel { .. } => ErrorKind::Limit,
            Error::TimedOut { .. } => ErrorKind::TimedOut,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Budget { .. } => ErrorKind::OutOfMemory,
            Error::Io(_) => ErrorKind::Io,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// A module that is not allowed.
    pub(crate) fn invalid(detail: impl fmt::Display) -> Error {
        Error::Invalid { detail: detail.to_string() }
    }

    /// A fault of ours.
    pub(crate) fn internal(detail: impl fmt::Display) -> Error {
        Error::Internal { detail: detail.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid { detail } => write!(f, "invalid WebAssembly module: {detail}"),
            Error::MissingExport { function, export } => {
                write!(f, "the module of function {function} exports no \"{export}\"")
            }
            Error::WrongType { function, item, expected, found } => {
                write!(f, "function {function}: {item} must be {expected}, not {found}")
            }
            Error::Unsupported { function, abi, argument: Some(number), .. } => {
                write!(f, "function {function}: argument {number} has a type that the abi {abi} cannot pass")
            }
            Error::Unsupported { function, abi, argument: None, .. } => {
                write!(f, "function {function}: the result has a type that the abi {abi} cannot pass")
            }
            Error::Import { module, name } => {
                write!(f, "module imports {module}.{name}, which a function is not given")
            }
            Error::TooLarge { bytes, limit_bytes } => {
                write!(f, "WebAssembly module has {bytes} bytes; at most {limit_bytes} are allowed")
            }
            Error::Memory { function, limit_bytes } => {
                write!(f, "function {function} needs more than its {limit_bytes} bytes of memory")
            }
            Error::Trap { function, message, .. } => write!(f, "function {function} trapped: {message}"),
            Error::TimedOut { function, timeout } => {
                write!(f, "function {function} ran longer than its time-out of {timeout:?}")
            }
            Error::Cancelled => write!(f, "canceling statement due to user request"),
            Error::OutOfFuel { function, fuel } => write!(f, "function {function} used up its fuel of {fuel}"),
            Error::Guest { message, .. } => write!(f, "{message}"),
            Error::BadOutput { function, detail } => write!(f, "function {function}: {detail}"),
            Error::WrongResult { function, column: Some(column), .. } => {
                write!(f, "function {function}: column \"{column}\" has another type than it was declared with")
            }
            Error::WrongResult { function, column: None, .. } => {
                write!(f, "function {function}: the result has another type than it was declared with")
            }
            Error::Budget { function } => {
                write!(f, "out of memory: function {function} needs more than the memory budget has left")
            }
            Error::Io(error) => write!(f, "{error}"),
            Error::Internal { detail } => write!(f, "internal error: {detail}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}
