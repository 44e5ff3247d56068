//! What queries run in: DataFusion's runtime over the one memory budget.
//!
//! Every operator's memory is reserved from the storage engine's [`MemoryBudget`], the same that bounds page frames and mem
//! blocks. Operators that can spill do so when a reservation fails; the others fail the statement with 53200.

use crate::error::Result;
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use lightning_storage::budget::{MemoryBudget, Reservation};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The runtime all sessions share.
pub(crate) fn runtime(budget: &Arc<MemoryBudget>, spill_dir: Option<&PathBuf>) -> Result<Arc<RuntimeEnv>> {
    let mode = match spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(BudgetPool::new(budget)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build()?;
    Ok(Arc::new(runtime))
}

/// DataFusion's memory pool over the budget: one reservation for each kind of consumer.
struct BudgetPool {
    budget: Arc<MemoryBudget>,
    /// By the consumer's name without its partition number.
    consumers: Mutex<HashMap<String, Consumer>>,
}

struct Consumer {
    reservation: Arc<Reservation>,
    registered: usize,
}

impl BudgetPool {
    fn new(budget: &Arc<MemoryBudget>) -> Self {
        BudgetPool { budget: Arc::clone(budget), consumers: Mutex::new(HashMap::new()) }
    }

    fn reservation(&self, name: &str) -> Arc<Reservation> {
        let mut consumers = self.consumers.lock();
        let consumer = consumers
            .entry(kind_of(name).to_owned())
            .or_insert_with(|| Consumer { reservation: Arc::new(self.budget.register(kind_of(name))), registered: 0 });
        Arc::clone(&consumer.reservation)
    }
}

/// `HashJoinInput[3]` is one of many `HashJoinInput`.
fn kind_of(name: &str) -> &str {
    name.split(['[', ' ']).next().unwrap_or(name)
}

impl fmt::Debug for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetPool").field("used_bytes", &self.budget.used_bytes()).finish_non_exhaustive()
    }
}

impl fmt::Display for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lightning budget: {} of {} bytes used", self.budget.used_bytes(), self.budget.limit_bytes())
    }
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &str {
        "lightning"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.reservation(consumer.name());
        if let Some(consumer) = self.consumers.lock().get_mut(kind_of(consumer.name())) {
            consumer.registered += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut consumers = self.consumers.lock();
        let name = kind_of(consumer.name());
        if let Some(consumer) = consumers.get_mut(name) {
            consumer.registered = consumer.registered.saturating_sub(1);
            if consumer.registered == 0 {
                consumers.remove(name);
            }
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.reservation(reservation.consumer().name()).grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.reservation(reservation.consumer().name()).shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::common::Result<()> {
        let name = reservation.consumer().name();
        self.reservation(name).try_grow(additional).map_err(|e| exhausted(&e))
    }

    fn reserved(&self) -> usize {
        self.budget.used_bytes()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.limit_bytes())
    }
}

/// Operators spill on `ResourcesExhausted` only; the text carries what the user should see.
fn exhausted(e: &lightning_storage::Error) -> DataFusionError {
    DataFusionError::ResourcesExhausted(e.to_string())
}
