//! An unmodified PostgreSQL driver: types in both directions, transactions, streaming.

use crate::server::TestServer;
use futures::{SinkExt, StreamExt};
use std::time::{Duration, UNIX_EPOCH};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Every value of one row in its text form.
async fn texts(client: &tokio_postgres::Client, sql: &str) -> Vec<Option<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("a row");
    (0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_forms_are_postgresqls() {
    let server = TestServer::start();
    let client = server.connect().await;
    let cases = [
        ("SELECT true", "t"),
        ("SELECT 1::smallint", "1"),
        ("SELECT 12345678901::bigint", "12345678901"),
        ("SELECT 1.5::real", "1.5"),
        ("SELECT 1e20::double precision", "1e+20"),
        ("SELECT 1.50::numeric(10,2)", "1.50"),
        ("SELECT 'x'::text", "x"),
        ("SELECT 'ab'::char(4)", "ab  "),
        ("SELECT DATE '2024-02-29'", "2024-02-29"),
        ("SELECT TIME '01:02:03.5'", "01:02:03.5"),
        ("SELECT TIMESTAMP '2024-02-29 01:02:03'", "2024-02-29 01:02:03"),
        ("SELECT TIMESTAMPTZ '2024-02-29 01:02:03+00'", "2024-02-29 01:02:03+00"),
        ("SELECT INTERVAL '1 day 2 hours'", "1 day 02:00:00"),
        ("SELECT '\\x00ff'::bytea", "\\x00ff"),
        ("SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("SELECT '{\"a\": 1}'::json", "{\"a\": 1}"),
        ("SELECT ARRAY['a b', NULL, 'c']", "{\"a b\",NULL,c}"),
        ("SELECT ARRAY[1, 2]", "{1,2}"),
    ];
    for (sql, expected) in cases {
        assert_eq!(texts(&client, sql).await, [Some(expected.to_owned())], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_results_travel_in_binary() {
    let server = TestServer::start();
    let client = server.connect().await;
    client
        .batch_execute(
            "CREATE TABLE t (a bigint, b text, c double precision, d boolean, e date, f timestamptz, g uuid, h smallint, \
             i bytea, j text[])",
        )
        .await
        .expect("created");
    let moment = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let bytes: &[u8] = &[0, 1, 255];
    let words = vec!["x".to_owned(), "y z".to_owned()];
    let inserted = client
        .execute(
            "INSERT INTO t (a, b, c, d, f, h, i, j) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&42i64, &"hello", &1.5f64, &true, &moment, &7i16, &bytes, &words],
        )
        .await
        .expect("inserted");
    assert_eq!(inserted, 1);
    let row = client.query_one("SELECT a, b, c, d, e, f, h, i, j FROM t WHERE a = $1", &[&42i64]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 42);
    assert_eq!(row.get::<_, &str>(1), "hello");
    assert_eq!(row.get::<_, f64>(2), 1.5);
    assert!(row.get::<_, bool>(3));
    assert_eq!(row.get::<_, Option<std::time::SystemTime>>(5), Some(moment));
    assert_eq!(row.get::<_, i16>(6), 7);
    assert_eq!(row.get::<_, &[u8]>(7), bytes);
    assert_eq!(row.get::<_, Vec<String>>(8), words);
}

/// Nanoseconds since 2000, as a driver sends and gets them that learns of the types from the catalog.
#[derive(Debug, PartialEq)]
struct Nanos(i64);

type Wrong = Box<dyn std::error::Error + Sync + Send>;

impl FromSql<'_> for Nanos {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Nanos, Wrong> {
        Ok(Nanos(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(pg: &Type) -> bool {
        matches!(pg.name(), "timestamp_ns" | "timestamptz_ns")
    }
}

impl ToSql for Nanos {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Wrong> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(pg: &Type) -> bool {
        <Nanos as FromSql>::accepts(pg)
    }

    to_sql_checked!();
}

#[tokio::test(flavor = "multi_thread")]
async fn nanoseconds_count_from_2000() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE n (t timestamptz_ns PRIMARY KEY, l timestamp_ns[])").await.expect("created");
    for nanos in [1, -1] {
        let lists = vec![Some(Nanos(nanos)), None];
        let inserted = client.execute("INSERT INTO n VALUES ($1, $2)", &[&Nanos(nanos), &lists]).await;
        assert_eq!(inserted.expect("inserted"), 1);
    }
    let found = client.query("SELECT t, l FROM n WHERE t >= $1 ORDER BY t", &[&Nanos(-1)]).await.expect("rows");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].get::<_, Nanos>(0), Nanos(-1));
    assert_eq!(found[1].get::<_, Vec<Option<Nanos>>>(1), [Some(Nanos(1)), None]);
    let moment = UNIX_EPOCH + Duration::from_secs(946_684_800);
    let after = client.query_one("SELECT t FROM n WHERE t > $1::timestamptz", &[&moment]).await.expect("a row");
    assert_eq!(after.get::<_, Nanos>(0), Nanos(1));
    let shown = texts(&client, "SELECT t, l FROM n ORDER BY t").await;
    let expected = ["1999-12-31 23:59:59.999999999+00", "{\"1999-12-31 23:59:59.999999999\",NULL}"];
    assert_eq!(shown, expected.map(|text| Some(text.to_owned())));
    // Counted from 2000 the earliest times are less than 64 bits hold.
    let early = "SELECT '1707-09-22 00:12:43.145224192'::timestamp_ns + (t - t) FROM n LIMIT 1";
    let refused = client.query(early, &[]).await.expect_err("refused");
    assert_eq!(refused.code().expect("a state").code(), "22008");
    assert!(texts(&client, early).await[0].is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_commit_and_roll_back() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a integer)").await.expect("created");
    let transaction = client.transaction().await.expect("begun");
    transaction.execute("INSERT INTO t VALUES (1)", &[]).await.expect("inserted");
    transaction.rollback().await.expect("rolled back");
    let transaction = client.transaction().await.expect("begun");
    transaction.execute("INSERT INTO t VALUES (2)", &[]).await.expect("inserted");
    transaction.commit().await.expect("committed");
    let rows = client.query("SELECT a FROM t", &[]).await.expect("rows");
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_of_a_transaction_are_read_in_parts() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    let transaction = client.transaction().await.expect("begun");
    let statement = transaction.prepare("SELECT * FROM (VALUES (1), (2), (3)) AS t(a)").await.expect("prepared");
    let portal = transaction.bind(&statement, &[]).await.expect("bound");
    assert_eq!(transaction.query_portal(&portal, 2).await.expect("rows").len(), 2);
    assert_eq!(transaction.query_portal(&portal, 2).await.expect("rows").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_made_anew_are_not_read_by_its_old_types() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a bigint); INSERT INTO t VALUES (7)").await.expect("created");
    let query = client.prepare("SELECT a FROM t").await.expect("prepared");
    client.batch_execute("DROP TABLE t; CREATE TABLE t (a bigint); INSERT INTO t VALUES (8)").await.expect("again");
    let rows = client.query(&query, &[]).await.expect("rows");
    assert_eq!(rows[0].get::<_, i64>(0), 8);
    client
        .batch_execute("DROP TABLE t; CREATE TABLE t (a text); INSERT INTO t VALUES ('nine ..')")
        .await
        .expect("other");
    let error = client.query(&query, &[]).await.expect_err("other types");
    let error = error.as_db_error().expect("from the database");
    assert_eq!((error.code().code(), error.message()), ("0A000", "cached plan must not change result type"));
    let again = client.prepare("SELECT a FROM t").await.expect("prepared");
    assert_eq!(client.query(&again, &[]).await.expect("rows")[0].get::<_, &str>(0), "nine ..");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_stream() {
    let server = TestServer::start();
    let client = server.connect().await;
    let rows = client.query_raw("SELECT * FROM generate_series(1, 300000)", &[] as &[i64]).await.expect("begun");
    let count = rows.fold(0, |count, row| async move { count + usize::from(row.is_ok()) }).await;
    assert_eq!(count, 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_in_through_the_driver() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a integer, b text)").await.expect("created");
    let sink = client.copy_in("COPY t FROM STDIN").await.expect("copying");
    tokio::pin!(sink);
    sink.send(bytes::Bytes::from_static(b"1\tone\n2\t\\N\n")).await.expect("sent");
    assert_eq!(sink.finish().await.expect("copied"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_carry_state_and_position() {
    let server = TestServer::start();
    let client = server.connect().await;
    let error = client.query("SELECT nonsense FROM (VALUES (1)) AS t(a)", &[]).await.expect_err("no such column");
    let error = error.as_db_error().expect("from the database");
    assert_eq!(error.code().code(), "42703");
    assert!(error.position().is_some());
    assert!(client.query("SELECT 1", &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_looks_up_types_in_the_catalog() {
    let server = TestServer::start();
    let client = server.connect().await;
    let rows = client
        .query(
            "SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid \
             FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
             INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1",
            &[&25u32],
        )
        .await
        .expect("rows");
    assert_eq!(rows[0].get::<_, &str>(0), "text");
}
