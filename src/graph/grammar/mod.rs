//! `GRAPH_TABLE (graph MATCH patterns [WHERE condition] COLUMNS (…))` as a call of a table function that sqlparser reads.
//!
//! ```text
//! GRAPH_TABLE ( s.g MATCH …, … WHERE c COLUMNS (…) )   lightning_graph_table(lightning_graph('s', 'g'), …, …, condition => c, …)
//! p = ANY SHORTEST TRAIL PATHS …                       lightning_path(name => 'p', selector => 'shortest', count => 1, mode => 'trail', …)
//! (a IS x WHERE c)                                     lightning_vertex(name => 'a', label => …, condition => c)
//! -[k IS x WHERE c]->{1,3}                             lightning_edge(name => 'k', label => …, condition => c, direction => 'right', lower => 1, upper => 3)
//! (TRAIL … WHERE c)+                                   lightning_group(mode => 'trail', …, condition => c, lower => 1)
//! x                                                    lightning_label('x')
//! %                                                    lightning_any_label()
//! !l                                                   lightning_not(l)
//! l & m & n                                            lightning_all_of(l, m, n)
//! l | m | n                                            lightning_one_of(l, m, n)
//! COLUMNS ( e AS n, … )                                lightning_column(e, 'n'), …
//! ```
//!
//! Whatever may be left out is left out of the call too. Names are literals of folded text, so that nothing takes them for
//! columns; conditions and columns keep their tokens. Selectors are `'any'`, `'shortest'` and `'shortest groups'`, always with
//! a count: `ANY SHORTEST` is one of the shortest, `ALL SHORTEST` their one group, and `ALL` is what no selector means. Modes
//! are `'walk'`, `'trail'`, `'acyclic'` and `'simple'`; directions `'right'`, `'left'` and `'any'`. Edges of tables always
//! have a direction, so that undirected patterns are those of any direction.
//!
//! The tokenizer joins characters into SQL's operators: `]->+(` ends in the one token `->+`. Patterns are read character by
//! character therefore ([`symbols`]), and each new token has the span of the token it stands for.

mod marks;
mod symbols;
mod reader;
mod columns;
mod element;
mod path;

pub(crate) use marks::*;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_sql::extension::{Misplaced, Words};
use reader::Reader;

type Result<T> = std::result::Result<T, Misplaced>;

/// Rewrites every GRAPH_TABLE among the tokens of a statement, also those in conditions and columns of another.
pub fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let is_ours = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case("GRAPH_TABLE"),
        _ => false,
    };
    if !tokens.iter().any(is_ours) {
        return Ok(tokens);
    }
    let words = Words::new(&tokens);
    let mut reader = Reader::new(&words);
    reader.copy(0, words.len())?;
    let mut rewritten = reader.finish();
    rewritten.extend_from_slice(&tokens[words.index(words.len())..]);
    Ok(rewritten)
}

/// Whether a GRAPH_TABLE begins at a place.
fn begins(words: &Words, place: usize) -> bool {
    let qualified = place > 0 && words.is(place - 1, &Token::Period);
    words.says(place, "GRAPH_TABLE") && words.is(place + 1, &Token::LParen) && !qualified && !is_created(words, place)
}

/// Whether the word is the name of a table that is being created: columns follow, and no graph.
fn is_created(words: &Words, place: usize) -> bool {
    let is_before = |word: &str| place > 0 && words.says(place - 1, word);
    is_before("TABLE") || is_before("EXISTS") || is_before("INTO")
}

#[cfg(test)]
mod tests;
