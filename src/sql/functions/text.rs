//! Patterns of LIKE and SIMILAR TO that are computed while a statement runs.

use super::row::{Datum, Definition, Type, text};
use crate::text::similar;
use datafusion::common::DataFusionError;

use Type::Text;

/// The functions of this module.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("similar_to_escape", &[(&[Text], Text), (&[Text, Text], Text)], |_, args| {
        let pattern = similar::similar_to_escape(text(&args[0]), args.get(1).map(text));
        pattern.map(Datum::Text).map_err(|e| DataFusionError::External(Box::new(e)))
    }),
    Definition::new("like_escape", &[(&[Text, Text], Text)], |_, args| {
        let pattern = similar::like_escape(text(&args[0]), text(&args[1]));
        pattern.map(Datum::Text).map_err(|e| DataFusionError::External(Box::new(e)))
    }),
];
