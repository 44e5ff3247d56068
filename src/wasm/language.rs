//! The language itself: checking functions when they are made, and making them ready when they are called.
//!
//! A function is checked by doing all that a call does but the call: its module is compiled, its export found, its types compared
//! and its imports refused. So what CREATE FUNCTION takes can be called.

use crate::error::plain;
use crate::options::Options;
use crate::registry::Registry;
use crate::{code, error};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use lightning_catalog::{
    Argument, Function, Module, NewModule, Oid, Returns, TriggerEvent, TriggerLevel, TriggerTiming,
};
use lightning_sandbox::{
    Abi, ComponentAggregate, ComponentTable, Counters, Event, FunctionSpec, Kind, Level, Pool, Sandbox, Timing, ToText,
    TriggerCall, TriggerFunction,
};
use lightning_sql::language::{
    Aggregate, Callable, Defined, Effects, Firing, Interrupt, Language, NewFunction, Rows, TriggerBody, Usage,
};
use lightning_sql::sqlstate::INVALID_FUNCTION_DEFINITION;
use lightning_sql::text::{TextColumn, datetime};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The language.
#[derive(Debug)]
pub(crate) struct WasmLanguage {
    sandbox: Arc<Sandbox>,
    registry: Arc<Registry>,
}

fn arrow_type(oid: Oid) -> Result<DataType> {
    let pg = PgType::by_oid(oid.0).unwrap_or(types::TEXT);
    pg.arrow_type().ok_or_else(|| Error::unsupported(format!("type {} in a function", pg.sql_name())))
}

fn arrow_types(arguments: &[Argument]) -> Result<Vec<DataType>> {
    arguments.iter().map(|argument| arrow_type(argument.type_oid)).collect()
}

impl WasmLanguage {
    pub(crate) fn new(sandbox: &Arc<Sandbox>, registry: &Arc<Registry>) -> WasmLanguage {
        WasmLanguage { sandbox: Arc::clone(sandbox), registry: Arc::clone(registry) }
    }

    fn prepared(&self, function: &Function, code: Option<&Arc<Module>>) -> Result<Prepared> {
        let Some(code) = code else {
            let message = format!("the module of function {} is not in the catalog", function.name);
            return Err(Error::new(lightning_sql::sqlstate::DATA_CORRUPTED, message));
        };
        let module = NewModule { hash: code.hash.clone(), bytes: Vec::new() };
        self.made(function, &code.bytes, &module.hash, self.registry.of(function.oid))
    }

    /// The function with its module compiled.
    fn made(&self, function: &Function, bytes: &[u8], hash: &str, counters: Arc<Counters>) -> Result<Prepared> {
        let options = Options::read(&function.options)?;
        let is_component = code::is_component(bytes);
        let abi = options.abi.unwrap_or(if is_component { Abi::Component } else { Abi::Scalar });
        let is_trigger = function.returns == Returns::Trigger;
        if is_component != (abi == Abi::Component) || (is_component && is_trigger) {
            let kind = if is_component { "a component" } else { "a module" };
            let message = format!("{kind} has no functions of ABI {abi}");
            let error = Error::new(INVALID_FUNCTION_DEFINITION, message);
            return Err(if is_trigger { error.with_hint("Triggers call functions of modules.") } else { error });
        }
        let kind = Kind { is_component, is_metered: options.limits.fuel.is_some() };
        let module = self.sandbox.module(bytes, hash, kind).map_err(plain)?;
        let returns = match &function.returns {
            Returns::Value(oid) | Returns::SetOf(oid) => arrow_type(*oid)?,
            Returns::Table(_) | Returns::Trigger => DataType::Null,
        };
        let spec = FunctionSpec {
            name: function.name.clone(),
            export: function.source.clone(),
            abi,
            arguments: arrow_types(&function.arguments)?,
            returns,
            is_strict: function.is_strict,
            limits: options.limits,
        };
        Ok(Prepared { module, spec, counters })
    }
}

/// A function with its module compiled.
struct Prepared {
    module: Arc<lightning_sandbox::Module>,
    spec: FunctionSpec,
    counters: Arc<Counters>,
}

impl Prepared {
    fn callable(self) -> Result<lightning_sandbox::Function> {
        lightning_sandbox::Function::new(&self.module, self.spec, self.counters).map_err(plain)
    }

    fn aggregate(self) -> Result<ComponentAggregate> {
        if self.spec.abi != Abi::Component {
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, "aggregates need a component")
                .with_hint("A module has functions of one row, and of triggers."));
        }
        ComponentAggregate::new(&self.module, self.spec, self.counters).map_err(plain)
    }

    fn rows(self, function: &Function) -> Result<ComponentTable> {
        if self.spec.abi != Abi::Component {
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, "functions that give rows need a component")
                .with_hint("A module has functions of one row, and of triggers."));
        }
        let fields: Vec<Field> = match &function.returns {
            Returns::Table(columns) => columns
                .iter()
                .map(|column| {
                    let name = column.name.clone().unwrap_or_default();
                    Ok(Field::new(name, arrow_type(column.type_oid)?, true))
                })
                .collect::<Result<_>>()?,
            _ => vec![Field::new(&function.name, self.spec.returns.clone(), true)],
        };
        let schema = Arc::new(Schema::new(fields));
        ComponentTable::new(&self.module, self.spec, schema, self.counters).map_err(plain)
    }

    fn trigger(self, level: Level) -> Result<TriggerFunction> {
        let FunctionSpec { name, export, limits, .. } = self.spec;
        TriggerFunction::new(&self.module, &name, &export, limits, self.counters, level).map_err(plain)
    }
}

impl Language for WasmLanguage {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn define(&self, new: &NewFunction) -> Result<Defined> {
        if new.texts.len() > 2 {
            let message = "a function in wasm has a module and the name of an export";
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, message));
        }
        let bytes = code::bytes(new)?;
        let hash = lightning_sandbox::hash(&bytes);
        let source = new.texts.get(1).unwrap_or(&new.function.name).clone();
        let mut options = new.options.clone();
        let function = Function { source: source.clone(), options: options.clone(), ..new.function.clone() };
        let prepared = || self.made(&function, &bytes, &hash, Arc::default());
        let abi = prepared()?.spec.abi;
        match &function.returns {
            _ if function.is_aggregate => drop(prepared()?.aggregate()?),
            Returns::Value(_) => drop(prepared()?.callable()?),
            Returns::Table(_) | Returns::SetOf(_) => drop(prepared()?.rows(&function)?),
            Returns::Trigger => {
                // Which of the two it is, CREATE TRIGGER says.
                let of_row = prepared()?.trigger(Level::Row);
                if let Err(e) = of_row
                    && prepared()?.trigger(Level::Statement).is_err()
                {
                    return Err(e);
                }
            }
        }
        options.insert("abi".to_owned(), abi.to_string());
        Ok(Defined { source, module: Some(NewModule { hash, bytes }), options })
    }

    fn retain(&self, is_known: &dyn Fn(&str) -> bool) {
        self.sandbox.retain(is_known);
    }

    fn usage(&self, function: &Function) -> Option<Usage> {
        let counters = self.registry.known(function.oid).unwrap_or_default();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(Usage {
            fuel: function.options.contains_key("fuel").then(|| load(&counters.fuel)),
            traps: load(&counters.traps),
            memory_peak_bytes: load(&counters.memory_peak),
        })
    }

    fn callable(&self, function: &Function, code: Option<&Arc<Module>>) -> Result<Arc<dyn Callable>> {
        let returns = match function.returns {
            Returns::Value(oid) if oid.0 == types::JSON.oid => Some(Json::Text),
            Returns::Value(oid) if oid.0 == types::JSONB.oid => Some(Json::Canonical),
            _ => None,
        };
        let name = function.name.clone();
        let function = Arc::new(self.prepared(function, code)?.callable()?);
        Ok(Arc::new(Call { name, function, pool: OnceLock::new(), json: returns }))
    }

    fn aggregate(&self, function: &Function, code: Option<&Arc<Module>>) -> Result<Arc<dyn Aggregate>> {
        Ok(Arc::new(AggregateCall(self.prepared(function, code)?.aggregate()?)))
    }

    fn rows(&self, function: &Function, code: Option<&Arc<Module>>) -> Result<Arc<dyn Rows>> {
        Ok(Arc::new(RowsCall(self.prepared(function, code)?.rows(function)?)))
    }

    fn trigger(
        &self,
        function: &Function,
        code: Option<&Arc<Module>>,
        level: TriggerLevel,
    ) -> Result<Arc<dyn TriggerBody>> {
        let level = match level {
            TriggerLevel::Row => Level::Row,
            TriggerLevel::Statement => Level::Statement,
        };
        Ok(Arc::new(TriggerGuest(self.prepared(function, code)?.trigger(level)?)))
    }
}

/// A function for one statement, and its instances.
struct Call {
    name: String,
    function: Arc<lightning_sandbox::Function>,
    pool: OnceLock<Pool>,
    json: Option<Json>,
}

/// Which of the two types of JSON a function gives.
#[derive(Clone, Copy)]
enum Json {
    Text,
    Canonical,
}

/// Texts of a guest as values of a type of JSON: as they are, or in the form that `jsonb` has.
fn checked(texts: &ArrayRef, json: Json, function: &str) -> Result<ArrayRef> {
    let Some(texts) = texts.as_string_view_opt() else { return Ok(Arc::clone(texts)) };
    let read = |text: &str| match json {
        Json::Text => lightning_sql::text::json::check(text).map(|()| text.to_owned()),
        Json::Canonical => lightning_sql::text::json::canonical(text),
    };
    let values = texts.iter().map(|text| text.map(read).transpose()).collect::<Result<StringViewArray>>();
    match values {
        Ok(values) => Ok(Arc::new(values)),
        Err(e) => Err(Error::new(
            error::EXTERNAL_ROUTINE_INVOCATION_EXCEPTION,
            format!("function {function}: {}", e.message()),
        )),
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.function.fmt(f)
    }
}

impl Callable for Call {
    fn call(&self, arguments: &[ArrayRef], rows: usize, interrupt: &Interrupt) -> Result<ArrayRef> {
        let pool = self.pool.get_or_init(|| self.function.pool(Arc::clone(interrupt)));
        let result = pool.call(arguments, rows).map_err(error::plain)?;
        match self.json {
            None => Ok(result),
            Some(json) => checked(&result, json, &self.name),
        }
    }
}

/// An aggregate for one statement.
struct AggregateCall(ComponentAggregate);

impl fmt::Debug for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AggregateCall")
    }
}

impl Aggregate for AggregateCall {
    fn accumulate(&self, state: &[u8], arguments: &[ArrayRef], interrupt: &Interrupt) -> Result<Vec<u8>> {
        let rows = arguments.first().map_or(0, |argument| argument.len());
        self.0.accumulate(state, arguments, rows, interrupt).map_err(plain)
    }

    fn merge(&self, a: &[u8], b: &[u8], interrupt: &Interrupt) -> Result<Vec<u8>> {
        self.0.merge(a, b, interrupt).map_err(plain)
    }

    fn finish(&self, state: &[u8], interrupt: &Interrupt) -> Result<ArrayRef> {
        self.0.finish(state, interrupt).map_err(plain)
    }
}

/// A function that gives rows, for one statement.
struct RowsCall(ComponentTable);

impl fmt::Debug for RowsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowsCall")
    }
}

impl Rows for RowsCall {
    fn rows(&self, arguments: &[ArrayRef], interrupt: &Interrupt) -> Result<Vec<RecordBatch>> {
        self.0.rows(arguments, interrupt).map_err(plain)
    }
}

/// A trigger's function for one statement.
struct TriggerGuest(TriggerFunction);

impl fmt::Debug for TriggerGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TriggerGuest")
    }
}

/// Values as SQL shows them, in UTC: what a guest sees must not depend on the session.
fn to_text() -> ToText {
    Arc::new(|array, row| {
        let shown = TextColumn::new(array, datetime::utc()).ok().and_then(|text| text.value(row));
        shown.map(|text| text.to_string()).unwrap_or_default()
    })
}

impl TriggerBody for TriggerGuest {
    fn fire(&self, firing: &Firing<'_>, interrupt: &Interrupt) -> Result<Effects> {
        let call = TriggerCall {
            event: match firing.event {
                TriggerEvent::Insert => Event::Insert,
                TriggerEvent::Update => Event::Update,
                TriggerEvent::Delete => Event::Delete,
                TriggerEvent::Truncate => Event::Truncate,
            },
            timing: match firing.timing {
                TriggerTiming::Before => Timing::Before,
                TriggerTiming::After => Timing::After,
            },
            arguments: Arc::clone(firing.arguments),
            to_text: Some(to_text()),
        };
        let batch = firing.new.or(firing.old);
        let columns: Vec<(String, DataType)> = batch.map_or_else(Vec::new, |batch| {
            batch.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
        });
        let rows = lightning_sandbox::Rows {
            columns: &columns,
            old: firing.old.map(RecordBatch::columns),
            new: firing.new.map(RecordBatch::columns),
            rows: batch.map_or(0, RecordBatch::num_rows),
        };
        let outcome = self.0.call(&call, rows, interrupt).map_err(plain)?;
        let new = match (outcome.new, firing.new) {
            (Some(columns), Some(new)) => Some(RecordBatch::try_new(new.schema(), columns)?),
            _ => None,
        };
        Ok(Effects { new, skipped: outcome.skipped, statements: outcome.statements })
    }
}
