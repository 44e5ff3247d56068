//! `SAMPLE BY width [FROM lower TO upper] [FILL (…)] [ALIGN TO …]`: groups of time.

use super::edits::Edits;
use super::{FILLS, Result, SAMPLE_BY, clause};
use lightning_sql::extension::Words;

/// `place` is that of SAMPLE.
pub(super) fn rewrite(words: &Words, place: usize, edits: &mut Edits) -> Result<()> {
    let at = words.at(place);
    edits.replace(words.index(place), [at.keyword("GROUP")]);
    let Some((width, mut next)) = clause::length(words, place + 2) else { return Err(words.misplaced(place + 2)) };
    for taken in place + 2..next {
        edits.delete(words.index(taken));
    }
    let call = at.call(SAMPLE_BY).into_iter().chain([at.text(&width)]);
    edits.insert(words.index(place + 2), call);
    loop {
        let at = words.at(next);
        if words.says(next, "FROM") || words.says(next, "TO") {
            let name = if words.says(next, "FROM") { "lower" } else { "upper" };
            edits.replace(words.index(next), at.argument(name));
            let beginnings = ["FROM", "TO", "FILL", "ALIGN"];
            next = words
                .find(next + 1, |place| words.says_any(place, &beginnings))
                .min(clause::end_of_clause(words, next + 1));
        } else if words.says(next, "FILL") {
            edits.replace(words.index(next), at.argument("fill").into_iter().chain([at.name(FILLS)]));
            next = words.find(next + 2, |_| false) + 1;
        } else if words.says(next, "ALIGN") && words.says(next + 1, "TO") {
            next = align(words, next, edits)?;
        } else {
            break;
        }
    }
    let end = clause::end_of_clause(words, next);
    if end != next {
        return Err(words.misplaced(next));
    }
    edits.insert(words.index(end), [at.close()]);
    Ok(())
}

/// `ALIGN TO FIRST OBSERVATION | CALENDAR [TIME ZONE zone] [WITH OFFSET offset]`; the place after it.
fn align(words: &Words, place: usize, edits: &mut Edits) -> Result<usize> {
    let at = words.at(place);
    let (what, mut next) = if words.says(place + 2, "FIRST") && words.says(place + 3, "OBSERVATION") {
        ("first observation", place + 4)
    } else if words.says(place + 2, "CALENDAR") {
        ("calendar", place + 3)
    } else {
        return Err(words.misplaced(place + 2));
    };
    for taken in place..next {
        edits.delete(words.index(taken));
    }
    edits.insert(words.index(place), at.argument("align").into_iter().chain([at.text(what)]));
    for (first, second, name) in [("TIME", "ZONE", "zone"), ("WITH", "OFFSET", "shift")] {
        if words.says(next, first) && words.says(next + 1, second) {
            edits.replace(words.index(next), words.at(next).argument(name));
            edits.delete(words.index(next + 1));
            if words.get(next + 2).is_none() {
                return Err(words.misplaced(next + 2));
            }
            next += 3;
        }
    }
    Ok(next)
}
