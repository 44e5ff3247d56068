//! What the system relations are computed from: one statement's view of the catalog, and the texts that describe objects.

use super::index::ShownIndex;
use crate::context::{SessionInfo, StatementContext};
use crate::extension::quoted;
use crate::types::PgType;
use lightning_catalog::{BOOTSTRAP_USER, Column, Function, Oid, Relation, Schema, Table};
use lightning_storage::TableId;
use std::sync::Arc;

/// Name of the role that owns everything.
pub const OWNER: &str = "lightning";
/// OID of the pseudo-type `trigger`.
pub const TRIGGER_TYPE: u32 = 2279;
/// OID shown for the user of the session, when that is not the owner: any name may connect while no password is set.
pub const GUEST_ROLE: Oid = Oid(16383);

/// One statement's view of the catalog.
#[derive(Clone, Debug)]
pub struct CatalogView {
    /// The session.
    pub session: Arc<SessionInfo>,
    /// The statement.
    pub statement: Arc<StatementContext>,
}

impl CatalogView {
    /// The view of the statement that runs in `session`; `None` between statements.
    pub fn new(session: &Arc<SessionInfo>) -> Option<CatalogView> {
        Some(CatalogView { session: Arc::clone(session), statement: session.statement()? })
    }

    /// Schemas of the session's database.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.statement.catalog.schemas(self.statement.database)
    }

    /// Tables, views and graphs of the session's database.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.statement.catalog.all_relations(self.statement.database)
    }

    /// Tables of the session's database.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.relations().filter_map(|relation| match relation {
            Relation::Table(table) => Some(table),
            Relation::View(_) | Relation::Graph(_) => None,
        })
    }

    /// Indexes of all tables.
    pub fn indexes(&self) -> impl Iterator<Item = ShownIndex<'_>> {
        self.tables().flat_map(ShownIndex::of)
    }

    /// Indexes that constraints are kept by, with the constraints' OIDs.
    pub fn constraints(&self) -> impl Iterator<Item = (ShownIndex<'_>, Oid)> {
        self.indexes().filter_map(|index| index.constraint.map(|oid| (index, oid)))
    }

    /// A table or view by OID.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.statement.catalog.relation_by_oid(Oid(oid))
    }

    /// Functions of users.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        let catalog = &self.statement.catalog;
        catalog.schemas(self.statement.database).flat_map(|schema| catalog.functions(schema.oid))
    }

    /// The index with this OID.
    pub fn index(&self, oid: u32) -> Option<ShownIndex<'_>> {
        self.indexes().find(|index| index.oid.0 == oid)
    }

    /// Name of a schema.
    pub fn schema_name(&self, oid: Oid) -> &str {
        self.statement.catalog.schema_by_oid(oid).map_or("", |schema| schema.name.as_str())
    }

    /// Whether an unqualified `name` finds the object of this schema first.
    pub fn is_visible(&self, schema: &str, name: &str) -> bool {
        for candidate in &self.statement.search_path {
            if candidate == schema {
                return true;
            }
            if self.has_relation(candidate, name) {
                return false;
            }
        }
        false
    }

    fn has_relation(&self, schema: &str, name: &str) -> bool {
        super::relation::find(schema, name).is_some() || self.statement.relation(Some(schema), name).is_some()
    }

    /// The name of a relation, qualified when it must be.
    pub fn display_name(&self, schema: &str, name: &str) -> String {
        if self.is_visible(schema, name) {
            quote_identifier(name)
        } else {
            format!("{}.{}", quote_identifier(schema), quote_identifier(name))
        }
    }

    /// Rows and bytes of a table.
    pub fn size(&self, table: &Table) -> Option<lightning_storage::TableInfo> {
        self.statement.storage.table(table.storage_table()).ok()
    }

    /// Bytes of a table or index on disk.
    pub fn bytes(&self, table: TableId) -> i64 {
        self.statement.storage.table(table).map_or(0, |info| info.bytes as i64)
    }

    /// Roles: the owner, and the session's user if that is somebody else.
    pub fn roles(&self) -> Vec<(Oid, String)> {
        let mut roles = vec![(BOOTSTRAP_USER, OWNER.to_owned())];
        if self.session.user != OWNER {
            roles.push((GUEST_ROLE, self.session.user.clone()));
        }
        roles
    }

    /// Name of a role.
    pub fn role_name(&self, oid: u32) -> String {
        let roles = self.roles();
        let role = roles.into_iter().find(|(role, _)| role.0 == oid);
        role.map_or_else(|| format!("unknown (OID={oid})"), |(_, name)| name)
    }

    /// Name of a type with its modifier, as `format_type` gives it.
    pub fn format_type(&self, oid: u32, modifier: i32) -> String {
        if let Some(pg) = PgType::by_oid(oid) {
            return pg.with_modifier(modifier).sql_name();
        }
        let composite = self.relations().find(|relation| relation.type_oid().0 == oid);
        match composite {
            Some(relation) => self.display_name(self.schema_name(relation.schema()), relation.name()),
            None if oid == 0 => "-".to_owned(),
            None if oid == TRIGGER_TYPE => "trigger".to_owned(),
            None => "???".to_owned(),
        }
    }
}

/// Type of a column.
pub fn column_type(column: &Column) -> Option<PgType> {
    PgType::by_oid(column.type_oid.0).map(|pg| pg.with_modifier(column.type_modifier))
}

/// Words that cannot stand as a name without quotes (reserved in PostgreSQL 15).
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// The name as it must be written in SQL: quoted unless it is a plain lower-case word.
pub fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && RESERVED.binary_search(&name).is_err();
    if plain { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_when_they_must_be() {
        for (name, expected) in [
            ("plain_1", "plain_1"),
            ("Mixed", "\"Mixed\""),
            ("user", "\"user\""),
            ("a b", "\"a b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("1st", "\"1st\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote_identifier(name), expected);
        }
        assert!(RESERVED.is_sorted());
    }
}
