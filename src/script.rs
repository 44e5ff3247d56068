//! Cutting a script into statements, line by line.
//!
//! Only quotes, dollar quotes and comments matter for finding the `;` that ends a statement; what is between them is
//! the parser's business. The state survives from line to line, so a long script is scanned once, and an error in its
//! last statement does not keep the first ones from running.

/// One statement of a script, without its `;`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptStatement {
    /// Its text, leading white space and comments included.
    pub text: String,
    /// 1-based line of the script its text begins on.
    pub line: usize,
}

/// Where in the text the scanner stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    Code,
    /// `'…'`; in `E'…'` a backslash escapes.
    String {
        escapes: bool,
    },
    Identifier,
    LineComment,
    /// Comments nest.
    BlockComment {
        depth: usize,
    },
    DollarQuote {
        tag: String,
    },
}

/// Takes lines, gives statements.
#[derive(Clone, Debug)]
pub struct Script {
    buffer: String,
    /// Bytes of `buffer` already scanned.
    scanned: usize,
    within: Within,
    /// Whether the statement so far has more than white space and comments.
    has_code: bool,
    /// Line `buffer` begins on, and the number of lines taken.
    first_line: usize,
    lines: usize,
}

impl Default for Script {
    fn default() -> Self {
        Script { buffer: String::new(), scanned: 0, within: Within::Code, has_code: false, first_line: 1, lines: 0 }
    }
}

impl Script {
    /// Adds a line, with or without its line feed.
    pub fn push_line(&mut self, line: &str) {
        if self.buffer.is_empty() {
            if line.trim().is_empty() {
                return self.skip_line();
            }
            self.first_line = self.lines + 1;
        }
        self.lines += 1;
        self.buffer.push_str(line.trim_end_matches(['\r', '\n']));
        self.buffer.push('\n');
    }

    /// Skips a line that is no SQL (a command of the shell, data of a COPY), keeping count.
    pub fn skip_line(&mut self) {
        self.lines += 1;
    }

    /// Whether no statement has begun: the place where commands of the shell are understood.
    pub fn is_between_statements(&self) -> bool {
        !self.has_code && self.within == Within::Code
    }

    /// The next statement that ended with a `;`.
    pub fn next_statement(&mut self) -> Option<ScriptStatement> {
        let end = self.scan()?;
        let rest = self.buffer.split_off(end + 1);
        self.buffer.truncate(end);
        let statement = self.take(rest);
        match statement.text.trim().is_empty() {
            true => self.next_statement(),
            false => Some(statement),
        }
    }

    /// What is left after the last `;`, when it is more than white space and comments.
    pub fn finish(&mut self) -> Option<ScriptStatement> {
        let has_code = self.has_code || self.within != Within::Code && self.within != Within::LineComment;
        let statement = self.take(String::new());
        has_code.then_some(statement)
    }

    fn take(&mut self, rest: String) -> ScriptStatement {
        let line_feeds = self.buffer.bytes().filter(|b| *b == b'\n').count();
        let statement = ScriptStatement { text: std::mem::replace(&mut self.buffer, rest), line: self.first_line };
        self.first_line += line_feeds;
        self.scanned = 0;
        self.within = Within::Code;
        self.has_code = false;
        if self.buffer.trim().is_empty() {
            self.buffer.clear();
        }
        statement
    }

    /// Scans on to the next `;` in code; its offset.
    fn scan(&mut self) -> Option<usize> {
        while self.scanned < self.buffer.len() {
            let rest = &self.buffer[self.scanned..];
            let (consumed, within) = step(rest, &self.within, self.buffer.as_bytes()[..self.scanned].last().copied());
            if self.within == Within::Code && rest.starts_with(';') {
                return Some(self.scanned);
            }
            if self.within == Within::Code
                && within != Within::LineComment
                && !matches!(within, Within::BlockComment { .. })
            {
                self.has_code |= !rest[..consumed].trim().is_empty();
            }
            self.scanned += consumed;
            self.within = within;
        }
        None
    }
}

/// Bytes the next token takes and where that leaves the scanner. Never more than what is there.
fn step(rest: &str, within: &Within, before: Option<u8>) -> (usize, Within) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    match within {
        Within::Code => step_code(rest, before, first),
        Within::String { escapes: true } if rest.starts_with('\\') => {
            let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
            (1 + escaped, within.clone())
        }
        Within::String { .. } if rest.starts_with("''") => (2, within.clone()),
        Within::String { .. } if rest.starts_with('\'') => (1, Within::Code),
        Within::Identifier if rest.starts_with('"') => (1, Within::Code),
        Within::LineComment if rest.starts_with('\n') => (1, Within::Code),
        Within::BlockComment { depth } if rest.starts_with("/*") => (2, Within::BlockComment { depth: depth + 1 }),
        Within::BlockComment { depth: 1 } if rest.starts_with("*/") => (2, Within::Code),
        Within::BlockComment { depth } if rest.starts_with("*/") => (2, Within::BlockComment { depth: depth - 1 }),
        Within::DollarQuote { tag } if rest.starts_with(tag.as_str()) => (tag.len(), Within::Code),
        Within::String { .. }
        | Within::Identifier
        | Within::LineComment
        | Within::BlockComment { .. }
        | Within::DollarQuote { .. } => (first, within.clone()),
    }
}

fn step_code(rest: &str, before: Option<u8>, first: usize) -> (usize, Within) {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80);
    match rest.as_bytes()[0] {
        b'\'' => (1, Within::String { escapes: false }),
        b'e' | b'E' if !in_word && rest[1..].starts_with('\'') => (2, Within::String { escapes: true }),
        b'"' => (1, Within::Identifier),
        b'-' if rest.starts_with("--") => (2, Within::LineComment),
        b'/' if rest.starts_with("/*") => (2, Within::BlockComment { depth: 1 }),
        b'$' if !in_word => match dollar_tag(rest) {
            Some(tag) => (tag.len(), Within::DollarQuote { tag: tag.to_string() }),
            None => (1, Within::Code),
        },
        _ => (first, Within::Code),
    }
}

/// `$$` or `$name$` at the start of `rest`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let name = &rest[1..end - 1];
    let is_name =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<(usize, String)>, Option<String>) {
        let mut script = Script::default();
        let mut statements = Vec::new();
        for line in text.lines() {
            script.push_line(line);
            while let Some(statement) = script.next_statement() {
                statements.push((statement.line, statement.text.trim().to_string()));
            }
        }
        (statements, script.finish().map(|s| s.text.trim().to_string()))
    }

    #[test]
    fn semicolons_end_statements() {
        let (statements, rest) = split("select 1; select\n2;;\n\nselect 3");
        assert_eq!(statements, [(1, "select 1".to_string()), (1, "select\n2".to_string())]);
        assert_eq!(rest.as_deref(), Some("select 3"));
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not() {
        for text in [
            "select ';', 'it''s;'",
            "select E'\\';'",
            "select \";\"",
            "select $$;$$, $a$;$$;$a$",
            "select 1 -- ;\n+ 1",
            "select /* ; /* ; */ ; */ 1",
            "select 'a\n;\nb'",
            "select $1",
        ] {
            let (statements, rest) = split(&format!("{text};"));
            assert_eq!(statements, [(1, text.to_string())]);
            assert_eq!(rest, None);
        }
    }

    #[test]
    fn a_name_that_ends_in_e_does_not_start_an_escape_string() {
        let (statements, _) = split("select type'\\'; select 2;");
        assert_eq!(statements.len(), 2);
    }

    #[test]
    fn comments_alone_are_no_statement() {
        assert_eq!(split("-- nothing\n/* here */\n"), (vec![], None));
        assert_eq!(split("select 1; -- done").1, None);
    }

    #[test]
    fn lines_are_counted_where_statements_begin() {
        let (statements, _) = split("select 1;\n\nselect\n2;\nselect 3;");
        assert_eq!(statements.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn an_open_quote_is_still_a_statement() {
        assert_eq!(split("select 'abc").1.as_deref(), Some("select 'abc"));
    }
}
