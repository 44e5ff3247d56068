//! Continuous aggregates after the power has gone: in the middle of writes, refreshes and retention.
//!
//! Every transaction that writes to `m` writes the same to `kept`, which has no aggregates and keeps its rows. So whatever a crash leaves,
//! in whichever transaction it was, an aggregate of `m` must have what its query has over `kept`: after recovery, when it is read; after
//! a refresh; and after further work. That `m` itself has lost rows to retention makes no difference to it.

use crate::aggregates::rows;
use lightning::{Database, Result, Session};
use lightning_vfs::{FaultyVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The aggregates, in the order they are made, and their queries over `kept`.
const VIEWS: [(&str, &str, &str); 3] = [
    (
        "hourly",
        "SELECT time_bucket('1 hour', ts) AS bucket, series, count(*) AS n, sum(value) AS total, last(value, ts) AS newest \
         FROM m GROUP BY 1, 2",
        "SELECT time_bucket('1 hour', ts) AS bucket, series, count(*) AS n, sum(value) AS total, last(value, ts) AS newest \
         FROM kept GROUP BY 1, 2",
    ),
    (
        "daily",
        "SELECT series, time_bucket('1 day', ts) AS day, max(value) AS top FROM m WHERE value > 20 GROUP BY 1, 2",
        "SELECT series, time_bucket('1 day', ts) AS day, max(value) AS top FROM kept WHERE value > 20 GROUP BY 1, 2",
    ),
    (
        "days_of_hours",
        "SELECT time_bucket('1 day', bucket) AS day, sum(n) AS n, max(newest) AS newest FROM hourly GROUP BY 1",
        "SELECT time_bucket('1 day', bucket) AS day, sum(n) AS n, max(newest) AS newest FROM ( \
         SELECT time_bucket('1 hour', ts) AS bucket, series, count(*) AS n, last(value, ts) AS newest FROM kept GROUP BY 1, 2) AS h GROUP BY 1",
    ),
];

/// Days that `m` keeps.
const RETENTION_DAYS: u64 = 7;
/// Days of times that are written.
const DAYS: u64 = 6;
const DAY: Duration = Duration::from_secs(86_400);

/// 2099-12-01: the background, which goes by the clock, finds nothing that is too old.
fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(4_099_766_400)
}

/// What happens, and the chances it has.
struct Work {
    random: fastrand::Rng,
    /// Days since [`epoch`] that have expired, or would have if the power had not gone. Nothing is written before.
    expired_days: u64,
}

impl Work {
    /// A time that has not expired.
    fn time(&mut self) -> String {
        let minutes = self.expired_days * 1440 + self.random.u64(..DAYS * 1440);
        format!("timestamptz '2099-12-01 00:00Z' + interval '{minutes} minutes'")
    }

    /// The first time that has not expired.
    fn first(&self) -> String {
        format!("timestamptz '2099-12-01 00:00Z' + interval '{} days'", self.expired_days)
    }

    /// A change of the rows of a table, `{t}`.
    fn change(&mut self) -> String {
        let (at, first) = (self.time(), self.first());
        match self.random.u8(..10) {
            0..5 => format!(
                "INSERT INTO {{t}} SELECT {at} + interval '7 minutes' * i, 's{}', i % 60 FROM generate_series(0, {}) AS g (i) \
                 ON CONFLICT DO NOTHING",
                self.random.u8(..3),
                self.random.u16(..300)
            ),
            5 => format!(
                "INSERT INTO {{t}} VALUES ({at}, 's1', 77) ON CONFLICT (series, ts) DO UPDATE SET value = excluded.value"
            ),
            6 => format!("UPDATE {{t}} SET value = value + 1 WHERE ts BETWEEN {at} AND {at} + interval '3 hours'"),
            7 => format!(
                "UPDATE {{t}} SET ts = ts + interval '1 day 13 seconds' WHERE series = 's1' AND ts >= {first} AND ts < {at} AND value = 3"
            ),
            8 => format!("DELETE FROM {{t}} WHERE series = 's2' AND ts >= {first} AND ts < {at}"),
            _ => format!("DELETE FROM {{t}} WHERE ts >= {at} AND ts < {at} + interval '1 day'"),
        }
    }

    /// Makes changes to both tables as one transaction.
    async fn write(&mut self, session: &Session) -> Result<()> {
        let changes: Vec<String> = (0..self.random.u8(1..4)).map(|_| self.change()).collect();
        let both = changes.iter().flat_map(|change| [change.replace("{t}", "m"), change.replace("{t}", "kept")]);
        let script = both.collect::<Vec<_>>().join("; ");
        match session.execute(&script).await {
            // Two rows came to have one key, so that nothing was changed.
            Err(e) if e.state().0 == "23505" => Ok(()),
            other => other.map(drop),
        }
    }

    fn refresh(&mut self) -> String {
        format!("REFRESH MATERIALIZED VIEW {}", VIEWS[self.random.usize(..VIEWS.len())].0)
    }

    /// The next day on which rows expire.
    fn next_day(&mut self) -> SystemTime {
        self.expired_days += self.random.u64(1..3);
        epoch() + DAY * (self.expired_days + RETENTION_DAYS) as u32
    }

    async fn step(&mut self, database: &Database, session: &Session) -> Result<()> {
        match self.random.u8(..12) {
            0..4 => self.write(session).await,
            4..7 => session.execute(&self.refresh()).await.map(drop),
            7 => session.execute("CHECKPOINT").await.map(drop),
            8 => {
                let now = self.next_day();
                database.instance().run_jobs(now).await;
                Ok(())
            }
            9 => {
                let (now, other) = (self.next_day(), database.connect()?);
                let ((), written) = tokio::join!(database.instance().run_jobs(now), self.write(&other));
                written
            }
            _ => {
                let (refresh, other) = (self.refresh(), database.connect()?);
                let (refreshed, written) = tokio::join!(session.execute(&refresh), self.write(&other));
                refreshed.and(Ok(written?))
            }
        }
    }
}

fn open(disk: &FaultyVfs) -> Database {
    let vfs: Arc<dyn Vfs> = disk.shared();
    Database::builder().memory_limit(128 << 20).threads(2).open_on(vfs, Path::new(PATH)).unwrap()
}

const PATH: &str = "/db";

async fn create(database: &Database, partition_by: &str) {
    let session = database.connect().unwrap();
    let columns = "(ts timestamptz, series text, value double precision, PRIMARY KEY (series, ts))";
    let options = format!("WITH (time_column = 'ts', retention = '{RETENTION_DAYS} days'{partition_by})");
    session.execute(&format!("CREATE TABLE m {columns} {options}; CREATE TABLE kept {columns}")).await.unwrap();
    for (name, query, _) in VIEWS {
        let sql = format!("CREATE MATERIALIZED VIEW {name} WITH (continuous) AS {query}");
        session.execute(&sql).await.unwrap();
    }
}

/// Compares `m`, as far as nothing of it can have expired, and the aggregates with `kept`.
async fn check(session: &Session, work: &Work, context: &str) {
    let since = |table| format!("SELECT * FROM {table} WHERE ts >= {}", work.first());
    assert!(rows(session, &since("m")).await == rows(session, &since("kept")).await, "{context}: m");
    for (name, _, query) in VIEWS {
        let (has, wanted) = (rows(session, &format!("SELECT * FROM {name}")).await, rows(session, query).await);
        assert!(has == wanted, "{context}: {name} has {has:#?} instead of {wanted:#?}");
    }
}

/// What a crash has left is right, stays right when it is refreshed, and the files have no fault.
async fn check_all(disk: &FaultyVfs, work: &Work, context: &str) {
    let database = open(disk);
    let session = database.connect().unwrap();
    check(&session, work, &format!("{context}, recovered")).await;
    for (name, _, _) in VIEWS {
        session.execute(&format!("REFRESH MATERIALIZED VIEW {name}")).await.unwrap();
        check(&session, work, &format!("{context}, {name} refreshed")).await;
    }
    drop(session);
    drop(database);
    let report = lightning_storage::Engine::verify(disk.shared(), Path::new(PATH)).unwrap();
    assert!(report.faults.is_empty(), "{context}: {:?}", report.faults);
}

#[tokio::test]
async fn aggregates_have_what_their_queries_have_after_any_crash() {
    let (seeds, crashes) = if std::env::var_os("LIGHTNING_LONG").is_some() { (150, 8) } else { (4, 3) };
    for seed in 0..seeds {
        let mut work = Work { random: fastrand::Rng::with_seed(seed), expired_days: 0 };
        let mut disk = FaultyVfs::new(seed);
        create(&open(&disk), if seed % 2 == 0 { ", partition_by = '1 day'" } else { "" }).await;
        for crash in 0..crashes {
            let context = format!("seed {seed}, crash {crash}");
            let database = open(&disk);
            let session = database.connect().unwrap();
            // Sometimes early, so that it is during the first refresh after a crash, mostly in the middle of things.
            let operations_max = [6, 40, 150][work.random.usize(..3)];
            disk.halt_at(disk.operations() + work.random.u64(1..operations_max));
            let mut steps = 0;
            while !disk.halted() && steps < 40 {
                let done = work.step(&database, &session).await;
                assert!(done.is_ok() || disk.halted(), "{context}, step {steps}: {}", done.unwrap_err());
                if !disk.halted() && steps % 8 == 0 {
                    check(&session, &work, &format!("{context}, step {steps}")).await;
                }
                steps += 1;
            }
            let left = disk.crash_with(work.random.u64(..));
            check_all(&disk.crash_with(work.random.u64(..)), &work, &format!("{context}, looked at")).await;
            drop(session);
            drop(database);
            disk = left;
            check(&open(&disk).connect().unwrap(), &work, &context).await;
        }
    }
}
