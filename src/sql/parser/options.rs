//! Options that are only named: `WITH (continuous)` is `WITH (continuous = true)`, as sqlparser reads it.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// A CREATE MATERIALIZED VIEW with values for all of its options; any other statement as it is.
pub(super) fn written_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let mut words = tokens.iter().filter(|token| !is_space(token)).map(keyword);
    if (words.next(), words.next()) != (Some(Keyword::CREATE), Some(Keyword::MATERIALIZED)) {
        return tokens;
    }
    let end = tokens.iter().position(|token| keyword(token) == Keyword::AS).unwrap_or(tokens.len());
    let Some(start) = tokens[..end].iter().position(|token| keyword(token) == Keyword::WITH) else { return tokens };
    let mut written: Vec<TokenWithSpan> = tokens[..start].to_vec();
    for at in start..tokens.len() {
        let token = &tokens[at];
        written.push(token.clone());
        if at >= end || !matches!(token.token, Token::Word(_)) {
            continue;
        }
        let mut before = tokens[start..at].iter().rev().filter(|token| !is_space(token));
        let mut after = tokens[at + 1..end].iter().filter(|token| !is_space(token));
        let is_named = matches!(before.next().map(|token| &token.token), Some(Token::LParen | Token::Comma));
        if is_named && matches!(after.next().map(|token| &token.token), Some(Token::RParen | Token::Comma)) {
            let value = Token::Word(Word { value: "true".to_owned(), quote_style: None, keyword: Keyword::TRUE });
            written.push(TokenWithSpan { token: Token::Eq, span: token.span });
            written.push(TokenWithSpan { token: value, span: token.span });
        }
    }
    written
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    if let Token::Word(word) = &token.token { word.keyword } else { Keyword::NoKeyword }
}
