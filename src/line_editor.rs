//! Editing statements: over several lines until the `;`, with history and completion.

use crate::script::Script;
use crate::shell_command;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use std::path::PathBuf;

/// Statements kept in the history.
const HISTORY_ENTRIES_MAX: usize = 10_000;

/// Words that statements begin with or are made of.
const KEYWORDS: &[&str] = &[
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COMMIT",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRIMARY",
    "KEY",
    "RIGHT",
    "ROLLBACK",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHOW",
    "TABLE",
    "THEN",
    "TRUE",
    "TRUNCATE",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Statements, or a command of the shell.
    Text(String),
    /// Ctrl-C: what was typed is thrown away.
    Interrupted,
    /// Ctrl-D.
    End,
}

/// The editor on the terminal.
pub struct LineEditor {
    editor: Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

impl LineEditor {
    /// An editor with the history of earlier shells.
    pub fn new() -> Result<Self, ReadlineError> {
        let config = Config::builder().max_history_size(HISTORY_ENTRIES_MAX)?.history_ignore_space(true).build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Words::default()));
        let history = std::env::home_dir().map(|home| home.join(".lightning_history"));
        if let Some(path) = &history {
            // There is none the first time.
            let _ = editor.load_history(path);
        }
        Ok(LineEditor { editor, history })
    }

    /// Reads until a statement is complete.
    pub fn read(&mut self, prompt: &str) -> Result<Input, ReadlineError> {
        match self.editor.readline(prompt) {
            Ok(text) => {
                self.editor.add_history_entry(text.trim_end())?;
                if let Some(path) = &self.history {
                    // A history that cannot be written is no reason to refuse the statement.
                    let _ = self.editor.append_history(path);
                }
                Ok(Input::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Interrupted),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(e) => Err(e),
        }
    }

    /// Names to complete besides keywords.
    pub fn set_names(&mut self, names: Vec<String>) {
        if let Some(words) = self.editor.helper_mut() {
            words.names = names;
        }
    }
}

/// Whether what was typed can run: a command of the shell, or statements that end with `;`.
pub fn is_complete(text: &str) -> bool {
    if text.trim().is_empty() || shell_command::is_command(text) {
        return true;
    }
    let mut script = Script::default();
    text.lines().for_each(|line| script.push_line(line));
    while script.next_statement().is_some() {}
    script.finish().is_none()
}

/// What rustyline asks while a line is edited.
#[derive(Default)]
struct Words {
    names: Vec<String>,
}

impl Helper for Words {}
impl Highlighter for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(line, position, &self.names))
    }
}

/// Words that begin like the one before `position`, and where that one starts.
fn complete(line: &str, position: usize, names: &[String]) -> (usize, Vec<String>) {
    let before = &line[..position];
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\');
    let start = before.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(position, |(i, _)| i);
    let word = &before[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    if start == 0 && word.starts_with(['.', '\\']) {
        let commands = shell_command::names().filter(|name| name.starts_with(word)).map(String::from);
        return (start, commands.collect());
    }
    let lower = word.to_lowercase();
    let shout = word.chars().all(|c| !c.is_lowercase());
    let keywords = KEYWORDS.iter().filter(|keyword| keyword.to_lowercase().starts_with(&lower));
    let keywords = keywords.map(|keyword| if shout { keyword.to_string() } else { keyword.to_lowercase() });
    let names = names.iter().filter(|name| name.to_lowercase().starts_with(&lower)).cloned();
    (start, names.chain(keywords).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_complete_at_their_semicolon() {
        assert!(is_complete("select 1;"));
        assert!(is_complete("select 1; select 2; -- both"));
        assert!(is_complete(".tables"));
        assert!(is_complete(""));
        assert!(!is_complete("select 1"));
        assert!(!is_complete("select ';"));
        assert!(!is_complete("select 1; select"));
    }

    #[test]
    fn words_complete_in_the_case_they_are_typed() {
        let names = ["city".to_string()];
        assert_eq!(complete("sel", 3, &names), (0, vec!["select".to_string()]));
        assert_eq!(complete("SEL", 3, &names), (0, vec!["SELECT".to_string()]));
        assert_eq!(complete("select * from ci", 16, &names), (14, vec!["city".to_string()]));
        assert_eq!(complete("select ", 7, &names).1, Vec::<String>::new());
        assert_eq!(complete(".ti", 3, &names), (0, vec![".timing".to_string()]));
    }
}
