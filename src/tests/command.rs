//! `lightning sql`, `verify`, and the shell as a script: formats, exit codes, errors.

use crate::process::{run, stderr, stdout, with_input};
use std::process::Output;

fn sql(script: &str, format: &str) -> Output {
    run(&["sql", "-c", script, "--format", format])
}

const ROWS: &str =
    "select * from (values (1, 'a,b', true, 1.50), (2, null, false, null)) as v (id, \"the text\", ok, price)";

#[test]
fn results_are_printed_in_four_formats() {
    assert_eq!(stdout(&sql(ROWS, "csv")), "id,the text,ok,price\n1,\"a,b\",t,1.50\n2,,f,\n");
    let json = "[\n  {\"id\": 1, \"the text\": \"a,b\", \"ok\": true, \"price\": 1.50},\n  \
                {\"id\": 2, \"the text\": null, \"ok\": false, \"price\": null}\n]\n";
    assert_eq!(stdout(&sql(ROWS, "json")), json);
    let markdown = "| id | the text | ok | price |\n|--:|---|---|--:|\n| 1 | a,b | t | 1.50 |\n| 2 |  | f |  |\n";
    assert_eq!(stdout(&sql(ROWS, "markdown")), markdown);
    let table = stdout(&sql(ROWS, "table"));
    assert!(table.starts_with('╭'), "{table}");
    // The width of the first column is that of its type's name.
    assert!(table.contains("2 ┆ NULL     ┆ f       ┆    NULL │"), "{table}");
    assert!(table.ends_with("(2 rows)\n"), "{table}");
}

#[test]
fn csv_is_the_default_away_from_a_terminal() {
    assert_eq!(stdout(&run(&["sql", "-c", "select 1 as one; select 2 as two"])), "one\n1\ntwo\n2\n");
}

#[test]
fn an_empty_result_is_still_a_result() {
    assert_eq!(stdout(&sql("select 1 as a where false", "csv")), "a\n");
    assert_eq!(stdout(&sql("select 1 as a where false", "json")), "[]\n");
}

#[test]
fn the_first_error_ends_the_script_with_exit_code_1() {
    let output = sql("select 1 as a; select nope; select 2 as b", "csv");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "a\n1\n");
    let error = stderr(&output);
    assert!(error.starts_with("ERROR 42703: column \"nope\" does not exist\n"), "{error}");
    assert!(error.contains("LINE 1:  select nope\n                ^\n"), "{error}");
}

#[test]
fn errors_in_files_name_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sql");
    std::fs::write(&file, "create table t (a int);\n\ninsert into t\nvalues ('x');\n").unwrap();
    let output = run(&["sql", "-f", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("script.sql:"), "{error}");
    assert!(error.contains("22P02: invalid input syntax for type integer: \"x\""), "{error}");
    let missing = run(&["sql", "-f", "/nonexistent/script.sql"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(stderr(&missing).lines().count(), 1, "{}", stderr(&missing));
}

#[test]
fn a_script_may_come_from_the_standard_input_with_data_for_copy() {
    let script = "create table t (a int, b text);\ncopy t from stdin (format csv);\n1,one\n2,two\n\\.\nselect * from t order by a;\n";
    let output = with_input(&["sql", "-f", "-"], script);
    assert_eq!(stdout(&output), "a,b\n1,one\n2,two\n", "{}", stderr(&output));
    let output =
        with_input(&["sql", "-c", "create table t (a int); copy t from stdin; select sum(a) from t"], "1\n2\n3\n");
    assert_eq!(stdout(&output), "sum\n6\n", "{}", stderr(&output));
}

#[test]
fn a_database_keeps_what_a_command_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let output = run(&["sql", data, "-c", "create table t (a int); insert into t values (1), (2)"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&run(&["sql", data, "-c", "select count(*) as n from t"])), "n\n2\n");
}

#[test]
fn the_shell_reads_a_script_from_a_pipe() {
    let output = with_input(
        &[],
        "create table t (a int);\ninsert into t values (1),\n (2);\nselect sum(a) as s from t;\n.tables\n",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "s\n3\nschema,name,type\npublic,t,table\n");
    let output = with_input(&[], "select 1 as a;\nselect * from missing;\nselect 2 as b;\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "a\n1\n");
    assert!(stderr(&output).contains("relation \"missing\" does not exist"));
}

#[test]
fn an_unknown_shell_command_gets_a_suggestion() {
    let output = with_input(&[], ".tabels\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean .tables?"));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    assert_eq!(run(&["sql"]).status.code(), Some(2));
    assert_eq!(run(&["serve", "--memory-limit", "much"]).status.code(), Some(2));
    assert_eq!(run(&["sql", "-c", "select 1", "--memory-limit", "1MB"]).status.code(), Some(2));
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("CURRENT"), "not ours").unwrap();
    let output = run(&["sql", dir.path().to_str().unwrap(), "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn verify_finds_a_flipped_bit_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let path = data.to_str().unwrap();
    let load = "create table t (a bigint, b text); \
                insert into t select g, 'text ' || g from generate_series(1, 200000) as g (g)";
    let output = run(&["sql", path, "-c", load]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&["verify", path]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("no faults"), "{}", stdout(&output));

    let segment = files(&data.join("segments")).into_iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&segment, bytes).unwrap();
    let output = run(&["verify", path]);
    assert_eq!(output.status.code(), Some(1));
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(stderr(&output).contains(name), "{}", stderr(&output));
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn verify_of_nothing_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["verify", dir.path().join("missing").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}
