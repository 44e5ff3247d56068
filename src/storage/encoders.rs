//! Threads that encode blocks, and the way from rows to segment files through them.
//!
//! [`Encoders`] is a small pool with a bounded queue; a job that panics is contained and reported to whoever gave it.
//! A [`SegmentSink`] takes blocks of rows in order; each is sorted, encoded on the pool, and written in the order given, by
//! whichever encoder finds the next one ready, so no thread waits for another to write. Files are rolled at a bounded size, and each has
//! blocks of one partition.
//! A sink that is dropped or fails leaves no file behind.

use crate::budget::Reservation;
use crate::context::{Context, Overdraft};
use crate::dead::BlockId;
use crate::error::{Error, Result};
use crate::mem::{batch_bytes, concat};
use crate::partition::Partition;
use crate::segment::{EncodedBlock, SegmentMeta, SegmentWriter, encode_block};
use crate::sort::Sorted;
use crate::stored::StoredSegment;
use crate::table::Table;
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Most blocks of a segment file.
const SEGMENT_BLOCKS_MAX: usize = 16;
/// A segment file that has reached this size takes no more blocks.
const SEGMENT_BYTES: u64 = 256 << 20;
/// Segment files that are written at a time, each of a partition.
const SEGMENTS_OPEN_MAX: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// The pool.
#[derive(Debug)]
pub(crate) struct Encoders {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Encoders {
    /// Starts `threads` threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Encoders> {
        let (queue, jobs) = bounded::<Job>(threads * 2);
        let threads = (0..threads).map(|i| spawn(i, jobs.clone())).collect::<std::io::Result<_>>()?;
        Ok(Encoders { queue: Some(queue), threads })
    }

    /// Queues a job; waits while the queue is full.
    fn submit(&self, job: Job) {
        let queue = self.queue.as_ref().expect("the queue is taken by drop only");
        queue.send(job).expect("encoders live as long as the queue");
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // Jobs contain their panics, so a thread has nothing to report.
            let _ = thread.join();
        }
    }
}

fn spawn(index: usize, jobs: Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("lightning-encode-{index}")).spawn(move || {
        for job in jobs {
            job();
        }
    })
}

/// Makes segment files of one table from blocks of rows.
#[derive(Debug)]
pub(crate) struct SegmentSink {
    shared: Arc<Shared>,
    encoders: Arc<Encoders>,
    next: u64,
}

#[derive(Debug)]
struct Shared {
    context: Arc<Context>,
    table: Arc<Table>,
    /// Rows on their way.
    account: Reservation,
    /// Whether blocks may be refused for want of memory.
    refusable: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Blocks given and not yet written.
    outstanding: usize,
    /// Number of the block to write next.
    next: u64,
    /// Encoded, waiting for their turn.
    ready: BTreeMap<u64, (Partition, EncodedBlock)>,
    writing: bool,
    /// Whether rows of one block have the same key.
    has_equal_keys: bool,
    /// Where the next blocks go, oldest first.
    open: Vec<OpenSegment>,
    written: Written,
    failed: Option<Error>,
}

#[derive(Debug)]
struct OpenSegment {
    partition: Partition,
    writer: SegmentWriter,
    blocks: usize,
}

/// What a sink has made.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    /// The blocks in the order given, with their rows.
    pub(crate) blocks: Vec<(BlockId, usize)>,
}

impl SegmentSink {
    /// A sink for `table`.
    pub(crate) fn new(context: &Arc<Context>, encoders: &Arc<Encoders>, table: &Arc<Table>) -> SegmentSink {
        SegmentSink::with(context, encoders, table, true)
    }

    /// A sink that takes blocks even beyond the budget: to flush is to free memory.
    pub(crate) fn unrefusable(context: &Arc<Context>, encoders: &Arc<Encoders>, table: &Arc<Table>) -> SegmentSink {
        SegmentSink::with(context, encoders, table, false)
    }

    fn with(context: &Arc<Context>, encoders: &Arc<Encoders>, table: &Arc<Table>, refusable: bool) -> SegmentSink {
        let shared = Shared {
            context: context.clone(),
            table: table.clone(),
            account: context.budget.register("block encoders"),
            refusable,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        SegmentSink { shared: Arc::new(shared), encoders: encoders.clone(), next: 0 }
    }

    /// Encodes `rows` of `partition`, together one block, behind the blocks before. Waits while too many are on their way.
    pub(crate) fn push(&mut self, rows: Vec<RecordBatch>, partition: Partition) -> Result<()> {
        let bytes = rows.iter().map(batch_bytes).sum();
        let overdraft = self.admit(bytes)?;
        let (shared, number) = (self.shared.clone(), self.next);
        self.next += 1;
        self.encoders.submit(Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| shared.encode(number, rows, partition)));
            let outcome = outcome.unwrap_or_else(|_| Err(Error::Unsupported("an encoder failed unexpectedly".into())));
            shared.done(bytes, outcome);
            drop(overdraft);
        }));
        Ok(())
    }

    /// Waits for a free slot and for memory: as long as blocks are on their way, memory may yet come free. If none are,
    /// the block goes beyond the budget, as the only one in the engine that may: so of many loads that wait for each
    /// other's memory one always gets on.
    fn admit(&self, bytes: usize) -> Result<Option<Overdraft>> {
        let mut overdraft = None;
        let limit = self.shared.context.threads + 1;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.outstanding < limit {
                match self.shared.account.try_grow(bytes) {
                    Ok(()) => break,
                    Err(_) if !self.shared.refusable || overdraft.is_some() => {
                        self.shared.account.grow(bytes);
                        break;
                    }
                    Err(_) if state.outstanding == 0 => {
                        drop(state);
                        overdraft = Some(self.shared.context.overdraft());
                        state = self.shared.state.lock();
                        continue;
                    }
                    Err(_) => {}
                }
            }
            self.shared.changed.wait(&mut state);
        }
        state.outstanding += 1;
        Ok(overdraft)
    }

    /// What was written, all files and names durable.
    pub(crate) fn finish(self) -> Result<Written> {
        let mut state = self.shared.state.lock();
        while state.outstanding > 0 {
            self.shared.changed.wait(&mut state);
        }
        if let Some(error) = state.failed.clone() {
            return Err(error);
        }
        let open = std::mem::take(&mut state.open);
        let mut written = std::mem::take(&mut state.written);
        let has_equal_keys = state.has_equal_keys;
        drop(state);
        for open in open {
            written.segments.push(self.shared.close(open)?);
        }
        if has_equal_keys {
            written.segments.iter().for_each(|segment| segment.note_equal_keys());
        }
        self.shared.context.sync_segments()?;
        Ok(written)
    }
}

impl Drop for SegmentSink {
    fn drop(&mut self) {
        // Encoders that still work for this sink find out, and the last one takes the open file with it.
        self.shared.state.lock().failed.get_or_insert(Error::Cancelled);
    }
}

impl Shared {
    /// Encodes a block and writes all that are ready, unless another encoder is at it.
    fn encode(&self, number: u64, rows: Vec<RecordBatch>, partition: Partition) -> Result<()> {
        if self.state.lock().failed.is_some() {
            return Ok(());
        }
        let key = &self.table.key;
        let Sorted { batch, is_distinct } = Sorted::new(concat(&rows)?, key)?;
        drop(rows);
        let block = encode_block(key, &batch, None)?;
        drop(batch);
        let mut state = self.state.lock();
        state.has_equal_keys |= !is_distinct;
        state.ready.insert(number, (partition, block));
        if state.writing {
            return Ok(());
        }
        state.writing = true;
        loop {
            let next = state.next;
            let Some((partition, block)) = state.ready.remove(&next) else { break };
            let mut open = std::mem::take(&mut state.open);
            drop(state);
            let written = self.write(&mut open, partition, block);
            state = self.state.lock();
            state.next += 1;
            match written {
                Ok(Written { segments, blocks }) => {
                    state.open = open;
                    state.written.segments.extend(segments);
                    state.written.blocks.extend(blocks);
                }
                Err(error) => {
                    state.writing = false;
                    return Err(error);
                }
            }
            if state.failed.is_some() {
                break;
            }
        }
        state.writing = false;
        Ok(())
    }

    /// Writes a block to the file of its partition; which block it is, and the segments that take no more.
    fn write(&self, open: &mut Vec<OpenSegment>, partition: Partition, block: EncodedBlock) -> Result<Written> {
        let mut written = Written::default();
        let at = match open.iter().position(|open| open.partition == partition) {
            Some(at) => at,
            None => {
                if open.len() == SEGMENTS_OPEN_MAX {
                    written.segments.push(self.close(open.remove(0))?);
                }
                open.push(self.create(partition)?);
                open.len() - 1
            }
        };
        let segment = &mut open[at];
        written.blocks.push((BlockId::Stored(segment.writer.id(), segment.blocks as u32), block.rows()));
        segment.writer.append(block)?;
        segment.blocks += 1;
        if segment.blocks == SEGMENT_BLOCKS_MAX || segment.writer.bytes() >= SEGMENT_BYTES {
            written.segments.push(self.close(open.remove(at))?);
        }
        Ok(written)
    }

    fn create(&self, partition: Partition) -> Result<OpenSegment> {
        let (context, table) = (&self.context, &self.table);
        let writer = SegmentWriter::create(
            context.vfs.clone(),
            &context.places.segments,
            context.new_segment_id(),
            table.id,
            table.schema.clone(),
            &table.key,
        )?;
        Ok(OpenSegment { partition, writer, blocks: 0 })
    }

    fn close(&self, open: OpenSegment) -> Result<Arc<StoredSegment>> {
        let meta: SegmentMeta = open.writer.finish()?;
        let stored = StoredSegment::written(&self.context, meta);
        // Known from here on, so that the line need not read it.
        stored.range(&self.table)?;
        Ok(stored)
    }

    fn done(&self, bytes: usize, outcome: Result<()>) {
        self.account.shrink(bytes);
        let mut state = self.state.lock();
        state.outstanding -= 1;
        if let Err(error) = outcome {
            state.failed.get_or_insert(error);
        }
        if state.failed.is_some() {
            state.ready.clear();
            if !state.writing {
                state.open.clear();
                state.written = Written::default();
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_ends_when_dropped_after_finishing_its_jobs() {
        let encoders = Encoders::start(2).unwrap();
        let done = Arc::new(Mutex::new(0));
        for _ in 0..10 {
            let done = done.clone();
            encoders.submit(Box::new(move || *done.lock() += 1));
        }
        drop(encoders);
        assert_eq!(*done.lock(), 10);
    }
}
