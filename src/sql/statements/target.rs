//! The relations a statement writes to, found by name.

use crate::context::StatementContext;
use crate::error::{Error, Result};
pub(crate) use crate::parser::names::folded;
use crate::session::Run;
use crate::sqlstate::{
    FEATURE_NOT_SUPPORTED, INSUFFICIENT_PRIVILEGE, INVALID_SCHEMA_NAME, SYNTAX_ERROR, UNDEFINED_TABLE,
    WRONG_OBJECT_TYPE,
};
use datafusion::sql::sqlparser::ast::{ObjectName, Spanned};
use lightning_catalog::{Relation, Schema, Table};
use std::sync::Arc;

/// A name with its schema, when one was written.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) position: Option<usize>,
}

impl Name {
    /// Takes `[database.][schema.]name` apart.
    pub(crate) fn new(run: &Run, name: &ObjectName) -> Result<Name> {
        let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
        let position = run.parsed.position(name.span().start);
        let (schema, name) = match parts.as_slice() {
            [name] => (None, name.clone()),
            [schema, name] => (Some(schema.clone()), name.clone()),
            [database, schema, name] if *database == run.session.info.database => (Some(schema.clone()), name.clone()),
            [_, _, _] => {
                let message = format!("cross-database references are not implemented: \"{}\"", parts.join("."));
                return Err(Error::new(FEATURE_NOT_SUPPORTED, message).with_position(position));
            }
            _ => {
                let message = format!("improper qualified name (too many dotted names): {}", parts.join("."));
                return Err(Error::new(SYNTAX_ERROR, message).with_position(position));
            }
        };
        Ok(Name { schema, name, position })
    }

    /// As messages show it.
    pub(crate) fn display(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The relation, if it exists.
    pub(crate) fn find<'a>(&self, context: &'a StatementContext) -> Option<&'a Relation> {
        context.relation(self.schema.as_deref(), &self.name)
    }

    /// `relation "x" does not exist`.
    pub(crate) fn unknown(&self) -> Error {
        Error::new(UNDEFINED_TABLE, format!("relation \"{}\" does not exist", self.display()))
            .with_position(self.position)
    }

    /// The table to write to.
    pub(crate) fn table(&self, context: &StatementContext, verb: &str) -> Result<Arc<Table>> {
        match self.find(context) {
            Some(Relation::Table(table)) => Ok(Arc::clone(table)),
            Some(Relation::View(view)) if view.materialized.is_some() => {
                Err(Error::new(WRONG_OBJECT_TYPE, format!("cannot change materialized view \"{}\"", self.name)))
            }
            Some(relation @ (Relation::View(_) | Relation::Graph(_))) => {
                let kind = relation.kind();
                Err(Error::new(WRONG_OBJECT_TYPE, format!("cannot {verb} {kind} \"{}\"", self.name)))
            }
            None if self.is_system(context) => Err(Error::new(
                INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", self.name),
            )),
            None => Err(self.unknown()),
        }
    }

    /// Whether it names a table of a system schema.
    pub(crate) fn is_system(&self, context: &StatementContext) -> bool {
        let Some(schema) = &self.schema else { return false };
        let system = context.catalog.schema(context.database, schema).is_some_and(|s| s.is_system());
        system && (crate::system::is_own(&self.name) || crate::pg_catalog::table_names(schema).contains(&self.name))
    }

    /// The schema to create in.
    pub(crate) fn creation_schema(&self, context: &StatementContext) -> Result<Arc<Schema>> {
        let found = match &self.schema {
            Some(schema) => context.catalog.schema(context.database, schema).cloned().ok_or_else(|| {
                Error::new(INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"))
                    .with_position(self.position)
            })?,
            None => context
                .search_path
                .iter()
                .filter_map(|name| context.catalog.schema(context.database, name))
                .find(|schema| !schema.is_system())
                .cloned()
                .ok_or_else(|| Error::new(INVALID_SCHEMA_NAME, "no schema has been selected to create in"))?,
        };
        if found.is_system() {
            return Err(Error::new(INSUFFICIENT_PRIVILEGE, format!("permission denied for schema {}", found.name)));
        }
        Ok(found)
    }
}
