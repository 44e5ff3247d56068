//! The tokens of a statement without white space, and new ones in their place, for extensions that read words sqlparser does
//! not have.

use super::keyword;
use super::reserved::RESERVED;
use crate::extension::{Misplaced, syntax_error};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

/// The tokens that are not white space; a place counts them.
#[derive(Debug)]
pub struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    places: Vec<usize>,
}

impl<'a> Words<'a> {
    /// The words of a statement.
    pub fn new(tokens: &'a [TokenWithSpan]) -> Words<'a> {
        Words { tokens, places: super::significant(tokens) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The token at a place, and where it stands.
    pub fn get(&self, place: usize) -> Option<&'a TokenWithSpan> {
        self.places.get(place).map(|place| &self.tokens[*place])
    }

    /// The token at a place.
    pub fn token(&self, place: usize) -> Option<&'a Token> {
        self.get(place).map(|token| &token.token)
    }

    /// Whether this token stands at a place.
    pub fn is(&self, place: usize, token: &Token) -> bool {
        self.token(place) == Some(token)
    }

    /// Where edits find the token; past the last, the end.
    pub fn index(&self, place: usize) -> usize {
        let end = || self.places.last().map_or(0, |last| last + 1);
        self.places.get(place).copied().unwrap_or_else(end)
    }

    /// The tokens from one place up to another, and the white space among and behind them.
    pub fn between(&self, from: usize, to: usize) -> &'a [TokenWithSpan] {
        &self.tokens[self.index(from)..self.index(to).max(self.index(from))]
    }

    /// The token right behind one, if only white space.
    pub fn behind(&self, place: usize) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.places.get(place)? + 1)
    }

    /// Where new tokens say they are.
    pub fn at(&self, place: usize) -> At {
        let token = self.get(place).or_else(|| self.get(self.len().saturating_sub(1)));
        At(token.map_or_else(Span::empty, |token| token.span))
    }

    /// Whether a word in quotes stands there.
    pub fn is_quoted(&self, place: usize) -> bool {
        matches!(self.token(place), Some(Token::Word(word)) if word.quote_style.is_some())
    }

    /// Whether a word without quotes stands there.
    pub fn says(&self, place: usize, wanted: &str) -> bool {
        matches!(self.token(place), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    /// Whether one of these words stands there.
    pub fn says_any(&self, place: usize, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.says(place, wanted))
    }

    /// Whether these words stand there, one after the other.
    pub fn say(&self, place: usize, wanted: &[&str]) -> bool {
        wanted.iter().enumerate().all(|(after, wanted)| self.says(place + after, wanted))
    }

    /// The word at a place as a name, folded: any in quotes, or one that is not reserved.
    pub fn name(&self, place: usize) -> Option<String> {
        let token = self.get(place)?;
        let is_reserved = !self.is_quoted(place) && RESERVED.contains(&keyword(token));
        if is_reserved { None } else { self.label(place) }
    }

    /// The word at a place as a name behind AS, folded: any word.
    pub fn label(&self, place: usize) -> Option<String> {
        match self.token(place)? {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
            Token::Word(word) if word.quote_style == Some('"') => Some(word.value.clone()),
            _ => None,
        }
    }

    /// The first place from `from` on, outside brackets of any kind opened since, that `stops` or that closes one opened
    /// before; else the end.
    pub fn find(&self, from: usize, stops: impl Fn(usize) -> bool) -> usize {
        let mut depth = 0usize;
        for place in from..self.len() {
            match self.token(place) {
                Some(Token::LParen | Token::LBracket | Token::LBrace) => depth += 1,
                Some(Token::RParen | Token::RBracket | Token::RBrace) if depth == 0 => return place,
                Some(Token::RParen | Token::RBracket | Token::RBrace) => depth -= 1,
                _ if depth == 0 && stops(place) => return place,
                _ => {}
            }
        }
        self.len()
    }

    /// A syntax error at a place.
    pub fn misplaced(&self, place: usize) -> Misplaced {
        syntax_error(self.get(place))
    }
}

/// New tokens in the place of one.
#[derive(Clone, Copy, Debug)]
pub struct At(Span);

impl At {
    /// Any token.
    pub fn token(self, token: Token) -> TokenWithSpan {
        TokenWithSpan { token, span: self.0 }
    }

    /// A keyword.
    pub fn keyword(self, word: &str) -> TokenWithSpan {
        self.token(Token::make_keyword(word))
    }

    /// A name.
    pub fn name(self, name: &str) -> TokenWithSpan {
        self.token(Token::Word(Word { value: name.to_owned(), quote_style: None, keyword: Keyword::NoKeyword }))
    }

    /// A literal.
    pub fn text(self, text: &str) -> TokenWithSpan {
        self.token(Token::SingleQuotedString(text.to_owned()))
    }

    /// `name(`
    pub fn call(self, name: &str) -> [TokenWithSpan; 2] {
        [self.name(name), self.token(Token::LParen)]
    }

    /// `, name =>`
    pub fn argument(self, name: &str) -> [TokenWithSpan; 3] {
        [self.token(Token::Comma), self.name(name), self.token(Token::RArrow)]
    }

    /// `,`
    pub fn comma(self) -> TokenWithSpan {
        self.token(Token::Comma)
    }

    /// `)`
    pub fn close(self) -> TokenWithSpan {
        self.token(Token::RParen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_not_reserved() {
        let tokens = crate::parser::tokenize("Name \"Name\" select \"select\" 1 'a'").unwrap();
        let words = Words::new(&tokens);
        let names: Vec<Option<String>> = (0..7).map(|place| words.name(place)).collect();
        let expected = [Some("name"), Some("Name"), None, Some("select"), None, None, None];
        assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
        assert_eq!(words.label(2).as_deref(), Some("select"));
    }

    #[test]
    fn brackets_of_all_kinds_hide_what_is_in_them() {
        let tokens = crate::parser::tokenize("a[1, 2] + {,} + (x, (y)), z) w").unwrap();
        let words = Words::new(&tokens);
        let comma = words.find(0, |place| words.is(place, &Token::Comma));
        assert!(words.says(comma + 1, "z"));
        assert!(words.says(words.find(0, |_| false) + 1, "w"));
        let between: String = words.between(0, comma).iter().map(|token| token.token.to_string()).collect();
        assert_eq!(between, "a[1, 2] + {,} + (x, (y))");
    }
}
