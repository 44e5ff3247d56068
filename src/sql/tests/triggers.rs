//! Triggers with several sessions, in transactions, over COPY and in a language that is not SQL.

use crate::concurrent::{Other, end};
use crate::harness::{Db, connect, run};
use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use lightning_catalog::{Function, Module, Relation, TriggerLevel, TriggerTiming};
use lightning_sql::language::{Callable, Defined, Effects, Firing, Interrupt, Language, NewFunction, TriggerBody};
use lightning_sql::sqlstate::{FEATURE_NOT_SUPPORTED, QUERY_CANCELED};
use lightning_sql::{Error, Extension, NewRows, Outcome, Result};
use lightning_vfs::MemoryVfs;
use std::sync::Arc;
use std::time::Duration;

/// A language whose functions are words.
#[derive(Debug)]
struct Toy;

impl Extension for Toy {
    fn languages(&self) -> Vec<Arc<dyn Language>> {
        vec![Arc::new(Toy)]
    }
}

impl Language for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn define(&self, new: &NewFunction) -> Result<Defined> {
        Ok(Defined { source: new.texts.concat(), ..Defined::default() })
    }

    fn callable(&self, _: &Function, _: Option<&Arc<Module>>) -> Result<Arc<dyn Callable>> {
        Err(Error::new(FEATURE_NOT_SUPPORTED, "toys are for triggers"))
    }

    fn trigger(&self, function: &Function, _: Option<&Arc<Module>>, _: TriggerLevel) -> Result<Arc<dyn TriggerBody>> {
        Ok(Arc::new(Word(function.source.clone())))
    }
}

#[derive(Debug)]
struct Word(String);

impl TriggerBody for Word {
    fn fire(&self, firing: &Firing<'_>, interrupt: &Interrupt) -> Result<Effects> {
        let rows = firing.new.or(firing.old);
        let values = rows.map(|rows| rows.column(1).as_primitive::<Int32Type>().clone());
        let mut effects = Effects::default();
        match (self.0.as_str(), rows, values) {
            ("double", Some(rows), Some(values)) => {
                let doubled: Int32Array = values.iter().map(|v| v.map(|v| 2 * v)).collect();
                let mut columns = rows.columns().to_vec();
                columns[1] = Arc::new(doubled) as ArrayRef;
                effects.new = Some(RecordBatch::try_new(rows.schema(), columns).unwrap());
            }
            ("even", Some(_), Some(values)) => {
                effects.skipped = (0..values.len()).filter(|row| values.value(*row) % 2 == 1).collect();
            }
            ("log", Some(_), Some(values)) => {
                let each = values.iter().map(|v| format!("insert into log values ('row', {})", v.unwrap_or(0)));
                effects.statements = each.collect();
            }
            ("log", None, _) => {
                let what = firing.arguments.first().cloned().unwrap_or_default();
                effects.statements =
                    vec![format!("insert into log values ('{what}', 0); insert into log values ('', 1)")];
            }
            ("count", _, _) => {
                let rows = rows.map_or(-1, |rows| rows.num_rows() as i64);
                effects.statements = vec![format!("insert into log values ('count', {rows})")];
            }
            ("bad rows", ..) => effects.skipped = vec![7, 3],
            ("commit", ..) => effects.statements = vec!["commit".to_owned()],
            ("forever", ..) => {
                while !interrupt() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return Err(Error::new(QUERY_CANCELED, "interrupted"));
            }
            _ => return Err(Error::new(FEATURE_NOT_SUPPORTED, "out of order")),
        }
        if firing.timing == TriggerTiming::After {
            effects.new = None;
        }
        Ok(effects)
    }
}

async fn toys() -> Db {
    let db = Db::extended(Arc::new(MemoryVfs::new()), [Arc::new(Toy) as Arc<dyn Extension>].into());
    db.ok("create table t (id int primary key, v int); create table log (what text, n int)").await;
    for word in ["double", "even", "log", "count", "bad rows", "commit", "forever", "fail"] {
        let name = word.replace(' ', "_");
        db.ok(&format!("create function f_{name}() returns trigger language toy as '{word}'")).await;
    }
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_change_rows_leave_some_out_and_run_statements() {
    let db = toys().await;
    db.ok("create trigger a before insert or update on t for each row execute function f_double()").await;
    db.ok("create trigger b after insert on t for each row when (new.v > 4) execute function f_log()").await;
    db.ok("create trigger c after insert on t execute function f_log('statement')").await;
    assert_eq!(db.ok("insert into t values (1, 1), (2, 2), (3, 3)").await, "INSERT 0 3");
    assert_eq!(db.ok("select * from t order by id").await, "1|2\n2|4\n3|6");
    assert_eq!(db.ok("select * from log order by what, n").await, "|1\nrow|6\nstatement|0");
    assert_eq!(db.ok("update t set v = 5 where id < 3 returning v").await, "10\n10");
    db.ok("create or replace trigger a before update or delete on t for each row execute function f_even()").await;
    db.ok("insert into t values (4, 7), (5, 8)").await;
    assert_eq!(db.ok("delete from t returning id").await, "1\n2\n3\n5");
    assert_eq!(db.ok("update t set v = 10 where id = 4").await, "UPDATE 1");
    assert_eq!(db.ok("update t set v = 11 where id = 4").await, "UPDATE 0");
    assert_eq!(db.ok("select * from t").await, "4|10");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_stream_through_a_function() {
    let db = toys().await;
    db.ok("create trigger a before insert on t for each row execute function f_double()").await;
    db.ok("create trigger b before insert on t for each row when (new.id % 1000 = 0) execute function f_log()").await;
    db.ok("create trigger c after insert on t referencing new table as n execute function f_count()").await;
    db.ok("insert into t select x, x from generate_series(1, 200000) g(x)").await;
    assert_eq!(db.ok("select count(*), sum(v) from t").await, "200000|40000200000");
    assert_eq!(
        db.ok("select what, count(*), sum(n) from log group by what order by what").await,
        "count|1|200000\nrow|200|40200000"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_misbehave_fail_the_statement_alone() {
    let db = toys().await;
    for (word, state) in [("fail", "0A000"), ("bad_rows", "42804"), ("commit", "0A000")] {
        db.ok(&format!("create or replace trigger a before insert on t for each row execute function f_{word}()"))
            .await;
        let e = db.run("insert into t values (1, 1)").await.unwrap_err();
        assert_eq!(e.state().0, state, "{word}: {e}");
        let context = e.0.context.unwrap_or_default();
        assert!(context.ends_with(&format!("function f_{word} called by trigger \"a\" of table \"t\"")), "{context}");
    }
    db.ok("create or replace trigger a after insert on t execute function f_forever()").await;
    db.ok("set statement_timeout = '100ms'").await;
    let (state, message) = db.err("insert into t values (1, 1)").await;
    assert_eq!((state.as_str(), message.as_str()), ("57014", "canceling statement due to statement timeout"));
    db.ok("set statement_timeout = 0; drop trigger a on t").await;
    assert_eq!(db.ok("select count(*) from t").await, "0");
    assert_eq!(db.ok("insert into t values (1, 1)").await, "INSERT 0 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_triggers_are_cancelled() {
    let db = Db::new();
    db.ok("create table t (id int primary key, v int); insert into t values (1, 1)").await;
    db.ok("create function f() returns trigger language sql as $$ select count(*) from generate_series(1, 100000000000) g $$").await;
    db.ok("create trigger t after update on t execute function f()").await;
    let session = Arc::new(connect(&db.instance));
    let (cancel, running) = (session.cancel_handle(), Arc::clone(&session));
    let running = tokio::spawn(async move { run(&running, "update t set v = 2").await });
    while db.instance.active_statements() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    cancel.cancel();
    assert_eq!(end(running).await.unwrap_err(), "57014");
    assert_eq!(db.ok("select v from t").await, "1");
    db.ok("drop trigger t on t; update t set v = 3").await;
}

async fn counted() -> (Db, Other) {
    let db = Db::new();
    db.ok("create table t (id int primary key, v int); insert into t values (1, 0), (2, 0)").await;
    db.ok("create table totals (id int primary key, n int); insert into totals values (1, 0)").await;
    db.ok("create table log (v int)").await;
    db.ok("create function f() returns trigger language sql as $$ insert into log values (new.v); update totals set n = n + 1 where id = 1 $$")
        .await;
    let other = Other::of(&db);
    (db, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_looks_again_fires_once() {
    for timing in ["before", "after"] {
        let (db, other) = counted().await;
        db.ok(&format!("create trigger t {timing} update on t for each row execute function f()")).await;
        // It waits for the row itself.
        db.ok("begin; update t set v = v + 1 where id = 1").await;
        let running = other.waits("update t set v = v + 10 where id = 1").await;
        db.ok("commit").await;
        assert_eq!(end(running).await.unwrap(), "UPDATE 1");
        assert_eq!(db.ok("select v from t where id = 1").await, "11", "{timing}");
        assert_eq!(db.ok("select * from log order by v").await, "1\n11", "{timing}");
        // It waits in the trigger's statement.
        db.ok("begin; update totals set n = 100").await;
        let running = other.waits("update t set v = v + 1").await;
        db.ok("commit").await;
        assert_eq!(end(running).await.unwrap(), "UPDATE 2");
        assert_eq!(db.ok("select n from totals").await, "102", "{timing}");
        assert_eq!(db.ok("select * from log order by v").await, "1\n1\n11\n12", "{timing}");
        // Inside a block with a savepoint as well.
        db.ok("begin; update totals set n = 200").await;
        other.ok("begin; insert into log values (0); savepoint s").await;
        let running = other.waits("update t set v = v + 1 where id = 2").await;
        db.ok("commit").await;
        assert_eq!(end(running).await.unwrap(), "UPDATE 1");
        other.ok("rollback to s; commit").await;
        assert_eq!(db.ok("select n from totals").await, "200", "{timing}");
        assert_eq!(db.ok("select * from log order by v").await, "0\n1\n1\n11\n12", "{timing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn higher_levels_are_refused_what_they_did_not_see() {
    let (db, other) = counted().await;
    db.ok("create trigger t before update on t for each row execute function f()").await;
    other.ok("begin isolation level repeatable read; select * from t").await;
    db.ok("update totals set n = 5").await;
    assert_eq!(other.state("update t set v = 1").await, "40001");
    other.ok("rollback").await;
    assert_eq!(db.ok("select count(*) from log").await, "0");
    assert_eq!(db.ok("select n from totals").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_raised_is_not_looked_at_again() {
    let (db, _) = counted().await;
    db.ok("create function g() returns trigger language sql as $$ insert into log values (1); raise exception 'again' using errcode = '40001' $$").await;
    db.ok("create trigger t before update on t for each row execute function g()").await;
    assert_eq!(db.state("update t set v = 1").await, "40001");
    assert_eq!(db.ok("select count(*) from log").await, "0");
    assert_eq!(db.ok("select sum(v) from t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_fail_inside_leave_the_session_well() {
    let (db, _) = counted().await;
    db.ok(
        "create function bad() returns trigger language sql as $$ insert into log values (1); select 1 / (select 0) $$",
    )
    .await;
    for timing in ["before insert", "after insert", "before update", "after update"] {
        for level in ["row", "statement"] {
            db.ok(&format!("create trigger t {timing} on t for each {level} execute function bad()")).await;
            let sql = if timing.ends_with("insert") { "insert into t values (9, 9)" } else { "update t set v = 7" };
            assert_eq!(db.state(sql).await, "22012", "{timing} {level}");
            assert_eq!(db.ok("select (select count(*) from log), (select sum(v) from t)").await, "0|0");
            db.ok("begin; savepoint s").await;
            assert_eq!(db.state(sql).await, "22012", "{timing} {level}");
            assert_eq!(db.state("select 1").await, "25P02");
            db.ok("rollback to s; insert into log values (2); commit").await;
            assert_eq!(db.ok("select (select count(*) from log), (select sum(v) from t)").await, "1|0");
            db.ok("truncate log").await;
            db.ok("drop trigger t on t").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_and_rows_in_bulk_fire_triggers() {
    let db = Db::new();
    db.ok("create table t (id int, v int not null); create table log (what text, n bigint)").await;
    db.ok("create function f() returns trigger language sql as $$ set new.v = coalesce(new.v, -1); skip row when (new.id = 2) $$").await;
    db.ok("create function g() returns trigger language sql as $$ insert into log select 'copied', count(*) from n $$")
        .await;
    db.ok("create trigger f before insert on t for each row execute function f()").await;
    db.ok("create trigger g after insert on t referencing new table as n execute function g()").await;
    let statement = db.session.parse("copy t from stdin csv").unwrap();
    let Outcome::CopyIn(mut copy) = db.session.run(&statement[0]).await.unwrap() else { panic!("not a COPY") };
    copy.push(Bytes::from_static(b"1,\n2,5\n3,7\n")).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    assert_eq!(db.ok("select * from t order by id").await, "1|-1\n3|7");
    // A trigger that runs statements makes the rows wait.
    db.ok("create function h() returns trigger language sql as $$ insert into log values ('row', new.id); insert into log select 'rows', count(*) from t $$").await;
    db.ok("create trigger h before insert on t for each row execute function h()").await;
    let statement = db.session.parse("copy t from stdin csv").unwrap();
    let Outcome::CopyIn(mut copy) = db.session.run(&statement[0]).await.unwrap() else { panic!("not a COPY") };
    copy.push(Bytes::from_static(b"4,4\n5,5\n")).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    assert_eq!(db.ok("select * from log order by what, n").await, "copied|2\ncopied|2\nrow|4\nrow|5\nrows|2\nrows|2");
    let table = match db.session.relations("public").unwrap().find("t") {
        Some(Relation::Table(table)) => Arc::clone(table),
        other => panic!("{other:?}"),
    };
    let columns = vec![(0, Arc::new(Int32Array::from(vec![2, 6])) as ArrayRef)];
    assert_eq!(db.session.ingest(vec![NewRows { table, columns, rows: 2 }]).await.unwrap(), 1);
    assert_eq!(db.ok("select v from t where id = 6").await, "-1");
    db.ok("create table k (id int primary key, v int, w int)").await;
    db.ok("create function n() returns trigger language sql as $$ insert into log values (tg_op, new.v) $$").await;
    db.ok("create trigger n after insert or update on k for each row execute function n()").await;
    db.ok("insert into k values (1, 1, 1); truncate log").await;
    let table = match db.session.relations("public").unwrap().find("k") {
        Some(Relation::Table(table)) => Arc::clone(table),
        other => panic!("{other:?}"),
    };
    let column = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
    let columns = vec![(0, column(vec![1, 2])), (1, column(vec![10, 20]))];
    assert_eq!(db.session.ingest(vec![NewRows { table, columns, rows: 2 }]).await.unwrap(), 2);
    assert_eq!(db.ok("select * from k order by id").await, "1|10|1\n2|20|NULL");
    assert_eq!(db.ok("select * from log order by what").await, "INSERT|20\nUPDATE|10");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_statements_fire_triggers() {
    let (db, _) = counted().await;
    db.ok("update t set v = 1 where id = 1").await;
    db.ok("update t set v = 2 where id = 1").await;
    db.ok("create trigger t after update or delete on t for each row execute function f()").await;
    db.ok("update t set v = 3 where id = 1").await;
    db.ok("delete from t where id = 1").await;
    assert_eq!(db.ok("select n from totals").await, "2");
    assert_eq!(db.ok("select * from log").await, "3\nNULL");
    let before = db.instance.point_statements();
    db.ok("alter table t disable trigger t; drop trigger t on t").await;
    db.ok("update t set v = 3 where id = 2").await;
    assert_eq!(db.instance.point_statements(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_survive_a_restart() {
    let vfs = Arc::new(MemoryVfs::new());
    let db = Db::open(vfs.clone());
    db.ok("create table t (id int); create table log (what text)").await;
    db.ok("create function f() returns trigger language sql as $$ insert into log values (tg_argv[0] || new.id) $$")
        .await;
    db.ok("create trigger f after insert on t for each row when (new.id > 1) execute function f('id ')").await;
    drop(db);
    let db = Db::open(vfs);
    db.ok("insert into t values (1), (2)").await;
    assert_eq!(db.ok("select * from log").await, "id 2");
}
