//! COPY in and out.

use crate::harness::Db;
use bytes::Bytes;
use lightning_sql::{Error, Outcome};

async fn copy_in(db: &Db, sql: &str, chunks: &[&str]) -> Result<u64, Error> {
    let statement = db.session.parse(sql)?;
    let Outcome::CopyIn(mut copy) = db.session.run(&statement[0]).await? else { panic!("not a COPY FROM STDIN") };
    for chunk in chunks {
        copy.push(Bytes::copy_from_slice(chunk.as_bytes())).await?;
    }
    copy.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_comes_in_and_goes_out() {
    let db = Db::new();
    db.ok("create table t (a int, b text, c date)").await;
    let rows =
        copy_in(&db, "copy t from stdin (format csv, header)", &["a,b,c\n1,\"x, ", "y\",2024-01-31\n2,,", "\n"]).await;
    assert_eq!(rows.unwrap(), 2);
    assert_eq!(db.ok("select * from t order by a").await, "1|x, y|2024-01-31\n2|NULL|NULL");
    assert_eq!(db.ok("copy t to stdout with csv header").await, "a,b,c\n1,\"x, y\",2024-01-31\n2,,\n");
    assert_eq!(db.ok("copy (select b, a from t order by a) to stdout").await, "x, y\t1\n\\N\t2\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_data_names_line_and_column_and_keeps_nothing() {
    let db = Db::new();
    db.ok("create table t (a int, b int)").await;
    let e = copy_in(&db, "copy t from stdin csv", &["1,2\n3,4\n5,x\n"]).await.unwrap_err();
    assert_eq!((e.state().0, e.0.context.as_deref()), ("22P02", Some("COPY t, line 3, column b: \"x\"")));
    let e = copy_in(&db, "copy t from stdin csv", &["1,2\n3\n"]).await.unwrap_err();
    assert_eq!((e.state().0, e.message()), ("22P04", "missing data for column \"b\""));
    assert_eq!(e.0.context.as_deref(), Some("COPY t, line 2: \"3\""));
    let e = copy_in(&db, "copy t from stdin csv", &["1,2,3\n"]).await.unwrap_err();
    assert_eq!(e.message(), "extra data after last expected column");
    assert_eq!(db.ok("select count(*) from t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_take_the_bulk_path() {
    let db = Db::new();
    db.ok("create table t (a bigint, b text)").await;
    let mut data = String::new();
    for i in 0..150_000 {
        data.push_str(&format!("{i},row {i}\n"));
    }
    let chunks: Vec<&str> = data.as_bytes().chunks(60_000).map(|c| std::str::from_utf8(c).unwrap()).collect();
    assert_eq!(copy_in(&db, "copy t from stdin csv", &chunks).await.unwrap(), 150_000);
    assert_eq!(db.ok("select count(*), sum(a), max(b) from t").await, "150000|11249925000|row 99999");
    assert_eq!(db.ok("create table u as select * from t where a < 140000").await, "SELECT 140000");
    assert_eq!(db.ok("select count(*) from u").await, "140000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_all_formats_come_back() {
    let db = Db::new();
    let dir = tempfile::tempdir().unwrap();
    db.ok("create table t (a int, n numeric(10,2), d date, ts timestamptz, u uuid, arr int[], t text)").await;
    db.ok("insert into t values (1, 1.25, '2024-02-29', '2024-02-29 12:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,NULL}', 'x')").await;
    let before = db.ok("select * from t").await;
    for format in ["csv", "text", "binary", "parquet"] {
        let path = dir.path().join(format!("t.{format}"));
        let path = path.to_str().unwrap();
        assert_eq!(db.ok(&format!("copy t to '{path}' (format {format})")).await, "COPY 1");
        db.ok("truncate t").await;
        assert_eq!(db.ok(&format!("copy t from '{path}' (format {format})")).await, "COPY 1");
        assert_eq!(db.ok("select * from t").await, before, "{format}");
    }
}
