//! A trigger with the function it calls, ready to be called.

use super::sql::has_statements;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::extension::language;
use crate::language::TriggerBody;
use crate::parser::trigger_body::{self, Item};
use crate::session::Run;
use crate::sqlstate::{INTERNAL_ERROR, UNDEFINED_FUNCTION};
use datafusion::sql::sqlparser::ast::Expr;
use lightning_catalog::{Function, Trigger};
use std::sync::Arc;

/// What a trigger's function is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Items of SQL.
    Sql(Arc<[Item]>),
    /// Code in another language.
    Foreign(Arc<dyn TriggerBody>),
}

impl Body {
    /// Whether it may be called while the transaction is elsewhere: what it wants to run waits.
    pub(super) fn can_wait(&self) -> bool {
        match self {
            Body::Sql(items) => !has_statements(items),
            Body::Foreign(_) => true,
        }
    }
}

/// A trigger that can be fired.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) trigger: Trigger,
    pub(super) function: Arc<Function>,
    pub(super) arguments: Arc<[String]>,
    pub(super) condition: Option<Expr>,
    pub(super) body: Body,
}

impl Ready {
    /// Finds the function of a trigger and the language it is in.
    pub(super) fn new(run: &Run, context: &StatementContext, trigger: &Trigger) -> Result<Ready> {
        let function = context.catalog.function_by_oid(trigger.function).cloned().ok_or_else(|| {
            let message = format!("function {} of trigger \"{}\" does not exist", trigger.function, trigger.name);
            Error::new(UNDEFINED_FUNCTION, message)
        })?;
        let extensions = run.session.instance.extensions();
        let body = match function.language.as_str() {
            "sql" => Body::Sql(trigger_body::parse(&function.source, extensions)?.into()),
            name => {
                let language = language(extensions, name)?;
                let module = function.module.as_ref().map(|hash| {
                    let missing = || Error::new(INTERNAL_ERROR, format!("module {hash} is not in the catalog"));
                    context.catalog.module(hash).ok_or_else(missing)
                });
                Body::Foreign(language.trigger(&function, module.transpose()?, trigger.level)?)
            }
        };
        let condition = trigger.condition.as_deref().map(crate::parser::parse_expression).transpose()?;
        let arguments = trigger.arguments.clone().into();
        Ok(Ready { trigger: trigger.clone(), function, arguments, condition, body })
    }
}
