//! Jobs in the background: what they do, and what is known of them.

use crate::harness::{Db, connect, run};
use std::time::{Duration, SystemTime};

/// The beginning of 2100, which the background itself will not see.
fn in_2100() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_partitions_that_are_too_old() {
    let db = Db::new();
    db.ok("CREATE TABLE m (ts timestamptz, v int) WITH (time_column = 'ts', partition_by = '1 day', retention = '7 days')")
        .await;
    db.ok("CREATE TABLE nanos (ts timestamp_ns, v int) WITH (time_column = 'ts', partition_by = '1 day', retention = '7 days')")
        .await;
    db.ok("CREATE TABLE \"Odd\" (d date, v int) WITH (time_column = 'd', retention = '1 month')").await;
    db.ok("CREATE TABLE plain (ts timestamp, v int) WITH (time_column = 'ts')").await;
    for table in ["m", "nanos", "plain"] {
        db.ok(&format!(
            "INSERT INTO {table} SELECT timestamp '2099-12-20' + interval '1 minute' * i, i FROM generate_series(0, 20159) t(i)"
        ))
        .await;
    }
    db.ok("INSERT INTO \"Odd\" VALUES ('2099-11-30', 1), ('2099-12-01', 2), ('2099-12-31', 3)").await;
    db.instance.run_jobs(in_2100()).await;
    // Seven days before 2100 begins 2099-12-25.
    assert_eq!(db.ok("SELECT min(ts), count(*) FROM m").await, "2099-12-25 00:00:00+00|12960");
    assert_eq!(db.ok("SELECT min(ts), count(*) FROM nanos").await, "2099-12-25 00:00:00|12960");
    assert_eq!(db.ok("SELECT count(*) FROM \"Odd\"").await, "2");
    assert_eq!(db.ok("SELECT count(*) FROM plain").await, "20160");
    let jobs = "SELECT kind, target, schedule, rows, errors, last_error, next_run FROM lightning.jobs ORDER BY target";
    assert_eq!(
        db.ok(jobs).await,
        "retention|public.Odd|01:00:00|1|0|NULL|2100-01-01 01:00:00+00\n\
         retention|public.m|01:00:00|7200|0|NULL|2100-01-01 01:00:00+00\n\
         retention|public.nanos|01:00:00|7200|0|NULL|2100-01-01 01:00:00+00"
    );
    db.ok("DROP TABLE m").await;
    db.instance.run_jobs(in_2100()).await;
    let targets = db.ok("SELECT target FROM lightning.jobs ORDER BY target").await;
    assert_eq!(targets, "public.Odd\npublic.nanos");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why_and_is_tried_again() {
    let db = Db::new();
    db.ok("CREATE TABLE m (ts timestamptz, v int) WITH (time_column = 'ts', retention = '1 day')").await;
    db.ok("INSERT INTO m VALUES ('2099-01-01', 1)").await;
    let other = connect(&db.instance);
    run(&other, "BEGIN; LOCK TABLE m").await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), db.instance.run_jobs(in_2100())).await.unwrap();
    let row = "SELECT errors > 0, last_error, next_run < '2100-01-01 00:01' FROM lightning.jobs";
    assert_eq!(db.ok(row).await, "t|55P03: canceling statement due to lock timeout|t");
    run(&other, "ROLLBACK").await.unwrap();
    db.instance.run_jobs(in_2100() + Duration::from_secs(60)).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "0");
    assert_eq!(db.ok("SELECT last_error IS NULL, rows FROM lightning.jobs").await, "t|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_background_follows_the_catalog_and_ends_with_the_instance() {
    let db = Db::new();
    db.ok("BEGIN; CREATE TABLE gone (ts timestamptz) WITH (time_column = 'ts', retention = '1 day'); ROLLBACK").await;
    db.ok("BEGIN; CREATE TABLE m (ts timestamptz) WITH (time_column = 'ts', retention = '1 day'); \
         INSERT INTO m VALUES ('2020-01-01'), ('2100-01-01'); COMMIT")
        .await;
    // Nobody but the background deletes the row.
    while db.ok("SELECT count(*) FROM m").await != "1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(db.ok("SELECT string_agg(target, ',') FROM lightning.jobs").await, "public.m");
    let instance = std::sync::Arc::downgrade(&db.instance);
    drop(db);
    while instance.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_is_told_later_is_what_its_job_does() {
    let db = Db::new();
    db.ok("CREATE TABLE m (ts timestamptz, v int) WITH (time_column = 'ts', partition_by = '1 day', retention = '60 days')").await;
    db.ok("INSERT INTO m SELECT timestamptz '2099-12-01 00:00Z' + interval '1 hour' * i, i FROM generate_series(0, 743) t(i)")
        .await;
    db.instance.run_jobs(in_2100()).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "744");
    // Both are looked at once an hour, and yet nobody waits for the hour to pass.
    db.ok("ALTER TABLE m SET (retention = '10 days')").await;
    db.instance.run_jobs(in_2100() + Duration::from_secs(1)).await;
    assert_eq!(db.ok("SELECT min(ts), count(*) FROM m").await, "2099-12-22 00:00:00+00|240");
    db.ok("ALTER TABLE m RESET (retention)").await;
    db.instance.run_jobs(in_2100() + Duration::from_secs(86_400 * 365)).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "240");
    assert_eq!(db.ok("SELECT count(*) FROM lightning.jobs").await, "0");
}

/// A table with an aggregate over it and a row that is too old in 2100.
async fn with_a_row_that_expires() -> Db {
    let db = Db::new();
    db.ok("CREATE TABLE m (ts timestamptz NOT NULL, v int) WITH (time_column = 'ts', retention = '1 day')").await;
    db.ok("CREATE MATERIALIZED VIEW daily WITH (continuous) AS \
           SELECT date_bin('1 day', ts, timestamptz '2000-01-01 00:00+00') AS day, sum(v) AS v FROM m GROUP BY 1")
        .await;
    db.ok("INSERT INTO m VALUES ('2099-01-01 00:00Z', 1)").await;
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_go_by_what_is_about_to_change() {
    let db = with_a_row_that_expires().await;
    let other = connect(&db.instance);
    run(&other, "BEGIN; ALTER TABLE m SET (retention = '100 years')").await.unwrap();
    db.instance.run_jobs(in_2100()).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "1");
    assert_eq!(
        db.ok("SELECT errors > 0, last_error FROM lightning.jobs").await,
        "t|55P03: could not obtain lock on relation \"m\""
    );
    run(&other, "COMMIT").await.unwrap();
    db.instance.run_jobs(in_2100() + Duration::from_secs(60)).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "1");
    assert_eq!(db.ok("SELECT last_error IS NULL FROM lightning.jobs").await, "t");
    db.ok("ALTER TABLE m SET (retention = '1 day')").await;
    db.instance.run_jobs(in_2100() + Duration::from_secs(120)).await;
    assert_eq!(db.ok("SELECT count(*) FROM m").await, "0");
    assert_eq!(db.ok("SELECT v FROM daily").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_change_the_catalog_while_rows_expire() {
    let db = with_a_row_that_expires().await;
    // The row that is to be deleted is in use, so the job waits for it.
    let holder = connect(&db.instance);
    run(&holder, "BEGIN; SELECT * FROM m FOR UPDATE").await.unwrap();
    let instance = std::sync::Arc::clone(&db.instance);
    let job = tokio::spawn(async move { instance.run_jobs(in_2100()).await });
    while db.ok("SELECT count(*) FROM lightning.queries WHERE query LIKE 'DELETE%'").await != "1" {
        tokio::task::yield_now().await;
    }
    db.ok("SET lock_timeout = '1ms'; CREATE TABLE meanwhile (v int)").await;
    run(&holder, "COMMIT").await.unwrap();
    job.await.unwrap();
    // On a busy machine it may have lost its patience, and tries again.
    let mut now = in_2100();
    while db.ok("SELECT count(*) FROM m").await != "0" {
        now += Duration::from_secs(60);
        db.instance.run_jobs(now).await;
    }
    assert_eq!(db.ok("SELECT v FROM daily").await, "1");
}
