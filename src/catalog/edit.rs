//! Changing the catalog: a copy of a snapshot, and the rows that say what changed.
//!
//! An [`Edit`] belongs to one statement of one transaction that holds the DDL lock. It checks names and dependencies,
//! gives out OIDs, and at the end writes its rows and yields the snapshot the rest of the transaction sees.

use crate::definition::{
    Column, FIRST_RESERVED_OID, Graph, Index, IndexColumn, Materialized, Oid, PrimaryKey, Relation, Schema, Table,
    TimeOptions, View,
};
use crate::error::{Error, ObjectKind, Result};
use crate::function::{Argument, Function, Module};
use crate::snapshot::Snapshot;
use crate::store::{ObjectRow, write_rows};
use crate::trigger::Trigger;
use lightning_storage::{TableId, Transaction};
use std::sync::Arc;

/// A column to be.
#[derive(Clone, Debug)]
pub struct NewColumn {
    /// Name.
    pub name: String,
    /// OID of its PostgreSQL type.
    pub type_oid: Oid,
    /// Type modifier, -1 when none.
    pub type_modifier: i32,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Text of the DEFAULT expression.
    pub default: Option<String>,
}

/// A primary key to be.
#[derive(Clone, Debug)]
pub struct NewPrimaryKey {
    /// Constraint name.
    pub name: String,
    /// Columns, as indexes into the table's columns.
    pub columns: Vec<usize>,
}

/// An index to be.
#[derive(Clone, Debug)]
pub struct NewIndex {
    /// Name.
    pub name: String,
    /// Columns, in the order of the index.
    pub columns: Vec<IndexColumn>,
    /// Whether no two rows may have the same values.
    pub is_unique: bool,
    /// Whether it is of a UNIQUE constraint.
    pub is_constraint: bool,
    /// Where storage keeps its entries.
    pub storage_table: TableId,
}

/// A table to be.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<NewColumn>,
    /// Primary key.
    pub primary_key: Option<NewPrimaryKey>,
    /// What it is told of its time.
    pub time: Option<TimeOptions>,
    /// Where storage keeps its rows.
    pub storage_table: TableId,
}

/// A view to be.
#[derive(Clone, Debug)]
pub struct NewView {
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// Text of the defining query.
    pub definition: String,
    /// The same in the words of whoever wrote it.
    pub written: Option<String>,
    /// `search_path` the definition was written under.
    pub search_path: Vec<String>,
    /// Columns.
    pub columns: Vec<NewColumn>,
    /// Tables and views it reads.
    pub depends_on: Vec<Oid>,
    /// Where its rows are kept, if they are.
    pub materialized: Option<Materialized>,
}

/// A property graph to be.
#[derive(Clone, Debug)]
pub struct NewGraph {
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// What it is made of, as [`Graph::definition`].
    pub definition: String,
    /// `search_path` the definition was written under.
    pub search_path: Vec<String>,
    /// Tables and views it looks at.
    pub depends_on: Vec<Oid>,
}

/// Code that a function to be is in.
#[derive(Clone, Debug)]
pub struct NewModule {
    /// SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A change in the making.
#[derive(Debug)]
pub struct Edit {
    next: Snapshot,
    rows: Vec<ObjectRow>,
}

impl Edit {
    /// Starts from what the transaction sees now.
    pub fn new(base: &Snapshot) -> Edit {
        Edit { next: base.clone(), rows: Vec::new() }
    }

    /// The catalog as changed so far.
    pub fn current(&self) -> &Snapshot {
        &self.next
    }

    /// Creates a schema.
    pub fn create_schema(&mut self, database: Oid, name: &str) -> Result<Arc<Schema>> {
        if self.next.schema(database, name).is_some() {
            return Err(Error::Exists { kind: ObjectKind::Schema, name: name.to_owned() });
        }
        let schema = Schema { oid: self.allocate()?, database: Some(database), name: name.to_owned() };
        self.rows.push(ObjectRow::schema(&schema)?);
        let schema = Arc::new(schema);
        self.next.schemas.insert(schema.oid, Arc::clone(&schema));
        Ok(schema)
    }

    /// Drops an empty schema; what is in it must have been dropped before.
    pub fn drop_schema(&mut self, oid: Oid) -> Result<()> {
        let schema = self.next.schemas.get(&oid).cloned().ok_or_else(|| unknown(ObjectKind::Schema, oid))?;
        if schema.is_system() {
            return Err(Error::System { kind: ObjectKind::Schema, name: schema.name.clone() });
        }
        let mut left: Vec<String> = self.next.relations(oid).map(|r| format!("{} {}", r.kind(), r.name())).collect();
        left.extend(self.next.functions(oid).map(|function| format!("function {}", function.name)));
        if !left.is_empty() {
            let name = schema.name.clone();
            return Err(Error::HasDependents { kind: ObjectKind::Schema, name, dependents: left });
        }
        self.next.schemas.remove(&oid);
        self.rows.push(ObjectRow::schema(&schema)?.dropped());
        Ok(())
    }

    /// Creates a table.
    pub fn create_table(&mut self, new: NewTable) -> Result<Arc<Table>> {
        self.check_name_free(new.schema, &new.name)?;
        let oid = self.allocate()?;
        let type_oid = self.allocate()?;
        let columns = self.columns(new.columns)?;
        let primary_key = match new.primary_key {
            None => None,
            Some(key) => Some(PrimaryKey {
                oid: self.allocate()?,
                index_oid: self.allocate()?,
                name: key.name,
                columns: key.columns,
            }),
        };
        let storage_id = new.storage_table.0;
        if let Some(key) = &primary_key {
            self.check_name_free(new.schema, &key.name)?;
            if key.name == new.name {
                return Err(Error::Exists { kind: ObjectKind::Table, name: new.name });
            }
        }
        let (schema, name, time) = (new.schema, new.name, new.time);
        let (indexes, triggers) = (vec![], vec![]);
        self.put_table(Table { oid, type_oid, schema, name, columns, primary_key, indexes, time, triggers, storage_id })
    }

    /// Changes what a table was told of its time; the table as it is then.
    pub fn set_time(&mut self, table: Oid, time: Option<TimeOptions>) -> Result<Arc<Table>> {
        let table = self.table(table)?;
        self.put_table(Table { time, ..table })
    }

    /// Adds columns to a table, after those it has; the table as it is then.
    pub fn add_columns(&mut self, table: Oid, new: Vec<NewColumn>) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        if let Some(known) = new.iter().find(|column| table.column_index(&column.name).is_some()) {
            return Err(Error::DuplicateColumn(known.name.clone()));
        }
        let taken = table.columns.iter().map(|column| column.position).max().unwrap_or_default();
        for column in self.columns(new)? {
            table.columns.push(Column { position: column.position.saturating_add(taken), ..column });
        }
        self.put_table(table)
    }

    /// Says that the rows of a table, and the entries of its indexes in their order, are kept elsewhere now; the table as it is then.
    pub fn move_rows(&mut self, table: Oid, to: TableId, indexes_to: &[TableId]) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        table.storage_id = to.0;
        for (index, to) in table.indexes.iter_mut().zip(indexes_to) {
            index.storage_id = to.0;
        }
        self.put_table(table)
    }

    /// Creates an index of a table; the table as it is then.
    pub fn create_index(&mut self, table: Oid, new: NewIndex) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        self.check_name_free(table.schema, &new.name)?;
        let oid = self.allocate()?;
        let constraint = if new.is_constraint { Some(self.allocate()?) } else { None };
        table.indexes.push(Index {
            oid,
            name: new.name,
            columns: new.columns,
            is_unique: new.is_unique,
            constraint,
            storage_id: new.storage_table.0,
        });
        self.put_table(table)
    }

    /// Drops an index; the table as it is then.
    pub fn drop_index(&mut self, table: Oid, index: Oid) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        table.indexes.retain(|known| known.oid != index);
        self.put_table(table)
    }

    /// A copy of a table's definition.
    fn table(&self, oid: Oid) -> Result<Table> {
        match self.next.relation_by_oid(oid) {
            Some(Relation::Table(table)) => Ok(table.as_ref().clone()),
            _ => Err(unknown(ObjectKind::Table, oid)),
        }
    }

    fn put_table(&mut self, table: Table) -> Result<Arc<Table>> {
        self.rows.push(ObjectRow::table(&table)?);
        let table = Arc::new(table);
        self.next.put(Relation::Table(Arc::clone(&table)));
        Ok(table)
    }

    /// Creates a view.
    pub fn create_view(&mut self, new: NewView) -> Result<Arc<View>> {
        self.check_name_free(new.schema, &new.name)?;
        let oid = self.allocate()?;
        let type_oid = self.allocate()?;
        self.put_view(oid, type_oid, new)
    }

    /// Replaces the definition of a view; its OID stays.
    pub fn replace_view(&mut self, oid: Oid, new: NewView) -> Result<Arc<View>> {
        let type_oid = self.next.relation_by_oid(oid).ok_or_else(|| unknown(ObjectKind::View, oid))?.type_oid();
        self.put_view(oid, type_oid, new)
    }

    /// Changes what is known of the rows of a materialized view.
    pub fn set_materialized(&mut self, view: Oid, materialized: Materialized) -> Result<()> {
        let Some(Relation::View(known)) = self.next.relation_by_oid(view) else {
            return Err(unknown(ObjectKind::View, view));
        };
        let view = View { materialized: Some(materialized), ..known.as_ref().clone() };
        self.rows.push(ObjectRow::view(&view)?);
        self.next.put(Relation::View(Arc::new(view)));
        Ok(())
    }

    /// Creates a property graph.
    pub fn create_graph(&mut self, new: NewGraph) -> Result<Arc<Graph>> {
        self.check_name_free(new.schema, &new.name)?;
        let oid = self.allocate()?;
        self.put_graph(oid, new)
    }

    /// Replaces the definition of a property graph; its OID stays.
    pub fn replace_graph(&mut self, oid: Oid, new: NewGraph) -> Result<Arc<Graph>> {
        match self.next.relation_by_oid(oid) {
            Some(Relation::Graph(_)) => self.put_graph(oid, new),
            _ => Err(unknown(ObjectKind::PropertyGraph, oid)),
        }
    }

    fn put_graph(&mut self, oid: Oid, new: NewGraph) -> Result<Arc<Graph>> {
        let NewGraph { schema, name, definition, search_path, depends_on } = new;
        let graph = Graph { oid, schema, name, definition, search_path, depends_on };
        self.rows.push(ObjectRow::graph(&graph)?);
        let graph = Arc::new(graph);
        self.next.put(Relation::Graph(Arc::clone(&graph)));
        Ok(graph)
    }

    /// Creates a function, whose OID is given here, or puts it in the place of the one that has its name and arguments, whose OID stays.
    pub fn put_function(
        &mut self,
        function: Function,
        module: Option<NewModule>,
        or_replace: bool,
    ) -> Result<Arc<Function>> {
        self.check_schema(function.schema)?;
        let old = self.function(function.schema, &function.name, &function.arguments);
        let oid = match old {
            Some(old) if or_replace => old.oid,
            Some(_) => return Err(Error::Exists { kind: ObjectKind::Function, name: function.name }),
            None => self.allocate()?,
        };
        if let Some(module) = module
            && self.next.module(&module.hash).is_none()
        {
            let module = Module { oid: self.allocate()?, hash: module.hash, bytes: module.bytes };
            self.rows.push(ObjectRow::module(&module)?);
            self.next.put_module(Arc::new(module));
        }
        let function = Arc::new(Function { oid, ..function });
        self.rows.push(ObjectRow::function(&function)?);
        let old = self.next.remove_function(oid);
        self.next.put_function(Arc::clone(&function));
        self.forget_module(old.as_deref())?;
        Ok(function)
    }

    /// Drops a function. The triggers that call it must have been dropped before.
    pub fn drop_function(&mut self, oid: Oid) -> Result<()> {
        let function = self.next.remove_function(oid).ok_or_else(|| unknown(ObjectKind::Function, oid))?;
        self.rows.push(ObjectRow::function(&function)?.dropped());
        self.forget_module(Some(&function))
    }

    /// The function of these arguments.
    fn function(&self, schema: Oid, name: &str, arguments: &[Argument]) -> Option<Arc<Function>> {
        self.next.functions_named(schema, name).iter().find(|function| function.is_of(arguments)).cloned()
    }

    /// Drops the module of a function that is no more, unless others are in it.
    fn forget_module(&mut self, function: Option<&Function>) -> Result<()> {
        let Some(hash) = function.and_then(|function| function.module.as_deref()) else { return Ok(()) };
        if self.next.all_functions().any(|other| other.module.as_deref() == Some(hash)) {
            return Ok(());
        }
        if let Some(module) = self.next.remove_module(hash) {
            let bare = Module { bytes: Vec::new(), ..module.as_ref().clone() };
            self.rows.push(ObjectRow::module(&bare)?.dropped());
        }
        Ok(())
    }

    /// Creates a trigger, whose OID is given here, or with `or_replace` puts it in the place of the one that has its name; the table as it is then.
    pub fn put_trigger(&mut self, table: Oid, trigger: Trigger, or_replace: bool) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        let place = table.triggers.binary_search_by(|known| known.name.cmp(&trigger.name));
        match place {
            Ok(place) if or_replace => {
                let oid = table.triggers[place].oid;
                table.triggers[place] = Trigger { oid, ..trigger };
            }
            Ok(_) => return Err(Error::Exists { kind: ObjectKind::Trigger, name: trigger.name }),
            Err(place) => {
                let oid = self.allocate()?;
                table.triggers.insert(place, Trigger { oid, ..trigger });
            }
        }
        self.put_table(table)
    }

    /// Changes the triggers of a table; the table as it is then.
    pub fn change_triggers(&mut self, table: Oid, change: impl FnOnce(&mut Vec<Trigger>)) -> Result<Arc<Table>> {
        let mut table = self.table(table)?;
        change(&mut table.triggers);
        self.put_table(table)
    }

    /// Drops a table, view or graph. Its dependents must have been dropped before; see [`Edit::dependents_of`].
    pub fn drop_relation(&mut self, oid: Oid) -> Result<Relation> {
        let relation = self.next.relations.get(&oid).cloned().ok_or_else(|| unknown(ObjectKind::Table, oid))?;
        let dependents = self.next.dependents(oid);
        if !dependents.is_empty() {
            return Err(Error::HasDependents {
                kind: relation.kind(),
                name: relation.name().to_owned(),
                dependents: dependents.iter().map(|d| format!("{} {}", d.kind(), d.name())).collect(),
            });
        }
        self.next.remove(oid);
        self.rows.push(ObjectRow::relation(&relation)?.dropped());
        Ok(relation)
    }

    /// Every view and graph that reads `oid`, directly or not, dependents first: the order to drop them in.
    pub fn dependents_of(&self, oid: Oid) -> Vec<Relation> {
        let mut order = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.collect_dependents(oid, &mut seen, &mut order);
        order
    }

    /// Writes the changes to `txn` and yields the catalog they make.
    pub fn apply(self, txn: &mut Transaction) -> Result<Arc<Snapshot>> {
        let Edit { mut next, rows } = self;
        next.version = write_rows(txn, next.version, &rows)?;
        Ok(Arc::new(next))
    }

    fn collect_dependents(&self, oid: Oid, seen: &mut std::collections::HashSet<Oid>, order: &mut Vec<Relation>) {
        for dependent in self.next.dependents(oid) {
            if seen.insert(dependent.oid()) {
                self.collect_dependents(dependent.oid(), seen, order);
                order.push(dependent);
            }
        }
    }

    fn put_view(&mut self, oid: Oid, type_oid: Oid, new: NewView) -> Result<Arc<View>> {
        let columns = self.columns(new.columns)?;
        let view = View {
            oid,
            type_oid,
            schema: new.schema,
            name: new.name,
            definition: new.definition,
            written: new.written,
            search_path: new.search_path,
            columns,
            depends_on: new.depends_on,
            materialized: new.materialized,
        };
        self.rows.push(ObjectRow::view(&view)?);
        let view = Arc::new(view);
        self.next.put(Relation::View(Arc::clone(&view)));
        Ok(view)
    }

    fn columns(&mut self, new: Vec<NewColumn>) -> Result<Vec<Column>> {
        let mut columns: Vec<Column> = Vec::with_capacity(new.len());
        for (index, column) in new.into_iter().enumerate() {
            if columns.iter().any(|c| c.name == column.name) {
                return Err(Error::DuplicateColumn(column.name));
            }
            let default_oid = if column.default.is_some() { Some(self.allocate()?) } else { None };
            columns.push(Column {
                name: column.name,
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                not_null: column.not_null,
                default: column.default,
                default_oid,
                position: u16::try_from(index + 1).unwrap_or(u16::MAX),
                dropped: false,
            });
        }
        Ok(columns)
    }

    /// Refuses schemas that users can create nothing in.
    fn check_schema(&self, schema: Oid) -> Result<()> {
        match self.next.schemas.get(&schema) {
            None => Err(unknown(ObjectKind::Schema, schema)),
            Some(s) if s.is_system() => Err(Error::System { kind: ObjectKind::Schema, name: s.name.clone() }),
            Some(_) => Ok(()),
        }
    }

    fn check_name_free(&self, schema: Oid, name: &str) -> Result<()> {
        self.check_schema(schema)?;
        match self.next.taken_by(schema, name) {
            None => Ok(()),
            Some(kind) => Err(Error::Exists { kind, name: name.to_owned() }),
        }
    }

    fn allocate(&mut self) -> Result<Oid> {
        let oid = Oid(self.next.next_oid);
        if oid >= FIRST_RESERVED_OID {
            return Err(Error::OidsExhausted);
        }
        self.next.next_oid += 1;
        Ok(oid)
    }
}

fn unknown(kind: ObjectKind, oid: Oid) -> Error {
    Error::Unknown { kind, name: oid.to_string() }
}
