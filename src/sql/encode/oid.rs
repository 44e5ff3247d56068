//! OIDs of PostgreSQL's built-in types, and of ours, as the protocol names types.

macro_rules! oids {
    ($($name:ident = $oid:literal),* $(,)?) => {
        $(#[doc = concat!("`pg_type.oid` ", stringify!($oid), ".")] pub const $name: u32 = $oid;)*
    };
}

oids! {
    BOOL = 16, BYTEA = 17, CHAR = 18, NAME = 19, INT8 = 20, INT2 = 21, INT4 = 23, REGPROC = 24, TEXT = 25, OID = 26,
    XID = 28, CID = 29, JSON = 114, FLOAT4 = 700, FLOAT8 = 701, UNKNOWN = 705, BPCHAR = 1042, VARCHAR = 1043,
    DATE = 1082, TIME = 1083, TIMESTAMP = 1114, TIMESTAMPTZ = 1184, INTERVAL = 1186, NUMERIC = 1700, REGCLASS = 2205,
    REGTYPE = 2206, RECORD = 2249, VOID = 2278, UUID = 2950, JSONB = 3802, REGNAMESPACE = 4089, REGROLE = 4096,
    TIMESTAMP_NS = 2147483001, TIMESTAMPTZ_NS = 2147483003,
}

/// Array types and their element types.
const ARRAYS: &[(u32, u32)] = &[
    (1000, BOOL),
    (1001, BYTEA),
    (1002, CHAR),
    (1003, NAME),
    (1005, INT2),
    (1007, INT4),
    (1009, TEXT),
    (1014, BPCHAR),
    (1015, VARCHAR),
    (1016, INT8),
    (1021, FLOAT4),
    (1022, FLOAT8),
    (1028, OID),
    (1115, TIMESTAMP),
    (1182, DATE),
    (1183, TIME),
    (1185, TIMESTAMPTZ),
    (1187, INTERVAL),
    (1231, NUMERIC),
    (199, JSON),
    (2951, UUID),
    (3807, JSONB),
    (1034, 1033),
    (22, INT2),
    (30, OID),
    (2287, RECORD),
    (2147483002, TIMESTAMP_NS),
    (2147483004, TIMESTAMPTZ_NS),
];

/// The element type of an array type.
pub fn element_of(array: u32) -> Option<u32> {
    ARRAYS.iter().find(|(a, _)| *a == array).map(|(_, element)| *element)
}

/// `pg_type.typlen` of a built-in type: bytes of a fixed-length one, else -1.
pub fn len_of(oid: u32) -> i16 {
    match oid {
        BOOL | CHAR => 1,
        INT2 => 2,
        INT4 | FLOAT4 | OID | XID | CID | DATE | REGCLASS | REGTYPE | REGPROC | REGNAMESPACE | REGROLE | VOID => 4,
        INT8 | FLOAT8 | TIME | TIMESTAMP | TIMESTAMPTZ | TIMESTAMP_NS | TIMESTAMPTZ_NS => 8,
        INTERVAL | UUID => 16,
        NAME => 64,
        UNKNOWN => -2,
        _ => -1,
    }
}
