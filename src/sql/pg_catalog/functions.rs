//! Functions that answer from the catalog and the session: `format_type`, `pg_get_indexdef`, `current_user`, casts to and
//! from `regclass` and its relatives.
//!
//! Each is one row of a table: name, argument types of each overload, result type, and a plain Rust function from values
//! to a value. They are called with a handful of rows by people and drivers looking around, so clarity goes before
//! speed. Unless marked otherwise a function is strict: NULL in, NULL out.

use super::function;
use super::index::ShownIndex;
use super::relation::{self, Value, array};
use super::trigger;
use super::view::{CatalogView, TRIGGER_TYPE, quote_identifier};
use crate::context::SessionInfo;
use crate::types::{self, PgType, TYPES, arrow_field};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lightning_catalog::{Function, Oid, Relation};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// `pg_proc.oid` of `array_in`: drivers recognise array types by it.
pub const ARRAY_IN: u32 = 750;
/// What PostgreSQL says about the schema `public`.
pub const PUBLIC_SCHEMA_DESCRIPTION: &str = "standard public schema";
/// What `version()` says after the PostgreSQL version that clients parse.
const VERSION: &str = concat!("PostgreSQL 15.8 (Lightning DB ", env!("CARGO_PKG_VERSION"), ")");

/// Type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// Any integer, OIDs included.
    Int,
    Text,
    Bool,
    /// An integer when the caller gives one, else text: `regclass` arguments.
    Object,
}

use Argument::{Bool, Int, Object, Text};

type Body = fn(&CatalogView, &[Value]) -> Result<Value>;

/// One function.
#[derive(Debug)]
struct Definition {
    name: &'static str,
    overloads: &'static [&'static [Argument]],
    returns: PgType,
    strict: bool,
    body: Body,
}

const fn strict(
    name: &'static str,
    overloads: &'static [&'static [Argument]],
    returns: PgType,
    body: Body,
) -> Definition {
    Definition { name, overloads, returns, strict: true, body }
}

const fn lenient(
    name: &'static str,
    overloads: &'static [&'static [Argument]],
    returns: PgType,
    body: Body,
) -> Definition {
    Definition { name, overloads, returns, strict: false, body }
}

const NONE: &[&[Argument]] = &[&[]];
const INT: &[&[Argument]] = &[&[Int]];
const TEXT: &[&[Argument]] = &[&[Text]];
const INT_PRETTY: &[&[Argument]] = &[&[Int], &[Int, Bool]];
const OBJECT: &[&[Argument]] = &[&[Object]];
const OBJECT_FORK: &[&[Argument]] = &[&[Object], &[Object, Text]];
const PRIVILEGE: &[&[Argument]] = &[&[Object, Text], &[Object, Object, Text]];
const COLUMN_PRIVILEGE: &[&[Argument]] = &[&[Object, Object, Text], &[Object, Object, Object, Text]];
const TEXT_ARRAY: PgType = PgType { oid: 1009, modifier: -1, len: -1 };

const FUNCTIONS: &[Definition] = &[
    strict("version", NONE, types::TEXT, |_, _| Ok(VERSION.into())),
    strict("current_database", NONE, types::NAME, |view, _| Ok((&view.session.database).into())),
    strict("current_catalog", NONE, types::NAME, |view, _| Ok((&view.session.database).into())),
    strict("current_schema", NONE, types::NAME, |view, _| Ok(current_schema(view))),
    strict("current_schemas", &[&[Bool]], TEXT_ARRAY, current_schemas),
    strict("current_user", NONE, types::NAME, |view, _| Ok((&view.session.user).into())),
    strict("session_user", NONE, types::NAME, |view, _| Ok((&view.session.user).into())),
    strict("current_role", NONE, types::NAME, |view, _| Ok((&view.session.user).into())),
    strict("user", NONE, types::NAME, |view, _| Ok((&view.session.user).into())),
    strict("pg_backend_pid", NONE, types::INT4, |view, _| Ok(view.session.process_id.into())),
    strict("pg_is_in_recovery", NONE, types::BOOL, |_, _| Ok(false.into())),
    strict("pg_is_in_backup", NONE, types::BOOL, |_, _| Ok(false.into())),
    strict("pg_my_temp_schema", NONE, types::OID, |_, _| Ok(0.into())),
    strict("pg_is_other_temp_schema", INT, types::BOOL, |_, _| Ok(false.into())),
    strict("inet_server_addr", NONE, types::TEXT, |_, _| Ok(Value::Null)),
    strict("inet_server_port", NONE, types::INT4, |_, _| Ok(Value::Null)),
    strict("inet_client_addr", NONE, types::TEXT, |_, _| Ok(Value::Null)),
    strict("inet_client_port", NONE, types::INT4, |_, _| Ok(Value::Null)),
    strict("txid_current", NONE, types::INT8, |view, _| Ok((view.statement.storage.timestamp().0 as i64).into())),
    strict("current_setting", &[&[Text], &[Text, Bool]], types::TEXT, current_setting),
    strict("set_config", &[&[Text, Text, Bool]], types::TEXT, set_config),
    strict("pg_get_userbyid", INT, types::NAME, |view, args| Ok(view.role_name(oid(&args[0])).into())),
    strict("pg_encoding_to_char", INT, types::NAME, |_, args| Ok(if int(&args[0]) == 6 { "UTF8" } else { "" }.into())),
    strict("pg_char_to_encoding", TEXT, types::INT4, |_, args| {
        Ok(if matches!(text(&args[0]).to_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE") { 6 } else { -1 }.into())
    }),
    strict("getdatabaseencoding", NONE, types::NAME, |_, _| Ok("UTF8".into())),
    strict("pg_client_encoding", NONE, types::NAME, |_, _| Ok("UTF8".into())),
    strict("pg_tablespace_location", INT, types::TEXT, |_, _| Ok("".into())),
    lenient("format_type", &[&[Int, Int]], types::TEXT, |view, args| {
        Ok(match (&args[0], &args[1]) {
            (Value::Int(oid), Value::Int(modifier)) => view.format_type(*oid as u32, *modifier as i32).into(),
            (Value::Int(oid), _) => view.format_type(*oid as u32, -1).into(),
            _ => Value::Null,
        })
    }),
    strict("pg_get_expr", &[&[Text, Int], &[Text, Int, Bool]], types::TEXT, |_, args| Ok(args[0].clone())),
    strict("pg_get_constraintdef", INT_PRETTY, types::TEXT, |view, args| {
        let wanted = oid(&args[0]);
        let found = view.constraints().find(|(_, oid)| oid.0 == wanted);
        Ok(found.map(|(index, _)| index.constraint_definition()).into())
    }),
    strict("pg_get_indexdef", &[&[Int], &[Int, Int, Bool]], types::TEXT, index_definition),
    strict("pg_get_viewdef", &[&[Object], &[Object, Bool], &[Object, Int]], types::TEXT, view_definition),
    strict("pg_get_ruledef", INT_PRETTY, types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_get_triggerdef", INT_PRETTY, types::TEXT, |view, args| {
        Ok(trigger::definition(view, oid(&args[0]), matches!(args.get(1), Some(Value::Bool(true)))).into())
    }),
    strict("pg_trigger_depth", NONE, types::INT4, |view, _| Ok((view.session.firing.depth() as i32).into())),
    strict("pg_get_functiondef", INT, types::TEXT, |view, args| Ok(of_function(view, args, function::definition))),
    strict("pg_get_function_result", INT, types::TEXT, |view, args| Ok(of_function(view, args, function::result))),
    strict("pg_get_function_arguments", INT, types::TEXT, |view, args| {
        Ok(of_function(view, args, function::arguments))
    }),
    strict("pg_get_function_identity_arguments", INT, types::TEXT, |view, args| {
        Ok(of_function(view, args, function::arguments))
    }),
    strict("pg_get_function_sqlbody", INT, types::TEXT, |_, _| Ok(Value::Null)),
    // Of a table that is no partition; one row of NULL is as good as none where it is asked.
    strict("pg_partition_ancestors", OBJECT, types::REGCLASS, |_, _| Ok(Value::Null)),
    strict("pg_get_partkeydef", INT, types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_get_partition_constraintdef", INT, types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_get_statisticsobjdef", INT, types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_get_statisticsobjdef_columns", INT, types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_get_serial_sequence", &[&[Text, Text]], types::TEXT, |_, _| Ok(Value::Null)),
    strict("obj_description", &[&[Int], &[Int, Text]], types::TEXT, |_, args| {
        let is_public = oid(&args[0]) == lightning_catalog::PUBLIC_SCHEMA.0;
        Ok(is_public.then_some(PUBLIC_SCHEMA_DESCRIPTION).into())
    }),
    strict("col_description", &[&[Int, Int]], types::TEXT, |_, _| Ok(Value::Null)),
    strict("shobj_description", &[&[Int, Text]], types::TEXT, |_, _| Ok(Value::Null)),
    strict("pg_relation_is_publishable", OBJECT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_table_is_visible", INT, types::BOOL, table_is_visible),
    strict("pg_type_is_visible", INT, types::BOOL, type_is_visible),
    strict("pg_function_is_visible", INT, types::BOOL, |view, args| {
        let known = view.statement.catalog.function_by_oid(Oid(oid(&args[0])));
        Ok(known.is_none_or(|known| is_found(view, known)).into())
    }),
    strict("pg_operator_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_opclass_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_opfamily_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_collation_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_conversion_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_statistics_obj_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_ts_parser_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_ts_dict_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_ts_template_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_ts_config_is_visible", INT, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_relation_size", OBJECT_FORK, types::INT8, relation_size),
    strict("pg_table_size", OBJECT, types::INT8, relation_size),
    strict("pg_total_relation_size", OBJECT, types::INT8, |view, args| {
        Ok(match (relation_size(view, args)?, indexes_size(view, args)) {
            (Value::Int(table), indexes) => (table + indexes).into(),
            (other, _) => other,
        })
    }),
    strict("pg_indexes_size", OBJECT, types::INT8, |view, args| Ok(indexes_size(view, args).into())),
    strict("pg_database_size", OBJECT, types::INT8, database_size),
    strict("pg_tablespace_size", OBJECT, types::INT8, database_size),
    strict("pg_size_pretty", INT, types::TEXT, |_, args| Ok(size_pretty(int(&args[0])).into())),
    strict("has_table_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_schema_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_database_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_sequence_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_function_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_type_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_language_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_tablespace_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_any_column_privilege", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("has_column_privilege", COLUMN_PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("pg_has_role", PRIVILEGE, types::BOOL, |_, _| Ok(true.into())),
    strict("to_regclass", TEXT, types::REGCLASS, |view, args| Ok(find_class(view, text(&args[0])).into())),
    strict("to_regtype", TEXT, types::REGTYPE, |view, args| Ok(find_type(view, text(&args[0])).into())),
    strict("to_regnamespace", TEXT, types::REGNAMESPACE, |view, args| Ok(find_schema(view, text(&args[0])).into())),
    strict("to_regrole", TEXT, types::OID, |view, args| Ok(find_role(view, text(&args[0])).into())),
    strict("to_regproc", TEXT, types::REGPROC, |view, args| Ok(find_function(view, text(&args[0])).into())),
    strict("currval", OBJECT, types::INT8, no_sequence),
    strict("nextval", OBJECT, types::INT8, no_sequence),
    strict("setval", &[&[Object, Int], &[Object, Int, Bool]], types::INT8, no_sequence),
    strict("lastval", NONE, types::INT8, |_, _| {
        Err(error("55000", "lastval is not yet defined in this session".to_owned()))
    }),
    strict("lightning_regclass_in", OBJECT, types::REGCLASS, |view, args| {
        object(&args[0], |name| find_class(view, name), "42P01", |name| format!("relation \"{name}\" does not exist"))
    }),
    strict("lightning_regtype_in", OBJECT, types::REGTYPE, |view, args| {
        object(&args[0], |name| find_type(view, name), "42704", |name| format!("type \"{name}\" does not exist"))
    }),
    strict("lightning_regnamespace_in", OBJECT, types::REGNAMESPACE, |view, args| {
        object(&args[0], |name| find_schema(view, name), "3F000", |name| format!("schema \"{name}\" does not exist"))
    }),
    strict("lightning_regrole_in", OBJECT, types::OID, |view, args| {
        object(&args[0], |name| find_role(view, name), "42704", |name| format!("role \"{name}\" does not exist"))
    }),
    strict("lightning_regproc_in", OBJECT, types::REGPROC, |view, args| {
        object(
            &args[0],
            |name| find_function(view, name),
            "42883",
            |name| format!("function \"{name}\" does not exist"),
        )
    }),
    strict("lightning_regclass_out", INT, types::TEXT, |view, args| Ok(class_name(view, oid(&args[0])).into())),
    strict("lightning_regtype_out", INT, types::TEXT, |view, args| {
        let name = view.format_type(oid(&args[0]), -1);
        Ok(if name == "???" { oid(&args[0]).to_string() } else { name }.into())
    }),
    strict("lightning_regnamespace_out", INT, types::TEXT, |view, args| {
        let name = view.schema_name(Oid(oid(&args[0])));
        Ok(if name.is_empty() { oid(&args[0]).to_string() } else { quote_identifier(name) }.into())
    }),
    strict("lightning_regrole_out", INT, types::TEXT, |view, args| {
        let wanted = oid(&args[0]);
        let role = view.roles().into_iter().find(|(role, _)| role.0 == wanted);
        Ok(role.map_or_else(|| wanted.to_string(), |(_, name)| quote_identifier(&name)).into())
    }),
    strict("lightning_regproc_out", INT, types::TEXT, |view, args| {
        let wanted = oid(&args[0]);
        Ok(match (wanted, view.statement.catalog.function_by_oid(Oid(wanted))) {
            (0, _) => "-".to_owned(),
            (ARRAY_IN, _) => "array_in".to_owned(),
            (_, Some(known)) if is_found(view, known) => quote_identifier(&known.name),
            (_, Some(known)) => {
                format!("{}.{}", quote_identifier(view.schema_name(known.schema)), quote_identifier(&known.name))
            }
            (other, None) => other.to_string(),
        }
        .into())
    }),
];

/// Every function that answers from the catalog or the session, bound to `session`.
pub fn functions(session: &Arc<SessionInfo>) -> Vec<Arc<ScalarUDF>> {
    let bind = |definition| {
        let signature = Signature::user_defined(Volatility::Stable);
        ScalarUDF::new_from_impl(CatalogFunction { definition, session: Arc::clone(session), signature })
    };
    FUNCTIONS.iter().map(|definition| Arc::new(bind(definition))).collect()
}

#[derive(Debug)]
struct CatalogFunction {
    definition: &'static Definition,
    session: Arc<SessionInfo>,
    signature: Signature,
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && Arc::ptr_eq(&self.session, &other.session)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.return_field().data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.return_field()))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let overloads = self.definition.overloads;
        let Some(overload) = overloads.iter().find(|overload| overload.len() == given.len()) else {
            return exec_err!("function {} does not take {} arguments", self.definition.name, given.len());
        };
        let coerced = overload.iter().zip(given).map(|(argument, given)| match argument {
            Int => DataType::Int64,
            Object if given.is_integer() => DataType::Int64,
            Text | Object => DataType::Utf8View,
            Bool => DataType::Boolean,
        });
        Ok(coerced.collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(view) = CatalogView::new(&self.session) else {
            return exec_err!("function {} was called outside a statement", self.definition.name);
        };
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| values(argument, rows)).collect::<Result<Vec<_>>>()?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let arguments: Vec<Value> = columns.iter().map(|column| column[row].clone()).collect();
            let null = self.definition.strict && arguments.iter().any(|value| matches!(value, Value::Null));
            results.push(if null { Value::Null } else { (self.definition.body)(&view, &arguments)? });
        }
        let results = array(self.return_field().data_type(), results.iter())?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?)
        } else {
            ColumnarValue::Array(results)
        })
    }
}

impl CatalogFunction {
    fn return_field(&self) -> Field {
        let name = self.definition.name;
        arrow_field(name, self.definition.returns, true).unwrap_or_else(|| Field::new(name, DataType::Utf8View, true))
    }
}

/// The rows of an argument.
fn values(argument: &ColumnarValue, rows: usize) -> Result<Vec<Value>> {
    let array = argument.to_array(rows)?;
    let of_rows = |value: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..rows).map(|row| if array.is_null(row) { Value::Null } else { value(row) }).collect()
    };
    Ok(match array.data_type() {
        DataType::Int64 => {
            let ints = array.as_primitive::<Int64Type>();
            of_rows(&|row| Value::Int(ints.value(row)))
        }
        DataType::Boolean => of_rows(&|row| Value::Bool(array.as_boolean().value(row))),
        DataType::Null => vec![Value::Null; rows],
        _ => {
            let texts = cast(&array, &DataType::Utf8View)?;
            let texts = texts.as_string_view();
            of_rows(&|row| Value::Text(texts.value(row).to_owned()))
        }
    })
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        _ => 0,
    }
}

fn oid(value: &Value) -> u32 {
    u32::try_from(int(value)).unwrap_or(0)
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

/// The functions of sequences: whatever is named, it is none.
fn no_sequence(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let unknown = |name: &str| format!("relation \"{name}\" does not exist");
    object(&args[0], |name| find_class(view, name), "42P01", unknown)?;
    let name = match &args[0] {
        Value::Text(name) => name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned(),
        other => int(other).to_string(),
    };
    Err(error("42809", format!("\"{name}\" is not a sequence")))
}

fn error(state: &'static str, message: String) -> DataFusionError {
    DataFusionError::External(Box::new(crate::Error::new(crate::SqlState(state), message)))
}

fn current_schema(view: &CatalogView) -> Value {
    // The system's schemas can be searched, but nothing is created in them.
    let is_users = |name: &&String| {
        let schema = view.statement.catalog.schema(view.statement.database, name);
        schema.is_some_and(|schema| !schema.is_system())
    };
    view.statement.search_path.iter().find(is_users).into()
}

fn current_schemas(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let implicit = matches!(args[0], Value::Bool(true));
    let path = view.statement.search_path.iter();
    Ok(path.filter(|schema| implicit || *schema != "pg_catalog").cloned().collect::<Vec<_>>().into())
}

fn current_setting(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let name = text(&args[0]);
    let missing_ok = matches!(args.get(1), Some(Value::Bool(true)));
    match view.session.settings.get(name) {
        Some(value) => Ok(value.into()),
        None if missing_ok => Ok(Value::Null),
        None => Err(error("42704", format!("unrecognized configuration parameter \"{name}\""))),
    }
}

fn set_config(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let local = matches!(args[2], Value::Bool(true));
    let set = view.session.settings.set(text(&args[0]), text(&args[1]), local);
    set.map_err(|e| DataFusionError::External(Box::new(e)))?;
    Ok(view.session.settings.get(text(&args[0])).into())
}

fn index_definition(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let Some(index) = view.index(oid(&args[0])) else { return Ok(Value::Null) };
    Ok(match args.get(1).map_or(0, int) {
        0 => index.definition(view).into(),
        number => usize::try_from(number).ok().and_then(|n| index.column_definition(n)).unwrap_or_default().into(),
    })
}

fn view_definition(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let Some(oid) = class_argument(view, &args[0]) else {
        return Err(error("42P01", format!("relation \"{}\" does not exist", text(&args[0]))));
    };
    Ok(match view.relation(oid) {
        Some(Relation::View(definition)) => format!(" {};", definition.shown()).into(),
        _ => Value::Null,
    })
}

fn table_is_visible(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let wanted = oid(&args[0]);
    if let Some(relation) = view.relation(wanted) {
        return Ok(view.is_visible(view.schema_name(relation.schema()), relation.name()).into());
    }
    if let Some(ShownIndex { table, .. }) = view.index(wanted) {
        let schema = view.schema_name(table.schema);
        return Ok(view.statement.search_path.iter().any(|s| s == schema).into());
    }
    let system = relation::all().iter().find(|relation| relation.oid == wanted);
    Ok(system.map(|relation| view.is_visible(relation.schema, relation.name)).into())
}

fn type_is_visible(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let wanted = oid(&args[0]);
    let composite = view.relations().find(|relation| relation.type_oid().0 == wanted);
    Ok(match composite {
        Some(relation) => view.is_visible(view.schema_name(relation.schema()), relation.name()).into(),
        None => PgType::by_oid(wanted).map(|_| true).into(),
    })
}

fn class_argument(view: &CatalogView, value: &Value) -> Option<u32> {
    match value {
        Value::Int(oid) => u32::try_from(*oid).ok(),
        value => find_class(view, text(value)),
    }
}

fn relation_size(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let Some(oid) = class_argument(view, &args[0]) else {
        return Err(error("42P01", format!("relation \"{}\" does not exist", text(&args[0]))));
    };
    Ok(match view.relation(oid) {
        Some(Relation::Table(table)) => view.size(table).map_or(0, |info| info.bytes as i64).into(),
        Some(Relation::View(_) | Relation::Graph(_)) => 0.into(),
        None => match view.index(oid) {
            Some(index) => index.storage.map_or(0, |storage| view.bytes(storage)).into(),
            None if relation::all().iter().any(|r| r.oid == oid) => 0.into(),
            None => Value::Null,
        },
    })
}

/// Bytes of the indexes of a table.
fn indexes_size(view: &CatalogView, args: &[Value]) -> i64 {
    match class_argument(view, &args[0]).and_then(|oid| view.relation(oid)) {
        Some(Relation::Table(table)) => table.indexes.iter().map(|index| view.bytes(index.storage_table())).sum(),
        _ => 0,
    }
}

fn database_size(view: &CatalogView, args: &[Value]) -> Result<Value> {
    let databases = view.statement.catalog.databases();
    let found = databases.into_iter().find(|database| match &args[0] {
        Value::Int(oid) => i64::from(database.oid.0) == *oid,
        name => database.name == text(name),
    });
    let Some(database) = found else {
        let unknown = || error("3D000", format!("database \"{}\" does not exist", text(&args[0])));
        return if matches!(args[0], Value::Int(_)) { Ok(Value::Null) } else { Err(unknown()) };
    };
    let relations = view.statement.catalog.all_relations(database.oid);
    let bytes = relations.filter_map(|relation| match relation {
        Relation::Table(table) => {
            let indexes = table.indexes.iter().map(|index| view.bytes(index.storage_table()));
            Some(view.bytes(table.storage_table()) + indexes.sum::<i64>())
        }
        Relation::View(_) | Relation::Graph(_) => None,
    });
    Ok(bytes.sum::<i64>().into())
}

/// Bytes with a unit that keeps the number below 10,240, as PostgreSQL rounds.
pub fn size_pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    const LIMIT: u64 = 10 * 1024;
    let sign = if bytes < 0 { "-" } else { "" };
    let mut size = bytes.unsigned_abs();
    if size < LIMIT {
        return format!("{sign}{size} bytes");
    }
    // Halves are kept until the end, so that rounding happens once.
    size >>= 9;
    let mut unit = 1;
    while size >= 2 * LIMIT - 1 && unit + 1 < UNITS.len() {
        size >>= 10;
        unit += 1;
    }
    format!("{sign}{} {}", size.div_ceil(2), UNITS[unit])
}

/// An object given by OID or by name; an error when there is none of that name.
fn object(
    value: &Value,
    find: impl Fn(&str) -> Option<u32>,
    state: &'static str,
    message: impl Fn(&str) -> String,
) -> Result<Value> {
    match value {
        Value::Int(oid) => Ok(Value::Int(*oid)),
        value => {
            let name = text(value);
            find(name).map(Into::into).ok_or_else(|| error(state, message(name)))
        }
    }
}

/// Splits `schema.name`, folding unquoted parts to lower case.
fn qualified(name: &str) -> Option<(Option<String>, String)> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = name.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => part.push('"'),
                    '"' => break,
                    other => part.push(other),
                }
            },
            '.' => parts.push(std::mem::take(&mut part)),
            other => part.extend(other.to_lowercase()),
        }
    }
    match parts.pop() {
        None => Some((None, part)),
        Some(schema) if parts.is_empty() => Some((Some(schema), part)),
        // A leading database name is accepted and must be this one; it selects nothing.
        Some(schema) => Some((Some(schema), part)),
    }
}

fn find_class(view: &CatalogView, name: &str) -> Option<u32> {
    if let Ok(oid) = name.parse() {
        return Some(oid);
    }
    let (schema, name) = qualified(name)?;
    let path = match &schema {
        Some(schema) => std::slice::from_ref(schema),
        None => &view.statement.search_path,
    };
    path.iter().find_map(|schema| {
        if let Some(system) = relation::find(schema, &name) {
            return Some(system.oid);
        }
        if let Some(relation) = view.statement.relation(Some(schema), &name) {
            return Some(relation.oid().0);
        }
        let mut indexes = view.indexes();
        let index = indexes.find(|index| index.name == name && view.schema_name(index.table.schema) == schema);
        index.map(|index| index.oid.0)
    })
}

fn class_name(view: &CatalogView, oid: u32) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    if let Some(relation) = view.relation(oid) {
        return view.display_name(view.schema_name(relation.schema()), relation.name());
    }
    if let Some(index) = view.index(oid) {
        return view.display_name(view.schema_name(index.table.schema), index.name);
    }
    match relation::all().iter().find(|relation| relation.oid == oid) {
        Some(relation) => view.display_name(relation.schema, relation.name),
        None => oid.to_string(),
    }
}

fn find_type(view: &CatalogView, name: &str) -> Option<u32> {
    if let Ok(oid) = name.parse() {
        return Some(oid);
    }
    let spelled = name.trim().to_lowercase();
    let spelled = spelled.strip_prefix("pg_catalog.").unwrap_or(&spelled);
    if let Some(element) = spelled.strip_suffix("[]") {
        return PgType::by_oid(find_type(view, element)?)?.array_of().map(|array| array.oid);
    }
    if spelled == "trigger" {
        return Some(TRIGGER_TYPE);
    }
    let base = spelled.split('(').next().unwrap_or(spelled).trim();
    let alias = match base {
        "int" => "int4",
        "float" => "float8",
        "decimal" => "numeric",
        "char" => "bpchar",
        other => other,
    };
    let found = TYPES.iter().find(|info| info.name == alias || info.sql_name == alias).map(|info| info.oid);
    let array =
        || TYPES.iter().find(|i| i.array_oid != 0 && alias.strip_prefix('_') == Some(i.name)).map(|i| i.array_oid);
    let composite = || {
        let (schema, name) = qualified(name)?;
        view.statement.relation(schema.as_deref(), &name).map(|relation| relation.type_oid().0)
    };
    found.or_else(array).or_else(composite)
}

fn find_schema(view: &CatalogView, name: &str) -> Option<u32> {
    if let Ok(oid) = name.parse() {
        return Some(oid);
    }
    let (_, name) = qualified(name)?;
    view.statement.catalog.schema(view.statement.database, &name).map(|schema| schema.oid.0)
}

fn find_role(view: &CatalogView, name: &str) -> Option<u32> {
    let (_, name) = qualified(name)?;
    view.roles().into_iter().find(|(_, role)| *role == name).map(|(oid, _)| oid.0)
}

fn find_function(view: &CatalogView, name: &str) -> Option<u32> {
    let name = name.trim();
    match name.strip_prefix("pg_catalog.").unwrap_or(name) {
        "array_in" => return Some(ARRAY_IN),
        "-" => return Some(0),
        other => {
            if let Ok(oid) = other.parse() {
                return Some(oid);
            }
        }
    }
    // `f(integer)` and `f` mean the same where there is one.
    let bare = name.split('(').next().unwrap_or(name);
    let (schema, bare) = qualified(bare)?;
    let named = view.statement.functions(schema.as_deref(), &bare);
    let given = name.split_once('(').map(|(_, rest)| rest.trim_end_matches(')').replace(' ', ""));
    let fits = |function: &&Arc<Function>| match &given {
        None => named.len() == 1,
        Some(given) => {
            let names = function.argument_types().map(|oid| view.format_type(oid.0, -1).replace(' ', ""));
            names.collect::<Vec<_>>().join(",") == *given
        }
    };
    named.iter().find(fits).map(|function| function.oid.0)
}

/// Whether the name alone, with the types of its arguments, finds a function.
fn is_found(view: &CatalogView, function: &Function) -> bool {
    let named = view.statement.functions(None, &function.name);
    named.iter().any(|found| found.oid == function.oid)
}

/// A text about a function; NULL when it is not a user's.
fn of_function(view: &CatalogView, args: &[Value], text: impl Fn(&CatalogView, &Function) -> String) -> Value {
    let function = view.statement.catalog.function_by_oid(Oid(oid(&args[0])));
    function.map(|function| text(view, function)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_as_postgresql_rounds() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (7_683_000, "7503 kB"),
            (10_485_248, "10 MB"),
            (1 << 40, "1024 GB"),
            (-10240, "-10 kB"),
        ] {
            assert_eq!(size_pretty(bytes), expected);
        }
    }

    #[test]
    fn qualified_names_fold_what_is_not_quoted() {
        assert_eq!(qualified("Public.\"My T\""), Some((Some("public".into()), "My T".into())));
        assert_eq!(qualified("T"), Some((None, "t".into())));
        assert_eq!(qualified("\"open"), None);
    }
}
