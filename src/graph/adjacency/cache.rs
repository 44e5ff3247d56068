//! Bases kept from statement to statement, within the memory budget.

use super::base::Base;
use super::overlay::Overlay;
use super::stopped;
use super::view::{Adjacency, Numbering};
use crate::schema::Graph;
use lightning_catalog::Oid;
use lightning_csr::Stop;
use lightning_sql::Result;
use lightning_storage::Snapshot;
use lightning_storage::budget::{MemoryBudget, Reservation};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a statement that waits for another to read the graph goes without a look at whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(10);
/// Memory for each edge while it is read, beyond what stays.
const EDGE_BYTES: usize = 32;

/// The graphs of a database in memory.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Mutex<HashMap<Oid, Arc<Slot>>>,
}

/// One graph's place; held while it is read.
#[derive(Debug, Default)]
struct Slot {
    entry: Mutex<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    base: Arc<Base>,
    /// The newest snapshot asked for, and how it differs.
    overlay: Option<(Snapshot, Arc<Overlay>)>,
    build: Duration,
    hits: u64,
    _memory: Reservation,
}

/// What is known of a graph in memory.
#[derive(Clone, Debug)]
pub(crate) struct CacheInfo {
    pub(crate) graph: Arc<Graph>,
    pub(crate) vertices: u64,
    pub(crate) edges: u64,
    /// Edges left out: an end of theirs is no vertex.
    pub(crate) dangling: u64,
    pub(crate) bytes: usize,
    pub(crate) build: Duration,
    pub(crate) hits: u64,
}

impl Cache {
    /// A cache that gives its memory back to `budget` when others need it.
    pub(crate) fn new(budget: &MemoryBudget) -> Arc<Cache> {
        let cache = Arc::new(Cache::default());
        let weak: Weak<Cache> = Arc::downgrade(&cache);
        budget.register_evictor(move |bytes| weak.upgrade().map_or(0, |cache| cache.evict(bytes)));
        cache
    }

    /// `graph` as `snapshot` has it.
    pub(crate) fn get(
        &self,
        graph: &Arc<Graph>,
        snapshot: &Snapshot,
        budget: &Arc<MemoryBudget>,
        threads: usize,
        numbering: Numbering,
        stop: Stop<'_>,
    ) -> Result<Adjacency> {
        for table in tables(graph) {
            snapshot.note_read(table, &[])?;
        }
        let slot = self.slots.lock().entry(graph.oid).or_default().clone();
        let mut entry = loop {
            match slot.entry.try_lock_for(PATIENCE) {
                Some(entry) => break entry,
                None if stop() => return Err(stopped()),
                None => {}
            }
        };
        let found = entry.as_mut().filter(|known| Arc::ptr_eq(&known.base.graph, graph));
        if let Some(known) = found
            && let Some(found) = known.at(snapshot, threads, stop)?
            && found.is_numbered(numbering)
        {
            known.hits += 1;
            return Ok(found);
        }
        let began = Instant::now();
        let memory = budget.register("graphs in memory");
        let rows: u64 = tables(graph).map(|table| Ok(snapshot.table(table)?.rows)).sum::<Result<u64>>()?;
        memory.try_grow(rows as usize * EDGE_BYTES)?;
        let kept = snapshot.detached();
        let base = Arc::new(Base::load(graph, &kept, budget.register("graphs in memory"), threads, stop)?);
        let overlay = Overlay::find(&base, &kept, threads, stop)?.expect("a snapshot is no different from itself");
        let (bytes, reserved) = (base.bytes(), memory.bytes());
        memory.shrink(reserved.saturating_sub(bytes));
        memory.grow(bytes.saturating_sub(reserved));
        let overlay = Arc::new(overlay);
        let found = Adjacency { base: base.clone(), overlay: overlay.clone(), snapshot: kept.clone() };
        // What no other transaction sees is nothing to start from.
        if !snapshot.is_private() {
            let overlay = Some((kept, overlay));
            *entry = Some(Entry { base, overlay, build: began.elapsed(), hits: 0, _memory: memory });
        }
        Ok(found)
    }

    /// Whether a graph is in memory, or being read.
    pub(crate) fn has(&self, graph: &Arc<Graph>) -> bool {
        let slot = self.slots.lock().get(&graph.oid).cloned();
        let is_there = |slot: Arc<Slot>| match slot.entry.try_lock() {
            Some(entry) => entry.as_ref().is_some_and(|entry| Arc::ptr_eq(&entry.base.graph, graph)),
            None => true,
        };
        slot.is_some_and(is_there)
    }

    /// The graphs in memory now.
    pub(crate) fn infos(&self) -> Vec<CacheInfo> {
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        let info = |slot: &Arc<Slot>| {
            let entry = slot.entry.try_lock()?;
            let Entry { base, build, hits, .. } = entry.as_ref()?;
            Some(CacheInfo {
                graph: base.graph.clone(),
                vertices: u64::from(base.vertex_count()),
                edges: base.edges.iter().map(|set| u64::from(set.runs.len())).sum(),
                dangling: base.edges.iter().map(|set| set.dangling.places.len() as u64).sum(),
                bytes: base.bytes() + base.columns.bytes(),
                build: *build,
                hits: *hits,
            })
        };
        slots.iter().filter_map(info).collect()
    }

    /// Forgets graphs until so many bytes are free.
    fn evict(&self, bytes: usize) -> usize {
        let slots: Vec<Arc<Slot>> = match self.slots.try_lock() {
            Some(slots) => slots.values().cloned().collect(),
            None => return 0,
        };
        let mut freed = 0;
        for slot in slots {
            if freed >= bytes {
                break;
            }
            // One that is being read now is in use.
            let Some(mut entry) = slot.entry.try_lock() else { continue };
            if let Some(gone) = entry.take() {
                freed += gone.base.bytes() + gone.base.columns.bytes();
            }
        }
        freed
    }
}

impl Entry {
    /// The graph as `snapshot` has it; `None` when too much has changed.
    fn at(&mut self, snapshot: &Snapshot, threads: usize, stop: Stop<'_>) -> Result<Option<Adjacency>> {
        let base = self.base.clone();
        if let Some((known, overlay)) = &self.overlay
            && tables(&base.graph).all(|table| known.has_same_rows(table, snapshot))
        {
            return Ok(Some(Adjacency { base, overlay: overlay.clone(), snapshot: known.clone() }));
        }
        let snapshot = snapshot.detached();
        let Some(overlay) = Overlay::find(&base, &snapshot, threads, stop)? else { return Ok(None) };
        let overlay = Arc::new(overlay);
        if !snapshot.is_private() {
            self.overlay = Some((snapshot.clone(), overlay.clone()));
        }
        Ok(Some(Adjacency { base, overlay, snapshot }))
    }
}

/// The tables of a graph.
fn tables(graph: &Graph) -> impl Iterator<Item = lightning_storage::TableId> {
    let vertices = graph.vertices.iter();
    vertices.chain(graph.edges.iter().map(|edges| &edges.element)).map(|element| element.table.storage_table())
}
