//! Gap filling: a row for every bucket between two times, and values where there were none.
//!
//! `time_bucket_gapfill(width, time, …)` in GROUP BY is a bucket as `time_bucket` makes it, and a demand: of each group of
//! the other columns, every bucket from the start to the end gets a row. `locf(value)` repeats the last value in the rows
//! that were missing, `interpolate(value)` draws a line; other aggregates are NULL there.
//!
//! - [`markers`] are the functions, which only mark their place;
//! - [`rule`] finds them in a plan and puts a [`GapFill`] above the aggregation;
//! - [`exec`] is the operator, [`fill`] what it does to one group, [`limit`] spares it rows that LIMIT leaves out.
//!
//! The start and the end come from the arguments, or from the conditions on the time below the aggregation. What marks
//! itself as sampled (SAMPLE BY) fills from the first bucket of the data to the last when there is neither.

pub(crate) mod exec;
mod fill;
pub(crate) mod limit;
pub(crate) mod markers;
pub(crate) mod rule;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a column gets in the rows that were missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fill {
    /// The bucket.
    Bucket,
    /// The value of the group.
    Group,
    /// NULL.
    Null,
    /// The value before; when `over_nulls`, also where there was a row without value.
    Previous {
        /// NULLs in rows that were there are filled, too.
        over_nulls: bool,
    },
    /// A point of the line between the values before and after.
    Linear,
    /// The value of the constant with this index.
    Constant(usize),
}

/// The logical node: rows of its input and the missing ones. Columns are the input's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GapFill {
    input: LogicalPlan,
    schema: DFSchemaRef,
    /// What happens to each column of the input.
    pub(crate) fills: Vec<Fill>,
    /// Width, then what comes after the time in `time_bucket`.
    pub(crate) bucket: Vec<Expr>,
    /// Earliest times asked for; the latest counts.
    pub(crate) starts: Vec<Expr>,
    /// Ends, which are excluded; the earliest counts.
    pub(crate) ends: Vec<Expr>,
    /// Last times, which are included.
    pub(crate) lasts: Vec<Expr>,
    /// Values of [`Fill::Constant`].
    pub(crate) constants: Vec<Expr>,
    /// Where there are no bounds, those of the data count.
    pub(crate) data_bounds: bool,
}

/// The parts of a [`GapFill`] besides its input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) fills: Vec<Fill>,
    pub(crate) bucket: Vec<Expr>,
    pub(crate) starts: Vec<Expr>,
    pub(crate) ends: Vec<Expr>,
    pub(crate) lasts: Vec<Expr>,
    pub(crate) constants: Vec<Expr>,
    pub(crate) data_bounds: bool,
}

impl GapFill {
    pub(crate) fn new(input: LogicalPlan, parts: Parts) -> Result<GapFill> {
        let Parts { fills, bucket, starts, ends, lasts, constants, data_bounds } = parts;
        if fills.len() != input.schema().fields().len() {
            return Err(DataFusionError::Internal("a gap fill has a fill for each column".to_owned()));
        }
        let fields = input.schema().iter().zip(&fills).map(|((qualifier, field), fill)| {
            let nullable = field.is_nullable() || !matches!(fill, Fill::Bucket | Fill::Group);
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(nullable)))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
        let schema = Arc::new(schema);
        Ok(GapFill { input, schema, fills, bucket, starts, ends, lasts, constants, data_bounds })
    }

    fn lists(&self) -> [&Vec<Expr>; 5] {
        [&self.bucket, &self.starts, &self.ends, &self.lasts, &self.constants]
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.lists().into_iter().flatten().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "GapFill: bucket=[{}]", shown(&self.bucket))?;
        for (name, exprs) in [("start", &self.starts), ("end", &self.ends), ("last", &self.lasts)] {
            if !exprs.is_empty() {
                write!(f, " {name}=[{}]", shown(exprs))?;
            }
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.pop().ok_or_else(|| DataFusionError::Internal("a gap fill has an input".to_owned()))?;
        let mut exprs = exprs.into_iter();
        let [bucket, starts, ends, lasts, constants] =
            self.lists().map(|list| exprs.by_ref().take(list.len()).collect::<Vec<_>>());
        let (fills, data_bounds) = (self.fills.clone(), self.data_bounds);
        GapFill::new(input, Parts { fills, bucket, starts, ends, lasts, constants, data_bounds })
    }
}

impl Hash for GapFill {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.fills, self.data_bounds).hash(state);
        self.lists().hash(state);
    }
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.input.partial_cmp(&other.input) {
            Some(Ordering::Equal) => self.lists().partial_cmp(&other.lists()),
            order => order,
        }
    }
}

/// Whether an expression has a call of one of the markers.
fn has_marker(expr: &Expr, names: &[&str]) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::ScalarFunction(call) if names.contains(&call.func.name()))))
        .unwrap_or(false)
}

/// Replaces calls of a marker.
fn replace_markers(expr: Expr, replace: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>) -> Result<Expr> {
    Ok(expr.transform_down(replace)?.data)
}
