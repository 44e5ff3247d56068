//! Names of the calls that stand for parts of a pattern, and how the calls are written.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_sql::extension::At;

/// GRAPH_TABLE as a table function.
pub(crate) const GRAPH_TABLE: &str = "lightning_graph_table";
/// The parts of the graph's name.
pub(crate) const GRAPH: &str = "lightning_graph";
/// A path pattern.
pub(crate) const PATH: &str = "lightning_path";
/// A vertex pattern.
pub(crate) const VERTEX: &str = "lightning_vertex";
/// An edge pattern.
pub(crate) const EDGE: &str = "lightning_edge";
/// A path pattern in parentheses.
pub(crate) const GROUP: &str = "lightning_group";
/// A label by name.
pub(crate) const LABEL: &str = "lightning_label";
/// Any label.
pub(crate) const ANY_LABEL: &str = "lightning_any_label";
/// Not a label.
pub(crate) const NOT: &str = "lightning_not";
/// All of some labels.
pub(crate) const ALL_OF: &str = "lightning_all_of";
/// One of some labels.
pub(crate) const ONE_OF: &str = "lightning_one_of";
/// A column of the result.
pub(crate) const COLUMN: &str = "lightning_column";

/// Tokens of nested calls.
#[derive(Debug, Default)]
pub(super) struct Writer {
    tokens: Vec<TokenWithSpan>,
}

impl Writer {
    /// `name(`
    pub(super) fn open(&mut self, at: At, name: &str) {
        self.tokens.extend(at.call(name));
    }

    /// Begins an argument; not the first one begins with a comma.
    pub(super) fn argument(&mut self, at: At) {
        if self.tokens.last().is_some_and(|last| last.token != Token::LParen) {
            self.tokens.push(at.comma());
        }
    }

    /// Begins an argument of a name.
    pub(super) fn named(&mut self, at: At, name: &str) {
        self.argument(at);
        self.tokens.extend([at.name(name), at.token(Token::RArrow)]);
    }

    /// A named argument that is a literal.
    pub(super) fn named_text(&mut self, at: At, name: &str, text: &str) {
        self.named(at, name);
        self.push(at.text(text));
    }

    /// A named argument that is a number, as it was written.
    pub(super) fn named_number(&mut self, at: At, name: &str, digits: &str) {
        self.named(at, name);
        self.push(at.token(Token::Number(digits.to_owned(), false)));
    }

    /// Any token.
    pub(super) fn push(&mut self, token: TokenWithSpan) {
        self.tokens.push(token);
    }

    /// Tokens as they are.
    pub(super) fn copy(&mut self, tokens: &[TokenWithSpan]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Takes tokens off the end, down to a length seen before, to put them elsewhere.
    pub(super) fn take_from(&mut self, len: usize) -> Vec<TokenWithSpan> {
        self.tokens.split_off(len)
    }

    /// Tokens so far.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// All tokens.
    pub(super) fn into_tokens(self) -> Vec<TokenWithSpan> {
        self.tokens
    }
}
