//! Bounds the depth of what the parser will build, from the tokens alone.
//!
//! Parentheses and keywords that open something are bounded by the parser's own recursion limit. Chains are not: the parser
//! reads `a + b + c + …` in a loop but builds a tree as deep as the chain is long, and dropping, planning or evaluating that
//! tree recurses. So operators that follow each other at one level of parentheses are counted. AND and OR are left out of
//! the count up to a larger bound, because [`super::rewrite`] turns their chains into balanced trees.

use crate::error::Result;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Operators in a row. Planning looks at the whole chain for each of its operators, more than once.
const OPERATORS_MAX: usize = 160;
/// Set operations or joins in a row, and levels of parentheses.
const CHAIN_MAX: usize = 400;
/// ANDs and ORs in a row.
const LOGICAL_CHAIN_MAX: usize = 20_000;

#[derive(Default, Clone, Copy)]
struct Level {
    operators: usize,
    logical: usize,
    set_operations: usize,
    joins: usize,
}

/// Refuses statements whose tree would be too deep with 54001.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let top = levels.len() - 1;
        let level = &mut levels[top];
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                levels.push(Level::default());
                if levels.len() > CHAIN_MAX {
                    return Err(super::too_deep());
                }
                continue;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if levels.len() > 1 {
                    levels.pop();
                }
                continue;
            }
            Token::Comma => {
                level.operators = 0;
                level.logical = 0;
                level.joins = 0;
            }
            Token::Word(word) => word_seen(word.keyword, level),
            Token::Whitespace(_) | Token::EOF | Token::Number(..) | Token::Period | Token::Placeholder(_) => {}
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::SemiColon => {}
            _ => level.operators += 1,
        }
        let level = levels[top];
        if level.operators > OPERATORS_MAX
            || level.set_operations > CHAIN_MAX
            || level.joins > CHAIN_MAX
            || level.logical > LOGICAL_CHAIN_MAX
        {
            return Err(super::too_deep());
        }
    }
    Ok(())
}

fn word_seen(keyword: Keyword, level: &mut Level) {
    match keyword {
        Keyword::AND | Keyword::OR => {
            level.logical += 1;
            level.operators = 0;
        }
        Keyword::NOT
        | Keyword::CASE
        | Keyword::IS
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::COLLATE
        | Keyword::AT => {
            level.operators += 1;
        }
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
            level.set_operations += 1;
            level.operators = 0;
            level.logical = 0;
        }
        Keyword::JOIN => {
            level.joins += 1;
            level.operators = 0;
        }
        Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::HAVING => {
            level.operators = 0;
            level.logical = 0;
        }
        _ => {}
    }
}
