//! Changes to a list of tokens, noted by place and applied together.

use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use std::collections::{BTreeMap, BTreeSet};

/// What changes.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// New tokens before a place.
    inserted: BTreeMap<usize, Vec<TokenWithSpan>>,
    deleted: BTreeSet<usize>,
}

impl Edits {
    /// Puts tokens before the token at `place`, after what was put there already.
    pub(super) fn insert(&mut self, place: usize, tokens: impl IntoIterator<Item = TokenWithSpan>) {
        self.inserted.entry(place).or_default().extend(tokens);
    }

    /// Takes a token out.
    pub(super) fn delete(&mut self, place: usize) {
        self.deleted.insert(place);
    }

    /// Puts tokens where one was.
    pub(super) fn replace(&mut self, place: usize, tokens: impl IntoIterator<Item = TokenWithSpan>) {
        self.delete(place);
        self.insert(place, tokens);
    }

    /// The changed tokens.
    pub(super) fn apply(mut self, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
        let count = tokens.len();
        let mut changed = Vec::with_capacity(count + 16);
        for (place, token) in tokens.into_iter().enumerate() {
            changed.extend(self.inserted.remove(&place).into_iter().flatten());
            if !self.deleted.contains(&place) {
                changed.push(token);
            }
        }
        changed.extend(self.inserted.remove(&count).into_iter().flatten());
        changed
    }
}
