//! What the protocol promises, message by message, also to clients that break it.

use crate::raw::{Raw, execute, kinds, message, query, run, startup, sync};
use crate::server::TestServer;
use lightning_wire::ServerOptions;

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_the_server_goes_on() {
    let server = TestServer::start();
    let mut raw = Raw::open(server.address).await;
    raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let refusal = raw.message().await.expect("an answer");
    assert_eq!(refusal.field('C').as_deref(), Some("08P01"));
    assert_eq!(refusal.field('S').as_deref(), Some("FATAL"));
    assert_eq!(raw.message().await, None);
    Raw::start(server.address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_packets_are_refused_by_their_length_alone() {
    let server = TestServer::start();
    let mut raw = Raw::open(server.address).await;
    raw.send(&10_001u32.to_be_bytes()).await;
    assert_eq!(raw.message().await.expect("an answer").field('C').as_deref(), Some("08P01"));
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&[b'Q', 0x7f, 0xff, 0xff, 0xff]).await;
    assert_eq!(raw.message().await.expect("an answer").field('C').as_deref(), Some("08P01"));
    assert_eq!(raw.message().await, None);
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&[b'Z', 0, 0, 0, 4]).await;
    assert_eq!(raw.message().await.expect("an answer").field('C').as_deref(), Some("08P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_declined_once_of_each_kind() {
    let server = TestServer::start();
    let mut raw = Raw::open(server.address).await;
    raw.send(&[0, 0, 0, 8, 4, 210, 22, 47]).await;
    assert_eq!(raw.byte().await, b'N');
    raw.send(&[0, 0, 0, 8, 4, 210, 22, 48]).await;
    assert_eq!(raw.byte().await, b'N');
    raw.send(&startup(&[("user", "tester"), ("database", "lightning")])).await;
    assert!(kinds(&raw.until_ready().await).starts_with('R'));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_databases_get_a_hint() {
    let server = TestServer::start();
    let mut raw = Raw::open(server.address).await;
    raw.send(&startup(&[("user", "tester"), ("database", "nowhere")])).await;
    let refusal = raw.message().await.expect("an answer");
    assert_eq!(refusal.field('C').as_deref(), Some("3D000"));
    assert!(refusal.field('H').is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_the_maximum_are_told_so() {
    let server = TestServer::with(ServerOptions { connections_max: 1, ..ServerOptions::default() });
    let (_first, _) = Raw::start(server.address).await;
    let mut second = Raw::open(server.address).await;
    second.send(&startup(&[("user", "tester")])).await;
    assert_eq!(second.message().await.expect("an answer").field('C').as_deref(), Some("53300"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_one_transaction() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&query("CREATE TABLE t (a integer); INSERT INTO t VALUES (1); SELECT a FROM t")).await;
    assert_eq!(kinds(&raw.until_ready().await), "CCTDCZ");
    raw.send(&query("INSERT INTO t VALUES (2); SELECT nonsense FROM t")).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "CEZ");
    assert_eq!(answer[1].field('C').as_deref(), Some("42703"));
    raw.send(&query("SELECT count(*) FROM t")).await;
    let answer = raw.until_ready().await;
    assert_eq!(answer[1].body, [0, 1, 0, 0, 0, 1, b'1']);
    raw.send(&query("")).await;
    assert_eq!(kinds(&raw.until_ready().await), "IZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_skip_to_sync() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    let mut bytes = execute("SELECT 1", 0);
    bytes.extend(execute("SELECT nonsense", 0));
    bytes.extend(execute("SELECT 2", 0));
    bytes.extend(sync());
    bytes.extend(execute("SELECT 3", 0));
    bytes.extend(sync());
    raw.send(&bytes).await;
    assert_eq!(kinds(&raw.until_ready().await), "12DCEZ");
    assert_eq!(kinds(&raw.until_ready().await), "12DCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_stop_at_their_limit_and_go_on() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    let mut bytes = execute("SELECT * FROM (VALUES (1), (2), (3)) AS t(a)", 2);
    bytes.extend(run(2));
    bytes.extend(run(2));
    bytes.extend(sync());
    raw.send(&bytes).await;
    assert_eq!(kinds(&raw.until_ready().await), "12DDsDCCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_leave_the_connection_usable() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&message('Q', b"no terminator")).await;
    let answer = raw.until_ready().await;
    assert_eq!(answer[0].field('C').as_deref(), Some("08P01"));
    raw.send(&query("SELECT '\u{fc}'")).await;
    assert_eq!(kinds(&raw.until_ready().await), "TDCZ");
    // Inside a block it fails the block, as any error does.
    raw.send(&query("BEGIN")).await;
    assert_eq!(kinds(&raw.until_ready().await), "CZ");
    raw.send(&message('Q', b"no terminator")).await;
    raw.until_ready().await;
    raw.send(&query("SELECT 1")).await;
    assert_eq!(raw.until_ready().await[0].field('C').as_deref(), Some("25P02"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_requests_stop_the_statement_in_both_protocols() {
    let server = TestServer::start();
    let (mut raw, key) = Raw::start(server.address).await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let mut extended = execute(endless, 0);
    extended.extend(sync());
    for request in [query(endless), extended] {
        raw.send(&request).await;
        let canceller = async || {
            let mut cancel = Raw::open(server.address).await;
            let mut packet = vec![0, 0, 0, 16, 4, 210, 22, 46];
            packet.extend(key);
            cancel.send(&packet).await;
            assert_eq!(cancel.message().await, None);
        };
        // A cancel that arrives before the statement has begun does nothing, so it is repeated until it bites.
        let answer = {
            let answered = raw.until_ready();
            tokio::pin!(answered);
            loop {
                canceller().await;
                tokio::select! {
                    answer = &mut answered => break answer,
                    () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
                }
            }
        };
        let error = answer.iter().find(|message| message.kind == 'E').expect("an error");
        assert_eq!(error.field('C').as_deref(), Some("57014"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_tells_idle_clients() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    server.stop().await;
    let farewell = raw.message().await.expect("a farewell");
    assert_eq!(farewell.field('C').as_deref(), Some("57P01"));
    assert_eq!(raw.message().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_passes_rows_in_and_out() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&query("CREATE TABLE t (a integer, b text)")).await;
    raw.until_ready().await;
    let mut bytes = query("COPY t FROM STDIN WITH (FORMAT csv)");
    bytes.extend(message('d', b"1,one\n2,"));
    bytes.extend(message('d', b"two\n"));
    bytes.extend(message('c', b""));
    raw.send(&bytes).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "GCZ");
    assert_eq!(answer[1].body, b"COPY 2\0");
    raw.send(&query("COPY t TO STDOUT WITH (FORMAT csv)")).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "HddcCZ");
    let data: Vec<u8> = answer.iter().filter(|m| m.kind == 'd').flat_map(|m| m.body.clone()).collect();
    assert_eq!(data, b"1,one\n2,two\n");
    let mut bytes = query("COPY t FROM STDIN WITH (FORMAT csv)");
    bytes.extend(message('f', b"changed my mind\0"));
    raw.send(&bytes).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "GEZ");
    assert_eq!(answer[1].field('C').as_deref(), Some("57014"));
}
