//! Triggers as the system relations show them.

use super::relation::{Rows, Value};
use super::view::{CatalogView, quote_identifier};
use crate::triggers::{event_name, level_name, timing_name};
use lightning_catalog::{Table, Trigger, TriggerEvent, TriggerLevel, TriggerTiming};

/// Bits of `pg_trigger.tgtype`.
const ROW: i16 = 1;
const BEFORE: i16 = 1 << 1;
const INSERT: i16 = 1 << 2;
const DELETE: i16 = 1 << 3;
const UPDATE: i16 = 1 << 4;
const TRUNCATE: i16 = 1 << 5;

/// Events in the order PostgreSQL names them.
const EVENTS: [(TriggerEvent, i16); 4] = [
    (TriggerEvent::Insert, INSERT),
    (TriggerEvent::Delete, DELETE),
    (TriggerEvent::Update, UPDATE),
    (TriggerEvent::Truncate, TRUNCATE),
];

/// All triggers of the database with their tables.
fn all(view: &CatalogView) -> impl Iterator<Item = (&Table, &Trigger)> {
    view.tables().flat_map(|table| table.triggers.iter().map(move |trigger| (table.as_ref(), trigger)))
}

fn type_bits(trigger: &Trigger) -> i16 {
    let row = if trigger.level == TriggerLevel::Row { ROW } else { 0 };
    let before = if trigger.timing == TriggerTiming::Before { BEFORE } else { 0 };
    let events = EVENTS.iter().filter(|(event, _)| trigger.events.contains(event));
    events.fold(row | before, |bits, (_, bit)| bits | bit)
}

/// Rows of `pg_trigger`.
pub fn rows(view: &CatalogView, rows: &mut Rows) {
    for (table, trigger) in all(view) {
        let attributes = trigger.update_columns.iter().map(|column| i64::from(table.columns[*column].position));
        rows.push([
            ("oid", trigger.oid.into()),
            ("tgrelid", table.oid.into()),
            ("tgname", (&trigger.name).into()),
            ("tgfoid", trigger.function.into()),
            ("tgtype", type_bits(trigger).into()),
            ("tgenabled", if trigger.is_disabled { 'D' } else { 'O' }.into()),
            ("tgisinternal", false.into()),
            ("tgnargs", (trigger.arguments.len() as i32).into()),
            ("tgattr", vector(attributes).into()),
            ("tgargs", Value::Bytes(argument_bytes(trigger))),
            ("tgoldtable", trigger.old_table.as_ref().into()),
            ("tgnewtable", trigger.new_table.as_ref().into()),
        ]);
    }
}

/// The arguments, each with a zero behind it.
fn argument_bytes(trigger: &Trigger) -> Vec<u8> {
    trigger.arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect()
}

/// An `int2vector` as text.
fn vector(numbers: impl Iterator<Item = i64>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

/// What `pg_get_triggerdef` says; prettily, with no more than is needed.
pub fn definition(view: &CatalogView, oid: u32, is_pretty: bool) -> Option<String> {
    let (table, trigger) = all(view).find(|(_, trigger)| trigger.oid.0 == oid)?;
    let schema = view.schema_name(table.schema);
    let mut text = format!("CREATE TRIGGER {} {} ", quote_identifier(&trigger.name), timing_name(trigger.timing));
    let events = EVENTS.iter().filter(|(event, _)| trigger.events.contains(event)).map(|(event, _)| {
        let columns: Vec<String> =
            trigger.update_columns.iter().map(|column| quote_identifier(&table.columns[*column].name)).collect();
        match event {
            TriggerEvent::Update if !columns.is_empty() => format!("UPDATE OF {}", columns.join(", ")),
            event => event_name(*event).to_owned(),
        }
    });
    text += &events.collect::<Vec<_>>().join(" OR ");
    text += &match is_pretty {
        true => format!(" ON {}", view.display_name(schema, &table.name)),
        false => format!(" ON {}.{}", quote_identifier(schema), quote_identifier(&table.name)),
    };
    if trigger.old_table.is_some() || trigger.new_table.is_some() {
        text += " REFERENCING";
        for (which, name) in [("OLD", &trigger.old_table), ("NEW", &trigger.new_table)] {
            if let Some(name) = name {
                text += &format!(" {which} TABLE AS {}", quote_identifier(name));
            }
        }
    }
    text += &format!(" FOR EACH {}", level_name(trigger.level));
    if let Some(condition) = &trigger.condition {
        text += &if is_pretty { format!(" WHEN ({condition})") } else { format!(" WHEN (({condition}))") };
    }
    Some(format!("{text} EXECUTE FUNCTION {}", call(view, trigger)))
}

/// `function(arguments)`.
fn call(view: &CatalogView, trigger: &Trigger) -> String {
    let function = view.statement.catalog.function_by_oid(trigger.function);
    let name = function.map_or_else(
        || trigger.function.to_string(),
        |function| match view.schema_name(function.schema) {
            schema if view.statement.search_path.iter().any(|path| path == schema) => quote_identifier(&function.name),
            schema => format!("{}.{}", quote_identifier(schema), quote_identifier(&function.name)),
        },
    );
    let arguments: Vec<String> =
        trigger.arguments.iter().map(|argument| format!("'{}'", argument.replace('\'', "''"))).collect();
    format!("{name}({})", arguments.join(", "))
}

/// Rows of `information_schema.triggers`: one for each event.
pub fn information_rows(view: &CatalogView, rows: &mut Rows) {
    for table in view.tables() {
        let schema = view.schema_name(table.schema);
        for (event, _) in EVENTS.iter().filter(|(event, _)| *event != TriggerEvent::Truncate) {
            for trigger in table.triggers.iter().filter(|trigger| trigger.events.contains(event)) {
                let database = || Value::from(&view.session.database);
                let before = table.triggers.iter().take_while(|other| other.name != trigger.name);
                let kind = |t: &Trigger| (t.timing, t.level);
                let order = before.filter(|t| t.events.contains(event) && kind(t) == kind(trigger)).count() as i32 + 1;
                rows.push([
                    ("trigger_catalog", database()),
                    ("trigger_schema", schema.into()),
                    ("trigger_name", (&trigger.name).into()),
                    ("event_manipulation", event_name(*event).into()),
                    ("event_object_catalog", database()),
                    ("event_object_schema", schema.into()),
                    ("event_object_table", (&table.name).into()),
                    ("action_order", order.into()),
                    ("action_condition", trigger.condition.as_ref().map(|text| format!("({text})")).into()),
                    ("action_statement", format!("EXECUTE FUNCTION {}", call(view, trigger)).into()),
                    ("action_orientation", level_name(trigger.level).into()),
                    ("action_timing", timing_name(trigger.timing).into()),
                    ("action_reference_old_table", trigger.old_table.as_ref().into()),
                    ("action_reference_new_table", trigger.new_table.as_ref().into()),
                ]);
            }
        }
    }
}

/// Rows of `information_schema.triggered_update_columns`.
pub fn update_column_rows(view: &CatalogView, rows: &mut Rows) {
    for (table, trigger) in all(view) {
        let schema = view.schema_name(table.schema);
        let database = || Value::from(&view.session.database);
        for column in &trigger.update_columns {
            rows.push([
                ("trigger_catalog", database()),
                ("trigger_schema", schema.into()),
                ("trigger_name", (&trigger.name).into()),
                ("event_object_catalog", database()),
                ("event_object_schema", schema.into()),
                ("event_object_table", (&table.name).into()),
                ("event_object_column", (&table.columns[*column].name).into()),
            ]);
        }
    }
}
