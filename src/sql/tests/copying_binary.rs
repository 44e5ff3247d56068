//! COPY in format binary: PostgreSQL's own bytes, data cut anywhere, and what is refused.

use crate::harness::Db;
use bytes::Bytes;
use futures::StreamExt;
use lightning_sql::{Error, Outcome};

/// What PostgreSQL 15 wrote for `COPY every TO … (FORMAT binary)`, the table and rows being those of [`every`].
const POSTGRESQL: &[u8] = include_bytes!("every_type.pgcopy");
/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = &[255, 255];

async fn copy_in(db: &Db, sql: &str, chunks: impl Iterator<Item = &[u8]>) -> Result<u64, Error> {
    let statement = db.session.parse(sql)?;
    let Outcome::CopyIn(mut copy) = db.session.run(&statement[0]).await? else { panic!("not a COPY FROM STDIN") };
    assert!(copy.binary);
    for chunk in chunks {
        copy.push(Bytes::copy_from_slice(chunk)).await?;
    }
    copy.finish().await
}

async fn copy_out(db: &Db, sql: &str) -> Vec<u8> {
    let statement = db.session.parse(sql).unwrap();
    let Outcome::CopyOut(mut copy) = db.session.run(&statement[0]).await.unwrap() else {
        panic!("not a COPY TO STDOUT")
    };
    assert!(copy.binary);
    let mut all = Vec::new();
    while let Some(data) = copy.data.next().await {
        all.extend_from_slice(data.unwrap().bytes());
    }
    all
}

const COLUMNS: &str = "bo bool, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, n numeric(12,3), t text, \
    v varchar(9), c char(4), js json, jb jsonb, by bytea, d date, ti time, ts timestamp, tz timestamptz, iv interval, \
    u uuid, ai int[], at text[], an numeric(12,3)[]";

/// A value of every type, extremes of every type, and NULLs.
async fn every(db: &Db) {
    db.ok("set timezone = 'UTC'").await;
    db.ok(&format!("create table every ({COLUMNS})")).await;
    db.ok(r#"insert into every values
        (true, -2, 70000, 5000000000, 1.5, -0.1, 12345.678, 'naïve 漢字', 'vär', 'ab', '{"a": [1, 2]}', '{"a": [1, 2]}',
         '\x00ff10', '2024-02-29', '23:59:59.999999', '2024-01-02 03:04:05.678', '2024-01-02 03:04:05+02',
         '1 year 2 days 03:04:05.5', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,NULL,-3}', '{a,"b c",""}',
         '{0.5,-10000}'),
        (false, 32767, -2147483648, -9223372036854775808, 'NaN', 'Infinity', -0.001, '', '', '', '1', '"x"', '',
         '9999-12-31', '00:00', '0001-01-01 00:00:00', '1900-01-01 12:00:00+00', '-1 month',
         '00000000-0000-0000-0000-000000000000', '{}', '{"1,2"}', '{NULL}'),
        (null, null, null, null, null, null, 0, null, null, null, null, null, null, '1999-12-31', null, '2000-01-01',
         null, '00:00:00', null, null, null, null)"#)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_written_as_postgresql_writes_it() {
    let db = Db::new();
    every(&db).await;
    let ours = copy_out(&db, "copy every to stdout (format binary)").await;
    assert_eq!(ours, POSTGRESQL);
    assert_eq!(copy_out(&db, "copy binary every to stdout").await, POSTGRESQL);
    assert_eq!(copy_out(&db, "copy (select * from every) to stdout with binary").await, POSTGRESQL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgresql_wrote_is_read_however_it_is_cut() {
    let db = Db::new();
    every(&db).await;
    let wanted = db.ok("select * from every order by i2").await;
    db.ok(&format!("create table back ({COLUMNS})")).await;
    for step in [1, 2, 3, 7, 19, 20, 100, POSTGRESQL.len()] {
        db.ok("truncate back").await;
        let rows = copy_in(&db, "copy back from stdin (format binary)", POSTGRESQL.chunks(step)).await.unwrap();
        assert_eq!((rows, db.ok("select * from back order by i2").await), (3, wanted.clone()), "step {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_may_be_chosen_and_the_others_get_their_defaults() {
    let db = Db::new();
    db.ok("create table t (a int, b text default 'none', c bigint)").await;
    db.ok("insert into t values (1, 'x', 10), (2, 'y', null)").await;
    let bytes = copy_out(&db, "copy t (c, a) to stdout (format binary)").await;
    db.ok("create table u (a int, b text default 'none', c bigint)").await;
    assert_eq!(copy_in(&db, "copy u (c, a) from stdin (format binary)", std::iter::once(&bytes[..])).await.unwrap(), 2);
    assert_eq!(db.ok("select * from u order by a").await, "1|none|10\n2|none|NULL");
    let bytes = copy_out(&db, "copy (select a + 1, b from t where a = 1) to stdout (format binary)").await;
    let row = b"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00\x01x";
    assert_eq!(bytes, [HEADER, row, TRAILER].concat());
    assert_eq!(
        copy_out(&db, "copy (select 1 where false) to stdout (format binary)").await,
        [HEADER, TRAILER].concat()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_fill_many_batches() {
    let db = Db::new();
    db.ok("create table t (a bigint, b text, c numeric(20,4))").await;
    db.ok("insert into t select g, 'row ' || g, g / 8.0 from generate_series(1, 20001) as g (g)").await;
    let bytes = copy_out(&db, "copy t to stdout (format binary)").await;
    db.ok("create table u (a bigint, b text, c numeric(20,4))").await;
    let copied = copy_in(&db, "copy u from stdin (format binary)", bytes.chunks(60_001)).await.unwrap();
    assert_eq!(copied, 20_001);
    assert_eq!(db.ok("select count(*) from (select * from t except select * from u) s").await, "0");
    assert_eq!(db.ok("select count(distinct a), sum(c) from u").await, "20001|25003750.1250");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_data_is_refused_in_postgresqls_words() {
    let db = Db::new();
    db.ok("create table t (a int, b text)").await;
    // One good row, (1, 'x'), then what comes next.
    let after = |rest: &[u8]| [HEADER, b"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x01x", rest].concat();
    let flagged = |flags: [u8; 8]| [&HEADER[..11], &flags].concat();
    let eof = "unexpected EOF in COPY data";
    let cases: [(Vec<u8>, &str, &str, Option<&str>); 21] = [
        (vec![], "22P04", "COPY file signature not recognized", None),
        (b"1\tx\n2\ty\n3\tz\n".to_vec(), "22P04", "COPY file signature not recognized", None),
        (HEADER[..10].to_vec(), "22P04", "COPY file signature not recognized", None),
        (HEADER[..14].to_vec(), "22P04", "invalid COPY file header (missing flags)", None),
        (HEADER[..18].to_vec(), "22P04", "invalid COPY file header (missing length)", None),
        (flagged([0, 1, 0, 0, 0, 0, 0, 0]), "22P04", "invalid COPY file header (WITH OIDS)", None),
        (flagged([0, 2, 0, 0, 0, 0, 0, 0]), "22P04", "unrecognized critical flags in COPY file header", None),
        (flagged([0, 0, 0, 0, 255, 255, 255, 255]), "22P04", "invalid COPY file header (missing length)", None),
        (flagged([0, 0, 0, 0, 0, 0, 0, 9]), "22P04", "invalid COPY file header (wrong length)", None),
        (after(&[0, 1]), "22P04", "row field count is 1, expected 2", Some("COPY t, line 2")),
        (after(&[0, 3, 0]), "22P04", "row field count is 3, expected 2", Some("COPY t, line 2")),
        (after(&[255, 254]), "22P04", "row field count is -2, expected 2", Some("COPY t, line 2")),
        (after(&[0, 2, 255, 255, 255, 254]), "22P04", "invalid field size", Some("COPY t, line 2, column a")),
        (after(&[0, 2, 255, 255, 255, 255, 0, 0]), "22P04", eof, Some("COPY t, line 2, column b")),
        (after(&[0, 2, 0, 0, 0, 4, 0]), "22P04", eof, Some("COPY t, line 2, column a")),
        (after(&[0]), "22P04", eof, Some("COPY t, line 2")),
        (
            after(&[0, 2, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255]),
            "08P01",
            "insufficient data left in message",
            Some("COPY t, line 2, column a"),
        ),
        (
            after(&[0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 255, 255, 255, 255]),
            "22P03",
            "incorrect binary data format",
            Some("COPY t, line 2, column a"),
        ),
        (
            after(&[0, 2, 255, 255, 255, 255, 0, 0, 0, 1, 255]),
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0xff",
            Some("COPY t, line 2, column b"),
        ),
        (after(&[255, 255, 0]), "22P04", "received copy data after EOF marker", Some("COPY t, line 2")),
        (after(&[255, 255, 255, 255]), "22P04", "received copy data after EOF marker", Some("COPY t, line 2")),
    ];
    for (data, state, message, context) in &cases {
        for step in [1, 4096] {
            let e = copy_in(&db, "copy t from stdin (format binary)", data.chunks(step)).await.unwrap_err();
            assert_eq!((e.state().0, e.message(), e.0.context.as_deref()), (*state, *message, *context), "{data:?}");
        }
    }
    assert_eq!(db.ok("select count(*) from t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extensions_are_skipped_and_the_trailer_may_be_missing() {
    let db = Db::new();
    db.ok("create table t (a int)").await;
    let row = b"\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01";
    let extended = [&HEADER[..15], b"\0\0\0\x03abc", row, TRAILER].concat();
    for data in [extended, [HEADER, row].concat()] {
        for step in [1, 20, 4096] {
            assert_eq!(copy_in(&db, "copy t from stdin binary", data.chunks(step)).await.unwrap(), 1, "{data:?}");
        }
    }
    assert_eq!(copy_in(&db, "copy t from stdin binary", HEADER.chunks(19)).await.unwrap(), 0);
    assert_eq!(db.ok("select count(*), sum(a) from t").await, "6|6");
}
