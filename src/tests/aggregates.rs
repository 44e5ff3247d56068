//! Continuous aggregates against their own queries: random writes, refreshes and rollbacks in two sessions, and after a restart.

use lightning::{Database, Result, Session};

/// What a query yields, as text.
pub async fn rows(session: &Session, sql: &str) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use futures::TryStreamExt;
    let batches: Vec<arrow::array::RecordBatch> = session.query(sql).await.unwrap().try_collect().await.unwrap();
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = vec![];
    for batch in &batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(values.join("|"));
        }
    }
    lines.sort();
    lines
}

const VIEWS: [(&str, &str); 3] = [
    (
        "hourly",
        "SELECT time_bucket('1 hour', ts) AS bucket, series, count(*) AS n, sum(value) AS total, last(value, ts) AS newest \
         FROM m GROUP BY 1, 2",
    ),
    (
        "monthly",
        "SELECT series, time_bucket('1 month', ts, timezone => 'Europe/Oslo') AS month, max(value) AS top \
         FROM m WHERE value > 20 GROUP BY 1, 2",
    ),
    ("daily", "SELECT time_bucket('1 day', bucket) AS day, sum(n) AS n, max(newest) AS newest FROM hourly GROUP BY 1"),
];

async fn check(session: &Session, context: &str) {
    for (name, query) in VIEWS {
        assert_eq!(
            rows(session, &format!("SELECT * FROM {name}")).await,
            rows(session, query).await,
            "{context}: {name}"
        );
    }
}

/// Times around a leap day, changes of clocks and years before 1970.
fn time(random: &mut fastrand::Rng) -> String {
    let base = ["1969-12-30", "2024-02-27", "2024-03-30", "2024-10-26", "2024-12-30"][random.usize(..5)];
    format!("timestamptz '{base} 00:00Z' + interval '{} minutes'", random.i64(0..5000))
}

async fn write(session: &Session, random: &mut fastrand::Rng) -> Result<()> {
    let at = time(random);
    let sql = match random.u8(..12) {
        0..4 => format!(
            "INSERT INTO m SELECT {at} + interval '7 minutes' * i, 's' || {}, i FROM generate_series(0, {}) t(i) \
             ON CONFLICT DO NOTHING",
            random.u8(..3),
            random.u16(..200)
        ),
        4 => format!(
            "INSERT INTO m SELECT {at} + interval '1 second' * i, 's9', i % 50 FROM generate_series(0, 130000) t(i) \
             ON CONFLICT DO NOTHING"
        ),
        5 => format!(
            "INSERT INTO m VALUES ({at}, 's1', 7) ON CONFLICT (series, ts) DO UPDATE SET value = excluded.value"
        ),
        6 => format!("UPDATE m SET value = value + 1 WHERE ts BETWEEN {at} AND {at} + interval '3 hours'"),
        7 => format!(
            "UPDATE m SET ts = ts + interval '40 days 13 seconds' WHERE series = 's1' AND ts < {at} AND value = 3"
        ),
        8 => format!("DELETE FROM m WHERE series = 's2' AND ts < {at}"),
        9 => format!("DELETE FROM m WHERE ts >= {at} AND ts < {at} + interval '1 day'"),
        10 if random.u8(..4) == 0 => "TRUNCATE m".to_owned(),
        10 => "CHECKPOINT".to_owned(),
        _ => format!("REFRESH MATERIALIZED VIEW {}", VIEWS[random.usize(..3)].0),
    };
    session.execute(&sql).await.map(drop)
}

#[tokio::test]
async fn aggregates_have_what_their_queries_have_at_every_step() {
    let rounds = if std::env::var_os("LIGHTNING_LONG").is_some() { 60 } else { 3 };
    for seed in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let directory = tempfile::tempdir().unwrap();
        let mut database = Database::open(directory.path()).unwrap();
        let mut session = database.connect().unwrap();
        let time_type = if seed % 2 == 0 { "timestamptz" } else { "timestamptz_ns" };
        session
            .execute(&format!(
                "CREATE TABLE m (ts {time_type}, series text, value double precision, PRIMARY KEY (series, ts)) \
                 WITH (time_column = 'ts', partition_by = '1 day')",
            ))
            .await
            .unwrap();
        for (name, query) in VIEWS {
            let sql = format!("CREATE MATERIALIZED VIEW {name} WITH (continuous) AS {query}");
            session.execute(&sql).await.unwrap();
        }
        for step in 0..25 {
            let context = format!("seed {seed}, step {step}");
            let other = database.connect().unwrap();
            match random.u8(..6) {
                0 | 1 => {
                    session.execute("BEGIN").await.unwrap();
                    for _ in 0..random.u8(1..4) {
                        write(&session, &mut random).await.unwrap();
                        check(&session, &context).await;
                    }
                    session.execute(["COMMIT", "ROLLBACK"][random.usize(..2)]).await.unwrap();
                }
                2 => {
                    // A refresh beside an open transaction does not see its rows, and must not take its marks.
                    session.execute("BEGIN").await.unwrap();
                    let at = time(&mut random);
                    let sql = format!("INSERT INTO m VALUES ({at}, 's5', 5) ON CONFLICT DO NOTHING");
                    session.execute(&sql).await.unwrap();
                    for (name, _) in VIEWS {
                        other.execute(&format!("REFRESH MATERIALIZED VIEW {name}")).await.unwrap();
                    }
                    check(&other, &context).await;
                    session.execute("COMMIT").await.unwrap();
                }
                3 => {
                    drop((session, other));
                    drop(database);
                    database = Database::open(directory.path()).unwrap();
                    session = database.connect().unwrap();
                }
                _ => write(&session, &mut random).await.unwrap(),
            }
            check(&session, &context).await;
        }
    }
}

#[tokio::test]
async fn what_expires_stays_in_the_aggregate() {
    let database = Database::memory().unwrap();
    let session = database.connect().unwrap();
    session
        .execute(
            "CREATE TABLE m (ts timestamptz NOT NULL, v int) WITH (time_column = 'ts', partition_by = '1 day', retention = '7 days'); \
             CREATE MATERIALIZED VIEW hourly WITH (continuous) AS \
             SELECT time_bucket('1 hour', ts) AS bucket, sum(v) AS v FROM m GROUP BY 1",
        )
        .await
        .unwrap();
    session
        .execute("INSERT INTO m SELECT timestamptz '2099-12-20 00:00Z' + interval '1 minute' * i, 1 FROM generate_series(0, 17279) t(i)")
        .await
        .unwrap();
    // The beginning of 2100. Nobody has refreshed.
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800);
    database.instance().run_jobs(now).await;
    assert_eq!(rows(&session, "SELECT count(*) FROM m").await, ["10080"]);
    assert_eq!(rows(&session, "SELECT count(*), sum(v) FROM hourly").await, ["288|17280"]);
    // A row that comes too late changes nothing of what has expired, one in time does.
    session.execute("INSERT INTO m VALUES ('2099-12-21 10:30Z', 1), ('2099-12-31 10:30Z', 100)").await.unwrap();
    assert_eq!(rows(&session, "SELECT sum(v) FROM hourly").await, ["17380"]);
    session.execute("REFRESH MATERIALIZED VIEW hourly").await.unwrap();
    assert_eq!(rows(&session, "SELECT sum(v) FROM hourly").await, ["17380"]);
    database.instance().run_jobs(now + std::time::Duration::from_secs(86_400)).await;
    assert_eq!(rows(&session, "SELECT count(*) FROM m").await, ["8641"]);
    assert_eq!(rows(&session, "SELECT sum(v) FROM hourly").await, ["17380"]);
}

#[tokio::test]
async fn the_appender_marks_what_it_adds() {
    let database = Database::memory().unwrap();
    let session = database.connect().unwrap();
    session
        .execute(
            "CREATE TABLE n (t bigint NOT NULL, v bigint) WITH (time_column = 't'); \
             CREATE MATERIALIZED VIEW hundreds WITH (continuous) AS SELECT time_bucket(100, t) AS b, sum(v) AS v FROM n GROUP BY 1",
        )
        .await
        .unwrap();
    let mut appender = database.appender("n").unwrap();
    let column = || std::sync::Arc::new(arrow::array::Int64Array::from_iter_values(0..1000)) as arrow::array::ArrayRef;
    let batch = arrow::array::RecordBatch::try_from_iter([("t", column()), ("v", column())]).unwrap();
    appender.push(batch).unwrap();
    appender.finish().unwrap();
    assert_eq!(rows(&session, "SELECT count(*), sum(v) FROM hundreds").await, ["10|499500"]);
}

#[tokio::test]
async fn a_writer_older_than_an_aggregate_is_told_to_try_again() {
    let database = Database::memory().unwrap();
    let (old, new) = (database.connect().unwrap(), database.connect().unwrap());
    old.execute("CREATE TABLE n (t bigint NOT NULL, v bigint) WITH (time_column = 't')").await.unwrap();
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    assert_eq!(rows(&old, "SELECT count(*) FROM n").await, ["0"]);
    let view = "CREATE MATERIALIZED VIEW tens WITH (continuous) AS SELECT time_bucket(10, t) AS b, sum(v) AS v FROM n GROUP BY 1";
    new.execute(view).await.unwrap();
    old.execute("INSERT INTO n VALUES (1, 1)").await.unwrap();
    let error = old.execute("COMMIT").await.unwrap_err();
    assert_eq!(error.state().0, "40001");
    assert_eq!(rows(&new, "SELECT count(*) FROM tens").await, ["0"]);
    new.execute("INSERT INTO n VALUES (1, 1)").await.unwrap();
    assert_eq!(rows(&old, "SELECT * FROM tens").await, ["0|1"]);
}
