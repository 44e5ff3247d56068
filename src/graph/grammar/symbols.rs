//! A statement as symbols: characters where operators and brackets stand, whole tokens elsewhere.
//!
//! The tokenizer takes as many characters for an operator as it can: `->*` and `|!` are operators to it, `)?-[` begins with the
//! jsonb operator `?-`, and only `<-` falls apart. Character by character all spellings are the same, with blanks or without.

use datafusion::sql::sqlparser::tokenizer::Token;
use lightning_sql::extension::Words;

/// Characters operators and brackets are made of.
const MARKS: &str = "+-*/<>=~!@#%^&|`?:;,.()[]{}";

/// A character of an operator, or the place of any other token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Mark(char),
    Token,
}

/// The symbols of a statement.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Each symbol and the place of its token.
    symbols: Vec<(Symbol, usize)>,
    /// The first symbol of each place.
    firsts: Vec<usize>,
}

impl Symbols {
    pub(super) fn new(words: &Words) -> Symbols {
        let mut symbols = Vec::with_capacity(words.len() + 16);
        let mut firsts = Vec::with_capacity(words.len());
        for place in 0..words.len() {
            firsts.push(symbols.len());
            match words.token(place).and_then(marks) {
                Some(marks) => symbols.extend(marks.chars().map(|mark| (Symbol::Mark(mark), place))),
                None => symbols.push((Symbol::Token, place)),
            }
        }
        Symbols { symbols, firsts }
    }

    pub(super) fn get(&self, index: usize) -> Option<Symbol> {
        self.symbols.get(index).map(|(symbol, _)| *symbol)
    }

    /// The place of a symbol's token; past the last, the end.
    pub(super) fn place(&self, index: usize) -> usize {
        self.symbols.get(index).map_or(self.firsts.len(), |(_, place)| *place)
    }

    /// The first symbol of a place; past the last, the end.
    pub(super) fn first(&self, place: usize) -> usize {
        self.firsts.get(place).copied().unwrap_or(self.symbols.len())
    }
}

/// The characters of an operator or bracket.
fn marks(token: &Token) -> Option<String> {
    if matches!(token, Token::Word(_) | Token::Number(..)) {
        return None;
    }
    let text = token.to_string();
    (!text.is_empty() && text.chars().all(|c| MARKS.contains(c))).then_some(text)
}
