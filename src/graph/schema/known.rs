//! Graphs by name, remembered.

use super::{Graph, resolve};
use crate::definition::{self, Statement};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use lightning_catalog::{Graph as GraphObject, Relation};
use lightning_sql::extension::{Scope, tokens};
use lightning_sql::sqlstate::INTERNAL_ERROR;
use lightning_sql::{Error, Result, SqlState};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

const UNDEFINED_TABLE: SqlState = SqlState("42P01");
const WRONG_OBJECT_TYPE: SqlState = SqlState("42809");

/// Graphs remembered: those used by queries that are being planned, and some more.
const REMEMBERED_MAX: usize = 256;

/// Graphs that were looked up, newest last.
#[derive(Debug, Default)]
pub(crate) struct Known {
    graphs: Mutex<VecDeque<(Arc<GraphObject>, Arc<Graph>)>>,
}

impl Known {
    /// The graph of this name.
    pub(crate) fn find(&self, name: &[Ident], scope: &Scope<'_>) -> Result<Arc<Graph>> {
        let shown = name.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        match scope.relation(&ObjectName::from(name.to_vec())) {
            Some(Relation::Graph(object)) => self.graph(object, scope),
            Some(_) => Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{shown}\" is not a property graph"))),
            None => Err(Error::new(UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))),
        }
    }

    /// The graph with this [`Graph::id`].
    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<Graph>> {
        self.graphs.lock().iter().find(|(_, graph)| graph.id == id).map(|(_, graph)| graph.clone())
    }

    fn graph(&self, object: &Arc<GraphObject>, scope: &Scope<'_>) -> Result<Arc<Graph>> {
        let catalog = &scope.context().catalog;
        let is_same = |graph: &Graph| {
            let elements = graph.vertices.iter().chain(graph.edges.iter().map(|edges| &edges.element));
            elements.into_iter().all(|element| {
                let now = catalog.relation_by_oid(element.table.oid);
                matches!(now, Some(Relation::Table(table)) if Arc::ptr_eq(table, &element.table) || **table == *element.table)
            })
        };
        let known = self.graphs.lock().iter().find(|(of, graph)| **of == **object && is_same(graph)).cloned();
        if let Some((_, graph)) = known {
            return Ok(graph);
        }
        let unreadable = || Error::new(INTERNAL_ERROR, format!("cannot read property graph \"{}\"", object.name));
        let definition = match definition::parse(&tokens(&object.definition)?) {
            Some(Ok(Statement::Create(create))) => create,
            _ => return Err(unreadable()),
        };
        let graph = Arc::new(resolve(&definition, object.oid, scope)?);
        let mut graphs = self.graphs.lock();
        if graphs.len() == REMEMBERED_MAX {
            graphs.pop_front();
        }
        graphs.push_back((object.clone(), graph.clone()));
        Ok(graph)
    }
}
