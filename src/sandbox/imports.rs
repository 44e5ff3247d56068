//! The functions that a trigger's guest may import, all from the module `lightning`.
//!
//! ```text
//! event() -> i32                        1 insert, 2 update, 3 delete, 4 truncate
//! timing() -> i32                       1 before, 2 after
//! columns() -> i32                      how many columns the table has
//! column(name, len) -> i32              the number of a column, -1 when there is none of this name
//! argument(i, ptr, cap) -> i32          an argument of the trigger: its length, -1 when there is none
//! raise(ptr, len)                       ends the statement with an error of this text
//! execute(ptr, len)                     runs an SQL statement in the same transaction, after the function returned
//!
//! for each row only; which is 0 for the old row and 1 for the new one:
//! is_null(which, col) -> i32            1 for NULL
//! get_i64(which, col) -> i64            an integer, boolean, date or time as it is stored; 0 for NULL
//! get_f64(which, col) -> f64            a number; 0 for NULL
//! get_text(which, col, ptr, cap) -> i32 any value as text, bytes as they are: its length; -1 for NULL
//! set_null(col)                         sets a column of the new row, before it is written
//! set_i64(col, value)
//! set_f64(col, value)
//! set_text(col, ptr, len)
//! ```
//!
//! A text is copied up to the guest's capacity; the length that is returned is the whole one's. Whatever makes no sense
//! ends the statement with an error that names the function: a guest cannot go on from a wrong question.

use crate::error::Error;
use crate::guard::State;
use crate::host::Host;
use crate::run::shown;
use std::sync::Arc;
use wasmtime::{Caller, Engine, Linker};

/// A guest's view of itself while it calls us.
type Guest<'a> = Caller<'a, State<Option<Host>>>;

/// What an import answers: an error says what is wrong with the question.
type Answer<T> = std::result::Result<T, String>;

/// Names of all imports.
pub(crate) const NAMES: [&str; 15] = [
    "event", "timing", "columns", "column", "argument", "raise", "execute", "is_null", "get_i64", "get_f64",
    "get_text", "set_null", "set_i64", "set_f64", "set_text",
];

/// Bytes that a changed value or a statement takes beside its text.
const ENTRY_BYTES: usize = 48;

/// A linker that has all imports of the trigger function `function`.
pub(crate) fn linker(engine: &Engine, function: &Arc<str>) -> wasmtime::Result<Linker<State<Option<Host>>>> {
    let mut linker = Linker::new(engine);
    let names = function.clone();
    macro_rules! import {
        ($name:literal $(keeping $kept:ident)?, |$guest:ident $(, $argument:ident : $type:ty)*| -> $result:ty $body:block) => {{
            let function = names.clone();
            linker.func_wrap(
                "lightning",
                $name,
                move |mut caller: Guest<'_> $(, $argument: $type)*| -> wasmtime::Result<$result> {
                    let $guest = &mut caller;
                    $($guest.data_mut().guard.keep($kept as usize + ENTRY_BYTES).map_err(wasmtime::Error::new)?;)?
                    let answer: Answer<$result> = (|| $body)();
                    answer.map_err(|detail| wrong(&function, $name, &detail))
                },
            )?;
        }};
    }
    import!("event", |guest| -> i32 { Ok(host(guest)?.event()) });
    import!("timing", |guest| -> i32 { Ok(host(guest)?.timing()) });
    import!("columns", |guest| -> i32 { Ok(host(guest)?.columns()) });
    import!("column", |guest, ptr: u32, len: u32| -> i32 {
        let (memory, host) = parts(guest)?;
        Ok(host.column(text(memory, ptr, len)?))
    });
    import!("argument", |guest, i: i32, ptr: u32, cap: u32| -> i32 {
        let (memory, host) = parts(guest)?;
        host.argument(i).map_or(Ok(-1), |argument| give(memory, ptr, cap, argument.as_bytes()))
    });
    import!("execute" keeping len, |guest, ptr: u32, len: u32| -> () {
        let (memory, host) = parts(guest)?;
        host.execute(text(memory, ptr, len)?)
    });
    import!("is_null", |guest, which: i32, col: i32| -> i32 { host(guest)?.is_null(which, col).map(i32::from) });
    import!("get_i64", |guest, which: i32, col: i32| -> i64 { host(guest)?.get_i64(which, col) });
    import!("get_f64", |guest, which: i32, col: i32| -> f64 { host(guest)?.get_f64(which, col) });
    import!("get_text", |guest, which: i32, col: i32, ptr: u32, cap: u32| -> i32 {
        let (memory, host) = parts(guest)?;
        host.with_text(which, col, |bytes| give(memory, ptr, cap, bytes))?.unwrap_or(Ok(-1))
    });
    import!("set_null", |guest, col: i32| -> () { host(guest)?.set_null(col) });
    import!("set_i64", |guest, col: i32, value: i64| -> () { host(guest)?.set_i64(col, value) });
    import!("set_f64", |guest, col: i32, value: f64| -> () { host(guest)?.set_f64(col, value) });
    import!("set_text" keeping len, |guest, col: i32, ptr: u32, len: u32| -> () {
        let (memory, host) = parts(guest)?;
        host.set_text(col, bytes(memory, ptr, len)?)
    });
    let function = function.clone();
    linker.func_wrap(
        "lightning",
        "raise",
        move |mut caller: Guest<'_>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, _) = parts(&mut caller).map_err(|detail| wrong(&function, "raise", &detail))?;
            let text = bytes(memory, ptr, len).map_err(|detail| wrong(&function, "raise", &detail))?;
            Err(wasmtime::Error::new(Error::Guest { function: function.to_string(), message: shown(text) }))
        },
    )?;
    Ok(linker)
}

/// An error about a question to `import`.
fn wrong(function: &str, import: &str, detail: &str) -> wasmtime::Error {
    wasmtime::Error::new(Error::BadOutput { function: function.to_string(), detail: format!("{import}: {detail}") })
}

fn host<'a>(guest: &'a mut Guest<'_>) -> Answer<&'a mut Host> {
    guest.data_mut().host.as_mut().ok_or_else(|| "not while the module starts".to_string())
}

/// The guest's memory beside the host.
fn parts<'a>(guest: &'a mut Guest<'_>) -> Answer<(&'a mut [u8], &'a mut Host)> {
    let memory = guest.data().memory.ok_or("the module exports no memory")?;
    let (memory, state) = memory.data_and_store_mut(guest);
    let host = state.host.as_mut().ok_or("not while the module starts")?;
    Ok((memory, host))
}

fn bytes(memory: &[u8], ptr: u32, len: u32) -> Answer<&[u8]> {
    let (ptr, len) = (ptr as usize, len as usize);
    memory.get(ptr..ptr + len).ok_or_else(|| format!("{len} bytes at {ptr} are beyond the end of its memory"))
}

fn text(memory: &[u8], ptr: u32, len: u32) -> Answer<&str> {
    std::str::from_utf8(bytes(memory, ptr, len)?).map_err(|_| "invalid UTF-8".to_string())
}

/// Copies as much of `from` as fits; the length of all of it.
fn give(memory: &mut [u8], ptr: u32, cap: u32, from: &[u8]) -> Answer<i32> {
    let (ptr, len) = (ptr as usize, from.len().min(cap as usize));
    let to = memory.get_mut(ptr..ptr + len);
    let to = to.ok_or_else(|| format!("{len} bytes at {ptr} are beyond the end of its memory"))?;
    to.copy_from_slice(&from[..len]);
    i32::try_from(from.len()).map_err(|_| "a text of more than 2 GiB".to_string())
}
