//! CREATE and DROP of objects whose definition an extension reads: property graphs.

use super::target::Name;
use super::{alter, create, done, drop as dropping};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::extension::{CreateObject, ObjectDefinition, ObjectStatement, Scope};
use crate::outcome::Outcome;
use crate::provider::state_for;
use crate::session::Run;
use crate::sqlstate::{DEPENDENT_OBJECTS_STILL_EXIST, DUPLICATE_TABLE, SUCCESSFUL_COMPLETION, WRONG_OBJECT_TYPE};
use lightning_catalog::{Edit, NewGraph, ObjectKind, Relation, View};
use std::sync::Arc;

/// Runs the statement.
pub(super) async fn run(run: &Run, statement: &ObjectStatement) -> Result<Outcome> {
    match statement {
        ObjectStatement::Create(create) if create.kind == ObjectKind::PropertyGraph => graph(run, create).await,
        ObjectStatement::Create(create) => Err(Error::unsupported(format!("CREATE {}", create.kind))),
        ObjectStatement::Drop(dropped) => dropping::objects(run, dropped).await,
    }
}

/// The name of the statement.
pub(super) fn tag(statement: &ObjectStatement) -> String {
    let (verb, kind) = match statement {
        ObjectStatement::Create(create) => ("CREATE", create.kind),
        ObjectStatement::Drop(drop) => ("DROP", drop.kind),
    };
    format!("{verb} {}", kind.noun().to_uppercase())
}

/// Refuses a graph that a view cannot be read with any more.
async fn check_view(
    run: &Run,
    view: &View,
    graph: &str,
    before: &Arc<StatementContext>,
    after: &Arc<StatementContext>,
) -> Result<()> {
    let Ok(had) = alter::view_columns(run, view, before).await else { return Ok(()) };
    let refused = |detail: String| {
        let message = format!("cannot replace property graph \"{graph}\" because view \"{}\" reads it", view.name);
        Error::new(DEPENDENT_OBJECTS_STILL_EXIST, message).with_detail(detail)
    };
    match alter::view_columns(run, view, after).await {
        Ok(has) if has == had => Ok(()),
        Ok(_) => Err(refused("The columns of the view would not be the same any more.".to_owned())),
        Err(error) => Err(refused(error.message().to_owned())),
    }
}

async fn graph(run: &Run, create: &CreateObject) -> Result<Outcome> {
    let name = Name::new(run, &create.name)?;
    create::check_identifier(&name.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let schema = name.creation_schema(&context)?.oid;
    let resolve = || -> Result<NewGraph> {
        let state = state_for(&run.session.base, &run.session.info, &context);
        let ObjectDefinition { text, depends_on } = create.body.resolve(&Scope::new(&context, &state))?;
        let search_path = context.search_path.clone();
        Ok(NewGraph { schema, name: name.name.clone(), definition: text, search_path, depends_on })
    };
    let mut edit = Edit::new(&context.catalog);
    match context.catalog.relation(schema, &name.name) {
        None => drop(edit.create_graph(resolve()?)?),
        Some(_) if create.if_not_exists => {
            let message = format!("relation \"{}\" already exists, skipping", name.name);
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
        }
        Some(Relation::Graph(old)) if create.or_replace => drop(edit.replace_graph(old.oid, resolve()?)?),
        Some(_) if create.or_replace => {
            return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a {}", name.name, create.kind)));
        }
        Some(_) => {
            return Err(Error::new(DUPLICATE_TABLE, format!("relation \"{}\" already exists", name.name)));
        }
    }
    let replaced = context.catalog.relation(schema, &name.name);
    let dependents = replaced.map(|old| edit.dependents_of(old.oid())).unwrap_or_default();
    let catalog = Arc::new(edit.current().clone());
    write.apply(edit)?;
    let after = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    for dependent in dependents {
        if let Relation::View(view) = dependent {
            check_view(run, &view, &name.name, &context, &after).await?;
        }
    }
    write.finish().await?;
    Ok(done(tag(&ObjectStatement::Create(create.clone()))))
}
