//! Transaction blocks: what they keep, what they forget, and what others see meanwhile.

use crate::harness::{Db, connect, run};
use lightning_sql::TransactionStatus;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_forgets_rows_and_tables() {
    let db = Db::new();
    db.ok("create table t (a int); insert into t values (1)").await;
    db.ok("begin; insert into t values (2); create table u (b int); insert into u values (3)").await;
    assert_eq!(db.ok("select (select count(*) from t), (select count(*) from u)").await, "2|1");
    db.ok("rollback").await;
    assert_eq!(db.ok("select count(*) from t").await, "1");
    assert_eq!(db.state("select * from u").await, "42P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_see_a_transaction_when_it_commits() {
    let db = Db::new();
    db.ok("create table t (a int)").await;
    let other = connect(&db.instance);
    db.ok("begin; insert into t values (1)").await;
    assert_eq!(run(&other, "select count(*) from t").await.unwrap(), "0");
    db.ok("commit").await;
    assert_eq!(run(&other, "select count(*) from t").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_fails_the_block_until_rollback() {
    let db = Db::new();
    db.ok("create table t (a int); begin; insert into t values (1)").await;
    assert_eq!(db.state("insert into t values ('x')").await, "22P02");
    assert_eq!(db.session.transaction_status(), TransactionStatus::Failed);
    assert_eq!(db.state("select 1").await, "25P02");
    assert_eq!(db.ok("commit").await, "ROLLBACK");
    assert_eq!(db.ok("select count(*) from t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_stays_for_its_snapshot_and_names_follow() {
    let db = Db::new();
    db.ok("create table t (a int); insert into t values (1)").await;
    db.ok("begin; drop table t; create table t (a text, b text); insert into t values ('x', 'y')").await;
    assert_eq!(run(&connect(&db.instance), "select * from t").await.unwrap(), "1");
    db.ok("commit").await;
    assert_eq!(run(&connect(&db.instance), "select * from t").await.unwrap(), "x|y");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_reopening() {
    let db = Db::new();
    db.ok("create schema s; create table s.t (a int primary key, b numeric(10,2) default 7, c varchar(3))").await;
    db.ok("insert into s.t (a, c) values (2, 'b'), (1, 'a'); create view v as select a, c from s.t where a > 1").await;
    db.ok("drop schema if exists nothing").await;
    let Db { vfs, instance, session } = db;
    drop(session);
    drop(instance);
    let db = Db::open(vfs);
    assert_eq!(db.ok("select * from s.t order by a").await, "1|7.00|a\n2|7.00|b");
    assert_eq!(db.ok("select * from v").await, "2|b");
    assert_eq!(db.state("insert into s.t values (3, 1, 'long')").await, "22001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_say_when_there_is_no_transaction() {
    let db = Db::new();
    db.ok("commit").await;
    let notices = db.session.take_notices();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].severity, notices[0].state.0), ("WARNING", "25P01"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_statement_ends() {
    let db = Db::new();
    let statement = db.session.parse("select count(*) from generate_series(1, 100000000000) g").unwrap();
    let cancel = db.session.cancel_handle();
    let ((), result) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            while db.instance.active_statements() == 0 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        },
        async { crate::harness::text(db.session.run(&statement[0]).await?).await }
    );
    assert_eq!(result.unwrap_err().state().0, "57014");
    db.ok("set statement_timeout = '50ms'").await;
    assert_eq!(db.state("select count(*) from generate_series(1, 100000000000) g").await, "57014");
}
