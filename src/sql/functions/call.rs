//! Calls resolved as PostgreSQL resolves them: by the signatures of a name and the types of the arguments.
//!
//! DataFusion's functions take more than PostgreSQL's (`upper(1)`) and give other types. So a name that has a [`Family`]
//! here is registered as a [`Call`] that takes anything. While SQL becomes a plan, a call only tells which type its result
//! will have. When the plan is analyzed, before types are coerced, [`Family::bind`] puts what it stands for in its place:
//! a function of one row computed here ([`Bound`]), or DataFusion's own. A name without a family is a [`Call`] that fits
//! nothing, which is how the error can tell the types of the arguments.
//!
//! A column of decimals has one scale, PostgreSQL's numerics have one each. Calls with constant arguments are computed
//! when they are bound, so that their results have PostgreSQL's scale; other results get a scale that holds for all rows.

use super::row::{Column, Datum, build};
use crate::convert::{self, Context};
use crate::error::Error;
use crate::sqlstate::{AMBIGUOUS_FUNCTION, UNDEFINED_FUNCTION};
use crate::text::TextColumn;
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Digits of every numeric result.
const PRECISION: u8 = 38;

/// Any type: `"any"` of PostgreSQL. The function is handed the value's text.
pub(crate) const ANY: PgType = PgType { oid: 2276, modifier: -1, len: 4 };

/// All functions of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) overloads: &'static [Overload],
}

/// One function.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) arguments: &'static [PgType],
    /// The type of any number (at least one) of further arguments.
    pub(crate) variadic: Option<PgType>,
    pub(crate) returns: PgType,
    pub(crate) body: Body,
}

/// What computes a function.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Rust, row by row; NULL in, NULL out.
    Strict(fn(&[Datum]) -> Result<Datum>, Scale),
    /// Rust, row by row.
    Lenient(fn(&[Datum]) -> Result<Datum>),
    /// DataFusion's function that had the name before.
    DataFusion,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Body::Strict(..) => "strict",
            Body::Lenient(_) => "lenient",
            Body::DataFusion => "datafusion",
        })
    }
}

/// The scale of a numeric result, from the arguments.
pub(crate) type Scale = fn(&[Shape]) -> i8;

/// What is known of an argument before there are rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) scale: i8,
    /// The value of an integer constant.
    pub(crate) integer: Option<i64>,
}

impl Overload {
    pub(crate) const fn new(arguments: &'static [PgType], returns: PgType, body: Body) -> Overload {
        Overload { arguments, variadic: None, returns, body }
    }

    pub(crate) const fn variadic(arguments: &'static [PgType], variadic: PgType, returns: PgType, body: Body) -> Self {
        Overload { arguments, variadic: Some(variadic), returns, body }
    }
}

/// One of the functions that a name may mean.
pub(crate) trait Overloaded {
    /// The type of the argument at a place.
    fn wanted(&self, place: usize) -> PgType;
    /// Whether it can have so many arguments.
    fn takes(&self, count: usize) -> bool;
}

impl Overloaded for Overload {
    fn wanted(&self, place: usize) -> PgType {
        self.arguments.get(place).copied().or(self.variadic).unwrap_or(types::TEXT)
    }

    fn takes(&self, count: usize) -> bool {
        match self.variadic {
            Some(_) => count > self.arguments.len(),
            None => count == self.arguments.len(),
        }
    }
}

/// The overload PostgreSQL would choose. 42883 when none fits, 42725 when several do.
pub(crate) fn resolve<'a, F: Overloaded>(name: &str, overloads: &'a [F], given: &[PgType]) -> crate::Result<&'a F> {
    let converts = |given: PgType, wanted: PgType| wanted.oid == ANY.oid || implicit(given, wanted);
    let fits = |overload: &&F| {
        let fits = |(place, given): (usize, &PgType)| converts(*given, overload.wanted(place));
        overload.takes(given.len()) && given.iter().enumerate().all(fits)
    };
    let mut candidates: Vec<&F> = overloads.iter().filter(fits).collect();
    let matches = |overload: &F, wanted: &dyn Fn(PgType, PgType) -> bool| {
        given.iter().enumerate().filter(|(place, given)| wanted(**given, overload.wanted(*place))).count()
    };
    // The most exact matches, then the most preferred types; open literals decide last.
    let exact = |given: PgType, wanted: PgType| same(given, wanted);
    let preferred = |given: PgType, wanted: PgType| same(given, wanted) || (!is_open(given) && is_preferred(wanted));
    let open = |given: PgType, wanted: PgType| is_open(given) && wanted.is_string();
    let open_preferred = |given: PgType, wanted: PgType| is_open(given) && is_preferred(wanted);
    let open_alike = |open: PgType, wanted: PgType| is_open(open) && given.iter().any(|known| same(*known, wanted));
    let identical = |given: PgType, wanted: PgType| given.oid == wanted.oid;
    let rules: [&dyn Fn(PgType, PgType) -> bool; 6] =
        [&identical, &exact, &preferred, &open_alike, &open, &open_preferred];
    for rule in rules {
        if candidates.len() > 1 {
            let best = candidates.iter().map(|overload| matches(overload, rule)).max().unwrap_or(0);
            candidates.retain(|overload| matches(overload, rule) == best);
        }
    }
    match candidates.as_slice() {
        [overload] => Ok(overload),
        [] => Err(undefined(name, given)),
        _ => Err(Error::new(AMBIGUOUS_FUNCTION, format!("function {} is not unique", signature(name, given)))
            .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

/// `function f(integer, text) does not exist`.
pub(crate) fn undefined(name: &str, given: &[PgType]) -> Error {
    Error::new(UNDEFINED_FUNCTION, format!("function {} does not exist", signature(name, given)))
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

fn signature(name: &str, given: &[PgType]) -> String {
    let names: Vec<String> = given.iter().map(|given| given.base_name()).collect();
    format!("{}({})", crate::pg_catalog::quote_identifier(name), names.join(", "))
}

fn is_open(given: PgType) -> bool {
    given.oid == types::UNKNOWN.oid
}

fn same(given: PgType, wanted: PgType) -> bool {
    // A varchar is a text to every function.
    given.oid == wanted.oid || (wanted.oid == types::TEXT.oid && given.oid == types::VARCHAR.oid)
}

fn is_preferred(wanted: PgType) -> bool {
    matches!(wanted.oid, 16 | 25 | 26 | 701 | 1184 | 1186)
}

/// Whether a value becomes another type without being asked to.
fn implicit(from: PgType, to: PgType) -> bool {
    let rank = |pg: PgType| [21, 23, 20, 1700, 700, 701].iter().position(|oid| *oid == pg.oid);
    match (rank(from), rank(to)) {
        _ if from.oid == to.oid || is_open(from) => true,
        (Some(from), Some(to)) => from < to,
        (None, None) => match to.oid {
            25 | 1043 => from.is_string(),
            1114 | 1184 => matches!(from.oid, 1082 | 1114) && convert::exists(from, to, Context::Assignment),
            _ => false,
        },
        _ => false,
    }
}

/// A call that is not resolved yet.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// `None`: there is no function of this name.
    pub(crate) family: Option<&'static Family>,
    /// DataFusion's function of the name.
    pub(crate) inner: Option<Arc<ScalarUDF>>,
    signature: Signature,
}

impl Call {
    pub(crate) fn new(name: &str, family: Option<&'static Family>, inner: Option<Arc<ScalarUDF>>) -> Call {
        let anything = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        let signature = Signature::one_of(anything, Volatility::Immutable);
        Call { name: name.to_owned(), family, inner, signature }
    }

    fn overload(&self, given: &[PgType]) -> crate::Result<&'static Overload> {
        let overloads = self.family.map_or(&[] as &[Overload], |family| family.overloads);
        resolve(&self.name, overloads, given)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("the type of a call depends on its arguments".to_owned()))
    }

    /// Not final: numerics get their scale when the call is bound.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literals = args.scalar_arguments.iter().copied().chain(std::iter::repeat(None));
        let given: Vec<PgType> = args.arg_fields.iter().zip(literals).map(|(f, v)| type_of(f, v)).collect();
        let overload = self.overload(&given).map_err(external)?;
        Ok(types::column_field(&self.name, overload.returns, true))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(Error::unsupported(format!("a call of function {} here", self.name))))
    }
}

/// The PostgreSQL type of an argument; `unknown` for literals of open type.
pub(crate) fn type_of(field: &Field, literal: Option<&ScalarValue>) -> PgType {
    match literal {
        Some(ScalarValue::Int64(Some(value))) if i32::try_from(*value).is_ok() => return types::INT4,
        Some(ScalarValue::Utf8(_)) if !types::is_marked(field) => return types::UNKNOWN,
        _ => {}
    }
    if field.data_type() == &DataType::Null { types::UNKNOWN } else { types::pg_type(field) }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

impl Family {
    /// The function a call stands for. `given` are the types of the arguments, `constants` those that are literals.
    pub(crate) fn bind(
        &'static self,
        given: &[PgType],
        fields: &[FieldRef],
        constants: &[Option<&ScalarValue>],
    ) -> crate::Result<(&'static Overload, Option<Bound>)> {
        let overload = resolve(self.name, self.overloads, given)?;
        let returns = match overload.body {
            Body::DataFusion => return Ok((overload, None)),
            Body::Strict(_, scale) if overload.returns.oid == types::NUMERIC.oid => {
                let shapes: Vec<Shape> = fields.iter().zip(constants).map(|(f, c)| Shape::of(f, *c)).collect();
                DataType::Decimal128(PRECISION, scale(&shapes).clamp(0, PRECISION as i8))
            }
            _ => overload.returns.arrow_type().unwrap_or(DataType::Utf8View),
        };
        let signature = Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable);
        Ok((overload, Some(Bound { name: self.name, overload, returns, signature })))
    }
}

impl Overload {
    /// The type the argument at `place` is read as.
    pub(crate) fn argument(&self, place: usize) -> PgType {
        self.wanted(place)
    }
}

impl Shape {
    fn of(field: &Field, constant: Option<&ScalarValue>) -> Shape {
        let scale = match field.data_type() {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
            _ => 0,
        };
        let integer = match constant {
            Some(ScalarValue::Int16(Some(value))) => Some(i64::from(*value)),
            Some(ScalarValue::Int32(Some(value))) => Some(i64::from(*value)),
            Some(ScalarValue::Int64(Some(value))) => Some(*value),
            _ => None,
        };
        Shape { scale, integer }
    }
}

/// A function whose overload is chosen.
#[derive(Debug)]
pub(crate) struct Bound {
    name: &'static str,
    overload: &'static Overload,
    returns: DataType,
    signature: Signature,
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && std::ptr::eq(self.overload, other.overload) && self.returns == other.returns
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, std::ptr::from_ref(self.overload), &self.returns).hash(state);
    }
}

impl Bound {
    /// The result for constant arguments, in PostgreSQL's scale; `None` when it has to be left to the execution, which
    /// may never come to it.
    pub(crate) fn constant(&self, arguments: &[&ScalarValue], zone: Tz) -> Option<Expr> {
        let arrays = arguments.iter().map(|value| value.to_array()).collect::<Result<Vec<_>>>().ok()?;
        let datum = self.rows(&arrays, 1, zone).ok()?.pop()?;
        let value = match (&self.returns, datum) {
            (DataType::Decimal128(..), Datum::Decimal(digits, scale)) => {
                ScalarValue::Decimal128(Some(digits), PRECISION, scale)
            }
            (returns, datum) => ScalarValue::try_from_array(&build(returns, vec![datum]).ok()?, 0).ok()?,
        };
        let metadata = types::metadata(self.overload.returns).map(Into::into);
        Some(Expr::Literal(value, metadata))
    }

    fn rows(&self, arguments: &[ArrayRef], rows: usize, zone: Tz) -> Result<Vec<Datum>> {
        let columns = arguments
            .iter()
            .enumerate()
            .map(|(place, array)| read_as(array, self.overload.wanted(place), zone).map(Column))
            .collect::<Result<Vec<_>>>()?;
        let mut results = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(columns.len());
        for row in 0..rows {
            values.clear();
            values.extend(columns.iter().map(|column| column.get(row)));
            results.push(match self.overload.body {
                Body::Strict(..) if values.iter().any(|value| matches!(value, Datum::Null)) => Datum::Null,
                Body::Strict(body, _) | Body::Lenient(body) => body(&values)?,
                Body::DataFusion => {
                    return Err(DataFusionError::Internal(format!("{} is computed elsewhere", self.name)));
                }
            });
        }
        Ok(results)
    }
}

/// An argument in the one Arrow type its [`Datum`]s are read from.
fn read_as(array: &ArrayRef, wanted: PgType, zone: Tz) -> Result<ArrayRef> {
    let to = match wanted.oid {
        20 | 21 | 23 => DataType::Int64,
        700 | 701 => DataType::Float64,
        1700 if matches!(array.data_type(), DataType::Decimal128(..)) => return Ok(Arc::clone(array)),
        1700 => DataType::Decimal128(PRECISION, 0),
        17 => DataType::BinaryView,
        16 => DataType::Boolean,
        _ if matches!(array.data_type(), DataType::Utf8View) => return Ok(Arc::clone(array)),
        _ if wanted.oid == ANY.oid => {
            let text = TextColumn::new(array, zone).map_err(external)?;
            return Ok(Arc::new(text.to_text()));
        }
        _ => DataType::Utf8View,
    };
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&to, array.len()));
    }
    if array.data_type() == &to { Ok(Arc::clone(array)) } else { Ok(cast(array, &to)?) }
}

/// Whether a function is one whose overload is chosen.
pub(crate) fn is_bound(function: &ScalarUDF) -> bool {
    (function.inner().as_ref() as &dyn Any).is::<Bound>()
}

/// The call, when a function is one that is not resolved yet.
pub(crate) fn unresolved(function: &ScalarUDF) -> Option<&Call> {
    (function.inner().as_ref() as &dyn Any).downcast_ref()
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        let field = Field::new(self.name, self.returns.clone(), true);
        Ok(Arc::new(match types::metadata(self.overload.returns) {
            Some(metadata) => field.with_metadata(metadata),
            None => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let zone = args.config_options.execution.time_zone.as_deref().unwrap_or("UTC");
        let zone = crate::text::datetime::zone(zone).unwrap_or_else(|_| crate::text::datetime::utc());
        let arrays = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let array = build(&self.returns, self.rows(&arrays, rows, zone)?)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BYTEA, FLOAT8, INT2, INT4, INT8, NUMERIC, TEXT, UNKNOWN, VARCHAR};

    const ROUND: &[Overload] = &[
        Overload::new(&[FLOAT8], FLOAT8, Body::DataFusion),
        Overload::new(&[NUMERIC], NUMERIC, Body::DataFusion),
        Overload::new(&[NUMERIC, INT4], NUMERIC, Body::DataFusion),
    ];
    const LENGTH: &[Overload] =
        &[Overload::new(&[TEXT], INT4, Body::DataFusion), Overload::new(&[BYTEA], INT4, Body::DataFusion)];

    fn chosen(overloads: &'static [Overload], given: &[PgType]) -> Option<&'static [PgType]> {
        resolve("f", overloads, given).ok().map(|overload| overload.arguments)
    }

    #[test]
    fn overloads_are_chosen_as_postgresql_does() {
        assert_eq!(chosen(ROUND, &[INT4]), Some(&[FLOAT8][..]));
        assert_eq!(chosen(ROUND, &[NUMERIC]), Some(&[NUMERIC][..]));
        assert_eq!(chosen(ROUND, &[UNKNOWN]), Some(&[FLOAT8][..]));
        assert_eq!(chosen(ROUND, &[INT8, INT2]), Some(&[NUMERIC, INT4][..]));
        assert_eq!(chosen(ROUND, &[FLOAT8, INT4]), None);
        assert_eq!(chosen(LENGTH, &[UNKNOWN]), Some(&[TEXT][..]));
        assert_eq!(chosen(LENGTH, &[VARCHAR]), Some(&[TEXT][..]));
        assert_eq!(chosen(LENGTH, &[INT4]), None);
    }

    #[test]
    fn what_does_not_exist_is_named_with_its_types() {
        let e = resolve("f", ROUND, &[FLOAT8, UNKNOWN, TEXT]).err().map(|e| e.message().to_owned());
        assert_eq!(e.as_deref(), Some("function f(double precision, unknown, text) does not exist"));
    }
}
