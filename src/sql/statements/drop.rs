//! DROP SCHEMA, TABLE, VIEW, MATERIALIZED VIEW, and objects of extensions; TRUNCATE.

use super::target::{Name, folded};
use super::{done, function, index, materialized};
use crate::error::{Error, Result};
use crate::extension::DropObject;
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{
    DEPENDENT_OBJECTS_STILL_EXIST, INSUFFICIENT_PRIVILEGE, INVALID_SCHEMA_NAME, SUCCESSFUL_COMPLETION, UNDEFINED_TABLE,
    WRONG_OBJECT_TYPE,
};
use crate::triggers::Fired;
use crate::user_functions::family::signature;
use datafusion::sql::sqlparser::ast::{ObjectName, ObjectType, Statement, Truncate};
use lightning_catalog::{Edit, Function, ObjectKind, Oid, Relation, TriggerEvent, TriggerTiming};
use lightning_storage::TableMode;
use std::sync::Arc;

/// DROP.
pub(super) async fn run(run: &Run, statement: &Statement) -> Result<Outcome> {
    let Statement::Drop { object_type, if_exists, names, cascade, .. } = statement else {
        return Err(Error::unsupported("this form of DROP"));
    };
    if matches!(object_type, ObjectType::Index) {
        return index::drop(run, names, *if_exists).await;
    }
    let is_known = matches!(object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView);
    if !is_known && !matches!(object_type, ObjectType::Schema) {
        return Err(Error::unsupported(format!("DROP {object_type}")));
    }
    let kind = match object_type {
        ObjectType::Schema => ObjectKind::Schema,
        ObjectType::View => ObjectKind::View,
        ObjectType::MaterializedView => ObjectKind::MaterializedView,
        _ => ObjectKind::Table,
    };
    objects(run, &DropObject { kind, names: names.clone(), if_exists: *if_exists, cascade: *cascade }).await
}

/// Drops schemas and relations.
pub(super) async fn objects(run: &Run, statement: &DropObject) -> Result<Outcome> {
    let DropObject { kind, names, if_exists, cascade } = statement;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let mut drop = Drop { run, edit: Edit::new(&catalog), stored: Vec::new(), cascaded: Vec::new(), cascade: *cascade };
    for name in names {
        match kind {
            ObjectKind::Schema => drop.schema(name, *if_exists)?,
            kind => drop.relation(name, *kind, *if_exists)?,
        }
    }
    let Drop { edit, stored, cascaded, .. } = drop;
    notice_cascades(run, &cascaded);
    for relation in stored {
        if let Relation::View(view) = &relation
            && let Some(kept) = &view.materialized
            && let Some(rows) = catalog.relation_by_oid(kept.source).and_then(|source| source.rows())
        {
            // Whoever writes to the source now has marks to write, too.
            let patience = run.patience_for(&view.name, rows);
            write.lock(&patience, |txn| Ok(txn.lock_table(rows, TableMode::ShareRowExclusive))).await?;
        }
        for id in materialized::kept(&relation) {
            let patience = run.patience_for(relation.name(), id);
            write.lock(&patience, |txn| Ok(txn.lock_table(id, TableMode::AccessExclusive))).await?;
            write.refresh()?;
            write.txn()?.storage.drop_table(id)?;
        }
    }
    write.apply(edit)?;
    write.finish().await?;
    Ok(done(format!("DROP {}", kind.noun().to_uppercase())))
}

struct Drop<'a> {
    run: &'a Run,
    edit: Edit,
    /// What was dropped and has rows.
    stored: Vec<Relation>,
    /// What CASCADE dropped, as `view v`.
    cascaded: Vec<String>,
    cascade: bool,
}

impl Drop<'_> {
    fn relation(&mut self, name: &ObjectName, kind: ObjectKind, if_exists: bool) -> Result<()> {
        let name = Name::new(self.run, name)?;
        let context = self
            .run
            .session
            .set_context(self.run.session.instance.engine().snapshot(), Arc::new(self.edit.current().clone()));
        let Some(relation) = name.find(&context).cloned() else {
            if let Some(schema) = &name.schema
                && context.catalog.schema(context.database, schema).is_none()
                && !if_exists
            {
                return Err(Error::new(INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist")));
            }
            if name.is_system(&context) {
                let message = format!("permission denied: \"{}\" is a system catalog", name.name);
                return Err(Error::new(INSUFFICIENT_PRIVILEGE, message));
            }
            if index::find_table(&name, &context).is_some() {
                return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a {kind}", name.name))
                    .with_hint("Use DROP INDEX to remove an index."));
            }
            return self.missing(kind, &name.display(), if_exists, UNDEFINED_TABLE);
        };
        if relation.kind() != kind {
            let hint = format!("Use DROP {} to remove a {}.", relation.kind().noun().to_uppercase(), relation.kind());
            return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a {kind}", name.name)).with_hint(hint));
        }
        self.drop_with_dependents(&relation)
    }

    fn schema(&mut self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let text = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
        let database = self.run.session.info.database_oid;
        let Some(schema) = self.edit.current().schema(database, &text).cloned() else {
            return self.missing(ObjectKind::Schema, &text, if_exists, INVALID_SCHEMA_NAME);
        };
        if schema.is_system() {
            return Err(Error::new(
                INSUFFICIENT_PRIVILEGE,
                format!("cannot drop schema {text} because it is required by the database system"),
            ));
        }
        let inside: Vec<Relation> = self.edit.current().relations(schema.oid).cloned().collect();
        let functions: Vec<Arc<Function>> = self.edit.current().functions(schema.oid).cloned().collect();
        let is_empty = inside.is_empty() && functions.is_empty();
        if !is_empty && !self.cascade {
            let mut lines: Vec<String> =
                inside.iter().map(|r| format!("{} {text}.{} depends on schema {text}", r.kind(), r.name())).collect();
            lines
                .extend(functions.iter().map(|f| format!("function {text}.{} depends on schema {text}", signature(f))));
            return Err(depends(&format!("schema {text}"), &lines));
        }
        for relation in inside {
            if self.edit.current().relation_by_oid(relation.oid()).is_some() {
                self.cascaded.push(format!("{} {text}.{}", relation.kind(), relation.name()));
                self.drop_with_dependents(&relation)?;
            }
        }
        for function in functions {
            self.cascaded.push(format!("function {text}.{}", signature(&function)));
            function::drop_one(self.run, &mut self.edit, &function, true, &mut self.cascaded)?;
        }
        Ok(self.edit.drop_schema(schema.oid)?)
    }

    fn drop_with_dependents(&mut self, relation: &Relation) -> Result<()> {
        let dependents = self.edit.dependents_of(relation.oid());
        if !dependents.is_empty() && !self.cascade {
            let what = format!("{} {}", relation.kind(), relation.name());
            let mut lines = Vec::new();
            self.dependency_lines(relation.oid(), &what, &mut lines);
            return Err(depends(&what, &lines));
        }
        for dependent in dependents {
            self.cascaded.push(format!("{} {}", dependent.kind(), dependent.name()));
            let dropped = self.edit.drop_relation(dependent.oid())?;
            self.stored.push(dropped);
        }
        let dropped = self.edit.drop_relation(relation.oid())?;
        self.stored.push(dropped);
        Ok(())
    }

    /// `view v depends on table t`, then what depends on `v`.
    fn dependency_lines(&self, oid: Oid, what: &str, lines: &mut Vec<String>) {
        for dependent in self.edit.current().dependents(oid) {
            let dependent_name = format!("{} {}", dependent.kind(), dependent.name());
            let line = format!("{dependent_name} depends on {what}");
            if !lines.contains(&line) {
                lines.push(line);
                self.dependency_lines(dependent.oid(), &dependent_name, lines);
            }
        }
    }

    fn missing(&self, kind: ObjectKind, name: &str, if_exists: bool, state: crate::SqlState) -> Result<()> {
        if !if_exists {
            return Err(Error::new(state, format!("{kind} \"{name}\" does not exist")));
        }
        let message = format!("{kind} \"{name}\" does not exist, skipping");
        self.run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
        Ok(())
    }
}

pub(super) fn depends(what: &str, lines: &[String]) -> Error {
    Error::new(DEPENDENT_OBJECTS_STILL_EXIST, format!("cannot drop {what} because other objects depend on it"))
        .with_detail(lines.join("\n"))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

pub(super) fn notice_cascades(run: &Run, cascaded: &[String]) {
    let message = match cascaded {
        [] => return,
        [one] => format!("drop cascades to {one}"),
        many => format!("drop cascades to {} other objects", many.len()),
    };
    run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
}

/// TRUNCATE.
pub(super) async fn truncate(run: &Run, truncate: &Truncate) -> Result<Outcome> {
    if truncate.partitions.is_some() {
        return Err(Error::unsupported("TRUNCATE of partitions"));
    }
    if matches!(truncate.identity, Some(datafusion::sql::sqlparser::ast::TruncateIdentityOption::Restart)) {
        return Err(Error::unsupported("TRUNCATE with RESTART IDENTITY"));
    }
    let context = run.session.context()?;
    let mut tables = Vec::new();
    for target in &truncate.table_names {
        let name = Name::new(run, &target.name)?;
        if let Some(Relation::View(_) | Relation::Graph(_)) = name.find(&context) {
            return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", name.name)));
        }
        tables.push(name.table(&context, "truncate")?);
    }
    let mut write = run.session.write()?;
    for table in &tables {
        let id = table.storage_table();
        write.lock(&run.patience(table), |txn| Ok(txn.lock_table(id, TableMode::AccessExclusive))).await?;
    }
    let (storage, catalog) = write.refresh()?;
    let context = run.session.set_context(storage, catalog);
    let mut fired = Vec::new();
    for table in &tables {
        fired.extend(Fired::of(run, &context, table, TriggerEvent::Truncate, &[])?);
    }
    for fired in &mut fired {
        fired.statement(TriggerTiming::Before, &mut write).await?;
    }
    let txn = write.txn()?;
    tables.iter().try_for_each(|table| txn.storage.truncate(table.storage_table()))?;
    for fired in &mut fired {
        fired.statement(TriggerTiming::After, &mut write).await?;
    }
    write.finish().await?;
    Ok(done("TRUNCATE TABLE"))
}
