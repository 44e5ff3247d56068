//! Commands of the shell itself, spelled with a dot or as in psql with a backslash.

use crate::output::Format;
use clap::ValueEnum;
use std::path::PathBuf;

/// A command of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellCommand {
    /// Lists the commands.
    Help,
    /// Leaves the shell.
    Quit,
    /// Lists tables and views.
    Tables,
    /// Describes one relation; without one, lists them.
    Describe(Option<String>),
    /// Lists schemas.
    Schemas,
    /// Lists databases.
    Databases,
    /// Switches the times under results on or off.
    Timing(Option<bool>),
    /// Chooses how rows are printed.
    Mode(Format),
    /// Bounds the rows of a box.
    Rows(usize),
    /// Runs a file.
    Read(PathBuf),
    /// Makes a small data set and shows what to ask.
    Demo,
}

/// Spellings, argument, meaning.
const COMMANDS: &[(&[&str], &str, &str)] = &[
    (&[".help", "\\?"], "", "this list"),
    (&[".tables", "\\dt"], "", "list tables and views"),
    (&[".schema", "\\d"], "[TABLE]", "describe a table or view"),
    (&[".schemas", "\\dn"], "", "list schemas"),
    (&[".databases", "\\l"], "", "list databases"),
    (&[".timing", "\\timing"], "[on|off]", "show how long statements take"),
    (&[".mode"], "FORMAT", "print rows as table, csv, json or markdown"),
    (&[".rows"], "N", "show at most N rows of a table"),
    (&[".read", "\\i"], "FILE", "run the statements of a file"),
    (&[".demo"], "", "make a small data set to play with, and show queries to try"),
    (&[".quit", ".exit", "\\q"], "", "leave (also Ctrl-D)"),
];

/// Whether a line is meant for the shell and not for SQL.
pub fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('\\') || line.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic()))
}

/// All spellings.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().flat_map(|(names, _, _)| names.iter().copied())
}

/// The text of `.help`.
pub fn help() -> String {
    let mut text = String::from("Statements end with ; and may take several lines. Ctrl-C cancels one.\n");
    for (names, argument, meaning) in COMMANDS {
        let spelled = format!("{} {argument}", names.join(", "));
        text += &format!("  {spelled:<32} {meaning}\n");
    }
    text
}

/// Reads a command; the error is for people.
pub fn parse(line: &str) -> Result<ShellCommand, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    let needed = || match argument {
        "" => Err(format!("{name} needs an argument; .help lists the commands")),
        argument => Ok(argument),
    };
    Ok(match name {
        ".help" | "\\?" | "\\h" => ShellCommand::Help,
        ".quit" | ".exit" | "\\q" => ShellCommand::Quit,
        ".tables" | "\\dt" | "\\dt+" | "\\dv" => ShellCommand::Tables,
        ".schema" | "\\d" | "\\d+" => ShellCommand::Describe((!argument.is_empty()).then(|| argument.to_string())),
        ".schemas" | "\\dn" => ShellCommand::Schemas,
        ".databases" | "\\l" => ShellCommand::Databases,
        ".timing" | "\\timing" => ShellCommand::Timing(parse_switch(argument)?),
        ".mode" => ShellCommand::Mode(Format::from_str(needed()?, true)?),
        ".rows" => {
            let rows = needed()?.parse().ok().filter(|rows| *rows >= 2);
            ShellCommand::Rows(rows.ok_or_else(|| format!("\"{argument}\" is not a number of rows; at least 2"))?)
        }
        ".read" | "\\i" => ShellCommand::Read(PathBuf::from(needed()?.trim_matches('\''))),
        ".demo" => ShellCommand::Demo,
        unknown => return Err(unknown_command(unknown)),
    })
}

fn parse_switch(text: &str) -> Result<Option<bool>, String> {
    match text {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(format!("\"{text}\" is neither on nor off")),
    }
}

fn unknown_command(name: &str) -> String {
    let nearest = names().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 2 => format!("unknown command {name}, did you mean {known}?"),
        _ => format!("unknown command {name}; .help lists the commands"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same() {
        assert_eq!(parse(".tables"), parse("\\dt"));
        assert_eq!(parse("\\d city;"), Ok(ShellCommand::Describe(Some("city".to_string()))));
        assert_eq!(parse(".timing off"), Ok(ShellCommand::Timing(Some(false))));
        assert_eq!(parse(".mode csv"), Ok(ShellCommand::Mode(Format::Csv)));
    }

    #[test]
    fn every_listed_spelling_is_understood() {
        for name in names() {
            let line = format!("{name} {}", if name == ".mode" { "csv" } else { "2" });
            let parsed = parse(&line);
            assert!(parsed.is_ok() || name.contains("timing"), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_gets_a_suggestion() {
        assert_eq!(parse(".tabels").unwrap_err(), "unknown command .tabels, did you mean .tables?");
        assert!(parse(".frobnicate").unwrap_err().contains(".help"));
    }

    #[test]
    fn numbers_that_begin_with_a_point_are_sql() {
        assert!(is_command(".help"));
        assert!(is_command("\\q"));
        assert!(!is_command(".5"));
        assert!(!is_command("select 1"));
    }
}
