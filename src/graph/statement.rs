//! CREATE and DROP PROPERTY GRAPH, as `sql` runs them.

use crate::definition::{self, CreatePropertyGraph, DropBehavior, Statement};
use crate::schema::{explicit, resolve};
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use lightning_catalog::{ObjectKind, Oid};
use lightning_sql::Result;
use lightning_sql::extension::{
    CreateObject, DropObject, Misplaced, ObjectBody, ObjectDefinition, ObjectStatement, Scope, identifier,
};
use std::sync::Arc;

/// Reads a statement about graphs; `None` when it is another.
pub(crate) fn parse(tokens: &[TokenWithSpan]) -> Option<std::result::Result<ObjectStatement, Misplaced>> {
    let statement = match definition::parse(tokens)? {
        Ok(statement) => statement,
        Err(misplaced) => return Some(Err(misplaced)),
    };
    Some(Ok(match statement {
        Statement::Create(create) => ObjectStatement::Create(CreateObject {
            kind: ObjectKind::PropertyGraph,
            name: object_name(&create.name),
            or_replace: create.or_replace,
            if_not_exists: create.if_not_exists,
            body: Arc::new(Body(create)),
        }),
        Statement::Drop(drop) => ObjectStatement::Drop(DropObject {
            kind: ObjectKind::PropertyGraph,
            names: drop.names.iter().map(|name| object_name(name)).collect(),
            if_exists: drop.if_exists,
            cascade: drop.behavior == DropBehavior::Cascade,
        }),
    }))
}

fn object_name(parts: &[String]) -> ObjectName {
    ObjectName::from(parts.iter().map(|part| identifier(part)).collect::<Vec<_>>())
}

/// What a graph is to be made of.
#[derive(Debug)]
struct Body(CreatePropertyGraph);

impl ObjectBody for Body {
    fn resolve(&self, scope: &Scope<'_>) -> Result<ObjectDefinition> {
        let graph = resolve(&self.0, Oid(0), scope)?;
        let elements = graph.vertices.iter().chain(graph.edges.iter().map(|edges| &edges.element));
        let mut depends_on: Vec<Oid> = elements.map(|element| element.table.oid).collect();
        depends_on.sort_unstable();
        depends_on.dedup();
        Ok(ObjectDefinition { text: explicit(&graph, &self.0).to_string(), depends_on })
    }
}
