//! What an object is: databases, schemas, tables with their columns, views, property graphs.

use crate::trigger::Trigger;
use lightning_storage::TableId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// An object identifier, as PostgreSQL's `oid`. Persisted and never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Oid(pub u32);

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The first OID given to a user's object.
pub const FIRST_USER_OID: Oid = Oid(16384);
/// The first OID above those of users' objects: types that PostgreSQL does not have are numbered from here.
pub const FIRST_RESERVED_OID: Oid = Oid(2_147_483_000);
/// The role that owns everything.
pub const BOOTSTRAP_USER: Oid = Oid(10);
/// Database `postgres`.
pub const POSTGRES_DATABASE: Oid = Oid(5);
/// Database `lightning`, the default one.
pub const LIGHTNING_DATABASE: Oid = Oid(6);
/// Schema `pg_catalog`.
pub const PG_CATALOG_SCHEMA: Oid = Oid(11);
/// Schema `public` of database `lightning`.
pub const PUBLIC_SCHEMA: Oid = Oid(2200);
/// Schema `public` of database `postgres`.
pub(crate) const POSTGRES_PUBLIC_SCHEMA: Oid = Oid(2201);
/// Schema `information_schema`.
pub const INFORMATION_SCHEMA: Oid = Oid(13000);
/// Schema `lightning`: the engine's own tables.
pub const LIGHTNING_SCHEMA: Oid = Oid(13001);

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Identifier.
    pub oid: Oid,
    /// Name.
    pub name: String,
}

/// A schema of one database, or of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Identifier.
    pub oid: Oid,
    /// Its database; `None` for the system's schemas, which every database shows.
    pub database: Option<Oid>,
    /// Name.
    pub name: String,
}

impl Schema {
    /// Whether the system owns it, so that users can create nothing in it.
    pub fn is_system(&self) -> bool {
        self.database.is_none()
    }
}

/// A column of a table or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its PostgreSQL type.
    pub type_oid: Oid,
    /// Type modifier, -1 when none.
    pub type_modifier: i32,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Text of the DEFAULT expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// OID of the default (`pg_attrdef.oid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_oid: Option<Oid>,
    /// Position, from 1, kept when other columns are dropped.
    pub position: u16,
    /// Whether it was dropped; its position stays taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

/// The primary key of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    /// OID of the constraint.
    pub oid: Oid,
    /// OID of its index.
    pub index_oid: Oid,
    /// Name of constraint and index.
    pub name: String,
    /// Columns, as indexes into [`Table::columns`], in key order.
    pub columns: Vec<usize>,
}

/// A column of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// The column, as an index into [`Table::columns`].
    pub column: usize,
    /// Whether it was declared DESC. Entries ascend all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
    /// Whether NULLs were declared to come first. They come last all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_first: bool,
}

impl IndexColumn {
    /// A column in ascending order, NULLs last.
    pub fn ascending(column: usize) -> IndexColumn {
        IndexColumn { column, descending: false, nulls_first: false }
    }
}

/// A secondary index of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Identifier.
    pub oid: Oid,
    /// Name, unique in the table's schema among relations and indexes.
    pub name: String,
    /// Columns, in the order of the index.
    pub columns: Vec<IndexColumn>,
    /// Whether no two rows may have the same values, none of them NULL.
    pub is_unique: bool,
    /// OID of the UNIQUE constraint it is of, which has its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Oid>,
    /// Where storage keeps its entries.
    pub storage_id: u64,
}

impl Index {
    /// Where storage keeps its entries.
    pub fn storage_table(&self) -> TableId {
        TableId(self.storage_id)
    }

    /// The columns, as indexes into [`Table::columns`].
    pub fn column_indexes(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.column).collect()
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Identifier.
    pub oid: Oid,
    /// OID of its row type.
    pub type_oid: Oid,
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// Columns in storage order.
    pub columns: Vec<Column>,
    /// Primary key.
    pub primary_key: Option<PrimaryKey>,
    /// Secondary indexes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// What it was told of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeOptions>,
    /// What its changes call, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Where storage keeps its rows.
    pub storage_id: u64,
}

/// Which column of a table is its time, and how rows are kept by it. Texts are as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOptions {
    /// The column, as an index into [`Table::columns`].
    pub column: usize,
    /// What one partition has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_by: Option<String>,
    /// How long rows are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
}

impl Table {
    /// Where storage keeps its rows.
    pub fn storage_table(&self) -> TableId {
        TableId(self.storage_id)
    }

    /// Index of the column with this name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| !c.dropped && c.name == name)
    }

    /// The secondary index with this name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Names of its indexes, that of the primary key included.
    pub fn index_names(&self) -> impl Iterator<Item = &str> {
        let key = self.primary_key.iter().map(|key| key.name.as_str());
        key.chain(self.indexes.iter().map(|index| index.name.as_str()))
    }
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Identifier.
    pub oid: Oid,
    /// OID of its row type.
    pub type_oid: Oid,
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// Text of the defining query.
    pub definition: String,
    /// The same in the words of whoever wrote it, which may be other ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// `search_path` the definition was written under: names in it mean what they meant then.
    pub search_path: Vec<String>,
    /// Columns.
    pub columns: Vec<Column>,
    /// Tables and views it reads.
    pub depends_on: Vec<Oid>,
    /// Where its rows are kept, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialized: Option<Materialized>,
}

impl View {
    /// The defining query as users see it.
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.definition)
    }
}

/// The kept rows of a materialized view that is grouped by time, and what is known of how far they can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Materialized {
    /// Where storage keeps the rows.
    pub rows_id: u64,
    /// Where storage keeps *marks*: ranges of times of the source that have changed since the rows were computed.
    pub marks_id: u64,
    /// The table or materialized view it reads.
    pub source: Oid,
    /// The column that is the bucket, as an index into [`View::columns`].
    pub bucket: usize,
    /// How often it is brought up to date, as an interval.
    pub refresh: Option<String>,
    /// Buckets that begin before this time of the source are not computed anew, because rows for them have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_before: Option<i64>,
}

impl Materialized {
    /// Where storage keeps the rows.
    pub fn rows(&self) -> TableId {
        TableId(self.rows_id)
    }

    /// Where storage keeps the marks.
    pub fn marks(&self) -> TableId {
        TableId(self.marks_id)
    }
}

/// A property graph: tables looked at as vertices and edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// Identifier.
    pub oid: Oid,
    /// Its schema.
    pub schema: Oid,
    /// Name.
    pub name: String,
    /// What it is made of, in the words of CREATE PROPERTY GRAPH that follow the name; all that was left open is written out.
    pub definition: String,
    /// `search_path` the definition was written under: names in it mean what they meant then.
    pub search_path: Vec<String>,
    /// Tables and views it looks at.
    pub depends_on: Vec<Oid>,
}

/// Anything that has a name among tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
    /// A property graph.
    Graph(Arc<Graph>),
}

impl Relation {
    /// Identifier.
    pub fn oid(&self) -> Oid {
        match self {
            Relation::Table(t) => t.oid,
            Relation::View(v) => v.oid,
            Relation::Graph(g) => g.oid,
        }
    }
    /// OID of its row type; 0 when it has no rows.
    pub fn type_oid(&self) -> Oid {
        match self {
            Relation::Table(t) => t.type_oid,
            Relation::View(v) => v.type_oid,
            Relation::Graph(_) => Oid(0),
        }
    }
    /// Its schema.
    pub fn schema(&self) -> Oid {
        match self {
            Relation::Table(t) => t.schema,
            Relation::View(v) => v.schema,
            Relation::Graph(g) => g.schema,
        }
    }
    /// Name.
    pub fn name(&self) -> &str {
        match self {
            Relation::Table(t) => &t.name,
            Relation::View(v) => &v.name,
            Relation::Graph(g) => &g.name,
        }
    }
    /// Columns.
    pub fn columns(&self) -> &[Column] {
        match self {
            Relation::Table(t) => &t.columns,
            Relation::View(v) => &v.columns,
            Relation::Graph(_) => &[],
        }
    }
    /// Where storage keeps its rows, if it does.
    pub fn rows(&self) -> Option<TableId> {
        match self {
            Relation::Table(table) => Some(table.storage_table()),
            Relation::View(view) => view.materialized.as_ref().map(Materialized::rows),
            Relation::Graph(_) => None,
        }
    }
    /// What it reads.
    pub fn depends_on(&self) -> &[Oid] {
        match self {
            Relation::Table(_) => &[],
            Relation::View(view) => &view.depends_on,
            Relation::Graph(graph) => &graph.depends_on,
        }
    }
    /// What it is.
    pub fn kind(&self) -> crate::ObjectKind {
        match self {
            Relation::Table(_) => crate::ObjectKind::Table,
            Relation::View(view) if view.materialized.is_some() => crate::ObjectKind::MaterializedView,
            Relation::View(_) => crate::ObjectKind::View,
            Relation::Graph(_) => crate::ObjectKind::PropertyGraph,
        }
    }
}
