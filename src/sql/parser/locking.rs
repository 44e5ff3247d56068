//! FOR UPDATE and its relatives: what sqlparser knows of them, and what it does not.
//!
//! sqlparser reads `FOR UPDATE | SHARE [OF one_table] [NOWAIT | SKIP LOCKED]`. The strength of the lock and the tables become one name behind
//! OF: `FOR NO KEY UPDATE OF a, b` is read as `FOR UPDATE OF "NO KEY UPDATE"."a"."b"`.

use super::{keyword, significant};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Rewrites the tokens of one statement.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words = significant(&tokens);
    let at = |place: usize| words.get(place).map(|index| &tokens[*index]);
    let key = |place: usize| at(place).map_or(Keyword::NoKeyword, keyword);
    let strength = |place: usize| match (key(place), key(place + 1), key(place + 2), key(place + 3)) {
        (Keyword::FOR, Keyword::UPDATE, ..) => Some(("UPDATE", 2)),
        (Keyword::FOR, Keyword::SHARE, ..) => Some(("SHARE", 2)),
        (Keyword::FOR, Keyword::KEY, Keyword::SHARE, _) => Some(("KEY SHARE", 3)),
        (Keyword::FOR, Keyword::NO, Keyword::KEY, Keyword::UPDATE) => Some(("NO KEY UPDATE", 4)),
        _ => None,
    };
    if !(0..words.len()).any(|place| strength(place).is_some()) {
        return tokens;
    }
    let mut kept = Vec::with_capacity(tokens.len() + 8);
    let mut place = 0;
    while let Some(token) = at(place) {
        let Some((name, words)) = strength(place) else {
            kept.push(token.clone());
            place += 1;
            continue;
        };
        let synthetic = |text: Token| TokenWithSpan { token: text, span: token.span };
        let quoted = |text: &str| synthetic(Token::make_word(text, Some('"')));
        let word = |text: &str| synthetic(Token::make_keyword(text));
        kept.extend([token.clone(), word("UPDATE"), word("OF"), quoted(name)]);
        place += words;
        if key(place) == Keyword::OF {
            place += 1;
            while let Some(table) = at(place) {
                kept.extend([synthetic(Token::Period), table.clone()]);
                place += 1;
                if at(place).is_none_or(|next| next.token != Token::Comma) {
                    break;
                }
                place += 1;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use crate::parser::parse_query;

    #[test]
    fn strengths_and_tables_are_read() {
        let lock = |sql: &str| parse_query(sql).unwrap().locks[0].of.as_ref().unwrap().to_string();
        assert_eq!(lock("select a from t for update"), "\"UPDATE\"");
        assert_eq!(lock("select a from t for no key update of t, u nowait"), "\"NO KEY UPDATE\".t.u");
        assert_eq!(lock("select a from t limit 1 for key share skip locked"), "\"KEY SHARE\"");
        assert!(parse_query("select substring('abc' from 1 for 2)").unwrap().locks.is_empty());
    }
}
