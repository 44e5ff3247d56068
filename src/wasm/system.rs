//! `lightning.functions`: the functions of the database, and what those in WebAssembly have done.

use crate::registry::Registry;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray};
use lightning_catalog::{Function, Returns};
use lightning_sandbox::Counters;
use lightning_sql::Result;
use lightning_sql::StatementContext;
use lightning_sql::extension::SystemRows;
use lightning_sql::types::{self, PgType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A function with its schema, and its counters when it was called.
type Row<'a> = (&'a str, &'a Arc<Function>, Option<Arc<Counters>>);

/// The table.
#[derive(Debug)]
pub(crate) struct Functions(pub(crate) Arc<Registry>);

fn type_name(oid: lightning_catalog::Oid) -> String {
    PgType::by_oid(oid.0).map_or_else(|| oid.to_string(), PgType::base_name)
}

fn arguments(function: &Function) -> String {
    function.argument_types().map(type_name).collect::<Vec<_>>().join(", ")
}

fn kind(function: &Function) -> &'static str {
    match function.returns {
        _ if function.is_aggregate => "aggregate",
        Returns::Value(_) => "function",
        Returns::Table(_) | Returns::SetOf(_) => "table",
        Returns::Trigger => "trigger",
    }
}

impl SystemRows for Functions {
    fn name(&self) -> &'static str {
        "functions"
    }

    fn columns(&self) -> Vec<(&'static str, PgType)> {
        vec![
            ("schema", types::TEXT),
            ("name", types::TEXT),
            ("arguments", types::TEXT),
            ("kind", types::TEXT),
            ("language", types::TEXT),
            ("abi", types::TEXT),
            ("is_strict", types::BOOL),
            ("module", types::TEXT),
            ("module_bytes", types::INT8),
            ("calls", types::INT8),
            ("rows", types::INT8),
            ("total_ms", types::FLOAT8),
            ("fuel", types::INT8),
            ("traps", types::INT8),
            ("memory_peak_bytes", types::INT8),
        ]
    }

    fn rows(&self, context: &StatementContext) -> Result<Vec<ArrayRef>> {
        let catalog = &context.catalog;
        let mut rows: Vec<Row<'_>> = Vec::new();
        for schema in catalog.schemas(context.database) {
            for function in catalog.functions(schema.oid) {
                rows.push((&schema.name, function, self.0.known(function.oid)));
            }
        }
        let texts = |of: &dyn Fn(&Function) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(|(_, function, _)| of(function)).collect::<StringViewArray>())
        };
        // Those in SQL are part of the statements that call them, and have no numbers of their own.
        let numbers = |of: &dyn Fn(&Counters) -> &AtomicU64| -> ArrayRef {
            let number = |(_, function, counters): &Row<'_>| {
                let counted = counters.as_ref().map(|counters| of(counters).load(Ordering::Relaxed) as i64);
                counted.or((function.language == "wasm").then_some(0))
            };
            Arc::new(rows.iter().map(number).collect::<Int64Array>())
        };
        let millis = rows.iter().map(|(_, function, counters)| {
            let nanos = counters.as_ref().map(|counters| counters.nanos.load(Ordering::Relaxed) as f64 / 1e6);
            nanos.or((function.language == "wasm").then_some(0.0))
        });
        let counted_fuel: ArrayRef = Arc::new(
            rows.iter()
                .map(|(_, function, counters)| {
                    let is_metered = function.options.contains_key("fuel");
                    let fuel = counters.as_ref().map_or(0, |counters| counters.fuel.load(Ordering::Relaxed) as i64);
                    is_metered.then_some(fuel)
                })
                .collect::<Int64Array>(),
        );
        let module = |function: &Function| function.module.as_deref().and_then(|hash| catalog.module(hash)).cloned();
        Ok(vec![
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.0))),
            texts(&|function| Some(function.name.clone())),
            texts(&|function| Some(arguments(function))),
            texts(&|function| Some(kind(function).to_owned())),
            texts(&|function| Some(function.language.clone())),
            texts(&|function| function.options.get("abi").cloned()),
            Arc::new(rows.iter().map(|(_, function, _)| Some(function.is_strict)).collect::<BooleanArray>()),
            texts(&|function| function.module.clone()),
            Arc::new(rows.iter().map(|row| module(row.1).map(|code| code.bytes.len() as i64)).collect::<Int64Array>()),
            numbers(&|counters| &counters.calls),
            numbers(&|counters| &counters.rows),
            Arc::new(millis.collect::<Float64Array>()),
            counted_fuel,
            numbers(&|counters| &counters.traps),
            numbers(&|counters| &counters.memory_peak),
        ])
    }
}
