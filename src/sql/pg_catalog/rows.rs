//! The rows of each system relation. A relation that is not named here is empty: it describes what does not exist.

use super::index::ShownIndex;
use super::information_schema;
use super::relation::{self, Rows, SystemRelation, Value};
use super::trigger;
use super::view::{CatalogView, OWNER, TRIGGER_TYPE, column_type};
use crate::types::{self, PgType, TYPES, TypeInfo};
use datafusion::common::Result;
use lightning_catalog::{
    Argument, BOOTSTRAP_USER, Column, PG_CATALOG_SCHEMA, PUBLIC_SCHEMA, Relation, Returns, Volatility,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// OID of the access method `heap`.
const HEAP: u32 = 2;
/// OID of the access method `btree`.
const BTREE: u32 = 403;
/// OID of the default tablespace.
const TABLESPACE: u32 = 1663;
/// OID of the collation `default`.
const DEFAULT_COLLATION: u32 = 100;
/// OID of the collation `C`, which `name` has.
const C_COLLATION: u32 = 950;
/// `pg_encoding_to_char(6)` is `UTF8`.
const UTF8: i32 = 6;

/// Adds the rows of `relation`.
pub fn fill(view: &CatalogView, relation: &SystemRelation, rows: &mut Rows) -> Result<()> {
    if relation.schema == "information_schema" {
        information_schema::fill(view, relation.name, rows);
        return Ok(());
    }
    match relation.name {
        "pg_namespace" => namespaces(view, rows),
        "pg_class" => classes(view, rows),
        "pg_attribute" => attributes(view, rows),
        "pg_attrdef" => defaults(view, rows),
        "pg_type" => types(view, rows),
        "pg_index" => indexes(view, rows),
        "pg_constraint" => constraints(view, rows),
        "pg_trigger" => trigger::rows(view, rows),
        "pg_depend" => dependencies(view, rows),
        "pg_rewrite" => rules(view, rows),
        "pg_description" => descriptions(rows),
        "pg_database" => databases(view, rows),
        "pg_roles" | "pg_authid" => roles(view, rows),
        "pg_user" | "pg_shadow" => users(view, rows),
        "pg_tables" => table_list(view, rows),
        "pg_views" => view_list(view, rows),
        "pg_matviews" => materialized_view_list(view, rows),
        "pg_indexes" => index_list(view, rows),
        "pg_settings" => settings(view, rows),
        "pg_am" => access_methods(rows),
        "pg_tablespace" => tablespaces(rows),
        "pg_collation" => collations(rows),
        "pg_language" => languages(view, rows),
        "pg_proc" => functions(view, rows),
        "pg_stat_activity" => activity(view, rows),
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics(view, rows),
        "pg_timezone_names" => {}
        _ => {}
    }
    Ok(())
}

fn namespaces(view: &CatalogView, rows: &mut Rows) {
    for schema in view.schemas() {
        rows.push([
            ("oid", schema.oid.into()),
            ("nspname", (&schema.name).into()),
            ("nspowner", BOOTSTRAP_USER.into()),
        ]);
    }
}

/// `relkind` of a relation.
fn kind(relation: &Relation) -> char {
    match relation {
        Relation::Table(_) => 'r',
        Relation::View(view) if view.materialized.is_some() => 'm',
        Relation::View(_) => 'v',
        // As in PostgreSQL 19.
        Relation::Graph(_) => 'g',
    }
}

fn classes(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        let (access_method, has_index, row_count) = match relation {
            Relation::Table(table) => {
                let count = view.size(table).map_or(-1.0, |info| info.rows as f64);
                (HEAP, ShownIndex::of(table).next().is_some(), count)
            }
            Relation::View(_) | Relation::Graph(_) => (0, false, -1.0),
        };
        rows.push([
            ("oid", relation.oid().into()),
            ("relname", relation.name().into()),
            ("relnamespace", relation.schema().into()),
            ("reltype", relation.type_oid().into()),
            ("relowner", BOOTSTRAP_USER.into()),
            ("relam", access_method.into()),
            ("relfilenode", relation.oid().into()),
            ("reltuples", row_count.into()),
            ("relhasindex", has_index.into()),
            ("relpersistence", 'p'.into()),
            ("relkind", kind(relation).into()),
            ("relnatts", (relation.columns().len() as i32).into()),
            ("relhasrules", (kind(relation) == 'v').into()),
            ("relhastriggers", matches!(relation, Relation::Table(table) if !table.triggers.is_empty()).into()),
            ("relispopulated", true.into()),
            ("relreplident", if kind(relation) == 'r' { 'd' } else { 'n' }.into()),
        ]);
    }
    for index in view.indexes() {
        rows.push([
            ("oid", index.oid.into()),
            ("relname", index.name.into()),
            ("relnamespace", index.table.schema.into()),
            ("relowner", BOOTSTRAP_USER.into()),
            ("relam", BTREE.into()),
            ("relfilenode", index.oid.into()),
            ("reltuples", view.size(index.table).map_or(-1.0, |info| info.rows as f64).into()),
            ("relpersistence", 'p'.into()),
            ("relkind", 'i'.into()),
            ("relnatts", (index.columns().count() as i32).into()),
            ("relispopulated", true.into()),
            ("relreplident", 'n'.into()),
        ]);
    }
    for system in relation::all() {
        rows.push([
            ("oid", system.oid.into()),
            ("relname", system.name.into()),
            ("relnamespace", system_schema(view, system.schema)),
            ("relowner", BOOTSTRAP_USER.into()),
            ("relam", if system.is_view { 0 } else { HEAP }.into()),
            ("reltuples", Value::Float(-1.0)),
            ("relpersistence", 'p'.into()),
            ("relkind", if system.is_view { 'v' } else { 'r' }.into()),
            ("relnatts", (system.columns.len() as i32).into()),
            ("relispopulated", true.into()),
            ("relreplident", 'n'.into()),
        ]);
    }
}

fn system_schema(view: &CatalogView, name: &str) -> Value {
    view.statement.catalog.schema(view.statement.database, name).map_or(Value::Int(0), |schema| schema.oid.into())
}

/// `attalign`, `attstorage`, `attbyval` and `attcollation` of a type.
fn layout(pg: PgType) -> (char, char, bool, u32) {
    let align = match pg.oid {
        16 | 18 | 19 | 2950 | 705 => 'c',
        21 => 's',
        20 | 701 | 1083 | 1114 | 1184 | 1186 | 2249 => 'd',
        _ if pg.is_nanos() => 'd',
        _ => 'i',
    };
    let storage = match (pg.oid, pg.len) {
        (1700, _) => 'm',
        (_, -1) => 'x',
        _ => 'p',
    };
    let by_value = matches!(pg.len, 1 | 2 | 4 | 8);
    let collation = match pg.element().unwrap_or(pg).oid {
        19 => C_COLLATION,
        25 | 194 | 1042 | 1043 => DEFAULT_COLLATION,
        _ => 0,
    };
    (align, storage, by_value, collation)
}

fn attributes(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        for column in relation.columns() {
            attribute(rows, relation.oid().0, column);
        }
    }
    for index in view.indexes() {
        for (i, column) in index.columns().enumerate() {
            let column = Column { position: (i + 1) as u16, not_null: false, default: None, ..column.clone() };
            attribute(rows, index.oid.0, &column);
        }
    }
    for system in relation::all() {
        for (i, column) in system.columns.iter().enumerate() {
            let (align, storage, by_value, collation) = layout(column.pg);
            rows.push([
                ("attrelid", system.oid.into()),
                ("attname", column.name.into()),
                ("atttypid", column.pg.oid.into()),
                ("attstattarget", (-1).into()),
                ("attlen", column.pg.len.into()),
                ("attnum", (i as i32 + 1).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", (-1).into()),
                ("attbyval", by_value.into()),
                ("attalign", align.into()),
                ("attstorage", storage.into()),
                ("attnotnull", column.not_null.into()),
                ("attislocal", true.into()),
                ("attcollation", collation.into()),
            ]);
        }
    }
}

fn attribute(rows: &mut Rows, relation_oid: u32, column: &Column) {
    let Some(pg) = column_type(column) else { return };
    let (align, storage, by_value, collation) = layout(pg);
    rows.push([
        ("attrelid", relation_oid.into()),
        ("attname", (&column.name).into()),
        ("atttypid", pg.oid.into()),
        ("attstattarget", (-1).into()),
        ("attlen", pg.len.into()),
        ("attnum", i32::from(column.position).into()),
        ("attndims", i32::from(pg.element().is_some()).into()),
        ("attcacheoff", (-1).into()),
        ("atttypmod", pg.modifier.into()),
        ("attbyval", by_value.into()),
        ("attalign", align.into()),
        ("attstorage", storage.into()),
        ("attnotnull", column.not_null.into()),
        ("atthasdef", column.default.is_some().into()),
        ("attisdropped", column.dropped.into()),
        ("attislocal", true.into()),
        ("attcollation", collation.into()),
    ]);
}

fn defaults(view: &CatalogView, rows: &mut Rows) {
    for table in view.tables() {
        for column in &table.columns {
            if let (Some(default), Some(oid)) = (&column.default, column.default_oid) {
                rows.push([
                    ("oid", oid.into()),
                    ("adrelid", table.oid.into()),
                    ("adnum", i32::from(column.position).into()),
                    ("adbin", default.into()),
                ]);
            }
        }
    }
}

fn types(view: &CatalogView, rows: &mut Rows) {
    for info in TYPES {
        base_type(rows, info);
        if info.array_oid != 0 {
            array_type(rows, info);
        }
    }
    let has_rows = |relation: &&Relation| !matches!(relation, Relation::Graph(_));
    for relation in view.relations().filter(has_rows) {
        rows.push([
            ("oid", relation.type_oid().into()),
            ("typname", relation.name().into()),
            ("typnamespace", relation.schema().into()),
            ("typowner", BOOTSTRAP_USER.into()),
            ("typlen", (-1).into()),
            ("typtype", 'c'.into()),
            ("typcategory", 'C'.into()),
            ("typisdefined", true.into()),
            ("typdelim", ','.into()),
            ("typrelid", relation.oid().into()),
            ("typalign", 'd'.into()),
            ("typstorage", 'x'.into()),
            ("typtypmod", (-1).into()),
        ]);
    }
}

fn base_type(rows: &mut Rows, info: &TypeInfo) {
    let pg = PgType { oid: info.oid, modifier: -1, len: info.len };
    let (align, storage, by_value, collation) = layout(pg);
    // int2vector and oidvector are arrays of their elements to whoever asks.
    let element = match info.oid {
        19 => 18,
        22 => 21,
        30 => 26,
        _ => 0,
    };
    rows.push([
        ("oid", info.oid.into()),
        ("typname", info.name.into()),
        ("typnamespace", PG_CATALOG_SCHEMA.into()),
        ("typowner", BOOTSTRAP_USER.into()),
        ("typlen", info.len.into()),
        ("typbyval", by_value.into()),
        ("typtype", if info.category == 'P' || info.category == 'X' { 'p' } else { 'b' }.into()),
        ("typcategory", info.category.into()),
        ("typispreferred", matches!(info.oid, 16 | 25 | 26 | 701 | 1184 | 1186).into()),
        ("typisdefined", true.into()),
        ("typdelim", ','.into()),
        ("typelem", element.into()),
        ("typarray", info.array_oid.into()),
        ("typalign", align.into()),
        ("typstorage", storage.into()),
        ("typtypmod", (-1).into()),
        ("typcollation", collation.into()),
    ]);
}

fn array_type(rows: &mut Rows, info: &TypeInfo) {
    let (align, _, _, collation) = layout(PgType { oid: info.oid, modifier: -1, len: info.len });
    rows.push([
        ("oid", info.array_oid.into()),
        ("typname", format!("_{}", info.name).into()),
        ("typnamespace", PG_CATALOG_SCHEMA.into()),
        ("typowner", BOOTSTRAP_USER.into()),
        ("typlen", (-1).into()),
        ("typtype", if info.category == 'P' { 'p' } else { 'b' }.into()),
        ("typcategory", 'A'.into()),
        ("typisdefined", true.into()),
        ("typdelim", ','.into()),
        ("typelem", info.oid.into()),
        ("typinput", super::functions::ARRAY_IN.into()),
        ("typalign", if align == 'd' { 'd' } else { 'i' }.into()),
        ("typstorage", 'x'.into()),
        ("typtypmod", (-1).into()),
        ("typcollation", collation.into()),
    ]);
}

/// A vector type's text form: numbers between spaces.
fn vector(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

fn indexes(view: &CatalogView, rows: &mut Rows) {
    for index in view.indexes() {
        let positions = index.positions();
        let zeros = vec![0; positions.len()];
        rows.push([
            ("indexrelid", index.oid.into()),
            ("indrelid", index.table.oid.into()),
            ("indnatts", (positions.len() as i32).into()),
            ("indnkeyatts", (positions.len() as i32).into()),
            ("indisunique", index.is_unique.into()),
            ("indisprimary", index.is_primary.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", vector(&positions).into()),
            ("indcollation", vector(&zeros).into()),
            ("indclass", vector(&zeros).into()),
            ("indoption", vector(&index.options()).into()),
        ]);
    }
}

fn constraints(view: &CatalogView, rows: &mut Rows) {
    for (index, oid) in view.constraints() {
        rows.push([
            ("oid", oid.into()),
            ("conname", index.name.into()),
            ("connamespace", index.table.schema.into()),
            ("contype", if index.is_primary { 'p' } else { 'u' }.into()),
            ("convalidated", true.into()),
            ("conrelid", index.table.oid.into()),
            ("conindid", index.oid.into()),
            ("confupdtype", ' '.into()),
            ("confdeltype", ' '.into()),
            ("confmatchtype", ' '.into()),
            ("conislocal", true.into()),
            ("connoinherit", true.into()),
            ("conkey", index.positions().into()),
        ]);
    }
}

fn dependencies(view: &CatalogView, rows: &mut Rows) {
    const CLASS: u32 = 1259;
    const CONSTRAINT: u32 = 2606;
    for index in view.indexes() {
        let (class, dependent) = match index.constraint {
            Some(constraint) => {
                rows.push([
                    ("classid", CLASS.into()),
                    ("objid", index.oid.into()),
                    ("refclassid", CONSTRAINT.into()),
                    ("refobjid", constraint.into()),
                    ("deptype", 'i'.into()),
                ]);
                (CONSTRAINT, constraint)
            }
            None => (CLASS, index.oid),
        };
        for position in index.positions() {
            rows.push([
                ("classid", class.into()),
                ("objid", dependent.into()),
                ("refclassid", CLASS.into()),
                ("refobjid", index.table.oid.into()),
                ("refobjsubid", position.into()),
                ("deptype", 'a'.into()),
            ]);
        }
    }
    for relation in view.relations() {
        for target in relation.depends_on() {
            rows.push([
                ("classid", CLASS.into()),
                ("objid", relation.oid().into()),
                ("refclassid", CLASS.into()),
                ("refobjid", (*target).into()),
                ("deptype", 'n'.into()),
            ]);
        }
    }
}

/// Every view has the one rule that makes it a view.
fn rules(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        if let Relation::View(definition) = relation {
            rows.push([
                ("oid", definition.oid.into()),
                ("rulename", "_RETURN".into()),
                ("ev_class", definition.oid.into()),
                ("ev_type", '1'.into()),
                ("ev_enabled", 'O'.into()),
                ("is_instead", true.into()),
            ]);
        }
    }
}

fn descriptions(rows: &mut Rows) {
    const NAMESPACE: u32 = 2615;
    rows.push([
        ("objoid", PUBLIC_SCHEMA.into()),
        ("classoid", NAMESPACE.into()),
        ("description", super::functions::PUBLIC_SCHEMA_DESCRIPTION.into()),
    ]);
}

fn databases(view: &CatalogView, rows: &mut Rows) {
    for database in view.statement.catalog.databases() {
        rows.push([
            ("oid", database.oid.into()),
            ("datname", (&database.name).into()),
            ("datdba", BOOTSTRAP_USER.into()),
            ("encoding", UTF8.into()),
            ("datlocprovider", 'c'.into()),
            ("datallowconn", true.into()),
            ("datconnlimit", (-1).into()),
            ("dattablespace", TABLESPACE.into()),
            ("datcollate", "C".into()),
            ("datctype", "C.UTF-8".into()),
        ]);
    }
}

fn roles(view: &CatalogView, rows: &mut Rows) {
    for (oid, name) in view.roles() {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolbypassrls", true.into()),
            ("rolconnlimit", (-1).into()),
        ]);
    }
}

fn users(view: &CatalogView, rows: &mut Rows) {
    for (oid, name) in view.roles() {
        rows.push([
            ("usename", name.into()),
            ("usesysid", oid.into()),
            ("usecreatedb", true.into()),
            ("usesuper", true.into()),
            ("userepl", false.into()),
            ("usebypassrls", true.into()),
        ]);
    }
}

fn table_list(view: &CatalogView, rows: &mut Rows) {
    for table in view.tables() {
        rows.push([
            ("schemaname", view.schema_name(table.schema).into()),
            ("tablename", (&table.name).into()),
            ("tableowner", OWNER.into()),
            ("hasindexes", ShownIndex::of(table).next().is_some().into()),
            ("hasrules", false.into()),
            ("hastriggers", (!table.triggers.is_empty()).into()),
            ("rowsecurity", false.into()),
        ]);
    }
    for system in relation::all().iter().filter(|r| !r.is_view) {
        rows.push([
            ("schemaname", system.schema.into()),
            ("tablename", system.name.into()),
            ("tableowner", OWNER.into()),
            ("hasindexes", false.into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
}

fn materialized_view_list(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        if let Relation::View(definition) = relation
            && definition.materialized.is_some()
        {
            rows.push([
                ("schemaname", view.schema_name(definition.schema).into()),
                ("matviewname", (&definition.name).into()),
                ("matviewowner", OWNER.into()),
                ("hasindexes", false.into()),
                // What is not kept is computed.
                ("ispopulated", true.into()),
                ("definition", format!(" {};", definition.shown()).into()),
            ]);
        }
    }
}

fn view_list(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        if let Relation::View(definition) = relation
            && definition.materialized.is_none()
        {
            rows.push([
                ("schemaname", view.schema_name(definition.schema).into()),
                ("viewname", (&definition.name).into()),
                ("viewowner", OWNER.into()),
                ("definition", format!(" {};", definition.shown()).into()),
            ]);
        }
    }
}

fn index_list(view: &CatalogView, rows: &mut Rows) {
    for index in view.indexes() {
        rows.push([
            ("schemaname", view.schema_name(index.table.schema).into()),
            ("tablename", (&index.table.name).into()),
            ("indexname", index.name.into()),
            ("indexdef", index.definition(view).into()),
        ]);
    }
}

fn settings(view: &CatalogView, rows: &mut Rows) {
    for setting in view.session.settings.all() {
        rows.push([
            ("name", (&setting.name).into()),
            ("setting", (&setting.value).into()),
            ("category", "Lightning".into()),
            ("short_desc", setting.description.into()),
            ("context", "user".into()),
            ("vartype", "string".into()),
            ("source", if setting.value == setting.reset_value { "default" } else { "session" }.into()),
            ("boot_val", (&setting.reset_value).into()),
            ("reset_val", (&setting.reset_value).into()),
            ("pending_restart", false.into()),
        ]);
    }
}

fn access_methods(rows: &mut Rows) {
    for (oid, name, kind) in [(HEAP, "heap", 't'), (BTREE, "btree", 'i')] {
        rows.push([("oid", oid.into()), ("amname", name.into()), ("amtype", kind.into())]);
    }
}

fn tablespaces(rows: &mut Rows) {
    for (oid, name) in [(TABLESPACE, "pg_default"), (1664, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", BOOTSTRAP_USER.into())]);
    }
}

fn collations(rows: &mut Rows) {
    for (oid, name, provider) in [(DEFAULT_COLLATION, "default", 'd'), (C_COLLATION, "C", 'c'), (951, "POSIX", 'c')] {
        let locale = (provider == 'c').then_some(name);
        rows.push([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", PG_CATALOG_SCHEMA.into()),
            ("collowner", BOOTSTRAP_USER.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", (-1).into()),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ]);
    }
}

/// Languages of extensions are numbered from here.
const FIRST_LANGUAGE: u32 = 13_500;

fn all_languages(view: &CatalogView) -> Vec<(u32, &'static str)> {
    let mut all = vec![(12, "internal"), (14, "sql")];
    if let Some(instance) = view.session.instance() {
        let languages = instance.extensions().iter().flat_map(|extension| extension.languages());
        all.extend((FIRST_LANGUAGE..).zip(languages.map(|language| language.name())));
    }
    all
}

fn languages(view: &CatalogView, rows: &mut Rows) {
    for (oid, name) in all_languages(view) {
        let is_trusted = name != "internal";
        rows.push([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", BOOTSTRAP_USER.into()),
            ("lanispl", (oid >= FIRST_LANGUAGE).into()),
            ("lanpltrusted", is_trusted.into()),
        ]);
    }
}

/// The functions of users: those that are built in are not listed.
fn functions(view: &CatalogView, rows: &mut Rows) {
    let languages = all_languages(view);
    for function in view.functions() {
        let arguments: Vec<u32> = function.argument_types().map(|oid| oid.0).collect();
        let columns: &[Argument] = match &function.returns {
            Returns::Table(columns) => columns,
            _ => &[],
        };
        let returns = match &function.returns {
            Returns::Value(oid) | Returns::SetOf(oid) => oid.0,
            Returns::Table(columns) => match columns.as_slice() {
                [column] => column.type_oid.0,
                _ => types::RECORD.oid,
            },
            Returns::Trigger => TRIGGER_TYPE,
        };
        let is_set = matches!(function.returns, Returns::Table(_) | Returns::SetOf(_));
        let all: Vec<&Argument> = function.arguments.iter().chain(columns).collect();
        let names: Vec<String> = all.iter().map(|argument| argument.name.clone().unwrap_or_default()).collect();
        let has_names = names.iter().any(|name| !name.is_empty());
        let modes = || all.iter().enumerate().map(|(i, _)| if i < arguments.len() { "i" } else { "t" }.to_owned());
        let volatility = match function.volatility {
            Volatility::Immutable => 'i',
            Volatility::Stable => 's',
            Volatility::Volatile => 'v',
        };
        let language = languages.iter().find(|(_, name)| *name == function.language).map_or(0, |(oid, _)| *oid);
        rows.push([
            ("oid", function.oid.into()),
            ("proname", (&function.name).into()),
            ("pronamespace", function.schema.into()),
            ("proowner", BOOTSTRAP_USER.into()),
            ("prolang", language.into()),
            ("procost", Value::Float(100.0)),
            ("prorows", Value::Float(if is_set { 1000.0 } else { 0.0 })),
            ("prokind", if function.is_aggregate { 'a' } else { 'f' }.into()),
            ("proisstrict", function.is_strict.into()),
            ("proretset", is_set.into()),
            ("provolatile", volatility.into()),
            ("proparallel", 's'.into()),
            ("pronargs", (arguments.len() as i32).into()),
            ("prorettype", returns.into()),
            ("proargtypes", arguments.iter().map(u32::to_string).collect::<Vec<_>>().join(" ").into()),
            (
                "proallargtypes",
                if columns.is_empty() {
                    Value::Null
                } else {
                    Value::Ints(all.iter().map(|a| i64::from(a.type_oid.0)).collect())
                },
            ),
            ("proargmodes", if columns.is_empty() { Value::Null } else { Value::Texts(modes().collect()) }),
            ("proargnames", if has_names { Value::Texts(names) } else { Value::Null }),
            ("prosrc", (&function.source).into()),
            ("probin", function.module.as_ref().into()),
        ]);
    }
}

fn activity(view: &CatalogView, rows: &mut Rows) {
    let session = &view.session;
    rows.push([
        ("datid", session.database_oid.into()),
        ("datname", (&session.database).into()),
        ("pid", session.process_id.into()),
        ("usesysid", view.roles().last().map(|(oid, _)| *oid).into()),
        ("usename", (&session.user).into()),
        ("application_name", session.settings.get("application_name").unwrap_or_default().into()),
        ("backend_start", micros(session.started).into()),
        ("state", "active".into()),
        ("backend_type", "client backend".into()),
    ]);
}

fn table_statistics(view: &CatalogView, rows: &mut Rows) {
    for table in view.tables() {
        rows.push([
            ("relid", table.oid.into()),
            ("schemaname", view.schema_name(table.schema).into()),
            ("relname", (&table.name).into()),
            ("n_live_tup", view.size(table).map(|info| info.rows as i64).into()),
            ("n_dead_tup", 0.into()),
        ]);
    }
}

/// A system time as a `timestamptz`.
pub fn micros(time: SystemTime) -> Option<Value> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Value::Time)
}
