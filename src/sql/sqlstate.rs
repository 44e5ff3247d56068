//! SQLSTATEs, and the one place where failures below SQL are given theirs.
//!
//! Storage, the catalog, DataFusion and Arrow each report facts in their own errors. The `From` implementations here turn
//! those facts into PostgreSQL's states and words. DataFusion tells many of its errors apart by their text only; those
//! texts are recognised here and nowhere else.

use crate::arrow_names::{in_sql, sql_name};
use crate::error::{Error, SqlState};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use lightning_storage::ErrorKind;

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: SqlState = SqlState($code);)*
    };
}

states! {
    /// successful_completion
    SUCCESSFUL_COMPLETION = "00000";
    /// warning
    WARNING = "01000";
    /// feature_not_supported
    FEATURE_NOT_SUPPORTED = "0A000";
    /// connection_failure
    CONNECTION_FAILURE = "08006";
    /// transaction_resolution_unknown
    TRANSACTION_RESOLUTION_UNKNOWN = "08007";
    /// protocol_violation
    PROTOCOL_VIOLATION = "08P01";
    /// cardinality_violation
    CARDINALITY_VIOLATION = "21000";
    /// data_exception
    DATA_EXCEPTION = "22000";
    /// string_data_right_truncation
    STRING_DATA_RIGHT_TRUNCATION = "22001";
    /// numeric_value_out_of_range
    NUMERIC_VALUE_OUT_OF_RANGE = "22003";
    /// invalid_datetime_format
    INVALID_DATETIME_FORMAT = "22007";
    /// datetime_field_overflow
    DATETIME_FIELD_OVERFLOW = "22008";
    /// division_by_zero
    DIVISION_BY_ZERO = "22012";
    /// invalid_parameter_value
    INVALID_PARAMETER_VALUE = "22023";
    /// character_not_in_repertoire
    CHARACTER_NOT_IN_REPERTOIRE = "22021";
    /// invalid_escape_sequence
    INVALID_ESCAPE_SEQUENCE = "22025";
    /// invalid_text_representation
    INVALID_TEXT_REPRESENTATION = "22P02";
    /// invalid_binary_representation
    INVALID_BINARY_REPRESENTATION = "22P03";
    /// bad_copy_file_format
    BAD_COPY_FILE_FORMAT = "22P04";
    /// invalid_regular_expression
    INVALID_REGULAR_EXPRESSION = "2201B";
    /// invalid_row_count_in_limit_clause
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE = "2201W";
    /// invalid_row_count_in_result_offset_clause
    INVALID_ROW_COUNT_IN_OFFSET_CLAUSE = "2201X";
    /// not_null_violation
    NOT_NULL_VIOLATION = "23502";
    /// triggered_data_change_violation
    TRIGGERED_DATA_CHANGE_VIOLATION = "27000";
    /// unique_violation
    UNIQUE_VIOLATION = "23505";
    /// active_sql_transaction
    ACTIVE_SQL_TRANSACTION = "25001";
    /// no_active_sql_transaction
    NO_ACTIVE_SQL_TRANSACTION = "25P01";
    /// in_failed_sql_transaction
    IN_FAILED_SQL_TRANSACTION = "25P02";
    /// read_only_sql_transaction
    READ_ONLY_SQL_TRANSACTION = "25006";
    /// invalid_sql_statement_name
    INVALID_SQL_STATEMENT_NAME = "26000";
    /// dependent_objects_still_exist
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01";
    /// savepoint_exception: invalid_savepoint_specification
    INVALID_SAVEPOINT = "3B001";
    /// invalid_catalog_name
    INVALID_CATALOG_NAME = "3D000";
    /// invalid_schema_name
    INVALID_SCHEMA_NAME = "3F000";
    /// serialization_failure
    SERIALIZATION_FAILURE = "40001";
    /// deadlock_detected
    DEADLOCK_DETECTED = "40P01";
    /// syntax_error
    SYNTAX_ERROR = "42601";
    /// insufficient_privilege
    INSUFFICIENT_PRIVILEGE = "42501";
    /// duplicate_column
    DUPLICATE_COLUMN = "42701";
    /// ambiguous_column
    AMBIGUOUS_COLUMN = "42702";
    /// undefined_column
    UNDEFINED_COLUMN = "42703";
    /// undefined_object
    UNDEFINED_OBJECT = "42704";
    /// grouping_error
    GROUPING_ERROR = "42803";
    /// datatype_mismatch
    DATATYPE_MISMATCH = "42804";
    /// wrong_object_type
    WRONG_OBJECT_TYPE = "42809";
    /// cannot_coerce
    CANNOT_COERCE = "42846";
    /// undefined_function
    UNDEFINED_FUNCTION = "42883";
    /// duplicate_alias
    DUPLICATE_ALIAS = "42712";
    /// ambiguous_function
    AMBIGUOUS_FUNCTION = "42725";
    /// windowing_error
    WINDOWING_ERROR = "42P20";
    /// invalid_column_reference
    INVALID_COLUMN_REFERENCE = "42P10";
    /// undefined_table
    UNDEFINED_TABLE = "42P01";
    /// undefined_parameter
    UNDEFINED_PARAMETER = "42P02";
    /// duplicate_prepared_statement
    DUPLICATE_PREPARED_STATEMENT = "42P05";
    /// duplicate_schema
    DUPLICATE_SCHEMA = "42P06";
    /// duplicate_table
    DUPLICATE_TABLE = "42P07";
    /// invalid_object_definition
    INVALID_OBJECT_DEFINITION = "42P17";
    /// duplicate_object
    DUPLICATE_OBJECT = "42710";
    /// invalid_function_definition
    INVALID_FUNCTION_DEFINITION = "42P13";
    /// duplicate_function
    DUPLICATE_FUNCTION = "42723";
    /// invalid_table_definition
    INVALID_TABLE_DEFINITION = "42P16";
    /// indeterminate_datatype
    INDETERMINATE_DATATYPE = "42P18";
    /// out_of_memory
    OUT_OF_MEMORY = "53200";
    /// disk_full
    DISK_FULL = "53100";
    /// program_limit_exceeded
    PROGRAM_LIMIT_EXCEEDED = "54000";
    /// statement_too_complex
    STATEMENT_TOO_COMPLEX = "54001";
    /// too_many_columns
    TOO_MANY_COLUMNS = "54011";
    /// object_in_use
    OBJECT_IN_USE = "55006";
    /// lock_not_available
    LOCK_NOT_AVAILABLE = "55P03";
    /// cant_change_runtime_param
    CANT_CHANGE_RUNTIME_PARAM = "55P02";
    /// query_canceled
    QUERY_CANCELED = "57014";
    /// io_error
    IO_ERROR = "58030";
    /// undefined_file
    UNDEFINED_FILE = "58P01";
    /// internal_error
    INTERNAL_ERROR = "XX000";
    /// data_corrupted
    DATA_CORRUPTED = "XX001";
}

/// `statement_timeout` or a cancel request.
pub(crate) fn cancelled(timed_out: bool) -> Error {
    let why = if timed_out { "statement timeout" } else { "user request" };
    Error::new(QUERY_CANCELED, format!("canceling statement due to {why}"))
}

/// A panic that reached the statement's boundary.
pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown cause".to_owned());
    Error::new(INTERNAL_ERROR, format!("internal error: {text}"))
}

impl From<lightning_storage::Error> for Error {
    fn from(e: lightning_storage::Error) -> Self {
        use lightning_storage::Error as Storage;
        let text = e.to_string();
        match (e.kind(), &e) {
            (_, Storage::OutOfMemory { .. }) => out_of_memory(&e),
            (_, Storage::Conflict { is_deleted, .. }) => {
                let what = if *is_deleted { "delete" } else { "update" };
                Error::new(SERIALIZATION_FAILURE, format!("could not serialize access due to concurrent {what}"))
                    .with_detail(text)
                    .with_hint("Run the transaction again.")
            }
            (_, Storage::Serialization(_)) => Error::new(
                SERIALIZATION_FAILURE,
                "could not serialize access due to read/write dependencies among transactions",
            )
            .with_detail(text)
            .with_hint("The transaction might succeed if retried."),
            (_, Storage::Deadlock(_)) => Error::new(DEADLOCK_DETECTED, text),
            (_, Storage::Locked { .. } | Storage::LockTimeout(_)) => Error::new(LOCK_NOT_AVAILABLE, text),
            (_, Storage::KeyTooLarge { .. }) => {
                Error::new(PROGRAM_LIMIT_EXCEEDED, text).with_hint("Values of a key are kept whole; use a shorter one.")
            }
            (_, Storage::TableChanged(_)) | (ErrorKind::Conflict, _) => Error::new(
                SERIALIZATION_FAILURE,
                "could not complete the statement because a table was changed by a concurrent transaction",
            )
            .with_hint("Run the transaction again."),
            (_, Storage::UnknownTable(_)) => {
                Error::new(UNDEFINED_TABLE, "the relation was dropped by a concurrent transaction")
            }
            (ErrorKind::DiskFull, _) => Error::new(DISK_FULL, text),
            (ErrorKind::InUse, _) => Error::new(OBJECT_IN_USE, text),
            (ErrorKind::Corrupt, _) => Error::new(DATA_CORRUPTED, text),
            (ErrorKind::Io, _) => Error::new(IO_ERROR, text),
            (ErrorKind::OutcomeUnknown, _) => Error::new(TRANSACTION_RESOLUTION_UNKNOWN, text).fatal(),
            (ErrorKind::ReadOnly, _) => Error::new(READ_ONLY_SQL_TRANSACTION, text),
            (ErrorKind::Cancelled, _) => cancelled(false),
            (ErrorKind::OutOfMemory, _) => Error::new(OUT_OF_MEMORY, text),
            (ErrorKind::Invalid, Storage::Unsupported(_)) => Error::new(FEATURE_NOT_SUPPORTED, text),
            (ErrorKind::Invalid, Storage::Arrow(text)) => evaluation(text),
            (ErrorKind::Invalid, _) => Error::new(INTERNAL_ERROR, text),
        }
    }
}

fn out_of_memory(e: &lightning_storage::Error) -> Error {
    let lightning_storage::Error::OutOfMemory { asked_bytes, limit_bytes, consumers } = e else {
        return Error::new(OUT_OF_MEMORY, e.to_string());
    };
    let largest: Vec<String> = consumers.iter().map(|(name, bytes)| format!("{name} {}", megabytes(*bytes))).collect();
    Error::new(OUT_OF_MEMORY, "out of memory")
        .with_detail(format!(
            "Failed on request of {asked_bytes} bytes; the memory limit is {}. Largest consumers: {}.",
            megabytes(*limit_bytes),
            if largest.is_empty() { "none".to_owned() } else { largest.join(", ") }
        ))
        .with_hint("Raise the memory limit, or run fewer or smaller statements at a time.")
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

impl From<lightning_catalog::Error> for Error {
    fn from(e: lightning_catalog::Error) -> Self {
        use lightning_catalog::{Error as Catalog, ObjectKind};
        let text = e.to_string();
        match e {
            Catalog::Storage(e) => e.into(),
            Catalog::Unknown { kind: ObjectKind::Database, .. } => Error::new(INVALID_CATALOG_NAME, text),
            Catalog::Unknown { kind: ObjectKind::Schema, .. } => Error::new(INVALID_SCHEMA_NAME, text),
            Catalog::Exists { kind: ObjectKind::Schema, .. } => Error::new(DUPLICATE_SCHEMA, text),
            Catalog::Unknown { kind: ObjectKind::Function, .. } => Error::new(UNDEFINED_FUNCTION, text),
            Catalog::Unknown { .. } => Error::new(UNDEFINED_TABLE, text),
            Catalog::Exists { kind: ObjectKind::Function, .. } => Error::new(DUPLICATE_FUNCTION, text),
            Catalog::Exists { name, .. } => Error::new(DUPLICATE_TABLE, format!("relation \"{name}\" already exists")),
            Catalog::DuplicateColumn(_) => Error::new(DUPLICATE_COLUMN, text),
            Catalog::WrongKind { .. } => Error::new(WRONG_OBJECT_TYPE, text),
            Catalog::HasDependents { kind, name, dependents } => {
                let lines: Vec<String> = dependents.iter().map(|d| format!("{d} depends on {kind} {name}")).collect();
                Error::new(DEPENDENT_OBJECTS_STILL_EXIST, text)
                    .with_detail(lines.join("\n"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
            }
            Catalog::System { .. } => Error::new(INSUFFICIENT_PRIVILEGE, text),
            Catalog::OidsExhausted => Error::new(PROGRAM_LIMIT_EXCEEDED, text),
            Catalog::Corrupt(_) => Error::new(DATA_CORRUPTED, text),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(e: ArrowError) -> Self {
        match e {
            ArrowError::DivideByZero => Error::new(DIVISION_BY_ZERO, "division by zero"),
            ArrowError::ArithmeticOverflow(text) => overflow(&text),
            ArrowError::ExternalError(inner) => external(inner),
            ArrowError::NotYetImplemented(text) => Error::new(FEATURE_NOT_SUPPORTED, text),
            ArrowError::CsvError(text) => Error::new(BAD_COPY_FILE_FORMAT, text),
            ArrowError::IoError(text, _) => Error::new(IO_ERROR, text),
            other => evaluation(&strip_prefixes(&other.to_string())),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(e: DataFusionError) -> Self {
        match e {
            DataFusionError::ArrowError(e, _) => (*e).into(),
            DataFusionError::ParquetError(e) => Error::new(BAD_COPY_FILE_FORMAT, e.to_string()),
            DataFusionError::ObjectStore(e) => Error::new(IO_ERROR, e.to_string()),
            DataFusionError::IoError(e) if e.kind() == std::io::ErrorKind::StorageFull => {
                Error::new(DISK_FULL, format!("could not write to a temporary file: {e}"))
            }
            DataFusionError::IoError(e) => Error::new(IO_ERROR, e.to_string()),
            DataFusionError::SQL(e, _) => Error::new(SYNTAX_ERROR, e.to_string()),
            DataFusionError::NotImplemented(text) => not_implemented(&text),
            DataFusionError::Internal(text) => {
                Error::new(INTERNAL_ERROR, format!("internal error: {}", first_line(&text)))
            }
            DataFusionError::Plan(text) => planning(&text),
            DataFusionError::Configuration(text) => Error::new(INVALID_PARAMETER_VALUE, text),
            DataFusionError::SchemaError(e, _) => (*e).into(),
            DataFusionError::Execution(text) => evaluation(&text),
            DataFusionError::ExecutionJoin(e) if e.is_panic() => panicked(e.into_panic().as_ref()),
            DataFusionError::ExecutionJoin(_) => cancelled(false),
            DataFusionError::ResourcesExhausted(text) => Error::new(OUT_OF_MEMORY, "out of memory").with_detail(text),
            DataFusionError::External(inner) => external(inner),
            DataFusionError::Context(_, inner) => (*inner).into(),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let error: Error = (*inner).into();
                let _ = diagnostic;
                error
            }
            DataFusionError::Collection(mut errors) if !errors.is_empty() => errors.swap_remove(0).into(),
            DataFusionError::Shared(inner) => shared(&inner),
            other => Error::new(INTERNAL_ERROR, format!("internal error: {}", first_line(&other.to_string()))),
        }
    }
}

/// Errors several readers share cannot be taken apart by value.
fn shared(e: &DataFusionError) -> Error {
    match e {
        DataFusionError::External(inner) => external_ref(inner.as_ref()),
        DataFusionError::Shared(inner) => shared(inner),
        DataFusionError::Context(_, inner) => shared(inner),
        DataFusionError::Diagnostic(_, inner) => shared(inner),
        DataFusionError::ArrowError(e, _) => match e.as_ref() {
            ArrowError::DivideByZero => Error::new(DIVISION_BY_ZERO, "division by zero"),
            ArrowError::ArithmeticOverflow(text) => overflow(text),
            ArrowError::ExternalError(inner) => external_ref(inner.as_ref()),
            other => evaluation(&strip_prefixes(&other.to_string())),
        },
        DataFusionError::Execution(text) => evaluation(text),
        DataFusionError::Plan(text) => planning(text),
        DataFusionError::ResourcesExhausted(text) => {
            Error::new(OUT_OF_MEMORY, "out of memory").with_detail(text.clone())
        }
        other => evaluation(&strip_prefixes(&other.to_string())),
    }
}

fn external(inner: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let inner = match inner.downcast::<Error>() {
        Ok(e) => return *e,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<DataFusionError>() {
        Ok(e) => return (*e).into(),
        Err(inner) => inner,
    };
    match inner.downcast::<ArrowError>() {
        Ok(e) => (*e).into(),
        Err(inner) => external_ref(inner.as_ref()),
    }
}

fn external_ref(inner: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(e) = inner.downcast_ref::<Error>() {
        return e.clone();
    }
    if let Some(e) = inner.downcast_ref::<lightning_storage::Error>() {
        return e.clone().into();
    }
    if let Some(e) = inner.downcast_ref::<lightning_catalog::Error>() {
        return e.clone().into();
    }
    if let Some(e) = inner.downcast_ref::<DataFusionError>() {
        return shared(e);
    }
    evaluation(&inner.to_string())
}

impl From<SchemaError> for Error {
    fn from(e: SchemaError) -> Self {
        match e {
            SchemaError::AmbiguousReference { field } => {
                Error::new(AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
                    .with_column(field.name.clone())
            }
            SchemaError::DuplicateQualifiedField { qualifier, .. } => {
                Error::new(DUPLICATE_ALIAS, format!("table name \"{}\" specified more than once", qualifier.table()))
            }
            SchemaError::DuplicateUnqualifiedField { name } => {
                Error::new(DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")).with_column(name)
            }
            SchemaError::FieldNotFound { field, valid_fields } => unknown_column(&field, &valid_fields),
        }
    }
}

fn unknown_column(field: &datafusion::common::Column, valid: &[datafusion::common::Column]) -> Error {
    if let Some(relation) = &field.relation
        && !valid.iter().any(|v| v.relation.as_ref().is_some_and(|r| r.table() == relation.table()))
    {
        return Error::new(UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{}\"", relation.table()));
    }
    let message = match &field.relation {
        Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name),
        None => format!("column \"{}\" does not exist", field.name),
    };
    let error = Error::new(UNDEFINED_COLUMN, message).with_column(field.name.clone());
    match nearest(field, valid) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// "Perhaps you meant": the column whose name is nearest, when near enough to be a slip.
fn nearest(field: &datafusion::common::Column, valid: &[datafusion::common::Column]) -> Option<String> {
    let wanted = field.name.to_lowercase();
    let limit = (wanted.chars().count() / 2).clamp(1, 3);
    let best = valid
        .iter()
        .filter(|v| !v.name.contains(['(', '\u{1}']))
        .map(|v| (strsim::damerau_levenshtein(&wanted, &v.name.to_lowercase()), v))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)?
        .1;
    Some(match &best.relation {
        Some(relation) => format!("Perhaps you meant to reference the column \"{}.{}\".", relation.table(), best.name),
        None => format!("Perhaps you meant to reference the column \"{}\".", best.name),
    })
}

fn overflow(text: &str) -> Error {
    let message = if text.contains("Decimal") || text.contains("precision") {
        "numeric field overflow"
    } else if text.contains("date") || text.contains("Date") || text.contains("imestamp") {
        return Error::new(DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    } else {
        "value out of range"
    };
    Error::new(NUMERIC_VALUE_OUT_OF_RANGE, message)
}

fn not_implemented(text: &str) -> Error {
    let text = first_line(text);
    let text = text.trim_end_matches('.');
    Error::new(FEATURE_NOT_SUPPORTED, lower_first(text))
}

/// What DataFusion's planner says in words.
fn planning(text: &str) -> Error {
    let line = first_line(text);
    if let Some(name) = between(line, "table '", "' not found") {
        let parts: Vec<&str> = name.split('.').collect();
        let shown = match parts.as_slice() {
            [.., schema, name] if !schema.starts_with('\u{1}') => format!("{schema}.{name}"),
            _ => parts.last().copied().unwrap_or(name).to_owned(),
        };
        return Error::new(UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
    }
    if let Some(name) = between(line, "Invalid function '", "'") {
        return Error::new(UNDEFINED_FUNCTION, format!("function {name} does not exist"))
            .with_hint("No function matches the given name. You might need to check its spelling.");
    }
    if line.starts_with("Table function") && line.ends_with("not found") {
        let name = between(line, "Table function '", "'").unwrap_or("?");
        return Error::new(UNDEFINED_FUNCTION, format!("function {name} does not exist"));
    }
    if line.contains("must appear in the GROUP BY clause")
        || line.contains("must appear in the GROUP BY")
        || line.contains("could not be resolved from available columns")
        || line.contains("references non-aggregate values")
    {
        return grouping(line);
    }
    if line.contains("aggregate functions are not allowed") || line.contains("Aggregate functions are not allowed") {
        return Error::new(GROUPING_ERROR, lower_first(line));
    }
    if line.contains("No function matches the given name and argument types")
        || line.contains("Failed to coerce arguments")
    {
        return no_function(text);
    }
    if line.contains("Cannot infer common argument type for")
        || line.contains("Cannot get result type for")
        || line.contains("Cannot coerce arithmetic expression")
        || line.contains("There isn't a common type to coerce")
    {
        let operation = line
            .split_once("comparison operation ")
            .map(|(_, operation)| operation)
            .or_else(|| between(line, "Cannot coerce arithmetic expression ", " to valid types"));
        let matched = between(line, "common type to coerce ", " in LIKE expression");
        return no_operator(&match (operation, matched) {
            (None, Some(types)) => types.replacen(" and ", " ~~ ", 1),
            (operation, _) => operation.unwrap_or(line).to_owned(),
        });
    }
    if let Some((left, right)) =
        between(line, "expr type ", " in InSubquery").and_then(|t| t.split_once(" can't cast to "))
    {
        return no_operator(&format!("{left} = {right}"));
    }
    if let Some(name) = between(text, "Function '", "' failed to match any signature") {
        return Error::new(UNDEFINED_FUNCTION, format!("function {name} does not exist for these types of arguments"))
            .with_hint("You might need to add explicit type casts.");
    }
    if let Some(error) = clause_error(line) {
        return error;
    }
    if let (Some(has), Some(named)) =
        (between(line, "Source table contains ", " columns"), between(line, "but only ", " names"))
    {
        return match (has.parse::<usize>(), named.parse::<usize>()) {
            (Ok(has), Ok(named)) if has > named => Error::new(SYNTAX_ERROR, "subquery has too many columns"),
            _ => {
                let message = format!("table has {has} columns available but {named} columns specified");
                Error::new(INVALID_COLUMN_REFERENCE, message)
            }
        };
    }
    let not_boolean =
        [("WHERE", "non-boolean predicate", " returning "), ("NOT", "requires a boolean expression", " got ")];
    for (clause, said, before) in not_boolean {
        if line.contains(said)
            && let Some((_, found)) = line.rsplit_once(before)
        {
            let message = format!("argument of {clause} must be type boolean, not type {}", in_sql(found));
            return Error::new(DATATYPE_MISMATCH, message);
        }
    }
    if line.contains("Column count doesn't match") {
        return Error::new(SYNTAX_ERROR, "INSERT has more expressions than target columns");
    }
    if line.contains("Can't cast") || line.contains("Cannot automatically convert") || line.contains("Cannot cast") {
        return Error::new(CANNOT_COERCE, lower_first(line));
    }
    if line.contains("Projections require unique expression names") || line.contains("duplicate") {
        return Error::new(DUPLICATE_COLUMN, lower_first(line));
    }
    if line.contains("failed to resolve schema") {
        let name = line.rsplit(' ').next().unwrap_or("?");
        return Error::new(INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"));
    }
    if line.contains("does not support") || line.contains("not supported") || line.contains("Unsupported") {
        return Error::new(FEATURE_NOT_SUPPORTED, lower_first(line));
    }
    if line.contains("same number of columns") || line.contains("Inconsistent data length across values list") {
        return Error::new(SYNTAX_ERROR, lower_first(line));
    }
    if line.contains("type") {
        return Error::new(DATATYPE_MISMATCH, lower_first(line));
    }
    Error::new(SYNTAX_ERROR, lower_first(line))
}

/// Errors about one clause of a query, in PostgreSQL's words.
fn clause_error(line: &str) -> Option<Error> {
    let lower = line.to_lowercase();
    let position = |before: &str, after: &str| between(&lower, before, after).map(str::to_owned);
    Some(if lower.contains("limit must be >= 0") {
        Error::new(INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, "LIMIT must not be negative")
    } else if lower.contains("offset must be >=") {
        Error::new(INVALID_ROW_COUNT_IN_OFFSET_CLAUSE, "OFFSET must not be negative")
    } else if let Some(number) = position("order by column out of bounds, specified: ", ",") {
        Error::new(INVALID_COLUMN_REFERENCE, format!("ORDER BY position {number} is not in select list"))
    } else if let Some(number) = position("cannot find column with position ", " in select clause") {
        Error::new(INVALID_COLUMN_REFERENCE, format!("GROUP BY position {number} is not in select list"))
    } else if lower.contains("with query name") && lower.contains("specified more than once") {
        Error::new(DUPLICATE_ALIAS, line.to_owned())
    } else if lower.contains("aggregate function calls cannot be nested") {
        Error::new(GROUPING_ERROR, "aggregate function calls cannot be nested")
    } else if lower.contains("aggregate functions are not allowed in the where clause") {
        Error::new(GROUPING_ERROR, "aggregate functions are not allowed in WHERE")
    } else if let Some((operation, _)) = line.split_once(" queries have different number of columns") {
        Error::new(SYNTAX_ERROR, format!("each {operation} query must have the same number of columns"))
    } else if lower.contains("non-recursive term and recursive term must have the same number") {
        Error::new(SYNTAX_ERROR, "each UNION query must have the same number of columns")
    } else if lower.contains("the subquery should only return one column") {
        Error::new(SYNTAX_ERROR, "subquery must return only one column")
    } else if lower.contains("incompatible inputs for union") {
        let first = between(line, "were of type ", ",").map_or("?".into(), sql_name);
        let second = between(line, "incompatible type ", " on column").map_or("?".into(), sql_name);
        Error::new(DATATYPE_MISMATCH, format!("UNION types {first} and {second} cannot be matched"))
    } else {
        return None;
    })
}

fn grouping(line: &str) -> Error {
    let name = between(
        line,
        "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"",
        "\"",
    )
    .or_else(|| between(line, "Expression ", " could not be resolved"))
    .or_else(|| between(line, "column \"", "\""))
    .unwrap_or("?");
    Error::new(
        GROUPING_ERROR,
        format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"),
    )
}

/// `operation` is `left operator right`, with Arrow's names of types.
fn no_operator(operation: &str) -> Error {
    let message = format!("operator does not exist: {}", lower_first(operation));
    Error::new(UNDEFINED_FUNCTION, message)
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn no_function(text: &str) -> Error {
    let call = between(text, "given name and argument types '", "'").unwrap_or_else(|| first_line(text));
    let shown = match call.split_once('(') {
        Some((name, args)) => {
            let named: Vec<_> = types(args.strip_suffix(')').unwrap_or(args)).into_iter().map(sql_name).collect();
            format!("{}({})", name.to_lowercase(), named.join(", "))
        }
        None => call.to_lowercase(),
    };
    Error::new(UNDEFINED_FUNCTION, format!("function {shown} does not exist"))
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// The types between the commas of a list, which may have commas in parentheses of their own.
fn types(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let is_between = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    list.split(is_between).map(str::trim).collect()
}

/// What evaluation says in words, in Arrow's kernels and DataFusion's functions.
fn evaluation(text: &str) -> Error {
    let line = first_line(text);
    let lower = line.to_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::new(DIVISION_BY_ZERO, "division by zero");
    }
    if lower.contains("overflow") || lower.contains("out of range") || lower.contains("is too large to store") {
        return overflow(line);
    }
    if let Some((_, operation)) = line.split_once("Invalid arithmetic operation: ") {
        return no_operator(&operation.replacen('!', "- ", 1));
    }
    if lower.contains("can't cast value")
        || lower.contains("cannot be cast")
        || lower.contains("invalid argument error: cast")
    {
        return Error::new(NUMERIC_VALUE_OUT_OF_RANGE, lower_first(line));
    }
    if let Some((value, target)) = cannot_cast_string(line) {
        return invalid_input(&target, &value);
    }
    if lower.contains("error parsing timestamp") || lower.contains("error parsing date") {
        let value = between(line, "from '", "'").unwrap_or_default();
        return Error::new(INVALID_DATETIME_FORMAT, format!("invalid input syntax for type timestamp: \"{value}\""));
    }
    if lower.contains("parser error") {
        return Error::new(INVALID_TEXT_REPRESENTATION, lower_first(&strip_prefixes(line)));
    }
    if lower.contains("regular expression") || lower.contains("regex parse error") {
        return Error::new(INVALID_REGULAR_EXPRESSION, lower_first(line));
    }
    if lower.contains("scalar subquery")
        || lower.contains("more than one row")
        || lower.contains("returned more than one row")
    {
        return Error::new(CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression");
    }
    if lower.contains("resources exhausted") {
        return Error::new(OUT_OF_MEMORY, "out of memory").with_detail(line.to_owned());
    }
    if lower.contains("not supported") || lower.contains("unsupported") {
        return Error::new(FEATURE_NOT_SUPPORTED, lower_first(line));
    }
    Error::new(DATA_EXCEPTION, lower_first(line))
}

/// Arrow's "Cannot cast string 'x' to value of Int32 type".
fn cannot_cast_string(line: &str) -> Option<(String, String)> {
    let value = between(line, "Cannot cast string '", "' to value of ")?;
    let target = between(line, "' to value of ", " type")?;
    // In this one message PostgreSQL leaves out what most times are.
    Some((value.to_owned(), sql_name(target).replace(" without time zone", "")))
}

/// `invalid input syntax for type …` with the state PostgreSQL gives it.
pub(crate) fn invalid_input(type_name: &str, value: &str) -> Error {
    let state = match type_name {
        "date" | "interval" => INVALID_DATETIME_FORMAT,
        t if t.starts_with("time") => INVALID_DATETIME_FORMAT,
        _ => INVALID_TEXT_REPRESENTATION,
    };
    Error::new(state, format!("invalid input syntax for type {type_name}: \"{value}\""))
}

fn strip_prefixes(text: &str) -> String {
    let mut rest = text;
    for prefix in [
        "Arrow error: ",
        "Execution error: ",
        "Compute error: ",
        "Cast error: ",
        "Parser error: ",
        "Invalid argument error: ",
        "External error: ",
    ] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.to_owned()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// Messages have SQL's names of types, and begin in lower case unless the first word is an identifier or an abbreviation.
fn lower_first(text: &str) -> String {
    let text = in_sql(text);
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text,
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text[start..].find(after)?;
    Some(&text[start..start + length])
}
