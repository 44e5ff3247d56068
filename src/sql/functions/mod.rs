//! PostgreSQL's functions where DataFusion lacks them or means something else.
//!
//! - Aggregates: [`sum`] and [`average`] have PostgreSQL's result types and fail on overflow; both keep DataFusion's fast
//!   accumulators where the meaning agrees ([`decimal_sum`] is the checked state they share, [`moving`] has floats in window frames); [`extreme`] knows where NaN belongs. [`deviation`], [`regression`]
//!   and [`ordered_set`] are the statistics; [`single_value`] stands for scalar sub-queries.
//! - [`scalar`] and [`datetime`] have functions of one row, each a plain Rust function from values to a value ([`row`]);
//!   [`pattern`] is the language of `to_char` and its inverses. [`array`] has what arrays lack, [`json`] what makes JSON, and
//!   [`json_access`] what takes it apart.
//! - [`extract`], [`truncate`] and [`zone`] compute on whole columns of time stamps ([`moment_column`]), in the session's zone; [`now`] is
//!   the time of the statement.
//!
//! [`call`] resolves calls by PostgreSQL's signatures; [`math`] and [`strings`] have functions with such signatures.
//!
//! Functions that answer from the catalog and the session are in [`crate::pg_catalog`].

mod decimal_sum;
mod moving;
mod sum;
mod average;
mod extreme;
mod deviation;
mod regression;
mod ordered_set;
mod single_value;
mod array;
mod json;
mod narrow_sum;
mod json_access;
mod bytes;
mod moment_column;
mod now;
pub(crate) mod extract;
mod truncate;
mod zone;
mod text;
mod series;
mod row;
pub(crate) mod call;
mod double_double;
mod math;
mod scalar;
mod pattern;
mod strings;
mod datetime;

use crate::extension::Extension;
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::sync::Arc;

pub(crate) use json_access::{Operator as JsonOperator, access as json_access};
pub(crate) use series::generate_series;
pub(crate) use text::jsonb_contains;

/// Registers everything here, replacing DataFusion's functions of the same names.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for aggregate in aggregates() {
        registry.register_udaf(Arc::new(aggregate))?;
    }
    for scalar in scalars() {
        registry.register_udf(Arc::new(scalar))?;
    }
    datafusion_functions_json::register_all(registry)?;
    for family in families() {
        let inner = registry.udf(family.name).ok();
        let function = call::Call::new(family.name, Some(family), inner);
        registry.register_udf(Arc::new(ScalarUDF::new_from_impl(function)))?;
    }
    // Both are called by the name DataFusion has for them.
    let substr = registry.udf("substr")?.as_ref().clone().with_aliases(["substring"]);
    registry.register_udf(Arc::new(substr))?;
    Ok(())
}

/// Registers an extension's functions.
pub(crate) fn register_extension(registry: &mut dyn FunctionRegistry, extension: &dyn Extension) -> Result<()> {
    for scalar in extension.scalar_functions() {
        registry.register_udf(Arc::new(scalar))?;
    }
    for aggregate in extension.aggregate_functions() {
        registry.register_udaf(Arc::new(aggregate))?;
    }
    for window in extension.window_functions() {
        registry.register_udwf(Arc::new(window))?;
    }
    Ok(())
}

/// A function that fits no arguments, for a name that does not exist.
pub(crate) fn undefined(name: &str) -> ScalarUDF {
    ScalarUDF::new_from_impl(call::Call::new(name, None, None))
}

fn families() -> impl Iterator<Item = &'static call::Family> {
    math::FAMILIES.iter().chain(strings::FAMILIES)
}

/// The functions PostgreSQL has under a name, when they are listed here.
pub(crate) fn family(name: &str) -> Option<&'static call::Family> {
    families().find(|family| family.name == name)
}

fn aggregates() -> Vec<AggregateUDF> {
    let bool_and = datafusion::functions_aggregate::bool_and_or::bool_and_udaf();
    let mut functions = vec![
        AggregateUDF::new_from_impl(ordered_set::OrderedSet::percentile_disc()),
        AggregateUDF::new_from_impl(ordered_set::OrderedSet::percentile_cont()),
        AggregateUDF::new_from_impl(ordered_set::OrderedSet::mode()),
        AggregateUDF::new_from_impl(sum::Sum::new()),
        AggregateUDF::new_from_impl(average::Average::new()),
        AggregateUDF::new_from_impl(single_value::SingleValue::new()),
        bool_and.as_ref().clone().with_aliases(["every"]),
        AggregateUDF::new_from_impl(deviation::Deviation::new("var_samp", &["variance", "var"])),
        AggregateUDF::new_from_impl(deviation::Deviation::new("var_pop", &[])),
        AggregateUDF::new_from_impl(deviation::Deviation::new("stddev", &["stddev_samp"])),
        AggregateUDF::new_from_impl(deviation::Deviation::new("stddev_pop", &[])),
    ];
    let regressions = regression::FUNCTIONS.iter().map(|definition| regression::Regression::new(*definition));
    functions.extend(regressions.map(AggregateUDF::new_from_impl));
    functions.extend(extreme::functions());
    functions
}

fn scalars() -> Vec<ScalarUDF> {
    let definitions = scalar::FUNCTIONS.iter().chain(datetime::FUNCTIONS).chain(text::FUNCTIONS);
    let mut functions: Vec<ScalarUDF> = definitions.map(|definition| definition.udf()).collect();
    functions.extend(array::functions());
    functions.extend(json::functions());
    functions.extend(json_access::functions());
    functions.extend(bytes::functions());
    functions.push(extract::date_part());
    functions.push(truncate::date_trunc());
    functions.push(zone::timezone());
    functions.push(now::now());
    functions.push(ScalarUDF::new_from_impl(row::CountNulls::new("num_nulls")));
    functions.push(ScalarUDF::new_from_impl(row::CountNulls::new("num_nonnulls")));
    functions.push(ScalarUDF::new_from_impl(row::TypeOf::new()));
    functions.extend(synonyms());
    functions
}

/// DataFusion's functions under the further names PostgreSQL has for them.
fn synonyms() -> Vec<ScalarUDF> {
    let again = |function: Arc<ScalarUDF>, names: &[&'static str]| {
        function.as_ref().clone().with_aliases(names.iter().copied())
    };
    vec![again(datafusion::functions::regex::regexp_match(), &["regexp_matches"])]
}
