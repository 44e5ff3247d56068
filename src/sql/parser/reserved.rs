//! Words PostgreSQL's grammar reserves, and what may not be said with them.
//!
//! sqlparser takes any word for a name where it expects one; PostgreSQL takes reserved words only in quotes. Also refused here
//! are joins without a condition and aliases in single quotes, which sqlparser accepts from other dialects.

use super::{Source, near, syntax_error_near, tokenize};
use crate::error::Error;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem, Spanned, Statement, Visit, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use std::ops::ControlFlow;

/// Words that are never names without quotes, and stand for nothing that could be mistaken for one.
pub(super) const RESERVED: &[Keyword] = &[
    Keyword::ALL,
    Keyword::ANALYZE,
    Keyword::AND,
    Keyword::ANY,
    Keyword::AS,
    Keyword::ASC,
    Keyword::BOTH,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CHECK,
    Keyword::COLLATE,
    Keyword::COLUMN,
    Keyword::CONSTRAINT,
    Keyword::CREATE,
    Keyword::DEFERRABLE,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::DO,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FOREIGN,
    Keyword::FROM,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INITIALLY,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LATERAL,
    Keyword::LEADING,
    Keyword::LIMIT,
    Keyword::NOT,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::PRIMARY,
    Keyword::REFERENCES,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::SOME,
    Keyword::TABLE,
    Keyword::THEN,
    Keyword::TO,
    Keyword::TRAILING,
    Keyword::UNION,
    Keyword::UNIQUE,
    Keyword::USING,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

/// Refuses what PostgreSQL's grammar does not have in a query.
pub(super) fn check(statement: &Statement, source: &Source) -> Result<(), Error> {
    if !matches!(statement, Statement::Query(_)) {
        return Ok(());
    }
    match statement.visit(&mut Names { source }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn is_reserved(ident: &Ident) -> bool {
    let Token::Word(word) = Token::make_word(&ident.value, ident.quote_style) else { return false };
    RESERVED.contains(&word.keyword)
}

struct Names<'a> {
    source: &'a Source,
}

impl Names<'_> {
    fn ident(&self, ident: &Ident) -> ControlFlow<Error> {
        if !is_reserved(ident) || ident.span.start.line == 0 {
            return ControlFlow::Continue(());
        }
        let token = TokenWithSpan { token: Token::make_word(&ident.value, None), span: ident.span };
        ControlFlow::Break(near(&token, self.source))
    }

    /// The error at the first token from `location` on.
    fn at(&self, location: Location) -> Error {
        let after =
            |token: &&TokenWithSpan| token.span.start >= location && !matches!(token.token, Token::Whitespace(_));
        let tokens = tokenize(&self.source.script).unwrap_or_default();
        match tokens.iter().find(after) {
            Some(token) => near(token, self.source),
            None => near(&TokenWithSpan::wrap(Token::EOF), self.source),
        }
    }
}

impl Visitor for Names<'_> {
    type Break = Error;

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        match relation.0.as_slice() {
            [only] => only.as_ident().map_or(ControlFlow::Continue(()), |ident| self.ident(ident)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item
                && alias.quote_style == Some('\'')
            {
                let token = Token::SingleQuotedString(alias.value.clone());
                let tokens = tokenize(&self.source.script).unwrap_or_default();
                let written = tokens.into_iter().rfind(|t| t.token == token);
                return ControlFlow::Break(match written {
                    Some(written) => near(&written, self.source),
                    None => syntax_error_near(&TokenWithSpan::wrap(token)),
                });
            }
        }
        for join in select.from.iter().flat_map(|item| &item.joins) {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)) = &join.join_operator
            else {
                continue;
            };
            let end = join.relation.span().end;
            if matches!(constraint, JoinConstraint::None) && end.line > 0 {
                return ControlFlow::Break(self.at(end));
            }
        }
        ControlFlow::Continue(())
    }
}
