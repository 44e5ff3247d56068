//! COPY in format binary over a socket, with a driver's own reader and writer.

use crate::raw::{Raw, kinds, message, query};
use crate::server::TestServer;
use futures::{TryStreamExt, pin_mut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::Type;

const TYPES: [Type; 7] =
    [Type::INT4, Type::INT8, Type::FLOAT8, Type::TEXT, Type::TIMESTAMPTZ, Type::BYTEA, Type::INT4_ARRAY];

#[tokio::test(flavor = "multi_thread")]
async fn a_drivers_binary_rows_go_in_and_come_back() {
    let server = TestServer::start();
    let client = server.connect().await;
    let create = "create table t (i int, b bigint, f double precision, t text, at timestamptz, raw bytea, a int[])";
    client.simple_query(create).await.expect("created");
    let sink = client.copy_in("copy t from stdin (format binary)").await.expect("CopyInResponse");
    let writer = BinaryCopyInWriter::new(sink, &TYPES);
    pin_mut!(writer);
    let time = |i: i32| UNIX_EPOCH + Duration::from_secs(1_700_000_000 + i as u64);
    for i in 0..20_000i32 {
        let text = (i % 3 != 0).then(|| format!("row {i}"));
        let numbers = vec![Some(i), None];
        writer
            .as_mut()
            .write(&[&i, &(i64::from(i) << 32), &(f64::from(i) / 8.0), &text, &time(i), &&b"\0\xff"[..], &numbers])
            .await
            .expect("written");
    }
    assert_eq!(writer.finish().await.expect("copied"), 20_000);

    let stream = client.copy_out("copy (select * from t order by i) to stdout (format binary)").await.expect("CopyOut");
    let rows = BinaryCopyOutStream::new(stream, &TYPES);
    let rows: Vec<_> = rows.try_collect().await.expect("rows");
    assert_eq!(rows.len(), 20_000);
    for (i, row) in (0..).zip(&rows) {
        assert_eq!(row.get::<i32>(0), i);
        assert_eq!(row.get::<i64>(1), i64::from(i) << 32);
        assert_eq!(row.get::<f64>(2), f64::from(i) / 8.0);
        assert_eq!(row.get::<Option<&str>>(3), (i % 3 != 0).then(|| format!("row {i}")).as_deref());
        assert_eq!(row.get::<SystemTime>(4), time(i));
        assert_eq!(row.get::<&[u8]>(5), b"\0\xff");
        assert_eq!(row.get::<Vec<Option<i32>>>(6), [Some(i), None]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_does_not_fit_names_its_line_and_leaves_nothing() {
    let server = TestServer::start();
    let client = server.connect().await;
    client.simple_query("create table t (a int, b varchar(3))").await.expect("created");
    let sink = client.copy_in("copy t from stdin (format binary)").await.expect("CopyInResponse");
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::VARCHAR]);
    pin_mut!(writer);
    writer.as_mut().write(&[&1i32, &"abc"]).await.expect("written");
    writer.as_mut().write(&[&2i32, &"abcd"]).await.expect("written");
    let error = writer.finish().await.expect_err("too long");
    let error = error.as_db_error().expect("from the database");
    assert_eq!(error.code().code(), "22001");
    assert_eq!(error.where_(), Some("COPY t, line 2, column b"));
    let rows = client.query("select * from t", &[]).await.expect("the connection goes on");
    assert!(rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_say_binary_for_every_column() {
    let server = TestServer::start();
    let (mut raw, _) = Raw::start(server.address).await;
    raw.send(&query("create table t (a int, b text)")).await;
    raw.until_ready().await;
    let layout = [1, 0, 2, 0, 1, 0, 1];
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let row = b"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x07\xff\xff\xff\xff";

    // Data in messages that end in the middle of the header, of a length and of a value.
    let data = [&header[..], row, b"\xff\xff"].concat();
    let mut bytes = query("copy t from stdin (format binary)");
    for piece in [&data[..5], &data[5..23], &data[23..27], &data[27..]] {
        bytes.extend(message('d', piece));
    }
    bytes.extend(message('c', b""));
    raw.send(&bytes).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "GCZ");
    assert_eq!((&answer[0].body[..], &answer[1].body[..]), (&layout[..], &b"COPY 1\0"[..]));

    raw.send(&query("copy t to stdout (format binary)")).await;
    let answer = raw.until_ready().await;
    assert_eq!(kinds(&answer), "HddcCZ");
    assert_eq!(answer[0].body, layout);
    let sent: Vec<u8> = answer[1..3].iter().flat_map(|message| message.body.clone()).collect();
    assert_eq!(sent, data);
    assert_eq!(answer[2].body, b"\xff\xff", "the header goes with the first row, the trailer alone");
}
