//! Statements within a statement: what triggers' functions run.

use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::Parsed;
use crate::parser::trigger_body::check_kind;
use crate::session::Run;
use crate::statements;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::sync::Arc;

/// Runs a statement to its end, in the transaction of the session's block. Rows it gives are computed and forgotten. It is a task of its
/// own, so that the stack does not grow with the depth.
pub(super) fn run(run: &Run, parsed: Parsed) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let text = parsed.text.clone();
        let nested = run.with(Arc::new(parsed));
        let work: BoxFuture<'static, Result<()>> = Box::pin(async move { nested.guarded(to_end(&nested)).await });
        run.session.executor().run(work).await.map_err(|e| in_statement(e, &text))
    })
}

fn to_end(run: &Run) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        if let Outcome::Rows(mut rows) = statements::execute(run, None).await? {
            while let Some(batch) = rows.batches.next().await {
                batch?;
                run.active.check()?;
            }
        }
        Ok(())
    })
}

/// Runs statements that a function gave as text.
pub(super) async fn run_texts(run: &Run, texts: &[String]) -> Result<()> {
    for text in texts {
        let parsed = crate::parser::parse_extended(text, run.session.instance.extensions());
        for parsed in parsed.map_err(|e| in_statement(e, text))? {
            check_kind(&parsed)?;
            self::run(run, parsed).await?;
        }
    }
    Ok(())
}

/// Says which statement failed; positions in it mean nothing to whoever sent the outer one.
fn in_statement(mut error: Error, text: &str) -> Error {
    (error.0.position, error.0.location) = (None, None);
    with_line(error, &format!("SQL statement \"{text}\""))
}

/// Adds a line to the context.
pub(super) fn with_line(error: Error, line: &str) -> Error {
    let context = match &error.0.context {
        Some(context) => format!("{context}\n{line}"),
        None => line.to_owned(),
    };
    error.with_context(context)
}
