//! What can go wrong, and how long work is stopped.
//!
//! Algorithms know no clocks and no sessions: the caller gives a [`Stop`], which they ask every few thousand steps.

use std::fmt;

/// Steps between two looks at a [`Stop`]: some tens of microseconds.
const STEPS: u32 = 4096;

/// Says whether to give up; cheap, for it is asked often and by several threads.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller's [`Stop`] said so.
    Stopped,
    /// More edges than 32 bits count.
    TooManyEdges,
    /// An edge's source or target is no vertex.
    UnknownVertex {
        /// The edge.
        edge: u32,
    },
    /// An edge weighs less than nothing, where that makes no sense.
    NegativeWeight {
        /// The part of the view that has it.
        part: u32,
        /// The edge.
        edge: u32,
    },
    /// An edge weighs nothing, where that makes no sense.
    ZeroWeight {
        /// The part of the view that has it.
        part: u32,
        /// The edge.
        edge: u32,
    },
    /// An edge's weight is not a number.
    NotANumber {
        /// The part of the view that has it.
        part: u32,
        /// The edge.
        edge: u32,
    },
    /// A cycle within reach weighs less than nothing: there are no shortest paths.
    NegativeCycle {
        /// A vertex on it.
        vertex: u32,
    },
    /// There is a cycle: there is no topological order.
    Cyclic {
        /// A vertex on it.
        vertex: u32,
    },
}

/// Most results here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Stopped => write!(f, "stopped"),
            Error::TooManyEdges => write!(f, "too many edges: at most {} are possible", u32::MAX),
            Error::UnknownVertex { edge } => write!(f, "edge {edge} has an end that is no vertex"),
            Error::NegativeWeight { edge, .. } => write!(f, "the weight of edge {edge} is negative"),
            Error::ZeroWeight { edge, .. } => write!(f, "the weight of edge {edge} is zero"),
            Error::NotANumber { edge, .. } => write!(f, "the weight of edge {edge} is not a number"),
            Error::NegativeCycle { vertex } => write!(f, "vertex {vertex} is on a cycle of negative weight"),
            Error::Cyclic { vertex } => write!(f, "vertex {vertex} is on a cycle"),
        }
    }
}

impl std::error::Error for Error {}

/// Counts the steps of one thread and asks the [`Stop`] now and then.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a> {
    stop: Stop<'a>,
    left: u32,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(stop: Stop<'a>) -> Steps<'a> {
        Steps { stop, left: STEPS }
    }

    /// Counts `steps` more.
    #[inline]
    pub(crate) fn take(&mut self, steps: u32) -> Result<()> {
        if steps < self.left {
            self.left -= steps;
            return Ok(());
        }
        self.left = STEPS;
        check(self.stop)
    }
}

impl fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("left", &self.left).finish()
    }
}

/// Asks once.
pub(crate) fn check(stop: Stop) -> Result<()> {
    if stop() { Err(Error::Stopped) } else { Ok(()) }
}
