//! `lightning serve`: what is acknowledged stays, through restarts and `kill -9`; refusals are one clear line.

use crate::process::{Serving, run, stderr};
use tokio_postgres::SimpleQueryMessage;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The first value of the first row.
async fn value(client: &tokio_postgres::Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
        _ => None,
    });
    row.unwrap()
}

#[test]
fn it_says_where_it_listens_and_how_to_connect() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("data"), &[]);
    let port = server.port;
    let expected = format!("listening on 127.0.0.1:{port}; connect with psql -h 127.0.0.1 -p {port} -U lightning\n");
    assert_eq!(server.line, expected);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn rows_survive_a_restart_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    runtime().block_on(async {
        let server = Serving::start(&data, &[]);
        let client = server.connect().await;
        client.batch_execute("create table t (a bigint, b text); insert into t values (1, 'one')").await.unwrap();
        client.batch_execute("insert into t select g, 'bulk' from generate_series(2, 150000) as g (g)").await.unwrap();
        assert_eq!(server.terminate(), Some(0));

        let server = Serving::start(&data, &[]);
        let client = server.connect().await;
        assert_eq!(value(&client, "select count(*) from t").await, "150000");
        client.batch_execute("insert into t values (150001, 'after the restart')").await.unwrap();
        client.batch_execute("create view v as select max(a) as m from t").await.unwrap();
        server.kill();

        let server = Serving::start(&data, &[]);
        let client = server.connect().await;
        assert_eq!(value(&client, "select count(*) from t").await, "150001");
        assert_eq!(value(&client, "select m from v").await, "150001");
        assert_eq!(value(&client, "select b from t where a = 150001").await, "after the restart");
    });
}

#[test]
fn an_open_transaction_dies_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    runtime().block_on(async {
        let server = Serving::start(&data, &[]);
        let client = server.connect().await;
        client.batch_execute("create table t (a int); insert into t values (1)").await.unwrap();
        client.batch_execute("begin; insert into t values (2)").await.unwrap();
        server.kill();
        let server = Serving::start(&data, &[]);
        let client = server.connect().await;
        assert_eq!(value(&client, "select count(*) from t").await, "1");
    });
}

#[test]
fn a_directory_in_use_is_one_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _server = Serving::start(&data, &[]);
    for command in [
        vec!["sql", data.to_str().unwrap(), "-c", "select 1"],
        vec!["serve", data.to_str().unwrap(), "--listen", "127.0.0.1:0"],
        vec!["verify", data.to_str().unwrap()],
    ] {
        let output = run(&command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let error = stderr(&output);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains("already open in another process"), "{error}");
    }
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("one"), &[]);
    let address = format!("127.0.0.1:{}", server.port);
    let output = run(&["serve", dir.path().join("two").to_str().unwrap(), "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(&format!("{address} is already in use")), "{error}");
}

#[test]
fn only_loopback_is_served_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = run(&["serve", data.to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("refusing to listen"), "{}", stderr(&output));
    assert!(!data.exists(), "nothing is created before the address is judged");
}

#[test]
fn the_memory_limit_is_the_databases_budget() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("data"), &["--memory-limit", "64MB"]);
    runtime().block_on(async {
        let client = server.connect().await;
        let limit = "select value from lightning.settings where name = 'memory_limit'";
        assert!(["64MB", "67108864", "65536kB", "64 MB"].contains(&value(&client, limit).await.as_str()));
        // A sort of more than the budget spills; the server answers and goes on.
        let sorted =
            "select count(*) from (select a from generate_series(1, 4000000) as g (a) order by a desc limit 3000000) s";
        match client.simple_query(sorted).await {
            Ok(_) => {}
            Err(e) => assert_eq!(e.code().map(|code| code.code()), Some("53200"), "{e}"),
        }
        assert_eq!(value(&client, "select 1").await, "1");
    });
}

#[test]
fn an_idle_server_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("data"), &[]);
    if let Some(bytes) = server.resident_bytes() {
        assert!(bytes < 100 << 20, "{bytes} bytes resident");
    }
}

#[test]
fn unknown_databases_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("data"), &[]);
    runtime().block_on(async {
        let Err(e) = server.try_connect("nope").await else { panic!("connected") };
        assert_eq!(e.code().map(|code| code.code()), Some("3D000"));
        server.try_connect("postgres").await.unwrap();
    });
}

#[test]
fn deep_nesting_is_an_error_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(&dir.path().join("data"), &[]);
    runtime().block_on(async {
        let client = server.connect().await;
        for sql in [
            format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
            format!("select {}1", "- ".repeat(10_000)),
            format!("select {}true", "not ".repeat(10_000)),
            format!("select 1{}", " + 1".repeat(10_000)),
            format!("{}select 1{}", "select * from (".repeat(2_000), ") s".repeat(2_000)),
        ] {
            let result = client.simple_query(&sql).await;
            if let Err(e) = result {
                assert_eq!(e.code().map(|code| code.code()), Some("54001"), "{e}");
            }
        }
        assert_eq!(value(&client, "select 1").await, "1");
    });
}
