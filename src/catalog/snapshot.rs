//! The immutable picture of all objects at one moment.

use crate::definition::{Database, Oid, Relation, Schema, Table, View};
use crate::error::ObjectKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// All objects at one moment. Never changes; shared by `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) version: u64,
    pub(crate) next_oid: u32,
    pub(crate) databases: BTreeMap<Oid, Arc<Database>>,
    pub(crate) schemas: BTreeMap<Oid, Arc<Schema>>,
    pub(crate) relations: HashMap<Oid, Relation>,
    /// The relation that has each name, or whose index has it.
    pub(crate) names: BTreeMap<(Oid, String), Oid>,
    /// Materialized views.
    pub(crate) materialized: BTreeSet<Oid>,
}

impl Snapshot {
    /// Which catalog this is: grows with every change, equal versions mean equal contents (within one transaction's view).
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All databases, by OID.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.databases.values()
    }

    /// A database by name.
    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.values().find(|d| d.name == name)
    }

    /// The schemas `database` shows, by OID.
    pub fn schemas(&self, database: Oid) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values().filter(move |s| s.database.is_none_or(|d| d == database))
    }

    /// A schema by name.
    pub fn schema(&self, database: Oid, name: &str) -> Option<&Arc<Schema>> {
        self.schemas(database).find(|s| s.name == name)
    }

    /// A schema by OID.
    pub fn schema_by_oid(&self, oid: Oid) -> Option<&Arc<Schema>> {
        self.schemas.get(&oid)
    }

    /// Tables, views and graphs of a schema, by name.
    pub fn relations(&self, schema: Oid) -> impl Iterator<Item = &Relation> {
        self.names
            .range((schema, String::new())..(Oid(schema.0.saturating_add(1)), String::new()))
            .filter_map(|((_, name), oid)| self.relations.get(oid).filter(|relation| relation.name() == name))
    }

    /// Tables, views and graphs of every schema of a database, by schema OID and name.
    pub fn all_relations(&self, database: Oid) -> impl Iterator<Item = &Relation> {
        self.schemas(database).flat_map(|schema| self.relations(schema.oid))
    }

    /// A table, view or graph by name.
    pub fn relation(&self, schema: Oid, name: &str) -> Option<&Relation> {
        self.owner(schema, name).filter(|relation| relation.name() == name)
    }

    /// The relation that has a name, or whose index has it.
    fn owner(&self, schema: Oid, name: &str) -> Option<&Relation> {
        self.relations.get(self.names.get(&(schema, name.to_owned()))?)
    }

    /// What a name is taken by.
    pub fn taken_by(&self, schema: Oid, name: &str) -> Option<ObjectKind> {
        let owner = self.owner(schema, name)?;
        Some(if owner.name() == name { owner.kind() } else { ObjectKind::Index })
    }

    /// The table with an index of this name, which may be that of its primary key.
    pub fn indexed_table(&self, schema: Oid, name: &str) -> Option<&Arc<Table>> {
        match self.owner(schema, name)? {
            Relation::Table(table) if table.name != name => Some(table),
            _ => None,
        }
    }

    /// A table, view or graph by OID.
    pub fn relation_by_oid(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// A table by name.
    pub fn table(&self, schema: Oid, name: &str) -> Option<&Arc<Table>> {
        match self.relation(schema, name)? {
            Relation::Table(table) => Some(table),
            Relation::View(_) | Relation::Graph(_) => None,
        }
    }

    /// All materialized views, by OID.
    pub fn materialized_views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.materialized.iter().filter_map(|oid| match self.relations.get(oid) {
            Some(Relation::View(view)) => Some(view),
            _ => None,
        })
    }

    /// Adds a relation, or puts it in the place of the one with its OID.
    pub(crate) fn put(&mut self, relation: Relation) {
        self.remove(relation.oid());
        let (schema, oid) = (relation.schema(), relation.oid());
        self.names.insert((schema, relation.name().to_owned()), oid);
        if let Relation::Table(table) = &relation {
            for name in table.index_names() {
                // Older catalogs did not keep the names of keys from being taken.
                self.names.entry((schema, name.to_owned())).or_insert(oid);
            }
        }
        if matches!(&relation, Relation::View(view) if view.materialized.is_some()) {
            self.materialized.insert(oid);
        }
        self.relations.insert(oid, relation);
    }

    /// Takes out a relation.
    pub(crate) fn remove(&mut self, oid: Oid) -> Option<Relation> {
        let relation = self.relations.remove(&oid)?;
        self.materialized.remove(&oid);
        let indexes: Vec<String> = match &relation {
            Relation::Table(table) => table.index_names().map(str::to_owned).collect(),
            Relation::View(_) | Relation::Graph(_) => vec![],
        };
        for name in indexes.into_iter().chain([relation.name().to_owned()]) {
            let name = (relation.schema(), name);
            if self.names.get(&name) == Some(&oid) {
                self.names.remove(&name);
            }
        }
        Some(relation)
    }

    /// Views and graphs that read `oid` directly, by OID.
    pub fn dependents(&self, oid: Oid) -> Vec<Relation> {
        let reads = |relation: &&Relation| relation.depends_on().contains(&oid);
        let mut dependents: Vec<Relation> = self.relations.values().filter(reads).cloned().collect();
        dependents.sort_by_key(Relation::oid);
        dependents
    }
}
