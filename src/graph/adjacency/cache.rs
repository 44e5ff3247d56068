//! Bases kept from statement to statement, within the memory budget.

use super::base::{Base, CONSUMER};
use super::overlay::Overlay;
use super::stopped;
use super::view::{Adjacency, Masks, Numbering};
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
        let memory = budget.register(CONSUMER);
        let rows: u64 = tables(graph).map(|table| Ok(snapshot.table(table)?.rows)).sum::<Result<u64>>()?;
        memory.try_grow(rows as usize * EDGE_BYTES)?;
        let kept = snapshot.detached();
        let base = Arc::new(Base::load(graph, &kept, budget, threads, stop)?);
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

    /// `graph` as `snapshot` has it, and the edges that satisfy a condition, if both are in memory.
    pub(crate) fn get_kept(
        &self,
        graph: &Arc<Graph>,
        snapshot: &Snapshot,
        condition: &str,
    ) -> Result<Option<(Adjacency, Arc<Vec<Masks>>)>> {
        let slot = self.slots.lock().get(&graph.oid).cloned();
        let Some(mut entry) = slot.as_ref().and_then(|slot| slot.entry.try_lock()) else { return Ok(None) };
        let Some(known) = entry.as_mut().filter(|known| Arc::ptr_eq(&known.base.graph, graph)) else { return Ok(None) };
        let Some(found) = known.newest(snapshot) else { return Ok(None) };
        let Some(masks) = found.kept_masks(condition) else { return Ok(None) };
        for table in tables(graph) {
            snapshot.note_read(table, &[])?;
        }
        known.hits += 1;
        Ok(Some((found, masks)))
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
                bytes: base.bytes_all(),
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
                freed += gone.base.bytes_all();
            }
        }
        freed
    }
}

impl Entry {
    /// The graph as it was last asked for, if `snapshot` has the same rows.
    fn newest(&self, snapshot: &Snapshot) -> Option<Adjacency> {
        let (known, overlay) = self.overlay.as_ref()?;
        let is_same = tables(&self.base.graph).all(|table| known.has_same_rows(table, snapshot));
        is_same.then(|| Adjacency { base: self.base.clone(), overlay: overlay.clone(), snapshot: known.clone() })
    }

    /// The graph as `snapshot` has it; `None` when too much has changed.
    fn at(&mut self, snapshot: &Snapshot, threads: usize, stop: Stop<'_>) -> Result<Option<Adjacency>> {
        if let Some(found) = self.newest(snapshot) {
            return Ok(Some(found));
        }
        let base = self.base.clone();
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
