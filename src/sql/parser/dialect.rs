//! PostgreSQL's dialect without the one switch that makes sqlparser exponential, with `* EXCLUDE` and literals of our own types.
//!
//! To see whether an argument is named by an expression (`f(a || b => 1)`), sqlparser's PostgreSQL dialect parses every
//! function argument twice, so that nested calls take time exponential in their depth. PostgreSQL itself allows only plain
//! names there, which the other way of reading arguments handles with one look ahead.

use super::reserved::RESERVED;
use datafusion::sql::sqlparser::ast::{Expr, TypedString};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::any::TypeId;

/// Types that PostgreSQL does not have.
const TYPES: [&str; 2] = ["timestamp_ns", "timestamptz_ns"];

/// [`PostgreSqlDialect`] with arguments named by plain identifiers only.
#[derive(Debug)]
pub(super) struct LightningDialect;

const INNER: PostgreSqlDialect = PostgreSqlDialect {};

macro_rules! as_postgresql {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool {
            INNER.$method()
        })*
    };
}

impl Dialect for LightningDialect {
    fn dialect(&self) -> TypeId {
        INNER.dialect()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        INNER.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        INNER.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        INNER.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        INNER.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        INNER.is_reserved_for_identifier(keyword) || RESERVED.contains(&keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        INNER.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        INNER.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        INNER.prec_value(precedence)
    }

    // `SELECT 1 FOR UPDATE`: FOR is a reserved word.
    fn is_column_alias(&self, word: &Keyword, parser: &mut Parser) -> bool {
        *word != Keyword::FOR && INNER.is_column_alias(word, parser)
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }

    // `SELECT * EXCLUDE (column)`: nothing in PostgreSQL's grammar stands there.
    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    // `timestamp_ns '…'`: sqlparser reads such literals of the types it knows.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let is_ours = |token: &Token| matches!(token, Token::Word(word) if word.quote_style.is_none() && TYPES.iter().any(|name| word.value.eq_ignore_ascii_case(name)));
        let is_literal = is_ours(&parser.peek_token_ref().token)
            && matches!(parser.peek_nth_token_ref(1).token, Token::SingleQuotedString(_));
        is_literal.then(|| {
            let data_type = parser.parse_data_type()?;
            let value = parser.parse_value()?;
            Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
        })
    }

    as_postgresql!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_comment_optimizer_hint,
    );
}
