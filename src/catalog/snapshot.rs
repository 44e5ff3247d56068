//! The immutable picture of all objects at one moment.

use crate::definition::{Database, Oid, Relation, Schema, Table, View};
use crate::error::ObjectKind;
use crate::function::{Function, Module};
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
    pub(crate) functions: HashMap<Oid, Arc<Function>>,
    /// The functions of each name in a schema, oldest first.
    pub(crate) functions_by_name: BTreeMap<(Oid, String), Vec<Arc<Function>>>,
    /// Code of functions, by its hash.
    pub(crate) modules: BTreeMap<String, Arc<Module>>,
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

    /// A function by OID.
    pub fn function_by_oid(&self, oid: Oid) -> Option<&Arc<Function>> {
        self.functions.get(&oid)
    }

    /// The functions of a name, oldest first.
    pub fn functions_named(&self, schema: Oid, name: &str) -> &[Arc<Function>] {
        self.functions_by_name.get(&(schema, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Functions of a schema, by name.
    pub fn functions(&self, schema: Oid) -> impl Iterator<Item = &Arc<Function>> {
        self.functions_by_name
            .range((schema, String::new())..(Oid(schema.0.saturating_add(1)), String::new()))
            .flat_map(|(_, functions)| functions)
    }

    /// Functions of every schema of every database, in no order.
    pub fn all_functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.functions.values()
    }

    /// Code by the hash of its bytes.
    pub fn module(&self, hash: &str) -> Option<&Arc<Module>> {
        self.modules.get(hash)
    }

    /// The triggers that call a function: `(table, trigger)` by name.
    pub fn triggers_calling(&self, function: Oid) -> Vec<(Arc<Table>, String)> {
        let mut found: Vec<(Arc<Table>, String)> = Vec::new();
        for relation in self.relations.values() {
            if let Relation::Table(table) = relation {
                let calls = table.triggers.iter().filter(|trigger| trigger.function == function);
                found.extend(calls.map(|trigger| (Arc::clone(table), trigger.name.clone())));
            }
        }
        found.sort_by(|a, b| (a.0.oid, &a.1).cmp(&(b.0.oid, &b.1)));
        found
    }

    pub(crate) fn put_function(&mut self, function: Arc<Function>) {
        self.remove_function(function.oid);
        let named = self.functions_by_name.entry((function.schema, function.name.clone())).or_default();
        let place = named.partition_point(|known| known.oid < function.oid);
        named.insert(place, Arc::clone(&function));
        self.functions.insert(function.oid, function);
    }

    pub(crate) fn remove_function(&mut self, oid: Oid) -> Option<Arc<Function>> {
        let function = self.functions.remove(&oid)?;
        let name = (function.schema, function.name.clone());
        if let Some(named) = self.functions_by_name.get_mut(&name) {
            named.retain(|known| known.oid != oid);
            if named.is_empty() {
                self.functions_by_name.remove(&name);
            }
        }
        Some(function)
    }

    pub(crate) fn put_module(&mut self, module: Arc<Module>) {
        self.modules.insert(module.hash.clone(), module);
    }

    pub(crate) fn remove_module(&mut self, hash: &str) -> Option<Arc<Module>> {
        self.modules.remove(hash)
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
