//! CREATE TRIGGER, DROP TRIGGER, ALTER TRIGGER … RENAME, ALTER TABLE … ENABLE and DISABLE TRIGGER.
//!
//! Triggers belong to their table and are kept with it. Whoever changes them locks the table against writers: a statement that writes
//! sees one set of triggers from its beginning to its end.

use super::done;
use super::target::Name;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::trigger::{NewTrigger, TriggerStatement, Which};
use crate::parser::trigger_body::row_column;
use crate::session::Run;
use crate::sqlstate::{
    DUPLICATE_COLUMN, DUPLICATE_OBJECT, FEATURE_NOT_SUPPORTED, INVALID_OBJECT_DEFINITION, SUCCESSFUL_COMPLETION,
    UNDEFINED_COLUMN, UNDEFINED_FUNCTION, UNDEFINED_OBJECT, WRONG_OBJECT_TYPE,
};
use crate::transaction::WriteTxn;
use crate::triggers;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Visit, Visitor};
use lightning_catalog::{
    Edit, Function, Oid, Relation, Returns, Table, Trigger, TriggerEvent, TriggerLevel, TriggerTiming,
};
use lightning_storage::TableMode;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Runs one of these statements.
pub(super) async fn run(run: &Run, statement: &TriggerStatement) -> Result<Outcome> {
    let (name, if_exists) = match statement {
        TriggerStatement::Create(new) => (&new.table, false),
        TriggerStatement::Drop { table, if_exists, .. } | TriggerStatement::Switch { table, if_exists, .. } => {
            (table, *if_exists)
        }
        TriggerStatement::Rename { table, .. } => (table, false),
    };
    let name = Name::new(run, name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let table = match name.find(&context) {
        None if if_exists => {
            let message = format!("relation \"{}\" does not exist, skipping", name.display());
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
            write.finish().await?;
            return Ok(done(statement.tag()));
        }
        Some(relation @ (Relation::View(_) | Relation::Graph(_))) => return Err(without_triggers(relation)),
        _ => name.table(&context, "change")?,
    };
    let id = table.storage_table();
    write.lock(&run.patience(&table), |txn| Ok(txn.lock_table(id, TableMode::ShareRowExclusive))).await?;
    let edit = Edit::new(&context.catalog);
    match statement {
        TriggerStatement::Create(new) => create(run, &mut write, &context, &table, new, edit).await?,
        TriggerStatement::Drop { name, if_exists, .. } => match find(&table, name) {
            Err(_) if *if_exists => {
                let message = format!("trigger \"{name}\" for relation \"{}\" does not exist, skipping", table.name);
                run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
            }
            found => {
                let oid = found?.oid;
                change(&mut write, &table, edit, |triggers| triggers.retain(|trigger| trigger.oid != oid))?;
            }
        },
        TriggerStatement::Rename { name, to, .. } => rename(&mut write, &table, name, to, edit)?,
        TriggerStatement::Switch { which, is_disabled, .. } => {
            let only = match which {
                Which::All => None,
                Which::Named(name) => Some(find(&table, name)?.oid),
            };
            change(&mut write, &table, edit, |triggers| {
                let switched = triggers.iter_mut().filter(|trigger| only.is_none_or(|oid| oid == trigger.oid));
                switched.for_each(|trigger| trigger.is_disabled = *is_disabled);
            })?;
        }
    }
    write.finish().await?;
    Ok(done(statement.tag()))
}

fn without_triggers(relation: &Relation) -> Error {
    Error::new(WRONG_OBJECT_TYPE, format!("relation \"{}\" cannot have triggers", relation.name()))
        .with_detail(format!("This operation is not supported for {}s.", relation.kind()))
}

/// The trigger of a table with this name; 42704.
fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Trigger> {
    table.triggers.iter().find(|trigger| trigger.name == name).ok_or_else(|| {
        Error::new(UNDEFINED_OBJECT, format!("trigger \"{name}\" for table \"{}\" does not exist", table.name))
    })
}

fn exists(table: &Table, name: &str) -> Error {
    let message = format!("trigger \"{name}\" for relation \"{}\" already exists", table.name);
    Error::new(DUPLICATE_OBJECT, message)
}

fn change(write: &mut WriteTxn, table: &Table, mut edit: Edit, change: impl FnOnce(&mut Vec<Trigger>)) -> Result<()> {
    edit.change_triggers(table.oid, change)?;
    write.apply(edit)
}

fn rename(write: &mut WriteTxn, table: &Table, name: &str, to: &str, edit: Edit) -> Result<()> {
    super::create::check_identifier(to)?;
    let oid = find(table, name)?.oid;
    if find(table, to).is_ok() {
        return Err(exists(table, to));
    }
    change(write, table, edit, |triggers| {
        let renamed = triggers.iter_mut().find(|trigger| trigger.oid == oid);
        renamed.into_iter().for_each(|trigger| to.clone_into(&mut trigger.name));
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
    })
}

async fn create(
    run: &Run,
    write: &mut WriteTxn,
    context: &Arc<StatementContext>,
    table: &Arc<Table>,
    new: &NewTrigger,
    mut edit: Edit,
) -> Result<()> {
    super::create::check_identifier(&new.name)?;
    check(new)?;
    if let Some(condition) = &new.condition {
        check_condition(new, condition)?;
        triggers::check_condition(run, context, table, new.level, condition).await?;
    }
    let function = function(run, context, &new.function)?;
    if !new.or_replace && find(table, &new.name).is_ok() {
        return Err(exists(table, &new.name));
    }
    let trigger = Trigger {
        oid: Oid(0),
        name: new.name.clone(),
        timing: new.timing,
        events: new.events.clone(),
        update_columns: update_columns(table, &new.update_of)?,
        level: new.level,
        condition: new.condition.as_ref().map(Expr::to_string),
        old_table: new.old_table.clone(),
        new_table: new.new_table.clone(),
        function: function.oid,
        arguments: new.arguments.clone(),
        is_disabled: false,
    };
    edit.put_trigger(table.oid, trigger, new.or_replace)?;
    write.apply(edit)
}

/// What no trigger may be, whatever the table.
fn check(new: &NewTrigger) -> Result<()> {
    let has = |event| new.events.contains(&event);
    let unsupported = |message: &str| Err(Error::new(FEATURE_NOT_SUPPORTED, message));
    let invalid = |message: &str| Err(Error::new(INVALID_OBJECT_DEFINITION, message));
    if new.level == TriggerLevel::Row && has(TriggerEvent::Truncate) {
        return unsupported("TRUNCATE FOR EACH ROW triggers are not supported");
    }
    if new.old_table.is_none() && new.new_table.is_none() {
        return Ok(());
    }
    if new.timing != TriggerTiming::After {
        return invalid("transition table name can only be specified for an AFTER trigger");
    }
    if has(TriggerEvent::Truncate) {
        return unsupported("TRUNCATE triggers with transition tables are not supported");
    }
    if new.events.len() > 1 {
        return unsupported("transition tables cannot be specified for triggers with more than one event");
    }
    if !new.update_of.is_empty() {
        return unsupported("transition tables cannot be specified for triggers with column lists");
    }
    if new.new_table.is_some() && !has(TriggerEvent::Insert) && !has(TriggerEvent::Update) {
        return invalid("NEW TABLE can only be specified for an INSERT or UPDATE trigger");
    }
    if new.old_table.is_some() && !has(TriggerEvent::Delete) && !has(TriggerEvent::Update) {
        return invalid("OLD TABLE can only be specified for a DELETE or UPDATE trigger");
    }
    if new.old_table == new.new_table {
        return invalid("OLD TABLE name and NEW TABLE name cannot be the same");
    }
    Ok(())
}

/// Which rows a condition reads.
#[derive(Default)]
struct Read {
    old: bool,
    new: bool,
    has_query: bool,
}

impl Visitor for Read {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.has_query = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match row_column(expr) {
            Some((true, _)) => self.new = true,
            Some((false, _)) => self.old = true,
            None => {}
        }
        ControlFlow::Continue(())
    }
}

/// Refuses a condition that reads rows the trigger does not have.
fn check_condition(new: &NewTrigger, condition: &Expr) -> Result<()> {
    let mut read = Read::default();
    let _ = condition.visit(&mut read);
    if read.has_query {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, "cannot use subquery in trigger WHEN condition"));
    }
    let message = if new.level == TriggerLevel::Statement && (read.old || read.new) {
        "statement trigger's WHEN condition cannot reference column values"
    } else if read.old && new.events.contains(&TriggerEvent::Insert) {
        "INSERT trigger's WHEN condition cannot reference OLD values"
    } else if read.new && new.events.contains(&TriggerEvent::Delete) {
        "DELETE trigger's WHEN condition cannot reference NEW values"
    } else {
        return Ok(());
    };
    Err(Error::new(INVALID_OBJECT_DEFINITION, message))
}

/// The function of this name without arguments, which must be one for triggers.
fn function(run: &Run, context: &StatementContext, name: &ObjectName) -> Result<Arc<Function>> {
    let name = Name::new(run, name)?;
    let named = context.functions(name.schema.as_deref(), &name.name);
    let found = named.into_iter().find(|function| function.arguments.is_empty()).ok_or_else(|| {
        Error::new(UNDEFINED_FUNCTION, format!("function {}() does not exist", name.display()))
            .with_position(name.position)
    })?;
    if found.returns != Returns::Trigger {
        let message = format!("function {} must return type trigger", name.display());
        return Err(Error::new(INVALID_OBJECT_DEFINITION, message));
    }
    Ok(found)
}

fn update_columns(table: &Table, names: &[String]) -> Result<Vec<usize>> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = table.column_index(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            Error::new(UNDEFINED_COLUMN, message)
        })?;
        if columns.contains(&column) {
            return Err(Error::new(DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        columns.push(column);
    }
    Ok(columns)
}
