//! PostgreSQL's types over Arrow's: OIDs, modifiers and names, carried in Arrow field metadata.
//!
//! Storage and DataFusion compute on Arrow types. Several PostgreSQL types share one of them (`text`, `varchar(10)` and
//! `json` are all strings), so a field that is not the plain type carries `oid:modifier` under the metadata key
//! [`PG_TYPE_KEY`]. A field without it has the type [`from_arrow`] gives.

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// Metadata key of a field's PostgreSQL type: text `oid:modifier`.
pub const PG_TYPE_KEY: &str = "lightning.pg_type";

/// A PostgreSQL type with its modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PgType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `atttypmod`; -1 when none.
    pub modifier: i32,
    /// `pg_type.typlen`.
    pub len: i16,
}

/// What is known of a type apart from its modifier.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'static str,
    /// The name SQL and messages use (`format_type`), without modifier.
    pub sql_name: &'static str,
    /// `pg_type.typlen`.
    pub len: i16,
    /// OID of the array type over it, 0 when none.
    pub array_oid: u32,
    /// `pg_type.typcategory`.
    pub category: char,
}

macro_rules! types {
    ($($(#[$doc:meta])* $constant:ident = $oid:literal, $name:literal, $sql:literal, $len:literal, $array:literal, $category:literal;)*) => {
        $($(#[$doc])* pub const $constant: PgType = PgType { oid: $oid, modifier: -1, len: $len };)*
        /// Every scalar type that can appear in a result.
        pub const TYPES: &[TypeInfo] = &[
            $(TypeInfo { oid: $oid, name: $name, sql_name: $sql, len: $len, array_oid: $array, category: $category },)*
        ];
    };
}

types! {
    /// boolean
    BOOL = 16, "bool", "boolean", 1, 1000, 'B';
    /// bytea
    BYTEA = 17, "bytea", "bytea", -1, 1001, 'U';
    /// "char"
    CHAR = 18, "char", "\"char\"", 1, 1002, 'Z';
    /// name
    NAME = 19, "name", "name", 64, 1003, 'S';
    /// bigint
    INT8 = 20, "int8", "bigint", 8, 1016, 'N';
    /// smallint
    INT2 = 21, "int2", "smallint", 2, 1005, 'N';
    /// int2vector
    INT2VECTOR = 22, "int2vector", "int2vector", -1, 1006, 'A';
    /// integer
    INT4 = 23, "int4", "integer", 4, 1007, 'N';
    /// regproc
    REGPROC = 24, "regproc", "regproc", 4, 1008, 'N';
    /// text
    TEXT = 25, "text", "text", -1, 1009, 'S';
    /// oid
    OID = 26, "oid", "oid", 4, 1028, 'N';
    /// xid
    XID = 28, "xid", "xid", 4, 1011, 'U';
    /// oidvector
    OIDVECTOR = 30, "oidvector", "oidvector", -1, 1013, 'A';
    /// json
    JSON = 114, "json", "json", -1, 199, 'U';
    /// pg_node_tree
    PG_NODE_TREE = 194, "pg_node_tree", "pg_node_tree", -1, 0, 'Z';
    /// real
    FLOAT4 = 700, "float4", "real", 4, 1021, 'N';
    /// double precision
    FLOAT8 = 701, "float8", "double precision", 8, 1022, 'N';
    /// A literal whose type is not decided.
    UNKNOWN = 705, "unknown", "unknown", -2, 0, 'X';
    /// character(n)
    BPCHAR = 1042, "bpchar", "character", -1, 1014, 'S';
    /// character varying
    VARCHAR = 1043, "varchar", "character varying", -1, 1015, 'S';
    /// date
    DATE = 1082, "date", "date", 4, 1182, 'D';
    /// time without time zone
    TIME = 1083, "time", "time without time zone", 8, 1183, 'D';
    /// timestamp without time zone
    TIMESTAMP = 1114, "timestamp", "timestamp without time zone", 8, 1115, 'D';
    /// timestamp with time zone
    TIMESTAMPTZ = 1184, "timestamptz", "timestamp with time zone", 8, 1185, 'D';
    /// interval
    INTERVAL = 1186, "interval", "interval", 16, 1187, 'T';
    /// numeric
    NUMERIC = 1700, "numeric", "numeric", -1, 1231, 'N';
    /// regclass
    REGCLASS = 2205, "regclass", "regclass", 4, 2210, 'N';
    /// regtype
    REGTYPE = 2206, "regtype", "regtype", 4, 2211, 'N';
    /// record
    RECORD = 2249, "record", "record", -1, 2287, 'P';
    /// void
    VOID = 2278, "void", "void", 4, 0, 'P';
    /// uuid
    UUID = 2950, "uuid", "uuid", 16, 2951, 'U';
    /// jsonb
    JSONB = 3802, "jsonb", "jsonb", -1, 3807, 'U';
    /// regnamespace
    REGNAMESPACE = 4089, "regnamespace", "regnamespace", 4, 4090, 'N';
    /// timestamp without time zone in nanoseconds, numbered above all objects of users
    TIMESTAMP_NS = 2147483001, "timestamp_ns", "timestamp_ns", 8, 2147483002, 'D';
    /// timestamp with time zone in nanoseconds
    TIMESTAMPTZ_NS = 2147483003, "timestamptz_ns", "timestamptz_ns", 8, 2147483004, 'D';
}

/// Digits and scale of a `numeric` without modifier.
const NUMERIC_DEFAULT: (u8, i8) = (38, 10);
/// Digits a `numeric` can have.
const NUMERIC_PRECISION_MAX: i32 = 38;

impl PgType {
    /// The type with this OID, without modifier; arrays included.
    pub fn by_oid(oid: u32) -> Option<PgType> {
        if let Some(info) = info(oid) {
            return Some(PgType { oid, modifier: -1, len: info.len });
        }
        element_info(oid).map(|_| PgType { oid, modifier: -1, len: -1 })
    }

    /// The same type with a modifier.
    pub const fn with_modifier(self, modifier: i32) -> PgType {
        PgType { modifier, ..self }
    }

    /// `numeric(precision, scale)`.
    pub fn numeric(precision: u8, scale: i8) -> PgType {
        NUMERIC.with_modifier(((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)) + 4)
    }

    /// The array type over this one, when there is one.
    pub fn array_of(self) -> Option<PgType> {
        let info = info(self.oid).filter(|i| i.array_oid != 0)?;
        Some(PgType { oid: info.array_oid, modifier: self.modifier, len: -1 })
    }

    /// The element type of an array type.
    pub fn element(self) -> Option<PgType> {
        let info = element_info(self.oid)?;
        Some(PgType { oid: info.oid, modifier: self.modifier, len: info.len })
    }

    /// Microseconds of the last digit that a `time(n)` or `timestamp(n)` keeps, when it is more than one.
    pub(crate) fn fraction_unit(self) -> Option<i64> {
        match (self.oid, self.modifier) {
            (1083 | 1114 | 1184, digits @ 0..=5) => Some(10i64.pow(6 - digits.unsigned_abs())),
            _ => None,
        }
    }

    /// Microseconds as a value of this type has them, halves rounded away from zero.
    pub(crate) fn rounded(self, micros: i64) -> i64 {
        self.fraction_unit().map_or(micros, |unit| micros.saturating_add(unit / 2 * micros.signum()) / unit * unit)
    }

    /// Whether it is a time stamp in nanoseconds, with or without zone.
    pub fn is_nanos(self) -> bool {
        self.oid == TIMESTAMP_NS.oid || self.oid == TIMESTAMPTZ_NS.oid
    }

    /// The array type an `int2vector` or `oidvector` can be read as.
    pub(crate) fn vector_as_array(self) -> Option<PgType> {
        match self.oid {
            22 => INT2.array_of(),
            30 => OID.array_of(),
            _ => None,
        }
    }

    /// Precision and scale of a `numeric` as stored.
    pub fn precision_and_scale(self) -> (u8, i8) {
        if self.modifier < 4 {
            return NUMERIC_DEFAULT;
        }
        let packed = self.modifier - 4;
        let scale = ((packed & 0x7ff) ^ 1024) - 1024;
        (((packed >> 16) & 0xffff) as u8, scale as i8)
    }

    /// The `n` of `varchar(n)` and `char(n)`.
    pub fn character_length(self) -> Option<usize> {
        let limited = matches!(self.oid, 1042 | 1043) && self.modifier >= 4;
        limited.then(|| (self.modifier - 4) as usize)
    }

    /// Whether values are character strings to SQL (`text`, `varchar`, `char`, `name`).
    pub fn is_string(self) -> bool {
        matches!(self.oid, 19 | 25 | 1042 | 1043 | 705)
    }

    /// The name messages use: `integer`, `character varying(10)`, `numeric(15,2)`, `text[]`.
    pub fn sql_name(self) -> String {
        if let Some(element) = self.element() {
            return format!("{}[]", element.sql_name());
        }
        let Some(info) = info(self.oid) else { return "???".to_owned() };
        if self.modifier < 0 {
            return info.sql_name.to_owned();
        }
        match self.oid {
            1042 | 1043 => format!("{}({})", info.sql_name, self.modifier - 4),
            1700 => {
                let (precision, scale) = self.precision_and_scale();
                format!("numeric({precision},{scale})")
            }
            1083 => format!("time({}) without time zone", self.modifier),
            1114 => format!("timestamp({}) without time zone", self.modifier),
            1184 => format!("timestamp({}) with time zone", self.modifier),
            _ => info.sql_name.to_owned(),
        }
    }

    /// The name without modifier.
    pub fn base_name(self) -> String {
        self.with_modifier(-1).sql_name()
    }

    /// The Arrow type values are computed and stored in; `None` for types without values of their own.
    pub fn arrow_type(self) -> Option<DataType> {
        if let Some(element) = self.element() {
            return Some(DataType::List(list_item(element.arrow_type()?)));
        }
        Some(match self.oid {
            16 => DataType::Boolean,
            17 => DataType::BinaryView,
            20 => DataType::Int64,
            21 => DataType::Int16,
            23 => DataType::Int32,
            24 | 26 | 28 | 2205 | 2206 | 4089 => DataType::UInt32,
            18 | 19 | 25 | 22 | 30 | 114 | 194 | 705 | 1042 | 1043 | 3802 => DataType::Utf8View,
            700 => DataType::Float32,
            701 => DataType::Float64,
            1082 => DataType::Date32,
            1083 => DataType::Time64(TimeUnit::Microsecond),
            1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
            1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            oid if oid == TIMESTAMP_NS.oid => DataType::Timestamp(TimeUnit::Nanosecond, None),
            oid if oid == TIMESTAMPTZ_NS.oid => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            1186 => DataType::Interval(IntervalUnit::MonthDayNano),
            1700 => {
                let (precision, scale) = self.precision_and_scale();
                DataType::Decimal128(precision, scale)
            }
            2950 => DataType::FixedSizeBinary(16),
            _ => return None,
        })
    }

    /// Whether the Arrow type alone says which type this is.
    fn is_plain(self) -> bool {
        self.arrow_type().is_some_and(|t| from_arrow(&t) == self)
    }
}

/// What is known of a scalar type.
pub fn info(oid: u32) -> Option<&'static TypeInfo> {
    TYPES.iter().find(|t| t.oid == oid)
}

/// What is known of the element of an array type.
fn element_info(array_oid: u32) -> Option<&'static TypeInfo> {
    if array_oid == 0 {
        return None;
    }
    TYPES.iter().find(|t| t.array_oid == array_oid)
}

/// The PostgreSQL type of a result or table column (metadata key `lightning.pg_type` decides, else the Arrow type).
pub fn pg_type(field: &Field) -> PgType {
    if let Some(text) = field.metadata().get(PG_TYPE_KEY)
        && let Some(pg) = parse_metadata(text)
        && describes(pg, field.data_type())
    {
        return pg;
    }
    if let DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) = field.data_type() {
        return innermost(item).array_of().unwrap_or(TEXT);
    }
    from_arrow(field.data_type())
}

/// Whether metadata can be about values of this Arrow type: expressions sometimes keep the metadata of their input.
fn describes(pg: PgType, data_type: &DataType) -> bool {
    match (pg.arrow_type(), data_type) {
        (Some(DataType::Utf8View), DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(..)) => true,
        (Some(DataType::BinaryView), DataType::Binary | DataType::LargeBinary) => true,
        (Some(DataType::List(_)), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => true,
        (Some(wanted), found) => wanted == *found,
        (None, _) => false,
    }
}

/// PostgreSQL has one array type for all dimensions.
fn innermost(item: &Field) -> PgType {
    match item.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => innermost(inner),
        _ => pg_type(item),
    }
}

fn parse_metadata(text: &str) -> Option<PgType> {
    let (oid, modifier) = text.split_once(':')?;
    Some(PgType::by_oid(oid.parse().ok()?)?.with_modifier(modifier.parse().ok()?))
}

/// The PostgreSQL type a bare Arrow type shows as.
pub fn from_arrow(data_type: &DataType) -> PgType {
    match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => INT2,
        DataType::UInt16 | DataType::Int32 => INT4,
        DataType::Int64 | DataType::UInt64 => INT8,
        DataType::UInt32 => OID,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            NUMERIC
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => BYTEA,
        DataType::FixedSizeBinary(16) => UUID,
        DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 => DATE,
        DataType::Timestamp(TimeUnit::Nanosecond, None) => TIMESTAMP_NS,
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => TIMESTAMPTZ_NS,
        DataType::Date64 | DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Dictionary(_, value) => from_arrow(value),
        DataType::RunEndEncoded(_, value) => from_arrow(value.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            innermost(item).array_of().unwrap_or(TEXT)
        }
        _ => TEXT,
    }
}

/// The Arrow field (with metadata) for a PostgreSQL type, when it is one of ours.
pub fn arrow_field(name: &str, pg: PgType, nullable: bool) -> Option<Field> {
    let field = Field::new(name, pg.arrow_type()?, nullable);
    Some(match metadata(pg) {
        None => field,
        Some(metadata) => field.with_metadata(metadata),
    })
}

/// The metadata a field of this type carries.
pub fn metadata(pg: PgType) -> Option<HashMap<String, String>> {
    let decimal_with_modifier = pg.oid == NUMERIC.oid && pg.modifier >= 0;
    if pg.is_plain() && !decimal_with_modifier {
        return None;
    }
    Some(HashMap::from([(PG_TYPE_KEY.to_owned(), format!("{}:{}", pg.oid, pg.modifier))]))
}

/// Whether a field says its PostgreSQL type.
pub(crate) fn is_marked(field: &Field) -> bool {
    field.metadata().contains_key(PG_TYPE_KEY)
}

/// The field of a list's elements. It carries no metadata: DataFusion loses it there on many ways, and a list without it is of
/// another Arrow type. The array's own field says what the elements are.
pub(crate) fn list_item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, true))
}

/// [`arrow_field`] for types that are known to have values.
pub(crate) fn column_field(name: &str, pg: PgType, nullable: bool) -> FieldRef {
    Arc::new(arrow_field(name, pg, nullable).unwrap_or_else(|| Field::new(name, DataType::Utf8View, nullable)))
}

/// Checks `numeric(precision, scale)` as Lightning bounds it.
pub(crate) fn checked_numeric(precision: i64, scale: i64) -> crate::Result<PgType> {
    use crate::sqlstate::{FEATURE_NOT_SUPPORTED, INVALID_PARAMETER_VALUE};
    if !(1..=1000).contains(&precision) {
        return Err(crate::Error::new(
            INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        ));
    }
    if precision > i64::from(NUMERIC_PRECISION_MAX) {
        return Err(crate::Error::new(
            FEATURE_NOT_SUPPORTED,
            format!("NUMERIC precision {precision} is not supported"),
        )
        .with_detail(format!("The precision can be at most {NUMERIC_PRECISION_MAX}.")));
    }
    if !(0..=precision).contains(&scale) {
        return Err(crate::Error::new(
            FEATURE_NOT_SUPPORTED,
            format!("NUMERIC scale {scale} must be between 0 and precision {precision}"),
        ));
    }
    Ok(PgType::numeric(precision as u8, scale as i8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_brings_back_type_and_modifier() {
        let plain = [UUID, OID, INT4, TIMESTAMP_NS, TIMESTAMPTZ_NS];
        let marked = [VARCHAR.with_modifier(14), PgType::numeric(15, 2), JSON, BPCHAR.with_modifier(5)];
        for pg in plain.into_iter().chain(marked) {
            let field = arrow_field("c", pg, true).unwrap();
            assert_eq!(pg_type(&field), pg);
        }
        let array = VARCHAR.array_of().unwrap();
        assert_eq!(pg_type(&arrow_field("c", array, true).unwrap()), array);
    }

    #[test]
    fn arrays_know_the_precision_of_their_time_stamps() {
        for pg in [TIMESTAMP, TIMESTAMPTZ, TIMESTAMP_NS, TIMESTAMPTZ_NS] {
            let array = pg.array_of().unwrap();
            assert_eq!(from_arrow(&array.arrow_type().unwrap()), array);
            assert_eq!(array.element(), Some(pg));
        }
    }

    #[test]
    fn types_of_our_own_are_numbered_above_all_objects() {
        let ours = TYPES.iter().filter(|info| info.oid >= lightning_catalog::FIRST_USER_OID.0);
        let oids: Vec<u32> = ours.flat_map(|info| [info.oid, info.array_oid]).collect();
        assert_eq!(oids.len(), 4);
        assert!(oids.iter().all(|oid| *oid >= lightning_catalog::FIRST_RESERVED_OID.0 && i32::try_from(*oid).is_ok()));
    }

    #[test]
    fn fractions_of_seconds_round_to_their_digits() {
        let millis = TIMESTAMP.with_modifier(3);
        assert_eq!((millis.rounded(1500), millis.rounded(1499), millis.rounded(-1500)), (2000, 1000, -2000));
        assert_eq!((TIMESTAMP.rounded(1499), TIMESTAMP.with_modifier(6).rounded(1499)), (1499, 1499));
    }

    #[test]
    fn names_are_those_of_format_type() {
        assert_eq!(PgType::numeric(15, 2).sql_name(), "numeric(15,2)");
        assert_eq!(VARCHAR.with_modifier(14).sql_name(), "character varying(10)");
        assert_eq!(INT4.array_of().unwrap().sql_name(), "integer[]");
        assert_eq!(TIMESTAMPTZ.sql_name(), "timestamp with time zone");
    }
}
