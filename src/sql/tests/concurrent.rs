//! Several sessions at once: who waits for whom, what the one who waited sees, and who is refused. Every answer here is PostgreSQL's.

use crate::harness::{Db, connect, run};
use lightning_sql::{Error, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A session beside the first one.
pub(crate) struct Other {
    db: Arc<lightning_sql::Instance>,
    session: Arc<Session>,
}

impl Other {
    pub(crate) fn of(db: &Db) -> Other {
        Other { db: Arc::clone(&db.instance), session: Arc::new(connect(&db.instance)) }
    }

    pub(crate) async fn ok(&self, sql: &str) -> String {
        run(&self.session, sql).await.unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.0))
    }

    pub(crate) async fn state(&self, sql: &str) -> String {
        match run(&self.session, sql).await {
            Ok(text) => panic!("{sql} succeeded: {text}"),
            Err(e) => e.state().0.to_owned(),
        }
    }

    /// Starts a statement and returns when it waits for a lock.
    pub(crate) async fn waits(&self, sql: &'static str) -> JoinHandle<Result<String, Error>> {
        let waiting = |db: &lightning_sql::Instance| db.engine().locks().iter().filter(|lock| !lock.granted).count();
        let (before, session) = (waiting(&self.db), Arc::clone(&self.session));
        let running = tokio::spawn(async move { run(&session, sql).await });
        while waiting(&self.db) == before {
            assert!(!running.is_finished(), "{sql} did not wait");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running
    }
}

async fn three_rows() -> (Db, Other) {
    let db = Db::new();
    db.ok("create table t (id int primary key, v int); insert into t values (1, 10), (2, 20), (3, 30)").await;
    let other = Other::of(&db);
    (db, other)
}

pub(crate) async fn end(running: JoinHandle<Result<String, Error>>) -> Result<String, String> {
    running.await.expect("no panic").map_err(|e| e.state().0.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_goes_on_with_the_row_it_waited_for() {
    let (db, other) = three_rows().await;
    db.ok("begin; update t set v = v + 1 where id = 1").await;
    let running = other.waits("update t set v = v + 100 where id = 1 returning v").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "111");
    // What it waited for is not what it looks for any more.
    db.ok("begin; update t set v = 0 where id = 2").await;
    let running = other.waits("delete from t where v = 20").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "DELETE 0");
    // Nothing happened after all.
    db.ok("begin; delete from t where id = 3").await;
    let running = other.waits("update t set v = v + 1 where id = 3").await;
    db.ok("rollback").await;
    assert_eq!(end(running).await.unwrap(), "UPDATE 1");
    assert_eq!(db.ok("select * from t order by id").await, "1|111\n2|0\n3|31");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rows_and_tables_without_a_key_are_no_different() {
    let db = Db::new();
    db.ok("create table t (a int, b int); insert into t select g, 0 from generate_series(1, 1000) g(g)").await;
    let other = Other::of(&db);
    db.ok("begin; update t set b = b + 1 where a <= 500").await;
    assert_eq!(other.ok("update t set b = b + 10 where a > 500").await, "UPDATE 500");
    let running = other.waits("update t set b = b + 10 where a = 500").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "UPDATE 1");
    assert_eq!(db.ok("select b, count(*) from t group by b order by b").await, "1|499\n10|500\n11|1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeatable_read_keeps_its_snapshot_and_refuses_what_changed() {
    let (db, other) = three_rows().await;
    other.ok("begin isolation level repeatable read").await;
    assert_eq!(other.ok("select v from t where id = 1").await, "10");
    db.ok("update t set v = 11 where id = 1; insert into t values (4, 40)").await;
    assert_eq!(other.ok("select count(*), min(v) from t").await, "3|10");
    assert_eq!(other.state("update t set v = 12 where id = 1").await, "40001");
    other.ok("rollback; begin isolation level repeatable read; select 1; select count(*) from t").await;
    db.ok("insert into t values (5, 50)").await;
    assert_eq!(other.ok("select count(*) from t").await, "4");
    assert_eq!(other.state("insert into t values (5, 51)").await, "23505");
    other.ok("rollback; begin isolation level repeatable read; select count(*) from t").await;
    db.ok("insert into t values (6, 60)").await;
    assert_eq!(other.state("insert into t values (6, 61) on conflict do nothing").await, "40001");
    other.ok("rollback").await;
    // A row that was only moved has not changed.
    other.ok("begin isolation level repeatable read; select count(*) from t").await;
    db.ok("checkpoint").await;
    assert_eq!(other.ok("update t set v = 0 where id = 2; commit").await, "COMMIT");
    assert_eq!(db.ok("select sum(v) from t").await, (11 + 30 + 40 + 50 + 60).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_inserted_once() {
    let (db, other) = three_rows().await;
    db.ok("begin; insert into t values (4, 40)").await;
    let running = other.waits("insert into t values (4, 41)").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap_err(), "23505");
    db.ok("begin; insert into t values (5, 50)").await;
    let running = other.waits("insert into t values (5, 51)").await;
    db.ok("rollback").await;
    assert_eq!(end(running).await.unwrap(), "INSERT 0 1");
    db.ok("begin; insert into t values (6, 60)").await;
    let running = other.waits("insert into t values (6, 1) on conflict (id) do update set v = t.v + excluded.v").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "INSERT 0 1");
    db.ok("begin; update t set id = 7 where id = 1").await;
    let running = other.waits("insert into t select 7, 70").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap_err(), "23505");
    // Loads too large to lock key by key wait for the table.
    db.ok("begin; insert into t values (200000, 0)").await;
    let running = other.waits("insert into t select g, 0 from generate_series(100000, 250000) g(g)").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap_err(), "23505");
    assert_eq!(db.ok("select * from t order by id").await, "2|20\n3|30\n4|40\n5|51\n6|61\n7|10\n200000|0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_insert_each_key_once() {
    let db = Db::new();
    db.ok("create table t (id int primary key, who int)").await;
    let sessions = (0..4).map(|who| {
        let other = Other::of(&db);
        tokio::spawn(async move {
            let mut inserted = 0;
            for id in 0..50 {
                let sql = format!("insert into t values ({id}, {who})");
                match run(&other.session, &sql).await {
                    Ok(_) => inserted += 1,
                    Err(e) => assert_eq!(e.state().0, "23505", "{e}"),
                }
            }
            inserted
        })
    });
    let mut inserted = 0;
    for session in sessions.collect::<Vec<_>>() {
        inserted += session.await.unwrap();
    }
    assert_eq!((inserted, db.ok("select count(*), count(distinct id) from t").await.as_str()), (50, "50|50"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_three_has_one_victim() {
    let (db, second) = three_rows().await;
    let third = Other::of(&db);
    db.ok("begin; update t set v = 0 where id = 1").await;
    second.ok("begin; update t set v = 0 where id = 2").await;
    third.ok("begin; update t set v = 0 where id = 3").await;
    let of_second = second.waits("update t set v = 1 where id = 1").await;
    let of_third = third.waits("update t set v = 1 where id = 2").await;
    assert_eq!(db.state("update t set v = 1 where id = 3").await, "40P01");
    assert_eq!(end(of_second).await.unwrap(), "UPDATE 1");
    db.ok("rollback").await;
    second.ok("commit").await;
    assert_eq!(end(of_third).await.unwrap(), "UPDATE 1");
    third.ok("commit").await;
    assert_eq!(db.ok("select * from t order by id").await, "1|1\n2|1\n3|0");
    assert!(db.instance.engine().locks().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_locked_by_queries_that_say_so() {
    let (db, other) = three_rows().await;
    db.ok("begin").await;
    assert_eq!(db.ok("select * from t where id <= 2 order by id for update").await, "1|10\n2|20");
    assert_eq!(other.ok("select id from t order by id limit 1 for update skip locked").await, "3");
    assert_eq!(other.ok("select id from t order by id for no key update skip locked").await, "3");
    assert_eq!(other.state("select * from t where id = 1 for update nowait").await, "55P03");
    assert_eq!(other.ok("select count(*) from t").await, "3");
    let running = other.waits("select v from t where id = 1 for share").await;
    db.ok("update t set v = 11 where id = 1; commit").await;
    assert_eq!(end(running).await.unwrap(), "11");
    // Shared by many, in the way of writers.
    other.ok("begin; select 1 from t where id = 3 for share").await;
    assert_eq!(db.ok("select v from t where id = 3 for key share").await, "30");
    assert_eq!(db.state("set lock_timeout = '20ms'; update t set v = 0 where id = 3").await, "55P03");
    other.ok("rollback").await;
    assert_eq!(db.ok("update t set v = 0 where id = 3").await, "UPDATE 1");
    // With joins, one side only.
    other.ok("begin; select t.*, u.v from t join t u on t.id = u.id + 1 where t.id = 2 for update of t").await;
    assert_eq!(db.state("select 1 from t where id = 2 for update nowait").await, "55P03");
    assert_eq!(db.ok("select 1 from t where id = 1 for update nowait").await, "1");
    assert_eq!(db.state("select count(*) from t for update").await, "0A000");
    assert_eq!(db.state("select 1 from t for update of u").await, "42P01");
    assert_eq!(db.state("begin read only; select * from t for update").await, "25006");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_go_with_savepoints_sessions_and_time() {
    let (db, other) = three_rows().await;
    db.ok("begin; savepoint s; update t set v = 0 where id = 1").await;
    let running = other.waits("update t set v = 1 where id = 1").await;
    db.ok("rollback to s").await;
    assert_eq!(end(running).await.unwrap(), "UPDATE 1");
    db.ok("commit").await;
    let vanishing = Other::of(&db);
    vanishing.ok("begin; update t set v = 2 where id = 2").await;
    let running = other.waits("update t set v = 3 where id = 2").await;
    drop(vanishing);
    assert_eq!(end(running).await.unwrap(), "UPDATE 1");
    db.ok("begin; lock table t in share mode").await;
    let running = other.waits("insert into t values (9, 9)").await;
    other.session.cancel_handle().cancel();
    assert_eq!(end(running).await.unwrap_err(), "57014");
    assert!(db.instance.engine().locks().iter().all(|lock| lock.granted));
    assert_eq!(other.state("lock table t").await, "25P01");
    assert_eq!(other.state("begin; lock table t in row exclusive mode nowait").await, "55P03");
    db.ok("commit").await;
    assert_eq!(db.ok("select * from t order by id").await, "1|1\n2|3\n3|30");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_wait_for_writers() {
    let (db, other) = three_rows().await;
    db.ok("begin; insert into t values (4, 40)").await;
    let running = other.waits("truncate t").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "TRUNCATE TABLE");
    assert_eq!(db.ok("select count(*) from t").await, "0");
    db.ok("begin; insert into t values (1, 1)").await;
    let running = other.waits("drop table t").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "DROP TABLE");
    assert_eq!(db.state("insert into t values (2, 2)").await, "42P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_and_rows_are_no_way_around_the_deadlock_detector() {
    let (db, other) = three_rows().await;
    db.ok("begin; update t set v = 0 where id = 1").await;
    let running = other.waits("drop table t").await;
    assert_eq!(db.state("create table u (a int)").await, "40P01");
    assert_eq!(end(running).await.unwrap(), "DROP TABLE");
    assert_eq!(db.ok("rollback").await, "ROLLBACK");
    db.ok("begin; create table u (a int)").await;
    let running = other.waits("create table v (a int)").await;
    db.ok("commit").await;
    assert_eq!(end(running).await.unwrap(), "CREATE TABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serializable_refuses_write_skew_and_phantoms() {
    let (db, other) = three_rows().await;
    for level in ["repeatable read", "serializable"] {
        db.ok("update t set v = 10").await;
        for session in [&db.session, other.session.as_ref()] {
            run(session, &format!("begin isolation level {level}")).await.unwrap();
            assert_eq!(run(session, "select sum(v) from t where id in (1, 2)").await.unwrap(), "20");
        }
        db.ok("update t set v = -5 where id = 1; commit").await;
        other.ok("update t set v = -5 where id = 2").await;
        match level {
            "serializable" => assert_eq!(other.state("commit").await, "40001"),
            _ => assert_eq!(other.ok("commit").await, "COMMIT"),
        }
        other.ok("rollback").await;
    }
    // A phantom, counted without reading rows.
    other.ok("begin isolation level serializable; select count(*) from t; insert into t values (10, 0)").await;
    db.ok("insert into t values (11, 0)").await;
    assert_eq!(other.state("commit").await, "40001");
    // Other rows are no matter, nor is what one has written oneself.
    other.ok("begin isolation level serializable; select v from t where id = 1; insert into t values (12, 0)").await;
    other.ok("select v from t where id = 12").await;
    db.ok("update t set v = 0 where id = 2").await;
    assert_eq!(other.ok("commit").await, "COMMIT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_is_settled_by_the_first_query() {
    let (db, _) = three_rows().await;
    db.ok("begin; set transaction isolation level serializable").await;
    assert_eq!(db.ok("show transaction_isolation").await, "serializable");
    db.ok("select count(*) from t").await;
    assert_eq!(db.state("set transaction isolation level read committed").await, "25001");
    db.ok("rollback; set default_transaction_isolation = 'repeatable read'; begin").await;
    assert_eq!(db.ok("show transaction_isolation").await, "repeatable read");
    db.ok("commit and chain").await;
    assert_eq!(db.ok("show transaction_isolation").await, "repeatable read");
    db.ok("rollback; set session characteristics as transaction isolation level read committed; begin").await;
    assert_eq!(db.ok("show transaction_isolation").await, "read committed");
}
