//! Whether a core module is what a function's declaration says: its exports, their types, its imports.

use crate::error::{Error, Result};
use wasmtime::{ExternType, FuncType, Module, ValType};

/// The type of the exported function `export`.
pub(crate) fn function(module: &Module, function: &str, export: &str) -> Result<FuncType> {
    match module.get_export(export) {
        Some(ExternType::Func(found)) => Ok(found),
        Some(_) => Err(wrong(function, export, "a function", "another kind of export")),
        None => Err(Error::MissingExport { function: function.to_string(), export: export.to_string() }),
    }
}

/// Checks the type of the exported function `export`.
pub(crate) fn check(
    module: &Module,
    function: &str,
    export: &str,
    arguments: &[ValType],
    results: &[ValType],
) -> Result<()> {
    let found = self::function(module, function, export)?;
    let (has, gives): (Vec<ValType>, Vec<ValType>) = (found.params().collect(), found.results().collect());
    let is_same = |a: &[ValType], b: &[ValType]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b));
    if is_same(&has, arguments) && is_same(&gives, results) {
        return Ok(());
    }
    Err(wrong(function, export, &text(arguments, results), &text(&has, &gives)))
}

/// Checks that the module exports its memory.
pub(crate) fn check_memory(module: &Module, function: &str) -> Result<()> {
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => Ok(()),
        Some(_) => Err(wrong(function, "memory", "a memory", "another kind of export")),
        None => Err(Error::MissingExport { function: function.to_string(), export: "memory".to_string() }),
    }
}

/// Whether the module exports anything by this name.
pub(crate) fn has_export(module: &Module, export: &str) -> bool {
    module.get_export(export).is_some()
}

/// Checks that every import is one of the functions `given` of the module `lightning`.
pub(crate) fn check_imports(module: &Module, given: &[&str]) -> Result<()> {
    for import in module.imports() {
        if import.module() != "lightning" || !given.contains(&import.name()) {
            return Err(Error::Import { module: import.module().to_string(), name: import.name().to_string() });
        }
    }
    Ok(())
}

/// An error that names both types.
pub(crate) fn wrong(function: &str, export: &str, expected: &str, found: &str) -> Error {
    Error::WrongType {
        function: function.to_string(),
        item: format!("export \"{export}\""),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// Types are numbers here: references are never the same.
fn is_same(a: &ValType, b: &ValType) -> bool {
    matches!(
        (a, b),
        (ValType::I32, ValType::I32)
            | (ValType::I64, ValType::I64)
            | (ValType::F32, ValType::F32)
            | (ValType::F64, ValType::F64)
    )
}

/// A function's type, such as `(i64, i64) -> i64`.
fn text(arguments: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ValType::to_string).collect::<Vec<_>>().join(", ");
    match results {
        [] => format!("({})", list(arguments)),
        [one] => format!("({}) -> {one}", list(arguments)),
        many => format!("({}) -> ({})", list(arguments), list(many)),
    }
}
