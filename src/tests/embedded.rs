//! The embedded API: sessions, statements, transactions, streams, the appender.

use futures::TryStreamExt;
use lightning::arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use lightning::arrow::buffer::OffsetBuffer;
use lightning::arrow::datatypes::{Field, Int64Type};
use lightning::{Database, Error, Session, Value, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn memory() -> Database {
    Database::builder().memory_limit(256 << 20).threads(2).memory().unwrap()
}

/// Any executor will do: this one is not Tokio's.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    futures::executor::block_on(work)
}

async fn number(session: &Session, sql: &str) -> i64 {
    let batches = session.query(sql).await.unwrap().collect().await.unwrap();
    batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

fn state(e: &Error) -> &'static str {
    e.0.state.0
}

#[test]
fn execute_counts_rows() {
    let session = memory().connect().unwrap();
    block_on(async {
        assert_eq!(session.execute("create table t (a int)").await.unwrap(), 0);
        assert_eq!(session.execute("insert into t values (1), (2), (3)").await.unwrap(), 3);
        assert_eq!(session.execute("select * from t").await.unwrap(), 3);
        assert_eq!(session.execute("insert into t values (4); insert into t values (5), (6)").await.unwrap(), 2);
    });
}

#[test]
fn several_statements_stand_or_fall_together() {
    let session = memory().connect().unwrap();
    block_on(async {
        session.execute("create table t (a int)").await.unwrap();
        let e = session.execute("insert into t values (1); insert into t values (1 / 0)").await.unwrap_err();
        assert_eq!(state(&e), "22012");
        assert_eq!(number(&session, "select count(*) from t").await, 0);
    });
}

#[test]
fn rows_are_streamed_and_typed() {
    let session = memory().connect().unwrap();
    block_on(async {
        let mut rows =
            session.query("select g as n, g::text as t from generate_series(1, 50000) as g (g)").await.unwrap();
        assert_eq!(rows.schema().field(0).name(), "n");
        let mut count = 0;
        while let Some(batch) = rows.try_next().await.unwrap() {
            count += batch.num_rows();
        }
        assert_eq!(count, 50_000);
        assert_eq!(state(&session.query("select 1; select 2").await.unwrap_err()), "42601");
        assert_eq!(state(&session.query("select nope").await.unwrap_err()), "42703");
    });
}

#[test]
fn an_error_in_the_middle_of_a_stream_reaches_the_reader() {
    let session = memory().connect().unwrap();
    block_on(async {
        let rows = session.query("select 1 / (g - 40000) from generate_series(1, 50000) as g (g)").await;
        let e = match rows {
            Ok(rows) => rows.collect().await.unwrap_err(),
            Err(e) => e,
        };
        assert_eq!(state(&e), "22012");
        assert_eq!(number(&session, "select count(*) from generate_series(1, 3)").await, 3);
    });
}

#[test]
fn dropping_rows_frees_the_session() {
    let session = memory().connect().unwrap();
    block_on(async {
        let endless = "select count(*) from generate_series(1, 1000000000000) a (a)";
        let rows = session.query("select * from generate_series(1, 10000000) as g (g)").await.unwrap();
        let e = session.execute("select 1").await.unwrap_err();
        assert_eq!(state(&e), "55006", "rows are still being read");
        drop(rows);
        assert_eq!(session.execute("select 1").await.unwrap(), 1);
        let cancel = session.cancel_handle();
        let ended = Arc::new(AtomicBool::new(false));
        let canceller = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                // Before the statement runs there is nothing to cancel, so it takes some attempts.
                while !ended.load(Ordering::Relaxed) {
                    cancel.cancel();
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(state(&session.execute(endless).await.unwrap_err()), "57014");
        ended.store(true, Ordering::Relaxed);
        canceller.join().unwrap();
    });
}

#[test]
fn parameters_take_the_types_of_their_places() {
    let session = memory().connect().unwrap();
    block_on(async {
        session.execute("create table t (a bigint, b text, c numeric(10,2), d date, e boolean)").await.unwrap();
        let insert = session.prepare("insert into t values ($1, $2, $3, $4, $5)").await.unwrap();
        assert_eq!(insert.parameters_len(), 5);
        assert!(insert.schema().is_none());
        assert_eq!(insert.execute(params![1, "x", 2, "2024-02-29", true]).await.unwrap(), 1);
        assert_eq!(insert.execute(params![2_i64, None::<&str>, 2.5, None::<&str>, None::<bool>]).await.unwrap(), 1);
        assert_eq!(
            insert.execute(&[Value::Null, Value::Null, Value::Null, Value::Null, Value::Null]).await.unwrap(),
            1
        );
        assert_eq!(state(&insert.execute(params![1]).await.unwrap_err()), "08P01");
        let count = session.prepare("select count(*) from t where a = $1 and d = $2").await.unwrap();
        let rows = count.query(params![1, "2024-02-29"]).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 1);
    });
}

#[test]
fn statements_keep_the_columns_they_told() {
    let session = memory().connect().unwrap();
    block_on(async {
        session.execute("create table t (a bigint); insert into t values (1)").await.unwrap();
        let query = session.prepare("select a from t").await.unwrap();
        session.execute("drop table t; create table t (a bigint); insert into t values (2)").await.unwrap();
        let rows = query.query(&[]).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 2);
        session.execute("drop table t; create table t (a text)").await.unwrap();
        assert_eq!(state(&query.query(&[]).await.unwrap_err()), "0A000");
        assert_eq!(state(&query.execute(&[]).await.unwrap_err()), "0A000");
    });
}

#[test]
fn transactions_commit_or_vanish() {
    let database = memory();
    let mut session = database.connect().unwrap();
    let other = database.connect().unwrap();
    block_on(async {
        session.execute("create table t (a int)").await.unwrap();
        let transaction = session.begin().await.unwrap();
        transaction.execute("insert into t values (1)").await.unwrap();
        assert_eq!(number(&transaction, "select count(*) from t").await, 1);
        assert_eq!(number(&other, "select count(*) from t").await, 0);
        transaction.commit().await.unwrap();
        assert_eq!(number(&other, "select count(*) from t").await, 1);

        session.begin().await.unwrap().rollback().await.unwrap();
        let transaction = session.begin().await.unwrap();
        transaction.execute("insert into t values (2)").await.unwrap();
        drop(transaction);
        assert_eq!(number(&session, "select count(*) from t").await, 1);

        let transaction = session.begin().await.unwrap();
        transaction.execute("insert into t values (3)").await.unwrap();
        transaction.execute("select 1 / 0").await.unwrap_err();
        assert_eq!(state(&transaction.commit().await.unwrap_err()), "25P02");
        assert_eq!(number(&session, "select count(*) from t").await, 1);
    });
}

#[test]
fn it_works_inside_a_runtime_of_the_callers() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let database = memory();
        let session = database.connect().unwrap();
        assert_eq!(session.execute("select 1").await.unwrap(), 1);
        // The last handles go inside the task, too.
    });
}

fn batch(ids: ArrayRef, names: &[Option<&str>]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
}

#[test]
fn the_appender_casts_what_fits_and_refuses_the_rest() {
    let database = memory();
    let session = database.connect().unwrap();
    block_on(session.execute("create schema s; create table s.t (id int not null, name varchar(5))")).unwrap();
    let mut appender = database.appender("s.t").unwrap();
    appender.push(batch(Arc::new(Int64Array::from(vec![1, 2])), &[Some("a"), None])).unwrap();
    appender.push(batch(Arc::new(Int32Array::from(vec![3])), &[Some("abcde")])).unwrap();
    let too_big = batch(Arc::new(Int64Array::from(vec![1 << 40])), &[None]);
    assert_eq!(state(&appender.push(too_big).unwrap_err()), "22003");
    let null = batch(Arc::new(Int64Array::from(vec![None])), &[None]);
    assert_eq!(state(&appender.push(null).unwrap_err()), "23502");
    let too_long = batch(Arc::new(Int64Array::from(vec![4])), &[Some("abcdef")]);
    assert_eq!(state(&appender.push(too_long).unwrap_err()), "22001");
    let wrong = batch(Arc::new(StringArray::from(vec!["4"])), &[None]);
    assert_eq!(state(&appender.push(wrong).unwrap_err()), "42804");
    assert_eq!(appender.finish().unwrap(), 3);
    block_on(async { assert_eq!(number(&session, "select sum(id) from s.t").await, 6) });

    let mut dropped = database.appender("s.t").unwrap();
    dropped.push(batch(Arc::new(Int32Array::from(vec![9])), &[None])).unwrap();
    drop(dropped);
    block_on(async { assert_eq!(number(&session, "select count(*) from s.t").await, 3) });
    assert_eq!(state(&database.appender("s.missing").unwrap_err()), "42P01");
}

#[test]
fn the_appender_keeps_nanoseconds() {
    let database = memory();
    let session = database.connect().unwrap();
    block_on(session.execute("create table t (at timestamp_ns primary key)")).unwrap();
    let one = |times: ArrayRef| RecordBatch::try_from_iter([("at", times)]).unwrap();
    let mut appender = database.appender("t").unwrap();
    appender.push(one(Arc::new(TimestampNanosecondArray::from(vec![i64::MIN + 1, -1, i64::MAX - 1])))).unwrap();
    appender.push(one(Arc::new(TimestampMicrosecondArray::from(vec![1])))).unwrap();
    for beyond in [
        one(Arc::new(TimestampNanosecondArray::from(vec![i64::MAX]))),
        one(Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX / 2]))),
    ] {
        assert_eq!(state(&appender.push(beyond).unwrap_err()), "22008");
    }
    assert_eq!(appender.finish().unwrap(), 4);
    block_on(async {
        assert_eq!(number(&session, "select epoch_ns(max(at)) from t").await, i64::MAX - 1);
        assert_eq!(number(&session, "select epoch_ns(at) from t where at = '1970-01-01 00:00:00.000001'").await, 1000);
    });
    block_on(session.execute("create table u (at timestamp)")).unwrap();
    let mut appender = database.appender("u").unwrap();
    let lossy = appender.push(one(Arc::new(TimestampNanosecondArray::from(vec![1]))));
    assert_eq!(state(&lossy.unwrap_err()), "42804");
    block_on(session.execute("create table many (at timestamp_ns[])")).unwrap();
    let mut appender = database.appender("many").unwrap();
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, 1, 2, i64::MAX]));
    let item = Arc::new(Field::new_list_field(times.data_type().clone(), true));
    let lists = ListArray::new(item, OffsetBuffer::from_lengths([1, 2, 1]), times, None);
    for (row, is_time) in [(0, false), (1, true), (2, false)] {
        let pushed = appender.push(one(Arc::new(lists.slice(row, 1))));
        assert_eq!(pushed.map_err(|e| state(&e)), if is_time { Ok(()) } else { Err("22008") });
    }
    assert_eq!(appender.finish().unwrap(), 1);
}

#[test]
fn bulk_appends_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let database = Database::open(dir.path()).unwrap();
        let session = database.connect().unwrap();
        block_on(session.execute("create table t (id bigint primary key, name text)")).unwrap();
        let mut appender = database.appender("t").unwrap();
        for start in (0..400_000).step_by(50_000) {
            let ids = Int64Array::from_iter_values(start..start + 50_000);
            appender.push(batch(Arc::new(ids), &vec![Some("name"); 50_000])).unwrap();
        }
        assert_eq!(appender.finish().unwrap(), 400_000);
        let e = Database::open(dir.path()).unwrap_err();
        assert!(e.to_string().contains("already open"), "{e}");
    }
    let database = Database::open(dir.path()).unwrap();
    let session = database.connect().unwrap();
    block_on(async {
        assert_eq!(number(&session, "select count(*) from t").await, 400_000);
        assert_eq!(number(&session, "select max(id) from t where id < 250001").await, 250_000);
    });
}
