//! How queries are planned: DataFusion's planner under our configuration, with our own rules among its.
//!
//! [`configuration`] holds every knob that differs from DataFusion's defaults. [`install`] adds the rules. Each rule is a
//! file of its own, correct for any schema and data: none looks at names, and none takes a PRIMARY KEY for unique.
//!
//! 1. [`JoinOrder`] orders joins by cost, right after filters have reached the tables, from the sizes that [`estimate`]
//!    derives from storage's statistics.
//! 2. [`filter_columns`] keeps filters from columns that only have the name of those they are about.
//! 3. [`FirstRows`] has the first rows of a sort read from the end of an index.
//! 4. [`AggregateRuns`] has neighbours of one group aggregated without a hash table.
//! 5. [`CooperativeJoins`] lets joins be interrupted; it comes last, over the physical plan.

mod configuration;
mod cooperation;
mod estimate;
mod filter_columns;
mod first_rows;
mod join_graph;
mod join_order;
mod runs;
#[cfg(test)]
pub(crate) mod testing;

pub use configuration::session_config;
pub use join_order::JoinOrder;

use crate::extension::Extension;
use cooperation::CooperativeJoins;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use first_rows::FirstRows;
use runs::AggregateRuns;
use std::sync::Arc;

/// The rule of DataFusion after which filters are where they stay.
const AFTER: &str = "push_down_filter";

/// Adds the planner rules of Lightning and of what extends it to a session's.
pub fn install(builder: SessionStateBuilder, extensions: &[Arc<dyn Extension>]) -> SessionStateBuilder {
    let builder = builder.with_optimizer_rules(logical_rules());
    let builder = builder.with_physical_optimizer_rules(filter_columns::physical_rules());
    let builder = builder.with_physical_optimizer_rule(Arc::new(FirstRows));
    let rules = extensions.iter().flat_map(|extension| extension.physical_rules());
    let builder = rules.fold(builder, SessionStateBuilder::with_physical_optimizer_rule);
    let builder = builder.with_physical_optimizer_rule(Arc::new(AggregateRuns));
    builder.with_physical_optimizer_rule(Arc::new(CooperativeJoins))
}

/// DataFusion's rules with ours at their places.
fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let place = rules.iter().position(|rule| rule.name() == AFTER).map_or(rules.len(), |place| place + 1);
    rules.insert(place, Arc::new(JoinOrder::new()));
    rules
}
