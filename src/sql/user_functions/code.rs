//! Calls of functions in other languages, bound and ready to run.

use crate::context::SessionInfo;
use crate::error::Error;
use crate::language::{Callable, Interrupt, Language};
use crate::types::{self, PgType};
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
};
use lightning_catalog::{Function, Module, Volatility};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A function's code and who can read it.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) language: Arc<dyn Language>,
    pub(crate) module: Option<Arc<Module>>,
    pub(crate) info: Arc<SessionInfo>,
}

/// One call of a function in a plan.
#[derive(Debug)]
pub(crate) struct Coded {
    function: Arc<Function>,
    /// What the call is known by in the plan: with another name the columns of groups would have other names.
    mark: String,
    arguments: Vec<DataType>,
    returns: PgType,
    callable: Arc<dyn Callable>,
    interrupt: Shown<Interrupt>,
    signature: Signature,
    spent: Spent,
}

/// What has no text of its own.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What the call took so far, over all partitions.
#[derive(Debug, Default)]
pub(super) struct Spent {
    nanos: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
}

impl Spent {
    /// Counts a call on so many rows.
    pub(super) fn count(&self, rows: usize, started: Instant) {
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// `f(bigint): time=…, rows=…, batches=…`, when there were calls.
    pub(super) fn shown(&self, function: &Function) -> Option<String> {
        let batches = self.batches.load(Ordering::Relaxed);
        let millis = self.nanos.load(Ordering::Relaxed) as f64 / 1e6;
        let rows = self.rows.load(Ordering::Relaxed);
        let name = super::family::signature(function);
        (batches > 0).then(|| format!("{name}: time={millis:.3}ms, rows={rows}, batches={batches}"))
    }
}

impl Coded {
    /// The call, its function ready to run.
    pub(crate) fn new(
        mark: &str,
        function: &Arc<Function>,
        code: &Code,
        arguments: &[PgType],
        returns: PgType,
    ) -> crate::Result<Coded> {
        let volatility = match function.volatility {
            Volatility::Immutable => datafusion::logical_expr::Volatility::Immutable,
            Volatility::Stable => datafusion::logical_expr::Volatility::Stable,
            Volatility::Volatile => datafusion::logical_expr::Volatility::Volatile,
        };
        let anything = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        let arrow = |pg: &PgType| pg.arrow_type().unwrap_or(DataType::Utf8View);
        Ok(Coded {
            function: Arc::clone(function),
            mark: mark.to_owned(),
            arguments: arguments.iter().map(arrow).collect(),
            returns,
            callable: code.language.callable(function, code.module.as_ref())?,
            interrupt: Shown(code.info.interrupt()),
            signature: Signature::one_of(anything, volatility),
            spent: Spent::default(),
        })
    }

    /// What the call took, when it was called.
    pub(crate) fn spent(&self) -> Option<String> {
        self.spent.shown(&self.function)
    }

    fn call(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let arrays: Vec<ArrayRef> = arrays
            .iter()
            .zip(&self.arguments)
            .map(|(array, wanted)| match array.data_type() == wanted {
                true => Ok(Arc::clone(array)),
                false => cast(array, wanted),
            })
            .collect::<std::result::Result<_, _>>()?;
        let started = Instant::now();
        let result = self.callable.call(&arrays, rows, &self.interrupt.0);
        self.spent.count(rows, started);
        result.map_err(|e: Error| DataFusionError::External(Box::new(e)))
    }
}

/// The call, when a function is one.
pub(crate) fn coded(function: &ScalarUDF) -> Option<&Coded> {
    (function.inner().as_ref() as &dyn Any).downcast_ref()
}

impl PartialEq for Coded {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for Coded {}

impl Hash for Coded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.oid.hash(state);
    }
}

impl ScalarUDFImpl for Coded {
    fn name(&self) -> &str {
        &self.mark
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.arrow_type().unwrap_or(DataType::Utf8View))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(types::column_field(&self.function.name, self.returns, true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        // Of a volatile function each row has a value of its own.
        let once = constant && self.function.volatility != Volatility::Volatile;
        let rows = if once { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let array = self.call(&arrays, rows)?;
        Ok(match once {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

impl SessionInfo {
    /// Says whether the statement that runs in the session was cancelled.
    pub(crate) fn interrupt(self: &Arc<Self>) -> Interrupt {
        let info = Arc::clone(self);
        Arc::new(move || info.running.read().is_cancelled())
    }
}
