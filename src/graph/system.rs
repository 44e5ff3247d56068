//! `lightning.graphs`: the property graphs of the database, and what is in memory of them.

use crate::adjacency::{Cache, CacheInfo};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use lightning_catalog::{Oid, Relation};
use lightning_sql::Result;
use lightning_sql::StatementContext;
use lightning_sql::extension::SystemRows;
use lightning_sql::types::{self, PgType};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The table.
#[derive(Debug)]
pub(crate) struct Graphs(pub(crate) Arc<OnceLock<Arc<Cache>>>);

impl SystemRows for Graphs {
    fn name(&self) -> &'static str {
        "graphs"
    }

    fn columns(&self) -> Vec<(&'static str, PgType)> {
        vec![
            ("schema", types::TEXT),
            ("name", types::TEXT),
            ("vertices", types::INT8),
            ("edges", types::INT8),
            ("dangling_edges", types::INT8),
            ("bytes", types::INT8),
            ("build_ms", types::FLOAT8),
            ("hits", types::INT8),
        ]
    }

    fn rows(&self, context: &StatementContext) -> Result<Vec<ArrayRef>> {
        let infos = self.0.get().map(|cache| cache.infos()).unwrap_or_default();
        let infos: HashMap<Oid, CacheInfo> = infos.into_iter().map(|info| (info.graph.oid, info)).collect();
        let mut rows: Vec<(&str, &str, Option<&CacheInfo>)> = vec![];
        for relation in context.catalog.all_relations(context.database) {
            let Relation::Graph(graph) = relation else { continue };
            let schema = context.catalog.schema_by_oid(graph.schema).map_or("", |schema| schema.name.as_str());
            rows.push((schema, &graph.name, infos.get(&graph.oid)));
        }
        let number = |of: &dyn Fn(&CacheInfo) -> u64| -> ArrayRef {
            Arc::new(rows.iter().map(|(.., info)| info.map(|info| of(info) as i64)).collect::<Int64Array>())
        };
        let build = rows.iter().map(|(.., info)| info.map(|info| info.build.as_secs_f64() * 1e3));
        Ok(vec![
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.1))),
            number(&|info| info.vertices),
            number(&|info| info.edges),
            number(&|info| info.dangling),
            number(&|info| info.bytes as u64),
            Arc::new(build.collect::<Float64Array>()),
            number(&|info| info.hits),
        ])
    }
}
