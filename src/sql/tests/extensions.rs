//! What an extension says of a statement, and where.

use crate::harness::Db;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::{Location, TokenWithSpan};
use lightning_sql::extension::{Misplaced, Scope, Words};
use lightning_sql::sqlstate::SYNTAX_ERROR;
use lightning_sql::{Error, Extension, Result};
use lightning_vfs::MemoryVfs;
use std::sync::Arc;

/// Refuses the word OOPS, and queries that say "refused".
#[derive(Debug)]
struct Refuses;

impl Extension for Refuses {
    fn rewrite_tokens(&self, tokens: Vec<TokenWithSpan>) -> std::result::Result<Vec<TokenWithSpan>, Misplaced> {
        let words = Words::new(&tokens);
        let oops = words.find(0, |place| words.says(place, "OOPS"));
        if oops == words.len() {
            return Ok(tokens);
        }
        Err(words.misplaced(oops).with_message("oops").with_hint("Say something else."))
    }

    fn rewrite_query(&self, query: &mut Query, _scope: &Scope<'_>) -> Result<()> {
        if query.to_string().contains("refused") {
            return Err(Error::new(SYNTAX_ERROR, "refused").with_location(Location::new(2, 8)));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_extensions_have_positions_and_hints() {
    let db = Db::extended(Arc::new(MemoryVfs::new()), [Arc::new(Refuses) as Arc<dyn Extension>].into());
    let e = db.run("select 1;\nselect oops").await.unwrap_err();
    assert_eq!((e.state().0, e.message(), e.0.position), ("42601", "oops", Some(18)));
    assert_eq!(e.0.hint.as_deref(), Some("Say something else."));
    let e = db.run("select 1;\nselect 'refused'").await.unwrap_err();
    assert_eq!((e.state().0, e.message(), e.0.position), ("42601", "refused", Some(18)));
}
