//! `COLUMNS (expression [AS name], …)`.

use super::Result;
use super::marks::COLUMN;
use super::reader::{Reader, ends_expression};
use datafusion::sql::sqlparser::tokenizer::Token;

impl Reader<'_> {
    /// COLUMNS and its list.
    pub(super) fn columns(&mut self) -> Result<()> {
        self.expect_word("COLUMNS")?;
        self.expect('(')?;
        loop {
            self.column()?;
            if !self.eat(',') {
                break;
            }
        }
        self.expect(')')
    }

    fn column(&mut self) -> Result<()> {
        let words = self.words;
        let at = self.at();
        let from = self.place();
        // The AS of a CAST stands in parentheses of its own.
        let to = words.find(from, |place| words.says(place, "AS") || ends_expression(words, place));
        if let Some(last) = to.checked_sub(1).filter(|last| *last >= from)
            && words.is(last, &Token::Mul)
        {
            return Err(words.misplaced(last).with_message("\"*\" is not supported here"));
        }
        self.out.argument(at);
        self.out.open(at, COLUMN);
        self.expression(from, to)?;
        if self.eat_word("AS") {
            let place = self.place();
            let name = words.label(place).ok_or_else(|| words.misplaced(place))?;
            let at = words.at(place);
            self.out.argument(at);
            self.out.push(at.text(&name));
            self.skip();
        }
        self.out.push(at.close());
        Ok(())
    }
}
