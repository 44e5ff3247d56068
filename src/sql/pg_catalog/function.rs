//! The texts that describe functions of users.

use super::relation::{Rows, yes_or_no};
use super::view::{CatalogView, quote_identifier};
use lightning_catalog::{Argument, Function, Returns, Volatility};

/// `a bigint, b text`.
pub(super) fn arguments(view: &CatalogView, function: &Function) -> String {
    list(view, &function.arguments)
}

fn list(view: &CatalogView, arguments: &[Argument]) -> String {
    let shown = arguments.iter().map(|argument| {
        let type_name = view.format_type(argument.type_oid.0, -1);
        match &argument.name {
            Some(name) => format!("{} {type_name}", quote_identifier(name)),
            None => type_name,
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// `bigint`, `SETOF text`, `TABLE(a integer)`, `trigger`.
pub(super) fn result(view: &CatalogView, function: &Function) -> String {
    match &function.returns {
        Returns::Value(oid) => view.format_type(oid.0, -1),
        Returns::SetOf(oid) => format!("SETOF {}", view.format_type(oid.0, -1)),
        Returns::Table(columns) => format!("TABLE({})", list(view, columns)),
        Returns::Trigger => "trigger".to_owned(),
    }
}

/// The statement that would make the function again. Code of another language is shown by its hash.
pub(super) fn definition(view: &CatalogView, function: &Function) -> String {
    let kind = if function.is_aggregate { "AGGREGATE" } else { "FUNCTION" };
    let schema = quote_identifier(view.schema_name(function.schema));
    let mut lines = vec![
        format!(
            "CREATE OR REPLACE {kind} {schema}.{}({})",
            quote_identifier(&function.name),
            arguments(view, function)
        ),
        format!(" RETURNS {}", result(view, function)),
        format!(" LANGUAGE {}", quote_identifier(&function.language)),
    ];
    let mut words = Vec::new();
    match function.volatility {
        Volatility::Immutable => words.push("IMMUTABLE"),
        Volatility::Stable => words.push("STABLE"),
        Volatility::Volatile => {}
    }
    if function.is_strict {
        words.push("STRICT");
    }
    if !words.is_empty() {
        lines.push(format!(" {}", words.join(" ")));
    }
    if !function.options.is_empty() {
        let quote = |text: &String| text.replace('\'', "''");
        let options: Vec<String> =
            function.options.iter().map(|(name, value)| format!("{name} = '{}'", quote(value))).collect();
        lines.push(format!(" WITH ({})", options.join(", ")));
    }
    lines.push(match &function.module {
        None => format!("AS $function${}$function$", function.source),
        Some(hash) => format!("AS 'sha256:{hash}', '{}'", function.source.replace('\'', "''")),
    });
    lines.join("\n") + "\n"
}

/// What `information_schema` tells functions of one name apart by.
fn specific_name(function: &Function) -> String {
    format!("{}_{}", function.name, function.oid)
}

/// Rows of `information_schema.routines`.
pub(super) fn routines(view: &CatalogView, rows: &mut Rows) {
    for function in view.functions().filter(|function| !function.is_aggregate) {
        let schema = view.schema_name(function.schema);
        let shown = match &function.returns {
            Returns::Value(oid) | Returns::SetOf(oid) => view.format_type(oid.0, -1),
            Returns::Table(_) => "record".to_owned(),
            Returns::Trigger => "trigger".to_owned(),
        };
        let body = (function.language == "sql").then_some(&function.source);
        rows.push([
            ("specific_catalog", (&view.session.database).into()),
            ("specific_schema", schema.into()),
            ("specific_name", specific_name(function).into()),
            ("routine_catalog", (&view.session.database).into()),
            ("routine_schema", schema.into()),
            ("routine_name", (&function.name).into()),
            ("routine_type", "FUNCTION".into()),
            ("data_type", shown.into()),
            ("routine_body", if body.is_some() { "SQL" } else { "EXTERNAL" }.into()),
            ("routine_definition", body.into()),
            ("external_language", function.language.to_uppercase().into()),
            ("parameter_style", "GENERAL".into()),
            ("is_deterministic", yes_or_no(function.volatility == Volatility::Immutable)),
            ("is_null_call", yes_or_no(function.is_strict)),
            ("security_type", "INVOKER".into()),
        ]);
    }
}

/// Rows of `information_schema.parameters`.
pub(super) fn parameters(view: &CatalogView, rows: &mut Rows) {
    for function in view.functions() {
        let columns: &[Argument] = match &function.returns {
            Returns::Table(columns) => columns,
            _ => &[],
        };
        let modes = function.arguments.iter().map(|argument| ("IN", argument));
        let modes = modes.chain(columns.iter().map(|column| ("OUT", column)));
        for (place, (mode, argument)) in modes.enumerate() {
            rows.push([
                ("specific_catalog", (&view.session.database).into()),
                ("specific_schema", view.schema_name(function.schema).into()),
                ("specific_name", specific_name(function).into()),
                ("ordinal_position", (place as i32 + 1).into()),
                ("parameter_mode", mode.into()),
                ("is_result", "NO".into()),
                ("as_locator", "NO".into()),
                ("parameter_name", argument.name.as_ref().into()),
                ("data_type", view.format_type(argument.type_oid.0, -1).into()),
            ]);
        }
    }
}
