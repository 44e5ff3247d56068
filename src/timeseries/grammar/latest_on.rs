//! `LATEST ON time PARTITION BY keys`: the row with the latest time of each key, among those the WHERE lets through.

use super::edits::Edits;
use super::{LATEST_ON, Result, clause};
use datafusion::sql::sqlparser::tokenizer::Token;
use lightning_sql::extension::Words;

/// `place` is that of LATEST, `condition` that of the query's WHERE.
pub(super) fn rewrite(words: &Words, place: usize, condition: Option<usize>, edits: &mut Edits) -> Result<()> {
    let at = words.at(place);
    let mut beginning = match condition {
        Some(condition) => {
            edits.insert(words.index(condition + 1), [at.token(Token::LParen)]);
            vec![at.close(), at.keyword("AND")]
        }
        None => vec![at.keyword("WHERE")],
    };
    beginning.extend(at.call(LATEST_ON));
    edits.replace(words.index(place), beginning);
    edits.delete(words.index(place + 1));
    let partition = words.find(place + 2, |place| words.says(place, "PARTITION"));
    if !words.says(partition + 1, "BY") {
        return Err(words.misplaced(partition + 1));
    }
    edits.replace(words.index(partition), [at.comma()]);
    edits.delete(words.index(partition + 1));
    let end = clause::end_of_clause(words, partition + 2);
    if end == partition + 2 || words.says(end, "WHERE") {
        return Err(words.misplaced(end));
    }
    edits.insert(words.index(end), [at.close()]);
    Ok(())
}
