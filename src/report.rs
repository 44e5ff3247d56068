//! Errors as a person reads them: the message, the line with a caret under the place, detail and hint.

use lightning_sql::Error;
use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of the source line shown at most; longer lines are cut around the place.
const LINE_COLUMNS_MAX: usize = 76;

/// Where a statement's text stands, for the line numbers in its errors.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The file's name, when it is one.
    pub file: Option<&'a str>,
    /// 1-based line the text begins on.
    pub first_line: usize,
    /// The text positions refer to.
    pub text: &'a str,
}

/// The error in PostgreSQL's layout, ending with a line feed.
///
/// ```text
/// ERROR 42703: column "nme" does not exist
/// LINE 1: select nme from city
///                ^
/// HINT:  Perhaps you meant to reference the column "city.name".
/// ```
pub fn describe(error: &Error, source: &Source) -> String {
    let fields = &error.0;
    let mut text = String::new();
    let place = fields.position.and_then(|position| Place::find(source.text, position));
    if let Some(file) = source.file {
        let line = source.first_line + place.as_ref().map_or(0, |place| place.line);
        let _ = write!(text, "{file}:{line}: ");
    }
    let _ = writeln!(text, "ERROR {}: {}", fields.state.0, fields.message);
    if let Some(place) = place {
        place.draw(&mut text, source.first_line);
    }
    for (label, part) in [("DETAIL", &fields.detail), ("HINT", &fields.hint), ("CONTEXT", &fields.context)] {
        if let Some(part) = part {
            let _ = writeln!(text, "{label}:  {part}");
        }
    }
    text
}

/// A position as a line and a column of the statement's text.
struct Place<'a> {
    /// 0-based.
    line: usize,
    line_text: &'a str,
    /// Characters of `line_text` before the place.
    before: usize,
}

impl<'a> Place<'a> {
    /// Finds a 1-based character position; `None` when the text is shorter.
    fn find(text: &'a str, position: usize) -> Option<Place<'a>> {
        let mut before = position.checked_sub(1)?;
        for (line, line_text) in text.split('\n').enumerate() {
            let characters = line_text.chars().count();
            if before <= characters {
                return Some(Place { line, line_text, before });
            }
            before -= characters + 1;
        }
        None
    }

    fn draw(&self, text: &mut String, first_line: usize) {
        let label = format!("LINE {}: ", first_line + self.line);
        let (shown, before) = self.window();
        let _ = writeln!(text, "{label}{shown}");
        let _ = writeln!(text, "{}^", " ".repeat(label.len() + before.width()));
    }

    /// The part of the line around the place, tabs as spaces, and what of it stands before the place.
    fn window(&self) -> (String, String) {
        let characters: Vec<char> = self.line_text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width: usize = characters.iter().map(|c| c.width().unwrap_or(0)).sum();
        if width <= LINE_COLUMNS_MAX {
            return (characters.iter().collect(), characters[..self.before].iter().collect());
        }
        let start = self.before.saturating_sub(LINE_COLUMNS_MAX / 2);
        let end = (start + LINE_COLUMNS_MAX).min(characters.len());
        let (head, tail) = (if start > 0 { "…" } else { "" }, if end < characters.len() { "…" } else { "" });
        let shown = format!("{head}{}{tail}", characters[start..end].iter().collect::<String>());
        (shown, format!("{head}{}", characters[start..self.before.min(end)].iter().collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightning_sql::SqlState;

    fn error(position: usize) -> Error {
        let mut error = Error::new(SqlState("42703"), "column \"b\" does not exist");
        error.0.position = Some(position);
        error
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let text = "select a,\n  b\nfrom t";
        let described = describe(&error(13), &Source { file: None, first_line: 1, text });
        assert_eq!(described, "ERROR 42703: column \"b\" does not exist\nLINE 2:   b\n          ^\n");
    }

    #[test]
    fn wide_characters_move_the_caret() {
        let text = "select '漢字', b";
        let described = describe(&error(14), &Source { file: Some("q.sql"), first_line: 7, text });
        assert!(described.starts_with("q.sql:7: ERROR 42703"), "{described}");
        assert!(described.ends_with("LINE 7: select '漢字', b\n                       ^\n"), "{described}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("select {} b", "a, ".repeat(200));
        let position = text.chars().count();
        let described = describe(&error(position), &Source { file: None, first_line: 1, text: &text });
        let caret = described.lines().nth(2).unwrap().chars().count();
        assert_eq!(described.lines().nth(1).unwrap().chars().nth(caret - 1), Some('b'), "{described}");
    }

    #[test]
    fn positions_past_the_end_draw_no_caret() {
        let described = describe(&error(99), &Source { file: None, first_line: 1, text: "select b" });
        assert!(!described.contains('^'));
    }
}
