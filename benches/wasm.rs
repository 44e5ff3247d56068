//! Functions and triggers in WebAssembly, embedded: what a row, a batch, an instance and a stop cost, best of several runs.
//!
//! `wasm DIRECTORY` makes a new database there and prints a line of JSON for each figure. The same expressions natively, and the
//! same statements without triggers, run beside them.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use lightning::{Database, Session};
use lightning_sandbox::{Abi, Function, FunctionSpec, Kind, Limits, Sandbox, SandboxOptions, from_text, hash};
use lightning_storage::budget::MemoryBudget;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs each figure is the best of.
const RUNS: usize = 7;
/// Rows that functions are called on.
const ROWS: usize = 4_000_000;
/// Rows that are inserted.
const INSERTED: usize = 1_000_000;

type Error = Box<dyn std::error::Error>;

/// The guest's memory, with an allocator that `reset` takes back to its start.
const MEMORY: &str = r#"
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (func (export "reset") (global.set $next (i32.const 1024)))
  (func $alloc (export "alloc") (param $bytes i32) (param $align i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get $bytes)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1)))))
    (local.get $at))
"#;

/// `a * b + c` over columns, two rows at a time.
const MULADD_BATCH: &str = r#"
  (func $column (param $args i32) (param $i i32) (result i32)
    (i32.load (i32.add (local.get $args) (i32.mul (local.get $i) (i32.const 20)))))
  (func (export "muladd") (param $args i32) (param $rows i32) (param $out i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $to i32) (local $end i32)
    (local.set $a (call $column (local.get $args) (i32.const 0)))
    (local.set $b (call $column (local.get $args) (i32.const 1)))
    (local.set $c (call $column (local.get $args) (i32.const 2)))
    (local.set $to (call $alloc (i32.mul (i32.add (local.get $rows) (i32.const 1)) (i32.const 8)) (i32.const 16)))
    (i32.store (local.get $out) (local.get $to))
    (i32.store offset=4 (local.get $out) (i32.mul (local.get $rows) (i32.const 8)))
    (i32.store offset=8 (local.get $out) (i32.const 0))
    (i32.store offset=12 (local.get $out) (i32.const 0))
    (i32.store offset=16 (local.get $out) (local.get $rows))
    (local.set $end (i32.add (local.get $to) (i32.mul (local.get $rows) (i32.const 8))))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $to) (local.get $end)))
      (v128.store (local.get $to)
        (i64x2.add (i64x2.mul (v128.load (local.get $a)) (v128.load (local.get $b))) (v128.load (local.get $c))))
      (local.set $a (i32.add (local.get $a) (i32.const 16)))
      (local.set $b (i32.add (local.get $b) (i32.const 16)))
      (local.set $c (i32.add (local.get $c) (i32.const 16)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br $more)))
    (i32.const 0))
"#;

/// ASCII letters in upper case, 16 bytes at a time.
const UPPER_BATCH: &str = r#"
  (func (export "shout") (param $args i32) (param $rows i32) (param $out i32) (result i32)
    (local $from i32) (local $to i32) (local $end i32) (local $bytes i32) (local $v v128)
    (local.set $from (i32.load (local.get $args)))
    (local.set $bytes (i32.load offset=4 (local.get $args)))
    (local.set $to (call $alloc (i32.add (local.get $bytes) (i32.const 16)) (i32.const 16)))
    (i32.store (local.get $out) (local.get $to))
    (i32.store offset=4 (local.get $out) (local.get $bytes))
    (i32.store offset=8 (local.get $out) (i32.load offset=8 (local.get $args)))
    (i32.store offset=12 (local.get $out) (i32.load offset=12 (local.get $args)))
    (i32.store offset=16 (local.get $out) (local.get $rows))
    (local.set $end (i32.add (local.get $to) (local.get $bytes)))
    (block $done (loop $more
      (br_if $done (i32.gt_u (i32.add (local.get $to) (i32.const 16)) (local.get $end)))
      (local.set $v (v128.load (local.get $from)))
      (v128.store (local.get $to) (i8x16.sub (local.get $v) (v128.and
        (v128.and (i8x16.ge_u (local.get $v) (i8x16.splat (i32.const 97)))
                  (i8x16.le_u (local.get $v) (i8x16.splat (i32.const 122))))
        (i8x16.splat (i32.const 32)))))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br $more)))
    (block $last (loop $one
      (br_if $last (i32.ge_u (local.get $to) (local.get $end)))
      (i32.store8 (local.get $to) (i32.sub (i32.load8_u (local.get $from))
        (i32.shl (i32.lt_u (i32.sub (i32.load8_u (local.get $from)) (i32.const 97)) (i32.const 26)) (i32.const 5))))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $one)))
    (i32.const 0))
"#;

/// Sets the second column to twice the first.
const ROW_TRIGGER: &str = r#"(module
  (import "lightning" "get_i64" (func $get (param i32 i32) (result i64)))
  (import "lightning" "set_i64" (func $set (param i32 i64)))
  (func (export "doubled") (result i32)
    (call $set (i32.const 1) (i64.mul (call $get (i32.const 1) (i32.const 0)) (i64.const 2)))
    (i32.const 0)))"#;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory] = arguments.as_slice() else { return Err("usage: wasm DIRECTORY".into()) };
    {
        let database = Database::open(directory)?;
        let session = database.connect()?;
        create(&session).await?;
        functions(&session).await?;
        triggers(&session).await?;
        stops(&session).await?;
    }
    restart(directory).await?;
    instances()
}

async fn create(session: &Session) -> Result<(), Error> {
    session
        .execute(&format!(
            "CREATE TABLE t (a bigint, b bigint, c bigint, s text);
             INSERT INTO t SELECT i, i % 1000, -i, 'Row number ' || i || ' of the table' FROM generate_series(1, {ROWS}) AS g(i)"
        ))
        .await?;
    let wasm = "RETURNS bigint LANGUAGE wasm IMMUTABLE";
    for sql in [
        format!(
            "CREATE FUNCTION muladd(a bigint, b bigint, c bigint) {wasm} WITH (abi = 'batch') AS '(module {MEMORY} {MULADD_BATCH})'"
        ),
        format!(
            "CREATE FUNCTION muladd_scalar(a bigint, b bigint, c bigint) {wasm} AS '(module (func (export \"muladd_scalar\") \
             (param i64 i64 i64) (result i64) (i64.add (i64.mul (local.get 0) (local.get 1)) (local.get 2))))'"
        ),
        format!(
            "CREATE FUNCTION shout(s text) RETURNS text LANGUAGE wasm IMMUTABLE WITH (abi = 'batch') AS '(module {MEMORY} {UPPER_BATCH})'"
        ),
        "CREATE FUNCTION endless() RETURNS int LANGUAGE wasm WITH (timeout = '100ms') AS \
         '(module (func (export \"endless\") (result i32) (loop (br 0)) (unreachable)))'"
            .to_owned(),
        "CREATE FUNCTION endless_hour() RETURNS int LANGUAGE wasm WITH (timeout = '1h') AS \
         '(module (func (export \"endless_hour\") (result i32) (loop (br 0)) (unreachable)))'"
            .to_owned(),
        format!("CREATE FUNCTION doubled() RETURNS trigger LANGUAGE wasm AS '{ROW_TRIGGER}'"),
        format!(
            "CREATE FUNCTION after_all() RETURNS trigger LANGUAGE wasm AS '(module {MEMORY} (func (export \"after_all\") \
             (param i32 i32 i32 i32 i32) (result i32) (i32.const 0)))'"
        ),
    ] {
        session.execute(&sql).await?;
    }
    Ok(())
}

async fn functions(session: &Session) -> Result<(), Error> {
    let scan = best(session, "SELECT max(a), max(b), max(c) FROM t").await?;
    let native = best(session, "SELECT max(a * b + c) FROM t").await?;
    let batch = best(session, "SELECT max(muladd(a, b, c)) FROM t").await?;
    figure("three columns read, ms", scan);
    figure("a * b + c natively, ms", native);
    figure("a * b + c by the batch ABI, ms", batch);
    figure("the same, times the native", batch / native);
    figure(
        "batch ABI, ns a row in the function",
        inside(session, "muladd", "SELECT max(muladd(a, b, c)) FROM t").await? / ROWS as f64,
    );
    let scalar = best(session, "SELECT max(muladd_scalar(a, b, c)) FROM t").await?;
    figure("a * b + c by the scalar ABI, ms", scalar);
    let nanos = inside(session, "muladd_scalar", "SELECT max(muladd_scalar(a, b, c)) FROM t").await?;
    figure("scalar ABI, ns a row in the function", nanos / ROWS as f64);
    let bytes = number(session, "SELECT sum(octet_length(s))::float8 FROM t").await?;
    let nanos = inside(session, "shout", "SELECT max(shout(s)) FROM t").await?;
    figure("text by the batch ABI, MB/s in the function", bytes / nanos * 1e3);
    figure("upper(s) natively, ms", best(session, "SELECT max(upper(s)) FROM t").await?);
    figure("shout(s) by the batch ABI, ms", best(session, "SELECT max(shout(s)) FROM t").await?);
    Ok(())
}

async fn triggers(session: &Session) -> Result<(), Error> {
    session.execute("CREATE TABLE fired (a bigint, b bigint)").await?;
    let insert = format!("INSERT INTO fired SELECT i, i FROM generate_series(1, {INSERTED}) AS g(i)");
    let triggers = [
        None,
        Some("CREATE TRIGGER fires BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION doubled()"),
        Some("CREATE TRIGGER fires AFTER INSERT ON fired FOR EACH STATEMENT EXECUTE FUNCTION after_all()"),
    ];
    let mut times = [f64::INFINITY; 3];
    for _ in 0..2 * RUNS {
        for (time, trigger) in times.iter_mut().zip(triggers) {
            if let Some(trigger) = trigger {
                session.execute(trigger).await?;
            }
            *time = time.min(once(session, &insert).await?);
            session.execute("DROP TRIGGER IF EXISTS fires ON fired; TRUNCATE fired").await?;
        }
    }
    let [plain, row, statement] = times;
    figure("INSERT of 1 M rows, ms", plain);
    figure("the same with a row trigger, ms", row);
    figure("row trigger, us a row", (row - plain) * 1e3 / INSERTED as f64);
    figure("the same with a statement trigger, ms", statement);
    figure("statement trigger, % more", 100.0 * (statement - plain) / plain);
    Ok(())
}

/// How long after its time-out, or after a cancel, an endless function ends.
async fn stops(session: &Session) -> Result<(), Error> {
    let (mut timed_out, mut cancelled) = (0f64, 0f64);
    for _ in 0..RUNS {
        let began = Instant::now();
        if session.execute("SELECT endless()").await.is_ok() {
            return Err("an endless function ended".into());
        }
        timed_out = timed_out.max(began.elapsed().as_secs_f64() * 1e3 - 100.0);
        let cancel = session.cancel_handle();
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            cancel.cancel();
            Instant::now()
        });
        if session.execute("SELECT endless_hour()").await.is_ok() {
            return Err("an endless function ended".into());
        }
        let ended = Instant::now();
        let asked = canceller.join().map_err(|_| "the cancelling thread failed")?;
        cancelled = cancelled.max(ended.saturating_duration_since(asked).as_secs_f64() * 1e3);
    }
    figure("worst stop after a time-out, ms", timed_out);
    figure("worst stop after a cancel, ms", cancelled);
    Ok(())
}

/// The first call after the database was opened again, its compiled code on disk.
async fn restart(directory: &str) -> Result<(), Error> {
    let (mut first, mut later, mut peer) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        let database = Database::open(directory)?;
        let session = database.connect()?;
        // What planning loads the first time is not the function's.
        session.execute("SELECT 1 * 2 + 3").await?;
        peer = peer.min(once(&session, "SELECT 2::bigint * 3 + a FROM t LIMIT 1").await?);
        first = first.min(once(&session, "SELECT muladd(2, 3, a) FROM t LIMIT 1").await?);
        later = later.min(once(&session, "SELECT muladd(2, 3, a) FROM t LIMIT 1").await?);
    }
    figure("native query after a restart, ms", peer);
    figure("first call after a restart, whole query, ms", first);
    figure("a later call, whole query, ms", later);
    figure("what the first call takes more, ms", first - later);
    Ok(())
}

/// What an instance takes that is made for a partition of a query.
fn instances() -> Result<(), Error> {
    let sandbox = Sandbox::new(SandboxOptions { cache: None, budget: MemoryBudget::new(1 << 30) })?;
    let wasm = from_text(&format!("(module {MEMORY} {MULADD_BATCH})"))?;
    let module = sandbox.module(&wasm, &hash(&wasm), Kind::default())?;
    let spec = FunctionSpec {
        name: "muladd".to_owned(),
        export: "muladd".to_owned(),
        abi: Abi::Batch,
        arguments: vec![DataType::Int64; 3],
        returns: DataType::Int64,
        is_strict: false,
        limits: Limits::default(),
    };
    let function = Arc::new(Function::new(&module, spec, Arc::default())?);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let arguments = vec![column; 3];
    let (mut fresh, mut kept) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..1000 {
        let pool = function.pool(Arc::new(|| false));
        let began = Instant::now();
        pool.call(&arguments, 2)?;
        fresh = fresh.min(began.elapsed().as_secs_f64() * 1e6);
        let began = Instant::now();
        pool.call(&arguments, 2)?;
        kept = kept.min(began.elapsed().as_secs_f64() * 1e6);
    }
    figure("first call of an instance, us", fresh);
    figure("a later call of it, us", kept);
    figure("instance, us", fresh - kept);
    Ok(())
}

fn figure(name: &str, value: f64) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}}}");
}

/// The milliseconds of a statement.
async fn once(session: &Session, sql: &str) -> Result<f64, Error> {
    let began = Instant::now();
    if sql.starts_with("SELECT") {
        let rows: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
        std::hint::black_box(rows.len());
    } else {
        session.execute(sql).await?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

async fn best(session: &Session, sql: &str) -> Result<f64, Error> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        best = best.min(once(session, sql).await?);
    }
    Ok(best)
}

/// The nanoseconds a query spends in a function, over all its partitions, at best.
async fn inside(session: &Session, function: &str, sql: &str) -> Result<f64, Error> {
    let spent = format!("SELECT total_ms FROM lightning.functions WHERE name = '{function}'");
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let before = number(session, &spent).await?;
        once(session, sql).await?;
        best = best.min((number(session, &spent).await? - before) * 1e6);
    }
    Ok(best)
}

/// The only number that a query gives.
async fn number(session: &Session, sql: &str) -> Result<f64, Error> {
    let rows: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
    let batch = rows.iter().find(|batch| batch.num_rows() > 0).ok_or("no row")?;
    Ok(batch.column(0).as_primitive::<Float64Type>().value(0))
}
