//! Patterns of LIKE and SIMILAR TO that are computed while a statement runs, and what one `jsonb` contains of another.

use super::row::{Datum, Definition, Type, text};
use crate::text::{json, similar};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;

use Type::{Bool, Text};

const JSONB_CONTAINS: Definition = Definition::new("jsonb_contains", &[(&[Text, Text], Bool)], |_, args| {
    let contains = json::contains(text(&args[0]), text(&args[1]));
    contains.map(Datum::Bool).map_err(|e| DataFusionError::External(Box::new(e)))
});

/// `left @> right`.
pub(crate) fn jsonb_contains(left: Expr, right: Expr) -> Expr {
    JSONB_CONTAINS.udf().call(vec![left, right])
}

/// The functions of this module.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("similar_to_escape", &[(&[Text], Text), (&[Text, Text], Text)], |_, args| {
        let pattern = similar::similar_to_escape(text(&args[0]), args.get(1).map(text));
        pattern.map(Datum::Text).map_err(|e| DataFusionError::External(Box::new(e)))
    }),
    JSONB_CONTAINS,
    Definition::new("like_escape", &[(&[Text, Text], Text)], |_, args| {
        let pattern = similar::like_escape(text(&args[0]), text(&args[1]));
        pattern.map(Datum::Text).map_err(|e| DataFusionError::External(Box::new(e)))
    }),
];
