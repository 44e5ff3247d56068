//! `gapfill('m', width, from, to)` and `downsample('m', points => 1000)` in FROM, as the queries they stand for.
//!
//! The table is named as text. Its keys are the columns of its primary key but the time, its values the numbers that are
//! no key.

use crate::lttb;
use crate::time_column::{self, TimeColumn};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, ObjectName, Select, TableAlias, TableFactor, TableFunctionArgs, UnaryOperator, Value,
};
use lightning_catalog::{Column, Relation};
use lightning_sql::extension::{Scope, argument, folded, identifier, parse_query, quoted};
use lightning_sql::sqlstate::{
    DATATYPE_MISMATCH, INVALID_PARAMETER_VALUE, INVALID_TEXT_REPRESENTATION, NUMERIC_VALUE_OUT_OF_RANGE, SYNTAX_ERROR,
    UNDEFINED_COLUMN, UNDEFINED_FUNCTION,
};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result, SqlState};

const UNDEFINED_TABLE: SqlState = SqlState("42P01");
/// Points of a curve when none are asked for.
const POINTS: i64 = 1000;

/// Writes out the functions in a FROM clause.
pub(super) fn rewrite(select: &mut Select, scope: &Scope<'_>) -> Result<()> {
    for item in &mut select.from {
        factor(&mut item.relation, scope)?;
        for join in &mut item.joins {
            factor(&mut join.relation, scope)?;
        }
    }
    Ok(())
}

fn factor(factor: &mut TableFactor, scope: &Scope<'_>) -> Result<()> {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. } = factor else {
        return Ok(());
    };
    let [part] = name.0.as_slice() else { return Ok(()) };
    let function = part.as_ident().map(folded).unwrap_or_default();
    let sql = match function.as_str() {
        "gapfill" => gapfill(&Arguments::read(&function, args, &["width", "from", "to", "fill"])?, scope)?,
        "downsample" => downsample(&Arguments::read(&function, args, &["points", "value"])?, scope)?,
        _ => return Ok(()),
    };
    let named = || TableAlias { explicit: true, name: identifier(&function), columns: Vec::new(), at: None };
    let alias = alias.clone().or_else(|| Some(named()));
    let subquery = Box::new(parse_query(&sql)?);
    *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    Ok(())
}

/// The arguments of a call, by name. The table comes first.
struct Arguments {
    function: String,
    table: String,
    given: Vec<(&'static str, Expr)>,
}

impl Arguments {
    fn read(function: &str, args: &[FunctionArg], names: &[&'static str]) -> Result<Arguments> {
        let undefined = |what: String| Error::new(UNDEFINED_FUNCTION, format!("function {function} {what}"));
        let mut given =
            args.iter().map(|arg| argument(arg).ok_or_else(|| undefined("takes plain arguments".to_owned())));
        let table = match given.next().transpose()? {
            Some((None, expr)) => string(expr),
            _ => None,
        };
        let table = table.ok_or_else(|| undefined("takes the name of a table, as text, first".to_owned()))?;
        let mut arguments = Arguments { function: function.to_owned(), table, given: Vec::new() };
        for (place, next) in given.enumerate() {
            let (name, expr) = next?;
            let known = match &name {
                Some(name) => names.iter().find(|known| *known == name),
                None => names.get(place),
            };
            let Some(known) = known else {
                let shown =
                    name.map_or_else(|| "so many arguments".to_owned(), |name| format!("no argument \"{name}\""));
                let e = undefined(format!("takes {shown}"));
                return Err(e.with_hint(format!("After the table come {}.", names.join(", "))));
            };
            if arguments.get(known).is_some() {
                return Err(Error::new(SYNTAX_ERROR, format!("argument \"{known}\" is given twice")));
            }
            arguments.given.push((known, expr.clone()));
        }
        Ok(arguments)
    }

    fn get(&self, name: &str) -> Option<&Expr> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, expr)| expr)
    }

    fn need(&self, name: &str) -> Result<&Expr> {
        self.get(name).ok_or_else(|| {
            let message = format!("function {} needs the argument \"{name}\"", self.function);
            Error::new(UNDEFINED_FUNCTION, message)
        })
    }

    fn series(&self, scope: &Scope<'_>) -> Result<Series> {
        let query = parse_query(&format!("SELECT * FROM {}", self.table))
            .map_err(|_| Error::new(SYNTAX_ERROR, format!("\"{}\" is not the name of a table", self.table)))?;
        let mut query = query;
        let mut selects = Vec::new();
        super::selects_of(&mut query.body, &mut selects);
        let factor = selects.first().and_then(|select| select.from.first()).map(|from| from.relation.clone());
        let Some(factor @ TableFactor::Table { .. }) = factor else {
            return Err(Error::new(SYNTAX_ERROR, format!("\"{}\" is not the name of a table", self.table)));
        };
        let TableFactor::Table { name, .. } = &factor else { unreachable!("it was matched") };
        let relation = scope.relation(name).ok_or_else(|| undefined_table(name))?;
        let time = time_column::of(&factor, scope, &Vec::new())?;
        Ok(Series::of(name.clone(), relation, time))
    }
}

fn undefined_table(name: &ObjectName) -> Error {
    Error::new(UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

/// A table as series.
struct Series {
    name: ObjectName,
    time: String,
    keys: Vec<String>,
    values: Vec<String>,
    columns: Vec<(String, PgType)>,
}

impl Series {
    fn of(name: ObjectName, relation: &Relation, time: TimeColumn) -> Series {
        let columns: Vec<&Column> = relation.columns().iter().filter(|column| !column.dropped).collect();
        let keys: Vec<String> = match relation {
            Relation::Table(table) => {
                let key = table.primary_key.iter().flat_map(|key| &key.columns);
                key.map(|index| table.columns[*index].name.clone()).filter(|name| *name != time.name).collect()
            }
            Relation::View(_) | Relation::Graph(_) => Vec::new(),
        };
        let of_column = |column: &Column| PgType::by_oid(column.type_oid.0).unwrap_or(types::UNKNOWN);
        let values = columns.iter().filter(|column| is_number(of_column(column)) && !keys.contains(&column.name));
        let values = values.map(|column| column.name.clone()).collect();
        let columns = columns.iter().map(|column| (column.name.clone(), of_column(column))).collect();
        Series { name, time: time.name, keys, values, columns }
    }
}

fn is_number(pg: PgType) -> bool {
    [types::INT2, types::INT4, types::INT8, types::FLOAT4, types::FLOAT8, types::NUMERIC]
        .iter()
        .any(|t| t.oid == pg.oid)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn string(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    }
}

/// Averages of buckets, with gaps.
fn gapfill(arguments: &Arguments, scope: &Scope<'_>) -> Result<String> {
    let Series { name, time, keys, values, .. } = arguments.series(scope)?;
    let (width, from, to) = (arguments.need("width")?, arguments.need("from")?, arguments.need("to")?);
    let fill = arguments.get("fill").map(|fill| string(fill).unwrap_or_default().to_lowercase());
    let filled = |value: &String| {
        let average = format!("avg({})", quoted(value));
        Ok(match fill.as_deref() {
            None | Some("null") => average,
            Some("prev" | "locf") => format!("locf({average})"),
            Some("linear") => format!("interpolate({average})"),
            Some(other) => {
                let message = format!("unknown fill \"{other}\"");
                let e = Error::new(INVALID_PARAMETER_VALUE, message);
                return Err(e.with_hint("The fill is 'null', 'prev' or 'linear'."));
            }
        })
    };
    let time = quoted(&time);
    let mut items = vec![format!("time_bucket_gapfill({width}, {time}, start => {from}, finish => {to}) AS {time}")];
    let mut groups = vec!["1".to_owned()];
    items.extend(keys.iter().map(|key| quoted(key)));
    groups.extend(keys.iter().map(|key| quoted(key)));
    for value in &values {
        items.push(format!("{} AS {}", filled(value)?, quoted(value)));
    }
    let (items, groups) = (items.join(", "), groups.join(", "));
    Ok(format!("SELECT {items} FROM {name} WHERE {time} >= {from} AND {time} < {to} GROUP BY {groups}"))
}

/// How many points are asked for. 22023 unless it is a constant, and enough.
fn points(given: &Expr) -> Result<i64> {
    let is_not = |what: String| Err(Error::new(INVALID_PARAMETER_VALUE, format!("the points of downsample {what}")));
    let (negative, constant) = match given {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, expr.as_ref()),
        other => (false, other),
    };
    let Expr::Value(value) = constant else { return is_not(format!("must be a constant, not {given}")) };
    let points = match &value.value {
        Value::Null => return is_not("cannot be NULL".to_owned()),
        Value::Number(digits, _) => match digits.parse::<i64>() {
            Ok(points) => points,
            Err(_) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                return Err(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"));
            }
            Err(_) => return is_not(format!("must be a whole number, not {given}")),
        },
        Value::SingleQuotedString(text) if !negative => text.trim().parse().map_err(|_| {
            Error::new(INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type bigint: \"{text}\""))
        })?,
        _ => return is_not(format!("must be a number, not {given}")),
    };
    if negative || points < lttb::POINTS_MIN {
        let message = format!("downsample needs at least {} points", lttb::POINTS_MIN);
        return Err(Error::new(INVALID_PARAMETER_VALUE, message));
    }
    Ok(points)
}

/// The points that show a curve best.
fn downsample(arguments: &Arguments, scope: &Scope<'_>) -> Result<String> {
    let Series { name, time, keys, values, columns } = arguments.series(scope)?;
    let points = arguments.get("points").map_or(Ok(POINTS), points)?;
    let value = match arguments.get("value") {
        Some(value) => string(value).ok_or_else(|| {
            let message = format!("the value of downsample must be the name of a column, as text, not {value}");
            Error::new(DATATYPE_MISMATCH, message)
        })?,
        None => values.first().cloned().ok_or_else(|| {
            Error::new(UNDEFINED_COLUMN, format!("table \"{name}\" has no column of numbers to show"))
        })?,
    };
    let Some((_, pg)) = columns.iter().find(|(column, _)| *column == value) else {
        let message = format!("column \"{value}\" of relation \"{name}\" does not exist");
        return Err(Error::new(UNDEFINED_COLUMN, message));
    };
    if !is_number(*pg) {
        let message = format!("column \"{value}\" is of type {} but downsample shows numbers", pg.base_name());
        return Err(Error::new(DATATYPE_MISMATCH, message));
    }
    let columns: Vec<String> = columns.into_iter().map(|(column, _)| column).collect();
    let partition = if keys.is_empty() { String::new() } else { format!("PARTITION BY {} ", list(&keys)) };
    let (columns, time, value) = (list(&columns), quoted(&time), quoted(&value));
    let chosen = format!("{}({time}, {value}, {points}) OVER ({partition}ORDER BY {time})", lttb::NAME);
    Ok(format!(
        "SELECT {columns} FROM (SELECT {columns}, {chosen} AS lightning_chosen FROM {name}) WHERE lightning_chosen"
    ))
}
