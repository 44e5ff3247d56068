//! Words of UPDATE, DELETE and MERGE that sqlparser does not know.
//!
//! `THEN DO NOTHING` of MERGE becomes an action that sets a column nobody can name, `INSERT DEFAULT VALUES` there becomes
//! `INSERT VALUES (DEFAULT)`, and `ONLY` goes, since no table has children. WHERE CURRENT OF is refused.

use super::{keyword, significant};
use crate::error::{Error, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The column that DO NOTHING sets.
pub(crate) const NOTHING: &str = "\u{1}nothing";

/// Rewrites the tokens of one statement.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let words = significant(&tokens);
    let changes =
        words.iter().any(|i| matches!(keyword(&tokens[*i]), Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE));
    if !changes {
        return Ok(tokens);
    }
    let at = |place: usize| words.get(place).map_or(Keyword::NoKeyword, |i| keyword(&tokens[*i]));
    let mut kept = Vec::with_capacity(tokens.len());
    let mut matched = true;
    let mut place = 0;
    while let Some(index) = words.get(place) {
        let token = &tokens[*index];
        let synthetic = |text: Token| TokenWithSpan { token: text, span: token.span };
        let word = |text: &str| synthetic(Token::make_keyword(text));
        let nothing = || synthetic(Token::make_word(NOTHING, Some('"')));
        let one = || synthetic(Token::Number("1".to_owned(), false));
        match (at(place), at(place + 1), at(place + 2)) {
            (Keyword::WHERE, Keyword::CURRENT, Keyword::OF) => return Err(Error::unsupported("WHERE CURRENT OF")),
            (Keyword::WHEN, next, _) => {
                matched = next != Keyword::NOT;
                kept.push(token.clone());
            }
            (Keyword::THEN, Keyword::DO, Keyword::NOTHING) => {
                kept.push(token.clone());
                if matched {
                    kept.extend([word("UPDATE"), word("SET"), nothing(), synthetic(Token::Eq), one()]);
                } else {
                    kept.extend([word("INSERT"), synthetic(Token::LParen), nothing(), synthetic(Token::RParen)]);
                    kept.extend([word("VALUES"), synthetic(Token::LParen), one(), synthetic(Token::RParen)]);
                }
                place += 2;
            }
            (Keyword::INSERT, Keyword::DEFAULT, Keyword::VALUES) => {
                kept.extend([token.clone(), word("VALUES"), synthetic(Token::LParen), word("DEFAULT")]);
                kept.push(synthetic(Token::RParen));
                place += 2;
            }
            (Keyword::UPDATE | Keyword::FROM, Keyword::ONLY, _) => {
                kept.push(token.clone());
                place += 1;
            }
            _ => kept.push(token.clone()),
        }
        place += 1;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use crate::parser::parse_script;

    #[test]
    fn actions_of_merge_are_read() {
        let parses = |sql: &str| parse_script(sql).unwrap().len() == 1;
        assert!(parses("merge into t using s on t.a = s.a when matched then do nothing"));
        assert!(parses("merge into t using s on t.a = s.a when not matched then do nothing"));
        assert!(parses("merge into t using s on t.a = s.a when not matched then insert default values"));
        assert!(parses("delete from only t where a = 1"));
        assert_eq!(parse_script("delete from t where current of c").unwrap_err().state().0, "0A000");
    }
}
