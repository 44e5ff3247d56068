//! Vertex and edge patterns, and the label expressions in them.

use super::Result;
use super::marks::{ALL_OF, ANY_LABEL, EDGE, LABEL, NOT, ONE_OF, VERTEX};
use super::reader::Reader;
use lightning_sql::extension::At;

impl Reader<'_> {
    /// `([name] [IS label] [WHERE condition])`
    pub(super) fn vertex(&mut self) -> Result<()> {
        let at = self.at();
        self.expect('(')?;
        self.out.open(at, VERTEX);
        self.filler()?;
        self.expect(')')?;
        self.out.push(at.close());
        if matches!(self.mark(0), Some('*' | '+' | '?' | '{')) {
            let message = "a quantifier must follow an edge pattern or a path pattern in parentheses";
            return Err(self.misplaced().with_message(message));
        }
        Ok(())
    }

    /// `-[…]->`, `<-[…]-`, `-[…]-`, `<-[…]->`, the same with `~`, and all of them without the brackets; a quantifier.
    pub(super) fn edge(&mut self) -> Result<()> {
        let at = self.at();
        self.out.open(at, EDGE);
        let left = self.eat('<');
        self.refuse_comment()?;
        let line = if self.eat('~') { '~' } else { '-' };
        if line == '-' {
            self.expect('-')?;
        }
        if self.eat('[') {
            self.filler()?;
            self.expect(']')?;
            self.refuse_comment()?;
            self.expect(line)?;
        }
        let right = self.eat('>');
        let direction = match (left, right) {
            (true, false) => "left",
            (false, true) => "right",
            _ => "any",
        };
        self.out.named_text(at, "direction", direction);
        self.quantifier()?;
        self.out.push(at.close());
        Ok(())
    }

    /// `[name] [IS label] [WHERE condition]`
    fn filler(&mut self) -> Result<()> {
        let at = self.at();
        if !self.says("IS")
            && let Some(name) = self.name()
        {
            self.out.named_text(at, "name", &name);
        }
        let at = self.at();
        if self.eat_word("IS") || self.eat(':') {
            self.out.named(at, "label");
            self.label()?;
        }
        if self.says("WHERE") {
            self.condition(|_| false)?;
        }
        Ok(())
    }

    /// A label expression: `|` binds less than `&`, and `&` less than `!`.
    fn label(&mut self) -> Result<()> {
        self.labels('|', ONE_OF, |reader| reader.labels('&', ALL_OF, Reader::label_term))
    }

    /// Labels with an operator between them; one alone is itself.
    fn labels(&mut self, operator: char, call: &str, one: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        let start = self.out.len();
        let at = self.at();
        one(self)?;
        if self.mark(0) != Some(operator) {
            return Ok(());
        }
        let first = self.out.take_from(start);
        self.out.open(at, call);
        self.out.copy(&first);
        while self.eat(operator) {
            self.out.argument(at);
            one(self)?;
        }
        self.out.push(at.close());
        Ok(())
    }

    fn label_term(&mut self) -> Result<()> {
        let at = self.at();
        // A chain of `!` is counted, not followed down: it may be as long as the statement.
        let mut negations = 0usize;
        while self.eat('!') {
            negations += 1;
        }
        let negated = negations % 2 == 1;
        if negated {
            self.out.open(at, NOT);
        }
        self.label_primary(self.at())?;
        if negated {
            self.out.push(at.close());
        }
        Ok(())
    }

    fn label_primary(&mut self, at: At) -> Result<()> {
        if self.eat('(') {
            self.label()?;
            return self.expect(')');
        }
        if self.eat('%') {
            self.out.open(at, ANY_LABEL);
        } else {
            let name = self.name().ok_or_else(|| self.misplaced())?;
            self.out.open(at, LABEL);
            self.out.push(at.text(&name));
        }
        self.out.push(at.close());
        Ok(())
    }
}
