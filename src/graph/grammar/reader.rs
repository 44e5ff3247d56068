//! Reads GRAPH_TABLE from the words of a statement and writes the call in its place.

use super::marks::{GRAPH, GRAPH_TABLE, Writer};
use super::symbols::{Symbol, Symbols};
use super::{Result, begins};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};
use lightning_sql::extension::{At, Misplaced, Words, syntax_error};

/// Where reading has got to, and what is written so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) words: &'a Words<'a>,
    symbols: Symbols,
    /// The symbol to be read next.
    next: usize,
    pub(super) out: Writer,
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a Words<'a>) -> Reader<'a> {
        Reader { words, symbols: Symbols::new(words), next: 0, out: Writer::default() }
    }

    pub(super) fn finish(self) -> Vec<TokenWithSpan> {
        self.out.into_tokens()
    }

    /// Writes the words between two places as they are, but for GRAPH_TABLEs among them.
    pub(super) fn copy(&mut self, from: usize, to: usize) -> Result<()> {
        let mut place = from;
        while place < to {
            if begins(self.words, place) {
                self.go(place);
                self.graph_table()?;
                place = self.place();
            } else {
                self.out.copy(self.words.between(place, place + 1));
                place += 1;
            }
        }
        Ok(())
    }

    /// All of GRAPH_TABLE, of which the two words it begins with have been seen.
    fn graph_table(&mut self) -> Result<()> {
        let at = self.at();
        self.out.open(at, GRAPH_TABLE);
        self.next += 2;
        self.out.open(at, GRAPH);
        loop {
            let at = self.at();
            let name = self.name().ok_or_else(|| self.misplaced())?;
            self.out.argument(at);
            self.out.push(at.text(&name));
            if !self.eat('.') {
                break;
            }
        }
        self.out.push(at.close());
        self.expect_word("MATCH")?;
        loop {
            let at = self.at();
            self.out.argument(at);
            self.path_pattern()?;
            if !self.eat(',') {
                break;
            }
        }
        if self.says("KEEP") {
            return Err(self
                .misplaced()
                .with_message("KEEP is not supported")
                .with_hint("Write the path selector or path mode before each path pattern."));
        }
        if self.says("WHERE") {
            let words = self.words;
            let ends = |place: usize| {
                let columns = words.says(place, "COLUMNS") && words.is(place + 1, &Token::LParen);
                let rows = words.say(place, &["ONE", "ROW", "PER"]);
                (columns || rows) && !words.is(place.saturating_sub(1), &Token::Period)
            };
            self.condition(ends)?;
        }
        if self.says("ONE") {
            let place = self.place();
            if !self.words.say(place, &["ONE", "ROW", "PER", "MATCH"]) {
                return Err(self.misplaced().with_message("only ONE ROW PER MATCH is supported"));
            }
            self.go(place + 4);
        }
        self.columns()?;
        let at = self.at();
        self.expect(')')?;
        self.out.push(at.close());
        Ok(())
    }

    /// WHERE and the condition behind it, up to where a bracket closes or `ends` holds.
    pub(super) fn condition(&mut self, ends: impl Fn(usize) -> bool) -> Result<()> {
        let at = self.at();
        self.next += 1;
        self.out.named(at, "condition");
        let from = self.place();
        let words = self.words;
        let to = words.find(from, |place| ends(place) || ends_expression(words, place));
        self.expression(from, to)
    }

    /// An expression, its tokens as they are; reading goes on behind it.
    pub(super) fn expression(&mut self, from: usize, to: usize) -> Result<()> {
        if from == to || self.words.says_any(from, &["ALL", "DISTINCT"]) {
            return Err(self.words.misplaced(from));
        }
        self.copy(from, to)?;
        self.go(to);
        Ok(())
    }

    /// The place to be read next.
    pub(super) fn place(&self) -> usize {
        self.symbols.place(self.next)
    }

    /// Reads on at a place.
    pub(super) fn go(&mut self, place: usize) {
        self.next = self.symbols.first(place);
    }

    /// Where new tokens say they are.
    pub(super) fn at(&self) -> At {
        self.words.at(self.place())
    }

    /// The character `ahead` symbols on, if one of an operator or bracket stands there.
    pub(super) fn mark(&self, ahead: usize) -> Option<char> {
        match self.symbols.get(self.next + ahead)? {
            Symbol::Mark(mark) => Some(mark),
            Symbol::Token => None,
        }
    }

    /// Passes over a symbol.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Reads a character if it is next.
    pub(super) fn eat(&mut self, mark: char) -> bool {
        let found = self.mark(0) == Some(mark);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: char) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.misplaced()) }
    }

    pub(super) fn says(&self, word: &str) -> bool {
        self.says_ahead(0, word)
    }

    /// Whether a word stands `ahead` symbols on.
    pub(super) fn says_ahead(&self, ahead: usize, word: &str) -> bool {
        let next = self.next + ahead;
        self.symbols.get(next) == Some(Symbol::Token) && self.words.says(self.symbols.place(next), word)
    }

    /// Reads a word if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.says(word);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.misplaced()) }
    }

    /// Reads a name if one is next.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.words.name(self.place())?;
        self.next += 1;
        Some(name)
    }

    /// Reads a number without a sign or fraction if one is next.
    pub(super) fn digits(&mut self) -> Option<&'a str> {
        match self.words.token(self.place())? {
            Token::Number(digits, false) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                self.next += 1;
                Some(digits)
            }
            _ => None,
        }
    }

    /// A syntax error at the place to be read next.
    pub(super) fn misplaced(&self) -> Misplaced {
        self.words.misplaced(self.place())
    }

    /// Refuses a comment that was meant for an edge: `(a)--(b)`, `(a)-->(b)`, `(a)<--(b)`.
    pub(super) fn refuse_comment(&self) -> Result<()> {
        let before = self.place().checked_sub(1);
        let Some((last, comment)) = before.and_then(|before| self.words.get(before).zip(self.words.behind(before)))
        else {
            return Ok(());
        };
        match &comment.token {
            Token::Whitespace(Whitespace::SingleLineComment { comment: text, .. })
                if last.span.end == comment.span.start && text.starts_with(['(', '[', '>', '-']) =>
            {
                let message = "\"--\" begins a comment, not an edge pattern";
                let misplaced = syntax_error(Some(comment));
                Err(misplaced.with_message(message).with_hint("An edge is written ->, <- or - between two vertices."))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a token stands at a place that no expression has outside of brackets, but the arguments of a call may have.
pub(super) fn ends_expression(words: &Words, place: usize) -> bool {
    words.is(place, &Token::Comma) || words.says_any(place, &["ORDER", "LIMIT", "HAVING"])
}
