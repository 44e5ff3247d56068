//! The shell's `.demo`: the data it makes, and that every query it shows can be asked.

use crate::process::{run, stderr, stdout, with_input};
use std::process::Output;

/// A database in a new directory, and what `.demo` said there.
fn demo() -> (tempfile::TempDir, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let said = succeeded(with_input(&[&data], ".demo\n"));
    (dir, data, said)
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

fn ask(data: &str, sql: &str) -> String {
    succeeded(run(&["sql", data, &format!("--command={sql}"), "--format", "csv"]))
}

/// The queries among what it said.
fn queries(said: &str) -> Vec<&str> {
    let (_, shown) = said.split_once("To try:\n").unwrap();
    shown.split("\n\n").map(str::trim).filter(|query| !query.is_empty()).collect()
}

#[test]
fn every_query_it_shows_has_rows() {
    let (_dir, data, said) = demo();
    let queries = queries(&said);
    for words in [
        "SAMPLE BY",
        "LATEST ON",
        "time_bucket_gapfill",
        "ASOF JOIN",
        "rate(",
        "demo.hourly",
        "WHERE c.ms >= 20",
        "->{2}",
        "path_length(p)",
        "graph_shortest_path",
        "graph_pagerank",
        "graph_dot",
        "FROM pause JOIN GRAPH_TABLE",
    ] {
        assert_eq!(queries.iter().filter(|query| query.contains(words)).count(), 1, "{words}");
    }
    for query in &queries {
        assert!(query.starts_with("-- ") && query.ends_with(';'), "{query}");
        assert!(ask(&data, query).lines().count() > 1, "{query}");
    }
    // Pasted into one shell, one after the other, as they were shown.
    let (_, all) = said.split_once("To try:\n").unwrap();
    let pasted = succeeded(with_input(&[&data], all));
    let alone: usize = queries.iter().map(|query| ask(&data, query).lines().count()).sum();
    assert_eq!(pasted.lines().count(), alone);
}

#[test]
fn its_data_has_what_it_is_to_show() {
    let (_dir, data, said) = demo();
    for line in ["demo.metric     102613 rows", "demo.quote       14040 rows", "demo.trade        1485 rows"] {
        assert!(said.contains(line), "{said}");
    }
    // The same every time.
    let digest = "SELECT count(*), sum(cpu::numeric), sum(requests), min(ts), max(ts) FROM demo.metric";
    assert_eq!(ask(&data, digest), ask(&demo().1, digest));
    let gap = "SELECT max(gap) AS gap FROM (SELECT ts - lag(ts) OVER (ORDER BY ts) AS gap FROM demo.metric WHERE host = 'web2') AS g";
    assert_eq!(ask(&data, gap), "gap\n03:00:15\n");
    let restarts = "SELECT host, count(*) AS restarts FROM (SELECT host, requests < lag(requests) OVER (PARTITION BY host ORDER BY ts) \
                    AS again FROM demo.metric) AS m WHERE again GROUP BY host";
    assert_eq!(ask(&data, restarts), "host,restarts\nweb4,2\n");
    let same = "SELECT count(*) AS n FROM (SELECT hour, host, round(cpu::numeric, 6) FROM demo.hourly EXCEPT \
                SELECT time_bucket('1 hour', ts), host, round(avg(cpu)::numeric, 6) FROM demo.metric GROUP BY 1, 2) AS d";
    assert_eq!(ask(&data, same), "n\n0\n");
    assert_eq!(ask(&data, "SELECT count(DISTINCT hour) AS n FROM demo.hourly"), "n\n72\n");
    let cpu = "SELECT min(cpu) > 0 AND max(cpu) < 100 AS percent FROM demo.metric";
    assert_eq!(ask(&data, cpu), "percent\nt\n");
}

#[test]
fn its_graph_has_what_it_is_to_show() {
    let (_dir, data, said) = demo();
    for line in ["demo.service        18 rows", "demo.calls          36 rows", "demo.site             graph"] {
        assert!(said.contains(line), "{said}");
    }
    let shown = |words: &str| ask(&data, queries(&said).into_iter().find(|query| query.contains(words)).unwrap());
    assert_eq!(shown("path_length(p)"), "calls,way\n3,\"{shop,checkout,payment,ledger}\"\n");
    assert_eq!(shown("graph_shortest_path"), "step,service\n0,shop\n1,cart\n2,checkout\n3,payment\n4,ledger\n");
    // What the title of the second says of the two.
    let took = |ways: &str| {
        let took = format!("SELECT sum(ms) AS ms FROM demo.calls WHERE (caller, callee) IN ({ways})");
        ask(&data, &took)
    };
    assert_eq!(took("('shop', 'checkout'), ('checkout', 'payment'), ('payment', 'ledger')"), "ms\n77\n");
    assert_eq!(
        took("('shop', 'cart'), ('cart', 'checkout'), ('checkout', 'payment'), ('payment', 'ledger')"),
        "ms\n52\n"
    );
    // The server whose silence the time series have; no other, and no service that can do without it.
    let told = shown("FROM pause");
    assert!(told.lines().skip(1).all(|line| line.starts_with("web2,03:00:15,")), "{told}");
    assert!(told.contains(",app,\"{app,cart,checkout}\",") && !told.contains(",admin,"), "{told}");
    // Every service calls or is called, and has two people on call for it.
    let alone = "SELECT count(*) AS n FROM demo.service WHERE name NOT IN (SELECT caller FROM demo.calls) \
                 AND name NOT IN (SELECT callee FROM demo.calls)";
    assert_eq!(ask(&data, alone), "n\n0\n");
    let people = "SELECT DISTINCT count(DISTINCT person) AS n FROM demo.on_call GROUP BY service";
    assert_eq!(ask(&data, people), "n\n2\n");
}

#[test]
fn a_schema_that_is_there_is_left_alone() {
    let (_dir, data, said) = demo();
    ask(&data, "DELETE FROM demo.trade");
    let again = succeeded(with_input(&[&data], ".demo\n"));
    assert!(
        again.starts_with("Schema demo is there already and is left as it is; DROP SCHEMA demo CASCADE;"),
        "{again}"
    );
    assert_eq!(queries(&again), queries(&said));
    assert_eq!(ask(&data, "SELECT count(*) AS n FROM demo.trade"), "n\n0\n");
    assert!(run(&["sql", &data, "-c", "DROP SCHEMA demo CASCADE"]).status.success());
    assert_eq!(succeeded(with_input(&[&data], ".demo\n")), said);
}

#[test]
fn it_is_all_or_nothing() {
    let there = "select count(*) as n from pg_namespace where nspname = 'demo';\n";
    let output = with_input(&[], &format!("begin;\n.demo\nrollback;\n{there}begin;\n.demo\ncommit;\n{there}"));
    let said = succeeded(output);
    assert!(said.contains("\nn\n0\n") && said.ends_with("\nn\n1\n"), "{said}");
    let (dir, there) = (tempfile::tempdir().unwrap(), there.trim_end());
    let data = dir.path().to_str().unwrap();
    let output = with_input(&[data], "set statement_timeout = '1ms';\n.demo\n");
    assert!(stderr(&output).contains("57014") && stdout(&output).is_empty(), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(ask(data, there), "n\n0\n");
}
