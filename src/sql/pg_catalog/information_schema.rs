//! The rows of the SQL standard's `information_schema`.

use super::function;
use super::relation::{self, Rows, Value, yes_or_no};
use super::trigger;
use super::view::{CatalogView, OWNER, column_type};
use crate::types::PgType;
use lightning_catalog::{Column, Relation};

/// Adds the rows of the view `name`.
pub fn fill(view: &CatalogView, name: &str, rows: &mut Rows) {
    match name {
        "schemata" => schemata(view, rows),
        "tables" => tables(view, rows),
        "columns" => columns(view, rows),
        "views" => views(view, rows),
        "table_constraints" => table_constraints(view, rows),
        "key_column_usage" => key_columns(view, rows),
        "constraint_column_usage" => constraint_columns(view, rows),
        "triggers" => trigger::information_rows(view, rows),
        "routines" => function::routines(view, rows),
        "parameters" => function::parameters(view, rows),
        "triggered_update_columns" => trigger::update_column_rows(view, rows),
        "information_schema_catalog_name" => rows.push([("catalog_name", catalog(view))]),
        "enabled_roles" | "applicable_roles" => {}
        _ => {}
    }
}

fn catalog(view: &CatalogView) -> Value {
    (&view.session.database).into()
}

fn schemata(view: &CatalogView, rows: &mut Rows) {
    for schema in view.schemas() {
        rows.push([
            ("catalog_name", catalog(view)),
            ("schema_name", (&schema.name).into()),
            ("schema_owner", OWNER.into()),
        ]);
    }
}

fn tables(view: &CatalogView, rows: &mut Rows) {
    let mut add = |schema: &str, name: &str, kind: &str, insertable: bool| {
        rows.push([
            ("table_catalog", catalog(view)),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("table_type", kind.into()),
            ("is_insertable_into", yes_or_no(insertable)),
            ("is_typed", "NO".into()),
        ]);
    };
    for relation in view.relations() {
        let (kind, insertable) = match relation {
            Relation::Table(_) => ("BASE TABLE", true),
            Relation::View(_) => ("VIEW", false),
            Relation::Graph(_) => continue,
        };
        add(view.schema_name(relation.schema()), relation.name(), kind, insertable);
    }
    for system in relation::all() {
        add(system.schema, system.name, if system.is_view { "VIEW" } else { "BASE TABLE" }, false);
    }
}

fn columns(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        let schema = view.schema_name(relation.schema());
        for column in relation.columns().iter().filter(|column| !column.dropped) {
            if let Some(pg) = column_type(column) {
                let updatable = matches!(relation, Relation::Table(_));
                push_column(view, rows, (schema, relation.name()), column, pg, updatable);
            }
        }
    }
    for system in relation::all() {
        for (i, column) in system.columns.iter().enumerate() {
            let described = Column {
                name: column.name.to_owned(),
                type_oid: lightning_catalog::Oid(column.pg.oid),
                type_modifier: -1,
                not_null: column.not_null,
                default: None,
                default_oid: None,
                position: (i + 1) as u16,
                dropped: false,
            };
            push_column(view, rows, (system.schema, system.name), &described, column.pg, false);
        }
    }
}

fn push_column(
    view: &CatalogView,
    rows: &mut Rows,
    (schema, table): (&str, &str),
    column: &Column,
    pg: PgType,
    updatable: bool,
) {
    let numeric = Numbers::of(pg);
    let length = pg.character_length().map(|length| length as i64);
    rows.push([
        ("table_catalog", catalog(view)),
        ("table_schema", schema.into()),
        ("table_name", table.into()),
        ("column_name", (&column.name).into()),
        ("ordinal_position", i32::from(column.position).into()),
        ("column_default", column.default.as_ref().into()),
        ("is_nullable", yes_or_no(!column.not_null)),
        ("data_type", if pg.element().is_some() { "ARRAY".to_owned() } else { pg.base_name() }.into()),
        ("character_maximum_length", length.into()),
        ("character_octet_length", octets(pg).into()),
        ("numeric_precision", numeric.precision.into()),
        ("numeric_precision_radix", numeric.radix.into()),
        ("numeric_scale", numeric.scale.into()),
        ("datetime_precision", datetime_precision(pg).into()),
        ("udt_catalog", catalog(view)),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", udt_name(pg).into()),
        ("dtd_identifier", i32::from(column.position).to_string().into()),
        ("is_self_referencing", "NO".into()),
        ("is_identity", "NO".into()),
        ("is_generated", "NEVER".into()),
        ("is_updatable", yes_or_no(updatable)),
    ]);
}

/// `pg_type.typname`.
fn udt_name(pg: PgType) -> String {
    match pg.element() {
        Some(element) => format!("_{}", udt_name(element)),
        None => crate::types::info(pg.oid).map_or_else(String::new, |info| info.name.to_owned()),
    }
}

fn octets(pg: PgType) -> Option<i64> {
    match pg.character_length() {
        Some(length) => Some(length as i64 * 4),
        None => matches!(pg.oid, 25 | 1043).then_some(1 << 30),
    }
}

fn datetime_precision(pg: PgType) -> Option<i32> {
    match pg.oid {
        1082 => Some(0),
        1083 | 1114 | 1184 | 1186 => Some(if pg.modifier >= 0 { pg.modifier } else { 6 }),
        _ if pg.is_nanos() => Some(9),
        _ => None,
    }
}

#[derive(Default)]
struct Numbers {
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
}

impl Numbers {
    fn of(pg: PgType) -> Numbers {
        let binary = |precision, scale| Numbers { precision: Some(precision), radix: Some(2), scale };
        match pg.oid {
            21 => binary(16, Some(0)),
            23 => binary(32, Some(0)),
            20 => binary(64, Some(0)),
            700 => binary(24, None),
            701 => binary(53, None),
            1700 if pg.modifier >= 0 => {
                let (precision, scale) = pg.precision_and_scale();
                Numbers { precision: Some(i32::from(precision)), radix: Some(10), scale: Some(i32::from(scale)) }
            }
            1700 => Numbers { radix: Some(10), ..Numbers::default() },
            _ => Numbers::default(),
        }
    }
}

fn views(view: &CatalogView, rows: &mut Rows) {
    for relation in view.relations() {
        if let Relation::View(definition) = relation
            && definition.materialized.is_none()
        {
            rows.push([
                ("table_catalog", catalog(view)),
                ("table_schema", view.schema_name(definition.schema).into()),
                ("table_name", (&definition.name).into()),
                ("view_definition", format!(" {};", definition.shown()).into()),
                ("check_option", "NONE".into()),
                ("is_updatable", "NO".into()),
                ("is_insertable_into", "NO".into()),
                ("is_trigger_updatable", "NO".into()),
                ("is_trigger_deletable", "NO".into()),
                ("is_trigger_insertable_into", "NO".into()),
            ]);
        }
    }
}

fn table_constraints(view: &CatalogView, rows: &mut Rows) {
    for (index, _) in view.constraints() {
        let schema = view.schema_name(index.table.schema);
        rows.push([
            ("constraint_catalog", catalog(view)),
            ("constraint_schema", schema.into()),
            ("constraint_name", index.name.into()),
            ("table_catalog", catalog(view)),
            ("table_schema", schema.into()),
            ("table_name", (&index.table.name).into()),
            ("constraint_type", index.constraint_kind().into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
        ]);
    }
}

fn key_columns(view: &CatalogView, rows: &mut Rows) {
    for (index, _) in view.constraints() {
        let schema = view.schema_name(index.table.schema);
        for (i, column) in index.columns().enumerate() {
            rows.push([
                ("constraint_catalog", catalog(view)),
                ("constraint_schema", schema.into()),
                ("constraint_name", index.name.into()),
                ("table_catalog", catalog(view)),
                ("table_schema", schema.into()),
                ("table_name", (&index.table.name).into()),
                ("column_name", (&column.name).into()),
                ("ordinal_position", (i as i32 + 1).into()),
            ]);
        }
    }
}

fn constraint_columns(view: &CatalogView, rows: &mut Rows) {
    for (index, _) in view.constraints() {
        let schema = view.schema_name(index.table.schema);
        for column in index.columns() {
            rows.push([
                ("table_catalog", catalog(view)),
                ("table_schema", schema.into()),
                ("table_name", (&index.table.name).into()),
                ("column_name", (&column.name).into()),
                ("constraint_catalog", catalog(view)),
                ("constraint_schema", schema.into()),
                ("constraint_name", index.name.into()),
            ]);
        }
    }
}
