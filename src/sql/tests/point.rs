//! Statements about one row answer the same whether they are planned or not.

use crate::harness::{Db, connect, run, text};
use datafusion::common::ScalarValue;

/// The statement, and one that means the same and takes planning.
const QUERIES: [(&str, &str); 13] = [
    ("select * from t where a = 5", "select * from t where a = 5 and true"),
    ("select b, a as x, c from t where a = 5", "select b, a as x, c from t where a = 5 limit 1"),
    ("select t.b from public.t where t.a = 7;", "select t.b from public.t where t.a = 7 and true"),
    ("select y.c from t as y where 3 = y.a", "select y.c from t as y where 3 = y.a and true"),
    ("select c from t where a = -1", "select c from t where a = -1 and true"),
    ("select c from t where a = 99999999999", "select c from t where a = 99999999999 and true"),
    ("select c from t where a = 5.0", "select c from t where a = 5.0 and true"),
    ("select c from t where a = '5'", "select c from t where a = '5' and true"),
    ("select * from u where k = 'it''s' and n = 2", "select * from u where k = 'it''s' and n = 2 and true"),
    ("select v from u where n = 2 and k = 'b'", "select v from u where n = 2 and k = 'b' and true"),
    ("select v from u where k = 'b'", "select v from u where k = 'b' and true"),
    ("select nothing from t where a = 5", "select nothing from t where a = 5 and true"),
    ("select * from t where a = 5 and a = 6", "select * from t where a = 5 and a = 6 and true"),
];

async fn tables() -> Db {
    let db = Db::new();
    db.ok("create table t (a int primary key, b bigint not null, c varchar(5))").await;
    db.ok("insert into t select g, g * 10, 'c' || g from generate_series(1, 100) g(g)").await;
    db.ok("create table u (k text, n smallint, v int, primary key (k, n))").await;
    db.ok("insert into u values ('it''s', 2, 1), ('b', 2, 2), ('b', 3, null)").await;
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_answer_as_planned_ones_do() {
    let db = tables().await;
    let before = db.instance.point_statements();
    assert_eq!(db.ok("select b from t where a = 5").await, "50");
    assert_eq!(db.instance.point_statements() - before, 1);
    for (point, planned) in QUERIES {
        // The first time it is learned, then it is known.
        for _ in 0..3 {
            let of = |result: Result<String, lightning_sql::Error>| result.map_err(|e| e.state().0.to_owned());
            assert_eq!(of(db.run(point).await), of(db.run(planned).await), "{point}");
        }
    }
    // In a transaction that has written, and in one that sees what was.
    let other = connect(&db.instance);
    run(&other, "begin isolation level repeatable read; select b from t where a = 5").await.unwrap();
    db.ok("begin; update t set b = 0 where a = 5; insert into t values (500, 1, 'x')").await;
    assert_eq!(db.ok("select b from t where a = 5").await, "0");
    assert_eq!(db.ok("select c from t where a = 500").await, "x");
    db.ok("delete from t where a = 6; commit").await;
    assert_eq!(db.ok("select c from t where a = 6").await, "");
    assert_eq!(run(&other, "select b from t where a = 5").await.unwrap(), "50");
    assert_eq!(run(&other, "select b from t where a = 6").await.unwrap(), "60");
    // Another table of the same name.
    db.ok("create schema s; create table s.t (a int primary key, z text); insert into s.t values (5, 'other')").await;
    db.ok("set search_path = s, public").await;
    assert_eq!(db.ok("select * from t where a = 5").await, "5|other");
    db.ok("reset search_path; drop table t; create table t (a text primary key)").await;
    db.ok("insert into t values ('5')").await;
    assert_eq!(db.ok("select * from t where a = '5'").await, "5");
    assert_eq!(db.state("select * from t where a = 5").await, "42883");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_do_what_planned_ones_do() {
    let db = tables().await;
    for round in 0..2 {
        let before = db.instance.point_statements();
        assert_eq!(db.ok("update t set b = b + 5, c = 'new' where a = 1").await, "UPDATE 1");
        assert_eq!(db.ok("update t set b = b - 2 where a = 2").await, "UPDATE 1");
        assert_eq!(db.ok("update t set b = b + -3 where a = 2").await, "UPDATE 1");
        assert_eq!(db.ok("update t set b = 7 where a = 4000").await, "UPDATE 0");
        assert_eq!(db.ok(&format!("delete from t where a = {}", 50 + round)).await, "DELETE 1");
        assert_eq!(db.instance.point_statements() - before, 5);
    }
    assert_eq!(
        db.ok("select * from t where a in (1, 2, 50, 51, 52) order by a").await,
        "1|20|new\n2|10|c2\n52|520|c52"
    );
    for _ in 0..2 {
        assert_eq!(db.state("update t set c = 'too long' where a = 1").await, "22001");
        assert_eq!(db.state("update t set b = null where a = 1").await, "23502");
        assert_eq!(db.state("update t set b = b + 9223372036854775807 where a = 1").await, "22003");
        assert_eq!(db.state("update t set a = 3 where a = 1").await, "23505");
        assert_eq!(db.state("begin read only; update t set b = 0 where a = 1").await, "25006");
        db.ok("rollback").await;
    }
    assert_eq!(db.ok("update u set v = v + 1 where k = 'b' and n = 3").await, "UPDATE 1");
    assert_eq!(db.ok("update u set v = v + 1 where k = 'b' and n = 2").await, "UPDATE 1");
    assert_eq!(db.ok("select v from u where k = 'b' order by n").await, "3\nNULL");
    // A failure within a block fails it, and savepoints go back.
    db.ok("begin; update t set b = 1 where a = 9; savepoint s; update t set b = 2 where a = 9").await;
    assert_eq!(db.state("update t set c = 'too long' where a = 9").await, "22001");
    assert_eq!(db.state("select b from t where a = 9").await, "25P02");
    db.ok("rollback to s").await;
    assert_eq!(db.ok("select b from t where a = 9").await, "1");
    db.ok("rollback").await;
    assert_eq!(db.ok("select b from t where a = 9").await, "90");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_taken_as_they_come() {
    let db = tables().await;
    let query = db.session.prepare("select b, c from t where a = $1", &[]).await.unwrap();
    let update = db.session.prepare("update t set b = b + $1 where a = $2", &[]).await.unwrap();
    for round in 1..4i64 {
        let parameters = vec![ScalarValue::Int64(Some(10)), ScalarValue::Int32(Some(3))];
        let outcome = db.session.run_prepared(&update, parameters).await.unwrap();
        assert_eq!(text(outcome).await.unwrap(), "UPDATE 1");
        let outcome = db.session.run_prepared(&query, vec![ScalarValue::Int32(Some(3))]).await.unwrap();
        assert_eq!(text(outcome).await.unwrap(), format!("{}|c3", 30 + 10 * round));
    }
    let outcome = db.session.run_prepared(&query, vec![ScalarValue::Int32(None)]).await.unwrap();
    assert_eq!(text(outcome).await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn higher_levels_hold_for_point_statements() {
    let db = tables().await;
    let others = [connect(&db.instance), connect(&db.instance)];
    for statement in ["select b from t where a = 1", "update t set b = 0 where a = 1"] {
        db.ok(statement).await;
    }
    let before = db.instance.point_statements();
    // Write skew: each reads what the other writes.
    for (session, (reads, writes)) in others.iter().zip([(1, 2), (2, 1)]) {
        run(session, "begin isolation level serializable").await.unwrap();
        run(session, &format!("select b from t where a = {reads}")).await.unwrap();
        run(session, &format!("update t set b = 100 where a = {writes}")).await.unwrap();
    }
    assert_eq!(run(&others[0], "commit").await.unwrap(), "COMMIT");
    assert_eq!(run(&others[1], "commit").await.unwrap_err().state().0, "40001");
    // Lost update.
    run(&others[0], "begin isolation level repeatable read").await.unwrap();
    run(&others[0], "select b from t where a = 3").await.unwrap();
    db.ok("update t set b = 1 where a = 3").await;
    let refused = run(&others[0], "update t set b = 2 where a = 3").await.unwrap_err();
    assert_eq!(refused.state().0, "40001");
    run(&others[0], "rollback").await.unwrap();
    assert_eq!(db.ok("select a, b from t where a <= 3 order by a").await, "1|0\n2|100\n3|1");
    assert_eq!(db.instance.point_statements() - before, 6);
}
