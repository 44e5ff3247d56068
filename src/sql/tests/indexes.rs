//! Indexes: whatever is read through them, a table without them answers the same.

use crate::harness::{Db, connect, run};
use fastrand::Rng;
use std::sync::Arc;

const TWINS: [&str; 2] = ["with_indexes", "without"];

/// Two tables of the same rows, one of them with indexes.
struct Twins {
    db: Db,
    random: Rng,
    /// Where the next new row begins.
    next: u32,
}

impl Twins {
    async fn new(seed: u64) -> Twins {
        let db = Db::new();
        db.ok("create table with_indexes (id int primary key, grp int, a text, b numeric(8,2), u text, d timestamp)")
            .await;
        db.ok("create table without (id int primary key, grp int, a text, b numeric(8,2), u text, d timestamp)").await;
        let rows = "select i, i % 6000, case when i % 11 > 0 then 'a' || i % 4000 end, (i * 7919 % 30011) / 100.0, \
                    case when i % 13 > 0 then 'u' || i end, timestamp '2024-01-01' + i % 9000 * interval '1 hour' \
                    from generate_series(1, 30000) i";
        let twins = Twins { db, random: Rng::with_seed(seed), next: 30_001 };
        // Indexes are kept from the first row on, or built over some.
        twins.db.ok("create index on with_indexes (grp)").await;
        twins.both(&format!("insert into %t {rows}")).await;
        twins.db.ok("create index on with_indexes (a, b)").await;
        twins.db.ok("create unique index on with_indexes (u)").await;
        twins.db.ok("create index on with_indexes (d, id)").await;
        twins
    }

    /// Runs a statement on both tables; they must answer the same.
    async fn both(&self, sql: &str) -> String {
        let [with, without] = TWINS.map(|name| sql.replace("%t", name));
        let [with_answer, without_answer] = [self.db.ok(&with).await, self.db.ok(&without).await].map(|answer| {
            let mut lines: Vec<&str> = answer.lines().collect();
            if !sql.contains("order by") {
                lines.sort_unstable();
            }
            lines.join("\n")
        });
        assert_eq!(with_answer, without_answer, "{with}");
        with_answer
    }

    /// The condition of a statement, on one column or several.
    fn condition(&mut self) -> String {
        let r = &mut self.random;
        let low = r.u32(0..30_000);
        match r.u32(0..14) {
            0 => format!("grp = {}", r.u32(0..6020)),
            // Values may be there twice.
            1 => format!("grp in ({}, {}, {1})", r.u32(0..6000), r.u32(0..6000)),
            2 => format!("a = 'a{}'", r.u32(0..4020)),
            3 => format!("a = 'a{}' and b > {}", r.u32(0..4000), r.u32(0..300)),
            4 => format!("a = 'a{}' and b between {} and {}", r.u32(0..4000), r.u32(0..100), r.u32(100..300)),
            5 => format!("u = 'u{low}'"),
            6 => format!("u >= 'u{low}' and u < 'u{low}9'"),
            7 => format!("d = timestamp '2024-01-01' + {} * interval '1 hour'", r.u32(0..9_000)),
            8 => format!("d >= timestamp '2024-12-{:02}' and d < timestamp '2024-12-31'", r.u32(20..31)),
            9 => format!("a is null and b = {}.{:02}", r.u32(0..300), r.u32(0..100)),
            10 => format!("grp = {} and (a like 'a1%' or b < 100)", r.u32(0..6000)),
            11 => format!("u in ('u{low}', 'u{}', 'nobody')", low + 1),
            12 => format!("id between {low} and {}", low + r.u32(0..40)),
            _ => format!("b = {}.{:02} and a > 'a5'", r.u32(0..300), r.u32(0..100)),
        }
    }

    async fn query(&mut self) {
        let condition = self.condition();
        let columns = ["*", "id", "grp, id", "a, b, id", "count(*), sum(b)", "u, d, id"][self.random.usize(0..6)];
        self.both(&format!("select {columns} from %t where {condition}")).await;
        let order = [
            "grp, id",
            "grp desc, id desc",
            "a, b, id",
            "a desc, b desc, id desc",
            "u, id",
            "u desc, id desc",
            "d, id",
            "d desc, id desc",
            "id",
            "id desc",
            "grp, a",
            "b, id",
        ][self.random.usize(0..12)];
        let limit = [1, 3, 20, 200][self.random.usize(0..4)];
        let filter = match self.random.u32(0..4) {
            0 => String::new(),
            1 => format!("where {condition}"),
            2 => "where b > 250".to_owned(),
            _ => "where grp % 3 = 1 and a is not null".to_owned(),
        };
        // What the order leaves open is not compared.
        let shown = order.replace(" desc", "");
        self.both(&format!("select {shown} from %t {filter} order by {order} limit {limit}")).await;
    }

    async fn change(&mut self) {
        let condition = self.condition();
        let new = self.next;
        match self.random.u32(0..8) {
            0 | 1 => {
                let rows = self.random.u32(1..30);
                self.next += rows;
                self.both(&format!(
                    "insert into %t select i, i % 6000, 'a' || i % 4000, i % 300, case when i % 5 > 0 then 'u' || i end, \
                     timestamp '2024-06-01' + i % 100 * interval '1 hour' from generate_series({new}, {}) i",
                    new + rows - 1
                ))
                .await;
            }
            2 => drop(self.both(&format!("update %t set b = b + 1 where {condition}")).await),
            3 => drop(self.both(&format!("update %t set grp = grp + 1, a = a || 'x' where {condition}")).await),
            4 => drop(self.both(&format!("update %t set u = u || 'y' where {condition}")).await),
            5 => {
                self.both(&format!("update %t set id = id + {new} where {condition} and id <= 30000")).await;
                self.next += 30_001;
            }
            6 => drop(self.both(&format!("delete from %t where {condition}")).await),
            _ => {
                let id = self.random.u32(1..30_000);
                self.both(&format!(
                    "insert into %t values ({id}, 1, 'new', 5, 'fresh{new}', null) on conflict (id) do update set u = excluded.u"
                ))
                .await;
                self.next += 1;
            }
        }
    }

    async fn check(&self) {
        let counts = self.both("select count(*), count(u), count(distinct u), sum(grp), sum(b), max(id) from %t").await;
        assert!(counts.contains('|'));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_and_without_indexes_answer_the_same() {
    let is_long = std::env::var_os("LIGHTNING_LONG").is_some();
    for seed in 0..if is_long { 20 } else { 1 } {
        let mut twins = Twins::new(seed).await;
        for round in 0..if is_long { 60 } else { 8 } {
            let is_block = twins.random.bool();
            let commits = twins.random.u32(0..3) > 0;
            if is_block {
                twins.db.ok("begin").await;
            }
            for _ in 0..3 {
                twins.change().await;
                twins.query().await;
                if is_block && twins.random.u32(0..4) == 0 {
                    twins.db.ok("savepoint s").await;
                    twins.change().await;
                    twins.db.ok("rollback to s").await;
                }
            }
            if is_block {
                twins.db.ok(if commits { "commit" } else { "rollback" }).await;
            }
            for _ in 0..6 {
                twins.query().await;
            }
            if round % 4 == 2 {
                twins.db.ok("checkpoint").await;
            }
        }
        twins.check().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_go_through_indexes_where_these_are_worth_it() {
    let db = Db::new();
    db.ok("create table t (id int primary key, a int, b text)").await;
    db.ok("insert into t select i, i % 10000, 'b' || i from generate_series(1, 50000) i").await;
    db.ok("create index t_a on t (a); create index t_b on t (b, a)").await;
    for (sql, shown) in [
        ("select * from t where a = 7", "index=t_a"),
        ("select * from t where a in (7, 9)", "index=t_a"),
        ("select a from t where b = 'b5'", "index=t_b"),
        ("select * from t where b = 'b5' and a = 5", "index=t_b"),
        ("select * from t order by a limit 5", "index=t_a"),
        ("select * from t where b > 'b3' order by b limit 5", "index=t_b"),
        ("select * from t where b = 'b5' order by a desc limit 1", "index="),
        ("select * from t order by id desc limit 5", "key, "),
    ] {
        let plan = db.ok(&format!("explain {sql}")).await;
        assert!(plan.contains(shown), "{sql}\n{plan}");
    }
    for sql in ["select * from t where a > 7", "select * from t where a <> 7", "select * from t order by a + 1 limit 5"]
    {
        let plan = db.ok(&format!("explain {sql}")).await;
        assert!(!plan.contains("index=") && !plan.contains("key, "), "{sql}\n{plan}");
    }
    // An index that is not of the columns set is left alone by an update.
    assert_eq!(db.ok("update t set a = a + 1 where b = 'b77'").await, "UPDATE 1");
    assert_eq!(db.ok("select a from t where b = 'b77'").await, "78");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_insert_a_value_one_succeeds() {
    let db = Db::new();
    db.ok("create table t (id int primary key, u int unique)").await;
    let mut tasks = vec![];
    for session in 0..6 {
        let instance = Arc::clone(&db.instance);
        tasks.push(tokio::spawn(async move {
            let session_of = connect(&instance);
            let mut succeeded = 0;
            for u in 0..40 {
                let row = format!("({}, {u})", session * 1_000 + u);
                let sql = match u % 3 {
                    0 => format!("insert into t values {row} on conflict (u) do nothing"),
                    1 => format!("insert into t values {row}"),
                    _ => format!("insert into t values {row} on conflict (u) do update set id = t.id"),
                };
                match run(&session_of, &sql).await {
                    Ok(tag) => succeeded += usize::from(tag == "INSERT 0 1" && u % 3 != 2),
                    Err(e) => assert_eq!((e.state().0, u % 3), ("23505", 1), "{e}"),
                }
            }
            succeeded
        }));
    }
    let mut succeeded = 0;
    for task in tasks {
        succeeded += task.await.unwrap();
    }
    assert_eq!(db.ok("select count(*), count(distinct u) from t").await, "40|40");
    assert_eq!(succeeded, 27, "of the 27 values that are not changed when they are there");
}
