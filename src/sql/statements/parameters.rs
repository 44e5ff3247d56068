//! ALTER TABLE and ALTER MATERIALIZED VIEW … SET (…) and RESET (…): what a relation was told when it was created, said anew.
//!
//! Only the catalog changes; jobs in the background follow from it when the transaction commits. Until then the table is locked against those that delete
//! what it does not keep any more ([`crate::jobs`]): nobody loses rows by what was said before, once this has committed.

use super::target::Name;
use super::{done, materialized, time_options};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::parameters::{AlterParameters, Altered};
use crate::session::Run;
use crate::sqlstate::{SUCCESSFUL_COMPLETION, WRONG_OBJECT_TYPE};
use lightning_catalog::{Edit, Relation};
use lightning_storage::TableMode;

/// Runs the statement.
pub(super) async fn run(run: &Run, alter: &AlterParameters) -> Result<Outcome> {
    let name = Name::new(run, &alter.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let mut edit = Edit::new(&context.catalog);
    match (name.find(&context), alter.altered) {
        (None, _) if alter.if_exists => {
            let message = format!("relation \"{}\" does not exist, skipping", name.display());
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
        }
        (Some(Relation::View(view)), _) if view.materialized.is_some() => {
            edit.set_materialized(view.oid, materialized::changed(view, &alter.changes)?)?;
            write.apply(edit)?;
        }
        (Some(relation @ (Relation::View(_) | Relation::Graph(_))), Altered::Table) => {
            return Err(of_another(relation, alter));
        }
        (Some(other), Altered::MaterializedView) => {
            let message = format!("\"{}\" is not a materialized view", other.name());
            return Err(Error::new(WRONG_OBJECT_TYPE, message));
        }
        (None | Some(Relation::Table(_)), _) => {
            let table = name.table(&context, "alter")?;
            let time = time_options::changed(&table, &alter.changes)?;
            let (id, mode) = (table.storage_table(), TableMode::ShareUpdateExclusive);
            write.lock(&run.patience(&table), |txn| Ok(txn.lock_table(id, mode))).await?;
            edit.set_time(table.oid, time)?;
            write.apply(edit)?;
        }
    }
    write.finish().await?;
    Ok(done(tag(alter)))
}

/// The name of the statement.
pub(super) fn tag(alter: &AlterParameters) -> &'static str {
    match alter.altered {
        Altered::Table => "ALTER TABLE",
        Altered::MaterializedView => "ALTER MATERIALIZED VIEW",
    }
}

fn of_another(relation: &Relation, alter: &AlterParameters) -> Error {
    let is_reset = alter.changes.first().is_some_and(|change| change.value.is_none());
    let action = if is_reset { "RESET" } else { "SET" };
    let message = format!("ALTER action {action} cannot be performed on relation \"{}\"", relation.name());
    let detail = format!("This operation is not supported for {}s.", relation.kind());
    Error::new(WRONG_OBJECT_TYPE, message).with_detail(detail)
}
