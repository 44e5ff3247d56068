//! The catalog's rows in storage, and the cache over them.
//!
//! One row per change of an object:
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `version` | Int64 | place of the row in the history of the catalog, from 1 |
//! | `oid` | Int64 | the object |
//! | `kind` | Utf8View | `database`, `schema`, `table`, `view`, `graph`, `function`, `module` |
//! | `dropped` | Boolean | the object is gone |
//! | `definition` | Utf8View | the object as JSON |
//!
//! Rows are only ever added, one after the other by the holder of the DDL lock, so the number of rows a storage snapshot
//! sees names exactly one state of the catalog.

use crate::definition::{
    Database, FIRST_USER_OID, Graph, INFORMATION_SCHEMA, LIGHTNING_DATABASE, LIGHTNING_SCHEMA, Oid, PG_CATALOG_SCHEMA,
    POSTGRES_DATABASE, POSTGRES_PUBLIC_SCHEMA, PUBLIC_SCHEMA, Relation, Schema, Table, View,
};
use crate::error::{Error, Result};
use crate::function::{Function, Module, StoredModule};
use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use lightning_storage::{Engine, ScanSpec, TableDefinition, TableId, Transaction};
use std::sync::Arc;

/// The storage table that holds the catalog.
pub const CATALOG_TABLE: TableId = TableId(1);

/// The catalog of one engine.
#[derive(Debug)]
pub struct Catalog {
    newest: ArcSwap<Snapshot>,
}

impl Catalog {
    /// Loads the catalog, creating it in a new database.
    pub fn open(engine: &Arc<Engine>) -> Result<Catalog> {
        let snapshot = match engine.snapshot().table(CATALOG_TABLE) {
            Ok(_) => load(&engine.snapshot())?,
            Err(lightning_storage::Error::UnknownTable(_)) => bootstrap(engine)?,
            Err(e) => return Err(e.into()),
        };
        Ok(Catalog { newest: ArcSwap::from_pointee(snapshot) })
    }

    /// The catalog as `storage` sees it.
    pub fn snapshot(&self, storage: &lightning_storage::Snapshot) -> Result<Arc<Snapshot>> {
        let version = storage.table(CATALOG_TABLE)?.rows;
        let newest = self.newest.load_full();
        if newest.version == version {
            return Ok(newest);
        }
        let loaded = Arc::new(load(storage)?);
        if loaded.version > newest.version {
            self.newest.store(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// Says what the catalog is after a commit, sparing the next reader the loading.
    pub fn published(&self, snapshot: &Arc<Snapshot>) {
        if snapshot.version > self.newest.load().version {
            self.newest.store(Arc::clone(snapshot));
        }
    }
}

/// One row of the catalog table, without its version.
#[derive(Clone, Debug)]
pub(crate) struct ObjectRow {
    oid: Oid,
    kind: &'static str,
    dropped: bool,
    definition: String,
}

impl ObjectRow {
    pub(crate) fn database(database: &Database) -> Result<ObjectRow> {
        Self::new(database.oid, "database", database)
    }
    pub(crate) fn schema(schema: &Schema) -> Result<ObjectRow> {
        Self::new(schema.oid, "schema", schema)
    }
    pub(crate) fn table(table: &Table) -> Result<ObjectRow> {
        Self::new(table.oid, "table", table)
    }
    pub(crate) fn view(view: &View) -> Result<ObjectRow> {
        Self::new(view.oid, "view", view)
    }
    pub(crate) fn graph(graph: &Graph) -> Result<ObjectRow> {
        Self::new(graph.oid, "graph", graph)
    }
    pub(crate) fn function(function: &Function) -> Result<ObjectRow> {
        Self::new(function.oid, "function", function)
    }
    pub(crate) fn module(module: &Module) -> Result<ObjectRow> {
        Self::new(module.oid, "module", &StoredModule::from(module))
    }
    pub(crate) fn relation(relation: &Relation) -> Result<ObjectRow> {
        match relation {
            Relation::Table(table) => Self::table(table),
            Relation::View(view) => Self::view(view),
            Relation::Graph(graph) => Self::graph(graph),
        }
    }
    pub(crate) fn dropped(mut self) -> ObjectRow {
        self.dropped = true;
        self
    }
    fn new(oid: Oid, kind: &'static str, value: &impl serde::Serialize) -> Result<ObjectRow> {
        let definition = serde_json::to_string(value).map_err(|e| Error::Corrupt(e.to_string()))?;
        Ok(ObjectRow { oid, kind, dropped: false, definition })
    }
}

/// Appends `rows` after row `version`; the version they make.
pub(crate) fn write_rows(txn: &mut Transaction, version: u64, rows: &[ObjectRow]) -> Result<u64> {
    if rows.is_empty() {
        return Ok(version);
    }
    txn.append(CATALOG_TABLE, batch(version, rows)?)?;
    Ok(version + rows.len() as u64)
}

fn schema() -> SchemaRef {
    Arc::new(arrow::datatypes::Schema::new(vec![
        Field::new("version", DataType::Int64, false),
        Field::new("oid", DataType::Int64, false),
        Field::new("kind", DataType::Utf8View, false),
        Field::new("dropped", DataType::Boolean, false),
        Field::new("definition", DataType::Utf8View, false),
    ]))
}

fn batch(version: u64, rows: &[ObjectRow]) -> Result<RecordBatch> {
    let first = version as i64 + 1;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..rows.len() as i64).map(|i| first + i))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::from(r.oid.0)))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| r.kind))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r.dropped)))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| r.definition.as_str()))),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|e| Error::Storage(e.into()))
}

fn bootstrap(engine: &Arc<Engine>) -> Result<Snapshot> {
    let mut txn = engine.begin();
    txn.create_reserved_table(CATALOG_TABLE, TableDefinition::new(schema(), vec![]))?;
    let mut rows = Vec::new();
    let mut snapshot = Snapshot { next_oid: FIRST_USER_OID.0, ..Snapshot::default() };
    for (oid, name) in [(LIGHTNING_DATABASE, "lightning"), (POSTGRES_DATABASE, "postgres")] {
        let database = Database { oid, name: name.to_owned() };
        rows.push(ObjectRow::database(&database)?);
        snapshot.databases.insert(oid, Arc::new(database));
    }
    for (oid, database, name) in [
        (PG_CATALOG_SCHEMA, None, "pg_catalog"),
        (PUBLIC_SCHEMA, Some(LIGHTNING_DATABASE), "public"),
        (POSTGRES_PUBLIC_SCHEMA, Some(POSTGRES_DATABASE), "public"),
        (INFORMATION_SCHEMA, None, "information_schema"),
        (LIGHTNING_SCHEMA, None, "lightning"),
    ] {
        let schema = Schema { oid, database, name: name.to_owned() };
        rows.push(ObjectRow::schema(&schema)?);
        snapshot.schemas.insert(oid, Arc::new(schema));
    }
    snapshot.version = write_rows(&mut txn, 0, &rows)?;
    txn.commit()?;
    Ok(snapshot)
}

/// Reads every row `storage` sees and keeps the newest of each object.
fn load(storage: &lightning_storage::Snapshot) -> Result<Snapshot> {
    let spec = ScanSpec { projection: (0..schema().fields().len()).collect(), ..ScanSpec::default() };
    let mut rows: Vec<(i64, u32, String, bool, String)> = Vec::new();
    for batch in storage.scan(CATALOG_TABLE, spec)?.reader() {
        collect(&batch?, &mut rows)?;
    }
    rows.sort_by_key(|r| r.0);
    let mut snapshot = Snapshot { next_oid: FIRST_USER_OID.0, version: rows.len() as u64, ..Snapshot::default() };
    for (_, oid, kind, dropped, definition) in rows {
        replay(&mut snapshot, Oid(oid), &kind, dropped, &definition)?;
    }
    Ok(snapshot)
}

fn collect(batch: &RecordBatch, rows: &mut Vec<(i64, u32, String, bool, String)>) -> Result<()> {
    let version = batch.column(0).as_primitive_opt::<Int64Type>();
    let oid = batch.column(1).as_primitive_opt::<Int64Type>();
    let kind = batch.column(2).as_string_view_opt();
    let dropped = batch.column(3).as_boolean_opt();
    let definition = batch.column(4).as_string_view_opt();
    let (Some(version), Some(oid), Some(kind), Some(dropped), Some(definition)) =
        (version, oid, kind, dropped, definition)
    else {
        return Err(Error::Corrupt("its columns have other types".into()));
    };
    for i in 0..batch.num_rows() {
        let oid =
            u32::try_from(oid.value(i)).map_err(|_| Error::Corrupt("an object identifier is out of range".into()))?;
        rows.push((
            version.value(i),
            oid,
            kind.value(i).to_owned(),
            !dropped.is_null(i) && dropped.value(i),
            definition.value(i).to_owned(),
        ));
    }
    Ok(())
}

fn replay(snapshot: &mut Snapshot, oid: Oid, kind: &str, dropped: bool, definition: &str) -> Result<()> {
    let bad = |e: serde_json::Error| Error::Corrupt(format!("{kind} {oid}: {e}"));
    let mut highest = oid;
    match kind {
        "database" => {
            let database: Database = serde_json::from_str(definition).map_err(bad)?;
            snapshot.databases.insert(oid, Arc::new(database));
        }
        "schema" if dropped => {
            snapshot.schemas.remove(&oid);
        }
        "schema" => {
            let schema: Schema = serde_json::from_str(definition).map_err(bad)?;
            snapshot.schemas.insert(oid, Arc::new(schema));
        }
        "table" | "view" | "graph" => {
            let relation = match kind {
                "table" => Relation::Table(Arc::new(serde_json::from_str::<Table>(definition).map_err(bad)?)),
                "view" => Relation::View(Arc::new(serde_json::from_str::<View>(definition).map_err(bad)?)),
                _ => Relation::Graph(Arc::new(serde_json::from_str::<Graph>(definition).map_err(bad)?)),
            };
            highest = highest.max(highest_oid(&relation));
            match dropped {
                true => drop(snapshot.remove(oid)),
                false => snapshot.put(relation),
            }
        }
        "function" if dropped => drop(snapshot.remove_function(oid)),
        "function" => snapshot.put_function(Arc::new(serde_json::from_str(definition).map_err(bad)?)),
        "module" => {
            let stored: StoredModule = serde_json::from_str(definition).map_err(bad)?;
            let module = Module::try_from(stored).map_err(|e| Error::Corrupt(format!("{kind} {oid}: {e}")))?;
            match dropped {
                true => drop(snapshot.remove_module(&module.hash)),
                false => snapshot.put_module(Arc::new(module)),
            }
        }
        other => return Err(Error::Corrupt(format!("object {oid} is of unknown kind \"{other}\""))),
    }
    if highest >= FIRST_USER_OID {
        snapshot.next_oid = snapshot.next_oid.max(highest.0.saturating_add(1));
    }
    Ok(())
}

/// The highest OID a relation and its parts hold.
fn highest_oid(relation: &Relation) -> Oid {
    let columns = relation.columns().iter().filter_map(|c| c.default_oid);
    let mut of_parts = vec![];
    if let Relation::Table(table) = relation {
        of_parts.extend(table.primary_key.iter().flat_map(|key| [key.oid, key.index_oid]));
        of_parts.extend(table.indexes.iter().flat_map(|index| [index.oid].into_iter().chain(index.constraint)));
        of_parts.extend(table.triggers.iter().map(|trigger| trigger.oid));
    }
    columns.chain(of_parts).chain([relation.oid(), relation.type_oid()]).max().unwrap_or(relation.oid())
}
