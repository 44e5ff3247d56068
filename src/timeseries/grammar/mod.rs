//! Words sqlparser does not have, as calls it reads.
//!
//! ```text
//! FROM t WHERE a OR b LATEST ON ts PARTITION BY s    FROM t WHERE (a OR b) AND lightning_latest_on(ts, s)
//! SAMPLE BY 1h FILL(PREV) ALIGN TO CALENDAR          GROUP BY lightning_sample_by('1 hours', fill => lightning_fills(PREV), align => 'calendar')
//! l ASOF LEFT JOIN r ON l.t >= r.t TOLERANCE 1m      l ASOF JOIN r MATCH_CONDITION (lightning_asof('left', NULL, '1 minutes')) ON l.t >= r.t
//! l WINDOW JOIN r ON … RANGE BETWEEN a PRECEDING …   l ASOF JOIN r MATCH_CONDITION (lightning_window_join('preceding', a, …)) ON …
//! ```
//!
//! The statement is read once; what changes is noted in [`Edits`] and applied at the end, so that constructs may stand in
//! each other. New tokens have the span of the token they stand for.

mod asof;
mod clause;
mod edits;
mod latest_on;
mod sample_by;

use clause::Clause;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use edits::Edits;
use lightning_sql::extension::{Misplaced, Words};

/// What the table before LATEST ON is narrowed to: `(time, keys…)`.
pub(crate) const LATEST_ON: &str = "lightning_latest_on";
/// The sample: `(width, "from" =>, "to" =>, fill =>, align =>, zone =>, "offset" =>)`.
pub(crate) const SAMPLE_BY: &str = "lightning_sample_by";
/// The list in FILL.
pub(crate) const FILLS: &str = "lightning_fills";
/// The match of an ASOF join: `(kind, condition, tolerance)`.
pub(crate) const ASOF: &str = "lightning_asof";
/// The window of a window join: `(direction, distance, direction, distance)`.
pub(crate) const WINDOW_JOIN: &str = "lightning_window_join";

type Result<T> = std::result::Result<T, Misplaced>;

/// Rewrites the tokens of a statement.
pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let is_ours = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => {
            ["SAMPLE", "LATEST", "ASOF"].iter().any(|ours| word.value.eq_ignore_ascii_case(ours))
                || word.keyword == Keyword::WINDOW
        }
        _ => false,
    };
    if !tokens.iter().any(is_ours) {
        return Ok(tokens);
    }
    let words = Words::new(&tokens);
    let mut edits = Edits::default();
    // For each open parenthesis, the WHERE of the query that stands in it.
    let mut conditions: Vec<Option<usize>> = vec![None];
    for place in 0..words.len() {
        match words.token(place) {
            Some(Token::LParen) => conditions.push(None),
            Some(Token::RParen) if conditions.len() > 1 => {
                conditions.pop();
            }
            Some(Token::Word(_)) => {
                let condition = conditions.last_mut();
                let (Some(condition), false) = (condition, words.is_quoted(place)) else { continue };
                if words.says(place, "SELECT") {
                    *condition = None;
                } else if words.says(place, "WHERE") {
                    *condition = Some(place);
                } else if let Some(clause) = Clause::at(&words, place) {
                    match clause {
                        Clause::LatestOn => latest_on::rewrite(&words, place, *condition, &mut edits)?,
                        Clause::SampleBy => sample_by::rewrite(&words, place, &mut edits)?,
                        Clause::Asof => asof::rewrite(&words, place, &mut edits)?,
                        Clause::WindowJoin => asof::rewrite_window(&words, place, &mut edits)?,
                    }
                }
            }
            _ => {}
        }
    }
    Ok(edits.apply(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn rewritten(sql: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        let text: String = rewrite(tokens).unwrap().iter().map(|token| format!("{} ", token.token)).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn refused(sql: &str) -> Option<String> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        rewrite(tokens).err().map(|misplaced| misplaced.token.map_or("end".to_owned(), |token| token.token.to_string()))
    }

    #[test]
    fn other_statements_stay() {
        for sql in
            ["select sample , latest from t", "select 1 as asof", "select sum ( a ) over w from t window w as ( )"]
        {
            assert_eq!(rewritten(sql), sql);
        }
    }

    #[test]
    fn latest_on_becomes_a_condition() {
        assert_eq!(
            rewritten("select * from t latest on ts partition by a, b order by 1"),
            "select * from t WHERE lightning_latest_on ( ts , a , b ) order by 1"
        );
        assert_eq!(
            rewritten("select * from (select * from t where x or y latest on t.ts partition by a) where z"),
            "select * from ( select * from t where ( x or y ) AND lightning_latest_on ( t . ts , a ) ) where z"
        );
    }

    #[test]
    fn sample_by_becomes_a_group() {
        assert_eq!(
            rewritten(
                "select avg(x) from t sample by 1h fill(prev, 0) align to calendar time zone 'CET' with offset '01:00' limit 3"
            ),
            "select avg ( x ) from t GROUP by lightning_sample_by ( '1 hours' , fill => lightning_fills ( prev , 0 ) , \
             align => 'calendar' , zone => 'CET' , shift => '01:00' ) limit 3"
        );
        assert_eq!(
            rewritten("select avg(x) from t sample by 5 minutes from a to b + 1"),
            "select avg ( x ) from t GROUP by lightning_sample_by ( '5 minutes' , lower => a , upper => b + 1 )"
        );
        assert_eq!(refused("select avg(x) from t sample by"), Some("end".to_owned()));
        assert_eq!(refused("select avg(x) from t sample by x"), Some("x".to_owned()));
    }

    #[test]
    fn asof_joins_have_a_match_condition() {
        assert_eq!(
            rewritten("select * from l asof left join r as q on l.k = q.k and l.t >= q.t where 1 = 1"),
            "select * from l asof join r as q MATCH_CONDITION ( lightning_asof ( 'left' ) ) on l . k = q . k and l . t >= q . t where 1 = 1"
        );
        assert_eq!(
            rewritten("select * from l asof join r match_condition (l.t >= r.t) using (k)"),
            "select * from l asof join r match_condition ( lightning_asof ( 'inner' , l . t >= r . t ) ) using ( k )"
        );
        assert_eq!(
            rewritten("select * from l asof join (select 1) r using (k, t) tolerance 1m, u"),
            "select * from l asof join ( select 1 ) r MATCH_CONDITION ( lightning_asof ( 'inner' , NULL , '1 minutes' ) ) using ( k , t ) , u"
        );
    }

    #[test]
    fn window_joins_have_their_range() {
        assert_eq!(
            rewritten(
                "select * from l window join r on l.k = r.k range between 1 minute preceding and current row order by 1"
            ),
            "select * from l ASOF join r MATCH_CONDITION ( lightning_window_join ( 'preceding' , '1 minute' , \
             'preceding' , '0 seconds' ) ) on l . k = r . k order by 1"
        );
    }
}
