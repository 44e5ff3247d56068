//! Line protocol over HTTP, through a real socket: what is acknowledged is there, what is refused has left nothing.

use crate::http_client::{Served, exchange, rows_of, send, try_send};
use crate::process::{Serving, run, stderr};
use flate2::Compression;
use flate2::write::GzEncoder;
use lightning::Database;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

#[test]
fn points_become_rows_of_tables_that_appear() {
    let served = Served::start();
    served.write("", "cpu,host=a usage=0.5,cores=8i,busy=t,note=\"x, y\" 1700000000123456789\ncpu,host=b usage=1 1700000001000000000");
    assert_eq!(
        served.columns("cpu"),
        [
            "time timestamp with time zone",
            "host text",
            "usage double precision",
            "cores bigint",
            "busy boolean",
            "note text"
        ]
    );
    let rows = "select time::text, host, usage, cores, busy, note from cpu order by time";
    assert_eq!(
        served.rows(rows),
        ["2023-11-14 22:13:20.123456+00,a,0.5,8,true,x, y", "2023-11-14 22:13:21+00,b,1.0,,,"]
    );
    // The other interface, another measurement, a name that needs quotes, a time of the server.
    let answer = served
        .post("/api/v2/write?org=o&bucket=lightning/autogen&precision=s", "disk.io,path=/ free=1i\nmem total=2u 60");
    assert_eq!(answer.status, 204);
    assert!(answer.head.contains("x-influxdb-version: "), "{}", answer.head);
    assert_eq!(served.rows("select path, free, time > now() - interval '1 hour' from \"disk.io\""), ["/,1,true"]);
    assert_eq!(served.rows("select time::text, total from mem"), ["1970-01-01 00:01:00+00,2"]);
    // Duplicates stay: nothing says that they are the same.
    served.write("&precision=s", "mem total=2i 60");
    assert_eq!(served.rows("select count(*) from mem"), ["2"]);
    served.server.stop().unwrap();
}

#[test]
fn new_tables_are_partitioned_by_day() {
    let served = Served::start();
    let lines: String = (0..260_000).map(|i| format!("m v={i} {i}\n")).collect();
    served.write("&precision=s", &lines);
    served.run("checkpoint");
    let sql = "select partition::text from lightning.partitions where table_name = 'm' order by 1 limit 2";
    assert_eq!(served.rows(sql), ["1970-01-01 00:00:00+00", "1970-01-02 00:00:00+00"]);
    served.run("create table d (at date, \"time\" timestamptz, v float8) with (time_column = 'at')");
    assert!(served.post("/write", "d v=1").error().contains("table \"d\" has no column that is clearly its time"));
    served.run("create table two (\"time\" timestamptz, at timestamptz, v float8) with (time_column = 'at')");
    served.write("&precision=s", "two v=1 60");
    assert_eq!(served.rows("select \"time\", at::text from two"), [",1970-01-01 00:01:00+00"]);
}

#[test]
fn precisions_are_of_the_request() {
    let served = Served::start();
    for (precision, time) in
        [("ns", "7200000000000"), ("u", "7200000000"), ("ms", "7200000"), ("s", "7200"), ("m", "120"), ("h", "2")]
    {
        served.write(&format!("&precision={precision}"), &format!("t,p={precision} v=1 {time}"));
    }
    assert_eq!(served.rows("select distinct time::text from t"), ["1970-01-01 02:00:00+00"]);
    assert_eq!(served.post("/write?precision=d", "t v=1").status, 400);
    let answer = served.post("/write?precision=h", "t v=1 9223372036854775807");
    assert_eq!(answer.error(), "unable to parse: line 1: time stamp 9223372036854775807 is out of range dropped=1");
}

#[test]
fn gzip_is_undone() {
    let served = Served::start();
    let lines: String = (0..5000).map(|i| format!("m,host=h{} v={i} {i}\n", i % 10)).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let send = |encoding: &str, body: &[u8]| {
        let headers = format!("Content-Encoding: {encoding}\r\n");
        send(served.server.local_addr(), "POST", "/write?db=lightning&precision=s", &headers, body).status
    };
    assert_eq!(send("gzip", &body), 204);
    assert_eq!(served.rows("select count(*), count(distinct host), sum(v) from m"), ["5000,10,12497500.0"]);
    assert_eq!(send("gzip", b"no gzip"), 400);
    assert_eq!(send("br", &body), 415);
}

#[test]
fn wrong_lines_are_named_and_the_others_kept() {
    let served = Served::start();
    let answer = served.post("/write", "m v=1 1\nm v= 2\nm v=3 3\nm v=\"x\" 4\n");
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "partial write: line 2, column 5: expected a field's value; line 4: column \"v\" is of type double precision but the \
         string \"x\" is not dropped=2"
    );
    assert_eq!(served.rows("select v from m order by v"), ["1.0", "3.0"]);
    let many: String = (0..25).map(|_| "m v\n").collect();
    let error = served.post("/write", &many).error();
    assert!(error.contains("line 10, column 4") && !error.contains("line 11"), "{error}");
    assert!(error.ends_with("; and 15 more dropped=25"), "{error}");
    let answer = send(served.server.local_addr(), "POST", "/write", "", b"m v=7\nm \xff=1\nm a=\"\0\"\n");
    let expected = "partial write: line 2: the line is not UTF-8; line 3: the line has a zero byte dropped=2";
    assert_eq!(answer.error(), expected);
    // Version 2 has its own words.
    let answer = served.post("/api/v2/write?bucket=lightning", "m v");
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, json["code"].as_str()), (400, Some("invalid")));
}

#[test]
fn a_request_can_be_refused_whole() {
    let served = Served::start();
    let answer = served.post("/write?on_error=refuse", "new v=1 1\nnew v= 2\n");
    let expected = "unable to parse: line 2, column 7: expected a field's value dropped=2";
    assert_eq!((answer.status, answer.error().as_str()), (400, expected));
    assert_eq!(served.rows("select count(*) from information_schema.tables where table_name = 'new'"), ["0"]);
    served.write("&on_error=refuse", "new v=1 1");
    assert_eq!(served.rows("select count(*) from new"), ["1"]);
    assert_eq!(served.post("/write?on_error=what", "new v=1").status, 400);
}

#[test]
fn columns_appear_in_tables_that_are_there() {
    let served = Served::start();
    served.write("", "m,host=a v=1 1000\nm,host=b v=2 2000");
    served.run("create index on m (host)");
    served.run("create view latest as select host, max(v) as v from m group by host");
    served.write("", "m,host=a,rack=r1 v=3,load=4i 3000\nm,host=c v=5 4000");
    assert_eq!(
        served.columns("m"),
        ["time timestamp with time zone", "host text", "v double precision", "rack text", "load bigint"]
    );
    assert_eq!(
        served.rows("select host, v, rack, load from m order by time"),
        ["a,1.0,,", "b,2.0,,", "a,3.0,r1,4", "c,5.0,,"]
    );
    assert_eq!(served.rows("select v from m where host = 'a' order by v"), ["1.0", "3.0"]);
    assert_eq!(served.rows("select * from latest order by host"), ["a,3.0", "b,2.0", "c,5.0"]);
    // A line that is refused makes no column.
    let answer = served.post("/write", "m,host=a never=1,v=\"x\" 5000");
    assert_eq!(answer.status, 400);
    assert_eq!(served.columns("m").len(), 5);
}

#[test]
fn values_go_into_the_types_that_columns_have() {
    let served = Served::start();
    served.run(
        "create table t (at timestamp not null, id int not null, small smallint, r real, n numeric(6,2), name varchar(3), \
         u uuid, seen boolean default true)",
    );
    let good = "t,id=7 small=2i,r=0.5,n=1.25,name=\"abc\",u=\"00000000-0000-0000-0000-000000000001\" 1000000000";
    served.write("", &format!("{good}\nt id=8i,n=3i 2000000000"));
    assert_eq!(
        served.rows("select at::text, id, small, r, n, name, u::text, seen from t order by id"),
        [
            "1970-01-01 00:00:01,7,2,0.5,1.25,abc,00000000-0000-0000-0000-000000000001,true",
            "1970-01-01 00:00:02,8,,,3.00,,,true"
        ]
    );
    served.write("", "f v=1.5 1");
    served.write("", "f v=2i 2");
    for (line, error) in [
        (
            "f v=9007199254740993i",
            "9007199254740993i cannot be stored exactly in column \"v\" of type double precision",
        ),
        ("t,id=x small=1i", "column \"id\" is of type integer but the tag \"x\" is not"),
        ("t small=1i", "column \"id\" must not be NULL, but the point does not have it"),
        ("t,id=1 small=1.5", "column \"small\" is of type smallint but the float 1.5 is not"),
        ("t,id=1 small=40000i", "40000 is out of range for column \"small\" of type smallint"),
        ("t,id=1 name=\"abcd\"", "column \"name\": value too long for type character varying(3)"),
        ("t,id=1 at=1i", "\"at\" is the column of the time stamp"),
        ("t,id=1 small=1i,small=2i", "\"small\" is there twice"),
        ("t,id=1 seen=1i", "column \"seen\" is of type boolean but the integer 1i is not"),
        ("new v=18446744073709551615u", "18446744073709551615 is out of range for column \"v\" of type bigint"),
        ("time time=1", "\"time\" is the column of the time stamp"),
    ] {
        let answer = served.post("/write", line);
        assert_eq!(answer.error(), format!("unable to parse: line 1: {error} dropped=1"), "{line}");
    }
    assert_eq!(served.rows("select count(*) from t"), ["2"]);
}

#[test]
fn nanoseconds_are_kept_by_columns_that_have_them() {
    let served = Served::start();
    served.run("create table t (at timestamptz_ns not null, v double precision) with (time_column = 'at')");
    served.write("", "t v=1 1700000000123456789\nt v=2 -1");
    served.write("&precision=s", "t v=3 1700000000");
    assert_eq!(
        served.rows("select at::text, v from t order by v"),
        ["2023-11-14 22:13:20.123456789+00,1.0", "1969-12-31 23:59:59.999999999+00,2.0", "2023-11-14 22:13:20+00,3.0"]
    );
    let answer = served.post("/write?precision=s", "t v=4 10000000000");
    assert_eq!(answer.error(), "unable to parse: line 1: time stamp 10000000000 is out of range dropped=1");
}

#[test]
fn points_of_a_table_with_a_key_replace_what_they_give() {
    let served = Served::start();
    served.run("create table k (time timestamptz, host text, a float8, b bigint, primary key (host, time))");
    served.write("", "k,host=x a=1,b=1i 1000\nk,host=y a=1 1000\nk,host=x a=2 1000");
    let rows = "select host, a, b from k order by host, time";
    assert_eq!(served.rows(rows), ["x,2.0,1", "y,1.0,"]);
    served.write("", "k,host=y b=7i 1000\nk,host=z a=0 1000\nk,host=x a=3 1000");
    assert_eq!(served.rows(rows), ["x,3.0,1", "y,1.0,7", "z,0.0,"]);
    // A new column in the same request.
    served.write("", "k,host=x c=\"new\" 1000\nk,host=x a=4 2000");
    assert_eq!(served.rows("select host, a, b, c from k where host = 'x' order by time"), ["x,3.0,1,new", "x,4.0,,"]);
}

#[test]
fn several_tables_are_one_transaction() {
    let served = Served::start();
    served.run(
        "create table a (time timestamptz, v float8); create table b (time timestamptz, v float8, u bigint unique)",
    );
    served.write("", "a v=1 1\nb u=1i,v=1 1");
    let answer = served.post("/write", "a v=2 2\nb u=1i 2");
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("SQLSTATE 23505"), "{}", answer.body);
    assert_eq!(served.rows("select (select count(*) from a), (select count(*) from b)"), ["1,1"]);
    served.write("", "a v=2 2\nb u=2i 2");
    assert_eq!(served.rows("select (select count(*) from a), (select count(*) from b)"), ["2,2"]);
}

#[test]
fn concurrent_requests_create_the_same_tables_and_columns() {
    let served = Served::start();
    let address = served.server.local_addr();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for request in 0..5 {
                    let body = format!(
                        "shared,host=h{thread} v=1,f{request}=1i {thread}\nother{request} v=1,f{thread}=2i {thread}"
                    );
                    let answer = send(address, "POST", "/write", "", body.as_bytes());
                    assert_eq!(answer.status, 204, "{}", answer.body);
                }
            });
        }
    });
    assert_eq!(served.rows("select count(*), count(f0), count(f4) from shared"), ["40,8,8"]);
    assert_eq!(served.rows("select count(*), count(f0), count(f7) from other3"), ["8,1,1"]);
}

#[test]
fn clients_ask_whether_the_server_is_there() {
    let served = Served::start();
    let address = served.server.local_addr();
    for method in ["GET", "HEAD"] {
        let answer = send(address, method, "/ping", "", b"");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert!(answer.head.contains("x-influxdb-version: "), "{}", answer.head);
    }
    let health = send(address, "GET", "/health", "", b"");
    assert!(health.status == 200 && health.body.contains("\"status\":\"pass\""), "{}", health.body);
    let answer = served.post("/query", "q=CREATE+DATABASE+%22lightning%22");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"results\":[{}]}"));
    assert_eq!(served.post("/query?q=show+databases", "").status, 400);
}

#[test]
fn what_is_not_there_or_not_allowed_says_so() {
    let served = Served::start();
    let address = served.server.local_addr();
    let answer = served.post("/write?db=nix", "m v=1");
    assert_eq!(answer.status, 404);
    assert!(answer.error().starts_with("database not found"), "{}", answer.body);
    assert_eq!(served.post("/write?db=postgres", "m v=1").status, 204);
    assert_eq!(served.rows("select count(*) from information_schema.tables where table_name = 'm'"), ["0"]);
    assert_eq!(served.post("/nix", "").status, 404);
    let answer = send(address, "GET", "/write", "", b"");
    assert!(answer.status == 405 && answer.head.contains("allow: post"), "{}", answer.head);
    assert_eq!(send(address, "DELETE", "/write", "", b"").status, 405);
    let answer = send(address, "POST", "/write", "Origin: http://example.com\r\n", b"m v=1");
    assert_eq!(answer.status, 403);
    served.run("create view v as select 1 as a");
    assert!(served.post("/write", "v a=1").error().contains("\"v\" is a view, not a table"));
}

#[test]
fn garbage_and_bodies_that_are_too_large_end_one_connection() {
    let served = Served::start();
    let address = served.server.local_addr();
    let declared = "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n";
    assert!(exchange(address, declared.as_bytes()).starts_with("HTTP/1.1 413 "));
    for garbage in
        ["\r\n\r\n\0\0\0", "GET\r\n\r\n", "POST /write HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}", "x x x\r\n\r\n"]
    {
        let answer = exchange(address, &[garbage.as_bytes(), &[b'\n'; 8]].concat());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{garbage:?}: {answer}");
    }
    // A body that is announced and does not come in time, or at all, is nobody else's.
    let mut stalled = TcpStream::connect(address).unwrap();
    stalled.write_all(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nm v=1").unwrap();
    served.write("", "m v=2");
    drop(stalled);
    assert_eq!(served.rows("select v from m"), ["2.0"]);
}

#[test]
fn a_connection_is_used_for_many_requests() {
    let served = Served::start();
    let request = |database: &str, more: &str, body: &str| {
        let length = body.len();
        format!("POST /write?db={database} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n{body}")
    };
    let all = [
        request("lightning", "", "m v=1"),
        request("postgres", "", "m v=1"),
        request("nix", "", "m v=1"),
        request("lightning", "", "m v"),
        request("lightning", "Connection: close\r\n", "m v=2,w=1i"),
    ];
    let answers = exchange(served.server.local_addr(), all.concat().as_bytes());
    let statuses: Vec<&str> = answers.lines().filter_map(|line| line.split_once("HTTP/1.1 ")?.1.get(..3)).collect();
    assert_eq!(statuses, ["204", "204", "404", "400", "204"], "{answers}");
    assert_eq!(served.rows("select v, w from m order by v"), ["1.0,", "2.0,1"]);
}

#[test]
fn no_body_does_harm() {
    let served = Served::start();
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let pieces: [&[u8]; 16] = [
        b"m", b",t=a", b" ", b"v=1", b"v=1i", b"\"", b"\\", b"\n", b"\r\n", b"#", b"\xff", b"\0", b" 5", b"=", b",",
        b"v=t",
    ];
    for _ in 0..300 {
        let body: Vec<u8> = (0..next(40)).flat_map(|_| pieces[next(16) as usize].to_vec()).collect();
        let status = send(served.server.local_addr(), "POST", "/write", "", &body).status;
        assert!([204, 400].contains(&status), "{status}: {}", String::from_utf8_lossy(&body));
    }
    served.write("", "alive v=1");
}

#[test]
fn acknowledged_points_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Serving::start(&data, &["--http", "127.0.0.1:0"]);
    let address = server.http.unwrap();
    for batch in 0..20 {
        let lines: String = (0..100).map(|i| format!("m,host=h{i},batch=b{batch} v={i} {i}\n")).collect();
        assert_eq!(send(address, "POST", "/write?precision=s", "", lines.as_bytes()).status, 204);
    }
    assert_eq!(send(address, "POST", "/write", "", b"m late=1i 1").status, 204);
    server.kill();
    let database = Database::open(&data).unwrap();
    let sql = "select count(*), count(distinct batch), sum(v), sum(late) from m";
    assert_eq!(rows_of(&database, sql), ["2001,20,99000.0,1"]);
}

#[test]
fn a_kill_in_the_middle_leaves_whole_requests() {
    const LINES: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Serving::start(&data, &["--http", "127.0.0.1:0"]);
    let address = server.http.unwrap();
    let acknowledged = AtomicUsize::new(0);
    let (told, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (acknowledged, told) = (&acknowledged, told.clone());
            scope.spawn(move || {
                for request in 0.. {
                    let lines: String = (0..LINES).map(|i| format!("m,r={thread}-{request} v={i} {i}\n")).collect();
                    match try_send(address, "POST", "/write", "", lines.as_bytes()) {
                        Some(answer) => assert_eq!(answer.status, 204, "{}", answer.body),
                        None => return,
                    }
                    // Nobody listens once there were enough.
                    let _ = told.send(acknowledged.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        assert!(heard.iter().take(40).count() == 40);
        server.kill();
    });
    let acknowledged = acknowledged.into_inner();
    let database = Database::open(&data).unwrap();
    let whole =
        format!("select count(*) >= {acknowledged} from (select r from m group by r having count(*) = {LINES}) s");
    assert_eq!(rows_of(&database, &whole), ["true"]);
    let torn = format!("select count(*) from (select r from m group by r having count(*) <> {LINES}) s");
    assert_eq!(rows_of(&database, &torn), ["0"]);
}

#[test]
fn a_server_listens_for_http_only_when_asked_and_only_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = run(&["serve", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("refusing to listen"), "{}", stderr(&output));
    assert!(!data.exists(), "nothing is created before the address is judged");
    let server = Serving::start(&data, &["--http", "127.0.0.1:0"]);
    let address = server.http.unwrap();
    // A connection that stays open does not keep the server from stopping.
    let idle = TcpStream::connect(address).unwrap();
    assert_eq!(send(address, "GET", "/ping", "", b"").status, 204);
    assert_eq!(server.terminate(), Some(0));
    drop(idle);
}
