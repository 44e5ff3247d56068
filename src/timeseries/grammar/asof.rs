//! Joins by time: `ASOF [LEFT] JOIN` in Snowflake's, DuckDB's and QuestDB's spelling, and `WINDOW JOIN`.

use super::edits::Edits;
use super::{ASOF, Result, WINDOW_JOIN, clause};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_sql::extension::Words;
use std::ops::Range;

/// `place` is that of ASOF.
pub(super) fn rewrite(words: &Words, place: usize, edits: &mut Edits) -> Result<()> {
    let at = words.at(place);
    let join = words.find(place, |place| words.says(place, "JOIN"));
    let kind = if words.says(place + 1, "LEFT") { "left" } else { "inner" };
    for taken in place + 1..join {
        edits.delete(words.index(taken));
    }
    let beginnings = ["ON", "USING", "MATCH_CONDITION", "TOLERANCE"];
    let mut condition = clause::end_of_join(words, join + 1, &beginnings);
    let mut marker: Vec<TokenWithSpan> = at.call(ASOF).into_iter().chain([at.text(kind)]).collect();
    let snowflake = words.says(condition, "MATCH_CONDITION").then_some(condition);
    if snowflake.is_some() {
        if !matches!(words.token(condition + 1), Some(Token::LParen)) {
            return Err(words.misplaced(condition + 1));
        }
        condition = words.find(condition + 2, |_| false) + 1;
    }
    let mut end = condition;
    if words.says_any(condition, &["ON", "USING"]) {
        end = clause::end_of_join(words, condition + 1, &["TOLERANCE"]);
    } else if snowflake.is_none() {
        return Err(words.misplaced(condition));
    }
    let mut tolerance = Vec::new();
    if words.says(end, "TOLERANCE") {
        let after = clause::end_of_join(words, end + 1, &[]);
        tolerance = length(words, end + 1..after)?;
        for taken in end..after {
            edits.delete(words.index(taken));
        }
    }
    match snowflake {
        Some(snowflake) => {
            marker.push(at.comma());
            edits.insert(words.index(snowflake + 2), marker);
            let closing = words.find(snowflake + 2, |_| false);
            let mut ending = Vec::new();
            if !tolerance.is_empty() {
                ending.push(at.comma());
                ending.extend(tolerance);
            }
            ending.push(at.close());
            edits.insert(words.index(closing), ending);
        }
        None => {
            if !tolerance.is_empty() {
                marker.extend([at.comma(), at.keyword("NULL"), at.comma()]);
                marker.extend(tolerance);
            }
            marker.push(at.close());
            match_condition(words, condition, marker, edits);
        }
    }
    Ok(())
}

/// Puts `MATCH_CONDITION (marker)` before the condition of a join.
fn match_condition(words: &Words, place: usize, marker: Vec<TokenWithSpan>, edits: &mut Edits) {
    let at = words.at(place);
    let opening = [at.keyword("MATCH_CONDITION"), at.token(Token::LParen)];
    edits.insert(words.index(place), opening.into_iter().chain(marker).chain([at.close()]));
}

/// A length of time as one literal, or an expression as it is.
fn length(words: &Words, range: Range<usize>) -> Result<Vec<TokenWithSpan>> {
    if let Some((text, end)) = clause::length(words, range.start)
        && end == range.end
    {
        return Ok(vec![words.at(range.start).text(&text)]);
    }
    if range.is_empty() {
        return Err(words.misplaced(range.start));
    }
    Ok(range.filter_map(|place| words.get(place).cloned()).collect())
}

/// `place` is that of WINDOW.
pub(super) fn rewrite_window(words: &Words, place: usize, edits: &mut Edits) -> Result<()> {
    let at = words.at(place);
    edits.replace(words.index(place), [at.keyword("ASOF")]);
    let condition = clause::end_of_join(words, place + 2, &["USING", "RANGE"]);
    let range = if words.says_any(condition, &["ON", "USING"]) {
        clause::end_of_join(words, condition + 1, &["RANGE"])
    } else {
        condition
    };
    if !words.says(range, "RANGE") || !words.says(range + 1, "BETWEEN") {
        return Err(words.misplaced(range));
    }
    let and = words.find(range + 2, |place| words.says(place, "AND"));
    if !words.says(and, "AND") {
        return Err(words.misplaced(and));
    }
    let end = words.find(and + 1, |place| words.says_any(place, &["PRECEDING", "FOLLOWING", "ROW"]));
    let mut marker: Vec<TokenWithSpan> = at.call(WINDOW_JOIN).into();
    marker.extend(bound(words, range + 2..and)?);
    marker.push(at.comma());
    marker.extend(bound(words, and + 1..end + 1)?);
    marker.push(at.close());
    for taken in range..=end {
        edits.delete(words.index(taken));
    }
    match_condition(words, condition, marker, edits);
    Ok(())
}

/// `length PRECEDING`, `UNBOUNDED FOLLOWING`, `CURRENT ROW`: a direction and a distance, NULL without bound.
fn bound(words: &Words, range: Range<usize>) -> Result<Vec<TokenWithSpan>> {
    let at = words.at(range.start);
    let last = range.end.saturating_sub(1);
    if words.says(range.start, "CURRENT") && words.says(last, "ROW") {
        return Ok(vec![at.text("preceding"), at.comma(), at.text("0 seconds")]);
    }
    let direction = match () {
        () if words.says(last, "PRECEDING") => "preceding",
        () if words.says(last, "FOLLOWING") => "following",
        () => return Err(words.misplaced(last)),
    };
    let mut marked = vec![at.text(direction), at.comma()];
    if words.says(range.start, "UNBOUNDED") {
        marked.push(at.keyword("NULL"));
    } else {
        marked.extend(length(words, range.start..last)?);
    }
    Ok(marked)
}
